use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize, de};
use sha2::Digest as _;

/// What identifies content: a SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256(pub [u8; 32]);

/// CRC-64/NVME, the checksum that S3 keeps for whole objects, so that a copy there can be compared without
/// reading it back.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Crc64(pub u64);

/// All that is known of a run of bytes once it has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// Bytes.
    pub size: u64,
    pub sha256: Sha256,
    pub crc64: Crc64,
}

/// Hashes while bytes stream past; state of constant size.
pub struct Hasher {
    sha256: sha2::Sha256,
    crc64: crc_fast::Digest,
    size: u64,
}

impl Hasher {
    pub fn new() -> Self {
        Self {
            sha256: sha2::Sha256::new(),
            crc64: crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc64Nvme),
            size: 0,
        }
    }
    pub fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        self.crc64.update(bytes);
        self.size += bytes.len() as u64;
    }
    pub fn finish(self) -> Digest {
        Digest {
            size: self.size,
            sha256: Sha256(self.sha256.finalize().into()),
            crc64: Crc64(self.crc64.finalize()),
        }
    }
}
impl Default for Hasher {
    fn default() -> Self {
        Self::new()
    }
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not a checksum: {1} hexadecimal digits are expected")]
pub struct BadHash(String, usize);

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}
impl FromStr for Sha256 {
    type Err = BadHash;
    fn from_str(text: &str) -> Result<Self, BadHash> {
        let bad = || BadHash(text.chars().take(80).collect(), 64);
        if text.len() != 64 || !text.is_ascii() {
            return Err(bad());
        }
        let mut out = [0; 32];
        for (i, byte) in out.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).map_err(|_| bad())?;
        }
        Ok(Self(out))
    }
}
impl fmt::Display for Crc64 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}
impl FromStr for Crc64 {
    type Err = BadHash;
    fn from_str(text: &str) -> Result<Self, BadHash> {
        u64::from_str_radix(text, 16).map(Self).map_err(|_| BadHash(text.chars().take(80).collect(), 16))
    }
}

macro_rules! as_text {
    ($($t:ty),*) => {$(
        impl fmt::Debug for $t {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
        impl Serialize for $t {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $t {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                String::deserialize(d)?.parse().map_err(de::Error::custom)
            }
        }
    )*};
}
as_text!(Sha256, Crc64);

#[cfg(test)]
mod tests {
    use super::*;

    /// The check values of FIPS 180-2 ("abc") and of the CRC catalogue's CRC-64/NVME ("123456789").
    #[test]
    fn the_hashes_are_the_standard_ones() {
        let mut h = Hasher::new();
        h.update(b"abc");
        let sha = h.finish().sha256.to_string();
        assert_eq!(sha, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        let mut h = Hasher::new();
        h.update(b"12345");
        h.update(b"6789");
        assert_eq!(h.finish().crc64, Crc64(0xae8b_1486_0a79_9888));
        assert_eq!(sha.parse::<Sha256>().unwrap().to_string(), sha);
    }
}
