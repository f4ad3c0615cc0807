//! Random sequences of messages, actions and time, seeded: no panic, and in the end nothing is left.

mod support;

use callwright_sip::{Answered, Body, Calling, Confirmed, Event, Incoming, OfferKey, OutboundInvite, Reliability};
use support::{CONTACT, SDP, Stage, answer, inner, invite, millis, secs, trunk};

/// Sequences in an ordinary test run; CALLWRIGHT_SEQUENCES at build time asks for more.
const SEQUENCES: u64 = 3_000;
/// Steps of one sequence.
const STEPS: usize = 14;

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.index(of.len())]
    }

    fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.roll(length as u64)).expect("small")
    }
}

#[derive(Default)]
struct Hands {
    calling: Vec<Calling>,
    confirmed: Vec<Confirmed>,
    answered: Vec<Answered>,
    incoming: Vec<Incoming>,
    offers: Vec<OfferKey>,
}

const STATUSES: [&str; 16] = [
    "100 Trying",
    "180 Ringing",
    "183 Session Progress",
    "199 X",
    "200 OK",
    "200 OK",
    "202 X",
    "302 X",
    "401 X",
    "407 X",
    "422 X",
    "481 X",
    "487 X",
    "491 X",
    "503 X",
    "699 X",
];
const METHODS: [&str; 12] =
    ["INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "INFO", "UPDATE", "PRACK", "REFER", "NOTIFY", "MESSAGE", "X"];
const LINES: [&str; 12] = [
    "",
    "Session-Expires: 90;refresher=uac\r\n",
    "Session-Expires: 4294967295;refresher=uas\r\n",
    "Require: 100rel\r\nRSeq: 1\r\n",
    "Require: 100rel\r\nRSeq: 2147483647\r\n",
    "Min-SE: 4294967295\r\n",
    "Min-SE: 1800\r\n",
    "RAck: 1 1 INVITE\r\n",
    "WWW-Authenticate: Digest realm=\"r\",nonce=\"n\",qop=\"auth\"\r\n",
    "Record-Route: <sip:127.0.0.2;lr>,<sip:10.0.0.1>\r\n",
    "Supported: timer, 100rel\r\nSession-Expires: 100\r\n",
    "Content-Type: application/sdp\r\n",
];

fn step(stage: &mut Stage, dice: &mut Dice, hands: &mut Hands, heard: &mut Vec<Vec<u8>>) {
    let now = stage.now;
    let tag = dice.pick(&["T1", "T2", "T3", ""]);
    let body = dice.pick(&["", SDP]);
    let line = format!("{}{}", dice.pick(&["", CONTACT]), dice.pick(&LINES));
    match dice.roll(12) {
        0 => {
            let mut plan = OutboundInvite { ring_timeout: secs(5 + dice.roll(90)), ..invite(trunk()) };
            plan.identity.call_id = format!("call{}", dice.roll(4));
            plan.identity.branch = format!("z9hG4bK{}", dice.roll(1 << 20));
            plan.reliability = dice.pick(&[Reliability::Off, Reliability::Offered, Reliability::Required]);
            plan.session_expires = dice.pick(&[None, Some(90), Some(u32::MAX)]);
            hands.calling.extend(stage.agent.invite(now, plan));
        }
        1..=4 if !stage.sent.is_empty() => {
            let request = stage.sent[dice.index(stage.sent.len())].clone();
            stage.hear(answer(&request, dice.pick(&STATUSES), tag, &line, body));
        }
        5 | 6 if !stage.sent.is_empty() => {
            let request = stage.sent[dice.index(stage.sent.len())].clone();
            let number = u32::try_from(dice.roll(6)).expect("small");
            let bytes = inner(&request, dice.pick(&METHODS), (tag, number), &line, body);
            heard.push(bytes.clone());
            stage.hear(bytes);
        }
        7 if !heard.is_empty() => {
            let mut bytes = heard[dice.index(heard.len())].clone();
            let at = usize::try_from(dice.roll(bytes.len() as u64)).expect("small");
            if dice.roll(2) == 0 {
                bytes[at] = u8::try_from(dice.roll(256)).expect("a byte");
            }
            stage.hear(bytes);
        }
        8 => stage.pass(millis(dice.pick(&[1, 400, 3_000, 33_000, 100_000]))),
        9 => act(stage, dice, hands),
        10 => {
            let number = dice.roll(3);
            let text = format!(
                "INVITE sip:127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.2:5060;branch=z9hG4bKr{number}\r\nMax-Forwards: 70\r\n\
                 From: <sip:p@127.0.0.2>;tag=P{number}\r\nTo: <sip:127.0.0.1>\r\nCall-ID: in{number}\r\nCSeq: 1 INVITE\r\n\
                 {CONTACT}{}Content-Length: 0\r\n\r\n",
                dice.pick(&LINES)
            );
            stage.hear(text.into_bytes());
        }
        _ => {}
    }
    for event in stage.drain_events() {
        match event {
            Event::Answered { handle, .. } | Event::Established { handle, .. } => hands.confirmed.push(handle),
            Event::Incoming { handle, .. } => hands.incoming.push(handle),
            Event::Offer { offer, .. } => hands.offers.push(offer),
            _ => {}
        }
    }
}

fn act(stage: &mut Stage, dice: &mut Dice, hands: &mut Hands) {
    let now = stage.now;
    match dice.roll(9) {
        0 => hands.calling.pop().into_iter().for_each(|calling| stage.agent.cancel(now, calling)),
        1 => hands.confirmed.pop().into_iter().for_each(|call| stage.agent.bye(now, call, None)),
        2 => {
            if let Some(call) = hands.confirmed.last() {
                stage.agent.reinvite(now, call, Body::sdp(SDP));
            }
        }
        3 => hands.offers.pop().into_iter().for_each(|offer| stage.agent.accept_offer(now, offer, Body::sdp(SDP))),
        4 => hands.offers.pop().into_iter().for_each(|offer| stage.agent.reject_offer(now, offer, 488)),
        5 => {
            if let Some(call) = hands.incoming.last() {
                let status = dice.pick(&[180, 183, 100, 200]);
                stage.agent.ring(now, call, status, Some(Body::sdp(SDP)));
            }
        }
        6 => {
            if let Some(call) = hands.incoming.pop() {
                hands.answered.push(stage.agent.accept(now, call, Body::sdp(SDP)));
            }
        }
        7 => hands.incoming.pop().into_iter().for_each(|call| stage.agent.reject(now, call, 486)),
        _ => hands.answered.pop().into_iter().for_each(|call| stage.agent.bye_unacknowledged(now, call, None)),
    }
    stage.collect();
}

/// Ends everything the application holds and lets all timers run.
fn finish(stage: &mut Stage, mut hands: Hands) {
    for _ in 0..4 {
        let now = stage.now;
        hands.calling.drain(..).for_each(|calling| stage.agent.cancel(now, calling));
        hands.confirmed.drain(..).for_each(|call| stage.agent.bye(now, call, None));
        hands.incoming.drain(..).for_each(|call| stage.agent.reject(now, call, 480));
        stage.pass(secs(200));
        for event in stage.drain_events() {
            match event {
                Event::Answered { handle, .. } | Event::Established { handle, .. } => hands.confirmed.push(handle),
                _ => {}
            }
        }
    }
}

#[test]
fn nothing_panics_and_nothing_is_left() {
    let sequences = option_env!("CALLWRIGHT_SEQUENCES").and_then(|text| text.parse().ok()).unwrap_or(SEQUENCES);
    for seed in 1..=sequences {
        let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let mut stage = Stage::new();
        let mut hands = Hands::default();
        let mut heard = Vec::new();
        for _ in 0..STEPS {
            step(&mut stage, &mut dice, &mut hands, &mut heard);
        }
        finish(&mut stage, hands);
        let live = stage.agent.live();
        assert!(live.is_zero(), "seed {seed} leaves {live:?}");
    }
}

/// Hostile and torturous messages from a known peer: no panic, nobody dialled, and answers no larger than the question.
#[test]
fn hostile_messages_make_us_dial_nobody() {
    let fixtures = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut read = 0;
    for folder in ["hostile", "rfc4475", "rfc5118"] {
        for entry in std::fs::read_dir(fixtures.join(folder)).expect("fixtures") {
            let path = entry.expect("entry").path();
            if path.extension().is_none_or(|kind| kind == "tsv") {
                continue;
            }
            read += 1;
            let mut stage = Stage::new();
            let bytes = std::fs::read(&path).expect("readable");
            let length = bytes.len();
            stage.hear(bytes);
            for sent in stage.take() {
                let label = support::label(&sent);
                assert!(label.starts_with(|sign: char| sign.is_ascii_digit()), "{}: {label}", path.display());
                let small = sent.len() <= length * 3 / 2;
                assert!(
                    small || label.starts_with("200"),
                    "{}: {label} of {} for {length}",
                    path.display(),
                    sent.len()
                );
                assert!(support::header(&sent, "Server").is_none());
            }
            for event in stage.drain_events() {
                let Event::Incoming { handle, .. } = event else { panic!("{}: {event:?}", path.display()) };
                stage.agent.reject(stage.now, handle, 480);
            }
            stage.pass(secs(64));
            assert!(stage.agent.live().is_zero(), "{}", path.display());
        }
    }
    assert!(read >= 100, "{read} fixtures");
}
