use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize, de};

use crate::{Fields, Recording, Timestamp};

/// The name that something gets elsewhere, with places for what is known of it:
/// `{recorded:%Y/%m/%d}/{title}-{id}.{ext}`.
///
/// `{field.case}` is the value of a field of its own; `no-case` where a recording has none.
/// A slash in the text, in a date's format or in `{folder}` parts folders; one inside of any other value becomes `_`, so that
/// a title makes none. What the destination's file system does not take is somebody else's to replace. `{{` is a brace.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NameTemplate {
    // Shared: every export of a million has one.
    written: Arc<str>,
    parts: Arc<[Part]>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Part {
    Text(String),
    Value(Value),
    Date(Date, String),
    /// By name.
    Field(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Value {
    Id,
    Title,
    Name,
    Folder,
    Kind,
    Rendition,
    Session,
    Sha256,
    Ext,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Date {
    Recorded,
    Accepted,
}

const VALUES: [(&str, Value); 9] = [
    ("id", Value::Id),
    ("title", Value::Title),
    ("name", Value::Name),
    ("folder", Value::Folder),
    ("kind", Value::Kind),
    ("rendition", Value::Rendition),
    ("session", Value::Session),
    ("sha256", Value::Sha256),
    ("ext", Value::Ext),
];
const DATES: [(&str, Date); 2] = [("recorded", Date::Recorded), ("accepted", Date::Accepted)];

/// Characters: names are shorter.
const LONGEST: usize = 300;
/// How a date is written that says nothing of it.
const DAY: &str = "%Y-%m-%d";

impl NameTemplate {
    /// What every place may be called, for hints.
    pub fn fields() -> impl Iterator<Item = &'static str> {
        VALUES.iter().map(|(name, _)| *name).chain(DATES.iter().map(|(name, _)| *name)).chain(["field.NAME"])
    }

    /// The fields of recordings that it looks at, by name.
    pub fn own_fields(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Field(name) => Some(name.as_str()),
            _ => None,
        })
    }

    /// Whether no two recordings get one name by it.
    pub fn is_unique(&self) -> bool {
        self.parts.contains(&Part::Value(Value::Id))
    }

    pub fn as_str(&self) -> &str {
        &self.written
    }

    /// The name of one file. `rendition`: `source` or a rendition's name; `ext` without its dot. Dates are in UTC;
    /// `{recorded}` is the trusted recorded time, else when it was accepted.
    pub fn render(&self, of: &Recording, rendition: &str, ext: &str) -> String {
        let (folder, file) = of.name.rsplit_once('/').unwrap_or(("", &of.name));
        let stem = file.rsplit_once('.').map_or(file, |(stem, _)| if stem.is_empty() { file } else { stem });
        let mut name = String::new();
        for part in &*self.parts {
            let value = match part {
                Part::Text(text) => {
                    name.push_str(text);
                    continue;
                }
                Part::Date(date, format) => {
                    let at = match date {
                        Date::Recorded => of.dated(),
                        Date::Accepted => of.accepted_at,
                    };
                    // Checked when it was read.
                    name.push_str(&dated(at, format).unwrap_or_default());
                    continue;
                }
                Part::Value(Value::Folder) => {
                    name.push_str(folder);
                    continue;
                }
                Part::Field(field) => {
                    of.fields.get(field).map_or_else(|| format!("no-{field}"), str::to_owned)
                }
                Part::Value(Value::Id) => of.id.to_string(),
                Part::Value(Value::Title) if of.title.trim().is_empty() => stem.to_owned(),
                Part::Value(Value::Title) => of.title.clone(),
                Part::Value(Value::Name) => stem.to_owned(),
                Part::Value(Value::Kind) => of.kind.as_str().to_owned(),
                Part::Value(Value::Rendition) => rendition.to_owned(),
                Part::Value(Value::Session) => of.session.map(|s| s.to_string()).unwrap_or_default(),
                Part::Value(Value::Sha256) => of.digest.sha256.to_string(),
                Part::Value(Value::Ext) => ext.to_owned(),
            };
            name.extend(value.chars().map(|c| if c == '/' { '_' } else { c }));
        }
        name
    }
}

fn dated(at: Timestamp, format: &str) -> Option<String> {
    let at = jiff::Timestamp::from_millisecond(at.0).ok()?.to_zoned(jiff::tz::TimeZone::UTC);
    // Showing would pass over what it does not know.
    jiff::fmt::strtime::format(format, &at).ok()
}

impl Default for NameTemplate {
    fn default() -> Self {
        "{recorded:%Y/%m/%d}/{title}-{id}.{ext}".parse().expect("the default is right")
    }
}

impl FromStr for NameTemplate {
    type Err = String;

    /// Errors: a sentence that says what to write instead.
    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() || text.chars().count() > LONGEST || text.contains(char::is_control) {
            return Err(format!("a name has 1 to {LONGEST} characters, and no line breaks"));
        }
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            if let Some(after) = rest.strip_prefix("{{").or_else(|| rest.strip_prefix("}}")) {
                plain.push(c);
                rest = after;
                continue;
            }
            if c == '}' {
                return Err("a `}` that closes nothing: `}}` is how one writes it".into());
            }
            if c != '{' {
                plain.push(c);
                rest = &rest[c.len_utf8()..];
                continue;
            }
            let Some(end) = rest.find('}') else {
                return Err("a `{` that is not closed: `{{` is how one writes it".into());
            };
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            parts.push(place(&rest[1..end])?);
            rest = &rest[end + 1..];
        }
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        let leads_out = |part: &Part| matches!(part, Part::Text(text) if text.split('/').any(|s| s == ".."));
        if text.starts_with('/') || parts.iter().any(leads_out) {
            return Err("a name begins at the destination's own folder: no leading `/` and no `..`".into());
        }
        if parts.iter().all(|part| matches!(part, Part::Text(_))) {
            return Err("every recording would get the same name: put `{id}` into it".into());
        }
        Ok(Self { written: text.into(), parts: parts.into() })
    }
}

