use std::collections::BTreeSet;

use domain::{Kind, Timestamp};
use serde::Serialize;

use crate::{
    FieldKind, OwnField,
    check::Check,
    glob::Glob,
    own,
    problem::{clip, nearest},
    units::{self, Range},
    verbs::CLASSES,
    yaml::{self, Node, Value},
};

/// One line of a `match`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Condition {
    pub(crate) test: Test,
    /// For people: `age >=30d`.
    #[serde(skip)]
    pub(crate) written: String,
}

/// What is compared with what. In the order in which they are tried: cheap ones first, what time changes last.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) enum Test {
    Kind(BTreeSet<Kind>),
    /// Bytes.
    Size(Range),
    Recorded(Between),
    AcceptedBetween(Between),
    Prefix(BTreeSet<String>),
    Tags {
        has: BTreeSet<String>,
        any: BTreeSet<String>,
        none: BTreeSet<String>,
    },
    /// One of people's own fields.
    Own {
        name: String,
        want: Want,
    },
    Name(BTreeSet<Glob>),
    Found(BTreeSet<Found>),
    /// Verified places, the source's own store among them.
    Copies(Range),
    Tier(BTreeSet<Tier>),
    /// Milliseconds.
    Duration(Range),
    /// Pixels as displayed.
    Height(Range),
    Codec(BTreeSet<String>),
    Type(BTreeSet<Glob>),
    /// Milliseconds.
    Age(Range),
    /// Milliseconds.
    AcceptedAgo(Range),
    /// Milliseconds.
    LastAccess(Range),
    /// The same of a rule that deletes or evicts: what nobody has seen is no access, and not long ago.
    #[serde(rename = "LastAccess")]
    LastSeen(Range),
}

/// What is asked of one of people's own fields.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Want {
    /// That it has the field, or has it not.
    Set(bool),
    /// One of these texts.
    Is(BTreeSet<String>),
    /// None of these texts; also where there is no such field.
    Not(BTreeSet<String>),
    Number(Range),
    Date(Between),
}

/// From an instant, included, to another, excluded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Between {
    pub(crate) from: Option<Timestamp>,
    pub(crate) before: Option<Timestamp>,
}

/// What probing found. States that a policy's own work leads to are not here: a rule that matched on them would
/// undo itself, and match again, for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) enum Found {
    Good,
    Damaged,
    Unsupported,
}

/// How the source lies.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Tier {
    /// Readable without waiting.
    Hot,
    /// It has to be restored before it is read.
    Cold,
    /// A storage class of S3.
    Class(String),
}

impl Condition {
    /// Whether there is nothing that it leaves out.
    pub(crate) fn holds_always(&self) -> bool {
        let all = |range: &Range| range.min == 0 && range.max == u64::MAX;
        match &self.test {
            Test::Kind(kinds) => kinds.len() == Kind::ALL.len(),
            Test::Size(range) | Test::Age(range) | Test::AcceptedAgo(range) | Test::Copies(range) => {
                all(range)
            }
            Test::Name(globs) => globs.iter().any(Glob::matches_everything),
            Test::Tags { has, any, none } => has.is_empty() && any.is_empty() && none.is_empty(),
            _ => false,
        }
    }
}

/// Reads a `match`; nothing when it is wrong.
pub(crate) fn read(check: &mut Check<'_>, node: &Node, own: &[OwnField]) -> Option<Vec<Condition>> {
    match &node.value {
        Value::Scalar(text) if text == "all" => return Some(Vec::new()),
        Value::Map(entries) if !entries.is_empty() => {}
        Value::Map(_) | Value::Null => {
            check.problem(node.at, "`match` is empty; `match: all` is how one says everything");
            return None;
        }
        _ => {
            check.problem(node.at, format!("expected `all` or a mapping for `match`, not {}", node.what()));
            return None;
        }
    }
    let (mut conditions, mut right) = (Vec::new(), true);
    for field in check.fields(node, "`match`", FIELDS, &[])? {
        if field.name == "fields" {
            match own_fields(check, field.value, own) {
                Some(of_fields) => conditions.extend(of_fields),
                None => right = false,
            }
            continue;
        }
        match test(check, field.name, field.value) {
            Some(test) => conditions.push(Condition { test, written: written(field.name, field.value) }),
            None => right = false,
        }
    }
    conditions.sort();
    (right && !conditions.is_empty()).then_some(conditions)
}

