//! Character classes and cutting: what a token is, where a quoted string ends, how a list is split.
//!
//! Hides the byte-level rules of RFC 3261 section 25.1 from every other module. All scans go once over their input and
//! never index outside it. It never allocates for input it only looks at.

use std::borrow::Cow;
use std::fmt;

/// Most parameters one URI, `Via` or name-addr may carry; more is malformed. Keeps every comparison cheap.
pub(crate) const MAX_PARAMS: usize = 64;

/// Why an application string cannot become part of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// Nothing was given where the grammar wants at least one character.
    #[error("the text is empty")]
    Empty,
    /// A character that could end a line, hide text or break the grammar (control, line separator, separator).
    #[error("the text holds a character that is not allowed here")]
    Forbidden,
    /// More octets than fit into a header line.
    #[error("the text is too long for a header line")]
    TooLong,
}

/// A token of RFC 3261 section 25.1: the only text that can be a method or a header name.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(Box<str>);

impl Token {
    /// Takes `text` when each octet is a token character.
    ///
    /// # Errors
    /// [`TextError::Empty`] or [`TextError::Forbidden`].
    pub fn new(text: &str) -> Result<Self, TextError> {
        if text.is_empty() {
            return Err(TextError::Empty);
        }
        if !text.bytes().all(is_token_byte) {
            return Err(TextError::Forbidden);
        }
        Ok(Self(text.into()))
    }

    /// The token as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Token characters: alphanumerics and ``-.!%*_+`'~``.
pub(crate) const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~')
}

/// Characters no application string may bring into a message: controls, and what other programs take for a line end.
pub(crate) fn is_line_breaking(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}')
}

/// Cuts spaces and tabs, the only blanks left once lines are unfolded.
pub(crate) fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

/// Splits at `separator` outside quoted strings and, when `angles`, outside `<...>`. Pieces are not trimmed.
pub(crate) struct Split<'a> {
    rest: Option<&'a str>,
    separator: u8,
    nesting: Nesting,
}

/// Which brackets hide a separator.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nesting {
    /// Only `"..."`.
    Quotes,
    /// `"..."` and `<...>`.
    QuotesAndAngles,
}

/// Splits a comma-separated header value.
pub(crate) fn split_list(text: &str) -> Split<'_> {
    split(text, b',', Nesting::QuotesAndAngles)
}

/// Splits `text` at each `separator` that is not hidden by `nesting`.
pub(crate) fn split(text: &str, separator: u8, nesting: Nesting) -> Split<'_> {
    Split { rest: Some(text), separator, nesting }
}

impl<'a> Iterator for Split<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let text = self.rest?;
        match find_outside(text, self.separator, self.nesting) {
            Some(at) => {
                self.rest = text.get(at + 1..);
                text.get(..at)
            }
            None => self.rest.take(),
        }
    }
}

/// Where `wanted` (ASCII) first stands outside quotes and, if asked, angle brackets.
pub(crate) fn find_outside(text: &str, wanted: u8, nesting: Nesting) -> Option<usize> {
    let mut quoted = false;
    let mut angled = false;
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        if escaped {
            escaped = false;
        } else if quoted {
            match byte {
                b'\\' => escaped = true,
                b'"' => quoted = false,
                _ => {}
            }
        } else if byte == wanted && !angled {
            return Some(at);
        } else if byte == b'"' && !angled {
            quoted = true;
        } else if nesting == Nesting::QuotesAndAngles {
            match byte {
                b'<' => angled = true,
                b'>' => angled = false,
                _ => {}
            }
        }
    }
    None
}

/// Reads a quoted string at the start of `text`: its content between the quotes as written, and what follows.
pub(crate) fn quoted_prefix(text: &str) -> Option<(&str, &str)> {
    let inner = text.strip_prefix('"')?;
    let mut escaped = false;
    for (at, byte) in inner.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some((inner.get(..at)?, inner.get(at + 1..)?)),
            _ => {}
        }
    }
    None
}

/// Undoes quoted-pairs (`\x` is `x`).
pub(crate) fn unescape_quoted(inner: &str) -> Cow<'_, str> {
    if !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.extend(chars.next()),
            other => out.push(other),
        }
    }
    Cow::Owned(out)
}

/// Writes `text` as a quoted string. Line ends and what others may take for one cannot be written as quoted-pairs, so
/// they become a space; other ASCII controls can.
pub(crate) fn write_quoted(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    use fmt::Write as _;
    f.write_char('"')?;
    for c in text.chars() {
        match c {
            '\r' | '\n' => f.write_char(' ')?,
            '"' | '\\' => {
                f.write_char('\\')?;
                f.write_char(c)?;
            }
            c if c.is_ascii_control() && c != '\t' => {
                f.write_char('\\')?;
                f.write_char(c)?;
            }
            c if !c.is_ascii() && is_line_breaking(c) => f.write_char(' ')?,
            c => f.write_char(c)?,
        }
    }
    f.write_char('"')
}

/// Decodes `%hh` once; a `%` without two hex digits stays as it is (RFC 4475 section 3.1.1.5 has such).
pub(crate) fn percent_decode(text: &str) -> Cow<'_, [u8]> {
    let bytes = text.as_bytes();
    if !bytes.contains(&b'%') {
        return Cow::Borrowed(bytes);
    }
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        if first == b'%'
            && let [high, low, after @ ..] = tail
            && let (Some(high), Some(low)) = (hex_value(*high), hex_value(*low))
        {
            out.push(high * 16 + low);
            rest = after;
        } else {
            out.push(first);
        }
    }
    Cow::Owned(out)
}

const fn hex_value(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// Writes each octet of `text` that `keep` refuses as `%HH`.
pub(crate) fn percent_encode(text: &str, keep: fn(u8) -> bool) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if keep(byte) && byte.is_ascii() {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
    out
}

/// Reads 1 to 64 digits, leading zeros included, as a number that fits; never a sign, a blank or a wrapped number.
pub(crate) fn decimal(text: &str) -> Option<u64> {
    if text.is_empty() || text.len() > 64 || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.bytes().try_fold(0_u64, |sum, digit| sum.checked_mul(10)?.checked_add(u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_split_outside_quotes_and_angles() {
        let pieces: Vec<_> = split_list(r#""a,\",b" <sip:x,y>, c ,d"#).collect();
        assert_eq!(pieces, [r#""a,\",b" <sip:x,y>"#, " c ", "d"]);
    }

    #[test]
    fn percent_decoding_happens_once() {
        assert_eq!(&*percent_decode("v%61lue%25%34%31"), b"value%41");
        assert_eq!(&*percent_decode("%Z%45%"), b"%ZE%");
    }

    #[test]
    fn quoted_strings_end_at_the_unescaped_quote() {
        assert_eq!(quoted_prefix(r#""a\"b" rest"#), Some((r#"a\"b"#, " rest")));
        assert_eq!(quoted_prefix(r#""open"#), None);
        assert_eq!(unescape_quoted(r#"a\"\\b"#), r#"a"\b"#);
    }

    #[test]
    fn decimals_never_wrap() {
        assert_eq!(decimal("0068"), Some(68));
        assert_eq!(decimal("18446744073709551615"), Some(u64::MAX));
        assert_eq!(decimal("18446744073709551616"), None);
        for bad in ["", "+1", "-1", "0x1", "1 ", "1,1"] {
            assert_eq!(decimal(bad), None, "{bad}");
        }
    }
}
