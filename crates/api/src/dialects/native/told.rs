//! Events as the native dialect tells them: a type, a time, and the call as it stood then. Signed by Standard Webhooks.
//! Never sends.

use super::calls::{summary, timeline_line, transcript_line};
use crate::callbacks::{Callback, any_success, signature};
use crate::dialects::timestamp;
use callwright_domain::transcript::of_journal;
use callwright_domain::{Pii, Topic};
use callwright_engine::{CallNews, Subject, Telling};
use serde_json::{Value, json};

/// The request that tells an event.
pub(super) fn callback(telling: &Telling) -> Callback {
    let body = body(&telling.subject).to_string().into_bytes();
    let mut headers = vec![("content-type", Pii::new(String::from("application/json")))];
    headers.extend(signature::headers(&telling.id, telling.now, &body, &telling.webhook.endpoint.secrets));
    Callback { url: telling.webhook.endpoint.url.clone(), headers, body, heard: any_success }
}

fn body(subject: &Subject) -> Value {
    match subject {
        Subject::Call(news) => json!({
            "type": Topic::of(&news.recorded.event).word(),
            "timestamp": timestamp(news.recorded.at),
            "data": call_data(news),
        }),
        Subject::Account { topic, at, body, .. } => {
            json!({"type": topic.word(), "timestamp": timestamp(*at), "data": body})
        }
    }
}

fn call_data(news: &CallNews) -> Value {
    let mut call = summary(&news.view);
    if !news.journal.is_empty() {
        call["transcript"] = of_journal(&news.journal).iter().map(transcript_line).collect();
    }
    json!({"call": call, "event": timeline_line(&news.recorded)})
}
