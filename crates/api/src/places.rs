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
    /// It is read and has no effect here, and the page says so.
    NoEffect,
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
    let mut silent = Vec::new();
    for (name, place) in places {
        let row = row_of(page, name, *place).unwrap_or_else(|| panic!("{about}: {name} has no row"));
        let state = row.split('|').nth(2).unwrap_or_default();
        let (test, states) = match place {
            Place::Effect(test) => (Some(test), &["*works*", "*accepted, differs*"][..]),
            Place::Refused(test) => (Some(test), &["*refused*"][..]),
            Place::Ignored => (None, &["*ignored by the vendor too*"][..]),
            Place::NoEffect => (None, &["*accepted, differs*"][..]),
        };
        assert!(states.contains(&state.trim()), "{about}: the page says of {name}: {state}");
        if let Some(test) = test {
            let found = sources.iter().filter_map(|source| body_of(source, test)).any(|body| speaks_of(body, name));
            if !found {
                silent.push(format!("{test} does not speak of {name}"));
            }
        } else if *place == Place::NoEffect {
            assert!(row.to_lowercase().contains("no effect"), "{about}: the page does not say that {name} has none");
        }
    }
    assert!(silent.is_empty(), "{about}: of the tests that are named, {silent:#?}");
}

/// The row of the page about a member: the one that names it, or for one without effect the one of the whole that it is part of.
fn row_of<'a>(page: &'a str, name: &str, place: Place) -> Option<&'a str> {
    let names = |row: &str, name: &str| {
        let first = row.strip_prefix("| ").and_then(|row| row.split(" | ").next()).unwrap_or_default();
        first.split('`').skip(1).step_by(2).any(|named| named == name)
    };
    let own = page.lines().find(|row| names(row, name));
    match name.rsplit_once('.') {
        Some((whole, _)) if own.is_none() && place == Place::NoEffect => row_of(page, whole, place),
        _ => own,
    }
}

/// What a test of this name does, when the file holds one.
fn body_of<'a>(source: &'a str, test: &str) -> Option<&'a str> {
    let mut attributed = false;
    let mut at = 0;
    for line in source.lines() {
        if line.contains(&format!("fn {test}(")) {
            // It ends where its own indentation closes.
            let indent = &line[..line.len() - line.trim_start().len()];
            let body = &source[at..];
            let end = body.find(&format!("\n{indent}}}\n")).unwrap_or(body.len());
            return attributed.then_some(&body[..end]);
        }
        at += line.len() + 1;
        let line = line.trim_start();
        attributed = line.starts_with("#[test]") || line.starts_with("#[tokio::test");
    }
    None
}

/// Whether a text names a member, as Rust or within JSON.
fn speaks_of(text: &str, name: &str) -> bool {
    text.contains(&format!("\"{name}\""))
}

#[test]
fn tests_are_found_by_their_attribute_and_speak_for_themselves() {
    let source = "#[test]\nfn shown() {\n    show(\"Name\");\n}\nfn hidden() {\n    \"Other\";\n}\n";
    let body = body_of(source, "shown").expect("there");
    assert!(speaks_of(body, "Name") && !speaks_of(body, "Nam") && !speaks_of(body, "Other"));
    assert_eq!((body_of(source, "hidden"), body_of(source, "absent")), (None, None));
}

#[test]
fn rows_are_found_by_any_of_their_names() {
    let page = "| `A`, `B.C` | *works* | `D` |\n| `E` | *accepted, differs* | No effect. |";
    assert!(row_of(page, "B.C", Place::Ignored).is_some() && row_of(page, "D", Place::Ignored).is_none());
    assert!(row_of(page, "E.F.G", Place::NoEffect).is_some() && row_of(page, "E.F", Place::Effect("t")).is_none());
}
