use super::{kit::*, tap::Cue};
use crate::{ErrorKind, Store};

#[tokio::test]
async fn what_is_no_key_of_ours_is_skipped() {
    for kind in [Versioned, Unversioned] {
        let s = Scene::new(kind).await;
        s.put("a", "x").await;
        s.put("z", "x").await;
        for object in ["lib/x/", "lib/x/.videorec/probe-1", "lib/xother", "lib/y", "other"] {
            s.raw.put_object().bucket(&s.bucket).key(object).send().await.unwrap();
        }
        assert_eq!(s.keys().await, ["a", "z"]);
        // Also when a page would be full of them.
        let first = s.s3.list("", None, 1).await.unwrap();
        let second = s.s3.list("", Some(&first[0].key), 1).await.unwrap();
        assert_eq!((first[0].key.as_str(), second[0].key.as_str()), ("a", "z"));
        assert!(s.s3.list("", Some(&second[0].key), 1).await.unwrap().is_empty());
        // A store at the bucket's top sees the others' objects as foreign keys.
        let (beside, _) = s.beside(options());
        let all = beside.list("", None, 100).await.unwrap();
        assert_eq!(all.len(), 7);
        assert_eq!(beside.list("lib/x/", None, 100).await.unwrap().len(), 4);
    }
}

#[tokio::test]
async fn old_versions_and_markers_are_not_listed() {
    let s = Scene::new(Versioned).await;
    for i in 0..5 {
        s.put("busy", format!("version {i}")).await;
    }
    s.put("a", "x").await;
    let last = s.put("last", "x").await;
    for name in ["deleted", "hidden"] {
        s.put(name, "x").await;
        s.raw.delete_object().bucket(&s.bucket).key(format!("{PREFIX}/{name}")).send().await.unwrap();
    }
    assert_eq!(s.keys().await, ["a", "busy", "last"]);
    let mut paged = Vec::new();
    while let Some(meta) = s.s3.list("", paged.last(), 1).await.unwrap().pop() {
        assert_eq!(s.s3.head(&meta.key).await.unwrap(), meta);
        paged.push(meta.key);
    }
    assert_eq!(paged.len(), 3);
    assert_eq!(s.s3.list("last", None, 9).await.unwrap()[0].version, last.version);
}

/// S3 gives a thousand at most (three in tests); who asks for more gets them all the same.
#[tokio::test]
async fn a_page_may_be_larger_than_one_answer() {
    for kind in [Versioned, Unversioned] {
        let s = Scene::new(kind).await;
        for i in 0..8 {
            s.put(&format!("k{i}"), "old").await;
            s.put(&format!("k{i}"), "x").await;
        }
        let all = s.keys().await;
        assert_eq!(all, (0..8).map(|i| format!("k{i}")).collect::<Vec<_>>());
        let (op, answers) = if kind == Versioned { ("ListObjectVersions", 6) } else { ("ListObjectsV2", 3) };
        assert_eq!(s.tap.count(op), answers);
        let few = s.s3.list("", None, 5).await.unwrap();
        let rest = s.s3.list("", Some(&few[4].key), 100).await.unwrap();
        assert_eq!((few.len(), rest.len()), (5, 3));
    }
}

#[tokio::test]
async fn a_service_that_has_never_heard_of_versions_is_listed_plainly() {
    let s = Scene::new(Unversioned).await;
    s.put("a", "x").await;
    s.tap.on("GetBucketVersioning", 1, Cue::Refuse { status: 501, code: "NotImplemented" });
    assert_eq!(s.keys().await, ["a"]);
    assert_eq!((s.keys().await.len(), s.tap.count("GetBucketVersioning")), (1, 1), "asked once");
}

#[tokio::test]
async fn a_missing_permission_is_named() {
    let s = Scene::new(Unversioned).await;
    let denied = Cue::Refuse { status: 403, code: "AccessDenied" };
    s.tap.on("GetBucketVersioning", 1, denied.clone());
    let error = s.s3.list("", None, 1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(proper(&error).contains("s3:GetBucketVersioning"), "{error}");
    s.tap.on("ListObjectsV2", 1, denied);
    let error = s.s3.list("", None, 1).await.unwrap_err();
    assert!(proper(&error).contains("s3:ListBucket"), "{error}");
}
