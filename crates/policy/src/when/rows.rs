//! What an expression asks of a recording's row, as far as a database can be asked for it.

use domain::{Kind, RowTest, Timestamp};

use super::parse::{Comparison, Field, Node};
use crate::{
    OwnField,
    matching::{ALWAYS, NEVER},
};

/// Tests without which it does not hold. One side of `&&` that is false makes it false, whatever is the matter with the other.
pub(super) fn tests(root: &Node, own: &[OwnField], today: Timestamp) -> Vec<RowTest> {
    let mut found = Vec::new();
    let mut rest = vec![root];
    while let Some(node) = rest.pop() {
        match node {
            Node::And(both) => rest.extend([&both.1, &both.0]),
            _ => found.extend(test(node, own, today)),
        }
    }
    found
}

fn test(node: &Node, own: &[OwnField], today: Timestamp) -> Option<RowTest> {
    match node {
        Node::StartsWith(both) => match &**both {
            (Node::Field(Field::Name), Node::Text(text)) => Some(RowTest::Name([text.clone()].into())),
            (Node::Field(Field::Type), Node::Text(text)) => Some(RowTest::Type([text.clone()].into())),
            _ => None,
        },
        Node::In(both) => match &**both {
            (Node::Text(tag), Node::Field(Field::Tags)) => {
                Some(RowTest::Tags { has: [tag.clone()].into(), any: [].into(), none: [].into() })
            }
            (Node::Field(Field::Own(at)), Node::List(items)) => {
                let texts = items.iter().map(|item| match item {
                    Node::Text(text) => Some(text.clone()),
                    _ => None,
                });
                Some(RowTest::Field { name: own.get(*at)?.name.clone(), any: texts.collect::<Option<_>>()? })
            }
            _ => None,
        },
        Node::Compare(comparison, both) => match &**both {
            (Node::Field(Field::Own(at)), Node::Text(text))
            | (Node::Text(text), Node::Field(Field::Own(at)))
                if *comparison == Comparison::Equal =>
            {
                Some(RowTest::Field { name: own.get(*at)?.name.clone(), any: [text.clone()].into() })
            }
            (Node::Field(field), value) => compared(*field, *comparison, value, today),
            (value, Node::Field(field)) => compared(*field, comparison.turned(), value, today),
            _ => None,
        },
        _ => None,
    }
}

fn compared(field: Field, comparison: Comparison, value: &Node, today: Timestamp) -> Option<RowTest> {
    match (field, value) {
        (Field::Size, Node::Int(n)) => {
            let (min, max) = range(comparison, *n)?;
            Some(RowTest::Size { min, max })
        }
        (Field::Duration, Node::Duration(ms)) => {
            let (min, max) = range(comparison, *ms)?;
            Some(RowTest::Duration { min, max })
        }
        // Nothing is younger than no time at all, so only what is older than that can be asked of the date.
        (Field::Age, Node::Duration(ms)) if *ms > 0 => {
            let (min, max) = range(comparison, *ms)?;
            let ago = |ms: u64| Timestamp(today.0.saturating_sub(i64::try_from(ms).unwrap_or(i64::MAX)));
            let from = if max == u64::MAX { ALWAYS } else { ago(max) };
            let before = if min == 0 { NEVER } else { Timestamp(ago(min).0.saturating_add(1)) };
            Some(RowTest::Dated { from, before })
        }
        (Field::Recorded, Node::Time(at)) => {
            let (from, before) = span(comparison, *at)?;
            Some(RowTest::Dated { from, before })
        }
        (Field::Accepted, Node::Time(at)) => {
            let (from, before) = span(comparison, *at)?;
            Some(RowTest::Accepted { from, before })
        }
        (Field::Kind, Node::Text(text)) if comparison == Comparison::Equal => {
            Some(RowTest::Kind(Kind::ALL.into_iter().filter(|kind| kind.as_str() == text).collect()))
        }
        _ => None,
    }
}

/// Both ends included. What is not below any number of bytes or milliseconds is left to the expression.
fn range(comparison: Comparison, n: i64) -> Option<(u64, u64)> {
    let n = u64::try_from(n).ok()?;
    Some(match comparison {
        Comparison::Equal => (n, n),
        Comparison::Less => (0, n.checked_sub(1)?),
        Comparison::LessEqual => (0, n),
        Comparison::Greater => (n.checked_add(1)?, u64::MAX),
        Comparison::GreaterEqual => (n, u64::MAX),
        Comparison::Unequal => return None,
    })
}

/// The end excluded.
fn span(comparison: Comparison, at: i64) -> Option<(Timestamp, Timestamp)> {
    let after = Timestamp(at.checked_add(1)?);
    let at = Timestamp(at);
    Some(match comparison {
        Comparison::Equal => (at, after),
        Comparison::Less => (ALWAYS, at),
        Comparison::LessEqual => (ALWAYS, after),
        Comparison::Greater => (after, NEVER),
        Comparison::GreaterEqual => (at, NEVER),
        Comparison::Unequal => return None,
    })
}

impl Comparison {
    /// As it reads from the other side.
    fn turned(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::LessEqual => Self::GreaterEqual,
            Self::Greater => Self::Less,
            Self::GreaterEqual => Self::LessEqual,
            same => same,
        }
    }
}
