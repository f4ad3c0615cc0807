//! Alibaba's message chat over real sockets: tokens, what the owner says to a user, what a user writes and the agent answers.

use crate::support::{Answer, OTHER_AGENT, Server, Signed, server_that_tells};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use callwright_testkit::{AGENT, NodeBuilder, PATIENCE, Reply, ScriptedBrain};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};

const DOOR: &str = "/alibaba/chat/messages";
static NONCE: AtomicUsize = AtomicUsize::new(0);

/// Asks with these parameters, which need no encoding.
async fn ask(server: &Server, action: &'static str, parameters: &[(&str, &str)]) -> Answer {
    let mut query = parameters.to_vec();
    query.sort_unstable();
    let query: Vec<String> = query.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let nonce = format!("chat{}", NONCE.fetch_add(1, Ordering::Relaxed));
    Signed::new(action, query.join("&"), &nonce).send(server).await
}

async fn chatting(brain: &ScriptedBrain) -> Server {
    let builder = NodeBuilder::to_address(([127, 0, 0, 1], 9).into()).brain(brain);
    server_that_tells(builder.agent(|agent| agent.brain.system_prompt = String::from("Be kind."))).await
}

/// A token as its holder sends it.
async fn pass(server: &Server, more: &[(&str, &str)]) -> Value {
    let answer = ask(server, "GenerateMessageChatToken", &[&[("AIAgentId", AGENT)], more].concat()).await;
    assert_eq!(answer.status, 200, "{}", answer.json());
    answer.json()
}

async fn with(server: &Server, pass: &Value, method: &str, query: &str, body: &Value) -> Answer {
    let headers = format!("Authorization: Bearer {}\r\n", STANDARD.encode(pass.to_string()));
    let body = if body.is_null() { String::new() } else { body.to_string() };
    server.send(method, &format!("{DOOR}{query}"), &headers, body.as_bytes()).await
}

#[tokio::test]
async fn a_user_writes_and_the_agents_brain_answers() {
    let brain = ScriptedBrain::new().on("open", [Reply::say("At nine.")]).on("Sunday", [Reply::say("Never.")]);
    let server = chatting(&brain).await;
    let ann = pass(&server, &[("UserId", "ann"), ("Expire", "600")]).await;
    let members: Vec<&str> = ann.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(members, ["AppId", "AppSign", "Nonce", "RequestId", "Role", "TimeStamp", "Token", "UserId"]);
    assert_eq!((&ann["UserId"], &ann["TimeStamp"]), (&json!("ann"), &json!(1_795_228_167 + 600)));
    let said = [("AIAgentId", AGENT), ("ReceiverId", "ann"), ("SessionId", "order7")];
    let announced = [&said[..], &[("Text", "Welcome"), ("Type", "announcement")]].concat();
    assert_eq!(ask(&server, "SendMessageChatText", &announced).await.status, 200);
    // Far longer than an answer takes, and within the token's life.
    server.pass(10_000);
    let passing = [&said[..], &[("Text", "blink"), ("Type", "custom"), ("NeedArchiving", "False")]].concat();
    assert_eq!(ask(&server, "SendMessageChatText", &passing).await.status, 200);
    let first = with(&server, &ann, "POST", "", &json!({"SessionId": "order7", "Text": "When do you open?"})).await;
    assert_eq!(first.status, 200, "{}", first.json());
    let round = first.json()["Dialogues"].clone();
    let shape = |line: &Value| (line["Producer"].clone(), line["Type"].clone(), line["Text"].clone());
    assert_eq!(shape(&round[0]), (json!("user"), json!("normal"), json!("When do you open?")));
    assert_eq!(shape(&round[1]), (json!("agent"), json!("normal"), json!("At nine.")));
    assert_eq!(round[0]["RoundId"], round[1]["RoundId"]);
    assert_ne!(round[0]["DialogueId"], round[1]["DialogueId"]);
    assert_eq!((&round[0]["Source"], &round[0]["SessionId"]), (&json!("chat"), &json!("order7")));
    server.pass(30_000);
    with(&server, &ann, "POST", "", &json!({"SessionId": "order7", "Text": "Also on Sunday?"})).await;
    // The brain knew the prompt and everything of the history, and nothing that was only passing.
    let asked = brain.asked().pop().expect("asked");
    let told: Vec<&str> = asked.messages.iter().map(|message| message.content.as_str()).collect();
    assert_eq!(told, ["Be kind.", "Welcome", "When do you open?", "At nine.", "Also on Sunday?"]);
    assert!(asked.tools.is_empty());
    // The user reads all of it, page by page; another one nothing.
    let page = with(&server, &ann, "GET", "?Limit=4", &Value::Null).await.json();
    let texts = |page: &Value| -> Vec<String> {
        let lines = page["Dialogues"].as_array().unwrap_or_else(|| panic!("{page}")).iter();
        lines.map(|line| line["Text"].as_str().expect("a text").to_owned()).collect()
    };
    let next = page["Next"].as_str().expect("a place").to_owned();
    let rest = with(&server, &ann, "GET", &format!("?After={next}"), &Value::Null).await.json();
    let all = [texts(&page), texts(&rest)].concat();
    assert_eq!((texts(&page).len(), all.len()), (4, 6), "{all:?}");
    assert_eq!(
        (&all[0], &all[3..]),
        (&String::from("Welcome"), &["At nine.", "Also on Sunday?", "Never."].map(String::from)[..])
    );
    dialogues(&server).await;
    let bob = pass(&server, &[("UserId", "bob")]).await;
    assert_eq!(texts(&with(&server, &bob, "GET", "", &Value::Null).await.json()), Vec::<String>::new());
    assert_eq!(with(&server, &bob, "GET", "?UserId=ann", &Value::Null).await.code(), "Forbidden.RAM");
    let admin = pass(&server, &[("UserId", "boss"), ("Role", "admin")]).await;
    assert_eq!(
        texts(&with(&server, &admin, "GET", "?UserId=ann", &Value::Null).await.json()).len(),
        5,
        "one was deleted"
    );
}

