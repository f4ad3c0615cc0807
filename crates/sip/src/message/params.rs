//! `;name=value` lists, as they stand behind a URI, a `Via`, a name-addr or a media type.
//!
//! Hides quoting. Values keep the form in which they were written, so that printing gives back what was read; a value
//! made from application text is quoted or refused, never written raw.

use std::fmt;

use super::text::{self, MAX_PARAMS, Nesting, TextError, Token};

/// One parameter.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Param {
    name: Box<str>,
    value: Option<Value>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Value {
    /// Written without quotes.
    Bare(Box<str>),
    /// The content of a quoted string, quoted-pairs undone.
    Quoted(Box<str>),
}

impl Value {
    fn as_str(&self) -> &str {
        match self {
            Self::Bare(text) | Self::Quoted(text) => text,
        }
    }
}

/// Parameters in the order in which they were written. Names are compared without case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Params(Vec<Param>);

impl Params {
    /// No parameters.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Reads `;a;b=c;d="e"`. `text` is empty or begins with `;` (blanks around are allowed). None when malformed, when
    /// a name stands twice, or when there are more than 64.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text::trim(text);
        if text.is_empty() {
            return Some(Self::new());
        }
        let mut params = Vec::new();
        let mut pieces = text::split(text.strip_prefix(';')?, b';', Nesting::Quotes).peekable();
        while let Some(piece) = pieces.next() {
            let piece = text::trim(piece);
            if piece.is_empty() && pieces.peek().is_none() && !params.is_empty() {
                break; // One trailing ';' is seen in the field and says nothing.
            }
            if params.len() == MAX_PARAMS {
                return None;
            }
            let param = Param::parse(piece)?;
            if params.iter().any(|known: &Param| known.name.eq_ignore_ascii_case(&param.name)) {
                return None;
            }
            params.push(param);
        }
        Some(Self(params))
    }

    /// The value of `name`: quotes are gone, and a parameter without a value is the empty string.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        let param = self.0.iter().find(|param| param.name.eq_ignore_ascii_case(name))?;
        Some(param.value.as_ref().map_or("", Value::as_str))
    }

    /// Whether `name` is there, with or without a value.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    /// Names and values in order; a parameter without a value has `None`.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.0.iter().map(|param| (&*param.name, param.value.as_ref().map(Value::as_str)))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Sets `name` to `value`, written bare where it is a token or a host, else quoted.
    ///
    /// # Errors
    /// A name that is no token, or a value with a control character.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), TextError> {
        let name = Token::new(name)?;
        if value.chars().any(text::is_line_breaking) {
            return Err(TextError::Forbidden);
        }
        let bare =
            !value.is_empty() && value.bytes().all(|b| text::is_token_byte(b) || matches!(b, b'[' | b']' | b':'));
        let value = if bare { Value::Bare(value.into()) } else { Value::Quoted(value.into()) };
        self.put(name.as_str(), Some(value));
        Ok(())
    }

    /// Sets `name` without a value.
    ///
    /// # Errors
    /// A name that is no token.
    pub fn set_flag(&mut self, name: &str) -> Result<(), TextError> {
        let name = Token::new(name)?;
        self.put(name.as_str(), None);
        Ok(())
    }

    /// Sets a URI parameter: what the grammar does not allow is written as `%HH`.
    ///
    /// # Errors
    /// A name that is no token, or a value with a control character.
    pub(crate) fn set_escaped(&mut self, name: &str, value: &str) -> Result<(), TextError> {
        let name = Token::new(name)?;
        if value.chars().any(text::is_line_breaking) {
            return Err(TextError::Forbidden);
        }
        let value = text::percent_encode(value, |b| {
            (text::is_token_byte(b) && b != b'%' && b != b'`') || matches!(b, b'[' | b']' | b':')
        });
        self.put(name.as_str(), Some(Value::Bare(value.into())));
        Ok(())
    }

    /// Removes `name` if it is there.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|param| !param.name.eq_ignore_ascii_case(name));
    }

    fn put(&mut self, name: &str, value: Option<Value>) {
        match self.0.iter_mut().find(|param| param.name.eq_ignore_ascii_case(name)) {
            Some(param) => param.value = value,
            None => self.0.push(Param { name: name.into(), value }),
        }
    }
}

impl Param {
    fn parse(piece: &str) -> Option<Self> {
        let (name, value) = match piece.split_once('=') {
            Some((name, value)) => (text::trim(name), Some(text::trim(value))),
            None => (piece, None),
        };
        if name.is_empty() || !name.bytes().all(is_param_byte) {
            return None;
        }
        let value = match value {
            None => None,
            Some(value) if value.starts_with('"') => {
                let (inner, rest) = text::quoted_prefix(value)?;
                if !text::trim(rest).is_empty() {
                    return None;
                }
                Some(Value::Quoted(text::unescape_quoted(inner).into()))
            }
            Some(value) if value.bytes().all(|b| is_param_byte(b) || b == b'=') => Some(Value::Bare(value.into())),
            Some(_) => return None,
        };
        Some(Self { name: name.into(), value })
    }
}

/// What a bare parameter may be made of: everything visible that does not cut the list or open something.
const fn is_param_byte(byte: u8) -> bool {
    (byte.is_ascii_graphic() && !matches!(byte, b';' | b',' | b'"' | b'<' | b'>' | b'=' | b'\\')) || byte >= 0x80
}

impl fmt::Display for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for param in &self.0 {
            write!(f, ";{}", param.name)?;
            match &param.value {
                None => {}
                Some(Value::Bare(text)) => write!(f, "={text}")?,
                Some(Value::Quoted(text)) => {
                    f.write_str("=")?;
                    text::write_quoted(f, text)?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        let params = Params::parse(" ;a ; B = c;d=\"x;\\\"y\" ; received=2001:db8::1").expect("well formed");
        assert_eq!(params.value("b"), Some("c"));
        assert_eq!(params.value("D"), Some("x;\"y"));
        assert_eq!(params.value("a"), Some(""));
        assert_eq!(params.to_string(), ";a;B=c;d=\"x;\\\"y\";received=2001:db8::1");
    }

    #[test]
    fn refuses_gaps_repeats_and_floods() {
        for bad in ["a", ";;", ";a;;b", ";a=\"x", ";a=\"x\"y", ";a;A", ";a b", ";=x", ";a=b c"] {
            assert_eq!(Params::parse(bad), None, "{bad}");
        }
        let many: String = (0..65).map(|n| format!(";p{n}")).collect();
        assert_eq!(Params::parse(&many), None);
    }

    #[test]
    fn application_text_is_quoted_or_refused() {
        let mut params = Params::new();
        params.set("text", "a;b\"c>").expect("quotable");
        assert_eq!(params.to_string(), ";text=\"a;b\\\"c>\"");
        assert_eq!(params.set("text", "a\r\nb"), Err(TextError::Forbidden));
        assert_eq!(params.set("te xt", "a"), Err(TextError::Forbidden));
    }
}
