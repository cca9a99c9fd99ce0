use domain::{Facts, Kind, MediaFacts, Timestamp};
use jiff::{civil::Weekday, tz::TimeZone};

use super::parse::{Comparison, Expression, Field, Node, Part};
use crate::{
    Policy,
    copies::Copies,
    matching::{accessed, height, played},
    own::OwnValue,
    units::{as_float, show_duration, show_size},
};

/// What an expression says of a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Holds(bool),
    /// It looks at what probing will tell.
    Unprobed,
    /// It looks at what this recording does not have.
    Missing(&'static str),
    /// It divides by zero, or the like.
    Broken(&'static str),
}

/// Evaluates an expression. `today` is its `now`.
pub(super) fn answer(
    expression: &Expression,
    only_seen: bool,
    policy: &Policy,
    facts: &Facts,
    today: Timestamp,
) -> Answer {
    let mut eval = Eval { policy, facts, today, only_seen, fuel: MAX_WORK };
    match eval.value(&expression.root, &Scope::Outermost) {
        Ok(Value::Bool(holds)) => Answer::Holds(holds),
        Ok(_) => Answer::Broken("it is neither true nor false"),
        Err(Without::Unprobed) => Answer::Unprobed,
        Err(Without::Missing(what)) => Answer::Missing(what),
        Err(Without::Broken(why)) => Answer::Broken(why),
    }
}

/// What a field is, for a person.
pub(super) fn saw(field: Field, only_seen: bool, policy: &Policy, facts: &Facts, today: Timestamp) -> String {
    let eval = Eval { policy, facts, today, only_seen, fuel: 0 };
    let name = field.name(&policy.own);
    match eval.field(field) {
        Err(Without::Unprobed) => format!("{name} is not probed yet"),
        Err(Without::Missing(what)) => format!("{name}: {what}"),
        Err(Without::Broken(why)) => format!("{name}: {why}"),
        Ok(value) => format!("{name} is {}", value.show(field)),
    }
}

/// Nodes evaluated: a list within a list within a list is looked at each with each.
const MAX_WORK: u32 = 20_000;

struct Eval<'a> {
    policy: &'a Policy,
    facts: &'a Facts,
    today: Timestamp,
    only_seen: bool,
    fuel: u32,
}

