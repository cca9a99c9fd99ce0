use std::time::Duration;

use bytes::Bytes;
use testbed::{Fault, Ministack, Proxy};

use super::{kit::*, tap::Cue};
use crate::{
    ErrorKind, Put, Store, put_bytes, put_stream,
    s3::{Checksums, Options, checksum},
};

const UNAVAILABLE: Cue = Cue::Refuse { status: 503, code: "SlowDown" };

#[tokio::test]
async fn what_fits_into_one_part_is_one_request() {
    for size in [0, 1, (64 << 10) - 1, 64 << 10] {
        let s = Scene::with(Versioned, small_parts()).await;
        let bytes = pattern(size);
        s.put("x", bytes.clone()).await;
        assert_eq!(s.tap.ops(), ["PutObject"], "{size}");
        let put = &s.tap.seen("PutObject")[0];
        assert_eq!(put.header("x-amz-checksum-crc64nvme"), Some(&*checksum::encode(digest(&bytes).crc64)));
        assert_eq!(put.header("x-amz-content-sha256"), Some("UNSIGNED-PAYLOAD"), "the checksum is enough");
    }
}

/// S3 is told what each part and what the whole must be, and compares before it shows the object.
#[tokio::test]
async fn each_part_and_the_whole_carry_their_checksum() {
    let s = Scene::with(Versioned, small_parts()).await;
    let whole = pattern(3 * (64 << 10) + 100);
    s.put("x", whole.clone()).await;
    let mut parts = s.tap.seen("UploadPart");
    parts.sort_by_key(|part| part.uri.clone());
    assert_eq!(parts.iter().map(|part| part.body).collect::<Vec<_>>(), [64 << 10, 64 << 10, 64 << 10, 100]);
    for (part, bytes) in parts.iter().zip(whole.chunks(64 << 10)) {
        let crc = checksum::encode(checksum::crc64(bytes));
        assert_eq!(part.header("x-amz-checksum-crc64nvme"), Some(&*crc));
    }
    let begun = &s.tap.seen("CreateMultipartUpload")[0];
    assert_eq!(begun.header("x-amz-checksum-algorithm"), Some("CRC64NVME"));
    assert_eq!(begun.header("x-amz-checksum-type"), Some("FULL_OBJECT"));
    let complete = &s.tap.seen("CompleteMultipartUpload")[0];
    let crc = checksum::encode(digest(&whole).crc64);
    assert_eq!(complete.header("x-amz-checksum-crc64nvme"), Some(&*crc));
    assert_eq!(complete.header("x-amz-checksum-type"), Some("FULL_OBJECT"));
    assert_eq!(complete.header("x-amz-mp-object-size"), Some(&*whole.len().to_string()));
    assert_eq!(s.unfinished().await, 0);
}

/// Parts leave as they fill up, the first one last of all; S3 is told the checksum of the whole in the right order.
#[tokio::test]
async fn the_first_part_may_leave_last() {
    let s = Scene::with(Versioned, small_parts()).await;
    let (part, whole) = (64 << 10, pattern(4 * (64 << 10) + 100));
    let mut upload = s.s3.create_head_last(&key("x"), absent()).await.unwrap().unwrap();
    upload.write(whole.slice(part..)).await.unwrap();
    upload.head(whole.slice(..part)).await.unwrap();
    assert!(s.keys().await.is_empty(), "nothing is visible before it is complete");
    upload.commit(&digest(&whole)).await.unwrap();
    let numbers: Vec<_> = s
        .tap
        .seen("UploadPart")
        .iter()
        .map(|seen| seen.uri.split("partNumber=").nth(1).unwrap().split('&').next().unwrap().to_owned())
        .collect();
    assert_eq!(numbers.last().map(String::as_str), Some("1"), "{numbers:?}");
    assert_eq!(numbers.len(), 5);
    let complete = &s.tap.seen("CompleteMultipartUpload")[0];
    let crc = checksum::encode(digest(&whole).crc64);
    assert_eq!(complete.header("x-amz-checksum-crc64nvme"), Some(&*crc));
    assert_eq!(complete.header("if-none-match"), Some("*"));
    assert_eq!(s.read("x").await.unwrap(), whole);
}