fn place(text: &str) -> Result<Part, String> {
    let (name, format) = text.split_once(':').map_or((text, None), |(name, format)| (name, Some(format)));
    if let Some((_, date)) = DATES.iter().find(|(known, _)| *known == name) {
        let format = format.unwrap_or(DAY);
        // A day that shows what a format comes to.
        let shown = dated(Timestamp(1_790_000_000_000), format).filter(|shown| !shown.trim().is_empty());
        if shown.is_none_or(|shown| shown.split('/').any(|s| s == "..")) {
            return Err(format!("`{format}` is no format of a date, such as %Y/%m/%d or %H%M"));
        }
        return Ok(Part::Date(*date, format.to_owned()));
    }
    if let Some(field) = name.strip_prefix("field.") {
        return match format {
            None if Fields::is_name(field) => Ok(Part::Field(field.to_owned())),
            None => Err(format!("`{{{name}}}` names no field; it is written as in {{field.case}}")),
            Some(_) => {
                Err(format!("`{{{name}}}` takes no format; only dates do, as in {{recorded:%Y/%m/%d}}"))
            }
        };
    }
    match VALUES.iter().find(|(known, _)| *known == name) {
        Some((_, value)) if format.is_none() => Ok(Part::Value(*value)),
        Some(_) => Err(format!("`{{{name}}}` takes no format; only dates do, as in {{recorded:%Y/%m/%d}}")),
        None => {
            let known: Vec<_> = NameTemplate::fields().collect();
            Err(format!(
                "`{{{name}}}` is nothing that is known of a recording; there are {}",
                known.join(", ")
            ))
        }
    }
}

impl fmt::Display for NameTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

impl fmt::Debug for NameTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.written)
    }
}

impl Serialize for NameTemplate {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.written)
    }
}

impl<'de> Deserialize<'de> for NameTemplate {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Custody, Digest, Hasher, Kind, RecordingId, State};

    fn recording(name: &str, title: &str) -> Recording {
        Recording {
            id: RecordingId::derive(&[b"x"]),
            kind: Kind::Recording,
            name: name.into(),
            title: title.into(),
            store: "recordings".into(),
            key: "k".into(),
            version: "v".into(),
            digest: Digest { size: 3, ..Hasher::new().finish() },
            accepted_at: "2026-03-02T10:00:00Z".parse().unwrap(),
            recorded_at: Some("2026-03-01T09:30:00Z".parse().unwrap()),
            tags: Default::default(),
            fields: Default::default(),
            session: None,
            tracks: Vec::new(),
            probe: None,
            state: State::Ready,
            reason: String::new(),
            custody: Custody::default(),
            revision: 1,
        }
    }

    fn rendered(template: &str, of: &Recording) -> String {
        template.parse::<NameTemplate>().unwrap().render(of, "mp4-720p", "mp4")
    }

    #[test]
    fn a_name_is_made_of_what_is_known() {
        let it = recording("cam/front/a.b.mkv", "Call: Ana/Bo");
        let id = it.id;
        assert_eq!(
            rendered(&NameTemplate::default().to_string(), &it),
            format!("2026/03/01/Call: Ana_Bo-{id}.mp4")
        );
        assert_eq!(rendered("{folder}/{name}_{rendition}.{ext}", &it), "cam/front/a.b_mp4-720p.mp4");
        assert_eq!(rendered("{accepted}/{recorded:%H%M}{{x}}", &it), "2026-03-02/0930{x}");
        assert_eq!(rendered("{title}", &recording("a/.hidden", " ")), ".hidden");
        assert_eq!(rendered("{session}{kind}", &it), "recording");
        let mut it = it;
        it.fields.set("case", "A/17").unwrap();
        assert_eq!(rendered("{field.case}/{field.court}/{name}", &it), "A_17/no-court/a.b");
    }

    #[test]
    fn a_name_that_is_wrong_says_what_is_right() {
        for (text, says) in [
            ("", "1 to 300"),
            ("a\nb{id}", "no line breaks"),
            ("same.mp4", "put `{id}` into it"),
            ("/x/{id}", "no leading `/`"),
            ("../{id}", "no `..`"),
            ("a/{id", "not closed"),
            ("a}{id}", "closes nothing"),
            ("{titel}", "there are id, title"),
            ("{id:%Y}", "takes no format"),
            ("{field.case:%Y}", "takes no format"),
            ("{field.}", "names no field"),
            ("{recorded:%!}", "no format of a date"),
            ("{recorded:../%Y}", "no format of a date"),
        ] {
            let message = text.parse::<NameTemplate>().expect_err(text);
            assert!(message.contains(says), "{text}: {message}");
        }
    }

    #[test]
    fn what_is_unique_is_known() {
        assert!(NameTemplate::default().is_unique());
        assert!(!"{title}.{ext}".parse::<NameTemplate>().unwrap().is_unique());
    }
}