pub(crate) const FIELDS: &[&str] = &[
    "accepted",
    "age",
    "codec",
    "copies",
    "duration",
    "fields",
    "height",
    "kind",
    "last_access",
    "name",
    "prefix",
    "recorded",
    "size",
    "state",
    "tags",
    "tier",
    "type",
];

pub(crate) const KINDS: [(&str, Kind); 3] =
    [("recording", Kind::Recording), ("track", Kind::Track), ("session", Kind::Session)];
pub(crate) const FOUND: [(&str, Found); 3] =
    [("good", Found::Good), ("damaged", Found::Damaged), ("unsupported", Found::Unsupported)];

/// What people write and what ffprobe calls it.
const CODEC_ALIASES: &[(&str, &str)] = &[
    ("h265", "hevc"),
    ("h.265", "hevc"),
    ("x265", "hevc"),
    ("avc", "h264"),
    ("h.264", "h264"),
    ("x264", "h264"),
    ("libx264", "h264"),
    ("libopus", "opus"),
    ("divx", "mpeg4"),
];

fn test(check: &mut Check<'_>, name: &str, node: &Node) -> Option<Test> {
    let range = |text: &str| units::range(text, units::duration, false);
    Some(match name {
        "age" => Test::Age(check.value(node, "`age`", range)?),
        "last_access" => Test::LastAccess(check.value(node, "`last_access`", range)?),
        "copies" => Test::Copies(check.value(node, "`copies`", |t| units::range(t, units::count, true))?),
        "tier" => Test::Tier(choices(check, node, "`tier`", |check, node, text| match text {
            "hot" => Some(Tier::Hot),
            "cold" => Some(Tier::Cold),
            class if class == "STANDARD" || CLASSES.contains(&class) => Some(Tier::Class(class.to_owned())),
            other => {
                let known: Vec<&str> =
                    ["hot", "cold", "STANDARD"].into_iter().chain(CLASSES.iter().copied()).collect();
                check.problem(node.at, format!("unknown tier `{}`{}", clip(other), nearest(other, &known)));
                None
            }
        })?),
        "duration" => Test::Duration(check.value(node, "`duration`", range)?),
        "size" => Test::Size(check.value(node, "`size`", |t| units::range(t, units::size, false))?),
        "height" => Test::Height(check.value(node, "`height`", |t| units::range(t, units::count, true))?),
        "recorded" => Test::Recorded(between(check, node, "`recorded`")?),
        "accepted" => match &node.value {
            Value::Map(_) => Test::AcceptedBetween(between(check, node, "`accepted`")?),
            _ => Test::AcceptedAgo(check.value(node, "`accepted`", range)?),
        },
        "type" => Test::Type(all(check, node, "`type`", |_, text| Glob::media_type(text))?),
        "codec" => Test::Codec(all(check, node, "`codec`", |_, text| {
            let text = text.to_ascii_lowercase();
            match CODEC_ALIASES.iter().find(|(alias, _)| *alias == text) {
                Some((_, name)) => Err(format!("`{text}` is called `{name}` here, as ffprobe does")),
                None => Ok(text),
            }
        })?),
        "name" => Test::Name(all(check, node, "`name`", |_, text| relative(text).and_then(Glob::new))?),
        "prefix" => Test::Prefix(all(check, node, "`prefix`", |_, text| relative(text).map(str::to_owned))?),
        "tags" => tags(check, node)?,
        "kind" => Test::Kind(choices(check, node, "`kind`", |check, node, text| {
            check.choice(node.at, text, "kind", &KINDS)
        })?),
        "state" => Test::Found(choices(check, node, "`state`", |check, node, text| {
            if domain::State::ALL.iter().any(|s| s.as_str() == text)
                && !FOUND.iter().any(|(name, _)| *name == text)
            {
                let message = format!(
                    "`{text}` is where the policy's own work leads, and a rule on it would undo itself; match on \
                     what probing found: good, damaged, unsupported"
                );
                check.problem(node.at, message);
                return None;
            }
            check.choice(node.at, text, "state", &FOUND)
        })?),
        _ => unreachable!("`fields` lets only known ones through"),
    })
}

