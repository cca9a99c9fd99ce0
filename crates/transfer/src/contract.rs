//! What every destination does. A backend joins with [`contract!`](crate::contract!), one line and one constructor.

use std::{any::Any, sync::Arc};

use bytes::Bytes;
use domain::{Digest, Hasher, Timestamp};
use futures::TryStreamExt as _;

use crate::{
    Checked, Checksum, Conflict, Destination, Error, ErrorKind, How, Name, Outcome, Put, Sent, Verify, body,
    checksum::Twin, collect, deliver, digest_of, fetch, inert,
};

pub mod sources;

use sources::{Broken, Held};

/// A fresh, empty destination.
pub struct Subject {
    pub to: Arc<dyn Destination>,
    /// Whatever has to live as long.
    pub keep: Box<dyn Any + Send + Sync>,
}

/// `contract!(make)` makes a named test of every case; `make` is an `async fn() -> Subject`. `contract!(make, no renames)` is for a
/// server that cannot be asked to rename, and a backend of which nobody asks it.
#[macro_export]
macro_rules! contract {
    ($make:path) => {
        $crate::contract!($make, no renames);
        $crate::transfer_contract_cases! { $make, a_renamed_file_has_its_new_name }
    };
    ($make:path, no renames) => {
        $crate::transfer_contract_cases! { $make,
            what_was_put_is_got
            an_empty_file_is_a_file
            a_large_file_streams_in_chunks
            ranges_are_clamped
            a_missing_file_is_none
            names_are_of_any_script
            nothing_shows_before_it_is_whole
            a_broken_source_leaves_no_file
            a_cut_is_resumed
            other_bytes_go_on_from_nothing
            a_file_is_replaced_only_when_asked
            a_file_is_replaced_whole_or_not_at_all
            of_many_writers_one_wins
            many_at_once_make_their_folder
            unexpected_bytes_never_show
            a_list_knows_its_folder
            a_removed_file_is_gone
            a_sweep_removes_what_is_old_and_partial
            times_are_kept
            a_hash_is_the_right_one
            a_check_leaves_nothing
            a_second_delivery_writes_nothing
            a_conflict_is_as_it_was_asked_for
            what_comes_back_is_what_went
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! transfer_contract_cases {
    ($make:path, $($case:ident)*) => {
        $(
            #[tokio::test]
            async fn $case() {
                $crate::contract::$case($make().await).await;
            }
        )*
    };
}

pub async fn what_was_put_is_got(s: Subject) {
    for verify in [Verify::None, Verify::Size, Verify::Hash] {
        let name = name(&format!("a/{verify:?}/c.bin"));
        let sent = s.put_with(name.as_str(), "hello", |put| put.verify = verify).await.unwrap();
        assert_eq!((&sent.meta.name, sent.meta.size, sent.bytes, sent.resumed_from), (&name, 5, 5, 0));
        match verify {
            Verify::None => assert!(matches!(sent.checked, Checked::None | Checked::OnArrival)),
            Verify::Size => assert!(matches!(sent.checked, Checked::Size | Checked::OnArrival)),
            Verify::Hash => {
                assert!(!matches!(sent.checked, Checked::None | Checked::Size), "{:?}", sent.checked)
            }
        }
        let found = s.to.stat(&name).await.unwrap().unwrap();
        assert_eq!((&found.name, found.size), (&name, 5));
        assert_eq!(s.read(name.as_str()).await, "hello");
    }
}

pub async fn an_empty_file_is_a_file(s: Subject) {
    let sent = s.put("empty", "").await;
    assert_eq!((sent.meta.size, sent.bytes), (0, 0));
    assert_eq!(s.to.stat(&name("empty")).await.unwrap().unwrap().size, 0);
    assert_eq!(s.read("empty").await, "");
}

pub async fn a_large_file_streams_in_chunks(s: Subject) {
    let whole = pattern(5 * 1024 * 1024 + 4321);
    let sent = s.put("large", whole.clone()).await;
    assert_eq!((sent.meta.size, sent.bytes), (whole.len() as u64, whole.len() as u64));
    let chunks: Vec<Bytes> = s.to.get(&name("large"), None).await.unwrap().try_collect().await.unwrap();
    assert!(chunks.iter().all(|chunk| chunk.len() <= crate::CHUNK));
    assert!(chunks.concat() == whole);
    let part = s.to.get(&name("large"), Some(1_048_570..3_000_000)).await.unwrap();
    assert!(collect(part).await.unwrap() == whole[1_048_570..3_000_000]);
}

pub async fn ranges_are_clamped(s: Subject) {
    s.put("r", "0123456789").await;
    let ranges = [
        (0..4, "0123"),
        (4..10, "456789"),
        (8..100, "89"),
        (9..u64::MAX, "9"),
        (10..20, ""),
        (500..600, ""),
        (3..3, ""),
    ];
    for (range, expected) in ranges {
        let body = s.to.get(&name("r"), Some(range.clone())).await.unwrap();
        assert_eq!(collect(body).await.unwrap(), expected, "{range:?}");
    }
}

pub async fn a_missing_file_is_none(s: Subject) {
    s.put("there", "x").await;
    s.put("folder/file", "x").await;
    for missing in ["missing", "no/such/folder", "there/below", "folder"] {
        let name = name(missing);
        assert_eq!(s.to.stat(&name).await.unwrap(), None, "{missing}");
        if missing == "folder" {
            continue;
        }
        let error = match s.to.get(&name, None).await {
            Ok(body) => collect(body).await.unwrap_err(),
            Err(e) => e,
        };
        assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::NotFound, false), "{missing}: {error}");
        let message = error.to_string();
        assert!(message.contains(s.to.name()) && message.contains(missing), "{message}");
        s.to.remove(&name).await.unwrap();
    }
}

pub async fn names_are_of_any_script(s: Subject) {
    let names =
        ["Köln 東京 (1)/it's 100% & \"more\".mp4", "-rf", "a b/ c;d$(x)`y`", "#?%2F%41+=.mp4", "Ünïcode.mp4"];
    let rules = s.to.limits().names;
    for text in names {
        // What the file system does not take is another question; see `names`.
        let name = crate::names::sanitise(text, &rules);
        s.put(name.as_str(), text).await;
        assert_eq!(s.read(name.as_str()).await, text);
    }
    if s.to.limits().lists {
        let mut expected: Vec<_> =
            names.map(|n| crate::names::sanitise(n, &rules).as_str().to_owned()).into();
        expected.sort();
        assert_eq!(s.list("").await, expected);
    }
}

pub async fn nothing_shows_before_it_is_whole(s: Subject) {
    let whole = pattern(3 << 20);
    let (source, mut gate) = Held::new(whole.clone(), 2 << 20);
    let (put, target) = (put_of(&whole), name("box/held"));
    let look = async {
        gate.reached().await;
        assert_eq!(s.to.stat(&target).await.unwrap(), None);
        assert!(s.list("").await.is_empty());
        gate.open();
    };
    let (sent, ()) = tokio::join!(s.to.put(&target, &source, &put), look);
    assert_eq!(sent.unwrap().meta.size, whole.len() as u64);
    assert!(s.read("box/held").await == whole);
    // Nothing partial is left.
    assert_eq!(s.to.sweep(None, Timestamp(i64::MAX)).await.unwrap(), 0);
}

pub async fn a_broken_source_leaves_no_file(s: Subject) {
    let whole = pattern(2 << 20);
    let broken = Broken::new(whole.clone(), 1 << 20, ErrorKind::Source);
    let error = s.to.put(&name("b"), &broken, &put_of(&whole)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Source, "{error}");
    assert_eq!(s.to.stat(&name("b")).await.unwrap(), None);
    assert!(s.list("").await.is_empty());
    // One that gives fewer bytes than it said.
    let short = sources::Short(whole.clone(), 5);
    let mut put = put_of(&whole);
    put.verify = Verify::None;
    let error = s.to.put(&name("b"), &short, &put).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Source | ErrorKind::Corrupt), "{error}");
    assert_eq!(s.to.stat(&name("b")).await.unwrap(), None);
}

