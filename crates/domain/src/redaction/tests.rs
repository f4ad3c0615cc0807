use super::*;
use serde::Deserialize;

fn on() -> Redaction {
    Redaction { status: Switch::On, except: Vec::new() }
}

#[derive(Deserialize)]
struct Case {
    name: String,
    text: String,
    must_not_appear: Vec<String>,
    #[serde(default)]
    must_stay: bool,
}

/// The set `pii/redaction` of the shared vectors.
#[test]
fn the_vectors_hold() {
    let lines = include_str!("../../tests/fixtures/redaction.jsonl").lines();
    let cases: Vec<Case> = lines.map(|line| serde_json::from_str(line).expect("a case")).collect();
    assert_eq!(cases.len(), 14);
    for case in cases {
        let kept = on().text(&case.text);
        for secret in &case.must_not_appear {
            assert!(!kept.contains(secret), "{}: {kept}", case.name);
        }
        assert_eq!(kept == case.text, case.must_stay, "{}: {kept}", case.name);
        assert_eq!(Redaction::default().text(&case.text), case.text, "{}: off", case.name);
    }
}

#[test]
fn what_is_said_is_taken_out() {
    for (text, kept) in [
        ("my card is four one one one, one one one one, one one one one, one one one one", "my card is [card]"),
        ("it's forty-one eleven eleven eleven eleven eleven eleven eleven", "it's [card]"),
        ("4111 1111 1111 1111 12/29 123", "[card]"),
        ("card 4111111111111111 expires 12/29, cvv 123.", "card [card] expires [expiry], cvv [security code]."),
        ("the security code is one two three", "the security code is [security code]"),
        ("four one one one", "[digits]"),
        ("and then 1111.", "and then [digits]."),
        ("卡号是四一一一一一一一一一一一一一一一", "卡号是[card]"),
        ("我的手机是一三八零零一三八零零零", "我的手机是[phone]"),
        ("我的手机号13800138000谢谢", "我的手机号[phone]谢谢"),
        ("身份证 110105194912310020", "身份证 [id number]"),
        ("验证码是 482913", "验证码是 [code]"),
        ("you can call me at 555 0123 99", "you can call me at [phone]"),
        ("(415) 555-0132 is mine", "([phone] is mine"),
        ("plus one four one five five five five oh one three two", "plus [phone]"),
        ("five five five oh one three two double eight", "[digits]"),
        ("my pin is 4821", "my pin is [code]"),
        ("john dot doe at example dot co dot uk please", "[email] please"),
        ("the password is hunter2, I think", "the password is [secret], I think"),
        ("mañana@ejemplo.es y más", "[email] y más"),
        ("token: abc, next", "token: [secret], next"),
    ] {
        assert_eq!(on().text(text), kept, "{text}");
    }
}

#[test]
fn other_numbers_stay() {
    for text in [
        "I want two large and one small",
        "at ten thirty on the twenty-first",
        "the total is 1,234,567.89 dollars",
        "in 2026 we sold 1500 of 12000",
        "tracking number 1Z999AA10123456784",
        "order two zero two four one one zero five",
        "order 4111111111111112",
        "version 10.20.30.40",
        "call on 2026-11-21",
        "press 1 or 2",
        "meet me at noon",
        "一共三百二十五元",
        "bearer of good news",
        "1.2.3",
        "a@b",
        "",
    ] {
        assert_eq!(on().text(text), text);
    }
}

/// What was said and what was not are kept apart, and could be put together.
#[test]
fn a_number_that_was_cut_in_two_is_not_kept_whole() {
    let kept = |text: &str, rest: &str| {
        let pii = |text: &str| Pii::new(String::from(text));
        let (text, unsaid) = (pii(text), Some(pii(rest)));
        match on().event(CallEvent::Said { text, interrupted: true, by_order: false, span: None, unsaid }) {
            CallEvent::Said { unsaid, .. } => unsaid.map(Pii::into_exposed),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(kept("Your card 4111 1111", "1111 1111 is charged."), None);
    assert_eq!(kept("Your card is", "4111 1111 1111 1111, is it?").as_deref(), Some("[card], is it?"));
    assert_eq!(kept("We have pizza,", "pasta and salad.").as_deref(), Some("pasta and salad."));
}

#[test]
fn events_are_written_without_personal_data() {
    let card = || Pii::new(String::from("it is 4111 1111 1111 1111"));
    let events = [
        CallEvent::Heard { text: card(), span: None },
        CallEvent::Said { text: card(), interrupted: true, by_order: false, span: None, unsaid: Some(card()) },
        CallEvent::ToolRun {
            name: String::from("pay"),
            arguments: Pii::new(String::from(
                r#"{"card":4111111111111111,"cvv":"123","amount":250,"to":["a@b.example"]}"#,
            )),
            result: card(),
        },
        CallEvent::Trouble { part: String::from("brain"), detail: card().into_exposed() },
        CallEvent::KeyPressed { key: '4' },
    ];
    for event in events {
        let kept = serde_json::to_string(&on().event(event.clone())).expect("JSON");
        assert!(!kept.contains("4111") && !kept.contains("\"4\"") && !kept.contains("123"), "{kept}");
        assert_eq!(Redaction::default().event(event.clone()), event);
    }
    let arguments = Pii::new(String::from(r#"{"card":4111111111111111,"amount":250}"#));
    let kept = on().document(&arguments);
    assert_eq!(
        serde_json::from_str::<Value>(kept.expose()).ok(),
        Some(serde_json::json!({"card": "[card]", "amount": 250}))
    );
}

#[test]
fn what_is_excepted_stays() {
    let rule: Redaction = serde_json::from_str(r#"{"status":"on","except":["phone","keys"]}"#).expect("a rule");
    assert_eq!(rule.text("call +8613800138000 or a@b.example"), "call +8613800138000 or [email]");
    assert_eq!(rule.event(CallEvent::KeyPressed { key: '1' }), CallEvent::KeyPressed { key: '1' });
    assert!(serde_json::from_str::<Redaction>(r#"{"except":["shoe_size"]}"#).is_err());
}

proptest::proptest! {
    /// Any text is taken, and what is left is text; a card among anything is taken out.
    #[test]
    fn nothing_panics(before in "\\PC{0,40}", after in "\\PC{0,40}") {
        let kept = on().text(&format!("{before}; 4111-1111-1111-1111; {after}"));
        proptest::prop_assert!(!kept.contains("4111-1111-1111-1111"), "{}", kept);
        drop(on().text(&format!("{before}@{after}://{before}:{after}@x password={after}")));
    }
}
