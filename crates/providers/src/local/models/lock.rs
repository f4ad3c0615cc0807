//! The locks: which version of each package, and what its wheels hash to. Embedded in the program, so that what is
//! downloaded is what was tried.

const LOCKS: [&str; 3] = [
    include_str!("../../../models/models-core.lock"),
    include_str!("../../../models/models-runtime.lock"),
    include_str!("../../../models/models-llm.lock"),
];

/// One locked package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Locked {
    /// Its name.
    pub package: String,
    /// Its version.
    pub version: String,
    /// Hashes of the wheels that are accepted, in hexadecimal; several where machines differ.
    pub sha256: Vec<String>,
}

impl Locked {
    /// The line in the package client's own format.
    pub(super) fn requirement(&self) -> String {
        let hashes: String = self.sha256.iter().map(|hash| format!(" --hash=sha256:{hash}")).collect();
        format!("{}=={}{hashes}\n", self.package, self.version)
    }

    /// How a wheel's file name begins.
    pub(super) fn wheel_prefix(&self) -> String {
        format!("{}-{}-", self.package.replace(['-', '.'], "_").to_ascii_lowercase(), self.version)
    }
}

/// The lock of `package`.
pub(super) fn find(package: &str) -> Option<Locked> {
    LOCKS.iter().flat_map(|lock| lock.lines()).filter_map(parse).find(|locked| locked.package == package)
}

/// `name==version --hash=sha256:...`; `None` for comments, empty lines and lines without a hash.
fn parse(line: &str) -> Option<Locked> {
    let mut words = line.split_whitespace();
    let (package, version) = words.next()?.split_once("==")?;
    let sha256: Vec<String> = words.filter_map(|word| word.strip_prefix("--hash=sha256:")).map(str::to_owned).collect();
    if package.starts_with('#') || sha256.is_empty() {
        return None;
    }
    Some(Locked { package: package.to_owned(), version: version.to_owned(), sha256 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_and_written() {
        let locked = parse("a-b.c==1.2 --hash=sha256:00 --hash=sha256:11").unwrap();
        assert_eq!(locked.sha256, ["00", "11"]);
        assert_eq!(locked.requirement(), "a-b.c==1.2 --hash=sha256:00 --hash=sha256:11\n");
        assert_eq!(locked.wheel_prefix(), "a_b_c-1.2-");
        for line in ["", "# a==1 --hash=sha256:00", "a==1", "a --hash=sha256:00", "#a==1 --hash=sha256:0"] {
            assert_eq!(parse(line), None, "{line}");
        }
    }

    #[test]
    fn the_locks_are_whole() {
        assert_eq!(LOCKS.iter().flat_map(|lock| lock.lines()).filter_map(parse).count(), 3 + 1 + 22);
        assert_eq!(find("onnxruntime").unwrap().sha256.len(), 3);
        assert_eq!(find("nothing"), None);
    }
}
