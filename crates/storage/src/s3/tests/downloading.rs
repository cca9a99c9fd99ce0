use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use domain::Digest;
use testbed::{Fault, Ministack, Proxy};
use tokio::sync::OnceCell;

use super::{
    kit::*,
    tap::{Cue, edit, header},
};
use crate::{
    Error, ErrorKind, Landing, S3, Store, WriteAt,
    s3::{Options, Place, checksum},
};

const KIB: usize = 1 << 10;

/// Parts of 64 KiB, so stretches of 256 KiB: this has four, and a bit.
const LARGE: usize = 1024 * KIB + 77;

/// Written in one piece, since the emulator keeps a checksum of no other, and a store that reads it in many.
async fn large(kind: Kind) -> (Scene, S3, Bytes) {
    let s = Scene::new(kind).await;
    let whole = pattern(LARGE);
    s.put("x", whole.clone()).await;
    s.tap.forget();
    let s3 = reader(&s, &Ministack::shared().endpoint(), small());
    (s, s3, whole)
}

fn small() -> Options {
    Options { in_flight: 3, ..small_parts() }
}

/// A store of the scene's bucket, with connections that nobody has used yet.
fn reader(scene: &Scene, endpoint: &str, options: Options) -> S3 {
    let place = Place::parse(&format!("s3://{}/{PREFIX}", scene.bucket)).unwrap();
    S3::new("cloud", &sdk(endpoint, &scene.tap), place, options)
}

/// That speaks to it through a proxy.
fn through(scene: &Scene, fault: Fault, times: u64) -> (S3, Proxy) {
    let proxy = Proxy::before(Ministack::shared().address());
    proxy.set_for(fault, times);
    (reader(scene, &proxy.endpoint(), small()), proxy)
}

/// A folder for what is downloaded, and the file in it.
fn place() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    (dir, file)
}

async fn land(s3: &S3, file: &Path) -> Result<Digest, Error> {
    let landing = Landing::new(file);
    let came = s3.download(&key("x"), None, &landing).await;
    landing.settle(came).await.unwrap()
}

async fn lands(s3: &S3, whole: &Bytes) {
    let (_dir, file) = place();
    assert_eq!(land(s3, &file).await.unwrap(), digest(whole));
    assert!(std::fs::read(file).unwrap() == *whole);
}

async fn fails(s3: &S3) -> Error {
    let (_dir, file) = place();
    let error = land(s3, &file).await.unwrap_err();
    assert!(!file.exists(), "{error}");
    proper(&error);
    error
}

fn ranges(s: &Scene) -> Vec<Option<String>> {
    s.tap.seen("GetObject").iter().map(|seen| seen.header("range").map(str::to_owned)).collect()
}

#[tokio::test]
async fn a_small_object_is_one_request() {
    let s = Scene::with(Versioned, small_parts()).await;
    let whole = pattern(128 * KIB);
    s.put("x", whole.clone()).await;
    s.tap.forget();
    lands(&s.s3, &whole).await;
    assert_eq!(s.tap.ops(), ["GetObject"]);
}

#[tokio::test]
async fn a_large_object_comes_in_a_few_long_stretches_of_one_version() {
    let (s, s3, whole) = large(Unversioned).await;
    lands(&s3, &whole).await;
    let asked = s.tap.seen("GetObject");
    assert_eq!((asked.len(), s.tap.ops().len()), (5, 5));
    assert_eq!(asked[0].header("range"), None, "the first answer says how long the object is");
    let etag = asked[1].header("if-match").unwrap();
    assert!(asked[1..].iter().all(|seen| seen.header("if-match") == Some(etag)));
    let mut ranges: Vec<_> = ranges(&s).into_iter().flatten().collect();
    ranges.sort_unstable();
    assert_eq!(
        ranges,
        ["bytes=1048576-1048652", "bytes=262144-524287", "bytes=524288-786431", "bytes=786432-1048575"]
    );
}

