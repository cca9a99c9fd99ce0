use std::{fmt, marker::PhantomData, str::FromStr};

use serde::{Deserialize, Serialize, de};
use sha2::Digest as _;

/// A recording's id: derived from its store and key (or name and content), so that the same cause always
/// meets the same recording.
pub type RecordingId = Id<RecordingTag>;
/// A job's id: derived from (recording, source version, action), so that deciding twice is deciding once.
pub type JobId = Id<JobTag>;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RecordingTag {}
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum JobTag {}

/// 128 bits of a SHA-256 over length-prefixed parts, written as 26 Crockford base32 characters in lower case.
///
/// Length-prefixing makes `["ab","c"]` and `["a","bc"]` different causes. 128 bits put an accidental
/// collision among 10^12 recordings at about 1.5e-15.
#[derive(PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id<T>([u8; 16], PhantomData<T>);

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// What each byte stands for, in either case; 255: nothing. Millions of ids are read for one plan.
const DIGITS: [u8; 256] = {
    let mut digits = [u8::MAX; 256];
    let mut n = 0;
    while n < ALPHABET.len() {
        digits[ALPHABET[n] as usize] = n as u8;
        digits[ALPHABET[n].to_ascii_uppercase() as usize] = n as u8;
        n += 1;
    }
    digits
};

impl<T> Id<T> {
    pub fn derive(parts: &[&[u8]]) -> Self {
        let mut hasher = sha2::Sha256::new();
        for part in parts {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        let digest = hasher.finalize();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        Self(bytes, PhantomData)
    }

    /// Its 26 characters, as it is shown; without an allocation, since a plan makes millions of ids of ids.
    pub(crate) fn text(&self) -> [u8; 26] {
        let value = u128::from_be_bytes(self.0);
        // 26 characters hold 130 bits; the two spare ones are the high bits of the first character.
        std::array::from_fn(|i| ALPHABET[((value >> (5 * (25 - i))) & 31) as usize])
    }

    /// The first eight characters: enough for a person to name one among many.
    pub fn short(&self) -> String {
        self.to_string()[..8].to_owned()
    }
}

impl<T> Clone for Id<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Id<T> {}

impl<T> fmt::Display for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.text();
        f.pad(std::str::from_utf8(&text).expect("the alphabet is ASCII"))
    }
}
impl<T> fmt::Debug for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not an id: an id has 26 characters of 0-9 and a-z without i, l, o, u (see `videorec ls`)")]
pub struct BadId(pub String);

impl<T> FromStr for Id<T> {
    type Err = BadId;
    fn from_str(text: &str) -> Result<Self, BadId> {
        let bad = || BadId(text.chars().take(64).collect());
        if text.len() != 26 {
            return Err(bad());
        }
        let mut value: u128 = 0;
        for (i, c) in text.bytes().enumerate() {
            let digit = DIGITS[usize::from(c)];
            if digit > 31 || i == 0 && digit > 7 {
                return Err(bad());
            }
            value = (value << 5) | u128::from(digit);
        }
        Ok(Self(value.to_be_bytes(), PhantomData))
    }
}

impl<T> Serialize for Id<T> {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}
impl<'de, T> Deserialize<'de> for Id<T> {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_being_written_and_read() {
        let id = RecordingId::derive(&[b"inbox", b"a.mp4"]);
        assert_eq!(id.to_string().parse::<RecordingId>().unwrap(), id);
        assert_eq!(id.to_string().len(), 26);
        assert!("zzzzzzzzzzzzzzzzzzzzzzzzzz".parse::<RecordingId>().is_err());
        assert!("../etc/passwd".parse::<RecordingId>().is_err());
    }

    #[test]
    fn parts_do_not_run_together() {
        assert_ne!(RecordingId::derive(&[b"ab", b"c"]), RecordingId::derive(&[b"a", b"bc"]));
    }
}
