//! Many rows as one text: the thread that reads the file hands rows over one by one, and waking whoever waits for
//! them takes longer than reading them. A page of a thousand is one row here.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Deserializer, de};

use crate::{Error, Kind, Result, codec, rows::Columns};

/// Rows as `json_group_array(json_array(..))` writes them, of columns with these names. Bytes come as hexadecimal.
pub(super) fn rows<'a>(text: &'a str, names: &'static [&'static str]) -> Result<Vec<Row<'a>>> {
    let all: Vec<Vec<Cell<'a>>> = serde_json::from_str(text).map_err(|e| unexpected("a page").because(e))?;
    Ok(all.into_iter().map(|cells| Row { names, cells }).collect())
}

pub(super) struct Row<'a> {
    names: &'static [&'static str],
    cells: Vec<Cell<'a>>,
}

enum Cell<'a> {
    Null,
    Number(i64),
    Text(Cow<'a, str>),
}

impl Row<'_> {
    fn cell(&self, column: &str) -> Result<&Cell<'_>> {
        let place = self.names.iter().position(|name| *name == column);
        place.and_then(|n| self.cells.get(n)).ok_or_else(|| unexpected(column))
    }
}

impl Columns for Row<'_> {
    fn text(&self, column: &str) -> Result<&str> {
        self.text_or_none(column)?.ok_or_else(|| unexpected(column))
    }
    fn text_or_none(&self, column: &str) -> Result<Option<&str>> {
        match self.cell(column)? {
            Cell::Null => Ok(None),
            Cell::Text(text) => Ok(Some(text)),
            Cell::Number(_) => Err(unexpected(column)),
        }
    }
    fn number(&self, column: &str) -> Result<i64> {
        self.number_or_none(column)?.ok_or_else(|| unexpected(column))
    }
    fn number_or_none(&self, column: &str) -> Result<Option<i64>> {
        match self.cell(column)? {
            Cell::Null => Ok(None),
            Cell::Number(n) => Ok(Some(*n)),
            Cell::Text(_) => Err(unexpected(column)),
        }
    }
    fn bytes(&self, column: &str) -> Result<Cow<'_, [u8]>> {
        self.bytes_or_none(column)?.ok_or_else(|| unexpected(column))
    }
    fn bytes_or_none(&self, column: &str) -> Result<Option<Cow<'_, [u8]>>> {
        self.text_or_none(column)?.map(|hex| codec::from_hex(hex).map(Cow::Owned)).transpose()
    }
}

fn unexpected(what: &str) -> Error {
    let message = format!(
        "`{what}` of the catalog is not as this binary writes it: use the newest videorec, or restore the catalog from \
         its backup"
    );
    Error::new(Kind::Corrupt, message)
}

impl<'de: 'a, 'a> Deserialize<'de> for Cell<'a> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> de::Visitor<'de> for Any {
            type Value = Cell<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, a whole number or nothing")
            }
            fn visit_unit<E>(self) -> Result<Cell<'de>, E> {
                Ok(Cell::Null)
            }
            fn visit_i64<E>(self, n: i64) -> Result<Cell<'de>, E> {
                Ok(Cell::Number(n))
            }
            fn visit_u64<E: de::Error>(self, n: u64) -> Result<Cell<'de>, E> {
                i64::try_from(n).map(Cell::Number).map_err(E::custom)
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Cell<'de>, E> {
                Ok(Cell::Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Cell<'de>, E> {
                Ok(Cell::Text(Cow::Owned(text.to_owned())))
            }
        }
        d.deserialize_any(Any)
    }
}
