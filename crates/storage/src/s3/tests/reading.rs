use std::time::Duration;

use futures::TryStreamExt as _;
use testbed::{Fault, Ministack, Proxy};

use super::{
    kit::*,
    tap::{Cue, edit, header},
};
use crate::{
    CHUNK, ErrorKind, Put, S3, Store, put_bytes,
    s3::{Checksums, Options, Place, checksum},
};

#[tokio::test]
async fn a_small_object_is_one_request() {
    let s = Scene::new(Versioned).await;
    s.put("small", pattern(300_000)).await;
    s.tap.forget();
    assert!(s.read("small").await.unwrap() == pattern(300_000));
    assert_eq!(s.tap.ops(), ["GetObject"]);
    let signed = s.tap.seen("GetObject")[0].header("authorization").unwrap().to_owned();
    assert!(signed.contains("x-amz-checksum-mode"), "S3 refuses headers that are not signed: {signed}");
}

#[tokio::test]
async fn a_large_object_is_read_in_parts_of_one_version() {
    let s = Scene::with(Unversioned, small_parts()).await;
    s.put("large", pattern(1 << 20)).await;
    s.tap.forget();
    assert!(s.read("large").await.unwrap() == pattern(1 << 20));
    let asked = s.tap.seen("GetObject");
    assert_eq!((asked.len(), s.tap.ops().len()), (16, 16));
    assert_eq!(asked[0].header("range"), None, "the first answer says how long the object is");
    let etag = asked[1].header("if-match").unwrap();
    assert!(asked[1..].iter().all(|seen| seen.header("if-match") == Some(etag)));
    let mut ranges: Vec<_> = asked[1..].iter().map(|seen| seen.header("range").unwrap()).collect();
    ranges.sort_by_key(|range| range.len());
    assert_eq!(ranges[0], "bytes=65536-131071");
}

#[tokio::test]
async fn a_range_asks_for_its_bytes_only() {
    let s = Scene::with(Unversioned, small_parts()).await;
    let whole = pattern(1 << 20);
    s.put("large", whole.clone()).await;
    s.tap.forget();
    let body = s.s3.get(&key("large"), None, Some(100_000..250_000)).await.unwrap();
    assert!(collect(body).await.unwrap() == whole[100_000..250_000]);
    let mut ranges: Vec<_> =
        s.tap.seen("GetObject").iter().map(|seen| seen.header("range").unwrap().to_owned()).collect();
    ranges.sort_unstable();
    assert_eq!(ranges, ["bytes=100000-165535", "bytes=165536-231071", "bytes=231072-249999"]);
}

/// Memory does not grow with an object: who does not read is not overrun.
#[tokio::test]
async fn no_more_is_fetched_than_may_be_on_its_way() {
    let s = Scene::with(Unversioned, Options { in_flight: 3, ..small_parts() }).await;
    s.put("large", pattern(2 << 20)).await;
    s.tap.forget();
    let mut body = s.s3.get(&key("large"), None, None).await.unwrap();
    let first = body.try_next().await.unwrap().unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(s.tap.count("GetObject"), 3);
    let rest = collect(body).await.unwrap();
    assert!([first, rest].concat() == pattern(2 << 20));
    assert_eq!(s.tap.count("GetObject"), 32);
}

/// Whoever works on the bytes as they come begins with the first of them, not with the first piece.
#[tokio::test]
async fn what_has_come_of_a_piece_is_handed_out_before_the_rest_of_it() {
    let s = Scene::new(Unversioned).await;
    let whole = pattern(3 << 20);
    s.put("x", whole.clone()).await;
    let proxy = Proxy::before(Ministack::shared().address());
    proxy.set(Fault::StallAnswer { after: 600_000 });
    // Nobody gives the stalled answer up as long as the test goes on.
    let options = Options { part_size: 1 << 20, patience: Duration::from_secs(3600), ..options() };
    let mut body = through(&s, &proxy, options).get(&key("x"), None, None).await.unwrap();
    let first = tokio::time::timeout(Duration::from_secs(60), body.try_next()).await;
    let first = first.expect("it has come").unwrap().unwrap();
    assert!(first == whole[..first.len()]);
}

