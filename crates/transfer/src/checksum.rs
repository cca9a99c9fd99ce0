use std::{fmt, str::FromStr};

use domain::Digest;
use sha2::Digest as _;

use crate::Error;

/// What a server may be able to hash with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    Sha256,
    Sha512,
    Sha1,
    Md5,
    /// The one of zip and of FTP's `XCRC`. Finds accidents, as all of them, and nobody who means harm.
    Crc32,
}

/// A hash of a whole file, in lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Checksum {
    pub algorithm: Algorithm,
    pub hex: String,
}

impl Checksum {
    /// From what a server says; `None` when that is no such hash.
    pub fn parse(algorithm: Algorithm, text: &str) -> Option<Self> {
        let hex = text.trim().to_ascii_lowercase();
        let digits = match algorithm {
            Algorithm::Sha256 => 64,
            Algorithm::Sha512 => 128,
            Algorithm::Sha1 => 40,
            Algorithm::Md5 => 32,
            Algorithm::Crc32 => 8,
        };
        // Servers write a CRC without its leading zeros.
        let hex = if algorithm == Algorithm::Crc32 { format!("{hex:0>8}") } else { hex };
        (hex.len() == digits && hex.bytes().all(|b| b.is_ascii_hexdigit())).then_some(Self { algorithm, hex })
    }
}

/// The spelling of RFC draft-bryan-ftp-hash, which SFTP's `check-file` follows.
impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sha256 => "SHA-256",
            Self::Sha512 => "SHA-512",
            Self::Sha1 => "SHA-1",
            Self::Md5 => "MD5",
            Self::Crc32 => "CRC32",
        })
    }
}

impl FromStr for Algorithm {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        let plain: String = text.chars().filter(|c| c.is_ascii_alphanumeric()).collect();
        Ok(match plain.to_ascii_lowercase().as_str() {
            "sha256" => Self::Sha256,
            "sha512" => Self::Sha512,
            "sha1" => Self::Sha1,
            "md5" => Self::Md5,
            "crc32" => Self::Crc32,
            _ => {
                let text = crate::inert(text);
                return Err(Error::new(
                    crate::ErrorKind::Unsupported,
                    format!("`{text}` is no hash that we know"),
                ));
            }
        })
    }
}

/// Hashes with SHA-256 and one more at once, so that a source is known to be the right one by the same reading.
pub(crate) struct Twin {
    ours: domain::Hasher,
    theirs: Theirs,
}

enum Theirs {
    None,
    Sha512(sha2::Sha512),
    Sha1(sha1::Sha1),
    Md5(md5::Md5),
    Crc32(crc_fast::Digest),
}

impl Twin {
    pub(crate) fn new(algorithm: Algorithm) -> Self {
        let theirs = match algorithm {
            Algorithm::Sha256 => Theirs::None,
            Algorithm::Sha512 => Theirs::Sha512(sha2::Sha512::new()),
            Algorithm::Sha1 => Theirs::Sha1(sha1::Sha1::new()),
            Algorithm::Md5 => Theirs::Md5(md5::Md5::new()),
            Algorithm::Crc32 => Theirs::Crc32(crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32IsoHdlc)),
        };
        Self { ours: domain::Hasher::new(), theirs }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.ours.update(bytes);
        match &mut self.theirs {
            Theirs::None => {}
            Theirs::Sha512(hash) => hash.update(bytes),
            Theirs::Sha1(hash) => hash.update(bytes),
            Theirs::Md5(hash) => hash.update(bytes),
            Theirs::Crc32(crc) => crc.update(bytes),
        }
    }

    pub(crate) fn finish(self) -> (Digest, Checksum) {
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect();
        let ours = self.ours.finish();
        let (algorithm, hex) = match self.theirs {
            Theirs::None => (Algorithm::Sha256, ours.sha256.to_string()),
            Theirs::Sha512(hash) => (Algorithm::Sha512, hex(&hash.finalize())),
            Theirs::Sha1(hash) => (Algorithm::Sha1, hex(&hash.finalize())),
            Theirs::Md5(hash) => (Algorithm::Md5, hex(&hash.finalize())),
            Theirs::Crc32(crc) => (Algorithm::Crc32, format!("{:08x}", crc.finalize())),
        };
        (ours, Checksum { algorithm, hex })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check values of the standards ("abc"), and of the CRC catalogue ("123456789").
    #[test]
    fn the_hashes_are_the_standard_ones() {
        for (algorithm, text, begins) in [
            (Algorithm::Sha256, "abc", "ba7816bf"),
            (Algorithm::Sha512, "abc", "ddaf35a193617aba"),
            (Algorithm::Sha1, "abc", "a9993e364706816a"),
            (Algorithm::Md5, "abc", "900150983cd24fb0"),
            (Algorithm::Crc32, "123456789", "cbf43926"),
        ] {
            let mut twin = Twin::new(algorithm);
            twin.update(&text.as_bytes()[..1]);
            twin.update(&text.as_bytes()[1..]);
            let (digest, checksum) = twin.finish();
            assert_eq!(digest.size, text.len() as u64);
            assert!(checksum.hex.starts_with(begins), "{checksum:?}");
            assert_eq!(
                Checksum::parse(algorithm, &format!(" {}\r\n", checksum.hex.to_uppercase())),
                Some(checksum)
            );
            assert_eq!(algorithm.to_string().parse::<Algorithm>().unwrap(), algorithm);
        }
        assert_eq!(Checksum::parse(Algorithm::Crc32, "F43926").unwrap().hex, "00f43926");
        assert_eq!(Checksum::parse(Algorithm::Md5, "no such file"), None);
    }
}
