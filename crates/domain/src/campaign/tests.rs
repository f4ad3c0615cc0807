//! Campaigns under scripts and random sequences.

use super::csv::{BadFile, BadLine, Line, MAX_COLUMNS, Mapping, Sheet};
use super::pacing::{Cadence, Dialers, Guard, Pacer, Supply, how_many, turns_apart};
use super::*;
use proptest::prelude::*;

const NOW: Moment = Moment(1_800_000_000_000);

fn settings() -> Settings {
    Settings {
        name: String::from("spring"),
        agent: AgentId::new("desk").unwrap(),
        patch: AgentPatch::default(),
        callers: Vec::new(),
        variables: BTreeMap::new(),
        windows: None,
        pace: Pace::default(),
        retry: RetryPlan {
            on: vec![HangupCause::Busy, HangupCause::NoAnswer],
            max_attempts: 3,
            waits_s: vec![60, 600],
        },
        priority: 5,
        starts: None,
        deadline: None,
        abandonment_guard: Switch::On,
        origin: Origin::default(),
    }
}

#[test]
fn settings_that_cannot_work_are_refused_by_name() {
    assert_eq!(settings().check(NOW), Ok(()));
    type Change = fn(&mut Settings);
    let cases: [(&str, Change); 12] = [
        ("concurrency", |s| s.pace.concurrency = 0),
        ("cps", |s| s.pace.cps = 0),
        ("cps", |s| s.pace.cps = MAX_CPS + 1),
        ("priority", |s| s.priority = 0),
        ("gap_ms", |s| s.pace.gap_ms = u64::MAX),
        ("retry.max_attempts", |s| s.retry.max_attempts = 0),
        ("retry.max_attempts", |s| s.retry.max_attempts = 1),
        ("retry.on", |s| s.retry.on.clear()),
        ("retry.waits_s", |s| s.retry.waits_s = vec![u64::MAX]),
        ("deadline", |s| s.deadline = Some(NOW)),
        ("deadline", |s| (s.starts, s.deadline) = (Some(Moment(NOW.0 + 9)), Some(Moment(NOW.0 + 5)))),
        ("windows.zone", |s| {
            s.windows = Some(Windows { zone: String::from("Mars/Olympus"), weekly: vec![], holidays: vec![] });
        }),
    ];
    for (field, change) in cases {
        let mut changed = settings();
        change(&mut changed);
        assert_eq!(changed.check(NOW).unwrap_err().field, field);
    }
}

#[test]
fn impossible_windows_are_refused_by_name() {
    let window = |days: Vec<Day>, from: &str, to: &str| Window { days, from: from.to_owned(), to: to.to_owned() };
    let of = |weekly| Windows { zone: String::from("Europe/Berlin"), weekly, holidays: Vec::new() };
    assert_eq!(of(vec![window(vec![], "09:00", "24:00")]).check(), Ok(()));
    for (weekly, field) in [
        (vec![], "windows.weekly"),
        (vec![window(vec![], "09:00", "09:00")], "windows.weekly[0].to"),
        (vec![window(vec![], "09:00", "12:00"), window(vec![], "22:00", "06:00")], "windows.weekly[1].to"),
        (vec![window(vec![], "9:00", "12:00")], "windows.weekly[0].from"),
        (vec![window(vec![], "24:00", "24:00")], "windows.weekly[0].from"),
        (vec![window(vec![], "09:60", "12:00")], "windows.weekly[0].from"),
        (vec![window(vec![], "09:00", "24:01")], "windows.weekly[0].to"),
    ] {
        assert_eq!(of(weekly).check().unwrap_err().field, field);
    }
    let holidays = Windows { holidays: vec![String::from("2026-02-30")], ..of(vec![window(vec![], "09:00", "12:00")]) };
    assert_eq!(holidays.check().unwrap_err().field, "windows.holidays");
}