/// Larger than what a backend may mistrust of a partial file's end.
const LARGE: usize = 24 << 20;

pub async fn a_cut_is_resumed(s: Subject) {
    let whole = pattern(LARGE);
    let put = put_of(&whole);
    let broken = Broken::new(whole.clone(), (20 << 20) as u64, ErrorKind::Unavailable);
    s.to.put(&name("r/cut"), &broken, &put).await.unwrap_err();
    let sent = s.to.put(&name("r/cut"), &whole, &put).await.unwrap();
    assert_eq!(sent.resumed_from + sent.bytes, LARGE as u64);
    assert_eq!(sent.resumed_from > 0, s.to.limits().resumes, "{sent:?}");
    assert!(s.read("r/cut").await == whole);
    assert_eq!(s.list("").await.len(), usize::from(s.to.limits().lists));
}

pub async fn other_bytes_go_on_from_nothing(s: Subject) {
    let (one, other) = (pattern(LARGE), pattern(LARGE + 1).slice(1..));
    let broken = Broken::new(one.clone(), (20 << 20) as u64, ErrorKind::Unavailable);
    s.to.put(&name("o"), &broken, &put_of(&one)).await.unwrap_err();
    let sent = s.to.put(&name("o"), &other, &put_of(&other)).await.unwrap();
    assert_eq!((sent.resumed_from, sent.bytes), (0, LARGE as u64));
    assert!(s.read("o").await == other);
}