/// A head that is too small for S3, bytes that are not what is there now, a dropped upload: nothing stays of any.
#[tokio::test]
async fn an_upload_without_its_head_leaves_nothing() {
    let s = Scene::with(Versioned, small_parts()).await;
    let whole = pattern(200_000);
    for (head, seen) in [(1000, &whole[..]), (64 << 10, &whole[1..])] {
        let mut upload = s.s3.create_head_last(&key("x"), Put::default()).await.unwrap().unwrap();
        upload.write(whole.slice(head..)).await.unwrap();
        let error = match upload.head(whole.slice(..head)).await {
            Ok(()) => upload.commit(&digest(seen)).await.unwrap_err(),
            // A service that sees at once that it is too small.
            Err(error) => error,
        };
        proper(&error);
        assert_eq!(s.unfinished().await, 0, "it was aborted before the error came");
    }
    let mut upload = s.s3.create_head_last(&key("x"), Put::default()).await.unwrap().unwrap();
    upload.write(whole).await.unwrap();
    drop(upload);
    s.unfinished_ends().await;
    assert!(s.keys().await.is_empty());
}

/// For services that choke on checksums: then the signature covers the bytes.
#[tokio::test]
async fn without_checksums_the_signature_covers_the_bytes() {
    let s = Scene::with(Unversioned, Options { checksums: Checksums::WhenRequired, ..small_parts() }).await;
    s.put("small", "bytes").await;
    s.put("large", pattern(100_000)).await;
    for op in ["PutObject", "UploadPart", "CreateMultipartUpload", "CompleteMultipartUpload"] {
        for seen in s.tap.seen(op) {
            let of_checksums = seen.headers.iter().find(|(name, _)| name.contains("checksum"));
            assert_eq!(of_checksums, None, "{op}");
            assert_ne!(seen.header("x-amz-content-sha256"), Some("UNSIGNED-PAYLOAD"), "{op}");
        }
    }
    let signed = digest(b"bytes").sha256.to_string();
    assert_eq!(s.tap.seen("PutObject")[0].header("x-amz-content-sha256"), Some(&*signed));
}

#[tokio::test]
async fn a_bit_that_flips_on_the_way_there_is_found_and_sent_again() {
    let s = Scene::with(Versioned, small_parts()).await;
    s.tap.on("PutObject", 1, Cue::FlipRequest { at: 3 });
    s.put("small", "bytes").await;
    assert_eq!((s.read("small").await.unwrap(), s.tap.count("PutObject")), ("bytes".into(), 2));
    let whole = pattern(200_000);
    s.tap.on("UploadPart", 2, Cue::FlipRequest { at: 1234 });
    s.put("large", whole.clone()).await;
    assert!(s.read("large").await.unwrap() == whole);
    assert_eq!(s.tap.count("UploadPart"), 5);
    // Always: then it is an error, and nothing is there.
    s.tap.on_next("PutObject", 6, &Cue::FlipRequest { at: 0 });
    let error = put_bytes(&s.s3, &key("never"), "x", Put::default()).await.unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Corrupt, true));
    assert!(proper(&error).contains("arrived otherwise"), "{error}");
    assert_eq!(s.keys().await, ["large", "small"]);
}

/// Memory does not grow with an object: a writer waits until parts have left.
#[tokio::test]
async fn no_more_is_sent_than_may_be_on_its_way() {
    let s = Scene::with(Versioned, Options { in_flight: 3, ..small_parts() }).await;
    s.tap.on_next("UploadPart", 3, &Cue::Hang);
    let mut upload = s.s3.create(&key("x"), Put::default()).await.unwrap();
    let mut accepted = 0;
    let write = async {
        loop {
            upload.write(pattern(64 << 10)).await.unwrap();
            accepted += 1;
        }
    };
    tokio::time::timeout(Duration::from_millis(500), write).await.unwrap_err();
    // Three on their way, one that waits for room, one that is full.
    assert_eq!(accepted, 4);
    assert_eq!(s.tap.most_bytes(), 3 * (64 << 10));
    drop(upload);
    s.tap.forget();
    s.unfinished_ends().await;
}

