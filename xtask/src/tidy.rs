//! The rules that the compiler does not keep, read off the syntax tree. Says what breaks them, never mends it.

use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

const MAX_FUNCTION_LINES: usize = 70;
const MAX_ARGUMENTS: usize = 6;
const MAX_FIELDS: usize = 20;
const RATCHET: &str = "xtask/tidy-ratchet.txt";
const PURE: &[&str] = &["domain", "sip", "media", "conversation"];

/// Calls that belong to one place: the text, the files that may hold it (by path prefix), and why.
const BANNED: &[Ban] = &[
    Ban {
        text: "tokio::spawn(",
        allowed: &[
            "crates/engine/src/tasks.rs",
            "crates/providers/src/stream.rs",
            "crates/providers/src/stub.rs",
            "crates/store/src/",
            "crates/net/src/",
            "crates/server/src/",
            "crates/testkit/",
        ],
        why: "tasks are spawned in engine::tasks",
    },
    Ban {
        text: "env::var",
        allowed: &["crates/server/src/", "xtask/"],
        why: "the environment is read in server::config",
    },
    Ban {
        text: "unbounded_channel",
        allowed: &["crates/testkit/"],
        why: "every queue has a bound and a policy when full (engine::limits)",
    },
    Ban {
        text: "mpsc::unbounded",
        allowed: &["crates/testkit/"],
        why: "every queue has a bound and a policy when full (engine::limits)",
    },
    Ban { text: "sqlx::", allowed: &["crates/store/"], why: "SQL lives in store alone" },
    Ban { text: "rusqlite::", allowed: &["crates/store/"], why: "SQL lives in store alone" },
    Ban {
        text: "Store::open(",
        allowed: &["crates/store/", "crates/server/src/", "crates/testkit/"],
        why: "the store is opened by server and handed to the engine",
    },
];
const BANNED_IN_PURE: &[&str] = &[
    "Instant::now(",
    "SystemTime::now(",
    "Timestamp::now(",
    "Zoned::now(",
    "TimeZone::system(",
    "thread::spawn(",
    "thread::sleep(",
    "UdpSocket",
    "TcpStream",
    "Mutex<",
    "RwLock<",
];

struct Ban {
    text: &'static str,
    allowed: &'static [&'static str],
    why: &'static str,
}

/// What to do with the list of known oversized items.
#[derive(PartialEq)]
pub(crate) enum Ratchet {
    /// Complain about what is not on it, and about what need not be on it any more.
    Keep,
    /// Write it anew; refuses to grow it.
    Shrink,
}

impl Ratchet {
    /// From the command line's `--shrink`.
    pub(crate) fn from_flag(shrink: bool) -> Self {
        if shrink { Self::Shrink } else { Self::Keep }
    }
}

/// Checks the whole workspace.
pub(crate) fn run(root: &Path, ratchet: Ratchet) -> Result<()> {
    let mut complaints = crate::layers::check(root)?;
    complaints.extend(crate::licences::check(root)?);
    let mut oversized = BTreeSet::new();
    for path in crate::sources(root)? {
        let name = path.strip_prefix(root)?.display().to_string();
        let text = fs::read_to_string(&path).with_context(|| name.clone())?;
        let file = syn::parse_file(&text).with_context(|| format!("{name} does not parse"))?;
        check_text(&name, &text, &mut complaints);
        let mut sizes = Sizes { file: &name, oversized: &mut oversized, in_tests: is_test_path(&name) };
        sizes.visit_file(&file);
    }
    check_changelog(root, &mut complaints);
    judge_ratchet(root, &ratchet, &oversized, &mut complaints)?;
    if complaints.is_empty() {
        println!("tidy: ok");
        return Ok(());
    }
    for complaint in &complaints {
        eprintln!("tidy: {complaint}");
    }
    bail!("{} complaint(s)", complaints.len())
}

fn is_test_path(name: &str) -> bool {
    name.contains("/tests/") || name.ends_with("/tests.rs") || name.contains("/examples/") || name.contains("/benches/")
}