pub async fn a_file_is_replaced_only_when_asked(s: Subject) {
    s.put("k", "first").await;
    let error = s.put_with("k", "second", |_| ()).await.unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Exists, false), "{error}");
    assert_eq!(s.read("k").await, "first");
    s.put_with("k", "third", |put| put.replace = true).await.unwrap();
    assert_eq!(s.read("k").await, "third");
    s.put_with("new", "x", |put| put.replace = true).await.unwrap();
    assert_eq!(s.read("new").await, "x");
}

pub async fn a_file_is_replaced_whole_or_not_at_all(s: Subject) {
    s.put("k", "old").await;
    let whole = pattern(3 << 20);
    let mut put = put_of(&whole);
    put.replace = true;
    let broken = Broken::new(whole.clone(), 2 << 20, ErrorKind::Unavailable);
    s.to.put(&name("k"), &broken, &put).await.unwrap_err();
    assert_eq!(s.read("k").await, "old");
    s.to.put(&name("k"), &whole, &put).await.unwrap();
    assert!(s.read("k").await == whole);
}

pub async fn of_many_writers_one_wins(s: Subject) {
    if !s.to.limits().refuses_to_replace {
        return;
    }
    let contents: Vec<Bytes> = (0..8_u8).map(|i| Bytes::from(vec![i; 100_000])).collect();
    let target = name("one");
    let puts = contents.iter().map(|bytes| {
        let (s, target) = (&s, &target);
        async move { s.to.put(target, bytes, &put_of(bytes)).await }
    });
    let done = futures::future::join_all(puts).await;
    let won: Vec<_> = (0..8).filter(|i| done[*i].is_ok()).collect();
    assert_eq!(won.len(), 1, "{done:?}");
    assert!(done.iter().flat_map(|d| d.as_ref().err()).all(|e| e.kind() == ErrorKind::Exists), "{done:?}");
    assert!(s.read("one").await == contents[won[0]]);
}

/// The first files of a massive export arrive together, and none of them finds its folder.
pub async fn many_at_once_make_their_folder(s: Subject) {
    let puts =
        (0..12).map(|n| {
            let s = &s;
            async move {
                s.put_with(&format!("new/of/today/{n}.bin"), format!("file {n}"), |_| ()).await.map(drop)
            }
        });
    for put in futures::future::join_all(puts).await {
        put.unwrap();
    }
    for n in 0..12 {
        assert_eq!(s.read(&format!("new/of/today/{n}.bin")).await, format!("file {n}"));
    }
}

pub async fn unexpected_bytes_never_show(s: Subject) {
    let (expected, wrong) = (pattern(1 << 20), pattern((1 << 20) + 1).slice(1..));
    let error = s.to.put(&name("w"), &wrong, &put_of(&expected)).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Source), "{error}");
    assert_eq!(s.to.stat(&name("w")).await.unwrap(), None);
    assert_eq!(s.to.sweep(None, Timestamp(i64::MAX)).await.unwrap(), 0, "what is worthless does not stay");
    let error = s.to.put(&name("w"), &Bytes::from_static(b"shorter"), &put_of(&expected)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Source, "{error}");
}

pub async fn a_list_knows_its_folder(s: Subject) {
    if !s.to.limits().lists {
        return;
    }
    for file in ["cam1/a", "cam1/b/c", "cam10/a", "cam2/a", "other"] {
        s.put(file, file).await;
    }
    assert_eq!(s.list("").await, ["cam1/a", "cam1/b/c", "cam10/a", "cam2/a", "other"]);
    assert_eq!(s.list("cam1").await, ["cam1/a", "cam1/b/c"]);
    assert_eq!(s.list("cam1/b").await, ["cam1/b/c"]);
    assert!(s.list("missing/folder").await.is_empty());
    let metas: Vec<_> = s.to.list(Some(&name("cam1"))).try_collect().await.unwrap();
    for meta in metas {
        assert_eq!(meta.size, meta.name.as_str().len() as u64);
    }
}

pub async fn a_removed_file_is_gone(s: Subject) {
    s.put("d/gone", "x").await;
    s.put("d/stays", "x").await;
    s.to.remove(&name("d/gone")).await.unwrap();
    s.to.remove(&name("d/gone")).await.unwrap();
    assert_eq!(s.to.stat(&name("d/gone")).await.unwrap(), None);
    assert_eq!(s.read("d/stays").await, "x");
}

