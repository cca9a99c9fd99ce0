//! The emulator restores in seconds and lets unrestored objects be copied, so nothing here waits for a restore to end.

use super::{
    kit::*,
    tap::{Cue, header},
};
use crate::{Access, ErrorKind, Memory, Put, Speed, Store, put_bytes};

#[tokio::test]
async fn an_object_has_a_class_and_moves_to_another_with_its_tags() {
    for kind in [Versioned, Unversioned] {
        let s = Scene::new(kind).await;
        let meta = s.put("x", "bytes").await;
        let tags = [("videorec:hold".to_owned(), "yes + more".to_owned())].into();
        s.s3.set_tags(&meta.key, &tags).await.unwrap();
        let tier = s.s3.tier(&meta.key, &meta.version).await.unwrap();
        assert_eq!((tier.class.as_str(), tier.access), ("STANDARD", Access::Now));
        let moved = s.s3.set_class(&meta.key, &meta.version, "STANDARD_IA").await.unwrap();
        assert_eq!(s.s3.head(&meta.key).await.unwrap(), moved);
        let tier = s.s3.tier(&meta.key, &moved.version).await.unwrap();
        assert_eq!((tier.class.as_str(), tier.access), ("STANDARD_IA", Access::Now));
        assert_eq!(s.read("x").await.unwrap(), "bytes");
        assert_eq!(s.s3.tags(&meta.key).await.unwrap(), tags);
        // Already there: nothing is done.
        s.tap.forget();
        assert_eq!(s.s3.set_class(&meta.key, &moved.version, "STANDARD_IA").await.unwrap(), moved);
        assert_eq!(s.tap.ops(), ["HeadObject"]);
    }
}

/// Two versions would be paid for; one goes, but only when S3 says by its checksums that the other holds the same bytes.
#[tokio::test]
async fn the_version_before_goes_only_when_the_new_one_equals_it() {
    let s = Scene::new(Versioned).await;
    let meta = s.put("x", "bytes").await;
    let moved = s.s3.set_class(&meta.key, &meta.version, "GLACIER_IR").await.unwrap();
    assert_eq!(s.history("x").await, [(moved.version.clone(), false)]);
    // After the copy, S3 keeps another checksum of it.
    s.tap.on("HeadObject", 2, header("x-amz-checksum-crc64nvme", "AAAAAAAAAAA="));
    let again = s.s3.set_class(&meta.key, &moved.version, "STANDARD").await.unwrap();
    assert_eq!(s.history("x").await, [(again.version, false), (moved.version, false)]);
}

#[tokio::test]
async fn an_archived_object_is_restored_before_it_is_read() {
    let s = Scene::new(Versioned).await;
    let meta = s.put("x", "bytes").await;
    let meta = s.s3.set_class(&meta.key, &meta.version, "DEEP_ARCHIVE").await.unwrap();
    let access = async || s.s3.tier(&meta.key, &meta.version).await.unwrap().access;
    assert_eq!(access().await, Access::Archived);
    let error = s.read("x").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Archived);
    assert!(proper(&error).contains("restore it"), "{error}");
    for _ in 0..2 {
        s.s3.restore(&meta.key, &meta.version, 7, Speed::Bulk).await.unwrap();
    }
    assert!(matches!(access().await, Access::Restoring | Access::Until(_)));
    // Asked again while it goes on.
    s.tap.on("RestoreObject", 1, Cue::Refuse { status: 409, code: "RestoreAlreadyInProgress" });
    s.s3.restore(&meta.key, &meta.version, 7, Speed::Bulk).await.unwrap();
    s.tap.on("RestoreObject", 1, Cue::Refuse { status: 503, code: "GlacierExpeditedRetrievalNotAvailable" });
    let error = s.s3.restore(&meta.key, &meta.version, 1, Speed::Expedited).await.unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Unavailable, true));
    assert!(proper(&error).contains("another speed"), "{error}");
}

#[tokio::test]
async fn what_can_be_read_needs_no_restoring() {
    let s = Scene::new(Unversioned).await;
    let meta = s.put("x", "bytes").await;
    s.s3.restore(&meta.key, &meta.version, 1, Speed::Standard).await.unwrap();
    assert_eq!(s.tap.count("RestoreObject"), 0);
}

/// In Intelligent-Tiering an object sinks by itself, and comes back for good.
#[tokio::test]
async fn what_sank_by_itself_is_archived_too() {
    let s = Scene::new(Versioned).await;
    let meta = s.put("x", "bytes").await;
    let sunk = super::tap::edit(|response| {
        response.headers_mut().insert("x-amz-storage-class", "INTELLIGENT_TIERING");
        response.headers_mut().insert("x-amz-archive-status", "DEEP_ARCHIVE_ACCESS");
    });
    s.tap.on("HeadObject", 1, sunk);
    let tier = s.s3.tier(&meta.key, &meta.version).await.unwrap();
    assert_eq!((tier.class.as_str(), tier.access), ("INTELLIGENT_TIERING", Access::Archived));
}

