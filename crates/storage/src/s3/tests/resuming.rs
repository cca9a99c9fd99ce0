use bytes::Bytes;
use domain::Timestamp;

use super::{
    kit::{Scene, Unversioned, absent, digest, key, pattern, proper, small_parts},
    tap::Cue,
};
use crate::{ErrorKind, Put, s3::Checksums};

const PART: usize = 64 << 10;

fn of(bytes: &[u8]) -> Put {
    Put { if_absent: true, expected: Some(digest(bytes)) }
}

/// Writes so much of it, and is gone.
async fn break_off(s: &Scene, name: &str, whole: &Bytes, after: usize) {
    let mut upload = s.s3.create_resumable(&key(name), of(whole)).unwrap();
    upload.write(whole.slice(..after)).await.unwrap();
    // Parts that are under way go with it: as many as one is sure of are there.
    let sent = after / PART - 1;
    for _ in 0..500 {
        if s.parts(name).await >= sent {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("{sent} parts do not arrive");
}

/// Whoever comes after one that is gone remembers nothing, and sends only what is not there; each part is compared before.
#[tokio::test]
async fn only_what_is_not_there_is_sent() {
    for checksums in [Checksums::Crc64, Checksums::WhenRequired] {
        let s = Scene::with(Unversioned, crate::s3::Options { checksums, ..small_parts() }).await;
        let whole = pattern(10 * PART + 123);
        break_off(&s, "a.mp4", &whole, 6 * PART).await;
        assert!(s.keys().await.is_empty());
        s.tap.forget();
        let mut upload = s.s3.create_resumable(&key("a.mp4"), of(&whole)).unwrap();
        assert_eq!(upload.known(), 0);
        for chunk in whole.chunks(100_000) {
            upload.write(Bytes::copy_from_slice(chunk)).await.unwrap();
        }
        assert_eq!(upload.known(), 5 * PART as u64);
        let (meta, found, kept) = upload.commit().await.unwrap();
        assert_eq!((meta.size, found, kept), (whole.len() as u64, digest(&whole), 5 * PART as u64));
        assert_eq!(
            (s.tap.count("UploadPart"), s.tap.count("CreateMultipartUpload")),
            (6, 0),
            "{checksums:?}"
        );
        assert!(s.read("a.mp4").await.unwrap() == whole);
        assert_eq!(s.unfinished().await, 0);
    }
}

/// All was there but the last word.
#[tokio::test]
async fn an_upload_that_was_only_to_be_ended_is_ended() {
    let s = Scene::with(Unversioned, small_parts()).await;
    let whole = pattern(4 * PART + 1);
    let mut upload = s.s3.create_resumable(&key("a"), of(&whole)).unwrap();
    upload.write(whole.clone()).await.unwrap();
    s.tap.on_next("CompleteMultipartUpload", 6, &Cue::Refuse { status: 503, code: "SlowDown" });
    let error = upload.commit().await.unwrap_err();
    assert!(error.is_temporary(), "{}", proper(&error));
    s.tap.forget();
    let mut upload = s.s3.create_resumable(&key("a"), of(&whole)).unwrap();
    upload.write(whole.clone()).await.unwrap();
    let (_, _, kept) = upload.commit().await.unwrap();
    assert_eq!((kept, s.tap.count("UploadPart")), (whole.len() as u64, 0));
    assert!(s.read("a").await.unwrap() == whole);
    // An answer that gets lost: the object is known by what is written, whoever has begun it.
    let other = pattern(3 * PART).slice(1..);
    break_off(&s, "b", &other, 2 * PART).await;
    s.tap.on("CompleteMultipartUpload", 1, Cue::LoseAnswer);
    let mut upload = s.s3.create_resumable(&key("b"), of(&other)).unwrap();
    upload.write(other.clone()).await.unwrap();
    assert_eq!(upload.commit().await.unwrap().0.size, other.len() as u64);
}

/// Another file of the same name, one that differs in its middle, and a service that does not tell: nothing wrong is taken over.
#[tokio::test]
async fn what_is_not_ours_is_sent_anew() {
    let s = Scene::with(Unversioned, small_parts()).await;
    let (one, other) = (pattern(5 * PART), pattern(5 * PART + 1).slice(1..));
    break_off(&s, "a", &one, 4 * PART).await;
    let write = async |bytes: &Bytes| {
        let mut upload = s.s3.create_resumable(&key("a"), Put { if_absent: false, ..of(bytes) }).unwrap();
        upload.write(bytes.clone()).await.unwrap();
        let (_, _, kept) = upload.commit().await.unwrap();
        assert!(s.read("a").await.unwrap() == *bytes);
        kept
    };
    assert_eq!((write(&other).await, s.unfinished().await), (0, 1), "theirs goes on");
    let mut mixed = one.to_vec();
    mixed[2 * PART + 5] ^= 1;
    assert_eq!(write(&mixed.into()).await, 2 * PART as u64, "of three parts two are these");
    break_off(&s, "a", &one, 4 * PART).await;
    s.tap.on("ListMultipartUploads", 1, Cue::Refuse { status: 403, code: "AccessDenied" });
    assert_eq!(write(&one).await, 0);
}

/// What is not what it was said to be is worth nothing to anybody.
#[tokio::test]
async fn a_wrong_one_does_not_stay() {
    let s = Scene::with(Unversioned, small_parts()).await;
    let whole = pattern(3 * PART);
    let mut upload = s.s3.create_resumable(&key("a"), of(&whole)).unwrap();
    upload.write(pattern(3 * PART + 1).slice(1..)).await.unwrap();
    let error = upload.commit().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{}", proper(&error));
    s.unfinished_ends().await;
    let error = s.s3.create_resumable(&key("a"), absent()).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{}", proper(&error));
}

/// In a bucket of somebody else's others have uploads under way, too: those are theirs.
#[tokio::test]
async fn only_uploads_of_ours_are_swept() {
    let s = Scene::with(Unversioned, small_parts()).await;
    let whole = pattern(3 * PART);
    for name in ["a", "b"] {
        break_off(&s, name, &whole, 2 * PART).await;
    }
    s.tap.forget();
    assert_eq!(s.s3.sweep_own_uploads(Timestamp(0)).await.unwrap(), 0, "none is that old");
    assert_eq!(s.tap.ops(), ["ListMultipartUploads"], "and nothing more is asked");
    s.tap.forget();
    // The emulator takes everybody for whoever asks.
    s.tap.on("ListMultipartUploads", 1, Cue::Swap("<Initiator><ID>", "<Initiator><ID>somebody else, "));
    assert_eq!(s.s3.sweep_own_uploads(Timestamp(i64::MAX)).await.unwrap(), 1);
    assert_eq!(s.unfinished().await, 1);
    // A service that does not tell.
    s.tap.on("ListMultipartUploads", 2, Cue::Swap("<Initiator><ID>000000000000</ID>", "<Initiator>"));
    assert_eq!(s.s3.sweep_own_uploads(Timestamp(i64::MAX)).await.unwrap(), 0);
    assert_eq!(s.s3.sweep_own_uploads(Timestamp(i64::MAX)).await.unwrap(), 1);
    assert_eq!(s.unfinished().await, 0, "nor is what was asked by left behind");
}