#[test]
fn windows_open_and_close_in_their_own_zone() {
    let at = |text: &str| Moment(text.parse::<jiff::Timestamp>().unwrap().as_millisecond());
    let windows = Windows {
        zone: String::from("Europe/Berlin"),
        weekly: vec![
            Window { days: vec![Day::Mon, Day::Fri], from: String::from("09:00"), to: String::from("12:00") },
            Window { days: vec![Day::Mon], from: String::from("13:00:30"), to: String::from("24:00") },
        ],
        holidays: vec![String::from("2026-12-25")],
    };
    // 2026-11-23 is a Monday; Berlin is one hour ahead.
    for (now, opening) in [
        ("2026-11-23T07:59:59Z", Opening::Closed(Some(at("2026-11-23T08:00:00Z")))),
        ("2026-11-23T08:00:00Z", Opening::Open),
        ("2026-11-23T11:00:00Z", Opening::Closed(Some(at("2026-11-23T12:00:30Z")))),
        ("2026-11-23T22:59:59Z", Opening::Open),
        ("2026-11-23T23:00:00Z", Opening::Closed(Some(at("2026-11-27T08:00:00Z")))),
        // The Friday after is Christmas Day: not before Monday.
        ("2026-12-24T12:00:00Z", Opening::Closed(Some(at("2026-12-28T08:00:00Z")))),
        // In summer Berlin is two hours ahead.
        ("2026-07-06T06:59:59Z", Opening::Closed(Some(at("2026-07-06T07:00:00Z")))),
    ] {
        assert_eq!(windows.opening(at(now)), opening, "{now}");
    }
}

#[test]
fn the_guard_slows_at_two_and_stops_at_three_in_a_hundred() {
    assert_eq!(Guard::of(100, 1), Guard::Clear);
    assert_eq!(Guard::of(100, 2), Guard::Slow);
    // The fourth abandoned call of a hundred never happens: the third stopped it.
    assert_eq!(Guard::of(100, 3), Guard::Halt);
    assert_eq!(Guard::of(1, 1), Guard::Clear, "one of one says nothing");
    assert_eq!(Guard::of(200, 3), Guard::Clear);
    assert_eq!(Guard::of(10_000, 299), Guard::Slow);
    assert_eq!(Guard::of(10_000, 300), Guard::Halt);
}

#[test]
fn a_row_is_settled_once_by_plan() {
    let retry = settings().retry;
    let attempt = |number, cause, contact| Attempt { number, cause, contact, ended: NOW };
    let settled = |attempt: &Attempt, state| settle(attempt, &retry, state, None);
    let busy = attempt(1, HangupCause::Busy, Contact::None);
    let again = settled(&busy, CampaignState::Running);
    assert_eq!((again.state, again.due), (RowState::Retrying, Some(Moment(NOW.0 + 60_000))));
    assert_eq!(settled(&busy, CampaignState::Paused).state, RowState::Retrying);
    assert_eq!(settled(&busy, CampaignState::Stopped).state, RowState::Unanswered);
    assert_eq!(settle(&busy, &retry, CampaignState::Running, Some(NOW)).state, RowState::Unanswered);
    let second = settled(&attempt(2, HangupCause::Busy, Contact::None), CampaignState::Running);
    assert_eq!(second.due, Some(Moment(NOW.0 + 600_000)));
    for (attempt, state) in [
        (attempt(3, HangupCause::Busy, Contact::None), RowState::Unanswered),
        (attempt(1, HangupCause::Unreachable, Contact::None), RowState::Unanswered),
        (attempt(1, HangupCause::CalleeHungUp, Contact::Connected), RowState::Answered),
        (attempt(1, HangupCause::ServerRestarted, Contact::Abandoned), RowState::Answered),
        (attempt(1, HangupCause::Cancelled, Contact::None), RowState::Cancelled),
        (attempt(1, HangupCause::Expired, Contact::None), RowState::Expired),
    ] {
        assert_eq!(settled(&attempt, CampaignState::Running), Settled { state, due: None });
    }
}

#[test]
fn a_state_that_is_over_is_over() {
    let steps = [Step::Start, Step::Pause, Step::Resume, Step::Stop, Step::Finish];
    for state in CampaignState::ALL {
        assert_eq!(CampaignState::of_word(state.word()), Some(state));
        for step in steps {
            let next = state.apply(step);
            assert!(!state.is_over() || next.is_err());
        }
    }
    for state in RowState::ALL {
        assert_eq!(RowState::of_word(state.word()), Some(state));
    }
}

fn read(text: &[u8], mapping: &Mapping) -> Result<Vec<Line>, BadFile> {
    let mut sheet = Sheet::open(text, mapping)?;
    let mut lines = Vec::new();
    while let Some(line) = sheet.next_line()? {
        lines.push(line);
    }
    Ok(lines)
}