#[tokio::test]
async fn another_version_is_neither_moved_nor_restored() {
    let s = Scene::new(Versioned).await;
    let old = s.put("x", "old").await;
    let new = s.put("x", "new").await;
    for error in [
        s.s3.tier(&old.key, &old.version).await.unwrap_err(),
        s.s3.set_class(&old.key, &old.version, "GLACIER").await.unwrap_err(),
        s.s3.restore(&old.key, &old.version, 1, Speed::Bulk).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Changed);
        proper(&error);
    }
    assert_eq!(s.s3.head(&new.key).await.unwrap().version, new.version);
    assert_eq!(s.s3.tier(&key("none"), "v").await.unwrap_err().kind(), ErrorKind::NotFound);
    let error = s.s3.set_class(&new.key, &new.version, "CUPBOARD").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(proper(&error).contains("storage class"), "{error}");
}

/// As `aws s3api put-bucket-lifecycle-configuration` would.
#[tokio::test]
async fn a_buckets_own_rules_are_read() {
    use std::time::Duration;

    use aws_sdk_s3::types::{
        BucketLifecycleConfiguration, ExpirationStatus, LifecycleRule as Rule, LifecycleRuleAndOperator,
        LifecycleRuleFilter, Tag, Transition, TransitionStorageClass,
    };
    let s = Scene::new(Versioned).await;
    assert_eq!(s.s3.lifecycle(Duration::ZERO).await.unwrap(), [], "it has none");
    let tag = |name: &str, value: &str| Tag::builder().key(name).value(value).build().unwrap();
    let sinks =
        Transition::builder().days(0).storage_class(TransitionStorageClass::from("DEEP_ARCHIVE")).build();
    let rule = |id: &str, status: &str, filter: LifecycleRuleFilter| {
        let rule = Rule::builder().id(id).status(ExpirationStatus::from(status)).filter(filter);
        rule.transitions(sinks.clone()).build().unwrap()
    };
    let by_tag = LifecycleRuleFilter::builder().tag(tag("videorec-archive", "DEEP_ARCHIVE")).build();
    let both = LifecycleRuleAndOperator::builder()
        .prefix("lib/")
        .tags(tag("a", "1"))
        .tags(tag("b", "2"))
        .object_size_greater_than(1000)
        .build();
    let both = LifecycleRuleFilter::builder().and(both).build();
    let config = BucketLifecycleConfiguration::builder()
        .rules(rule("ours", "Enabled", by_tag.clone()))
        .rules(rule("asleep", "Disabled", by_tag))
        .rules(rule("theirs", "Enabled", both))
        .build()
        .unwrap();
    s.raw
        .put_bucket_lifecycle_configuration()
        .bucket(&s.bucket)
        .lifecycle_configuration(config)
        .send()
        .await
        .unwrap();
    assert_eq!(s.s3.lifecycle(Duration::from_secs(60)).await.unwrap(), [], "as they were a moment ago");
    let found = s.s3.lifecycle(Duration::ZERO).await.unwrap();
    let [ours, theirs] = &found[..] else { panic!("{found:?}") };
    assert!(ours.moves("lib/x/a", 1, ("videorec-archive", "DEEP_ARCHIVE"), "DEEP_ARCHIVE"), "{ours:?}");
    assert_eq!((theirs.prefix.as_str(), theirs.larger_than, theirs.tags.len()), ("lib/", Some(1000), 2));
    s.tap.on("GetBucketLifecycleConfiguration", 1, Cue::Refuse { status: 403, code: "AccessDenied" });
    let error = s.s3.lifecycle(Duration::ZERO).await.unwrap_err();
    assert!(proper(&error).contains("s3:GetLifecycleConfiguration"), "{error}");
}

/// The version that was pinned, whatever comes in the moment between.
#[tokio::test]
async fn a_tag_goes_to_its_version() {
    let s = Scene::new(Versioned).await;
    let meta = s.put("x", "bytes").await;
    s.s3.set_tag(&meta.key, &meta.version, "class", Some("GLACIER")).await.unwrap();
    let newer = s.put("x", "others").await;
    let of = async |version: &str| {
        let asked =
            s.raw.get_object_tagging().bucket(&s.bucket).key(format!("{PREFIX}/x")).version_id(version);
        asked.send().await.unwrap().tag_set().len()
    };
    assert_eq!((of(&meta.version).await, of(&newer.version).await), (1, 0));
}

/// Lists and looks agree on the class, and name none where nobody chose one.
#[tokio::test]
async fn the_class_is_seen_wherever_an_object_is() {
    for kind in [Versioned, Unversioned] {
        let s = Scene::new(kind).await;
        let (cold, _hot) = (s.put("cold", "bytes").await, s.put("hot", "bytes").await);
        let moved = s.s3.set_class(&cold.key, &cold.version, "DEEP_ARCHIVE").await.unwrap();
        assert_eq!(moved.class.as_deref(), Some("DEEP_ARCHIVE"));
        assert_eq!(s.s3.head(&cold.key).await.unwrap().class, moved.class);
        let listed = s.s3.list("", None, 10).await.unwrap();
        let classes: Vec<_> = listed.iter().map(|meta| meta.class.as_deref()).collect();
        assert_eq!(classes, [Some("DEEP_ARCHIVE"), None], "{kind:?}");
    }
}

#[tokio::test]
async fn a_store_without_classes_says_so() {
    let memory = Memory::new("memory");
    let meta = put_bytes(&memory, &key("x"), "x", Put::default()).await.unwrap().0;
    for error in [
        memory.tier(&meta.key, &meta.version).await.unwrap_err(),
        memory.set_class(&meta.key, &meta.version, "GLACIER").await.unwrap_err(),
        memory.restore(&meta.key, &meta.version, 1, Speed::Bulk).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains("`memory` has no storage classes"), "{error}");
    }
}