fn check_text(name: &str, text: &str, complaints: &mut Vec<String>) {
    if !is_test_path(name) && !text.trim_start().starts_with("//!") {
        complaints.push(format!("{name}: a module opens with `//!`: what it hides, what it never does"));
    }
    if is_test_path(name) || name == "xtask/src/tidy.rs" {
        return;
    }
    let pure = PURE.iter().any(|layer| name.starts_with(&format!("crates/{layer}/src")));
    let mut previous = "";
    for (index, line) in text.lines().enumerate() {
        let code = line.trim_start();
        if code.starts_with("#[cfg(test)]") {
            break;
        }
        if code.starts_with("//") {
            previous = code;
            continue;
        }
        let at = format!("{name}:{}", index + 1);
        for ban in BANNED {
            if code.contains(ban.text) && !ban.allowed.iter().any(|place| name.starts_with(place)) {
                complaints.push(format!("{at}: `{}`: {}", ban.text, ban.why));
            }
        }
        for text in BANNED_IN_PURE.iter().filter(|text| pure && code.contains(**text)) {
            complaints.push(format!("{at}: `{text}` in a pure crate"));
        }
        let kept = code.contains(" = ") && !code.starts_with("let _ =");
        let dropped = code.starts_with("drop(") && code.contains(".await");
        let swallows =
            (code.starts_with("let _ =") || code.ends_with(".ok();") || dropped) && !kept && !code.contains("//");
        if swallows && !previous.starts_with("//") {
            complaints.push(format!("{at}: a result is thrown away without a comment saying why"));
        }
        previous = code;
    }
}

fn check_changelog(root: &Path, complaints: &mut Vec<String>) {
    let text = fs::read_to_string(root.join("CHANGELOG.md")).unwrap_or_default();
    if !text.contains("## Unreleased") {
        complaints.push("CHANGELOG.md needs a section `## Unreleased`".into());
    }
}

fn judge_ratchet(root: &Path, ratchet: &Ratchet, now: &BTreeSet<String>, complaints: &mut Vec<String>) -> Result<()> {
    let path = root.join(RATCHET);
    let known: BTreeSet<String> = fs::read_to_string(&path)
        .unwrap_or_default()
        .lines()
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect();
    let grown: Vec<_> = now.difference(&known).cloned().collect();
    if *ratchet == Ratchet::Shrink {
        let kept: Vec<_> = now.intersection(&known).cloned().collect();
        fs::write(&path, kept.iter().map(|line| format!("{line}\n")).collect::<String>())?;
    } else {
        complaints.extend(
            known.difference(now).map(|item| format!("{RATCHET}: `{item}` is mended; run `cargo xtask tidy --shrink`")),
        );
    }
    complaints.extend(grown);
    Ok(())
}

/// Collects functions and structs that are larger than the rules allow.
struct Sizes<'a> {
    file: &'a str,
    oversized: &'a mut BTreeSet<String>,
    in_tests: bool,
}

impl Sizes<'_> {
    fn function(&mut self, signature: &syn::Signature, body: &syn::Block) {
        let lines = body.span().end().line.saturating_sub(signature.span().start().line) + 1;
        let name = &signature.ident;
        if lines > MAX_FUNCTION_LINES {
            self.oversized.insert(format!("{}: fn {name} is longer than {MAX_FUNCTION_LINES} lines", self.file));
        }
        if signature.inputs.len() > MAX_ARGUMENTS {
            self.oversized.insert(format!("{}: fn {name} has more than {MAX_ARGUMENTS} arguments", self.file));
        }
        let booleans = signature.inputs.iter().filter(|input| is_bool(input)).count();
        if booleans > 1 && !self.in_tests {
            self.oversized.insert(format!("{}: fn {name} takes two booleans; name them with an enum", self.file));
        }
    }
}

fn is_bool(input: &syn::FnArg) -> bool {
    let syn::FnArg::Typed(argument) = input else { return false };
    matches!(&*argument.ty, syn::Type::Path(path) if path.path.is_ident("bool"))
}

fn is_test_module(module: &syn::ItemMod) -> bool {
    module.attrs.iter().any(|attribute| {
        matches!(&attribute.meta, syn::Meta::List(list) if list.path.is_ident("cfg") && list.tokens.to_string().contains("test"))
    })
}

impl<'ast> Visit<'ast> for Sizes<'_> {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        let outer = self.in_tests;
        self.in_tests |= is_test_module(module);
        visit::visit_item_mod(self, module);
        self.in_tests = outer;
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(&item.sig, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.function(&item.sig, &item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        if item.fields.len() > MAX_FIELDS {
            self.oversized.insert(format!("{}: struct {} has more than {MAX_FIELDS} fields", self.file, item.ident));
        }
        visit::visit_item_struct(self, item);
    }
}
