use std::collections::BTreeSet;

use regex_lite::{Regex, RegexBuilder};

use super::lex::{Kind, Token, lex};
use crate::{
    FieldKind, OwnField, own,
    problem::{clip, nearest},
    units,
};

/// What is wrong with an expression, and at which of its characters.
#[derive(Debug, PartialEq)]
pub(crate) struct Wrong {
    pub(crate) at: usize,
    pub(crate) message: String,
}

impl Wrong {
    pub(super) fn at(at: usize, message: impl Into<String>) -> Self {
        Self { at, message: message.into() }
    }
}

/// An expression, checked: evaluating it meets no type that it does not expect.
#[derive(Debug, Clone)]
pub(crate) struct Expression {
    pub(super) root: Node,
    /// What it looks at, in the table's order.
    pub(crate) fields: Vec<Field>,
    pub(crate) looks_at_time: bool,
}

#[derive(Debug, Clone)]
pub(super) enum Node {
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(String),
    /// Milliseconds.
    Duration(i64),
    Time(i64),
    Field(Field),
    Now,
    /// A list's element, counted from the outermost list.
    Variable(usize),
    Has(Field),
    Not(Box<Node>),
    Negative(Box<Node>),
    And(Box<(Node, Node)>),
    Or(Box<(Node, Node)>),
    Choose(Box<(Node, Node, Node)>),
    Compare(Comparison, Box<(Node, Node)>),
    In(Box<(Node, Node)>),
    Arithmetic(char, Box<(Node, Node)>),
    StartsWith(Box<(Node, Node)>),
    EndsWith(Box<(Node, Node)>),
    Contains(Box<(Node, Node)>),
    Matches(Box<Node>, Regex),
    Size(Box<Node>),
    Part(Part, Box<Node>),
    List(Vec<Node>),
    /// `exists`, or `all`: the list and what is asked of each.
    Each {
        all: bool,
        of: Box<(Node, Node)>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    Unequal,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

/// A part of a time, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    FullYear,
    /// From 0, as CEL counts.
    Month,
    /// From 1.
    Date,
    /// Sunday is 0.
    DayOfWeek,
    Hours,
}

/// `recording.NAME`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Field {
    Accepted,
    Age,
    Class,
    Codecs,
    Cold,
    Copies,
    Duration,
    Height,
    Kind,
    LastAccess,
    Name,
    Recorded,
    Size,
    Source,
    State,
    Store,
    Tags,
    Title,
    Type,
    /// `recording.fields.NAME`: the policy's own, by their place among them.
    Own(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Bool,
    Int,
    Double,
    Text,
    Duration,
    Time,
    Texts,
    Ints,
}

/// How people's own are reached.
const OWN: &str = "fields";

const FIELDS: &[(&str, Field, Type)] = &[
    ("accepted", Field::Accepted, Type::Time),
    ("age", Field::Age, Type::Duration),
    ("class", Field::Class, Type::Text),
    ("codecs", Field::Codecs, Type::Texts),
    ("cold", Field::Cold, Type::Bool),
    ("copies", Field::Copies, Type::Int),
    ("duration", Field::Duration, Type::Duration),
    ("height", Field::Height, Type::Int),
    ("kind", Field::Kind, Type::Text),
    ("last_access", Field::LastAccess, Type::Time),
    ("name", Field::Name, Type::Text),
    ("recorded", Field::Recorded, Type::Time),
    ("size", Field::Size, Type::Int),
    ("source", Field::Source, Type::Text),
    ("state", Field::State, Type::Text),
    ("store", Field::Store, Type::Text),
    ("tags", Field::Tags, Type::Texts),
    ("title", Field::Title, Type::Text),
    ("type", Field::Type, Type::Text),
];

impl Field {
    pub(super) fn name(self, own: &[OwnField]) -> String {
        match self {
            Self::Own(at) => own.get(at).map_or_else(String::new, |field| format!("{OWN}.{}", field.name)),
            _ => FIELDS.iter().find(|(_, field, _)| *field == self).map_or("", |(name, ..)| name).to_owned(),
        }
    }
}

impl Type {
    fn name(self) -> &'static str {
        match self {
            Self::Bool => "true or false",
            Self::Int => "a whole number",
            Self::Double => "a number",
            Self::Text => "a text",
            Self::Duration => "a duration",
            Self::Time => "a time",
            Self::Texts => "a list of texts",
            Self::Ints => "a list of numbers",
        }
    }
    fn is_number(self) -> bool {
        matches!(self, Self::Int | Self::Double)
    }
}