/// Everything at once, over the wire: an object of a hundred parts, chunks of a size, the checksum compared.
#[tokio::test]
async fn an_object_of_many_parts_reads_back() {
    let options = Options { part_size: 16 << 10, in_flight: 8, ..options() };
    let s = Scene::with(Unversioned, options).await;
    let whole = pattern(100 * (16 << 10) + 77);
    let (meta, stored) = put_bytes(&s.s3, &key("many"), whole.clone(), Put::default()).await.unwrap();
    assert_eq!(stored, digest(&whole));
    assert_eq!(s.tap.count("UploadPart"), 101);
    let chunks: Vec<_> =
        s.s3.get(&key("many"), Some(&meta.version), None).await.unwrap().try_collect().await.unwrap();
    assert!(chunks.iter().all(|chunk| !chunk.is_empty() && chunk.len() <= CHUNK));
    assert!(chunks.concat() == whole);
}

/// A store of the scene's bucket that speaks to it through a proxy, with connections that nobody has used yet.
fn through(scene: &Scene, proxy: &Proxy, options: Options) -> S3 {
    let place = Place::parse(&format!("s3://{}/{PREFIX}", scene.bucket)).unwrap();
    S3::new("cloud", &sdk(&proxy.endpoint(), &scene.tap), place, options)
}

#[tokio::test]
async fn an_answer_that_is_cut_is_read_on_from_where_it_broke() {
    let s = Scene::new(Unversioned).await;
    let whole = pattern(2_600_000);
    s.put("x", whole.clone()).await;
    for (part_size, cut, times) in [(8 << 20, 700_000, 3), (256 << 10, 100_000, 8)] {
        let proxy = Proxy::before(Ministack::shared().address());
        proxy.set_for(Fault::CutAnswer { after: cut }, times);
        let s3 = through(&s, &proxy, Options { part_size, ..options() });
        s.tap.forget();
        let body = s3.get(&key("x"), None, None).await.unwrap();
        assert!(collect(body).await.unwrap() == whole);
        assert!(proxy.connections() > 1);
        let ranges = s.tap.seen("GetObject");
        let resumed = ranges.iter().filter_map(|seen| seen.header("range"));
        assert!(resumed.clone().all(|range| !range.starts_with("bytes=0-")), "{resumed:?}");
    }
}

/// Where versions are kept the emulator ignores ranges and sends everything; the right bytes are taken all the same.
#[tokio::test]
async fn a_service_that_ignores_ranges_is_understood() {
    let s = Scene::with(Versioned, small_parts()).await;
    let whole = pattern(500_000);
    s.put("x", whole.clone()).await;
    assert!(s.read("x").await.unwrap() == whole);
    let body = s.s3.get(&key("x"), None, Some(70_000..300_000)).await.unwrap();
    assert!(collect(body).await.unwrap() == whole[70_000..300_000]);
}

#[tokio::test]
async fn an_answer_that_is_cut_again_and_again_is_an_error_and_never_short() {
    let s = Scene::new(Unversioned).await;
    s.put("x", pattern(1 << 20)).await;
    let proxy = Proxy::before(Ministack::shared().address());
    proxy.set(Fault::CutAnswer { after: 20_000 });
    let s3 = through(&s, &proxy, options());
    let error = collect(s3.get(&key("x"), None, None).await.unwrap()).await.unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Unavailable, true));
    assert!(proper(&error).contains("`x`"), "{error}");
    assert_eq!(proxy.connections(), u64::from(options().attempts));
}

