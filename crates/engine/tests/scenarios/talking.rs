//! Two people talk.

use crate::{answered, heard, in_time, ms, said, within};
use callwright_domain::agent::Switch;
use callwright_domain::agent::{Greeting, Recording, Tool, WeightedText};
use callwright_domain::{AgentPatch, CallEvent, CallId, HangupCause, Transfer, TransferTarget};
use callwright_engine::{ChangeError, HangUp, OrderError, Place, Saying, Sound, Speech, Words};
use callwright_sip::EndedBy;
use callwright_store::Amendment;
use callwright_testkit::{Callee, Node, NodeBuilder, Plan, Reply, ScriptedBrain, ScriptedEars, Then, ToneVoice, Wav};
use std::io::Read;
use std::time::{Duration, Instant};

const LONG: &str =
    "This is a rather long greeting that goes on and on so that somebody can talk over it before it ends.";

fn difference(a: Duration, b: Duration) -> Duration {
    a.abs_diff(b)
}

#[tokio::test]
async fn the_greeting_is_heard_and_the_journal_tells_it_in_order() {
    let mut callee = Callee::start(Plan::answer()).await;
    let node = NodeBuilder::to(&callee).start().await;
    let began = Instant::now();
    let call = node.call().await;
    let mut line = callee.line().await;
    line.hears(began).await;
    node.wait_for(call, "the greeting", said("Hello there.")).await;
    line.hears_silence(ms(100)).await;
    line.hang_up();
    assert_eq!(node.ended(call).await, HangupCause::CalleeHungUp);
    assert_eq!(node.event_names(call).await, ["created", "dialing", "ringing", "answered", "spoke", "said", "ended"]);
    let length = ToneVoice::new(ms(30)).length("Hello there.");
    assert!(difference(line.heard(), length) <= ms(60), "{:?} of {length:?}", line.heard());
    assert_eq!(node.active_calls().await, 0, "its place is given back");
    assert_eq!(callee.calls(), 1);
}

#[tokio::test]
async fn nobody_waits_for_the_breath_that_a_voice_takes() {
    let callee = Callee::start(Plan::answer()).await;
    let voice = ToneVoice::new(ms(30)).breathing(ms(900));
    let node = NodeBuilder::to(&callee).voice(&voice).start().await;
    let call = node.call().await;
    let told = node.wait_for(call, "the greeting", said("Hello there.")).await;
    let CallEvent::Said { span: Some(span), .. } = told.event else { panic!("it sounded") };
    let (sounded, hummed) = (ms((span.began_ms - span.ended_ms).into()), voice.length("Hello there."));
    assert!(sounded < hummed + ms(600), "{sounded:?} for {hummed:?} of sound behind 900 ms of silence");
}

/// How long a callee who has just answered waits for the agent's first sound, with a voice that takes 400 ms to begin.
async fn silence_after_the_answer(plan: Plan) -> Duration {
    let mut callee = Callee::start(plan).await;
    let voice = ToneVoice::new(ms(30)).slow(ms(400));
    let node = NodeBuilder::to(&callee).voice(&voice).start().await;
    let call = node.call().await;
    let mut line = callee.line().await;
    let answered = Instant::now();
    let silence = line.hears(answered).await.saturating_duration_since(answered);
    node.wait_for(call, "the greeting", said("Hello there.")).await;
    assert_eq!(voice.spoken(), ["Hello there."], "paid for once");
    silence
}

#[tokio::test]
async fn the_greeting_is_made_while_it_rings() {
    let at_once = silence_after_the_answer(Plan { ring: Duration::ZERO, ..Plan::answer() }).await;
    assert!(at_once > ms(350), "{at_once:?}");
    in_time(async || {
        let rung = silence_after_the_answer(Plan { ring: ms(700), ..Plan::answer() }).await;
        within(ms(150), rung, "the greeting came")
    })
    .await;
}

#[tokio::test]
async fn a_call_that_nobody_takes_costs_no_more_than_the_first_phrase() {
    for (then, phrases) in [(Then::Refuse(486), 1), (Then::Refuse(404), 1)] {
        let callee = Callee::start(Plan::then(then)).await;
        let voice = ToneVoice::new(ms(30));
        let node = NodeBuilder::to(&callee).voice(&voice);
        let node = node.agent(|agent| agent.opening.greeting = Greeting::Text(LONG.into())).start().await;
        let call = node.call().await;
        node.ended(call).await;
        assert!(voice.spoken().len() <= phrases, "{:?}", voice.spoken());
    }
}

