use std::str::FromStr;

use domain::{Fields, Kind, State};

use crate::fields::{self, Fact};

/// What a person searches for; the default finds everything.
///
/// ```text
/// weekly call            both words, in any order, wherever they stand; accents and case do not matter
/// "weekly call"          this phrase          conf*              words that begin like this
/// -draft                 not this             ana OR bo          either of the two
/// tag:call,standup       any of these tags    -tag:secret        not this tag
/// kind:session           recording, track, session
/// state:failed           accepted, processing, ready, damaged, unsupported, failed, trashed, deleted
/// field.case:A-17,B-2    any of these values  field.case:*       whatever its value is
/// type:video,audio/mp4   media types          name:cam1 title:"weekly call"
/// recorded:2026-03       a year, a month or a day, or from one to another (2026-01..2026-03); UTC
/// accepted:2026          the same of when it came in
/// size:>1GB              also 1GB..5GB        store:recordings     hold:yes
/// ```
///
/// What is in the trash or deleted is found only where `state:trashed` or `state:deleted` asks for it.
///
/// Everything must hold; `OR` joins its two neighbours only. Whatever is not this syntax is text to look for, but
/// a field or a value that we do not know is an error: a typing mistake must not look like "nothing found".
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Query {
    /// All of these must hold.
    pub(crate) groups: Vec<Group>,
}

/// One of these must hold; never empty.
pub(crate) type Group = Vec<Term>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Term {
    pub negated: bool,
    pub want: Want,
}

/// Any of the values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Want {
    Text(Scope, Vec<Text>),
    Tag(Vec<String>),
    /// A field, and any of these values; none: whatever it is.
    Field(String, Vec<String>),
    Kind(Vec<Kind>),
    State(Vec<State>),
    Type(Vec<String>),
    /// Of the table of recordings.
    Fact(Vec<Fact>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    Anywhere,
    Name,
    Title,
}

/// Words that follow one another. Contains at least one letter or digit, and no control characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Text {
    pub words: String,
    /// The last word may go on.
    pub prefix: bool,
}

/// Where the text stops being a query, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} (at character {})", .at + 1)]
pub struct SyntaxError {
    /// Characters before the place.
    pub at: usize,
    pub message: String,
}

const FIELDS: [&str; 11] =
    ["tag", "kind", "state", "type", "name", "title", "recorded", "accepted", "size", "store", "hold"];
/// How a field begins that is people's own.
const OWN: &str = "field.";
/// A person's query is short; a bound keeps a pasted file from becoming ten thousand index look-ups.
const LONGEST: usize = 2_000;
const MOST_VALUES: usize = 64;

impl Query {
    pub fn parse(text: &str) -> Result<Self, SyntaxError> {
        let chars: Vec<char> = text.chars().collect();
        if chars.len() > LONGEST {
            return Err(SyntaxError {
                at: LONGEST,
                message: format!("a query has {LONGEST} characters at most"),
            });
        }
        Parser { chars, at: 0, values: 0 }.query()
    }

    /// The fields of people's own that it asks for. Which there are, the policy says.
    pub fn own_fields(&self) -> impl Iterator<Item = &str> {
        self.groups.iter().flatten().filter_map(|term| match &term.want {
            Want::Field(name, _) => Some(name.as_str()),
            _ => None,
        })
    }
}

impl FromStr for Query {
    type Err = SyntaxError;
    fn from_str(text: &str) -> Result<Self, SyntaxError> {
        Self::parse(text)
    }
}

struct Parser {
    chars: Vec<char>,
    at: usize,
    values: usize,
}

/// A value as it stands in the text.
struct Value {
    at: usize,
    text: String,
    quoted: bool,
}

