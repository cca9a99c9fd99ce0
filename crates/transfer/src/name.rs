use std::{fmt, str::FromStr};

use crate::{inert, partial};

/// A file's name below a destination's root: segments between slashes, of any script.
///
/// It never leads out of the root and holds nothing that a line of a protocol could break at: no `.` or `..`, no empty
/// segment, no control character. Whether the destination's file system likes it is another question, which
/// [`names::sanitise`](crate::names::sanitise) answers beforehand.
///
/// `Display` is for people: what could play tricks on a terminal or in a log is escaped. The name itself is
/// [`Name::as_str`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

/// Bytes: what most systems take as a path.
const MAX_NAME: usize = 4000;
/// Bytes: what file systems allow for one name.
pub(crate) const MAX_SEGMENT: usize = 255;

impl Name {
    pub fn parse(text: &str) -> Result<Self, BadName> {
        let bad = |why| Err(BadName { name: text.chars().take(120).collect(), why });
        if text.is_empty() || text.len() > MAX_NAME {
            return bad("it must have 1 to 4000 bytes");
        }
        for segment in text.split('/') {
            if let Some(why) = flaw(segment) {
                return bad(why);
            }
        }
        Ok(Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn segments(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/')
    }

    /// The last segment.
    pub fn file(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// The folder that holds it; `None` is the root.
    pub fn folder(&self) -> Option<Name> {
        self.0.rsplit_once('/').map(|(folder, _)| Self(folder.to_owned()))
    }

    /// Another file in the same folder.
    pub fn beside(&self, file: &str) -> Result<Name, BadName> {
        Self::join(self.folder().as_ref(), file)
    }

    /// A file or folder in a folder; `None` is the root.
    pub fn join(folder: Option<&Name>, file: &str) -> Result<Name, BadName> {
        match folder {
            Some(folder) => Self::parse(&format!("{folder}/{file}", folder = folder.0)),
            None => Self::parse(file),
        }
    }

    /// A name of our own making: a partial file's.
    pub(crate) fn reserved(folder: Option<&Name>, file: &str) -> Name {
        match folder {
            Some(folder) => Self(format!("{}/{file}", folder.0)),
            None => Self(file.to_owned()),
        }
    }
}

fn flaw(segment: &str) -> Option<&'static str> {
    match segment {
        "" => Some("it has an empty segment (a leading, trailing or doubled `/`)"),
        "." | ".." => Some("`.` and `..` are not names"),
        _ if segment.len() > MAX_SEGMENT => Some("a segment has more than 255 bytes"),
        _ if segment.chars().any(char::is_control) => Some("it has a control character"),
        _ if partial::is_partial(segment) => Some("names of partial files are ours"),
        _ => None,
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` cannot be a file's name at a destination: {why}", inert(.name))]
pub struct BadName {
    name: String,
    why: &'static str,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&inert(&self.0))
    }
}

impl FromStr for Name {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        Self::parse(text)
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_never_leads_out_and_never_breaks_a_line() {
        for bad in
            ["", "/a", "a/", "a//b", "..", "a/../b", ".", "a\r\nDELE b", "a\0", "a\u{85}b", &"x".repeat(256)]
        {
            assert!(Name::parse(bad).is_err(), "{bad:?}");
        }
        for good in ["a", "2025/Köln 東京.mp4", "..a", "-rf", "a b", &"x".repeat(255)] {
            assert!(Name::parse(good).is_ok(), "{good:?}");
        }
        let error = Name::parse("a\u{1b}[2J/..").unwrap_err().to_string();
        assert!(!error.contains('\u{1b}'), "{error}");
    }

    #[test]
    fn a_partial_files_name_is_nobody_elses() {
        let ours = partial::of(&Name::parse("a/b.mp4").unwrap(), "token");
        assert_eq!(ours.folder(), Name::parse("a").ok());
        assert!(Name::parse(ours.as_str()).is_err());
    }
}