#[tokio::test]
async fn the_agent_sits_where_it_is_told() {
    let mut callee = Callee::start(Plan::answer()).await;
    let node = NodeBuilder::to(&callee);
    let node = node.agent(|agent| {
        agent.opening.greeting = Greeting::None;
        agent.ambient.sound = "office".into();
        agent.ambient.volume = 100;
    });
    let node = node.start().await;
    let began = Instant::now();
    let call = node.call().await;
    let mut line = callee.line().await;
    line.hears(began).await;
    line.hears_altogether(ms(200)).await;
    assert!(!node.event_names(call).await.contains(&"said"));
    let mut request = node.request();
    request.patch.ambient.sound = Some("moon".into());
    let refused = node.calls().start(request, node.now()).await.expect_err("there is no such sound").to_string();
    assert!(refused.contains("\"moon\"") && refused.contains("cafe, office"), "{refused}");
}

#[tokio::test]
async fn a_trunk_that_speaks_a_law_only_is_understood() {
    let mut callee = Callee::start(Plan::answer().codec(callwright_media::codec::PCMA)).await;
    let node = NodeBuilder::to(&callee).start().await;
    let began = Instant::now();
    let call = node.call().await;
    callee.line().await.hears(began).await;
    let agreed = node.wait_for(call, "the answer", answered).await.event;
    assert!(
        matches!(&agreed, CallEvent::Answered { codec, dialog } if codec == "PCMA" && !dialog.is_empty()),
        "{agreed:?}"
    );
}

#[tokio::test]
async fn two_turns_are_taken_and_timed() {
    let mut callee = Callee::start(Plan::answer()).await;
    let ears = ScriptedEars::new(["I want a table", "For two please"]);
    let brain = ScriptedBrain::new().on("table", [Reply::say("How many?")]).on("two", [Reply::say("Done.")]);
    let node = NodeBuilder::to(&callee).ears(&ears).brain(&brain).start().await;
    let call = node.call().await;
    let mut line = callee.line().await;
    for (before, words, answer) in [("Hello there.", "table", "How many?"), ("How many?", "two", "Done.")] {
        node.wait_for(call, before, said(before)).await;
        line.hears_silence(ms(100)).await;
        line.speak(ms(500));
        node.wait_for(call, words, heard(words)).await;
        node.wait_for(call, answer, said(answer)).await;
    }
    line.hang_up();
    node.ended(call).await;
    let turn = ["heard", "turn_taken", "said"];
    let expected =
        [&["created", "dialing", "ringing", "answered", "spoke", "said"][..], &turn, &turn, &["ended"]].concat();
    assert_eq!(node.event_names(call).await, expected);
    let lines = node.transcript(call).await;
    let texts: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(texts, ["Hello there.", "I want a table", "How many?", "For two please", "Done."]);
    for at in [2, 4] {
        let latency = lines[at].latency.expect("an answer is timed");
        assert!((150..1500).contains(&latency.total_ms), "{latency:?}");
        let parts = latency.endpoint_ms + latency.ears_ms + latency.brain_ms + latency.voice_ms + latency.own_ms;
        assert_eq!(parts, latency.total_ms, "{latency:?}");
    }
    let asked = brain.asked();
    let last = asked.last().expect("asked");
    assert_eq!(last.messages.iter().filter(|message| message.content == "How many?").count(), 1, "{last:?}");
}

#[tokio::test]
async fn a_callee_who_talks_over_the_agent_wins() {
    in_time(talked_over).await;
}

async fn talked_over() -> Result<(), String> {
    let mut callee = Callee::start(Plan::answer()).await;
    let ears = ScriptedEars::new(["wait a moment please"]);
    let brain = ScriptedBrain::new().on("wait", [Reply::say("Yes?")]);
    let node = NodeBuilder::to(&callee).ears(&ears).brain(&brain);
    let node = node.agent(|agent| agent.opening.greeting = Greeting::Text(LONG.into())).start().await;
    let call = node.call().await;
    let mut line = callee.line().await;
    line.hears_altogether(ms(600)).await;
    let spoke = Instant::now();
    line.speak(ms(800));
    node.wait_for(call, "the interruption", |event| matches!(event, CallEvent::Interrupted)).await;
    let silent = line.hears_silence(ms(200)).await;
    let took = silent.saturating_duration_since(spoke);
    within(ms(300), took, "the agent fell silent")?;
    node.wait_for(call, "the answer", said("Yes?")).await;
    let cut =
        node.wait_for(call, "what was cut", |event| matches!(event, CallEvent::Said { interrupted: true, .. })).await;
    let CallEvent::Said { text, unsaid: Some(unsaid), .. } = cut.event else { panic!("something said, and not said") };
    let (text, unsaid) = (text.into_exposed(), unsaid.into_exposed());
    assert!(LONG.starts_with(&text) && text.len() < LONG.len() / 2, "{text:?}");
    assert_eq!(format!("{text} {unsaid}"), LONG, "the rest is known, too");
    let names = node.event_names(call).await;
    assert_eq!(names[4..], ["spoke", "interrupted", "said", "heard", "turn_taken", "said"]);
    Ok(())
}