/// Nested deeper than anybody reads, and flatter than any stack.
const MAX_DEPTH: usize = 32;
/// Bytes of a compiled pattern: matching takes at most its length times that of a name.
const MAX_PATTERN: usize = 64 << 10;

/// Reads an expression and checks its types.
pub(crate) fn parse(text: &str, own: &[OwnField]) -> Result<Expression, Wrong> {
    let mut parser = Parser {
        tokens: lex(text)?,
        next: 0,
        depth: 0,
        variables: Vec::new(),
        fields: BTreeSet::new(),
        looks_at_time: false,
        own,
    };
    let (root, of, at) = parser.ternary()?;
    match parser.peek() {
        Kind::End => {}
        Kind::Sign(")" | "]") => return Err(parser.wrong("a bracket closes here that was not opened")),
        _ => return Err(parser.wrong("expected an operator such as && or || here")),
    }
    if of != Type::Bool {
        return Err(Wrong::at(
            at,
            format!("this is {}, and not true or false; compare it with something", of.name()),
        ));
    }
    Ok(Expression { root, fields: parser.fields.into_iter().collect(), looks_at_time: parser.looks_at_time })
}

struct Parser<'o> {
    tokens: Vec<Token>,
    next: usize,
    depth: usize,
    /// Names of the elements of the lists around, outermost first, and their types.
    variables: Vec<(String, Type)>,
    fields: BTreeSet<Field>,
    looks_at_time: bool,
    /// What people may say of recordings.
    own: &'o [OwnField],
}

/// A node, what it is, and where it begins.
type Typed = (Node, Type, usize);

