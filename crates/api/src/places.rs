//! For the dialects' tests: where each parameter of an operation stands. One that has an effect or is refused names the test
//! that shows it; the test must exist and speak of the parameter. What the page in `docs/` says must be the same.

use std::collections::BTreeSet;

/// Where a parameter stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// It has an effect, which this test shows.
    Effect(&'static str),
    /// It is refused by its name when it asks for something, which this test shows.
    Refused(&'static str),
    /// It is without effect with the vendor, too.
    Ignored,
}

/// An operation, the part of the page about it, and where its parameters stand.
pub(crate) struct Operation<'a> {
    /// What complaints call it.
    pub(crate) name: &'a str,
    /// Its parameters, as the vendor lists them.
    pub(crate) parameters: Vec<String>,
    /// Where each stands.
    pub(crate) places: Vec<(&'static str, Place)>,
    /// The rows of the page about it.
    pub(crate) page: &'a str,
}

/// Checks that every parameter stands in exactly one place, and that tests and page say the same. `sources` are the files
/// in which tests are looked for.
pub(crate) fn check(operation: &Operation<'_>, sources: &[&str]) {
    let Operation { name: about, parameters, places, page } = operation;
    let placed: Vec<&str> = places.iter().map(|(name, _)| *name).collect();
    let once: BTreeSet<&str> = placed.iter().copied().collect();
    assert_eq!(once.len(), placed.len(), "{about}: a parameter stands in two places");
    let listed: BTreeSet<&str> = parameters.iter().map(String::as_str).collect();
    assert_eq!(once, listed, "{about}: the places and the vendor's parameters differ");
    for (name, place) in places {
        let row = page.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
        let state = row.and_then(|row| row.split('|').nth(2)).unwrap_or_else(|| panic!("{about}: {name} has no row"));
        let (test, states) = match place {
            Place::Effect(test) => (Some(test), &["*works*", "*accepted, differs*"][..]),
            Place::Refused(test) => (Some(test), &["*refused*"][..]),
            Place::Ignored => (None, &["*ignored by the vendor too*"][..]),
        };
        assert!(states.contains(&state.trim()), "{about}: the page says of {name}: {state}");
        if let Some(test) = test {
            let found = sources.iter().filter(|source| is_test(source, test)).any(|source| speaks_of(source, name));
            assert!(found, "{about}: there is no test {test} that speaks of {name}");
        }
    }
}

/// Whether a file holds a test of this name.
fn is_test(source: &str, test: &str) -> bool {
    let mut attributed = false;
    for line in source.lines() {
        if line.contains(&format!("fn {test}(")) {
            return attributed;
        }
        let line = line.trim_start();
        attributed = line.starts_with("#[test]") || line.starts_with("#[tokio::test");
    }
    false
}

/// Whether a file names a member, as Rust or within JSON.
fn speaks_of(source: &str, name: &str) -> bool {
    source.contains(&format!("\"{name}\""))
}

#[test]
fn tests_are_found_by_their_attribute() {
    let source = "#[test]\nfn shown() {\n    let _ = \"Name\";\n}\nfn hidden() {}\n";
    assert!(is_test(source, "shown") && speaks_of(source, "Name"));
    assert!(!is_test(source, "hidden") && !is_test(source, "absent") && !speaks_of(source, "Nam"));
}
