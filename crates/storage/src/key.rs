use std::{borrow::Cow, fmt, str::FromStr};

/// The name of an object.
///
/// Keys that we make are plain ([`Key::parse`]): segments separated by `/`, each of ASCII letters, digits and
/// `._=@+-`. The alphabet is narrow on purpose: a plain key is at once a path below a disk's root, an S3 key that no
/// client needs to encode, and a word in a log line. Names that people give are labels and never become plain keys.
///
/// Keys that somebody else chose, in a bucket that we watch, may hold anything ([`Key::foreign`]). Not every store
/// takes them, and none of them ever becomes a path.
///
/// `Display` is for people: what could play tricks on a terminal or in a log is escaped. The key itself is
/// [`Key::as_str`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(String);

/// The first segment that stores keep for themselves (temporary files, tags, probes).
pub(crate) const RESERVED: &str = ".videorec";

/// Bytes. S3 allows 1,024; the rest is left for a prefix of the store's own.
const MAX_KEY: usize = 1000;
/// Bytes: S3's limit.
const MAX_FOREIGN: usize = 1024;
/// Bytes: what file systems allow for one name.
const MAX_SEGMENT: usize = 255;

impl Key {
    pub fn parse(text: &str) -> Result<Self, BadKey> {
        match flaw(text) {
            None => Ok(Self(text.to_owned())),
            Some(why) => Err(BadKey::new(text, why)),
        }
    }

    /// A key that somebody else chose: whatever S3 can hold, but what the store keeps for itself.
    pub fn foreign(text: &str) -> Result<Self, BadKey> {
        if text.is_empty() || text.len() > MAX_FOREIGN {
            return Err(BadKey::new(text, "it must have 1 to 1024 bytes"));
        }
        if is_reserved(text) {
            return Err(BadKey::new(text, IS_RESERVED));
        }
        Ok(Self(text.to_owned()))
    }

    /// Whether it is as narrow as [`Key::parse`] wants it.
    pub fn is_plain(&self) -> bool {
        flaw(&self.0).is_none()
    }

    /// A key that the store keeps for itself; it is never listed.
    #[cfg(feature = "s3")]
    pub(crate) fn reserved(name: &str) -> Self {
        Self(format!("{RESERVED}/{name}"))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn segments(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/')
    }
}

/// Why it is no plain key.
fn flaw(text: &str) -> Option<&'static str> {
    if text.is_empty() || text.len() > MAX_KEY {
        return Some("it must have 1 to 1000 bytes");
    }
    for segment in text.split('/') {
        match segment {
            "" => return Some("it has an empty segment (a leading, trailing or doubled `/`)"),
            "." | ".." => return Some("`.` and `..` are not names"),
            _ if segment.len() > MAX_SEGMENT => return Some("a segment has more than 255 bytes"),
            _ if !segment.bytes().all(allowed) => {
                return Some("only ASCII letters, digits and `._=@+-` are allowed between slashes");
            }
            _ => {}
        }
    }
    is_reserved(text).then_some(IS_RESERVED)
}

fn is_reserved(text: &str) -> bool {
    text.split('/').next() == Some(RESERVED)
}

const IS_RESERVED: &str = "`.videorec` belongs to the store itself";

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` cannot be the key of an object: {why}", inert(.key))]
pub struct BadKey {
    key: String,
    why: &'static str,
}

impl BadKey {
    fn new(key: &str, why: &'static str) -> Self {
        Self { key: key.chars().take(120).collect(), why }
    }
}

/// Text of strangers for a log or a terminal: control characters, those that turn the direction of writing, invisible
/// ones and the like are escaped.
pub(crate) fn inert(text: &str) -> Cow<'_, str> {
    let harmless = |c: char| c.is_ascii_graphic() && c != '\\' || c == ' ';
    if text.chars().all(harmless) {
        return Cow::Borrowed(text);
    }
    text.chars()
        .fold(String::with_capacity(2 * text.len()), |mut out, c| {
            match c {
                '\'' | '"' => out.push(c),
                _ => out.extend(c.escape_debug()),
            }
            out
        })
        .into()
}

pub(crate) fn allowed(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._=@+-".contains(&byte)
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&inert(&self.0))
    }
}

impl FromStr for Key {
    type Err = BadKey;
    fn from_str(text: &str) -> Result<Self, BadKey> {
        Self::parse(text)
    }
}

impl AsRef<str> for Key {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_key_keeps_its_bytes_and_is_shown_escaped() {
        for (text, shown) in [
            ("My Holiday (1).mp4", "My Holiday (1).mp4"),
            ("it's \"here\"", "it's \"here\""),
            ("a\r\nINFO all is well", "a\\r\\nINFO all is well"),
            ("\u{1b}[2Jx", "\\u{1b}[2Jx"),
            ("evil\u{202e}4pm.exe", "evil\\u{202e}4pm.exe"),
            ("für 東京.mp4", "für 東京.mp4"),
            ("zero\u{200b}width", "zero\\u{200b}width"),
            ("back\\slash", "back\\\\slash"),
            ("../up", "../up"),
        ] {
            let key = Key::foreign(text).unwrap();
            assert_eq!((key.as_str(), key.to_string().as_str()), (text, shown));
            assert!(!key.is_plain() && Key::parse(text).is_err(), "{shown}");
        }
        let plain = Key::foreign("a/b.mp4").unwrap();
        assert!(plain.is_plain() && plain == Key::parse("a/b.mp4").unwrap());
    }

    #[test]
    fn what_no_store_can_hold_or_keeps_for_itself_is_no_foreign_key_either() {
        let longest = "ü".repeat(512);
        assert!(Key::foreign(&longest).is_ok());
        for bad in ["", ".videorec", ".videorec/tmp/x", &format!("{longest}x")] {
            assert!(Key::foreign(bad).is_err(), "{bad}");
        }
        let error = Key::foreign(".videorec/\u{1b}[2J").unwrap_err().to_string();
        assert!(error.contains("belongs to the store") && !error.contains('\u{1b}'), "{error}");
    }
}