/// Memory does not grow with an object: who does not write is not overrun.
#[tokio::test]
async fn no_more_stretches_come_at_once_than_may() {
    /// Takes one chunk of each stretch, and then none.
    struct Stuck(AtomicUsize);
    #[async_trait]
    impl WriteAt for Stuck {
        async fn write_at(&self, _: u64, _: Bytes) -> Result<(), Error> {
            self.0.fetch_add(1, Ordering::SeqCst);
            std::future::pending().await
        }
    }
    let (s, s3, _) = large(Unversioned).await;
    let stuck = Stuck(AtomicUsize::new(0));
    let key = key("x");
    let downloading = s3.download(&key, None, &stuck);
    assert!(tokio::time::timeout(Duration::from_millis(500), downloading).await.is_err());
    assert_eq!((stuck.0.load(Ordering::SeqCst), s.tap.count("GetObject")), (3, 3));
}

#[tokio::test]
async fn a_cut_in_the_middle_of_a_stretch_is_read_on_from_there() {
    let (s, _, whole) = large(Unversioned).await;
    let (s3, proxy) = through(&s, Fault::CutAnswer { after: 100_000 }, 8);
    lands(&s3, &whole).await;
    assert!(proxy.connections() > 8);
    let ranges: Vec<_> = ranges(&s).into_iter().flatten().collect();
    let begun = |at: usize| ranges.iter().any(|range| range.starts_with(&format!("bytes={at}-")));
    // Of each stretch about 99,700 bytes had come: they are not asked for again.
    assert!(begun(256 * KIB) && begun(512 * KIB) && !begun(0), "{ranges:?}");
    assert!(ranges.len() > 8, "{ranges:?}");
    let whole_stretches = ranges.iter().filter(|range| range.starts_with("bytes=262144-")).count();
    assert_eq!(whole_stretches, 1, "{ranges:?}");
}

#[tokio::test]
async fn cut_again_and_again_it_is_an_error_and_never_short() {
    let (s, ..) = large(Unversioned).await;
    let (s3, proxy) = through(&s, Fault::None, 0);
    proxy.set(Fault::CutAnswer { after: 20_000 });
    let error = fails(&s3).await;
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Unavailable, true), "{error}");
}

#[tokio::test]
async fn a_stretch_that_stalls_is_given_up_and_read_on() {
    let (s, _, whole) = large(Unversioned).await;
    let (_, proxy) = through(&s, Fault::StallAnswer { after: 90_000 }, 2);
    let options = Options { patience: Duration::from_millis(300), ..small() };
    lands(&reader(&s, &proxy.endpoint(), options), &whole).await;
    assert!(proxy.connections() > 2);
}

/// S3 keeps a checksum of the whole; those of the stretches make it. Whoever gets the file has the right bytes.
#[tokio::test]
async fn a_bit_that_flips_on_the_way_here_is_found() {
    let (s, ..) = large(Unversioned).await;
    // On any of the connections, so in any stretch.
    for (after, times) in [(30_000, 1), (150_000, 3)] {
        let (s3, _proxy) = through(&s, Fault::FlipAnswer { at: after }, times);
        let error = fails(&s3).await;
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert!(error.to_string().contains("checksum"), "{error}");
    }
    // What is small is asked for again before any of it is written.
    let whole = pattern(100 * KIB);
    s.put("x", whole.clone()).await;
    let (s3, _proxy) = through(&s, Fault::FlipAnswer { at: 30_000 }, 1);
    lands(&s3, &whole).await;
}

/// The emulator keeps none of an object in parts; S3 does, and so does the answer on its way here.
#[tokio::test]
async fn the_stretches_checksums_make_that_of_the_whole() {
    let (s, s3, whole) = large(Unversioned).await;
    let of = |bytes: &[u8]| checksum::encode(digest(bytes).crc64);
    s.tap.on("GetObject", 1, header("x-amz-checksum-crc64nvme", of(&whole)));
    lands(&s3, &whole).await;
    s.tap.forget();
    s.tap.on("GetObject", 1, header("x-amz-checksum-crc64nvme", of(b"other")));
    assert_eq!(fails(&s3).await.kind(), ErrorKind::Corrupt);
    // What is made of the parts' checksums says nothing that could be compared.
    s.tap.on("GetObject", 1, header("x-amz-checksum-crc64nvme", format!("{}-5", of(b"other"))));
    lands(&s3, &whole).await;
}