#[tokio::test]
async fn an_answer_that_stalls_is_given_up_and_read_on() {
    let s = Scene::new(Unversioned).await;
    let whole = pattern(1 << 20);
    s.put("x", whole.clone()).await;
    let patience = Duration::from_millis(300);
    for fault in [Fault::StallAnswer { after: 200_000 }, Fault::Stall] {
        let proxy = Proxy::before(Ministack::shared().address());
        proxy.set_for(fault, 1);
        let s3 = through(&s, &proxy, Options { patience, ..options() });
        let body = s3.get(&key("x"), None, None).await.unwrap();
        assert!(collect(body).await.unwrap() == whole, "{fault:?}");
        assert!(proxy.connections() > 1, "{fault:?}");
    }
}

#[tokio::test]
async fn a_slow_answer_is_waited_for() {
    let s = Scene::new(Unversioned).await;
    s.put("x", pattern(400_000)).await;
    let proxy = Proxy::before(Ministack::shared().address());
    proxy.set(Fault::Slow { bytes_per_second: 500_000 });
    let s3 = through(&s, &proxy, Options { patience: Duration::from_millis(400), ..options() });
    let body = s3.get(&key("x"), None, None).await.unwrap();
    assert!(collect(body).await.unwrap() == pattern(400_000));
    assert_eq!(proxy.connections(), 1);
}

/// S3 keeps a checksum of the whole: what arrives otherwise is asked for again, or is an error, and never passed on as
/// if it were right.
#[tokio::test]
async fn a_bit_that_flips_on_the_way_here_is_found() {
    let s = Scene::new(Unversioned).await;
    let whole = pattern(400_000);
    s.put("x", whole.clone()).await;
    let flipping = || {
        let proxy = Proxy::before(Ministack::shared().address());
        proxy.set_for(Fault::FlipAnswer { at: 30_000 }, 1);
        proxy
    };
    // In one answer, which is asked for again.
    let proxy = flipping();
    s.tap.forget();
    let s3 = through(&s, &proxy, options());
    assert!(collect(s3.get(&key("x"), None, None).await.unwrap()).await.unwrap() == whole);
    assert_eq!(s.tap.count("GetObject"), 2);
    // In one of many pieces that are passed on as they come: then at the end.
    let proxy = flipping();
    let s3 = through(&s, &proxy, small_parts());
    let mut body = s3.get(&key("x"), None, None).await.unwrap();
    let mut got = Vec::new();
    let error = loop {
        match body.try_next().await {
            Ok(chunk) => got.extend_from_slice(&chunk.expect("it does not end well")),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(got.len() < whole.len(), "nobody has all of them");
    assert!(proper(&error).contains("checksum"), "{error}");
}

#[tokio::test]
async fn what_always_arrives_damaged_is_corrupt() {
    let s = Scene::new(Versioned).await;
    s.put("x", pattern(1000)).await;
    s.tap.on_next("GetObject", 6, &Cue::FlipAnswer { at: 5 });
    let error = s.read("x").await.unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Corrupt, false));
    s.tap.forget();
}

/// The checksum of an object in parts is as good: S3 keeps that of the whole. The emulator does not, so the answer gets it
/// on the way.
#[tokio::test]
async fn a_multipart_object_is_compared_with_the_checksum_of_the_whole() {
    let s = Scene::with(Unversioned, small_parts()).await;
    let whole = pattern(300_000);
    s.put("x", whole.clone()).await;
    let crc = checksum::encode(digest(&whole).crc64);
    s.tap.on("GetObject", 1, header("x-amz-checksum-crc64nvme", crc.clone()));
    assert!(s.read("x").await.unwrap() == whole);
    let wrong = checksum::encode(digest(b"other").crc64);
    s.tap.on("GetObject", 1, header("x-amz-checksum-crc64nvme", wrong));
    assert_eq!(s.read("x").await.unwrap_err().kind(), ErrorKind::Corrupt);
    // What is made of the parts' checksums says nothing that could be compared.
    s.tap.on("GetObject", 1, header("x-amz-checksum-crc64nvme", format!("{crc}-5")));
    assert!(s.read("x").await.unwrap() == whole);
}

