//! Promise 1, the half that is ours: "Verified" = bytes read back and hash equal to the accepted one.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use domain::{Digest, Hasher, Timestamp};

use super::*;
use crate::{Body, CHUNK, Fault, Faulty, Health, Memory, Op, Tags, Upload, put_bytes, read_all};

const SIZE: usize = (2 << 20) + 17;

/// A source that holds an accepted recording, and an empty store for its copy.
struct Scene {
    from: Faulty<Memory>,
    to: Faulty<Memory>,
    key: Key,
    version: String,
    accepted: Digest,
}

impl Scene {
    async fn set() -> Self {
        let from = Faulty::new(Memory::new("library"));
        let key = Key::parse("cam1/a.mp4").unwrap();
        let (meta, accepted) =
            put_bytes(&from, &key, bytes(), Put { if_absent: true, expected: None }).await.unwrap();
        Self { from, to: Faulty::new(Memory::new("replica")), key, version: meta.version, accepted }
    }

    async fn copy(&self) -> Result<Verified, Error> {
        verified_copy(
            &self.from,
            &self.key,
            Some(&self.version),
            &self.to,
            &self.key,
            &self.accepted,
            &Unbounded,
        )
        .await
    }

    async fn copied(&self) -> bool {
        self.to.inner().head(&self.key).await.is_ok()
    }
}

fn bytes() -> Bytes {
    (0..SIZE).map(|i| (i / 3) as u8).collect()
}

#[tokio::test]
async fn a_copy_is_read_back() {
    let s = Scene::set().await;
    let verified = s.copy().await.unwrap();
    assert_eq!(verified.digest, s.accepted);
    assert_eq!(verified.meta, s.to.inner().head(&s.key).await.unwrap());
    assert_eq!(s.to.calls(Op::Get), 1);
    assert_eq!(read_all(&s.to, &s.key, SIZE as u64).await.unwrap(), bytes());
}

/// Promise 1: the store said that all was well, and what it keeps is something else.
#[tokio::test]
async fn a_bit_that_flips_on_the_way_to_the_medium_is_found_and_the_bad_copy_removed() {
    for at in [0, CHUNK as u64, SIZE as u64 - 1] {
        let s = Scene::set().await;
        s.to.on(Op::Create, 1, Fault::Flip { at });
        let error = s.copy().await.unwrap_err();
        assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Corrupt, true));
        assert!(error.to_string().contains("`replica`") && error.to_string().contains("removed"), "{error}");
        assert!(!s.copied().await);
        s.copy().await.expect("nothing is in the way of the next try");
    }
}

#[tokio::test]
async fn a_bad_copy_that_cannot_be_removed_is_no_copy_either() {
    let s = Scene::set().await;
    s.to.on(Op::Create, 1, Fault::Flip { at: 5 });
    s.to.on(Op::Delete, 1, Fault::Fail { kind: ErrorKind::Denied, temporary: false });
    let error = s.copy().await.unwrap_err();
    assert!(error.to_string().contains("could not be removed"), "{error}");
    let again = s.copy().await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Corrupt, "it is not taken for ours: {again}");
}

#[tokio::test]
async fn a_bad_copy_that_could_not_be_removed_is_in_nobodys_way() {
    let s = Scene::set().await;
    let denied = Fault::Fail { kind: ErrorKind::Denied, temporary: false };
    let keys = ["cam1/a.mp4", "cam1/a.2.mp4", "cam1/a.3.mp4"].map(|key| Key::parse(key).unwrap());
    let copy =
        || verified_copy_to_one_of(&s.from, &s.key, Some(&s.version), &s.to, &keys, &s.accepted, &Unbounded);
    let mut left = Vec::new();
    for key in &keys[..2] {
        s.to.on(Op::Create, 1, Fault::Flip { at: 5 }).on(Op::Delete, 1, denied);
        let error = copy().await.unwrap_err();
        assert!(error.kind() == ErrorKind::Corrupt && error.to_string().contains(key.as_str()), "{error}");
        left.push(s.to.inner().head(key).await.unwrap());
    }
    let verified = copy().await.unwrap();
    assert_eq!((&verified.meta.key, verified.digest), (&keys[2], s.accepted));
    assert_eq!(copy().await.unwrap(), verified, "repeating is the same as doing it once");
    for meta in left {
        assert_eq!(s.to.inner().head(&meta.key).await.unwrap(), meta, "what is there is not touched");
    }
    let error =
        verified_copy_to_one_of(&s.from, &s.key, None, &s.to, &keys[..2], &s.accepted, &Unbounded).await;
    assert!(error.unwrap_err().to_string().contains("it was there before"));
}

