//! The only reader of configuration files and the environment: one TOML file, `CALLWRIGHT__SECTION__KEY` over it, and
//! `${NAME}` or `${file:PATH}` inside any text. Unknown keys are errors; every complaint names file, key and remedy.

mod doors;
mod expand;
mod recordings;
mod settings;
mod webrtc;

pub(crate) use doors::hosts;
pub(crate) use settings::{LogFormat, Settings, main_account};

use anyhow::{Context, Result, bail};
use figment::Figment;
use figment::providers::{Env, Serialized};
use std::path::{Path, PathBuf};

/// Environment variables of this prefix lie over the file; two underscores separate section and key.
const ENVIRONMENT: &str = "CALLWRIGHT__";
/// Read when `--config` is not given and the file is there.
pub(crate) const DEFAULT_FILE: &str = "callwright.toml";

/// Reads and validates the configuration.
pub(crate) fn load(file: Option<&Path>) -> Result<Settings> {
    let (name, text) = read(file)?;
    let mut tree: toml::Table =
        text.parse().map_err(|error: toml::de::Error| anyhow::anyhow!("{name}: {}", error.to_string().trim_end()))?;
    expand::expand(&mut tree).with_context(|| name.clone())?;
    let merged = Figment::from(Serialized::defaults(tree)).merge(Env::prefixed(ENVIRONMENT).split("__"));
    let settings: Settings = merged.extract().map_err(|errors| anyhow::anyhow!(explain(&name, errors)))?;
    let complaints = settings.complaints();
    if !complaints.is_empty() {
        bail!("{name}: {}", complaints.join("\n  "));
    }
    Ok(settings)
}

fn read(file: Option<&Path>) -> Result<(String, String)> {
    let path = match file {
        Some(path) => path.to_path_buf(),
        None if Path::new(DEFAULT_FILE).exists() => PathBuf::from(DEFAULT_FILE),
        None => return Ok((String::from("built-in defaults"), String::new())),
    };
    let name = path.display().to_string();
    let text = std::fs::read_to_string(&path).with_context(|| {
        format!("the configuration {name} cannot be read; `callwright print-config` shows a whole one")
    })?;
    Ok((name, text))
}