#[test]
fn a_file_is_read_line_by_line_with_its_mistakes() {
    let file = "\u{feff}Phone_Number;name;callee_id;scheduled_for;max_duration_s;user_data\r\n\
        +49 30 1234567;\"Ada; \"\"the first\"\"\";k1;2026-11-21T09:30:00+01:00;60;x\r\n\
        \r\n\
        not a number;Bob;k2;;;\r\n\
        +49301234568;Cid\r\n\
        ;Dan;;;;\r\n\
        +49301234569;Eve;;yesterday;;\r\n\
        +49301234570;Fay;;;0;\r\n\
        +49301234571;\"Gus\nof two lines\";;;;\r\n\
        +49301234572;Hal;k\08;;;\r\n";
    let lines = read(file.as_bytes(), &Mapping::default()).unwrap();
    let first = lines[0].callee.as_ref().unwrap();
    assert_eq!((lines[0].line, first.number.dial(), first.own_id.as_deref()), (2, "+49301234567", Some("k1")));
    assert_eq!(first.variables["name"], "Ada; \"the first\"");
    assert_eq!((first.variables.len(), first.max_duration_s), (2, Some(60)));
    assert_eq!(first.due, Some(Moment("2026-11-21T08:30:00Z".parse::<jiff::Timestamp>().unwrap().as_millisecond())));
    let word = |line: &Line| line.callee.as_ref().map_or_else(|bad| bad.word(), |_| "");
    let words: Vec<_> = lines.iter().map(|line| (line.line, word(line))).collect();
    assert_eq!(
        words,
        [
            (2, ""),
            (4, "number_invalid"),
            (5, "columns"),
            (6, "number_missing"),
            (7, "time_invalid"),
            (8, "duration_invalid"),
            (9, ""),
            (11, "zero_character")
        ]
    );
    assert_eq!(lines[1].given.expose(), "not a number");
}

#[test]
fn a_file_that_is_none_is_refused_whole() {
    let mapping = Mapping { number: Some(String::from("Telefon")), own_id: None };
    assert_eq!(read(b"telefon,name\n+4930123456,x\n", &mapping).unwrap().len(), 1);
    let plain = Mapping::default();
    for (text, mapping, why) in [
        (&b""[..], &plain, BadFile::NoHeader),
        (b"name,city\nA,B\n", &plain, BadFile::NoNumber),
        (b"name,city\nA,B\n", &mapping, BadFile::NoColumn { parameter: "number_column" }),
        (b"number,name,name\n", &plain, BadFile::Header { column: 3 }),
        (b"number,,name\n", &plain, BadFile::Header { column: 2 }),
        (b"\xff\xfen\0u\0m\0", &plain, BadFile::Encoding),
        (b"number,name\n+4930123456,ok\n+4930123457,\"oops\n+4930123458,x\n", &plain, BadFile::Unclosed { line: 3 }),
    ] {
        assert_eq!(read(text, mapping).unwrap_err(), why);
    }
    let wide = format!("number,{}\n", (0..MAX_COLUMNS).map(|at| format!("c{at}")).collect::<Vec<_>>().join(","));
    assert_eq!(read(wide.as_bytes(), &plain).unwrap_err(), BadFile::Columns);
    // A quote inside a field that is not quoted is a letter like any other.
    assert_eq!(read(b"number,size\n+4930123456,5\" pipe\n", &plain).unwrap().len(), 1);
    let bad = read(b"number,name\n+4930123456,\xff\n", &plain).unwrap();
    assert_eq!(bad[0].callee, Err(BadLine::Encoding));
}