#[tokio::test]
async fn damage_at_the_source_does_not_spread() {
    let s = Scene::set().await;
    s.from.on(Op::Get, 1, Fault::Flip { at: 1_000_000 });
    let error = s.copy().await.unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Corrupt, true));
    assert!(error.to_string().contains("nothing was stored; read the source again"), "{error}");
    assert!(!s.copied().await);
}

#[tokio::test]
async fn another_version_of_the_source_is_not_copied() {
    let s = Scene::set().await;
    let error = verified_copy(&s.from, &s.key, Some("v99"), &s.to, &s.key, &s.accepted, &Unbounded)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Changed);
    assert!(!s.copied().await);
}

#[tokio::test]
async fn a_connection_that_breaks_leaves_nothing_and_the_next_try_succeeds() {
    type Where = fn(&Scene) -> &Faulty<Memory>;
    let places: [(Where, Op); 3] = [(|s| &s.from, Op::Get), (|s| &s.to, Op::Create), (|s| &s.to, Op::Get)];
    for (place, op) in places {
        let s = Scene::set().await;
        place(&s).on(op, 1, Fault::Cut { after: 1_500_000 });
        let error = s.copy().await.unwrap_err();
        assert!(error.is_temporary(), "{error}");
        // Broken while reading back, the copy is there and unverified; otherwise nothing is.
        let unverified = std::ptr::eq(place(&s), &s.to) && op == Op::Get;
        assert_eq!(s.copied().await, unverified);
        assert_eq!(s.copy().await.unwrap().digest, s.accepted);
    }
}

#[tokio::test]
async fn a_full_store_is_named_and_leaves_nothing() {
    let s = Scene::set().await;
    s.to.on(Op::Create, 1, Fault::NoSpace { after: 1 << 20 });
    assert_eq!(s.copy().await.unwrap_err().kind(), ErrorKind::NoSpace);
    assert!(!s.copied().await);
}

/// Promise 5: repeating is the same as doing it once.
#[tokio::test]
async fn a_lost_answer_is_made_good_by_repeating() {
    let s = Scene::set().await;
    s.to.on(Op::Commit, 1, Fault::ReplyLost);
    let error = s.copy().await.unwrap_err();
    assert!(error.is_temporary());
    assert!(s.copied().await, "it was done all the same");
    let before = s.to.inner().head(&s.key).await.unwrap();
    for _ in 0..2 {
        assert_eq!(s.copy().await.unwrap().meta, before);
    }
    assert_eq!(s.to.calls(Op::Create), 1, "it is not written twice");
}

/// Promise 5, when two do it at once: a lease that was lost must do no harm.
#[tokio::test]
async fn of_two_that_copy_at_once_both_find_the_one_copy() {
    let s = Scene::set().await;
    let (a, b) = tokio::join!(s.copy(), s.copy());
    assert_eq!(a.unwrap(), b.unwrap());
    // The tight case: it came between our look and our commit.
    let s = Scene::set().await;
    s.copy().await.unwrap();
    s.to.on(Op::Head, 1, Fault::Fail { kind: ErrorKind::NotFound, temporary: false });
    assert_eq!(s.copy().await.unwrap().digest, s.accepted);
}