#[tokio::test]
async fn an_object_of_many_parts_holds_few_at_a_time() {
    let s = Scene::with(Unversioned, Options { part_size: 32 << 10, in_flight: 4, ..options() }).await;
    let piece = pattern(50_000);
    let stream = futures::stream::iter((0..200).map(|_| Ok::<_, crate::Error>(piece.clone())));
    let (meta, stored) = put_stream(&s.s3, &key("x"), stream, Put::default()).await.unwrap();
    assert_eq!((meta.size, stored.size), (10_000_000, 10_000_000));
    assert_eq!(s.tap.count("UploadPart"), 306);
    let most = s.tap.most_bytes();
    assert!(most <= 4 * (32 << 10), "{most} bytes were on their way at once");
    assert_eq!(crate::digest_of(&s.s3, &key("x"), Some(&meta.version)).await.unwrap(), stored);
}

/// Promise 6: whoever goes away leaves nothing, neither seen nor paid for.
#[tokio::test]
async fn an_upload_that_is_dropped_or_fails_is_aborted() {
    let s = Scene::with(Versioned, small_parts()).await;
    let begin = async || {
        let mut upload = s.s3.create(&key("x"), Put::default()).await.unwrap();
        upload.write(pattern(200_000)).await.unwrap();
        assert_eq!(s.unfinished().await, 1);
        upload
    };
    drop(begin().await);
    s.unfinished_ends().await;
    begin().await.abort().await.unwrap();
    assert_eq!(s.unfinished().await, 0);
    // Other bytes than announced.
    let options = Put { if_absent: false, expected: Some(digest(b"others")) };
    let error = put_bytes(&s.s3, &key("x"), pattern(200_000), options).await.unwrap_err();
    assert_eq!((error.kind(), s.unfinished().await), (ErrorKind::Corrupt, 0));
    // A part that cannot be sent.
    s.tap.on("UploadPart", 2, Cue::Refuse { status: 403, code: "AccessDenied" });
    let error = put_bytes(&s.s3, &key("x"), pattern(200_000), Put::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    s.unfinished_ends().await;
    assert!(s.keys().await.is_empty());
}

#[tokio::test]
async fn after_an_error_an_upload_is_lost() {
    let s = Scene::with(Versioned, small_parts()).await;
    let mut upload = s.s3.create(&key("x"), Put::default()).await.unwrap();
    s.tap.on("CreateMultipartUpload", 1, Cue::Refuse { status: 403, code: "AccessDenied" });
    upload.write(pattern(200_000)).await.unwrap_err();
    assert_eq!(upload.commit().await.unwrap_err().kind(), ErrorKind::Invalid);
    assert!(s.keys().await.is_empty());
}

#[tokio::test]
async fn what_a_service_is_too_busy_for_is_sent_again() {
    let s = Scene::with(Versioned, small_parts()).await;
    let ops = ["PutObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload", "GetObject"];
    for op in ops {
        s.tap.on_next(op, 2, &UNAVAILABLE);
    }
    s.put("small", "bytes").await;
    s.put("large", pattern(200_000)).await;
    assert!(s.read("large").await.unwrap() == pattern(200_000));
    s.tap.forget();
    // One part alone, not the others.
    s.tap.on("UploadPart", 2, UNAVAILABLE);
    s.put("large", pattern(200_000)).await;
    assert_eq!(s.tap.count("UploadPart"), 5);
}

/// Promise 5: a write whose answer was lost has happened, and who wrote it hears that it did.
#[tokio::test]
async fn a_lost_answer_to_a_conditional_write_is_a_success() {
    for kind in [Versioned, Unversioned] {
        let s = Scene::with(kind, small_parts()).await;
        s.tap.on("PutObject", 1, Cue::LoseAnswer);
        let (meta, _) = put_bytes(&s.s3, &key("small"), "ours", absent()).await.unwrap();
        assert_eq!((s.tap.count("PutObject"), s.tap.count("HeadObject")), (2, 1));
        assert_eq!(s.s3.head(&key("small")).await.unwrap().version, meta.version);
        if kind == Versioned {
            assert_eq!(s.history("small").await.len(), 1, "it was not written twice");
        }
        // S3 says so for a while when an upload is completed again; the emulator always does.
        s.tap.on("CompleteMultipartUpload", 1, Cue::LoseAnswer);
        put_bytes(&s.s3, &key("large"), pattern(200_000), absent()).await.unwrap();
        // Later, or another service, it says this.
        s.tap.on("CompleteMultipartUpload", 1, Cue::LoseAnswer);
        s.tap.on("CompleteMultipartUpload", 2, Cue::Refuse { status: 404, code: "NoSuchUpload" });
        put_bytes(&s.s3, &key("later"), pattern(200_000), absent()).await.unwrap();
        assert!(s.read("later").await.unwrap() == pattern(200_000));
        // Until the attempts are used up.
        s.tap.on_next("PutObject", 6, &Cue::LoseAnswer);
        put_bytes(&s.s3, &key("deaf"), "ours", absent()).await.unwrap();
        assert_eq!(s.read("deaf").await.unwrap(), "ours");
    }
}

/// The same over the wire: the request arrives, the connection breaks.
#[tokio::test]
async fn a_connection_that_breaks_after_the_write_is_a_success() {
    let proxy = Proxy::before(Ministack::shared().address());
    proxy.set_for(Fault::LoseAnswer, 1);
    let s = Scene::at(&proxy.endpoint(), Versioned, options()).await;
    put_bytes(&s.s3, &key("x"), "ours", absent()).await.unwrap();
    assert_eq!(s.history("x").await.len(), 1);
    // And when it breaks before, it is simply sent again.
    let proxy = Proxy::before(Ministack::shared().address());
    proxy.set_for(Fault::CutRequest { after: 30_000 }, 1);
    let s = Scene::at(&proxy.endpoint(), Versioned, options()).await;
    put_bytes(&s.s3, &key("x"), pattern(100_000), absent()).await.unwrap();
    assert!(s.read("x").await.unwrap() == pattern(100_000));
}

/// Whose bytes are there is asked, not guessed: another's are not ours.
#[tokio::test]
async fn a_lost_answer_does_not_make_another_writers_object_ours() {
    let s = Scene::with(Versioned, small_parts()).await;
    s.put("x", "another's").await;
    s.tap.on("PutObject", 1, UNAVAILABLE);
    let error = put_bytes(&s.s3, &key("x"), "ours", absent()).await.unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Exists, false));
    // The same bytes are not ours either: of two that take a lease, one has it.
    let error = put_bytes(&s.s3, &key("x"), "another's", absent()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exists);
    s.tap.on("CompleteMultipartUpload", 1, UNAVAILABLE);
    let error = put_bytes(&s.s3, &key("x"), pattern(200_000), absent()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exists);
    assert_eq!(s.read("x").await.unwrap(), "another's");
    s.unfinished_ends().await;
}

