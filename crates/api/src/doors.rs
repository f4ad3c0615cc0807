//! Doors of single dialects: a listener or a host name behind which one dialect alone is served, so that a vendor's clients
//! meet nothing but what their vendor has. Everything else there is an unknown operation in that dialect's words.

use crate::dialects::{self, Dialect};
use crate::http::Request;
use crate::join;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Which dialect is behind which door.
#[derive(Clone, Default)]
pub(crate) struct Doors {
    /// Of the listener; none: it is everybody's.
    own: Option<&'static dyn Dialect>,
    /// By host name, in lower case and without a port.
    hosts: Arc<BTreeMap<String, &'static dyn Dialect>>,
}

/// Who answers a request.
pub(crate) struct Entrance {
    /// The dialect whose words the answer has.
    pub(crate) dialect: &'static dyn Dialect,
    /// Whether it is for what is behind this door at all.
    pub(crate) guest: Guest,
}

/// Whether a request is for what is behind its door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guest {
    /// It is.
    Expected,
    /// It is for somebody else.
    Stranger,
}

impl Doors {
    /// The same for a listener of this dialect's own; `None` when there is no such dialect.
    pub(crate) fn of_dialect(&self, name: &str) -> Option<Self> {
        Some(Self { own: Some(dialects::named(name)?), hosts: Arc::clone(&self.hosts) })
    }

    /// The same with names that are each a dialect's own; names of dialects that do not exist lead nowhere.
    pub(crate) fn with_hosts(&self, hosts: &BTreeMap<String, String>) -> Self {
        let found = |(host, name): (&String, &String)| Some((host.to_ascii_lowercase(), dialects::named(name)?));
        Self { own: self.own, hosts: Arc::new(hosts.iter().filter_map(found).collect()) }
    }

    /// Where a request has come to.
    pub(crate) fn entrance(&self, request: &Request) -> Entrance {
        let named = || {
            let host = request.header("host")?;
            self.hosts.get(&bare(host)).copied()
        };
        let Some(dialect) = self.own.or_else(named) else {
            return Entrance { dialect: dialects::of(request), guest: Guest::Expected };
        };
        let expected = dialect.claims(request)
            || (dialect.serves_root() && request.path == "/" && dialects::is_nobodys(request))
            || (dialect.meets_browsers() && join::claims(request));
        Entrance { dialect, guest: if expected { Guest::Expected } else { Guest::Stranger } }
    }
}

/// A host as names are compared: without its port and the dot of its root, in lower case.
fn bare(host: &str) -> String {
    let host = host.trim();
    let name = match host.rsplit_once(':') {
        // An IPv6 address has colons of its own, within brackets.
        Some((name, port)) if !port.contains(']') => name,
        _ => host,
    };
    name.trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::bare;

    #[test]
    fn names_are_compared_without_port_case_and_root() {
        for (host, wanted) in [
            ("Calls.Example.com", "calls.example.com"),
            (" calls.example.com.:8443", "calls.example.com"),
            ("[2001:DB8::1]:8080", "[2001:db8::1]"),
            ("[2001:db8::1]", "[2001:db8::1]"),
            ("", ""),
        ] {
            assert_eq!(bare(host), wanted);
        }
    }
}
