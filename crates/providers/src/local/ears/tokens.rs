//! Moonshine's table of word pieces: from numbers to text. Never the other way: nothing here reads text.

/// The pieces by number.
#[derive(Debug)]
pub(crate) struct Tokens {
    pieces: Vec<Box<[u8]>>,
}

/// U+2581, which stands for a space in the table.
const SPACE: &str = "\u{2581}";

impl Tokens {
    /// Reads the table: for each piece its length (one byte; two from 128 on, the low seven bits first) and its bytes.
    /// `None` when the table is cut short.
    pub(crate) fn parse(mut table: &[u8]) -> Option<Self> {
        let mut pieces = Vec::new();
        while let Some((first, rest)) = table.split_first() {
            let (length, rest) = if *first < 128 {
                (usize::from(*first), rest)
            } else {
                let (second, rest) = rest.split_first()?;
                (usize::from(*second) * 128 + usize::from(*first) - 128, rest)
            };
            let (piece, rest) = rest.split_at_checked(length)?;
            pieces.push(piece.into());
            table = rest;
        }
        Some(Self { pieces })
    }

    /// The text of `numbers`; control pieces such as `<s>` and unknown numbers are left out. Pieces may hold parts of a
    /// character, so only the whole is read as UTF-8.
    pub(crate) fn text(&self, numbers: &[u32]) -> String {
        let known = numbers.iter().filter_map(|number| self.pieces.get(usize::try_from(*number).ok()?));
        let bytes: Vec<u8> = known.filter(|piece| !is_control(piece)).flat_map(|piece| piece.iter().copied()).collect();
        String::from_utf8_lossy(&bytes).replace(SPACE, " ").trim().to_owned()
    }
}

fn is_control(piece: &[u8]) -> bool {
    piece.len() > 2 && piece.starts_with(b"<") && piece.ends_with(b">")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(pieces: &[&[u8]]) -> Vec<u8> {
        let mut table = Vec::new();
        for piece in pieces {
            if piece.len() < 128 {
                table.push(piece.len() as u8);
            } else {
                table.extend([(piece.len() % 128 + 128) as u8, (piece.len() / 128) as u8]);
            }
            table.extend_from_slice(piece);
        }
        table
    }

    #[test]
    fn pieces_become_text() {
        let long = "x".repeat(300);
        let pieces: [&[u8]; 7] =
            [b"<s>", "\u{2581}caf".as_bytes(), b"\xc3", b"\xa9", "\u{2581}no".as_bytes(), b"", long.as_bytes()];
        let tokens = Tokens::parse(&table(&pieces)).unwrap();
        assert_eq!(tokens.text(&[0, 1, 2, 3, 4]), "caf\u{e9} no");
        assert_eq!(tokens.text(&[6]), long);
        assert_eq!(tokens.text(&[99, u32::MAX]), "");
    }

    #[test]
    fn a_cut_table_is_refused() {
        assert!(Tokens::parse(&[3, b'a']).is_none());
        assert!(Tokens::parse(&[200]).is_none());
        assert_eq!(Tokens::parse(&[]).unwrap().text(&[0]), "");
    }
}