proptest! {
    /// Whatever ends and steps come in whatever order, a row that is final was settled once, and tries stay below the plan's.
    #[test]
    fn rows_end_once(
        causes in prop::collection::vec((0..HangupCause::ALL.len(), any::<bool>()), 1..40),
        max_attempts in 1_u32..6,
        stop_at in 0_usize..40,
    ) {
        let on = vec![HangupCause::Busy, HangupCause::NoAnswer, HangupCause::ServerRestarted];
        let retry = RetryPlan { on, max_attempts, waits_s: vec![1] };
        let (mut row, mut attempts, mut ends) = (RowState::Waiting, 0, 0);
        for (at, (cause, answered)) in causes.into_iter().enumerate() {
            let state = if at >= stop_at { CampaignState::Stopped } else { CampaignState::Running };
            if row.is_final() || state.is_over() && attempts == 0 { break }
            attempts += 1;
            let contact = if answered { Contact::Connected } else { Contact::None };
            let attempt = Attempt { number: attempts, cause: HangupCause::ALL[cause], contact, ended: NOW };
            let settled = settle(&attempt, &retry, state, None);
            prop_assert_eq!(settled.due.is_some(), settled.state == RowState::Retrying);
            prop_assert!(!(state.is_over() && settled.state == RowState::Retrying));
            ends += u32::from(settled.state.is_final());
            row = settled.state;
        }
        prop_assert!(attempts <= max_attempts && ends <= 1);
    }

    /// Counters are a function of the rows: every row is counted once, in the state that it is in.
    #[test]
    fn counters_add_up(rows in prop::collection::vec(0..RowState::ALL.len(), 0..200)) {
        let mut counters = Counters::default();
        for row in &rows {
            counters.add(RowState::ALL[*row], Some("busy"), 1);
        }
        prop_assert_eq!(counters.total(), rows.len() as u64);
        let sum: u64 = RowState::ALL.into_iter().map(|state| counters.of(state)).sum();
        prop_assert_eq!(sum, counters.total());
        prop_assert_eq!(counters.finished(), counters.causes.values().sum::<u64>());
    }

    /// Never more lines than any of the limits leaves.
    #[test]
    fn nobody_is_dialled_without_a_line(
        concurrency in 1_u32..100, active in 0_u32..120, callers in 0_u32..50, account in 0_u32..50,
        node in 0_u32..50, paced in 0_u32..50,
    ) {
        let pace = Pace { concurrency, cps: 1, gap_ms: 0 };
        let supply = Supply { active, callers, account, node, paced };
        for guard in [Guard::Clear, Guard::Slow, Guard::Halt] {
            let count = how_many(&pace, guard, &supply);
            prop_assert!(count == 0 || active + count <= concurrency);
            prop_assert!(count <= callers.min(account).min(node).min(paced));
            prop_assert!(guard != Guard::Halt || count == 0);
        }
    }

    /// Departures that keep to the cadence never put more than `cps` into any second, however late each one is.
    #[test]
    fn no_second_holds_more_than_the_pace(
        cps in 1_u32..60, gap_ms in prop_oneof![Just(0_u64), 1_u64..50], late in prop::collection::vec(0_u64..40_000, 300),
    ) {
        let pace = Pace { concurrency: 1, cps, gap_ms };
        let mut cadence = Cadence::after_unknown(0);
        let mut sent: Vec<u64> = Vec::new();
        for late in late {
            let at = cadence.earliest(&pace).max(sent.last().copied().unwrap_or(0)) + late;
            cadence.left(&pace, at);
            sent.push(at);
        }
        for window in sent.windows(cps as usize + 1) {
            prop_assert!(window[cps as usize] - window[0] > 1_000_000);
        }
        for pair in sent.windows(2) {
            prop_assert!(pair[1] - pair[0] >= gap_ms * 1_000);
        }
        // And it is not needlessly slow.
        let ideal = (1_008_000 / u64::from(cps)).max(gap_ms * 1_000) + 40_000;
        prop_assert!(sent.last().unwrap() - sent[0] <= ideal * sent.len() as u64);
    }

    /// Turns of several nodes hold no second too full although each takes up to 50 ms from its turn to the INVITE.
    #[test]
    fn turns_of_several_nodes_keep_the_pace(
        cps in 1_u32..60, gap_ms in prop_oneof![Just(0_u64), 1_u64..50], late in prop::collection::vec(0_u64..49_000, 300),
    ) {
        let pace = Pace { concurrency: 1, cps, gap_ms };
        let apart = u64::try_from(turns_apart(&pace, Dialers::Several).as_micros()).unwrap();
        let mut sent: Vec<u64> = (0_u64..).zip(late).map(|(turn, late)| turn * apart + late).collect();
        sent.sort_unstable();
        for window in sent.windows(cps as usize + 1) {
            prop_assert!(window[cps as usize] - window[0] > 1_000_000);
        }
        prop_assert!(apart >= gap_ms * 1_000 && apart <= (1_050_000 / u64::from(cps)).max(gap_ms * 1_000));
        prop_assert!(turns_apart(&pace, Dialers::One) <= turns_apart(&pace, Dialers::Several));
    }

    /// The pacer gives out no more than the pace over any stretch, and nothing in the first second.
    #[test]
    fn the_pacer_keeps_the_pace(cps in 1_u32..200, steps in prop::collection::vec(1_000_u64..400_000, 1..100)) {
        let pace = Pace { concurrency: 1, cps, gap_ms: 0 };
        let mut pacer = Pacer::after_unknown(0);
        let (mut now, mut given) = (0, 0_u64);
        for step in steps {
            now += step;
            let count = pacer.allowance(&pace, now);
            prop_assert!(now >= 1_000_000 || count == 0);
            pacer.spend(&pace, count);
            given += u64::from(count);
            prop_assert!(given <= now * u64::from(cps) / 1_000_000 + 1);
        }
    }

    /// A random file never panics, and every line that is not empty is told once.
    #[test]
    fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut file = b"number,name\n".to_vec();
        file.extend(bytes);
        if let Ok(lines) = read(&file, &Mapping::default()) {
            prop_assert!(lines.len() <= file.len());
        }
    }
}