/// One line a mistake: where it came from, which key, what is wrong, and what would be right.
fn explain(file: &str, errors: figment::Error) -> String {
    let lines: Vec<String> = errors
        .into_iter()
        .map(|error| {
            let key = error.path.join(".");
            let from_environment = error.metadata.as_ref().is_some_and(|source| source.name.contains("environment"));
            let place = if from_environment { "environment" } else { file };
            let at = if key.is_empty() { String::new() } else { format!(" at `{key}`") };
            format!("{place}{at}: {}", error.kind)
        })
        .collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<Settings> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("callwright.toml");
        std::fs::write(&file, text)?;
        load(Some(&file))
    }

    fn complaint(text: &str) -> String {
        format!("{:#}", check(text).expect_err("must be refused"))
    }

    #[test]
    fn nothing_is_a_valid_configuration() {
        assert!(check("").is_ok());
    }

    #[test]
    fn mistakes_name_file_key_and_remedy() {
        for (text, parts) in [
            ("[http]\nport = 1", &["callwright.toml", "http", "port", "listen"][..]),
            ("[http]\nlisten = \"localhost\"", &["http.listen", "socket address"]),
            ("[sip\n", &["callwright.toml", "line 1"]),
            ("[media]\nports = \"9-3\"", &["media.ports"]),
            (
                "[keys.a]\nsecret = \"${CALLWRIGHT_NOT_SET_ANYWHERE}\"",
                &["keys.a.secret", "CALLWRIGHT_NOT_SET_ANYWHERE"],
            ),
            ("[keys.a]\nsecret = \"${file:/does/not/exist}\"", &["keys.a.secret", "/does/not/exist"]),
            ("[keys.a]\nsecret = \"x\"\nscopes = [\"fly\"]", &["keys.a.scopes", "fly", "calls_write"]),
            ("[numbers.\"+15550100\"]\ntrunk = \"t1\"", &["numbers", "t1", "[trunks.t1]"]),
            ("[trunks.a]\nhost = \"h\"\nregister = \"on\"", &["trunks.a.register", "username"]),
            ("[trunks.a]\nhost = \"h\"\ncps = 1001", &["trunks.a.cps", "1000"]),
            ("[numbers.\"+15550100\"]\nmax_calls = 1", &["numbers", "trunk"]),
            ("[trunks.a]\nhost = \"h\"\n[numbers.\"+15550100\"]\ntrunks = [\"a\", \"a\"]", &["numbers", "once"]),
            ("[server]\ndrain = \"x\"", &["server", "drain"]),
            ("[recordings]\nseal_with = \"a\"", &["recordings", "\"a\""]),
            ("[recordings.keys.a]\nsecret = \"short\"", &["recordings", "openssl rand"]),
            ("[recordings.s3]\nbucket = \"b\"", &["recordings.s3.access_key", "recordings.s3.secret_key"]),
            ("[recordings.s3]\nendpoint = \"http://s3\"", &["recordings.s3.endpoint", "plain_http"]),
            ("[recordings.s3]\nprefix = \"/calls\"", &["recordings.s3.prefix", "slash"]),
            ("[recordings.s3]\naddressing = \"dns\"", &["recordings", "addressing", "host"]),
            ("[recordings.s3]\nkey = \"a\"", &["recordings", "key", "access_key"]),
            ("[recordings]\nkey = \"a\"", &["recordings", "key", "seal_with"]),
            ("[webrtc]\nannounce = [\"192.0.2.7\"]", &["webrtc.announce", "webrtc.listen"]),
            ("[webrtc]\nlisten = \"[::]:0\"\nannounce = [\"0.0.0.0\"]", &["webrtc.announce", "0.0.0.0"]),
            ("[dialects.acme]\nlisten = \"127.0.0.1:0\"", &["dialects.acme", "alibaba, tencent, happyrobot, native"]),
            ("[dialects.tencent]\n", &["dialects.tencent", "listen", "hosts"]),
            ("[dialects.tencent]\nport = 1", &["dialects.tencent.port", "listen"]),
            ("[dialects.tencent]\nlisten = \"127.0.0.1:8080\"", &["dialects.tencent.listen", "http.listen"]),
            ("[dialects.tencent]\nhosts = [\"https://a.test\"]", &["dialects.tencent.hosts", "https://a.test", "port"]),
            ("[dialects.tencent]\nhosts = [\"a.test:80\"]", &["dialects.tencent.hosts", "a.test:80"]),
            (
                "[dialects.tencent]\nhosts = [\"a.test\"]\n[dialects.alibaba]\nhosts = [\"A.test\"]",
                &["dialects.tencent.hosts", "alibaba", "a.test"],
            ),
            ("[webrtc]\nlisten = \"3478\"", &["webrtc.listen", "socket address"]),
        ] {
            let said = complaint(text);
            for part in parts {
                assert!(said.contains(part), "{text:?} gave {said:?}, which lacks {part:?}");
            }
        }
    }

    #[test]
    fn secrets_never_print() {
        let sealing =
            format!("[recordings.keys.b]\nsecret = \"{}\"\n", "hunter2".repeat(10).get(..64).unwrap_or_default());
        assert!(!complaint(&sealing).contains("hunter2"));
        let s3 = "[recordings.s3]\nbucket = \"b\"\naccess_key = \"hunter2\"\nsecret_key = \"hunter2\"";
        assert!(!format!("{:?}", check(s3).expect("valid")).contains("hunter2"));
        let settings = check("[keys.a]\nsecret = \"hunter2\"").expect("valid");
        assert!(!format!("{settings:?}").contains("hunter2"));
        assert!(!settings.printed().expect("prints").contains("hunter2"));
    }
}