/// The session's history has what was written, but for what was only passing; a line that is taken out is gone.
async fn dialogues(server: &Server) {
    let span = [("SessionId", "order7"), ("StartTime", "0"), ("EndTime", "9000000000000")];
    let list = async |more: &[(&'static str, &'static str)]| {
        let answer = ask(server, "ListAIAgentDialogues", &[&span[..], more].concat()).await;
        assert_eq!(answer.status, 200, "{}", answer.json());
        answer.json()["Dialogues"].as_array().expect("a list").clone()
    };
    let texts = |lines: &[Value]| lines.iter().map(|line| line["Text"].clone()).collect::<Vec<_>>();
    let expected = ["Welcome", "When do you open?", "At nine.", "Also on Sunday?", "Never."];
    let whole = list(&[("Order", "ASC")]).await;
    assert_eq!(texts(&whole), expected);
    assert_eq!((&whole[0]["Source"], &whole[0]["Type"]), (&json!("chat"), &json!("announcement")));
    assert_eq!(texts(&list(&[("RoundLimit", "1")]).await), ["Never.", "Also on Sunday?"]);
    assert_eq!(texts(&list(&[("PageSize", "2"), ("PageNumber", "2")]).await), ["At nine.", "When do you open?"]);
    let first = whole[0]["DialogueId"].as_str().expect("an id");
    let one = [("SessionId", "order7"), ("DialogueId", first)];
    assert_eq!(ask(server, "DeleteAIAgentDialogue", &[("SessionId", "other"), one[1]]).await.status, 404);
    assert_eq!(ask(server, "DeleteAIAgentDialogue", &one).await.status, 200);
    assert_eq!(texts(&list(&[("Order", "ASC")]).await), expected[1..]);
}

