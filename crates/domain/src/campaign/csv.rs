//! A file of callees, line by line. Hides delimiters, quotes and headers; never holds more than one line, and never puts a
//! value into a complaint.

use super::Callee;
use crate::number::BadNumber;
use crate::{Moment, PhoneNumber, Pii};
use csv::{ByteRecord, Reader, ReaderBuilder};
use std::collections::BTreeMap;

/// Most columns of a file.
pub const MAX_COLUMNS: usize = 100;
/// Longest field, in bytes: as long as a variable may be.
pub const MAX_FIELD: usize = 8192;
/// Longest own id of a callee, in characters.
pub const MAX_OWN_ID: usize = 255;
/// Longest conversation that a callee may be given, in seconds: a day.
pub const MAX_DURATION_S: u64 = 24 * 60 * 60;
/// How much of a number that is none is kept, in characters.
const GIVEN: usize = 64;
/// Headers under which the number is looked for when none is named.
const NUMBER_COLUMNS: [&str; 6] = ["phone_number", "number", "to_number", "contact_number", "phone", "to"];
/// Headers with a meaning of their own; every other column is a variable.
const OWN_ID: &str = "callee_id";
const DUE: &str = "scheduled_for";
const DURATION: &str = "max_duration_s";
const USER_DATA: &str = "user_data";

/// Which columns mean what, where the file's headers do not say it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mapping {
    /// Header of the number's column; none: the first of the usual names.
    pub number: Option<String>,
    /// Header of the column with the requester's own id; none: `callee_id`.
    pub own_id: Option<String>,
}

/// Why a file cannot be read at all. Nothing of it is used then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadFile {
    /// There is no header line.
    #[error("the file must begin with a header line")]
    NoHeader,
    /// The header is not UTF-8.
    #[error("the file must be UTF-8")]
    Encoding,
    /// No column holds the number.
    #[error("the header must name a column phone_number (or number, to_number, contact_number, phone, to)")]
    NoNumber,
    /// The named column is not there.
    #[error("the header has no column of the name that {parameter} gives")]
    NoColumn {
        /// Which of the mapping's members.
        parameter: &'static str,
    },
    /// Two columns have one name, or one has none.
    #[error("column {column} of the header has no name or the name of an earlier one")]
    Header {
        /// Which; the first is 1.
        column: usize,
    },
    /// Too many columns.
    #[error("the file may have at most {MAX_COLUMNS} columns")]
    Columns,
    /// A quote is never closed.
    #[error("the quote that is opened in line {line} is never closed")]
    Unclosed {
        /// Where its record begins.
        line: u64,
    },
}

/// Why a line is nobody who can be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadLine {
    /// More or fewer fields than the header has.
    #[error("the line must have as many fields as the header")]
    Columns,
    /// Not UTF-8.
    #[error("the line must be UTF-8")]
    Encoding,
    /// A text holds what none may.
    #[error("no text may hold the character U+0000")]
    Zero,
    /// A field is too long.
    #[error("a field is longer than {MAX_FIELD} bytes")]
    TooLong,
    /// No number.
    #[error("the number is missing")]
    NoNumber,
    /// Not a number.
    #[error("{0}")]
    Number(BadNumber),
    /// Not a time.
    #[error("scheduled_for must be a time such as 2026-11-21T09:30:00+01:00")]
    Due,
    /// Not a duration.
    #[error("max_duration_s must be a number from 1 to {MAX_DURATION_S}")]
    Duration,
    /// The own id is too long.
    #[error("the callee's own id must be at most {MAX_OWN_ID} characters")]
    OwnId,
}

impl BadLine {
    /// The reason as one word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Columns => "columns",
            Self::Encoding => "encoding",
            Self::Zero => "zero_character",
            Self::TooLong => "too_long",
            Self::NoNumber => "number_missing",
            Self::Number(_) => "number_invalid",
            Self::Due => "time_invalid",
            Self::Duration => "duration_invalid",
            Self::OwnId => "own_id_too_long",
        }
    }
}

/// One line, or one member of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Where it begins; the header is line 1.
    pub line: u64,
    /// What stood in the number's place, cut short.
    pub given: Pii<String>,
    /// Who is to be called.
    pub callee: Result<Callee, BadLine>,
}