#[tokio::test]
async fn a_callee_who_hangs_up_mid_sentence_has_heard_a_part() {
    let mut callee = Callee::start(Plan::answer()).await;
    let node = NodeBuilder::to(&callee);
    let node = node.agent(|agent| agent.opening.greeting = Greeting::Text(LONG.into())).start().await;
    let call = node.call().await;
    let mut line = callee.line().await;
    line.hears_altogether(ms(600)).await;
    line.hang_up();
    assert_eq!(node.ended(call).await, HangupCause::CalleeHungUp);
    assert_eq!(line.ended().await, EndedBy::Local);
    let lines = node.transcript(call).await;
    let [cut] = lines.as_slice() else { panic!("one line, not {lines:?}") };
    assert!(cut.interrupted && LONG.starts_with(&cut.text) && cut.text.len() < LONG.len() / 2, "{cut:?}");
    assert_eq!(node.event_names(call).await.last(), Some(&"ended"));
}

#[tokio::test]
async fn the_longest_duration_ends_the_call() {
    let mut callee = Callee::start(Plan::answer()).await;
    let node = NodeBuilder::to(&callee).agent(|agent| agent.limits.max_duration_s = 1).start().await;
    let call = node.call().await;
    let mut line = callee.line().await;
    let began = Instant::now();
    assert_eq!(node.ended(call).await, HangupCause::MaxDuration);
    assert_eq!(line.ended().await, EndedBy::Peer);
    assert!(difference(began.elapsed(), ms(1000)) < ms(500), "{:?}", began.elapsed());
}

#[tokio::test]
async fn the_agent_hangs_up_after_its_last_words() {
    let mut callee = Callee::start(Plan::answer()).await;
    let goodbye = "Goodbye and thank you.";
    let ears = ScriptedEars::new(["bye then"]);
    let brain = ScriptedBrain::new().on("bye", [Reply::say(goodbye).tool("end_call", "{}")]);
    let tool = Tool::EndCall { name: "end_call".into(), description: "Ends the call.".into() };
    let node = NodeBuilder::to(&callee).ears(&ears).brain(&brain).agent(|agent| agent.tools.push(tool)).start().await;
    let call = node.call().await;
    let mut line = callee.line().await;
    node.wait_for(call, "the greeting", said("Hello there.")).await;
    line.hears_silence(ms(100)).await;
    line.speak(ms(400));
    assert_eq!(node.ended(call).await, HangupCause::AgentHungUp);
    assert_eq!(line.ended().await, EndedBy::Peer);
    let wanted = ToneVoice::new(ms(30)).length(goodbye) + ToneVoice::new(ms(30)).length("Hello there.");
    assert!(line.heard() + ms(80) >= wanted, "heard {:?} of {wanted:?}", line.heard());
    let names = node.event_names(call).await;
    assert_eq!(names[4..], ["spoke", "said", "heard", "tool_run", "turn_taken", "said", "ended"]);
    assert!(node.events(call).await.iter().any(said(goodbye)));
}

#[tokio::test]
async fn keys_are_noted_and_given_to_the_model() {
    let mut callee = Callee::start(Plan::answer()).await;
    let brain = ScriptedBrain::new().on("keys 1 2 #", [Reply::say("Thank you.")]);
    let node = NodeBuilder::to(&callee).brain(&brain).start().await;
    let call = node.call().await;
    let line = callee.line().await;
    node.wait_for(call, "the greeting", said("Hello there.")).await;
    line.press("12#");
    node.wait_for(call, "the answer", said("Thank you.")).await;
    let keys: String = node.events(call).await.iter().filter_map(key).collect();
    assert_eq!(keys, "12#");
}

fn key(event: &CallEvent) -> Option<char> {
    match event {
        CallEvent::KeyPressed { key } => Some(*key),
        _ => None,
    }
}