impl Parser {
    fn query(mut self) -> Result<Query, SyntaxError> {
        let mut groups: Vec<Group> = Vec::new();
        // Where an `OR` stands that still lacks its right-hand side.
        let mut or: Option<usize> = None;
        // Whether what stands to the left of here is a term that an `OR` can join.
        let mut joinable = false;
        loop {
            while self.peek().is_some_and(char::is_whitespace) {
                self.at += 1;
            }
            let start = self.at;
            if self.peek().is_none() {
                break;
            }
            if self.takes_or() {
                if or.is_some() || !joinable {
                    return Err(lonely_or(start));
                }
                or = Some(start);
                continue;
            }
            let Some(term) = self.term()? else { continue };
            match (or.take(), groups.last_mut()) {
                (Some(_), Some(group)) => group.push(term),
                _ => groups.push(vec![term]),
            }
            joinable = true;
        }
        match or {
            Some(at) => Err(lonely_or(at)),
            None => Ok(Query { groups }),
        }
    }

    /// `None` for what holds nothing to look for: a dash between spaces, an ampersand.
    fn term(&mut self) -> Result<Option<Term>, SyntaxError> {
        let negated =
            self.peek() == Some('-') && self.chars.get(self.at + 1).is_some_and(|c| !c.is_whitespace());
        if negated {
            self.at += 1;
        }
        let want = if let Some(name) = self.own_field()? {
            Some(self.own_values(name)?)
        } else if let Some(field) = self.field()? {
            Some(self.field_values(field)?)
        } else {
            text(self.value(&[])?).map(|t| Want::Text(Scope::Anywhere, vec![t]))
        };
        if want.is_some() {
            self.count(1)?;
        }
        Ok(want.map(|want| Term { negated, want }))
    }

