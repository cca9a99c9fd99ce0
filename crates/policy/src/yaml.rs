use std::{collections::BTreeSet, fmt};

use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{DuplicateKeyPolicy, Spanned};

use crate::{Problem, problem::without_passwords};

/// YAML as a tree in which every node knows its place, so that many problems can be told in one go.
///
/// Everything is bounded before it is believed: the text's size here, then depth, nodes and aliases by the
/// reader's budget. A policy of a thousand rules stays a factor of ten below every limit.
pub(crate) fn read(text: &str) -> Result<Node, Problem> {
    let at_start = |message: String| Problem { line: 1, column: 1, message, source: String::new() };
    if text.len() > MAX_BYTES {
        return Err(at_start(format!("the file has {} bytes; a policy has at most {MAX_BYTES}", text.len())));
    }
    let lines = || text.lines();
    match serde_saphyr::from_str_with_options::<Spanned<Raw>>(text, options()) {
        Ok(root) => Ok(Node::from_raw(root, text)),
        Err(error) => {
            let line = error.location().map_or(1, |l| l.line().max(1) as usize);
            let column = error.location().map_or(1, |l| l.column().max(1) as usize);
            let source = lines().nth(line - 1).unwrap_or_default().to_owned();
            let message = describe(&error, &source);
            Err(Problem { line, column, message, source: without_passwords(&source).into_owned() })
        }
    }
}

const MAX_BYTES: usize = 1 << 20;
const MAX_DEPTH: usize = 24;
const MAX_NODES: usize = 100_000;
const MAX_ALIASES: usize = 1_000;

#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) at: At,
    pub(crate) value: Value,
}

/// Line and column, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct At {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

#[derive(Debug, Clone)]
pub(crate) enum Value {
    Null,
    /// As written, without quotes; whether it is a number is for the field to say.
    Scalar(String),
    Seq(Vec<Node>),
    /// In the file's order, doubles included.
    Map(Vec<(Node, Node)>),
}

impl Node {
    /// What it is, for "expected ..., not ...".
    pub(crate) fn what(&self) -> String {
        match &self.value {
            Value::Null => "nothing".into(),
            Value::Scalar(text) => format!("`{}`", crate::problem::clip(text)),
            Value::Seq(_) => "a list".into(),
            Value::Map(_) => "a mapping".into(),
        }
    }

    fn from_raw(raw: Spanned<Raw>, source: &str) -> Self {
        let at = At {
            line: raw.referenced.line().max(1) as usize,
            column: raw.referenced.column().max(1) as usize,
        };
        let value = match raw.value {
            Raw::Null => Value::Null,
            Raw::Text(text) => Value::Scalar(text),
            Raw::Typed(fallback) => {
                // `1.10` must stay `1.10`, which a float would not: the place says what was written.
                let span = raw.defined.span();
                let written = span.byte_offset().zip(span.byte_len()).and_then(|(from, len)| {
                    let from = usize::try_from(from).ok()?;
                    source.get(from..from.checked_add(usize::try_from(len).ok()?)?)
                });
                let text = written.map(str::trim).filter(|t| !t.is_empty()).unwrap_or(&fallback);
                Value::Scalar(text.to_owned())
            }
            Raw::Seq(items) => {
                Value::Seq(items.into_iter().map(|item| Self::from_raw(item, source)).collect())
            }
            Raw::Map(entries) => Value::Map(
                entries
                    .into_iter()
                    .map(|(key, value)| (Self::from_raw(key, source), Self::from_raw(value, source)))
                    .collect(),
            ),
        };
        Self { at, value }
    }
}

/// The keys of a mapping, right or wrong.
pub(crate) fn names(node: Option<&Node>) -> BTreeSet<&str> {
    let Some(Value::Map(entries)) = node.map(|n| &n.value) else { return BTreeSet::new() };
    entries
        .iter()
        .filter_map(|(key, _)| match &key.value {
            Value::Scalar(text) => Some(text.as_str()),
            _ => None,
        })
        .collect()
}

fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_documents: 2,
            max_depth: MAX_DEPTH,
            max_nodes: MAX_NODES,
            max_events: 4 * MAX_NODES,
            max_aliases: MAX_ALIASES,
            max_anchors: MAX_ALIASES,
            max_total_scalar_bytes: MAX_BYTES,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: MAX_NODES,
            max_replay_stack_depth: 8,
        },
        // Told by us, with the place of the first one.
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        strict_booleans: true,
    }
}

/// The reader's message in one line, and a hint where people usually go wrong.
fn describe(error: &serde_saphyr::Error, source: &str) -> String {
    if matches!(error.without_snippet(), serde_saphyr::Error::MultipleDocuments { .. }) {
        return "a second document begins here; a policy is one".to_owned();
    }
    let message = error.without_snippet().to_string();
    let message = message.lines().next().unwrap_or_default();
    // Our position says it already, in the form that editors understand.
    let message = message.split(" at line ").next().unwrap_or(message);
    let indent: String = source.chars().take_while(|c| c.is_whitespace()).collect();
    let hint = if indent.contains('\t') {
        "; a tab indents this line: YAML wants spaces"
    } else if [": >", "[>", ": %", ": @", ": `"].iter().any(|sign| source.contains(sign)) {
        "; a value that begins with a sign needs quotes: \">=30d\""
    } else {
        ""
    };
    format!("not readable as YAML: {}{hint}", crate::problem::clip_to(message, 160))
}

enum Raw {
    Null,
    Text(String),
    /// A scalar that the reader took for a bool or a number, as it would print it.
    Typed(String),
    Seq(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<Raw>, Spanned<Raw>)>),
}

impl<'de> de::Deserialize<'de> for Raw {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("YAML")
    }
    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }
    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }
    fn visit_bool<E>(self, v: bool) -> Result<Raw, E> {
        Ok(Raw::Typed(v.to_string()))
    }
    fn visit_i64<E>(self, v: i64) -> Result<Raw, E> {
        Ok(Raw::Typed(v.to_string()))
    }
    fn visit_u64<E>(self, v: u64) -> Result<Raw, E> {
        Ok(Raw::Typed(v.to_string()))
    }
    fn visit_i128<E>(self, v: i128) -> Result<Raw, E> {
        Ok(Raw::Typed(v.to_string()))
    }
    fn visit_u128<E>(self, v: u128) -> Result<Raw, E> {
        Ok(Raw::Typed(v.to_string()))
    }
    fn visit_f64<E>(self, v: f64) -> Result<Raw, E> {
        Ok(Raw::Typed(v.to_string()))
    }
    fn visit_str<E>(self, v: &str) -> Result<Raw, E> {
        Ok(Raw::Text(v.to_owned()))
    }
    fn visit_bytes<E>(self, v: &[u8]) -> Result<Raw, E> {
        Ok(Raw::Text(String::from_utf8_lossy(v).into_owned()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Raw::Seq(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Map(entries))
    }
}