#[derive(Debug, Clone, Copy)]
enum Value<'a> {
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(&'a str),
    /// Milliseconds.
    Duration(i64),
    Time(i64),
    Tags(&'a std::collections::BTreeSet<String>),
    Codecs(&'a MediaFacts),
    List(&'a [Node]),
}

/// Why there is no value. The later one is the graver one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Without {
    Missing(&'static str),
    Unprobed,
    Broken(&'static str),
}

/// The elements of the lists around, innermost first.
enum Scope<'s, 'a> {
    Outermost,
    Within { depth: usize, element: Value<'a>, outer: &'s Scope<'s, 'a> },
}

type Valued<'a> = Result<Value<'a>, Without>;

impl<'a> Eval<'a> {
    fn value(&mut self, node: &'a Node, scope: &Scope<'_, 'a>) -> Valued<'a> {
        self.fuel = self.fuel.checked_sub(1).ok_or(Without::Broken("it takes too much work"))?;
        Ok(match node {
            Node::Bool(b) => Value::Bool(*b),
            Node::Int(n) => Value::Int(*n),
            Node::Double(n) => Value::Double(*n),
            Node::Text(text) => Value::Text(text),
            Node::Duration(ms) => Value::Duration(*ms),
            Node::Time(ms) => Value::Time(*ms),
            Node::Field(field) => self.field(*field)?,
            Node::Now => Value::Time(self.today.0),
            Node::Variable(i) => scope.variable(*i)?,
            Node::Has(field) => match self.field(*field) {
                Ok(_) => Value::Bool(true),
                Err(Without::Missing(_)) => Value::Bool(false),
                Err(other) => return Err(other),
            },
            Node::Not(inner) => Value::Bool(!self.bool(inner, scope)?),
            Node::Negative(inner) => match self.value(inner, scope)? {
                Value::Int(n) => Value::Int(n.checked_neg().ok_or(TOO_LARGE)?),
                Value::Duration(n) => Value::Duration(n.checked_neg().ok_or(TOO_LARGE)?),
                Value::Double(n) => Value::Double(-n),
                _ => return Err(UNLIKE),
            },
            Node::And(both) => Value::Bool(self.decided(both, false, scope)?),
            Node::Or(both) => Value::Bool(self.decided(both, true, scope)?),
            Node::Choose(of) => match self.bool(&of.0, scope)? {
                true => self.value(&of.1, scope)?,
                false => self.value(&of.2, scope)?,
            },
            Node::Compare(comparison, both) => {
                let (one, other) = (self.value(&both.0, scope)?, self.value(&both.1, scope)?);
                Value::Bool(compare(*comparison, one, other)?)
            }
            Node::In(both) => {
                let one = self.value(&both.0, scope)?;
                let list = self.value(&both.1, scope)?;
                Value::Bool(match (list, one) {
                    (Value::Tags(tags), Value::Text(text)) => tags.contains(text),
                    _ => self.any(list, scope, |_, element| compare(Comparison::Equal, element, one))?,
                })
            }
            Node::Arithmetic(sign, both) => {
                let (one, other) = (self.value(&both.0, scope)?, self.value(&both.1, scope)?);
                arithmetic(*sign, one, other)?
            }
            Node::StartsWith(both) => {
                Value::Bool(self.text(&both.0, scope)?.starts_with(self.text(&both.1, scope)?))
            }
            Node::EndsWith(both) => {
                Value::Bool(self.text(&both.0, scope)?.ends_with(self.text(&both.1, scope)?))
            }
            Node::Contains(both) => {
                Value::Bool(self.text(&both.0, scope)?.contains(self.text(&both.1, scope)?))
            }
            Node::Matches(text, pattern) => Value::Bool(pattern.is_match(self.text(text, scope)?)),
            Node::Size(inner) => {
                let size = match self.value(inner, scope)? {
                    Value::Text(text) => text.chars().count(),
                    Value::Tags(tags) => tags.len(),
                    Value::Codecs(media) => played(media).count(),
                    Value::List(items) => items.len(),
                    _ => return Err(UNLIKE),
                };
                Value::Int(i64::try_from(size).unwrap_or(i64::MAX))
            }
            Node::Part(part, inner) => match self.value(inner, scope)? {
                Value::Time(ms) => Value::Int(of_time(*part, ms)?),
                _ => return Err(UNLIKE),
            },
            Node::List(items) => Value::List(items),
            Node::Each { all, of } => {
                let list = self.value(&of.0, scope)?;
                let depth = scope.depth();
                let found = self.any(list, scope, |eval, element| {
                    let within = Scope::Within { depth, element, outer: scope };
                    Ok(eval.bool(&of.1, &within)? != *all)
                })?;
                Value::Bool(found != *all)
            }
        })
    }

    fn bool(&mut self, node: &'a Node, scope: &Scope<'_, 'a>) -> Result<bool, Without> {
        match self.value(node, scope)? {
            Value::Bool(b) => Ok(b),
            _ => Err(UNLIKE),
        }
    }
    fn text(&mut self, node: &'a Node, scope: &Scope<'_, 'a>) -> Result<&'a str, Without> {
        match self.value(node, scope)? {
            Value::Text(text) => Ok(text),
            _ => Err(UNLIKE),
        }
    }

    /// One side that decides is enough, whichever it is and whatever is wrong with the other; so says CEL.
    fn decided(
        &mut self,
        both: &'a (Node, Node),
        decides: bool,
        scope: &Scope<'_, 'a>,
    ) -> Result<bool, Without> {
        let one = self.bool(&both.0, scope);
        if one == Ok(decides) {
            return Ok(decides);
        }
        match (one, self.bool(&both.1, scope)) {
            (_, Ok(other)) if other == decides => Ok(decides),
            (Ok(_), other) => other,
            (Err(one), Err(other)) => Err(one.max(other)),
            (Err(one), Ok(_)) => Err(one),
        }
    }

    /// Whether any element is it.
    fn any(
        &mut self,
        list: Value<'a>,
        scope: &Scope<'_, 'a>,
        mut is: impl FnMut(&mut Self, Value<'a>) -> Result<bool, Without>,
    ) -> Result<bool, Without> {
        let mut without: Option<Without> = None;
        let mut look = |found: Result<bool, Without>| match found {
            Ok(true) => true,
            Ok(false) => false,
            Err(other) => {
                without = without.max(Some(other));
                false
            }
        };
        let found = match list {
            Value::Tags(tags) => tags.iter().any(|tag| look(is(self, Value::Text(tag)))),
            Value::Codecs(media) => played(media).any(|codec| look(is(self, Value::Text(codec)))),
            Value::List(items) => items.iter().any(|item| {
                let found = self.value(item, scope).and_then(|value| is(self, value));
                look(found)
            }),
            _ => return Err(UNLIKE),
        };
        match without {
            Some(without) if !found => Err(without),
            _ => Ok(found),
        }
    }

    fn field(&self, field: Field) -> Valued<'a> {
        let facts = self.facts;
        let r = &facts.recording;
        let media = || match (&r.probe, r.kind) {
            (_, Kind::Session) => Err(Without::Missing("a session has no media of its own")),
            (None, _) => Err(Without::Unprobed),
            (Some(probe), _) => probe.facts.as_ref().ok_or(Without::Missing("probing found no media")),
        };
        let int = |n: u64| Value::Int(i64::try_from(n).unwrap_or(i64::MAX));
        Ok(match field {
            Field::Accepted => Value::Time(r.accepted_at.0),
            Field::Age => Value::Duration(self.today.0.saturating_sub(r.dated().0).max(0)),
            Field::Class => Value::Text(r.custody.place.class.as_deref().unwrap_or("STANDARD")),
            Field::Codecs => Value::Codecs(media()?),
            Field::Cold => Value::Bool(r.custody.place.cold.is_some()),
            Field::Copies => int(u64::from(Copies::of(self.policy, facts).count)),
            Field::Duration => match int(media()?.duration_ms) {
                Value::Int(ms) => Value::Duration(ms),
                other => other,
            },
            Field::Height => {
                let height = height(media()?).ok_or(Without::Missing("there is no video stream"))?;
                Value::Int(i64::from(height))
            }
            Field::Kind => Value::Text(r.kind.as_str()),
            Field::LastAccess if self.only_seen && r.custody.last_access.is_none() => {
                return Err(Without::Missing("nobody knows when it was last accessed"));
            }
            Field::LastAccess => Value::Time(accessed(r).0),
            Field::Name => Value::Text(&r.name),
            Field::Recorded => Value::Time(r.dated().0),
            Field::Size => int(r.digest.size),
            Field::Source => Value::Text(r.name.split_once('/').map_or("", |(source, _)| source)),
            Field::State => match (&r.probe, r.kind) {
                (_, Kind::Session) => return Err(Without::Missing("a session is not probed")),
                (None, _) => return Err(Without::Unprobed),
                (Some(probe), _) => Value::Text(match probe.verdict {
                    domain::Verdict::Good => "good",
                    domain::Verdict::Damaged { .. } => "damaged",
                    domain::Verdict::Unsupported { .. } => "unsupported",
                }),
            },
            Field::Store => Value::Text(&r.store),
            Field::Tags => Value::Tags(&r.tags),
            Field::Title => Value::Text(&r.title),
            Field::Type => Value::Text(&media()?.media_type),
            Field::Own(at) => {
                let field = self.policy.own.get(at).ok_or(UNLIKE)?;
                let text = r.fields.get(&field.name).ok_or(Without::Missing("there is no such field"))?;
                match field.kind.read(text).map_err(|_| Without::Missing(field.kind.is_none()))? {
                    OwnValue::Text(text) => Value::Text(text),
                    OwnValue::Number(number) => Value::Double(as_float(number)),
                    OwnValue::Date(at) => Value::Time(at.0),
                }
            }
        })
    }
}

const TOO_LARGE: Without = Without::Broken("a number becomes too large");
/// Types are checked at load; this keeps a mistake of ours from becoming an answer.
const UNLIKE: Without = Without::Broken("types do not fit");

impl<'a> Scope<'_, 'a> {
    fn depth(&self) -> usize {
        match self {
            Self::Outermost => 0,
            Self::Within { depth, .. } => depth + 1,
        }
    }
    fn variable(&self, i: usize) -> Valued<'a> {
        match self {
            Self::Outermost => Err(UNLIKE),
            Self::Within { depth, element, .. } if *depth == i => Ok(*element),
            Self::Within { outer, .. } => outer.variable(i),
        }
    }
}

fn compare(comparison: Comparison, one: Value<'_>, other: Value<'_>) -> Result<bool, Without> {
    let order = match (one, other) {
        (Value::Bool(a), Value::Bool(b)) => a.cmp(&b),
        (Value::Int(a), Value::Int(b))
        | (Value::Duration(a), Value::Duration(b))
        | (Value::Time(a), Value::Time(b)) => a.cmp(&b),
        (Value::Text(a), Value::Text(b)) => a.cmp(b),
        (Value::Double(a), Value::Double(b)) => return Ok(holds(comparison, a.partial_cmp(&b))),
        (Value::Int(a), Value::Double(b)) => return Ok(holds(comparison, (a as f64).partial_cmp(&b))),
        (Value::Double(a), Value::Int(b)) => return Ok(holds(comparison, a.partial_cmp(&(b as f64)))),
        _ => return Err(UNLIKE),
    };
    Ok(holds(comparison, Some(order)))
}

fn holds(comparison: Comparison, order: Option<std::cmp::Ordering>) -> bool {
    match comparison {
        Comparison::Equal => order.is_some_and(|o| o.is_eq()),
        Comparison::Unequal => order.is_none_or(|o| o.is_ne()),
        Comparison::Less => order.is_some_and(|o| o.is_lt()),
        Comparison::LessEqual => order.is_some_and(|o| o.is_le()),
        Comparison::Greater => order.is_some_and(|o| o.is_gt()),
        Comparison::GreaterEqual => order.is_some_and(|o| o.is_ge()),
    }
}

fn arithmetic<'a>(sign: char, one: Value<'a>, other: Value<'a>) -> Valued<'a> {
    let whole = |a: i64, b: i64| -> Result<i64, Without> {
        if b == 0 && matches!(sign, '/' | '%') {
            return Err(Without::Broken("it divides by zero"));
        }
        let result = match sign {
            '+' => a.checked_add(b),
            '-' => a.checked_sub(b),
            '*' => a.checked_mul(b),
            '/' => a.checked_div(b),
            _ => a.checked_rem(b),
        };
        result.ok_or(TOO_LARGE)
    };
    Ok(match (one, other) {
        (Value::Int(a), Value::Int(b)) => Value::Int(whole(a, b)?),
        (Value::Double(a), Value::Double(b)) => Value::Double(match sign {
            '+' => a + b,
            '-' => a - b,
            '*' => a * b,
            _ => a / b,
        }),
        (Value::Time(a), Value::Duration(b)) | (Value::Duration(a), Value::Time(b)) => {
            Value::Time(whole(a, b)?)
        }
        (Value::Time(a), Value::Time(b)) | (Value::Duration(a), Value::Duration(b)) => {
            Value::Duration(whole(a, b)?)
        }
        _ => return Err(UNLIKE),
    })
}

fn of_time(part: Part, ms: i64) -> Result<i64, Without> {
    let time =
        jiff::Timestamp::from_millisecond(ms).map_err(|_| Without::Broken("no time of any calendar"))?;
    let time = time.to_zoned(TimeZone::UTC);
    Ok(match part {
        Part::FullYear => i64::from(time.year()),
        Part::Month => i64::from(time.month()) - 1,
        Part::Date => i64::from(time.day()),
        Part::DayOfWeek => i64::from(time.weekday().since(Weekday::Sunday)),
        Part::Hours => i64::from(time.hour()),
    })
}

impl Value<'_> {
    fn show(self, field: Field) -> String {
        let list = |items: Vec<&str>| if items.is_empty() { "empty".into() } else { items.join(", ") };
        match self {
            Self::Bool(b) => b.to_string(),
            Self::Int(n) if field == Field::Size => show_size(u64::try_from(n).unwrap_or_default()),
            Self::Int(n) => n.to_string(),
            Self::Double(n) => n.to_string(),
            Self::Text(text) => text.to_owned(),
            Self::Duration(ms) => show_duration(u64::try_from(ms).unwrap_or_default()),
            Self::Time(ms) => Timestamp(ms).to_string(),
            Self::Tags(tags) => list(tags.iter().map(String::as_str).collect()),
            Self::Codecs(media) => list(played(media).collect()),
            Self::List(_) => "a list".into(),
        }
    }
}