#[tokio::test]
async fn what_the_rules_take_out_is_not_kept() {
    let brain = ScriptedBrain::new().on("card", [Reply::say("Is it 4111 1111 1111 1111?")]);
    let server = chatting(&brain).await;
    let rules = json!({"redaction": {"status": "on"}});
    assert_eq!(server.native("PUT", "/v1/rules", &rules).await.status, 200);
    let ann = pass(&server, &[("UserId", "ann")]).await;
    let words = "My card is 4111 1111 1111 1111.";
    with(&server, &ann, "POST", "", &json!({"SessionId": "s", "Text": words})).await;
    assert_eq!(brain.asked().pop().expect("asked").messages.pop().expect("a question").content, words);
    let kept = with(&server, &ann, "GET", "", &Value::Null).await.json();
    // Ids are digits, too: those of the card come in fours.
    assert!(kept.to_string().contains("[card]") && !kept.to_string().contains("1111 1111"), "{kept}");
}

#[tokio::test]
async fn a_token_holds_for_its_user_and_time_and_key() {
    let server = chatting(&ScriptedBrain::new()).await;
    let ada = pass(&server, &[("UserId", "ada"), ("Expire", "60")]).await;
    let refused = async |pass: &Value| {
        let answer = with(&server, pass, "GET", "", &Value::Null).await;
        assert_eq!((answer.status, answer.code().as_str()), (403, "InvalidToken"), "{pass}");
    };
    assert_eq!(with(&server, &ada, "GET", "", &Value::Null).await.status, 200);
    for (name, value) in [
        ("UserId", json!("ann")),
        ("Role", json!("admin")),
        ("TimeStamp", json!(2_000_000_000)),
        ("Nonce", json!("")),
        ("AppId", json!(format!("{AGENT}.otheradmin"))),
        ("AppId", json!(format!("{OTHER_AGENT}.admin"))),
        ("AppId", json!(AGENT)),
        ("Token", json!("")),
    ] {
        let mut forged = ada.clone();
        forged[name] = value;
        refused(&forged).await;
    }
    // What ends one value cannot begin the next.
    let mut shifted = ada.clone();
    let nonce = ada["Nonce"].as_str().expect("a nonce");
    (shifted["UserId"], shifted["Nonce"]) = (json!("ad"), json!(format!("a{nonce}")));
    refused(&shifted).await;
    for headers in ["", "Authorization: Bearer\r\n", "Authorization: Bearer !\r\n", "Authorization: Bearer e30=\r\n"] {
        assert_eq!(server.send("GET", DOOR, headers, b"").await.code(), "InvalidToken", "{headers}");
    }
    server.pass(61_000);
    refused(&ada).await;
    server.pass(-61_000);
    assert_eq!(with(&server, &ada, "GET", "", &Value::Null).await.status, 200);
    let key = callwright_domain::KeyId::new("admin").expect("an id");
    server.node.store().delete_key(server.node.account(), key).await.expect("removed");
    refused(&ada).await;
}

