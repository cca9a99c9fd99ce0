use crate::{Error, ErrorKind, key};

/// A bucket and the prefix below which a store's objects lie.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    bucket: String,
    /// Without slashes at its ends; may be empty.
    prefix: String,
}

impl Place {
    /// Reads `s3://bucket` or `s3://bucket/prefix`.
    pub fn parse(url: &str) -> Result<Self, Error> {
        let bad = |why: &str| {
            // What stands before an `@` may be somebody's secret.
            let shown = url.rsplit_once('@').map_or(url, |(_, behind)| behind);
            let shown: String = key::inert(shown).chars().take(120).collect();
            Err(Error::new(
                ErrorKind::Invalid,
                format!("`{shown}` is no place in S3: {why}; write it like s3://acme-recordings/library"),
            ))
        };
        let Some(rest) = url.strip_prefix("s3://") else { return bad("it does not begin with `s3://`") };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        match Self::new(bucket, prefix) {
            Ok(place) => Ok(place),
            Err(why) => bad(why),
        }
    }

    fn new(bucket: &str, prefix: &str) -> Result<Self, &'static str> {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
        let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_alphanumeric());
        if !(3..=63).contains(&bucket.len())
            || !bucket.bytes().all(allowed)
            || !edge(bucket.bytes().next())
            || !edge(bucket.bytes().last())
            || bucket.contains("..")
        {
            return Err(
                "a bucket's name has 3 to 63 of a-z, 0-9, `-` and `.`, and begins and ends with one of \
                        a-z or 0-9",
            );
        }
        let prefix = prefix.trim_end_matches('/');
        let segment = |s: &str| !matches!(s, "" | "." | "..") && s.bytes().all(key::allowed);
        if !prefix.is_empty() && (prefix.len() > MAX_PREFIX || !prefix.split('/').all(segment)) {
            return Err("a prefix has at most 200 ASCII letters, digits and `._=@+-` between single slashes");
        }
        if prefix.split('/').next() == Some(key::RESERVED) {
            return Err("`.videorec` belongs to the store that lies beside it");
        }
        Ok(Self { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
    }

    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// Empty, or what every object's name begins with, up to the slash.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }
}

/// Bytes. S3's 1,024 leave plenty for the keys.
const MAX_PREFIX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_a_bucket_and_a_prefix() {
        for (url, bucket, prefix) in [
            ("s3://acme", "acme", ""),
            ("s3://acme/", "acme", ""),
            ("s3://acme.recordings-2/library", "acme.recordings-2", "library"),
            ("s3://acme/a/b_c=d/", "acme", "a/b_c=d"),
        ] {
            let place = Place::parse(url).unwrap();
            assert_eq!((place.bucket(), place.prefix()), (bucket, prefix), "{url}");
        }
    }

    #[test]
    fn a_url_that_is_none_says_what_is_wrong_and_what_it_looks_like() {
        for (url, why) in [
            ("acme/library", "begin with `s3://`"),
            ("https://acme.s3.amazonaws.com/", "begin with `s3://`"),
            ("s3://", "3 to 63"),
            ("s3://ab/x", "3 to 63"),
            ("s3://Acme", "3 to 63"),
            ("s3://-acme", "begins and ends"),
            ("s3://acme..eu", "bucket's name"),
            ("s3://key:secret@acme", "bucket's name"),
            ("s3://acme//x", "single slashes"),
            ("s3://acme/../x", "single slashes"),
            ("s3://acme/a b", "single slashes"),
            ("s3://acme/.videorec", "belongs to the store"),
        ] {
            let error = Place::parse(url).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid);
            let text = error.to_string();
            assert!(text.contains(why) && text.contains("s3://acme-recordings/library"), "{text}");
        }
        let error = Place::parse("s3://key:canary@acme").unwrap_err().to_string();
        assert!(!error.contains("canary"), "{error}");
        let error = Place::parse("s3://acme/\u{1b}[2J").unwrap_err().to_string();
        assert!(!error.contains('\u{1b}'), "{error}");
    }
}