pub async fn a_renamed_file_has_its_new_name(s: Subject) {
    s.put("from", "one").await;
    s.put("taken", "two").await;
    s.to.mkdirs(&name("x/y")).await.unwrap();
    s.to.mkdirs(&name("x/y")).await.unwrap();
    let error = s.to.rename(&name("from"), &name("taken"), false).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exists, "{error}");
    assert_eq!((s.read("from").await, s.read("taken").await), ("one".into(), "two".into()));
    s.to.rename(&name("from"), &name("x/y/to"), false).await.unwrap();
    assert_eq!(s.to.stat(&name("from")).await.unwrap(), None);
    s.to.rename(&name("x/y/to"), &name("taken"), true).await.unwrap();
    assert_eq!(s.read("taken").await, "one");
    let error = s.to.rename(&name("from"), &name("to"), true).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
}

pub async fn a_sweep_removes_what_is_old_and_partial(s: Subject) {
    s.put("deep/er/whole", "x").await;
    // Larger than a part of an upload where there are such.
    let whole = pattern(LARGE);
    let broken = Broken::new(whole.clone(), (20 << 20) as u64, ErrorKind::Unavailable);
    s.to.put(&name("deep/er/broken"), &broken, &put_of(&whole)).await.unwrap_err();
    assert_eq!(s.to.sweep(None, Timestamp(0)).await.unwrap(), 0, "it is not that old");
    let left = s.to.sweep(None, Timestamp(i64::MAX)).await.unwrap();
    assert_eq!(left, u64::from(s.to.limits().resumes), "what can be resumed is kept until then");
    assert_eq!(s.to.sweep(None, Timestamp(i64::MAX)).await.unwrap(), 0);
    assert_eq!(s.read("deep/er/whole").await, "x");
}

pub async fn times_are_kept(s: Subject) {
    if !s.to.limits().keeps_times {
        return;
    }
    // Whole seconds: most protocols have no finer ones.
    let then = Timestamp(1_700_000_000_000);
    let sent = s.put_with("t", "x", |put| put.modified = Some(then)).await.unwrap();
    assert_eq!(sent.meta.modified, Some(then));
    assert_eq!(s.to.stat(&name("t")).await.unwrap().unwrap().modified, Some(then));
}

pub async fn a_hash_is_the_right_one(s: Subject) {
    let whole = pattern(300_000);
    s.put("h", whole.clone()).await;
    let Some(theirs) = s.to.hash(&name("h")).await.unwrap() else { return };
    assert!(s.to.limits().hashes.contains(&theirs.algorithm));
    assert_eq!(theirs, checksum(&whole, theirs.algorithm));
}

pub async fn a_check_leaves_nothing(s: Subject) {
    s.to.check().await.unwrap();
    assert!(s.list("").await.is_empty());
    assert_eq!(s.to.sweep(None, Timestamp(i64::MAX)).await.unwrap(), 0);
}

pub async fn a_second_delivery_writes_nothing(s: Subject) {
    let whole = pattern(1_500_000);
    for verify in [Verify::None, Verify::Size, Verify::Hash] {
        let how = How { verify, ..How::default() };
        let name = name(&format!("e/{verify:?}.mp4"));
        let first = deliver(&*s.to, &name, &whole, &digest(&whole), &how).await.unwrap();
        assert_eq!((first.outcome, first.bytes_sent), (Outcome::Sent, whole.len() as u64));
        let modified = s.to.stat(&name).await.unwrap().unwrap().modified;
        let second = deliver(&*s.to, &name, &whole, &digest(&whole), &how).await.unwrap();
        assert_eq!((second.outcome, second.bytes_sent, &second.name), (Outcome::Already, 0, &name));
        assert_eq!(s.to.stat(&name).await.unwrap().unwrap().modified, modified);
    }
}

