use crate::Algorithm;

/// What a server says that it can do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Features {
    pub mlst: bool,
    pub mfmt: bool,
    pub epsv: bool,
    pub utf8: bool,
    /// By `HASH`, best first.
    pub hash: Vec<Algorithm>,
    /// By a command of their own, best first.
    pub commands: Vec<(Algorithm, &'static str)>,
}

/// Best first.
const HASHES: [(Algorithm, &[&str]); 5] = [
    (Algorithm::Sha256, &["XSHA256"]),
    (Algorithm::Sha512, &["XSHA512"]),
    (Algorithm::Sha1, &["XSHA1", "XSHA"]),
    (Algorithm::Md5, &["XMD5"]),
    (Algorithm::Crc32, &["XCRC"]),
];

impl Features {
    /// From the answer to `FEAT`: names and what is said of each.
    pub(super) fn of<'a>(lines: impl Iterator<Item = (&'a str, Option<&'a str>)>) -> Self {
        let lines: Vec<(String, String)> = lines
            .map(|(name, more)| (name.to_ascii_uppercase(), more.unwrap_or_default().to_ascii_uppercase()))
            .collect();
        let has = |name: &str| lines.iter().any(|(n, _)| n == name);
        // `HASH SHA-256*;SHA-1;MD5`: the star marks what it would take by itself.
        let offered: Vec<Algorithm> = lines
            .iter()
            .filter(|(name, _)| name == "HASH")
            .flat_map(|(_, more)| more.split([';', ' ']))
            .filter_map(|algorithm| algorithm.parse().ok())
            .collect();
        Self {
            mlst: has("MLST") || has("MLSD"),
            mfmt: has("MFMT"),
            epsv: has("EPSV"),
            utf8: has("UTF8"),
            hash: HASHES.iter().map(|(a, _)| *a).filter(|a| offered.contains(a)).collect(),
            commands: HASHES
                .iter()
                .filter_map(|(a, names)| names.iter().find(|n| has(n)).map(|n| (*a, *n)))
                .collect(),
        }
    }

    pub(super) fn hashes(&self) -> Vec<Algorithm> {
        let either = |a: &Algorithm| self.hash.contains(a) || self.commands.iter().any(|(c, _)| c == a);
        HASHES.iter().map(|(a, _)| *a).filter(either).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_is_taken_in_our_order() {
        let said = [
            ("MLST", Some("modify*;size*;type*;")),
            ("Hash", Some("CRC32;MD5;SHA-1*;SHA-256;X-1")),
            ("XCRC", None),
            ("XSHA", Some("filename")),
            ("EPSV", None),
        ];
        let features = Features::of(said.into_iter());
        assert_eq!((features.mlst, features.epsv, features.mfmt, features.utf8), (true, true, false, false));
        assert_eq!(features.hash, [Algorithm::Sha256, Algorithm::Sha1, Algorithm::Md5, Algorithm::Crc32]);
        assert_eq!(features.commands, [(Algorithm::Sha1, "XSHA"), (Algorithm::Crc32, "XCRC")]);
        assert_eq!(features.hashes(), features.hash);
        assert_eq!(Features::of(std::iter::empty()), Features::default());
    }
}