#[tokio::test]
async fn mistakes_are_named_and_a_brain_that_fails_is_no_answer() {
    let brain = ScriptedBrain::new().on("silence", [Reply::say(" ")]);
    let server = chatting(&brain).await;
    for (action, good, cases) in [
        (
            "GenerateMessageChatToken",
            vec![("AIAgentId", AGENT), ("UserId", "ann")],
            vec![
                ("AIAgentId", "", "MissingAIAgentId"),
                ("AIAgentId", OTHER_AGENT, "AgentNotFound"),
                ("UserId", "", "MissingUserId"),
                ("UserId", "a-b", "InvalidParameter.UserId"),
                ("Expire", "soon", "InvalidParameter.Expire"),
                ("Expire", "604801", "InvalidParameter.Expire"),
                ("Role", "root", "InvalidParameter.Role"),
            ],
        ),
        (
            "SendMessageChatText",
            vec![("AIAgentId", AGENT), ("ReceiverId", "ann"), ("SessionId", "s"), ("Text", "x"), ("Type", "custom")],
            vec![
                ("AIAgentId", "", "MissingAIAgentId"),
                ("AIAgentId", OTHER_AGENT, "AgentNotFound"),
                ("ReceiverId", "", "MissingReceiverId"),
                ("ReceiverId", "a.b", "InvalidParameter.ReceiverId"),
                ("SessionId", "", "MissingSessionId"),
                ("Text", "", "MissingText"),
                ("Text", "%20", "InvalidParameter.Text"),
                ("Type", "", "MissingType"),
                ("Type", "normal", "InvalidParameter.Type"),
                ("Mode", "online", "InvalidParameter.Mode"),
                ("Mode", "x", "InvalidParameter.Mode"),
                ("NeedArchiving", "x", "InvalidParameter.NeedArchiving"),
            ],
        ),
    ] {
        for (name, value, code) in cases {
            let mut parameters: Vec<_> = good.iter().copied().filter(|(given, _)| *given != name).collect();
            parameters.push((name, value));
            assert_eq!(ask(&server, action, &parameters).await.code(), code, "{action}: {name}={value}");
        }
    }
    let ann = pass(&server, &[("UserId", "ann")]).await;
    for (body, status, code) in [
        (json!({"Text": "x"}), 400, "MissingSessionId"),
        (json!({"SessionId": "s"}), 400, "MissingText"),
        (json!({"SessionId": "a\nb", "Text": "x"}), 400, "InvalidParameter.SessionId"),
        (json!([]), 400, "InvalidParameter"),
        (json!({"SessionId": "s", "Text": "x"}), 503, "ServiceUnavailable"),
        (json!({"SessionId": "s", "Text": "silence"}), 503, "ServiceUnavailable"),
    ] {
        let answer = with(&server, &ann, "POST", "", &body).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{body}");
    }
    assert_eq!(with(&server, &ann, "GET", "?After=x", &Value::Null).await.code(), "InvalidParameter.After");
    assert_eq!(with(&server, &ann, "GET", "?Limit=0", &Value::Null).await.code(), "InvalidParameter.Limit");
    assert_eq!(with(&server, &ann, "PUT", "", &Value::Null).await.status, 405);
    let kept = with(&server, &ann, "GET", "", &Value::Null).await.json();
    assert_eq!(kept["Dialogues"].as_array().map(Vec::len), Some(2), "what was written stays: {kept}");
}

#[tokio::test]
async fn a_round_is_told_in_the_chat_form() {
    let brain = ScriptedBrain::new().on("open", [Reply::say("At nine.")]);
    let server = chatting(&brain).await;
    let mut receiver = crate::alibaba_notify::receiver().await;
    let settings = json!({"url": receiver.url, "agent": AGENT, "events": ["chat.message"]});
    assert_eq!(server.native("POST", "/v1/webhooks", &settings).await.status, 201);
    let ann = pass(&server, &[("UserId", "ann")]).await;
    with(&server, &ann, "POST", "", &json!({"SessionId": "order7", "Text": "When do you open?"})).await;
    let (_, told) = tokio::time::timeout(PATIENCE, receiver.got.recv()).await.expect("told in time").expect("told");
    assert_eq!((&told["type"], &told["data"]["thread"]), (&json!("chat.message"), &json!("order7")));
    assert_eq!(told["data"]["messages"][1]["text"], "At nine.");
    crate::alibaba_notify::set(&server, AGENT, &receiver.url).await;
    with(&server, &ann, "POST", "", &json!({"SessionId": "order7", "Text": "So you open?"})).await;
    let ours = |body: &Value| body["event"] == "chat_record";
    let (_, told) = receiver.until(ours).await.pop().expect("told");
    assert_eq!((&told["aiAgentId"], &told["instanceId"]), (&json!(AGENT), &json!("")));
    assert_eq!(
        (&told["data"]["code"], told["data"]["requestId"].as_str().map(str::len)),
        (&json!("Success"), Some(32))
    );
    let lines = told["data"]["dialogues"].as_array().expect("a list");
    let shape =
        |line: &Value| (line["producer"].clone(), line["source"].clone(), line["type"].clone(), line["text"].clone());
    assert_eq!(lines.len(), 2);
    assert_eq!(shape(&lines[0]), (json!("user"), json!("chat"), json!("normal"), json!("So you open?")));
    assert_eq!(shape(&lines[1]), (json!("agent"), json!("chat"), json!("normal"), json!("At nine.")));
    assert!(
        lines.iter().all(|line| line["time"].is_i64() && line["dialogueId"].is_string() && line["roundId"].is_string())
    );
}