#[tokio::test]
async fn what_is_replaced_meanwhile_stays_itself_or_is_changed() {
    for kind in [Versioned, Unversioned] {
        let (s, s3, whole) = large(kind).await;
        let (_dir, file) = place();
        let landing = Landing::new(&file);
        let meanwhile = Meanwhile { landing: &landing, scene: &s, replaced: OnceCell::new() };
        let came = s3.download(&key("x"), None, &meanwhile).await;
        assert!(meanwhile.replaced.initialized());
        let landed = landing.settle(came).await.unwrap();
        match kind {
            Versioned => assert_eq!(landed.unwrap(), digest(&whole)),
            Unversioned => {
                let error = landed.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Changed, "{error}");
                assert!(proper(&error).contains("etag:") && !file.exists(), "{error}");
            }
        }
    }
}

/// Replaces the object when its first bytes have come.
struct Meanwhile<'a> {
    landing: &'a Landing,
    scene: &'a Scene,
    replaced: OnceCell<()>,
}

#[async_trait]
impl WriteAt for Meanwhile<'_> {
    async fn write_at(&self, at: u64, bytes: Bytes) -> Result<(), Error> {
        let replace = async || drop(self.scene.put("x", vec![7; LARGE]).await);
        self.replaced.get_or_init(replace).await;
        self.landing.write_at(at, bytes).await
    }
}

#[tokio::test]
async fn a_service_that_is_busy_is_asked_again() {
    let (s, s3, whole) = large(Unversioned).await;
    for nth in [1, 3, 4] {
        s.tap.on("GetObject", nth, Cue::Refuse { status: 503, code: "SlowDown" });
    }
    lands(&s3, &whole).await;
    assert_eq!(s.tap.count("GetObject"), 5 + 3);
    s.tap.forget();
    s.tap.on_next("GetObject", 6, &Cue::Refuse { status: 503, code: "SlowDown" });
    let error = fails(&s3).await;
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Unavailable, true), "{error}");
}

#[tokio::test]
async fn an_answer_that_is_too_short_is_read_on() {
    let (s, s3, whole) = large(Unversioned).await;
    let sent = whole.clone();
    // Its end says that all is well.
    let short = edit(move |response| {
        let range = response.headers().get("content-range").expect("a stretch");
        let at: usize = range["bytes ".len()..].split('-').next().unwrap().parse().unwrap();
        *response.body_mut() = sent.slice(at..at + 400).to_vec().into();
    });
    s.tap.on("GetObject", 3, short);
    lands(&s3, &whole).await;
    assert_eq!(s.tap.count("GetObject"), 6);
}

/// Where versions are kept the emulator ignores ranges and sends everything; the right bytes are taken all the same.
#[tokio::test]
async fn a_service_that_ignores_ranges_is_understood() {
    let (_s, s3, whole) = large(Versioned).await;
    lands(&s3, &whole).await;
}

#[tokio::test]
async fn an_archived_object_says_that_it_must_be_restored() {
    let (s, s3, _) = large(Versioned).await;
    s.tap.on("GetObject", 1, Cue::Refuse { status: 403, code: "InvalidObjectState" });
    assert_eq!(fails(&s3).await.kind(), ErrorKind::Archived);
}

/// With a real full file system where we may mount one.
#[tokio::test]
async fn a_disk_that_is_full_in_the_middle_is_told() {
    let Some(disk) = crate::small_disk::SmallDisk::mount() else { return };
    let s = Scene::with(Unversioned, Options { part_size: 512 * KIB, ..options() }).await;
    s.put("x", pattern(8 * KIB * KIB)).await;
    let file = disk.0.join("file");
    let landing = Landing::new(&file);
    let came = s.s3.download(&key("x"), None, &landing).await;
    assert!(came.is_err());
    assert_eq!(landing.settle(came).await.unwrap_err().kind(), std::io::ErrorKind::StorageFull);
    assert!(!file.exists());
}