#[tokio::test]
async fn what_is_already_there_is_never_overwritten() {
    let s = Scene::set().await;
    put_bytes(&s.to, &s.key, "somebody else's", Put::default()).await.unwrap();
    let error = s.copy().await.unwrap_err();
    assert_eq!(
        (error.kind(), error.is_temporary()),
        (ErrorKind::Corrupt, false),
        "it will be there tomorrow"
    );
    assert!(error.to_string().contains("stays as it is"), "{error}");
    assert_eq!(read_all(&s.to, &s.key, 100).await.unwrap(), "somebody else's");
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_hangs_can_be_given_up() {
    for op in [Op::Head, Op::Create, Op::Write, Op::Commit, Op::Get] {
        let s = Scene::set().await;
        s.to.on(op, 1, Fault::Hang);
        tokio::time::timeout(Duration::from_secs(60), s.copy()).await.expect_err("it hangs");
        assert_eq!(s.copied().await, op == Op::Get, "{op:?}");
        s.copy().await.unwrap();
    }
}

/// Memory does not grow with a recording: of 300 MB never more than a few chunks exist at once.
#[tokio::test]
async fn a_large_copy_holds_a_few_chunks_at_a_time() {
    const LARGE: u64 = 300 << 20;
    let store = Generated { size: LARGE, alive: Arc::default(), most: Arc::default() };
    let disk_dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let disk = crate::Disk::open("disk", disk_dir.path()).unwrap();
    let key = Key::parse("large").unwrap();
    let expected = digest_of(&store, &key, None).await.unwrap();
    assert_eq!(expected.size, LARGE);
    verified_copy(&store, &key, None, &disk, &key, &expected, &Unbounded).await.unwrap();
    let most = store.most.load(Ordering::SeqCst);
    assert!(most <= 4, "{most} chunks were alive at once");
    assert_eq!(store.alive.load(Ordering::SeqCst), 0);
}

/// A source whose bytes are made as they are read, and counted while they live.
#[derive(Debug)]
struct Generated {
    size: u64,
    alive: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

struct Counted {
    bytes: Vec<u8>,
    alive: Arc<AtomicUsize>,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}
impl Drop for Counted {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl Store for Generated {
    fn name(&self) -> &str {
        "generated"
    }
    async fn get(&self, _: &Key, _: Option<&str>, _: Option<Range<u64>>) -> Result<Body, Error> {
        let (alive, most) = (self.alive.clone(), self.most.clone());
        let chunks = (0..self.size / CHUNK as u64).map(move |i| {
            most.fetch_max(alive.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            Ok(Bytes::from_owner(Counted { bytes: vec![i as u8; CHUNK], alive: alive.clone() }))
        });
        Ok(Box::pin(futures::stream::iter(chunks)))
    }
    async fn head(&self, key: &Key) -> Result<Meta, Error> {
        Ok(Meta {
            key: key.clone(),
            size: self.size,
            version: "1".into(),
            modified: Timestamp(0),
            class: None,
        })
    }
    async fn create(&self, key: &Key, _: Put) -> Result<Box<dyn Upload>, Error> {
        Err(self.read_only(key))
    }
    async fn list(&self, _: &str, _: Option<&Key>, _: usize) -> Result<Vec<Meta>, Error> {
        Ok(Vec::new())
    }
    async fn delete(&self, key: &Key, _: &str) -> Result<(), Error> {
        Err(self.read_only(key))
    }
    async fn tags(&self, _: &Key) -> Result<Tags, Error> {
        Ok(Tags::new())
    }
    async fn set_tags(&self, key: &Key, _: &Tags) -> Result<(), Error> {
        Err(self.read_only(key))
    }
    async fn check(&self) -> Result<Health, Error> {
        Ok(Health::default())
    }
}

impl Generated {
    fn read_only(&self, key: &Key) -> Error {
        Error::new(ErrorKind::Denied, format!("`{key}` is generated"))
    }
}

/// Hashing is the domain's; here only that we feed it everything in order, small chunks and large.
#[tokio::test]
async fn a_digest_is_that_of_the_bytes() {
    let memory = Memory::new("m");
    for size in [0, 1, SMALL - 1, SMALL, CHUNK + 1] {
        let key = Key::parse("x").unwrap();
        let bytes: Bytes = (0..size).map(|i| i as u8).collect();
        let mut hasher = Hasher::new();
        hasher.update(&bytes);
        put_bytes(&memory, &key, bytes, Put::default()).await.unwrap();
        assert_eq!(digest_of(&memory, &key, None).await.unwrap(), hasher.finish());
    }
}

/// Counts what passes.
#[derive(Default)]
struct Counting(AtomicUsize);

#[async_trait]
impl Pace for Counting {
    async fn take(&self, bytes: usize) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// A migration leaves others their share of the line: all that it writes and all that it reads back passes at its pace.
#[tokio::test]
async fn what_is_written_and_read_back_passes_at_a_pace() {
    let s = Scene::set().await;
    let pace = Counting::default();
    let copy = || verified_copy(&s.from, &s.key, Some(&s.version), &s.to, &s.key, &s.accepted, &pace);
    copy().await.unwrap();
    assert_eq!(pace.0.swap(0, Ordering::Relaxed), 2 * SIZE);
    // What is there already is only looked at.
    copy().await.unwrap();
    assert_eq!(pace.0.swap(0, Ordering::Relaxed), SIZE);
}
