//! Channel tokens: who may join what, until when. The form is Alibaba's, so that code which makes its own finds them accepted:
//! base64 of a JSON object with six members, signed with an account's application key. A token is bound to its channel and
//! its user; whether there is anything to join is for the call to say.

use crate::sign;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use callwright_domain::{ChannelName, Moment};
use callwright_store::ChannelApp;
use serde::{Deserialize, Serialize};

/// Longest token that is looked at, in bytes; two names of 64 characters and a digest have half of it.
const LONGEST: usize = 1024;
/// Longest of its texts, in bytes.
const LONGEST_PART: usize = 128;

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pass {
    /// Whose application signed it.
    pub(crate) app: String,
    /// Where it lets somebody in.
    pub(crate) channel: ChannelName,
    /// Whom.
    pub(crate) user: ChannelName,
    /// What makes it one of its kind; often empty.
    pub(crate) nonce: String,
    /// When it ends, in seconds since 1970.
    pub(crate) expires_s: i64,
    signature: String,
}

/// A token's members, as they are spelled.
#[derive(Serialize, Deserialize)]
struct Spelled {
    appid: String,
    channelid: String,
    userid: String,
    nonce: String,
    timestamp: i64,
    token: String,
}

/// Why a token lets nobody in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadToken {
    /// It is not of the form, or not signed with the application's key.
    #[error("the token is not valid")]
    Invalid,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
}

impl Pass {
    /// A pass of an application that ends at `expires_s`.
    pub(crate) fn issue(
        app: &ChannelApp,
        channel: &ChannelName,
        user: &ChannelName,
        (nonce, expires_s): (String, i64),
    ) -> Self {
        let mut pass = Self {
            app: app.id.clone(),
            channel: channel.clone(),
            user: user.clone(),
            nonce,
            expires_s,
            signature: String::new(),
        };
        pass.signature = pass.signed_with(app);
        pass
    }

    /// The pass that a token spells. Nothing is known of its signature yet.
    pub(crate) fn read(token: &str) -> Result<Self, BadToken> {
        if token.len() > LONGEST {
            return Err(BadToken::Invalid);
        }
        let bytes = STANDARD.decode(token).map_err(|_| BadToken::Invalid)?;
        let spelled: Spelled = serde_json::from_slice(&bytes).map_err(|_| BadToken::Invalid)?;
        if spelled.appid.len() > LONGEST_PART || spelled.nonce.len() > LONGEST_PART {
            return Err(BadToken::Invalid);
        }
        let name = |text: String| ChannelName::new(text).map_err(|_| BadToken::Invalid);
        Ok(Self {
            app: spelled.appid,
            channel: name(spelled.channelid)?,
            user: name(spelled.userid)?,
            nonce: spelled.nonce,
            expires_s: spelled.timestamp,
            signature: spelled.token,
        })
    }

    /// Whether the application signed it. Its time may be over.
    pub(crate) fn is_of(&self, app: &ChannelApp) -> bool {
        self.app == app.id && sign::same(&self.signed_with(app), &self.signature)
    }

    /// Whether it lets somebody in now: no leeway, its maker and its judge have one clock.
    pub(crate) fn check(&self, app: &ChannelApp, now: Moment) -> Result<(), BadToken> {
        if !self.is_of(app) {
            return Err(BadToken::Invalid);
        }
        let ends = Moment(self.expires_s.saturating_mul(1000));
        if now < ends { Ok(()) } else { Err(BadToken::Expired) }
    }

    /// The token.
    pub(crate) fn spelled(&self) -> String {
        let spelled = Spelled {
            appid: self.app.clone(),
            channelid: self.channel.to_string(),
            userid: self.user.to_string(),
            nonce: self.nonce.clone(),
            timestamp: self.expires_s,
            token: self.signature.clone(),
        };
        // Texts and a number: it cannot fail.
        STANDARD.encode(serde_json::to_vec(&spelled).unwrap_or_default())
    }