pub async fn a_conflict_is_as_it_was_asked_for(s: Subject) {
    s.put("c/a.mp4", "theirs").await;
    let ours = Bytes::from_static(b"ours, of another size");
    let by = |conflict| How { conflict, ..How::default() };
    let deliver =
        async |how: &How| deliver(&*s.to, &name("c/a.mp4"), &ours, &digest(&ours), how).await.unwrap();
    let skipped = deliver(&by(Conflict::Skip)).await;
    assert_eq!((skipped.outcome, skipped.bytes_sent), (Outcome::Skipped, 0));
    assert_eq!(s.read("c/a.mp4").await, "theirs");
    let renamed = deliver(&by(Conflict::Rename)).await;
    assert_eq!((renamed.outcome, renamed.name.as_str()), (Outcome::Sent, "c/a (2).mp4"));
    assert_eq!((s.read("c/a.mp4").await, s.read("c/a (2).mp4").await), ("theirs".into(), ours.clone()));
    let again = deliver(&by(Conflict::Rename)).await;
    assert_eq!((again.already(), again.name.as_str()), (true, "c/a (2).mp4"));
    let replaced = deliver(&by(Conflict::Replace)).await;
    assert_eq!((replaced.outcome, replaced.name.as_str()), (Outcome::Sent, "c/a.mp4"));
    assert_eq!(s.read("c/a.mp4").await, ours);
    // Of the same size, and not the same.
    s.put_with("c/a.mp4", "OURS, of another size", |put| put.replace = true).await.unwrap();
    let replaced = deliver(&by(Conflict::Replace)).await;
    assert_eq!((replaced.outcome, s.read("c/a.mp4").await), (Outcome::Sent, ours.clone()));
}

/// Where there are folders. Also when it was just seen that there is no file of that name.
pub async fn a_folder_is_not_replaced(s: Subject) {
    s.put("d/file", "theirs").await;
    let hello = Bytes::from_static(b"hello");
    for conflict in [Conflict::Skip, Conflict::Replace] {
        let how = How { conflict, ..How::default() };
        let error = deliver(&*s.to, &name("d"), &hello, &digest(&hello), &how).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Exists, "{error}");
    }
    assert_eq!(s.read("d/file").await, "theirs");
}

pub async fn what_comes_back_is_what_went(s: Subject) {
    let whole = pattern(3_000_000);
    s.put("b/ack", whole.clone()).await;
    let dir = tempfile_dir();
    let here = dir.join("back");
    let found = fetch(&*s.to, &name("b/ack"), &here, Some(&digest(&whole))).await.unwrap();
    assert_eq!(found, digest(&whole));
    assert!(std::fs::read(&here).unwrap() == whole);
    std::fs::remove_file(&here).unwrap();
    let error = fetch(&*s.to, &name("b/ack"), &here, Some(&digest(b"else"))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(!here.exists(), "what is not whole does not stay");
    std::fs::remove_dir_all(dir).unwrap();
}

impl Subject {
    pub async fn put(&self, name: &str, bytes: impl Into<Bytes>) -> Sent {
        self.put_with(name, bytes, |_| ()).await.unwrap_or_else(|e| panic!("{}: {e}", inert(name)))
    }

    pub async fn put_with(
        &self,
        name: &str,
        bytes: impl Into<Bytes>,
        change: impl FnOnce(&mut Put),
    ) -> Result<Sent, Error> {
        let bytes = bytes.into();
        let mut put = put_of(&bytes);
        change(&mut put);
        self.to.put(&self::name(name), &bytes, &put).await
    }

    pub async fn read(&self, name: &str) -> Bytes {
        body::collect(self.to.get(&self::name(name), None).await.unwrap()).await.unwrap()
    }

    /// The names of a folder's files in order; empty where nothing can be listed.
    pub async fn list(&self, folder: &str) -> Vec<String> {
        if !self.to.limits().lists {
            return Vec::new();
        }
        let folder = (!folder.is_empty()).then(|| name(folder));
        let mut all: Vec<String> = self
            .to
            .list(folder.as_ref())
            .map_ok(|meta| meta.name.as_str().to_owned())
            .try_collect()
            .await
            .unwrap();
        all.sort();
        all
    }

    pub async fn digest(&self, name: &str) -> Digest {
        digest_of(self.to.get(&self::name(name), None).await.unwrap()).await.unwrap()
    }
}

pub fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

pub fn digest(bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::new();
    hasher.update(bytes);
    hasher.finish()
}

/// Checked by hash, replacing nothing.
pub fn put_of(bytes: &[u8]) -> Put {
    Put { expected: digest(bytes), verify: Verify::Hash, replace: false, modified: None, absent: None }
}

/// Bytes that are nowhere the same for long.
pub fn pattern(size: usize) -> Bytes {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes.into()
}

fn checksum(bytes: &[u8], algorithm: crate::Algorithm) -> Checksum {
    let mut twin = Twin::new(algorithm);
    twin.update(bytes);
    twin.finish().1
}

/// A folder of our own; the suite is not only for crates that have `tempfile`.
fn tempfile_dir() -> std::path::PathBuf {
    static COUNT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let dir = std::env::temp_dir().join(format!("transfer-{}-{count}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    dir
}
