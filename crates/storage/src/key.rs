use std::{fmt, str::FromStr};

/// The name of an object: segments separated by `/`, each of ASCII letters, digits and `._=@+-`.
///
/// The alphabet is narrow on purpose: a key is at once a path below a disk's root, an S3 key that no client
/// needs to encode, and a word in a log line. Names that people give are labels and never become keys.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(String);

/// The first segment that stores keep for themselves (temporary files, tags, probes).
pub(crate) const RESERVED: &str = ".videorec";

/// Bytes. S3 allows 1,024; the rest is left for a prefix of the store's own.
const MAX_KEY: usize = 1000;
/// Bytes: what file systems allow for one name.
const MAX_SEGMENT: usize = 255;

impl Key {
    pub fn parse(text: &str) -> Result<Self, BadKey> {
        let bad = |why| Err(BadKey { key: text.chars().take(120).collect(), why });
        if text.is_empty() || text.len() > MAX_KEY {
            return bad("it must have 1 to 1000 bytes");
        }
        for segment in text.split('/') {
            match segment {
                "" => return bad("it has an empty segment (a leading, trailing or doubled `/`)"),
                "." | ".." => return bad("`.` and `..` are not names"),
                _ if segment.len() > MAX_SEGMENT => return bad("a segment has more than 255 bytes"),
                _ if !segment.bytes().all(allowed) => {
                    return bad("only ASCII letters, digits and `._=@+-` are allowed between slashes");
                }
                _ => {}
            }
        }
        if text.split('/').next() == Some(RESERVED) {
            return bad("`.videorec` belongs to the store itself");
        }
        Ok(Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn segments(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/')
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` cannot be the key of an object: {why}")]
pub struct BadKey {
    key: String,
    why: &'static str,
}

pub(crate) fn allowed(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._=@+-".contains(&byte)
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
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