    /// Letters and a colon. `12:30` is text.
    fn field(&mut self) -> Result<Option<&'static str>, SyntaxError> {
        let word: String = self.chars[self.at..].iter().take_while(|c| c.is_ascii_alphabetic()).collect();
        let colon = self.at + word.len();
        if word.is_empty() || self.chars.get(colon) != Some(&':') {
            return Ok(None);
        }
        let lower = word.to_ascii_lowercase();
        let Some(field) = FIELDS.into_iter().find(|f| *f == lower) else {
            return Err(SyntaxError {
                at: self.at,
                message: format!(
                    "there is no field `{word}:`; {} (to look for the text itself, put it in quotes)",
                    suggest(&lower, &FIELDS, "the fields are")
                ),
            });
        };
        self.at = colon + 1;
        Ok(Some(field))
    }

    /// `field.case:`, one of those that people give their recordings themselves.
    fn own_field(&mut self) -> Result<Option<String>, SyntaxError> {
        let start: String =
            self.chars[self.at..].iter().take(OWN.len()).map(char::to_ascii_lowercase).collect();
        let rest = self.chars.get(self.at + OWN.len()..).unwrap_or_default();
        let name: String = rest.iter().take_while(|c| !c.is_whitespace() && **c != ':').collect();
        if start != OWN || rest.get(name.chars().count()) != Some(&':') {
            return Ok(None);
        }
        let at = self.at + OWN.len();
        let lower = name.to_ascii_lowercase();
        if !Fields::is_name(&lower) {
            let message = format!(
                "`{name}` is no field's name: it has letters, digits and `_`, as in `field.case:A-17`"
            );
            return Err(SyntaxError { at, message });
        }
        self.at = at + name.len() + 1;
        Ok(Some(lower))
    }

    fn own_values(&mut self, name: String) -> Result<Want, SyntaxError> {
        let example = format!("field.{name}:A-17");
        let values = self.values(&format!("field.{name}"), &example)?;
        if let [Value { text, quoted: false, .. }] = values.as_slice()
            && text == "*"
        {
            return Ok(Want::Field(name, Vec::new()));
        }
        Ok(Want::Field(name, values.into_iter().map(|v| v.text).collect()))
    }

    /// What stands behind a colon, parted by commas.
    fn values(&mut self, field: &str, example: &str) -> Result<Vec<Value>, SyntaxError> {
        let mut values = Vec::new();
        loop {
            let value = self.value(&[','])?;
            if value.text.trim().is_empty() {
                return Err(SyntaxError {
                    at: value.at,
                    message: format!("`{field}:` needs a value here, as in `{example}`"),
                });
            }
            values.push(value);
            if self.peek() != Some(',') {
                break;
            }
            self.at += 1;
        }
        self.count(values.len() - 1)?;
        Ok(values)
    }

    fn field_values(&mut self, field: &'static str) -> Result<Want, SyntaxError> {
        let values = self.values(field, example(field))?;
        Ok(match field {
            "tag" => Want::Tag(values.into_iter().map(|v| v.text).collect()),
            "type" => Want::Type(values.into_iter().map(|v| v.text).collect()),
            "kind" => Want::Kind(named(values, field, &Kind::ALL.map(|k| (k.as_str(), k)))?),
            "state" => Want::State(named(values, field, &State::ALL.map(|s| (s.as_str(), s)))?),
            "recorded" | "accepted" | "size" | "store" | "hold" => Want::Fact(
                values
                    .into_iter()
                    .map(|value| {
                        Fact::read(field, &value.text)
                            .map_err(|message| SyntaxError { at: value.at, message })
                    })
                    .collect::<Result<_, _>>()?,
            ),
            _ => {
                let scope = if field == "name" { Scope::Name } else { Scope::Title };
                let mut texts = Vec::new();
                for value in values {
                    let at = value.at;
                    texts.push(text(value).ok_or_else(|| SyntaxError {
                        at,
                        message: format!("`{field}:` needs a letter or a digit to look for"),
                    })?);
                }
                Want::Text(scope, texts)
            }
        })
    }

    /// A quoted text with the `*` that may follow it, or what stands here up to a space, a quote or `stop`.
    fn value(&mut self, stop: &[char]) -> Result<Value, SyntaxError> {
        let at = self.at;
        if self.peek() != Some('"') {
            while self.peek().is_some_and(|c| !c.is_whitespace() && c != '"' && !stop.contains(&c)) {
                self.at += 1;
            }
            return Ok(Value { at, text: self.chars[at..self.at].iter().collect(), quoted: false });
        }
        let Some(length) = self.chars[at + 1..].iter().position(|c| *c == '"') else {
            return Err(SyntaxError {
                at,
                message: "this quote is not closed: add a `\"` at its end".into(),
            });
        };
        self.at = at + 1 + length + 1;
        let mut text: String = self.chars[at + 1..at + 1 + length].iter().collect();
        if self.peek() == Some('*') {
            self.at += 1;
            text.push('*');
            return Ok(Value { at, text, quoted: false });
        }
        Ok(Value { at, text, quoted: true })
    }

    fn takes_or(&mut self) -> bool {
        let found = self.chars[self.at..].starts_with(&['O', 'R'])
            && self.chars.get(self.at + 2).is_none_or(|c| c.is_whitespace());
        if found {
            self.at += 2;
        }
        found
    }

    fn count(&mut self, more: usize) -> Result<(), SyntaxError> {
        self.values += more;
        if self.values > MOST_VALUES {
            let message = format!("a query looks for {MOST_VALUES} things at most");
            return Err(SyntaxError { at: self.at, message });
        }
        Ok(())
    }

    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }
}

fn text(value: Value) -> Option<Text> {
    let prefix = !value.quoted && value.text.ends_with('*');
    let words: String = value.text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let words = words.trim_end_matches('*').trim().to_owned();
    words.contains(char::is_alphanumeric).then_some(Text { words, prefix })
}

