//! Personal data that prints masked. Never prints its content through `Debug` or `Display`.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A value that must not reach a log: its `Debug` and `Display` show only that something is there.
///
/// Serialising does write the content, because storage needs it; logs never serialise values.
#[derive(Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pii<T>(T);

impl<T> Pii<T> {
    /// Wraps a value.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The content. The name is long on purpose: each use is a place to review.
    pub const fn expose(&self) -> &T {
        &self.0
    }

    /// Takes the content out.
    pub fn into_exposed(self) -> T {
        self.0
    }
}

impl<T> fmt::Debug for Pii<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl<T> fmt::Display for Pii<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_masked() {
        let secret = Pii::new("4111 1111");
        assert_eq!(format!("{secret} {secret:?}"), "*** ***");
        assert_eq!(*secret.expose(), "4111 1111");
    }
}