    fn signed_with(&self, app: &ChannelApp) -> String {
        let (key, channel, user) = (app.key.expose(), &self.channel, &self.user);
        sign::sha256_hex(format!("{}{key}{channel}{user}{}{}", self.app, self.nonce, self.expires_s).as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use callwright_domain::{AccountId, Pii};
    use serde_json::{Value, json};

    fn app(id: &str, key: &str) -> ChannelApp {
        let account = AccountId::new("acme").expect("an id");
        ChannelApp { id: id.to_owned(), account, key: Pii::new(key.to_owned()) }
    }

    fn name(text: &str) -> ChannelName {
        ChannelName::new(text).expect("a name")
    }

    fn issued() -> Pass {
        Pass::issue(&app("abc", "abckey"), &name("abcChannel"), &name("abcUser"), (String::new(), 1_699_423_634))
    }

    #[test]
    fn the_vendors_published_token_is_made_and_accepted() {
        let token = issued().spelled();
        let members: Value = serde_json::from_slice(&STANDARD.decode(&token).expect("base64")).expect("JSON");
        let signature = "3c9ee8d9f8734f0b7560ed8022a0590659113955819724fc9345ab8eedf84f31";
        let wanted = json!({"appid": "abc", "channelid": "abcChannel", "userid": "abcUser", "nonce": "",
            "timestamp": 1_699_423_634, "token": signature});
        assert_eq!(members, wanted);
        let pass = Pass::read(&token).expect("its own");
        assert_eq!(pass, issued());
        assert_eq!(pass.check(&app("abc", "abckey"), Moment(1_699_423_633_999)), Ok(()));
    }

    #[test]
    fn what_is_changed_or_late_lets_nobody_in() {
        let now = Moment(1_699_423_000_000);
        let key = app("abc", "abckey");
        let judged = |change: &dyn Fn(&mut Pass)| {
            let mut pass = issued();
            change(&mut pass);
            pass.check(&key, now)
        };
        assert_eq!(judged(&|_| {}), Ok(()));
        let changes: [&dyn Fn(&mut Pass); 6] = [
            &|pass| pass.channel = name("abcChanne"),
            &|pass| pass.user = name("other"),
            &|pass| pass.nonce = String::from("1"),
            &|pass| pass.expires_s += 1,
            &|pass| pass.app = String::from("ab"),
            &|pass| pass.signature.clear(),
        ];
        for change in changes {
            assert_eq!(judged(change), Err(BadToken::Invalid));
        }
        assert_eq!(issued().check(&app("abc", "other"), now), Err(BadToken::Invalid));
        for late in [0, 1000, 4000] {
            assert_eq!(issued().check(&key, Moment(1_699_423_634_000 + late)), Err(BadToken::Expired));
        }
    }

    #[test]
    fn what_is_no_token_is_told_so() {
        let with = |change: &dyn Fn(&mut Value)| {
            let mut members: Value =
                serde_json::from_slice(&STANDARD.decode(issued().spelled()).expect("base64")).expect("JSON");
            change(&mut members);
            Pass::read(&STANDARD.encode(members.to_string()))
        };
        assert!(with(&|_| {}).is_ok());
        let changes: [&dyn Fn(&mut Value); 5] = [
            &|members| members["userid"] = json!("a b"),
            &|members| members["channelid"] = json!(""),
            &|members| members["timestamp"] = json!("soon"),
            &|members| members["nonce"] = json!("n".repeat(129)),
            &|members| drop(members.as_object_mut().map(|members| members.remove("token"))),
        ];
        for change in changes {
            assert_eq!(with(change), Err(BadToken::Invalid));
        }
        // A JSON Web Token without a signature, nothing, half a token, too much.
        let unsigned = format!("{}.{}.", STANDARD.encode(r#"{"alg":"none"}"#), STANDARD.encode("{}"));
        let half = issued().spelled()[..40].to_owned();
        for text in [unsigned, String::new(), half, "A".repeat(2000)] {
            assert_eq!(Pass::read(&text), Err(BadToken::Invalid), "{text}");
        }
    }
}