/// Nor does it make ours another's: who cannot tell says so, and whoever repeats finds out.
#[tokio::test]
async fn who_cannot_tell_whose_the_object_is_says_neither() {
    let s = Scene::new(Versioned).await;
    s.tap.on("PutObject", 1, Cue::LoseAnswer);
    s.tap.on_next("HeadObject", 6, &UNAVAILABLE);
    let error = put_bytes(&s.s3, &key("x"), "ours", absent()).await.unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Unavailable, true));
    s.tap.forget();
    s.put("a", "bytes").await;
    s.tap.on_next("CopyObject", 6, &Cue::LoseAnswer);
    // After the two looks before the copy.
    for nth in 3..=8 {
        s.tap.on("HeadObject", nth, UNAVAILABLE);
    }
    let error = s.s3.copy(&key("a"), None, &key("b"), absent()).await.unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Unavailable, true));
}

#[tokio::test]
async fn an_upload_that_somebody_ended_is_begun_again_by_who_repeats() {
    let s = Scene::with(Versioned, small_parts()).await;
    s.tap.on("CompleteMultipartUpload", 1, Cue::Refuse { status: 404, code: "NoSuchUpload" });
    let error = put_bytes(&s.s3, &key("x"), pattern(200_000), absent()).await.unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Unavailable, true));
    assert!(proper(&error).contains("unfinished upload is gone"), "{error}");
    put_bytes(&s.s3, &key("x"), pattern(200_000), absent()).await.unwrap();
}

#[tokio::test]
async fn two_that_write_at_once_are_told_to_try_again_and_do() {
    let s = Scene::new(Versioned).await;
    s.tap.on("PutObject", 1, Cue::Refuse { status: 409, code: "ConditionalRequestConflict" });
    put_bytes(&s.s3, &key("x"), "ours", absent()).await.unwrap();
    assert_eq!(s.tap.count("PutObject"), 2);
}

