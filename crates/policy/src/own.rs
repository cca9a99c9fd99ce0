//! `fields`: what people say of their recordings themselves, such as a case's number, and what their values are.

use std::collections::BTreeSet;

use domain::{Fields, Timestamp};
use serde::Serialize;

use crate::{
    check::Check,
    problem::{clip, nearest},
    units::{self, Number},
    yaml::{Node, Value},
};

/// A field that rules may look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OwnField {
    pub name: String,
    pub kind: FieldKind,
}

/// What a field's values are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldKind {
    Text,
    /// With up to 12 digits before the point and 6 behind it.
    Number,
    /// `2026-03-01` or `2026-03-01T09:00:00Z`; a date alone is its midnight in UTC.
    Date,
    /// One of these words.
    OneOf(BTreeSet<String>),
}

const KINDS: [(&str, FieldKind); 3] =
    [("text", FieldKind::Text), ("number", FieldKind::Number), ("date", FieldKind::Date)];

/// A field's value as its kind has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OwnValue<'a> {
    Text(&'a str),
    Number(Number),
    Date(Timestamp),
}

impl FieldKind {
    /// Errors: a sentence that says what to write instead.
    pub(crate) fn read<'a>(&self, text: &'a str) -> Result<OwnValue<'a>, String> {
        Ok(match self {
            Self::Text => OwnValue::Text(text),
            Self::Number => OwnValue::Number(units::number(text)?),
            Self::Date => OwnValue::Date(units::date(text)?),
            Self::OneOf(words) if words.contains(text) => OwnValue::Text(text),
            Self::OneOf(words) => {
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                return Err(format!("`{}` is none of its values{}", clip(text), nearest(text, &words)));
            }
        })
    }

    /// What a value that cannot be read is not.
    pub(crate) fn is_none(&self) -> &'static str {
        match self {
            Self::Text => "it is no text",
            Self::Number => "it is no number",
            Self::Date => "it is no date",
            Self::OneOf(_) => "it is none of the field's values",
        }
    }
}

/// Reads the policy's `fields`: in the order of their names.
pub(crate) fn read(check: &mut Check<'_>, node: &Node) -> Vec<OwnField> {
    let mut own: Vec<OwnField> = Vec::new();
    for field in check.entries(node, "`fields`").unwrap_or_default() {
        if let Err(message) = Fields::default().set(field.name, "x") {
            check.problem(field.at, message);
            continue;
        }
        let what = format!("the field `{}`", field.name);
        let kind = match &field.value.value {
            Value::Seq(_) => {
                let words = check.values(field.value, &what);
                let right = words.iter().filter(|(at, word)| match Fields::default().set("x", word) {
                    Ok(()) => true,
                    Err(_) => {
                        check.problem(at.at, format!("{what}: `{}` can be no value", clip(word)));
                        false
                    }
                });
                let words: BTreeSet<String> = right.map(|(_, word)| (*word).to_owned()).collect();
                (!words.is_empty()).then_some(FieldKind::OneOf(words))
            }
            _ => check.text(field.value, &what).and_then(|text| {
                let found = KINDS.iter().find(|(name, _)| *name == text).map(|(_, kind)| kind.clone());
                if found.is_none() {
                    let message = format!(
                        "{what} is text, number, date or a list of the words that it may be, and not `{}`",
                        clip(text)
                    );
                    check.problem(field.value.at, message);
                }
                found
            }),
        };
        // What is wrong with its kind has been told: rules may look at it all the same.
        own.push(OwnField { name: field.name.to_owned(), kind: kind.unwrap_or(FieldKind::Text) });
    }
    own.sort_by(|a, b| a.name.cmp(&b.name));
    own
}

/// The field of that name.
pub(crate) fn find<'o>(own: &'o [OwnField], name: &str) -> Option<&'o OwnField> {
    own.binary_search_by(|field| field.name.as_str().cmp(name)).ok().map(|at| &own[at])
}

/// That there is no field of that name, and what to do.
pub(crate) fn unknown(own: &[OwnField], name: &str) -> String {
    let known: Vec<&str> = own.iter().map(|field| field.name.as_str()).collect();
    if known.is_empty() {
        return format!(
            "`{0}` is a field that the policy says nothing of; say at its top what it is: `fields: {{ {0}: text }}`",
            clip(name)
        );
    }
    format!(
        "unknown field `{}`{}; the policy's `fields` say which there are",
        clip(name),
        nearest(name, &known)
    )
}