/// Cuts what stood in a number's place to what is kept of it.
pub fn given(text: &str) -> Pii<String> {
    Pii::new(text.chars().filter(|c| !c.is_control()).take(GIVEN).collect())
}

/// What a column is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Column {
    Number,
    OwnId(String),
    Due,
    Duration,
    UserData,
    Variable(String),
}

/// A file that is being read.
pub struct Sheet<'a> {
    reader: Reader<&'a [u8]>,
    columns: Vec<Column>,
    record: ByteRecord,
    bytes: &'a [u8],
    /// Bytes whose line ends are counted, and how many there were.
    counted: (usize, u64),
    odd_quotes: bool,
}

impl<'a> Sheet<'a> {
    /// Reads the header.
    ///
    /// # Errors
    /// [`BadFile`].
    pub fn open(bytes: &'a [u8], mapping: &Mapping) -> Result<Self, BadFile> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let mut reader =
            ReaderBuilder::new().has_headers(false).flexible(true).delimiter(delimiter(bytes)).from_reader(bytes);
        let mut record = ByteRecord::new();
        if !reader.read_byte_record(&mut record).map_err(|_| BadFile::NoHeader)? {
            return Err(BadFile::NoHeader);
        }
        let columns = columns(&record, mapping)?;
        let odd_quotes = bytes.iter().filter(|byte| **byte == b'"').count() % 2 == 1;
        Ok(Self { reader, columns, record, bytes, counted: (0, 0), odd_quotes })
    }

    /// The next line that is not empty.
    ///
    /// # Errors
    /// [`BadFile::Unclosed`]: everything from there on is one field, and nothing of the file may be used.
    pub fn next_line(&mut self) -> Result<Option<Line>, BadFile> {
        // Reading from memory does not fail, and records of any length and encoding are taken.
        if !self.reader.read_byte_record(&mut self.record).unwrap_or(false) {
            return Ok(None);
        }
        let line = self.line();
        let last = self.reader.position().byte() >= self.bytes.len() as u64;
        if last && self.odd_quotes && self.record.iter().any(|field| field.contains(&b'\n')) {
            return Err(BadFile::Unclosed { line });
        }
        let number = self.columns.iter().position(|column| *column == Column::Number);
        let field = number.and_then(|at| self.record.get(at)).unwrap_or_default();
        let given = given(&String::from_utf8_lossy(&field[..field.len().min(GIVEN * 4)]));
        Ok(Some(Line { line, given, callee: self.callee() }))
    }

    /// The line that the record begins in. The reader's own count lags behind where lines end in two bytes or are empty.
    fn line(&mut self) -> u64 {
        let start = self.record.position().map_or(0, csv::Position::byte);
        let start = usize::try_from(start).unwrap_or(usize::MAX).min(self.bytes.len());
        let empty = self.bytes[start..].iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let (from, before) = self.counted;
        let to = (start + empty).max(from);
        let ends = self.bytes[from..to].iter().filter(|byte| **byte == b'\n').count() as u64;
        self.counted = (to, before + ends);
        self.counted.1 + 1
    }

    fn callee(&self) -> Result<Callee, BadLine> {
        if self.record.len() != self.columns.len() {
            return Err(BadLine::Columns);
        }
        let mut draft = Draft::default();
        for (column, field) in self.columns.iter().zip(&self.record) {
            if field.len() > MAX_FIELD {
                return Err(BadLine::TooLong);
            }
            let text = std::str::from_utf8(field).map_err(|_| BadLine::Encoding)?;
            match column {
                Column::Number => draft.number = text.trim().to_owned(),
                Column::Due => draft.due = Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
                Column::Duration => draft.max_duration_s = duration(text)?,
                Column::UserData => draft.user_data = Some(text.to_owned()).filter(|text| !text.is_empty()),
                Column::OwnId(name) => {
                    draft.own_id = Some(text.to_owned()).filter(|text| !text.is_empty());
                    draft.variables.insert(name.clone(), text.to_owned());
                }
                Column::Variable(name) => {
                    draft.variables.insert(name.clone(), text.to_owned());
                }
            }
        }
        draft.callee()
    }
}