impl Parser<'_> {
    fn ternary(&mut self) -> Result<Typed, Wrong> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.wrong(format!("nested deeper than {MAX_DEPTH}")));
        }
        let condition = self.or()?;
        let chosen = if self.takes("?") {
            let condition = expect(condition, Type::Bool, "what is before `?`")?;
            let (one, of, at) = self.ternary()?;
            self.must(":")?;
            let (other, also, other_at) = self.ternary()?;
            if of != also {
                let message = format!(
                    "both sides of `:` have to be alike; this is {}, the other {}",
                    also.name(),
                    of.name()
                );
                return Err(Wrong::at(other_at, message));
            }
            (Node::Choose(Box::new((condition, one, other))), of, at)
        } else {
            condition
        };
        self.depth -= 1;
        Ok(chosen)
    }

    fn or(&mut self) -> Result<Typed, Wrong> {
        self.chain("||", Self::and, Node::Or)
    }
    fn and(&mut self) -> Result<Typed, Wrong> {
        self.chain("&&", Self::relation, Node::And)
    }

    fn chain(
        &mut self,
        sign: &'static str,
        part: fn(&mut Self) -> Result<Typed, Wrong>,
        join: fn(Box<(Node, Node)>) -> Node,
    ) -> Result<Typed, Wrong> {
        let mut left = part(self)?;
        while self.takes(sign) {
            let at = left.2;
            let what = format!("what is beside `{sign}`");
            let (one, other) = (expect(left, Type::Bool, &what)?, expect(part(self)?, Type::Bool, &what)?);
            left = (join(Box::new((one, other))), Type::Bool, at);
        }
        Ok(left)
    }

    fn relation(&mut self) -> Result<Typed, Wrong> {
        let left = self.sum()?;
        let sign_at = self.at();
        if matches!(self.peek(), Kind::Name(name) if name == "in") {
            self.next += 1;
            let (one, of, at) = left;
            let (list, list_of, list_at) = self.sum()?;
            let element = element_of(list_of).ok_or_else(|| {
                Wrong::at(list_at, format!("`in` looks into a list, and this is {}", list_of.name()))
            })?;
            if element != of {
                let message = format!("{} is never in {}", of.name(), list_of.name());
                return Err(Wrong::at(at, message));
            }
            return Ok((Node::In(Box::new((one, list))), Type::Bool, at));
        }
        use Comparison::{Equal, Greater, GreaterEqual, Less, LessEqual, Unequal};
        let signs = [
            ("==", Equal),
            ("!=", Unequal),
            ("<=", LessEqual),
            (">=", GreaterEqual),
            ("<", Less),
            (">", Greater),
        ];
        let Some((_, comparison)) = signs.into_iter().find(|(sign, _)| self.takes(sign)) else {
            return Ok(left);
        };
        let (one, of, at) = left;
        let (other, also, other_at) = self.sum()?;
        let alike = of == also || of.is_number() && also.is_number();
        let orders = !matches!(of, Type::Bool | Type::Texts | Type::Ints);
        let equates = matches!(comparison, Equal | Unequal) && of == Type::Bool;
        if !alike {
            return Err(Wrong::at(other_at, unlike(of, also)));
        }
        if !orders && !equates {
            return Err(Wrong::at(sign_at, format!("{} cannot be compared so", of.name())));
        }
        if signs.iter().any(|(sign, _)| matches!(self.peek(), Kind::Sign(s) if s == sign)) {
            return Err(self.wrong("comparisons do not chain; write `a < b && b < c`"));
        }
        Ok((Node::Compare(comparison, Box::new((one, other))), Type::Bool, at))
    }

    fn sum(&mut self) -> Result<Typed, Wrong> {
        self.arithmetic(&[("+", '+'), ("-", '-')], Self::product)
    }
    fn product(&mut self) -> Result<Typed, Wrong> {
        self.arithmetic(&[("*", '*'), ("/", '/'), ("%", '%')], Self::unary)
    }

    fn arithmetic(
        &mut self,
        signs: &[(&'static str, char)],
        part: fn(&mut Self) -> Result<Typed, Wrong>,
    ) -> Result<Typed, Wrong> {
        let mut left = part(self)?;
        loop {
            let sign_at = self.at();
            let Some((_, sign)) = signs.iter().find(|(sign, _)| self.takes(sign)) else { return Ok(left) };
            let (one, of, at) = left;
            let (other, also, _) = part(self)?;
            use Type::{Double, Duration, Int, Time};
            let becomes = match (of, sign, also) {
                (Int, _, Int) => Int,
                (Double, '+' | '-' | '*' | '/', Double) => Double,
                (Time, '+' | '-', Duration) | (Duration, '+', Time) => Time,
                (Time, '-', Time) | (Duration, '+' | '-', Duration) => Duration,
                (Int, _, Double) | (Double, _, Int) => {
                    return Err(Wrong::at(
                        sign_at,
                        "both sides need to be whole numbers, or both not; write 2.0 for 2",
                    ));
                }
                _ => {
                    let message = format!("`{sign}` does not go with {} and {}", of.name(), also.name());
                    return Err(Wrong::at(sign_at, message));
                }
            };
            left = (Node::Arithmetic(*sign, Box::new((one, other))), becomes, at);
        }
    }

    fn unary(&mut self) -> Result<Typed, Wrong> {
        let at = self.at();
        // In a row and not one within the other: no number of them needs a stack.
        let (mut nots, mut minuses) = (0, 0);
        while minuses == 0 && self.takes("!") {
            nots += 1;
        }
        while nots == 0 && self.takes("-") {
            minuses += 1;
        }
        let (node, of, inner) = self.member()?;
        Ok(match (nots, minuses) {
            (0, 0) => (node, of, inner),
            (0, minuses) => {
                if !of.is_number() && of != Type::Duration {
                    return Err(Wrong::at(at, format!("{} has no negative", of.name())));
                }
                (if minuses % 2 == 1 { Node::Negative(Box::new(node)) } else { node }, of, at)
            }
            (nots, _) => {
                let node = expect((node, of, inner), Type::Bool, "what follows `!`")?;
                (if nots % 2 == 1 { Node::Not(Box::new(node)) } else { node }, Type::Bool, at)
            }
        })
    }

    fn member(&mut self) -> Result<Typed, Wrong> {
        let mut left = self.primary()?;
        loop {
            if matches!(self.peek(), Kind::Sign("[")) {
                return Err(self.wrong("lists are looked into by `in`, `exists` and `all`, not by number"));
            }
            if !self.takes(".") {
                return Ok(left);
            }
            let name_at = self.at();
            let name = self.name("a method such as startsWith")?;
            self.must("(")?;
            left = self.method(left, &name, name_at)?;
        }
    }

    fn method(&mut self, left: Typed, name: &str, name_at: usize) -> Result<Typed, Wrong> {
        let (node, of, at) = left;
        let known: &[&str] = match of {
            Type::Text => &["startsWith", "endsWith", "contains", "matches", "size"],
            Type::Texts | Type::Ints => &["exists", "all", "size"],
            Type::Time => &["getFullYear", "getMonth", "getDate", "getDayOfWeek", "getHours"],
            _ => &[],
        };
        if !known.contains(&name) {
            let known_here =
                if known.is_empty() { " has no methods".to_owned() } else { nearest(name, known) };
            return Err(Wrong::at(
                name_at,
                format!("{}: unknown method `{}`{known_here}", of.name(), clip(name)),
            ));
        }
        let made = match (name, of) {
            ("size", _) => (Node::Size(Box::new(node)), Type::Int),
            ("exists" | "all", list) => {
                let element = element_of(list).unwrap_or(Type::Text);
                let variable_at = self.at();
                let variable = self.name("a name for each element, as in tags.exists(t, t == \"x\")")?;
                if variable == "recording"
                    || variable == "now"
                    || self.variables.iter().any(|(n, _)| *n == variable)
                {
                    return Err(Wrong::at(
                        variable_at,
                        format!("`{}` has a meaning already", clip(&variable)),
                    ));
                }
                self.must(",")?;
                self.variables.push((variable, element));
                let body = expect(self.ternary()?, Type::Bool, "what is asked of each")?;
                self.variables.pop();
                (Node::Each { all: name == "all", of: Box::new((node, body)) }, Type::Bool)
            }
            ("matches", _) => {
                let pattern_at = self.at();
                let Kind::Text(pattern) = self.peek().clone() else {
                    return Err(self.wrong("`matches` needs its pattern in quotes"));
                };
                self.next += 1;
                let compiled = RegexBuilder::new(&pattern).size_limit(MAX_PATTERN).nest_limit(20).build();
                let pattern =
                    compiled.map_err(|error| Wrong::at(pattern_at, format!("no pattern: {error}")))?;
                (Node::Matches(Box::new(node), pattern), Type::Bool)
            }
            ("startsWith" | "endsWith" | "contains", _) => {
                let both = Box::new((
                    node,
                    expect(self.ternary()?, Type::Text, &format!("what `{name}` looks for"))?,
                ));
                let make = match name {
                    "startsWith" => Node::StartsWith,
                    "endsWith" => Node::EndsWith,
                    _ => Node::Contains,
                };
                (make(both), Type::Bool)
            }
            (part, _) => {
                let part = match part {
                    "getFullYear" => Part::FullYear,
                    "getMonth" => Part::Month,
                    "getDate" => Part::Date,
                    "getDayOfWeek" => Part::DayOfWeek,
                    _ => Part::Hours,
                };
                (Node::Part(part, Box::new(node)), Type::Int)
            }
        };
        self.must(")")?;
        Ok((made.0, made.1, at))
    }

    fn primary(&mut self) -> Result<Typed, Wrong> {
        let at = self.at();
        let token = self.peek().clone();
        self.next += 1;
        Ok(match token {
            Kind::Int(n) => (Node::Int(n), Type::Int, at),
            Kind::Double(n) => (Node::Double(n), Type::Double, at),
            Kind::Text(text) => (Node::Text(text), Type::Text, at),
            Kind::Sign("(") => {
                let (node, of, _) = self.ternary()?;
                self.must(")")?;
                (node, of, at)
            }
            Kind::Sign("[") => {
                let (list, of) = self.list(at)?;
                (list, of, at)
            }
            Kind::Name(name) => {
                let (node, of) = self.named(&name, at)?;
                (node, of, at)
            }
            Kind::End => return Err(Wrong::at(at, "the expression ends where something was to come")),
            Kind::Sign(sign) => return Err(Wrong::at(at, format!("`{sign}` was not expected here"))),
        })
    }

    fn named(&mut self, name: &str, at: usize) -> Result<(Node, Type), Wrong> {
        if let Some(i) = self.variables.iter().position(|(n, _)| n == name) {
            return Ok((Node::Variable(i), self.variables[i].1));
        }
        let is_field = || FIELDS.iter().any(|(known, ..)| *known == name);
        if matches!(name, "size" | "duration") && !matches!(self.peek(), Kind::Sign("(")) {
            return Err(Wrong::at(at, format!("`{name}` of what? Write `recording.{name}`")));
        }
        Ok(match name {
            "true" | "false" => (Node::Bool(name == "true"), Type::Bool),
            "now" => {
                self.looks_at_time = true;
                (Node::Now, Type::Time)
            }
            "recording" => {
                let (field, of) = self.field()?;
                self.fields.insert(field);
                self.looks_at_time |= field == Field::Age;
                (Node::Field(field), of)
            }
            "has" => {
                self.must("(")?;
                if !matches!(self.peek(), Kind::Name(name) if name == "recording") {
                    return Err(self.wrong("`has` asks for a field: has(recording.height)"));
                }
                self.next += 1;
                let (field, _) = self.field()?;
                self.fields.insert(field);
                self.must(")")?;
                (Node::Has(field), Type::Bool)
            }
            "size" => {
                self.must("(")?;
                let (node, of, inner) = self.ternary()?;
                if !matches!(of, Type::Text | Type::Texts | Type::Ints) {
                    return Err(Wrong::at(inner, format!("{} has no size", of.name())));
                }
                self.must(")")?;
                (Node::Size(Box::new(node)), Type::Int)
            }
            "duration" => {
                let ms = self.literal(units::duration)?;
                (Node::Duration(i64::try_from(ms).unwrap_or(i64::MAX)), Type::Duration)
            }
            "timestamp" => (Node::Time(self.literal(units::date)?.0), Type::Time),
            "null" => {
                return Err(Wrong::at(
                    at,
                    "there is no null here; has(recording.height) asks whether there is one",
                ));
            }
            other => {
                // The commonest mistake is a field without its recording.
                let hint = if is_field() {
                    format!("; write `recording.{other}`")
                } else {
                    nearest(
                        other,
                        &["recording", "now", "has", "size", "duration", "timestamp", "true", "false"],
                    )
                };
                return Err(Wrong::at(at, format!("unknown name `{}`{hint}", clip(other))));
            }
        })
    }

    /// What follows `recording`.
    fn field(&mut self) -> Result<(Field, Type), Wrong> {
        self.must(".")?;
        let at = self.at();
        let name = self.name("a field such as size")?;
        if name == OWN {
            return self.own_field();
        }
        match FIELDS.iter().find(|(known, ..)| *known == name) {
            Some((_, field, of)) => Ok((*field, *of)),
            None => {
                let known: Vec<&str> = FIELDS.iter().map(|(name, ..)| *name).collect();
                let hint = match own::find(self.own, &name) {
                    Some(_) => format!("; one of your own is written `recording.{OWN}.{}`", clip(&name)),
                    None => nearest(&name, &known),
                };
                Err(Wrong::at(at, format!("unknown field `{}` of the recording{hint}", clip(&name))))
            }
        }
    }

    /// What follows `recording.fields`.
    fn own_field(&mut self) -> Result<(Field, Type), Wrong> {
        self.must(".")?;
        let at = self.at();
        let name = self.name("a field of your own such as case")?;
        let found = self.own.iter().position(|field| field.name == name);
        let found = found.ok_or_else(|| Wrong::at(at, own::unknown(self.own, &name)))?;
        let of = match self.own[found].kind {
            FieldKind::Text | FieldKind::OneOf(_) => Type::Text,
            FieldKind::Number => Type::Double,
            FieldKind::Date => Type::Time,
        };
        Ok((Field::Own(found), of))
    }

    /// A text in brackets that is read now: `("30d")`.
    fn literal<T>(&mut self, read: impl FnOnce(&str) -> Result<T, String>) -> Result<T, Wrong> {
        self.must("(")?;
        let at = self.at();
        let Kind::Text(text) = self.peek().clone() else {
            return Err(
                self.wrong("expected a text in quotes here, such as \"30d\" or \"2026-01-01T00:00:00Z\"")
            );
        };
        self.next += 1;
        let value = read(&text).map_err(|message| Wrong::at(at, message))?;
        self.must(")")?;
        Ok(value)
    }

    fn list(&mut self, at: usize) -> Result<(Node, Type), Wrong> {
        let (mut items, mut of) = (Vec::new(), None);
        loop {
            let (item, item_of, item_at) = self.ternary()?;
            let list_of = match item_of {
                Type::Text => Type::Texts,
                Type::Int => Type::Ints,
                other => {
                    return Err(Wrong::at(
                        item_at,
                        format!("a list holds texts or whole numbers, not {}", other.name()),
                    ));
                }
            };
            if *of.get_or_insert(list_of) != list_of {
                return Err(Wrong::at(item_at, "a list holds one kind of thing"));
            }
            items.push(item);
            if self.takes("]") {
                break;
            }
            self.must(",")?;
        }
        let of = of.ok_or_else(|| Wrong::at(at, "nothing is in an empty list"))?;
        Ok((Node::List(items), of))
    }

    fn peek(&self) -> &Kind {
        &self.tokens[self.next.min(self.tokens.len() - 1)].kind
    }
    fn at(&self) -> usize {
        self.tokens[self.next.min(self.tokens.len() - 1)].at
    }
    fn takes(&mut self, sign: &str) -> bool {
        let here = matches!(self.peek(), Kind::Sign(s) if *s == sign);
        self.next += usize::from(here);
        here
    }
    fn must(&mut self, sign: &str) -> Result<(), Wrong> {
        if self.takes(sign) { Ok(()) } else { Err(self.wrong(format!("expected `{sign}` here"))) }
    }
    fn name(&mut self, what: &str) -> Result<String, Wrong> {
        let Kind::Name(name) = self.peek().clone() else {
            return Err(self.wrong(format!("expected {what} here")));
        };
        self.next += 1;
        Ok(name)
    }
    fn wrong(&self, message: impl Into<String>) -> Wrong {
        Wrong::at(self.at(), message)
    }
}

fn expect((node, of, at): Typed, wanted: Type, what: &str) -> Result<Node, Wrong> {
    if of == wanted {
        Ok(node)
    } else {
        Err(Wrong::at(at, format!("{what} has to be {}, and this is {}", wanted.name(), of.name())))
    }
}

fn element_of(list: Type) -> Option<Type> {
    match list {
        Type::Texts => Some(Type::Text),
        Type::Ints => Some(Type::Int),
        _ => None,
    }
}

fn unlike(of: Type, also: Type) -> String {
    let hint = match (of, also) {
        (Type::Duration, _) => "; a duration is written duration(\"30d\")",
        (Type::Time, _) => "; a time is written timestamp(\"2026-01-01T00:00:00Z\")",
        (Type::Int, Type::Text) => "; a size is written in bytes, as 1000000",
        (Type::Text, Type::Int | Type::Double) => "; a text is written in quotes",
        _ => "",
    };
    format!("{} is compared with {}{hint}", of.name(), also.name())
}
