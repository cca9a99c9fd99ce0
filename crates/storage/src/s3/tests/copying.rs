use domain::Digest;
use testbed::Ministack;

use super::{
    kit::*,
    tap::{Cue, header},
};
use crate::{
    Error, ErrorKind, Put, Store, Unbounded, Verified,
    s3::{Checksums, Options, checksum},
    verified_copy,
};

/// A library, and a store for its copies in another bucket of the same service.
async fn pair(options: Options) -> (Scene, Scene) {
    (Scene::with(Versioned, options.clone()).await, Scene::with(Unversioned, options).await)
}

async fn copy(from: &Scene, name: &str, to: &Scene, expected: Digest) -> Result<Verified, Error> {
    verified_copy(&from.s3, &key(name), None, &to.s3, &key("b"), &expected, &Unbounded).await
}

/// Promise 1 without the bytes passing through us twice: the service copies, and the copy is read back and hashed.
#[tokio::test]
async fn a_verified_copy_within_a_service_is_made_by_it_and_read_back() {
    let (from, to) = pair(options()).await;
    let bytes = pattern(300_000);
    let meta = from.put("a", bytes.clone()).await;
    from.s3.set_tags(&meta.key, &[("tier".to_owned(), "hot".to_owned())].into()).await.unwrap();
    let verified = copy(&from, "a", &to, digest(&bytes)).await.unwrap();
    assert_eq!(verified.digest, digest(&bytes));
    let mut ops = to.tap.ops();
    ops.sort_unstable();
    // Is it there, what must it be, does the bucket exist (once); then the copy, and its bytes.
    assert_eq!(ops, ["CopyObject", "GetObject", "HeadBucket", "HeadObject", "HeadObject"]);
    assert!(!from.tap.ops().contains(&"GetObject"));
    assert!(to.s3.tags(&key("b")).await.unwrap().is_empty());
    assert_eq!(to.s3.head(&key("b")).await.unwrap().version, verified.meta.version);
    // Again, it finds the copy and reads it.
    let again = copy(&from, "a", &to, digest(&bytes)).await.unwrap();
    assert_eq!(again, verified);
    assert_eq!(to.tap.count("CopyObject"), 1);
}

#[tokio::test]
async fn between_services_bytes_are_streamed() {
    let from = Scene::new(Versioned).await;
    from.put("a", "bytes").await;
    // Another name of the same machine: for us, another service.
    let elsewhere = Ministack::shared().endpoint().replace("127.0.0.1", "localhost");
    let to = Scene::at(&elsewhere, Versioned, options()).await;
    copy(&from, "a", &to, digest(b"bytes")).await.unwrap();
    assert_eq!((to.tap.count("CopyObject"), to.tap.count("PutObject")), (0, 1));
}

/// Whoever may write there need not be allowed to read here; then we carry the bytes.
#[tokio::test]
async fn a_copy_that_the_service_is_not_allowed_to_make_is_streamed() {
    let (from, to) = pair(options()).await;
    from.put("a", "bytes").await;
    for op in ["HeadObject", "CopyObject"] {
        to.tap.on(
            op,
            1,
            Cue::Refuse { status: 403, code: if op == "HeadObject" { "" } else { "AccessDenied" } },
        );
    }
    // Whether the first of two looks is at the source or the target does not matter: either sends us the long way.
    copy(&from, "a", &to, digest(b"bytes")).await.unwrap();
    assert_eq!(to.tap.count("PutObject"), 1);
}

/// One endpoint, and yet other buckets behind it for other credentials.
#[tokio::test]
async fn a_source_that_the_service_does_not_see_is_streamed() {
    let (from, to) = pair(options()).await;
    from.put("a", "bytes").await;
    to.tap.on_next("HeadObject", 2, &Cue::Refuse { status: 404, code: "" });
    copy(&from, "a", &to, digest(b"bytes")).await.unwrap();
    assert_eq!((to.tap.count("CopyObject"), to.tap.count("PutObject")), (0, 1));
}