fn own_fields(check: &mut Check<'_>, node: &Node, own: &[OwnField]) -> Option<Vec<Condition>> {
    let fields = check.entries(node, "`fields`")?;
    if fields.is_empty() {
        check.problem(
            node.at,
            "`fields` is empty; it names fields and what they are: `fields: { case: A-17 }`",
        );
        return None;
    }
    let count = fields.len();
    let conditions = fields.into_iter().filter_map(|field| {
        let Some(known) = own::find(own, field.name) else {
            check.problem(field.at, own::unknown(own, field.name));
            return None;
        };
        let want = want(check, known, field.value)?;
        let name = field.name.to_owned();
        let written = written(&format!("field {name}"), field.value);
        Some(Condition { test: Test::Own { name, want }, written })
    });
    let conditions: Vec<Condition> = conditions.collect();
    (conditions.len() == count).then_some(conditions)
}

/// A value, a list of them, a comparison of numbers, a span of dates; or `{ not: ... }` or `{ set: ... }`.
fn want(check: &mut Check<'_>, field: &OwnField, node: &Node) -> Option<Want> {
    let what = format!("`{}`", field.name);
    let texts = |check: &mut Check<'_>, node: &Node| {
        all(check, node, &what, |_, text| field.kind.read(text).map(|_| text.to_owned()))
    };
    let names = yaml::names(Some(node));
    if names.contains("set") || names.contains("not") {
        let fields = check.fields(node, &what, &["not", "set"], &[])?;
        let [only] = fields.as_slice() else {
            check.problem(node.at, format!("{what} takes either `not` or `set`"));
            return None;
        };
        return Some(match (only.name, &field.kind) {
            ("set", _) => {
                let words = [("true", true), ("false", false)];
                let text = check.text(only.value, "`set`")?;
                Want::Set(check.choice(only.value.at, text, "answer", &words)?)
            }
            (_, FieldKind::Text | FieldKind::OneOf(_)) => Want::Not(texts(check, only.value)?),
            _ => {
                let message = format!("{what} is compared as a number or a date is, and takes no `not`");
                check.problem(only.at, message);
                return None;
            }
        });
    }
    Some(match &field.kind {
        FieldKind::Text | FieldKind::OneOf(_) => Want::Is(texts(check, node)?),
        FieldKind::Number => {
            Want::Number(check.value(node, &what, |text| units::range(text, units::number, true))?)
        }
        FieldKind::Date => Want::Date(between(check, node, &what)?),
    })
}

fn between(check: &mut Check<'_>, node: &Node, what: &str) -> Option<Between> {
    let mut between = Between { from: None, before: None };
    let fields = check.fields(node, what, &["from", "before"], &[])?;
    if fields.is_empty() {
        check.problem(node.at, format!("{what} needs `from` or `before`"));
        return None;
    }
    for field in fields {
        let date = Some(check.value(field.value, &format!("`{}`", field.name), units::date)?);
        *(if field.name == "from" { &mut between.from } else { &mut between.before }) = date;
    }
    if let (Some(from), Some(before)) = (between.from, between.before)
        && from >= before
    {
        check.problem(node.at, format!("{what} holds nothing: `from` is not before `before`"));
        return None;
    }
    Some(between)
}

