//! `[dialects.NAME]`: listeners and host names of single dialects. Says what is wrong with them, and nothing else.

use callwright_api::dialect_names;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// Longest name of a host (RFC 1035).
const MAX_HOST: usize = 253;

/// `[dialects.NAME]`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Door {
    /// Address of a listener behind which this dialect alone is served; none: it has no listener of its own.
    pub(crate) listen: Option<SocketAddr>,
    /// Names of this server under which this dialect alone is served, without ports.
    pub(crate) hosts: Vec<String>,
}

/// The host names of all dialects, each with its dialect.
pub(crate) fn hosts(doors: &BTreeMap<String, Door>) -> BTreeMap<String, String> {
    let names = |(dialect, door): (&String, &Door)| {
        door.hosts.iter().map(|host| (host.to_ascii_lowercase(), dialect.clone())).collect::<Vec<_>>()
    };
    doors.iter().flat_map(names).collect()
}

/// What is wrong, one line each. `main` is the listener of all dialects.
pub(super) fn complaints(doors: &BTreeMap<String, Door>, main: SocketAddr, found: &mut Vec<String>) {
    let mut listeners = BTreeMap::from([(main, String::from("http.listen"))]);
    let mut names: BTreeMap<String, &String> = BTreeMap::new();
    for (dialect, door) in doors {
        if !dialect_names().contains(&dialect.as_str()) {
            let known = dialect_names().join(", ");
            found.push(format!("`dialects.{dialect}`: there is no such dialect; known are {known}"));
        }
        if door.listen.is_none() && door.hosts.is_empty() {
            found.push(format!("`dialects.{dialect}` opens nothing: give `listen`, `hosts`, or both"));
        }
        if let Some(listen) = door.listen.filter(|listen| listen.port() != 0) {
            let key = format!("dialects.{dialect}.listen");
            if let Some(other) = listeners.insert(listen, key.clone()) {
                found.push(format!("`{key}`: {listen} is `{other}`, too; choose another port"));
            }
        }
        for host in &door.hosts {
            if !is_host(host) {
                found.push(format!(
                    "`dialects.{dialect}.hosts`: {host:?} is no host name; write it without scheme and port"
                ));
            }
            if let Some(other) = names.insert(host.to_ascii_lowercase(), dialect) {
                let host = host.to_ascii_lowercase();
                found.push(format!(
                    "`dialects.{dialect}.hosts`: {host} is named twice, also by `{other}`; a name has one dialect"
                ));
            }
        }
    }
}

fn is_host(host: &str) -> bool {
    let label = |label: &str| {
        let plain = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        !label.is_empty() && label.len() <= 63 && plain
    };
    host.len() <= MAX_HOST && host.split('.').all(label)
}