#[tokio::test]
async fn without_checksums_none_is_asked_for() {
    let s = Scene::with(Versioned, Options { checksums: Checksums::WhenRequired, ..options() }).await;
    s.put("x", "bytes").await;
    s.read("x").await.unwrap();
    assert_eq!(s.tap.seen("GetObject")[0].header("x-amz-checksum-mode"), None);
}

/// Overwritten while it is read, it never becomes a mixture of two versions.
#[tokio::test]
async fn an_object_that_is_overwritten_while_it_is_read_stays_itself_or_is_changed() {
    for kind in [Versioned, Unversioned] {
        let s = Scene::with(kind, Options { in_flight: 2, ..small_parts() }).await;
        let before = pattern(600_000);
        s.put("x", before.clone()).await;
        let mut body = s.s3.get(&key("x"), None, None).await.unwrap();
        let first = body.try_next().await.unwrap().unwrap();
        s.put("x", vec![7; 600_000]).await;
        match (kind, collect(body).await) {
            (Versioned, rest) => assert!([first, rest.unwrap()].concat() == before),
            (Unversioned, rest) => {
                let error = rest.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Changed);
                assert!(proper(&error).contains("etag:"), "{error}");
            }
        }
    }
}

#[tokio::test]
async fn an_object_that_is_deleted_while_it_is_read_is_not_found() {
    let s = Scene::with(Unversioned, Options { in_flight: 2, ..small_parts() }).await;
    let meta = s.put("x", pattern(600_000)).await;
    let mut body = s.s3.get(&key("x"), None, None).await.unwrap();
    body.try_next().await.unwrap().unwrap();
    s.s3.delete(&meta.key, &meta.version).await.unwrap();
    assert_eq!(collect(body).await.unwrap_err().kind(), ErrorKind::NotFound);
}

/// Between us and S3 somebody may know no versions; we do.
#[tokio::test]
async fn an_answer_with_another_version_is_none() {
    let s = Scene::new(Versioned).await;
    let meta = s.put("x", "bytes").await;
    s.tap.on("GetObject", 1, header("x-amz-version-id", "another"));
    let error = s.s3.get(&meta.key, Some(&meta.version), None).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(proper(&error).contains("another came"), "{error}");
}

#[tokio::test]
async fn an_answer_that_is_too_short_is_read_on() {
    let s = Scene::new(Unversioned).await;
    s.put("x", pattern(1000)).await;
    // Its end says that all is well.
    let short = edit(|response| *response.body_mut() = pattern(400).to_vec().into());
    s.tap.on("GetObject", 1, short);
    assert!(s.read("x").await.unwrap() == pattern(1000));
    assert_eq!(s.tap.seen("GetObject")[1].header("range"), Some("bytes=400-999"));
}

/// Guessed to be empty, an object would be lost without a word.
#[tokio::test]
async fn an_answer_that_does_not_say_how_long_the_object_is_is_none() {
    let s = Scene::new(Versioned).await;
    s.put("x", "bytes").await;
    for op in ["GetObject", "HeadObject"] {
        s.tap.on(
            op,
            1,
            edit(|response| {
                response.headers_mut().remove("content-length");
            }),
        );
    }
    for error in [s.read("x").await.unwrap_err(), s.s3.head(&key("x")).await.unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(proper(&error).contains("how long"), "{error}");
    }
}

#[tokio::test]
async fn an_archived_object_says_that_it_must_be_restored() {
    let s = Scene::new(Versioned).await;
    s.put("x", "bytes").await;
    s.tap.on("GetObject", 1, Cue::Refuse { status: 403, code: "InvalidObjectState" });
    let error = s.read("x").await.unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Archived, false));
    assert!(proper(&error).contains("restore it"), "{error}");
}
