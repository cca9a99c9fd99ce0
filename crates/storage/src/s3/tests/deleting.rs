use super::{
    kit::*,
    tap::{Cue, header},
};
use crate::{ErrorKind, Put, Store, put_bytes};

/// Deleted is deleted: what is left behind would be paid for, and found by whoever looks.
#[tokio::test]
async fn a_deleted_version_leaves_no_marker() {
    let s = Scene::new(Versioned).await;
    let meta = s.put("x", "bytes").await;
    s.s3.delete(&meta.key, &meta.version).await.unwrap();
    assert!(s.history("x").await.is_empty());
}

#[tokio::test]
async fn an_older_version_does_not_come_to_light_again() {
    let s = Scene::new(Versioned).await;
    let old = s.put("x", "old").await;
    let new = s.put("x", "new").await;
    s.s3.delete(&new.key, &new.version).await.unwrap();
    assert_eq!(s.s3.head(&new.key).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(s.s3.delete(&new.key, &old.version).await.unwrap_err().kind(), ErrorKind::NotFound);
    let history = s.history("x").await;
    assert_eq!((history.len(), history[0].1, &history[1].0), (2, true, &old.version), "{history:?}");
    // It stays where it was, for whoever knows it.
    let body = s.s3.get(&old.key, Some(&old.version), None).await.unwrap();
    assert_eq!(collect(body).await.unwrap(), "old");
    // The marker came before the version went: nobody ever saw the older one.
    let deletes = s.tap.seen("DeleteObject");
    assert!(deletes[0].header("if-match").is_some() && !deletes[0].uri.contains("versionId"));
    assert!(deletes[1].uri.contains("versionId"));
}

/// Promise 5: deleting again what an answer was lost for.
#[tokio::test]
async fn a_lost_answer_to_a_deletion_is_a_success() {
    for kind in [Versioned, Unversioned] {
        let s = Scene::new(kind).await;
        s.put("x", "old").await;
        let meta = s.put("x", "new").await;
        s.tap.on("DeleteObject", 1, Cue::LoseAnswer);
        s.s3.delete(&meta.key, &meta.version).await.unwrap();
        assert_eq!(s.s3.head(&meta.key).await.unwrap_err().kind(), ErrorKind::NotFound);
    }
}

/// Whoever writes between our look and the deletion keeps what they wrote.
#[tokio::test]
async fn what_is_overwritten_in_between_is_not_deleted() {
    let s = Scene::new(Unversioned).await;
    let old = s.put("x", "old").await;
    s.put("x", "new").await;
    // The look still finds the old one.
    let etag = format!("\"{}\"", old.version.strip_prefix("etag:").unwrap());
    s.tap.on("HeadObject", 1, header("etag", etag.clone()));
    let error = s.s3.delete(&old.key, &old.version).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Changed);
    proper(&error);
    assert_eq!(s.tap.seen("DeleteObject")[0].header("if-match"), Some(&*etag));
    assert_eq!(s.read("x").await.unwrap(), "new");
}

#[tokio::test]
async fn a_service_without_conditional_deletion_is_asked_without_it() {
    let s = Scene::new(Unversioned).await;
    let meta = s.put("x", "bytes").await;
    s.tap.on("DeleteObject", 1, Cue::Refuse { status: 501, code: "NotImplemented" });
    s.s3.delete(&meta.key, &meta.version).await.unwrap();
    assert_eq!(s.tap.seen("DeleteObject")[1].header("if-match"), None);
    assert!(s.keys().await.is_empty());
}

/// A bucket whose versions are kept only now: what was written before has no version id, and goes all the same.
#[tokio::test]
async fn what_was_there_before_versions_were_kept_is_removed_too() {
    use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
    let s = Scene::new(Unversioned).await;
    let meta = s.put("x", "bytes").await;
    let enabled = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
    let enable = s.raw.put_bucket_versioning().bucket(&s.bucket).versioning_configuration(enabled);
    enable.send().await.unwrap();
    assert_eq!(s.s3.head(&meta.key).await.unwrap().version, meta.version);
    assert_eq!(s.read("x").await.unwrap(), "bytes");
    s.s3.delete(&meta.key, &meta.version).await.unwrap();
    assert_eq!(s.s3.head(&meta.key).await.unwrap_err().kind(), ErrorKind::NotFound);
    let history = s.history("x").await;
    assert!(history.iter().all(|(_, marker)| *marker), "the bytes are gone: {history:?}");
    // From now on there are ids, and lists name them.
    let new = put_bytes(&s.s3, &meta.key, "new", Put::default()).await.unwrap().0;
    assert!(!new.version.starts_with("etag:"));
    assert_eq!(s.s3.list("", None, 10).await.unwrap()[0].version, new.version);
}

/// A key that begins like another one is another one.
#[tokio::test]
async fn neighbours_are_not_mistaken_for_versions() {
    let s = Scene::new(Versioned).await;
    let meta = s.put("x", "bytes").await;
    s.put("x/below", "below").await;
    s.put("x.mp4", "beside").await;
    s.s3.delete(&meta.key, &meta.version).await.unwrap();
    assert!(s.history("x").await.len() == 2, "only the neighbours");
    assert_eq!(s.s3.delete(&meta.key, &meta.version).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(s.keys().await, ["x.mp4", "x/below"]);
}
