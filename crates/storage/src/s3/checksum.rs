use aws_smithy_types::base64;
use crc_fast::CrcAlgorithm;
use domain::Crc64;

/// A checksum of a whole object that S3 keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kept {
    algorithm: Algorithm,
    value: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    Crc64Nvme,
    Crc32c,
    Crc32,
}

impl Kept {
    /// Of an answer's headers, the best one. Not of those that S3 made of parts' checksums (`...-3`): nobody but S3 can
    /// compute them without knowing the parts.
    pub fn of(crc64: Option<&str>, crc32c: Option<&str>, crc32: Option<&str>) -> Option<Self> {
        let of = |algorithm, text: Option<&str>, bytes| {
            let decoded = base64::decode(text?).ok().filter(|decoded| decoded.len() == bytes)?;
            let value = decoded.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
            Some(Self { algorithm, value })
        };
        of(Algorithm::Crc64Nvme, crc64, 8)
            .or_else(|| of(Algorithm::Crc32c, crc32c, 4))
            .or_else(|| of(Algorithm::Crc32, crc32, 4))
    }

    pub fn crc64(&self) -> Option<Crc64> {
        (self.algorithm == Algorithm::Crc64Nvme).then_some(Crc64(self.value))
    }

    pub fn check(self) -> Check {
        let algorithm = match self.algorithm {
            Algorithm::Crc64Nvme => CrcAlgorithm::Crc64Nvme,
            Algorithm::Crc32c => CrcAlgorithm::Crc32Iscsi,
            Algorithm::Crc32 => CrcAlgorithm::Crc32IsoHdlc,
        };
        Check { kept: self, seen: crc_fast::Digest::new(algorithm) }
    }
}

/// Compares bytes that stream past with what S3 keeps. A gigabyte takes a fraction of a second: no other thread needed.
pub(super) struct Check {
    kept: Kept,
    seen: crc_fast::Digest,
}

impl Check {
    pub fn update(&mut self, bytes: &[u8]) {
        self.seen.update(bytes);
    }

    /// What `next` has seen follows.
    pub fn append(&mut self, next: &Self) {
        self.seen.combine(&next.seen);
    }

    pub fn holds(&self) -> bool {
        self.seen.finalize() == self.kept.value
    }
}

pub(super) fn crc64(bytes: &[u8]) -> Crc64 {
    Crc64(crc_fast::checksum(CrcAlgorithm::Crc64Nvme, bytes))
}

/// As S3's headers have it.
pub(super) fn encode(crc: Crc64) -> String {
    base64::encode(crc.0.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check values of the CRC catalogue, of "123456789".
    #[test]
    fn the_checksums_are_the_standard_ones() {
        assert_eq!(crc64(b"123456789"), Crc64(0xae8b_1486_0a79_9888));
        let crc64 = encode(Crc64(0xae8b_1486_0a79_9888));
        let crc32c = base64::encode(0xe306_9283_u32.to_be_bytes());
        let crc32 = base64::encode(0xcbf4_3926_u32.to_be_bytes());
        for kept in [
            Kept::of(Some(&crc64), Some(&crc32c), Some(&crc32)).unwrap(),
            Kept::of(None, Some(&crc32c), Some(&crc32)).unwrap(),
            Kept::of(None, None, Some(&crc32)).unwrap(),
        ] {
            let mut check = kept.check();
            check.update(b"12345");
            assert!(!check.holds());
            check.update(b"6789");
            assert!(check.holds(), "{kept:?}");
            let parts = ["123", "", "45678", "9"].map(|part| {
                let mut check = kept.check();
                check.update(part.as_bytes());
                check
            });
            let mut whole = kept.check();
            parts.iter().for_each(|part| whole.append(part));
            assert!(whole.holds(), "{kept:?}, of parts");
            whole.append(&parts[0]);
            assert!(!whole.holds());
        }
    }

    #[test]
    fn a_checksum_of_checksums_is_none() {
        assert_eq!(Kept::of(Some("AAAAAAAAAAA=-3"), None, Some("AAAAAA==-2")), None);
        assert_eq!(Kept::of(Some("not base64"), None, Some("AAAAAAAAAAA=")), None);
    }
}