#[tokio::test]
async fn the_agent_presses_keys() {
    let mut callee = Callee::start(Plan::answer()).await;
    let brain = ScriptedBrain::new()
        .on("dial in", [Reply::default().tool("press", r#"{"digits": "42"}"#)])
        .on("pressed", [Reply::say("There.")]);
    let tool = Tool::SendKeys { name: "press".into(), description: "Presses keys.".into() };
    let node = NodeBuilder::to(&callee).brain(&brain).agent(|agent| agent.tools.push(tool)).start().await;
    let call = node.call().await;
    let mut line = callee.line().await;
    node.wait_for(call, "the greeting", said("Hello there.")).await;
    node.calls().hear(&node.account(), call, "dial in".into()).await.expect("taken");
    line.hears_keys("42").await;
    node.wait_for(call, "the answer", said("There.")).await;
    assert!(node.event_names(call).await.contains(&"tool_run"));
}

#[tokio::test]
async fn orders_are_spoken_and_a_polite_hang_up_waits_for_the_sentence() {
    let mut callee = Callee::start(Plan::answer()).await;
    let node = NodeBuilder::to(&callee).start().await;
    let (calls, account) = (node.calls(), node.account());
    let call = node.call().await;
    let mut line = callee.line().await;
    node.wait_for(call, "the greeting", said("Hello there.")).await;
    let silent = line.hears_silence(ms(60)).await;
    calls.say(&account, call, "By order of somebody.".into(), Speech::Interruptible).await.expect("taken");
    line.hears(silent).await;
    calls.hang_up(&account, call, HangUp::AfterSentence).await.expect("taken");
    assert_eq!(node.ended(call).await, HangupCause::ApiHungUp);
    assert!(node.events(call).await.iter().any(|event| matches!(event,
        CallEvent::Said { text, interrupted: false, by_order: true, .. } if text.expose() == "By order of somebody.")));
}

#[tokio::test]
async fn a_sound_is_played_to_the_callee_and_nothing_is_ordered_of_an_agent_that_says_goodbye() {
    let mut callee = Callee::start(Plan::answer()).await;
    let node = NodeBuilder::to(&callee).start().await;
    let (calls, account) = (node.calls(), node.account());
    let call = node.call().await;
    let mut line = callee.line().await;
    node.wait_for(call, "the greeting", said("Hello there.")).await;
    let silent = line.hears_silence(ms(60)).await;
    // Two seconds of a loud square wave, at another rate than the line's.
    let wave: Vec<i16> = (0..32_000).map(|at| if at / 20 % 2 == 0 { 12_000 } else { -12_000 }).collect();
    let words = Words::Sound(Sound::new(wave, 16_000));
    let saying = Saying { words, ..Saying::now(String::new(), Switch::Off) };
    calls.speak(&account, call, saying).await.expect("taken");
    line.hears(silent).await;
    calls.hang_up(&account, call, HangUp::AfterSentence).await.expect("taken");
    for more in nothing_more(&node, call).await {
        assert!(matches!(more, Err(OrderError::LastWords)), "{more:?}");
    }
    // The end itself may be ordered again; it may have come by itself by now.
    let again = calls.hang_up(&account, call, HangUp::Now).await;
    assert!(matches!(again, Ok(()) | Err(OrderError::Ended(_))), "{again:?}");
    assert_eq!(node.ended(call).await, HangupCause::ApiHungUp);
}

/// What an agent says to every order that it could not carry out any more.
async fn nothing_more(node: &Node, call: CallId) -> [Result<(), OrderError>; 4] {
    let (calls, account) = (node.calls(), node.account());
    let brief = AgentPatch { language: Some("de".into()), ..AgentPatch::default() };
    let changed = calls.change(&account, call, Amendment { patch: brief, ..Amendment::default() }).await;
    let to = Transfer::to(TransferTarget::parse("+15550199").expect("a target"));
    [
        calls.say(&account, call, "One more thing.".into(), Speech::Interruptible).await,
        calls.hear(&account, call, "Hello?".into()).await,
        calls.transfer(&account, call, to).await,
        changed.map_err(|error| match error {
            ChangeError::Order(why) => why,
            ChangeError::Template(_) | ChangeError::Unserved(_) => panic!("{error}"),
        }),
    ]
}

#[tokio::test]
async fn nothing_is_ordered_of_an_agent_whose_last_words_were_ordered() {
    let mut callee = Callee::start(Plan::answer()).await;
    let node = NodeBuilder::to(&callee).start().await;
    let (calls, account) = (node.calls(), node.account());
    let call = node.call().await;
    let _line = callee.line().await;
    node.wait_for(call, "the greeting", said("Hello there.")).await;
    let known = calls.reader().call(&account, call).await.expect("readable").expect("there").plan.agent;
    let long = "Goodbye, and thank you for your time. ".repeat(4);
    let saying = Saying { last: Switch::On, ..Saying::now(long, Switch::On) };
    calls.speak(&account, call, saying).await.expect("taken");
    for more in nothing_more(&node, call).await {
        assert!(matches!(more, Err(OrderError::LastWords)), "{more:?}");
    }
    let view = calls.reader().call(&account, call).await.expect("readable").expect("there");
    assert_eq!(view.plan.agent, known, "what is refused is not written, either");
    assert_eq!(node.ended(call).await, HangupCause::ApiHungUp);
}

#[tokio::test]
async fn sound_that_has_no_room_is_refused() {
    let mut callee = Callee::start(Plan::answer()).await;
    let node = NodeBuilder::to(&callee).start().await;
    let (calls, account) = (node.calls(), node.account());
    let call = node.call().await;
    let line = callee.line().await;
    node.wait_for(call, "the greeting", said("Hello there.")).await;
    let minute = || Words::Sound(Sound::new(vec![0; 8000 * 60], 8000));
    let saying = || Saying { words: minute(), ..Saying::next(String::new()) };
    for _ in 0..2 {
        calls.speak(&account, call, saying()).await.expect("two minutes have room");
    }
    let more = calls.speak(&account, call, saying()).await;
    assert!(matches!(more, Err(OrderError::NoRoom)), "{more:?}");
    let silent = Saying { place: Place::IfSilent, ..saying() };
    calls.speak(&account, call, silent).await.expect("it is dropped by its own rule: something is being said");
    line.hang_up();
    assert_eq!(node.ended(call).await, HangupCause::CalleeHungUp);
}

#[tokio::test]
async fn a_slow_model_is_covered_by_a_filler() {
    let mut callee = Callee::start(Plan::answer()).await;
    let ears = ScriptedEars::new(["what time is it"]);
    let brain = ScriptedBrain::new().on("time", [Reply::say("Noon.").after(ms(1200))]);
    let voice = ToneVoice::new(ms(20));
    let node = NodeBuilder::to(&callee).ears(&ears).brain(&brain).voice(&voice);
    let node = node.agent(|agent| {
        agent.filler.after_ms = 300;
        agent.filler.texts = vec![WeightedText { text: "Let me see.".into(), weight: 1.0 }];
    });
    let node = node.start().await;
    let call = node.call().await;
    let mut line = callee.line().await;
    node.wait_for(call, "the greeting", said("Hello there.")).await;
    line.hears_silence(ms(100)).await;
    line.speak(ms(400));
    node.wait_for(call, "the answer", said("Noon.")).await;
    assert_eq!(voice.spoken(), ["Hello there.", "Let me see.", "Noon."]);
}

#[tokio::test]
async fn the_recording_has_both_sides_in_time() {
    let mut callee = Callee::start(Plan::answer()).await;
    let ears = ScriptedEars::new(["on the record"]);
    let brain = ScriptedBrain::new().on("record", [Reply::say("Noted.")]);
    let node = NodeBuilder::to(&callee).ears(&ears).brain(&brain);
    let node = node.agent(|agent| agent.recording = Recording::Stereo).start().await;
    let began = Instant::now();
    let call = node.call().await;
    let mut line = callee.line().await;
    let agent_at = line.hears(began).await;
    node.wait_for(call, "the greeting", said("Hello there.")).await;
    line.hears_silence(ms(200)).await;
    let callee_at = Instant::now();
    line.speak(ms(500));
    node.wait_for(call, "the callee's words", heard("record")).await;
    line.hang_up();
    let kept = node.wait_for(call, "the recording", |event| matches!(event, CallEvent::RecordingKept { .. })).await;
    let CallEvent::RecordingKept { name, duration_ms } = kept.event else { panic!("a recording") };
    let mut bytes = Vec::new();
    node.calls().recording(&name).await.expect("kept").content.read_to_end(&mut bytes).expect("readable");
    let wav = Wav::parse(&bytes).expect("a WAV file");
    assert_eq!((wav.rate, wav.channels.len()), (8000, 2));
    assert!(difference(wav.length(), Duration::from_millis(duration_ms)) < ms(30), "{:?}", wav.length());
    let [of_callee, of_agent] = [0, 1].map(|channel| wav.first_loud(channel).expect("not silent"));
    let apart = callee_at.saturating_duration_since(agent_at);
    let recorded = of_callee.saturating_sub(of_agent);
    assert!(difference(apart, recorded) < ms(150), "{apart:?} apart, recorded {recorded:?} apart");
    let names = node.event_names(call).await;
    assert_eq!(names[names.len() - 2..], ["ended", "recording_kept"]);
}