fn named<T: std::marker::Copy>(
    values: Vec<Value>,
    field: &str,
    known: &[(&'static str, T)],
) -> Result<Vec<T>, SyntaxError> {
    values
        .into_iter()
        .map(|value| {
            let lower = value.text.to_lowercase();
            known.iter().find(|(name, _)| *name == lower).map(|(_, it)| *it).ok_or_else(|| {
                let names: Vec<_> = known.iter().map(|(name, _)| *name).collect();
                let message =
                    format!("there is no {field} `{}`; {}", value.text, suggest(&lower, &names, "there are"));
                SyntaxError { at: value.at, message }
            })
        })
        .collect()
}

fn suggest(wrong: &str, known: &[&str], otherwise: &str) -> String {
    let nearest = known.iter().map(|k| (strsim::damerau_levenshtein(wrong, k), *k)).min();
    match nearest {
        Some((distance, name)) if distance <= 2.max(name.len() / 3) && distance < name.len() => {
            format!("did you mean `{name}`?")
        }
        _ => format!("{otherwise} {}", known.join(", ")),
    }
}

fn example(field: &str) -> &'static str {
    match field {
        "tag" => "tag:call",
        "kind" => "kind:session",
        "state" => "state:failed",
        "type" => "type:video",
        "name" => "name:cam1",
        "title" => "title:weekly",
        _ => {
            fields::FIELDS.iter().find(|(name, _)| *name == field).map_or("size:>1GB", |(_, example)| example)
        }
    }
}

fn lonely_or(at: usize) -> SyntaxError {
    SyntaxError {
        at,
        message: "`OR` stands between two things to look for; to look for the word, write or".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> (usize, String) {
        let e = Query::parse(text).expect_err(text);
        (e.at, e.to_string())
    }

    #[test]
    fn a_query_is_read_as_its_documentation_says() {
        let q = Query::parse(r#"weekly "the call" pre* -draft ana OR bo tag:a,"b c" -state:failed"#).unwrap();
        let word = |w: &str, prefix| Want::Text(Scope::Anywhere, vec![Text { words: w.into(), prefix }]);
        let yes = |want| Term { negated: false, want };
        let no = |want| Term { negated: true, want };
        assert_eq!(
            q.groups,
            vec![
                vec![yes(word("weekly", false))],
                vec![yes(word("the call", false))],
                vec![yes(word("pre", true))],
                vec![no(word("draft", false))],
                vec![yes(word("ana", false)), yes(word("bo", false))],
                vec![yes(Want::Tag(vec!["a".into(), "b c".into()]))],
                vec![no(Want::State(vec![State::Failed]))],
            ]
        );
        assert_eq!(Query::parse("  - & ! ").unwrap(), Query::default());
        assert_eq!(Query::parse("12:30").unwrap().groups, vec![vec![yes(word("12:30", false))]]);
    }

    #[test]
    fn a_mistake_is_shown_with_its_place_and_the_nearest_right_name() {
        let cases = [
            ("call stat:failed", 5, "did you mean `state`?"),
            ("state:faild", 6, "did you mean `failed`?"),
            ("kind:track,sesion", 11, "did you mean `session`?"),
            ("é zzzzzzzz:x", 2, "the fields are tag, kind"),
            ("state:xyzzy", 6, "there are accepted, processing"),
            ("call size:5GB", 10, "`size:>5GB`"),
            ("size:", 5, "as in `size:>1GB`"),
            ("recorded:2026,2026-13", 14, "is no date"),
            ("hold:maybe", 5, "yes or no"),
            ("store:a'b", 6, "is no store"),
            ("acepted:2026", 0, "did you mean `accepted`?"),
            ("a \"b", 2, "not closed"),
            ("tag:", 4, "as in `tag:call`"),
            ("tag:a,", 6, "as in `tag:call`"),
            ("name:!", 5, "needs a letter or a digit"),
            ("OR a", 0, "between two things"),
            ("a OR", 2, "between two things"),
            ("a OR OR b", 5, "between two things"),
            ("a field.ca-se:x", 8, "no field's name"),
            ("field.case:", 11, "as in `field.case:A-17`"),
            ("field:x", 0, "there is no field `field:`"),
        ];
        for (text, at, says) in cases {
            let (found, message) = error(text);
            assert_eq!(found, at, "{text}: {message}");
            assert!(message.contains(says), "{text}: {message}");
        }
        assert_eq!(error(&"a ".repeat(999)).0, 129);
        assert_eq!(error(&"a".repeat(2_001)).0, 2_000);
    }
}
