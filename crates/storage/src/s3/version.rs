use std::fmt;

/// What a [`Meta::version`](crate::Meta::version) says, for a request: only this version, no other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Pin {
    /// S3's version id, in a bucket that keeps versions.
    Id(String),
    /// Without its quotes. Where no versions are kept, it names the bytes: other bytes have another one.
    Etag(String),
}

/// No version id begins like this.
const ETAG: &str = "etag:";

impl Pin {
    /// Of an answer. What was there before versions were kept has the id `null`, which does not name its bytes: whatever
    /// is written while versions are suspended gets it too.
    pub fn of(id: Option<&str>, etag: Option<&str>) -> Self {
        match id {
            Some(id) if !id.is_empty() && id != "null" => Self::Id(id.to_owned()),
            _ => Self::Etag(etag.unwrap_or_default().trim_matches('"').to_owned()),
        }
    }

    pub fn parse(version: &str) -> Self {
        match version.strip_prefix(ETAG) {
            Some(etag) => Self::Etag(etag.to_owned()),
            None => Self::Id(version.to_owned()),
        }
    }

    pub fn id(&self) -> Option<String> {
        match self {
            Self::Id(id) => Some(id.clone()),
            Self::Etag(_) => None,
        }
    }

    pub fn if_match(&self) -> Option<String> {
        match self {
            Self::Id(_) => None,
            Self::Etag(etag) => Some(format!("\"{etag}\"")),
        }
    }

    /// Both are of one kind and yet differ.
    pub fn contradicts(&self, other: &Self) -> bool {
        matches!((self, other), (Self::Id(a), Self::Id(b)) | (Self::Etag(a), Self::Etag(b)) if a != b)
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => f.write_str(id),
            Self::Etag(etag) => write!(f, "{ETAG}{etag}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_what_it_was_written_as() {
        for (id, etag, version) in [
            (Some("3HL4kqtJlcpXroDTDmJ+rmSpXd3dIbrHY"), Some("\"aa\""), "3HL4kqtJlcpXroDTDmJ+rmSpXd3dIbrHY"),
            (Some("null"), Some("\"9a-2\""), "etag:9a-2"),
            (Some(""), Some("\"aa\""), "etag:aa"),
            (None, Some("aa"), "etag:aa"),
        ] {
            let pin = Pin::of(id, etag);
            assert_eq!(pin.to_string(), version);
            assert_eq!(Pin::parse(version), pin);
        }
        assert_eq!(Pin::parse("etag:aa").if_match().unwrap(), "\"aa\"");
    }
}