/// A copy by the service is seen at once, so damage at the source must be noticed before it.
#[tokio::test]
async fn damage_at_the_source_is_noticed_before_the_service_copies() {
    let (from, to) = pair(options()).await;
    from.put("a", "bytes").await;
    for expected in [digest(b"other"), digest(b"longer bytes")] {
        let error = copy(&from, "a", &to, expected).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(proper(&error).contains("nothing was copied"), "{error}");
        assert_eq!(to.tap.count("CopyObject"), 0);
        assert!(to.keys().await.is_empty());
    }
}

/// Where S3 keeps no checksum of the source, the source is read.
#[tokio::test]
async fn a_source_without_a_checksum_is_read_before_the_service_copies() {
    let (from, to) = pair(Options { checksums: Checksums::WhenRequired, ..options() }).await;
    from.put("a", "bytes").await;
    let error = copy(&from, "a", &to, digest(b"other")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert_eq!((from.tap.count("GetObject"), to.tap.count("CopyObject")), (1, 0));
    copy(&from, "a", &to, digest(b"bytes")).await.unwrap();
    assert_eq!((to.tap.count("CopyObject"), to.tap.count("PutObject")), (1, 0));
}

/// A version that endures is what was accepted: only the copy is read. What is not what was accepted is found there, and
/// does not stay.
#[tokio::test]
async fn a_pinned_version_is_read_only_as_the_copy_that_was_made_of_it() {
    let (from, to) = pair(Options { checksums: Checksums::WhenRequired, ..options() }).await;
    let version = from.put("a", "bytes").await.version;
    let pinned = async |expected: Digest| {
        verified_copy(&from.s3, &key("a"), Some(&version), &to.s3, &key("b"), &expected, &Unbounded).await
    };
    let error = pinned(digest(b"other")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(proper(&error).contains("the bad copy was removed"), "{error}");
    assert!(to.keys().await.is_empty());
    pinned(digest(b"bytes")).await.unwrap();
    assert_eq!((from.tap.count("GetObject"), to.tap.count("GetObject")), (0, 2));
    assert_eq!(to.tap.count("CopyObject"), 2);
}

#[tokio::test]
async fn a_large_object_is_copied_in_parts() {
    let (from, to) = pair(Options { copy_at_once: 100_000, ..options() }).await;
    let bytes = pattern(450_000);
    let object = format!("{PREFIX}/a");
    from.raw
        .put_object()
        .bucket(&from.bucket)
        .key(&object)
        .content_type("video/mp4")
        .metadata("camera", "7")
        .body(bytes.clone().into())
        .send()
        .await
        .unwrap();
    let crc = checksum::encode(digest(&bytes).crc64);
    to.tap.on_next("HeadObject", 2, &header("x-amz-checksum-crc64nvme", crc.clone()));
    copy(&from, "a", &to, digest(&bytes)).await.unwrap();
    let mut parts = to.tap.seen("UploadPartCopy");
    parts.sort_by_key(|part| part.uri.clone());
    let ranges: Vec<_> = parts.iter().map(|part| part.header("x-amz-copy-source-range").unwrap()).collect();
    assert_eq!(ranges.len(), 5);
    assert_eq!((ranges[0], ranges[4]), ("bytes=0-99999", "bytes=400000-449999"));
    let version = parts[0].header("x-amz-copy-source").unwrap();
    assert!(version.contains("?versionId=") && version.starts_with(&format!("{}/lib/x/a", from.bucket)));
    let complete = &to.tap.seen("CompleteMultipartUpload")[0];
    assert_eq!(complete.header("x-amz-checksum-crc64nvme"), Some(&*crc));
    assert_eq!(complete.header("if-none-match"), Some("*"));
    let head = to.raw.head_object().bucket(&to.bucket).key(format!("{PREFIX}/b")).send().await.unwrap();
    assert_eq!(head.content_type(), Some("video/mp4"));
    assert_eq!(head.metadata().unwrap()["camera"], "7");
    assert_eq!(to.unfinished().await, 0);
}

/// Promise 5: the copy is there, whoever heard of it.
#[tokio::test]
async fn a_lost_answer_to_a_copy_is_a_success() {
    for copy_at_once in [1 << 20, 100_000] {
        let s = Scene::with(Versioned, Options { copy_at_once, ..options() }).await;
        let meta = s.put("a", pattern(250_000)).await;
        s.tap.on_next("CopyObject", 6, &Cue::LoseAnswer);
        s.tap.on("CompleteMultipartUpload", 1, Cue::LoseAnswer);
        let copied = s.s3.copy(&meta.key, Some(&meta.version), &key("b"), absent()).await.unwrap();
        assert_eq!(s.s3.head(&key("b")).await.unwrap().version, copied.version);
        assert!(s.read("b").await.unwrap() == pattern(250_000));
    }
}

/// The emulator, like other services, ignores the condition on a copy.
#[tokio::test]
async fn a_conditional_copy_overwrites_nothing_where_the_service_knows_no_condition() {
    for copy_at_once in [1 << 20, 1] {
        let s = Scene::with(Versioned, Options { copy_at_once, ..options() }).await;
        let from = s.put("a", "new").await;
        s.put("b", "old").await;
        let error = s.s3.copy(&from.key, None, &key("b"), absent()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Exists);
        assert_eq!(s.read("b").await.unwrap(), "old");
        s.s3.copy(&from.key, None, &key("b"), Put::default()).await.unwrap();
        assert_eq!(s.read("b").await.unwrap(), "new");
    }
}

#[tokio::test]
async fn a_version_that_is_gone_is_not_copied() {
    for kind in [Versioned, Unversioned] {
        let s = Scene::new(kind).await;
        let old = s.put("a", "old").await;
        s.put("a", "newer").await;
        let copied = s.s3.copy(&old.key, Some(&old.version), &key("b"), absent()).await;
        if kind == Versioned {
            copied.unwrap();
            assert_eq!(s.read("b").await.unwrap(), "old");
        } else {
            let error = copied.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Changed);
            assert!(proper(&error).contains("`a`"), "{error}");
            assert!(s.s3.head(&key("b")).await.is_err());
        }
        let error = s.s3.copy(&key("none"), None, &key("c"), absent()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(proper(&error).contains("`none`"), "{error}");
    }
}

/// What went between our look and the copy is not copied, and said by its own name.
#[tokio::test]
async fn a_source_that_is_overwritten_in_between_is_changed() {
    let s = Scene::new(Unversioned).await;
    let meta = s.put("a", "old").await;
    s.tap.on("CopyObject", 1, Cue::Refuse { status: 412, code: "PreconditionFailed" });
    // The second look, after the refusal, finds another version.
    s.tap.on("HeadObject", 2, header("etag", "\"another\""));
    let error = s.s3.copy(&meta.key, None, &key("b"), Put::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Changed);
    assert!(proper(&error).contains("`a`"), "{error}");
}

#[tokio::test]
async fn a_copy_that_reads_back_otherwise_is_removed() {
    let (from, to) = pair(options()).await;
    // S3 says of the source what it should be, and yet something else is copied: as if a medium had failed.
    from.put("a", "rotten").await;
    let crc = checksum::encode(digest(b"bytes").crc64);
    let lie = super::tap::edit(move |response| {
        response.headers_mut().insert("x-amz-checksum-crc64nvme", crc.clone());
        response.headers_mut().insert("content-length", "5");
    });
    to.tap.on_next("HeadObject", 2, &lie);
    let error = copy(&from, "a", &to, digest(b"bytes")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(proper(&error).contains("the bad copy was removed"), "{error}");
    assert!(to.keys().await.is_empty());
}

#[tokio::test]
async fn stores_of_one_endpoint_are_of_one_service() {
    let s = Scene::new(Versioned).await;
    let (beside, _) = s.beside(options());
    let (ours, theirs) = (s.s3.origin(&key("a b")).unwrap(), beside.origin(&key("a b")).unwrap());
    assert_eq!((&ours.service, &*ours.object, &*theirs.object), (&theirs.service, "lib/x/a b", "a b"));
}