fn tags(check: &mut Check<'_>, node: &Node) -> Option<Test> {
    let one_set = |check: &mut Check<'_>, node: &Node| all(check, node, "`tags`", |_, text| tag(text));
    let (mut has, mut any, mut none) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    if let Value::Map(_) = node.value {
        let known = ["any", "has", "none"];
        if let Some(other) = yaml::names(Some(node)).into_iter().find(|name| !known.contains(name))
            && nearest(other, &known).starts_with("; known")
        {
            let message = format!(
                "tags are words and have no values, as in `tags: [{0}]`; what has a value is a field: `fields: {{ {0}: ... }}`",
                clip(other)
            );
            check.problem(node.at, message);
            return None;
        }
        let fields = check.fields(node, "`tags`", &known, &[])?;
        if fields.is_empty() {
            let hint = "`tags` needs `has`, `any` or `none`, or a plain list";
            check.problem(node.at, hint);
            return None;
        }
        for field in fields {
            let set = one_set(check, field.value)?;
            match field.name {
                "has" => has = set,
                "any" => any = set,
                _ => none = set,
            }
        }
    } else {
        has = one_set(check, node)?;
    }
    Some(Test::Tags { has, any, none })
}

/// A tag as a person may write it: one line without commas, since commas part tags on the command line.
pub fn tag(text: &str) -> Result<String, String> {
    let right = text.chars().count() <= 64
        && text.trim() == text
        && !text.is_empty()
        && !text.contains(|c: char| c == ',' || c.is_control());
    if right {
        Ok(text.to_owned())
    } else {
        Err(format!("`{}` is not a tag; at most 64 characters, no commas, no line breaks", clip(text)))
    }
}

fn relative(text: &str) -> Result<&str, String> {
    if text.starts_with('/') {
        return Err(format!("`{}` matches nothing: recordings' names do not start with /", clip(text)));
    }
    Ok(text)
}

/// Every value of a list, or nothing when one is wrong.
fn all<T: Ord>(
    check: &mut Check<'_>,
    node: &Node,
    what: &str,
    read: impl Fn(&Node, &str) -> Result<T, String>,
) -> Option<BTreeSet<T>> {
    choices(check, node, what, |check, node, text| match read(node, text) {
        Ok(value) => Some(value),
        Err(message) => {
            check.problem(node.at, format!("{what}: {message}"));
            None
        }
    })
}

fn choices<T: Ord>(
    check: &mut Check<'_>,
    node: &Node,
    what: &str,
    mut read: impl FnMut(&mut Check<'_>, &Node, &str) -> Option<T>,
) -> Option<BTreeSet<T>> {
    let values = check.values(node, what);
    let count = values.len();
    let read: Vec<T> = values.into_iter().filter_map(|(node, text)| read(check, node, text)).collect();
    (count > 0 && read.len() == count).then(|| read.into_iter().collect())
}

fn written(name: &str, node: &Node) -> String {
    fn values(node: &Node, between: &str) -> String {
        match &node.value {
            Value::Null => String::new(),
            Value::Scalar(text) => clip(text),
            Value::Seq(items) => items.iter().map(|i| values(i, between)).collect::<Vec<_>>().join(between),
            Value::Map(entries) => {
                let entries = entries.iter().map(|(k, v)| {
                    let between = if k.what() == "`has`" { " and " } else { " or " };
                    format!("{} {}", values(k, " "), values(v, between))
                });
                entries.collect::<Vec<_>>().join(" ")
            }
        }
    }
    if let Value::Map(entries) = &node.value
        && let [(key, value)] = entries.as_slice()
        && key.what() == "`not`"
    {
        return format!("{name} not {}", values(value, " or "));
    }
    // A plain list of tags means all of them.
    format!("{name} {}", values(node, if name == "tags" { " and " } else { " or " }))
}
