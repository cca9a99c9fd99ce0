use crate::{Error, ErrorKind, Tags};

/// One of the rules by which a store puts objects into another class by itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LifecycleRule {
    /// What the object's whole name begins with.
    pub prefix: String,
    /// Tags that the object has, all of them.
    pub tags: Tags,
    /// Bytes; the object has more.
    pub larger_than: Option<u64>,
    /// Bytes; the object has fewer.
    pub smaller_than: Option<u64>,
    /// The classes that it goes through.
    pub classes: Vec<String>,
}

impl LifecycleRule {
    /// Whether it puts an object of that name and size into that class once it has that tag, whatever others it has.
    pub fn moves(&self, object: &str, size: u64, tag: (&str, &str), class: &str) -> bool {
        object.starts_with(&self.prefix)
            && self.tags.iter().all(|(name, value)| (name.as_str(), value.as_str()) == tag)
            && self.larger_than.is_none_or(|least| size > least)
            && self.smaller_than.is_none_or(|most| size < most)
            && self.classes.iter().any(|c| c == class)
    }
}

/// These tags and that one, or without it.
pub(crate) fn with_tag(tags: &Tags, name: &str, value: Option<&str>) -> Tags {
    let mut tags = tags.clone();
    match value {
        Some(value) => tags.insert(name.to_owned(), value.to_owned()),
        None => tags.remove(name),
    };
    tags
}

/// The answer of a store that leaves objects where they are.
pub(crate) fn no_lifecycle(store: &str) -> Error {
    Error::new(
        ErrorKind::Invalid,
        format!("store `{store}` has no lifecycle rules: these need a store in S3"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: (&str, &str) = ("videorec-archive", "DEEP_ARCHIVE");

    #[test]
    fn a_rule_moves_what_its_filter_lets_through() {
        let tag = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let ours = LifecycleRule {
            tags: [tag(TAG.0, TAG.1)].into(),
            classes: vec!["DEEP_ARCHIVE".into()],
            ..LifecycleRule::default()
        };
        let moves = |rule: &LifecycleRule| rule.moves("inbox/a.mp4", 1000, TAG, "DEEP_ARCHIVE");
        assert!(moves(&ours));
        assert!(!ours.moves("inbox/a.mp4", 1000, TAG, "GLACIER"));
        assert!(!ours.moves("inbox/a.mp4", 1000, (TAG.0, "GLACIER"), "DEEP_ARCHIVE"));
        assert!(
            moves(&LifecycleRule { prefix: "inbox/".into(), tags: Tags::new(), ..ours.clone() }),
            "all of it goes"
        );
        for other in [
            LifecycleRule { prefix: "library/".into(), ..ours.clone() },
            // Whether it has another tag as well, nobody knows.
            LifecycleRule { tags: [tag(TAG.0, TAG.1), tag("team", "red")].into(), ..ours.clone() },
            LifecycleRule { larger_than: Some(1000), ..ours.clone() },
            LifecycleRule { smaller_than: Some(1000), ..ours.clone() },
            LifecycleRule { classes: Vec::new(), ..ours.clone() },
        ] {
            assert!(!moves(&other), "{other:?}");
        }
    }
}