/// A callee whose parts are not judged yet.
#[derive(Debug, Clone, Default)]
pub struct Draft {
    /// The number as it was given.
    pub number: String,
    /// The requester's own id.
    pub own_id: Option<String>,
    /// Values for the prompt's templates.
    pub variables: BTreeMap<String, String>,
    /// The requester's own text.
    pub user_data: Option<String>,
    /// Not called before this; RFC 3339.
    pub due: Option<String>,
    /// Longest conversation, in seconds.
    pub max_duration_s: Option<u64>,
}

impl Draft {
    /// The callee.
    ///
    /// # Errors
    /// The first [`BadLine`].
    pub fn callee(self) -> Result<Callee, BadLine> {
        if self.number.is_empty() {
            return Err(BadLine::NoNumber);
        }
        let number = PhoneNumber::parse(&self.number).map_err(BadLine::Number)?;
        if self.own_id.as_ref().is_some_and(|id| id.chars().count() > MAX_OWN_ID) {
            return Err(BadLine::OwnId);
        }
        if self.max_duration_s.is_some_and(|seconds| !(1..=MAX_DURATION_S).contains(&seconds)) {
            return Err(BadLine::Duration);
        }
        let variables = self.variables.iter().flat_map(|(name, value)| [name, value]);
        if self.own_id.iter().chain(&self.user_data).chain(variables).any(|text| text.contains('\0')) {
            return Err(BadLine::Zero);
        }
        let due = self.due.map(|text| text.parse::<jiff::Timestamp>()).transpose().map_err(|_| BadLine::Due)?;
        Ok(Callee {
            number,
            own_id: self.own_id,
            variables: self.variables,
            user_data: self.user_data.map(Pii::new),
            due: due.map(|due| Moment(due.as_millisecond())),
            max_duration_s: self.max_duration_s,
        })
    }
}

fn duration(text: &str) -> Result<Option<u64>, BadLine> {
    match text.trim() {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|_| BadLine::Duration),
    }
}

fn columns(header: &ByteRecord, mapping: &Mapping) -> Result<Vec<Column>, BadFile> {
    if header.len() > MAX_COLUMNS {
        return Err(BadFile::Columns);
    }
    let mut names: Vec<String> = Vec::with_capacity(header.len());
    for (at, field) in header.iter().enumerate() {
        let name = std::str::from_utf8(field).map_err(|_| BadFile::Encoding)?.trim();
        if name.is_empty() || name.len() > MAX_FIELD || names.iter().any(|earlier| earlier == name) {
            return Err(BadFile::Header { column: at + 1 });
        }
        names.push(name.to_owned());
    }
    let place = |wanted: &str| names.iter().position(|name| name.eq_ignore_ascii_case(wanted));
    let number = match &mapping.number {
        Some(name) => place(name).ok_or(BadFile::NoColumn { parameter: "number_column" })?,
        None => NUMBER_COLUMNS.iter().find_map(|name| place(name)).ok_or(BadFile::NoNumber)?,
    };
    let own_id = match &mapping.own_id {
        Some(name) => Some(place(name).ok_or(BadFile::NoColumn { parameter: "id_column" })?),
        None => place(OWN_ID),
    };
    let kind = |(at, name): (usize, String)| {
        if at == number {
            Column::Number
        } else if Some(at) == own_id {
            Column::OwnId(name)
        } else {
            match name.to_ascii_lowercase().as_str() {
                DUE => Column::Due,
                DURATION => Column::Duration,
                USER_DATA => Column::UserData,
                _ => Column::Variable(name),
            }
        }
    };
    Ok(names.into_iter().enumerate().map(kind).collect())
}

/// What stands between the fields: of comma, semicolon and tab the one that the header has most of.
fn delimiter(bytes: &[u8]) -> u8 {
    let header = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let count = |delimiter: u8| header.iter().filter(|byte| **byte == delimiter).count();
    [b',', b';', b'\t'].into_iter().rev().max_by_key(|delimiter| count(*delimiter)).unwrap_or(b',')
}