/// The suite has sixteen small ones; here each is three parts.
#[tokio::test]
async fn one_of_sixteen_conditional_uploads_in_parts_wins() {
    let s = Scene::with(Versioned, small_parts()).await;
    let mut writers = tokio::task::JoinSet::new();
    for i in 0..16_u8 {
        let s3 = s.s3.clone();
        writers.spawn(async move {
            let bytes = Bytes::from(vec![i; 150_000]);
            (i, put_bytes(&s3, &key("x"), bytes, absent()).await)
        });
    }
    let mut winners = Vec::new();
    while let Some(done) = writers.join_next().await {
        match done.unwrap() {
            (i, Ok(_)) => winners.push(i),
            (_, Err(e)) => assert_eq!(e.kind(), ErrorKind::Exists, "{e}"),
        }
    }
    assert_eq!(winners.len(), 1);
    assert!(s.read("x").await.unwrap() == vec![winners[0]; 150_000]);
    assert_eq!(s.history("x").await.len(), 1);
    s.unfinished_ends().await;
}

#[tokio::test]
async fn a_server_that_comes_back_is_waited_for() {
    let proxy = Proxy::before(Ministack::shared().address());
    let patient = Options { attempts: 30, backoff: Duration::from_millis(50), ..small_parts() };
    let s = Scene::at(&proxy.endpoint(), Versioned, patient).await;
    let mut upload = s.s3.create(&key("x"), absent()).await.unwrap();
    upload.write(pattern(150_000)).await.unwrap();
    proxy.set(Fault::Down);
    let back = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        proxy.set(Fault::None);
    };
    let write = async {
        upload.write(pattern(150_000)).await.unwrap();
        upload.commit().await.unwrap()
    };
    let ((meta, _), ()) = tokio::join!(write, back);
    assert_eq!(s.s3.head(&key("x")).await.unwrap().version, meta.version);
    assert!(s.read("x").await.unwrap() == [pattern(150_000), pattern(150_000)].concat());
}

#[tokio::test]
async fn a_file_is_adopted_in_parts_and_kept_when_that_fails() {
    let s = Scene::with(Versioned, small_parts()).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("recording.mp4");
    for size in [0, 1, 64 << 10, (64 << 10) + 1, 500_000] {
        let bytes = pattern(size);
        std::fs::write(&file, &bytes).unwrap();
        let last = if size > 64 << 10 { "CompleteMultipartUpload" } else { "PutObject" };
        s.tap.on(last, 1, Cue::Refuse { status: 403, code: "AccessDenied" });
        let error = s.s3.adopt(&key("x"), &file, absent()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied);
        assert!(std::fs::read(&file).unwrap() == bytes);
        assert!(s.keys().await.is_empty());
        let (meta, stored) = s.s3.adopt(&key("x"), &file, absent()).await.unwrap();
        assert_eq!((meta.size, stored), (size as u64, digest(&bytes)));
        assert!(!file.exists() && s.read("x").await.unwrap() == bytes);
        s.s3.delete(&key("x"), &meta.version).await.unwrap();
    }
}

/// A writer that was killed leaves parts that cost money; whose writer may still live keeps them.
#[tokio::test]
async fn unfinished_uploads_are_swept_by_their_age_and_place() {
    let s = Scene::with(Versioned, small_parts()).await;
    for object in ["lib/x/a", "lib/x/a", "lib/x/a", "lib/x/deep/o ld", "lib/x/z", "lib/xother/old", "beside"]
    {
        s.raw.create_multipart_upload().bucket(&s.bucket).key(object).send().await.unwrap();
    }
    let began = domain::Timestamp(0);
    assert_eq!(s.s3.sweep_uploads(began).await.unwrap(), 0);
    assert_eq!(s.unfinished().await, 7);
    let far = "2100-01-01T00:00:00Z".parse().unwrap();
    assert_eq!(s.s3.sweep_uploads(far).await.unwrap(), 5);
    assert_eq!(s.unfinished().await, 2, "what lies beside our prefix is not ours");
    assert_eq!(s.s3.sweep_uploads(far).await.unwrap(), 0);
}
