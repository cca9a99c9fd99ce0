//! What of a recording is searchable, the same for every database.

use domain::{Hasher, Kind, Recording};

/// The searchable text of one recording, by field, and the marks that filters look for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    pub title: String,
    pub name: String,
    /// Participants.
    pub people: String,
    pub tags: String,
    /// The session's title, the title written inside the file, and the values of fields.
    pub other: String,
    /// One word per filterable fact: never matched by free text.
    pub marks: String,
}

impl Document {
    /// `people`: whom a session's manifest names for it; `session`: the title of the session it belongs to.
    pub fn of(recording: &Recording, people: &[String], session: Option<&str>) -> Self {
        let media = recording.media();
        let claimed = media.and_then(|m| m.claimed_title.as_deref());
        let mut marks = vec![EVERYTHING.to_owned(), kind_mark(recording.kind)];
        marks.extend(recording.tags.iter().map(|t| tag_mark(t)));
        for (name, value) in recording.fields.iter() {
            marks.extend([field_mark(name, None), field_mark(name, Some(value))]);
        }
        if let Some(media) = media {
            marks.push(type_mark(&media.media_type));
            marks.extend(media.media_type.split_once('/').map(|(family, _)| type_mark(family)));
        }
        Self {
            title: recording.title.clone(),
            name: spelled_out(&recording.name),
            people: people.join(" "),
            tags: recording.tags.iter().map(String::as_str).collect::<Vec<_>>().join(" "),
            other: [session, claimed]
                .into_iter()
                .flatten()
                .chain(recording.fields.iter().map(|(_, value)| value))
                .collect::<Vec<_>>()
                .join(" "),
            marks: marks.join(" "),
        }
    }
}

/// Every document has it, so that "all but these" has something to take away from.
pub const EVERYTHING: &str = "all";

pub fn kind_mark(kind: Kind) -> String {
    format!("k{}", kind.as_str())
}

/// Tags are equal regardless of case, and otherwise letter by letter, whatever letters those are.
pub fn tag_mark(tag: &str) -> String {
    mark('t', &tag.trim().to_lowercase())
}

/// A field and its value, regardless of case as tags are; without one: that there is such a field.
pub fn field_mark(name: &str, value: Option<&str>) -> String {
    match value {
        Some(value) => mark('f', &format!("{name}={}", value.trim().to_lowercase())),
        None => mark('h', name),
    }
}

/// Any of them is what was asked for.
pub(crate) fn field_marks(name: &str, values: &[String]) -> Vec<String> {
    if values.is_empty() {
        return vec![field_mark(name, None)];
    }
    values.iter().map(|value| field_mark(name, Some(value))).collect()
}

/// `video/mp4`, `video/*` or `video`.
pub fn type_mark(media_type: &str) -> String {
    let lower = media_type.trim().to_ascii_lowercase();
    mark('y', lower.strip_suffix("/*").unwrap_or(&lower))
}

/// Hexadecimal, so that no tokenizer takes the value apart. Indexes have a longest word and cut off the rest: a value
/// that is longer is its beginning and its hash.
fn mark(class: char, value: &str) -> String {
    use std::fmt::Write as _;
    let (shown, hash) = match value.as_bytes() {
        all if all.len() <= LONGEST => (all, String::new()),
        all => {
            let mut hasher = Hasher::new();
            hasher.update(all);
            (&all[..LONGEST], hasher.finish().sha256.to_string())
        }
    };
    let start = String::from(class);
    let text = shown.iter().fold(start, |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });
    text + &hash
}

const LONGEST: usize = 200;

/// The name, and once more with its CamelCase taken apart: `WeeklyCall.mp4` is found by `call` too. Tokenizers
/// split at `/ . _ -` by themselves.
fn spelled_out(name: &str) -> String {
    let mut split = String::with_capacity(name.len() + 8);
    let mut before = ' ';
    for c in name.chars() {
        if c.is_uppercase() && before.is_lowercase() {
            split.push(' ');
        }
        split.push(c);
        before = c;
    }
    if split.len() == name.len() { split } else { format!("{name} {split}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_by_its_parts() {
        assert_eq!(spelled_out("cam1/WeeklyCall.mp4"), "cam1/WeeklyCall.mp4 cam1/Weekly Call.mp4");
        assert_eq!(spelled_out("cam1/0001.MP4"), "cam1/0001.MP4");
    }

    #[test]
    fn marks_are_single_words() {
        assert_eq!(tag_mark(" Été-2026 "), tag_mark("été-2026"));
        assert_ne!(tag_mark("a b"), tag_mark("a"));
        assert_eq!(type_mark("video/*"), type_mark("Video"));
        let long = tag_mark(&"é".repeat(5_000));
        assert!(long.len() < 500 && long != tag_mark(&"é".repeat(5_001)));
        assert!(tag_mark("x y*\"(").chars().all(|c| c.is_ascii_alphanumeric()));
    }
}
