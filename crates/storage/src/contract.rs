//! What every store does. A backend joins with [`contract!`](crate::contract!), one line and one constructor.

use std::{any::Any, path::PathBuf, sync::Arc};

use bytes::Bytes;
use domain::{Digest, Hasher};
use futures::TryStreamExt as _;

use crate::{
    Error, ErrorKind, Key, LEAST_HEAD, Landing, MAX_TAGS, Put, Store, Tags, WriteAt, digest_of, put_bytes,
    put_stream,
};

/// A fresh, empty store.
pub struct Subject {
    pub store: Arc<dyn Store>,
    /// A folder to adopt files from: on the store's own file system, if it has one.
    pub near: PathBuf,
    /// A folder on another file system; without it that case says nothing.
    pub far: Option<PathBuf>,
    /// Whatever has to live as long.
    pub keep: Box<dyn Any + Send + Sync>,
}

/// `contract!(make)` makes a named test of every case; `make` is an `async fn() -> Subject`.
#[macro_export]
macro_rules! contract {
    ($make:path) => {
        $crate::contract_cases! { $make,
            what_was_written_is_read
            an_empty_object_is_an_object
            a_large_object_streams_in_chunks
            a_download_is_the_whole_object_in_a_file
            a_download_that_fails_leaves_no_file
            ranges_are_clamped
            a_missing_object_is_not_found
            list_is_ordered_by_bytes
            list_pages
            list_knows_its_prefix
            an_overwrite_changes_the_version
            one_of_sixteen_conditional_writers_wins
            a_conditional_write_overwrites_nothing
            nothing_is_visible_before_commit
            an_overwrite_is_whole_or_not_at_all
            a_dropped_upload_leaves_nothing
            an_aborted_upload_leaves_nothing
            a_broken_stream_leaves_nothing
            unexpected_bytes_are_refused
            a_head_may_come_last
            what_was_sent_behind_a_head_must_be_what_is_there
            a_stale_version_is_not_deleted
            a_stale_version_never_reads_as_the_new_bytes
            a_version_that_endures_names_its_bytes_for_good
            a_deleted_object_is_gone
            an_erased_object_is_gone_with_all_of_its_versions
            a_copy_is_equal_and_independent
            tags_are_kept_until_the_next_overwrite
            one_tag_is_set_beside_the_others
            impossible_tags_are_refused
            a_near_file_is_adopted
            a_far_file_is_adopted
            a_file_is_consumed_only_after_the_commit
            hostile_keys_are_refused
            a_foreign_key_is_an_object_or_refused
            check_leaves_nothing
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! contract_cases {
    ($make:path, $($case:ident)*) => {
        $(
            #[tokio::test]
            async fn $case() {
                $crate::contract::$case($make().await).await;
            }
        )*
    };
}

pub async fn what_was_written_is_read(s: Subject) {
    let (meta, digest) = s.put("a/b/c.bin", "hello").await;
    assert_eq!((meta.key.as_str(), meta.size), ("a/b/c.bin", 5));
    assert_eq!(digest, digest_of_bytes(b"hello"));
    assert!(same(&s.store.head(&key("a/b/c.bin")).await.unwrap(), &meta));
    assert_eq!(s.read("a/b/c.bin").await, "hello");
    let body = s.store.get(&meta.key, Some(&meta.version), None).await.unwrap();
    assert_eq!(collect(body).await.unwrap(), "hello");
}

pub async fn an_empty_object_is_an_object(s: Subject) {
    let (meta, digest) = s.store.create(&key("empty"), Put::default()).await.unwrap().commit().await.unwrap();
    assert_eq!((meta.size, digest), (0, digest_of_bytes(b"")));
    assert_eq!(s.read("empty").await, "");
    assert_eq!(s.keys("").await, ["empty"]);
}

pub async fn a_large_object_streams_in_chunks(s: Subject) {
    let whole = pattern(5 * 1024 * 1024 + 4321);
    // Odd pieces, so that no boundary of theirs is one of the store's.
    let mut rest = whole.clone();
    let mut pieces = Vec::new();
    for size in [1, 70_001, 1_048_577, 3].into_iter().cycle() {
        if rest.is_empty() {
            break;
        }
        pieces.push(Ok(rest.split_to(size.min(rest.len()))));
    }
    let stream = futures::stream::iter(pieces);
    let (meta, digest) = put_stream(&*s.store, &key("large"), stream, Put::default()).await.unwrap();
    assert_eq!((meta.size, digest), (whole.len() as u64, digest_of_bytes(&whole)));
    let chunks: Vec<Bytes> =
        s.store.get(&key("large"), None, None).await.unwrap().try_collect().await.unwrap();
    assert!(chunks.iter().all(|chunk| !chunk.is_empty() && chunk.len() <= crate::CHUNK));
    assert!(chunks.concat() == whole);
    assert_eq!(digest_of(&*s.store, &key("large"), Some(&meta.version)).await.unwrap(), digest);
    let body = s.store.get(&key("large"), None, Some(1_048_570..3_000_000)).await.unwrap();
    assert!(collect(body).await.unwrap() == whole[1_048_570..3_000_000]);
}

pub async fn a_download_is_the_whole_object_in_a_file(s: Subject) {
    let sizes = [("large", (5 << 20) + 4321), ("middle", 700_001), ("small", 5), ("empty", 0)];
    for (name, size) in sizes {
        let bytes = pattern(size);
        let (meta, digest) = put_bytes(&*s.store, &key(name), bytes.clone(), Put::default()).await.unwrap();
        for version in [None, Some(meta.version.as_str())] {
            let (file, landed) = s.land(&meta.key, version).await;
            assert_eq!(landed.unwrap(), digest, "{name}");
            assert!(std::fs::read(&file).unwrap() == bytes, "{name}");
            std::fs::remove_file(file).unwrap();
        }
    }
}

/// Nor are bytes of two versions ever in one file.
pub async fn a_download_that_fails_leaves_no_file(s: Subject) {
    let (file, landed) = s.land(&key("missing"), None).await;
    assert_eq!(landed.unwrap_err().kind(), ErrorKind::NotFound);
    assert!(!file.exists());
    let (before, digest) = put_bytes(&*s.store, &key("k"), pattern(3 << 20), Put::default()).await.unwrap();
    put_bytes(&*s.store, &before.key, vec![7; 3 << 20], Put::default()).await.unwrap();
    let (file, landed) = s.land(&before.key, Some(&before.version)).await;
    match landed {
        Ok(landed) => assert_eq!(landed, digest),
        Err(e) => {
            assert_eq!(e.kind(), ErrorKind::Changed, "{e}");
            assert!(!file.exists());
        }
    }
    /// It is full.
    struct Full;
    #[async_trait::async_trait]
    impl WriteAt for Full {
        async fn write_at(&self, at: u64, bytes: Bytes) -> Result<(), Error> {
            let full = || Error::new(ErrorKind::NoSpace, "full");
            if at + bytes.len() as u64 > 1 << 20 { Err(full()) } else { Ok(()) }
        }
    }
    let error = s.store.download(&before.key, None, &Full).await.unwrap_err();
    assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::NoSpace, "full"));
}

pub async fn ranges_are_clamped(s: Subject) {
    s.put("r", "0123456789").await;
    for (range, expected) in [
        (0..4, "0123"),
        (4..10, "456789"),
        (8..100, "89"),
        (9..u64::MAX, "9"),
        (10..20, ""),
        (500..600, ""),
        (3..3, ""),
    ] {
        let body = s.store.get(&key("r"), None, Some(range.clone())).await.unwrap();
        assert_eq!(collect(body).await.unwrap(), expected, "{range:?}");
    }
}

pub async fn a_missing_object_is_not_found(s: Subject) {
    s.put("there", "x").await;
    for name in ["missing", "no/such/folder", "there/below"] {
        let key = key(name);
        let error = s.store.head(&key).await.unwrap_err();
        assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::NotFound, false), "{name}");
        let message = error.to_string();
        assert!(message.contains(s.store.name()) && message.contains(name), "{message}");
        assert_eq!(s.store.get(&key, None, None).await.err().unwrap().kind(), ErrorKind::NotFound);
        assert_eq!(s.store.delete(&key, "v").await.unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(s.store.tags(&key).await.unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(s.store.set_tags(&key, &Tags::new()).await.unwrap_err().kind(), ErrorKind::NotFound);
        let copied = s.store.copy(&key, None, &self::key("to"), Put::default()).await;
        assert_eq!(copied.unwrap_err().kind(), ErrorKind::NotFound);
    }
    s.put("folder/file", "x").await;
    assert_eq!(s.store.head(&key("folder")).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(s.keys("").await, ["folder/file", "there"]);
}

/// `-`, `.` and `+` come before `/`, so folder by folder is not the order of bytes.
pub async fn list_is_ordered_by_bytes(s: Subject) {
    let names = ["a+b", "a-b", "a.b/z", "a/b/c", "a/b.c", "a/bc", "a0", "A", "a=b", "a@b", "a_b/c", "b"];
    for name in names {
        s.put(name, name).await;
    }
    let mut sorted = names.to_vec();
    sorted.sort_unstable();
    assert_eq!(s.keys("").await, sorted);
    for page in 1..=names.len() {
        assert_eq!(s.all_pages("", page).await, sorted, "in pages of {page}");
    }
}

pub async fn list_pages(s: Subject) {
    for i in 0..23 {
        s.put(&format!("p/{}/{i:02}", i % 3), "x").await;
    }
    let first = s.store.list("p/", None, 10).await.unwrap();
    assert_eq!(first.len(), 10);
    assert_eq!(s.all_pages("p/", 10).await, s.keys("p/").await);
    let last = first.last().unwrap().key.clone();
    let second = s.store.list("p/", Some(&last), 10).await.unwrap();
    assert!(second[0].key > last);
    assert_eq!(first[0], s.store.head(&first[0].key).await.unwrap());
    // The key to go on from may be gone by then.
    s.store.delete(&last, &first.last().unwrap().version).await.unwrap();
    assert_eq!(s.store.list("p/", Some(&last), 10).await.unwrap(), second);
    assert!(s.store.list("", None, 0).await.unwrap().is_empty());
    assert!(s.store.list("p/", Some(&key("q")), 10).await.unwrap().is_empty());
}

pub async fn list_knows_its_prefix(s: Subject) {
    for name in ["cam1/a", "cam1/b", "cam10/a", "cam2/a", "other"] {
        s.put(name, "x").await;
    }
    assert_eq!(s.keys("cam1").await, ["cam1/a", "cam1/b", "cam10/a"]);
    assert_eq!(s.keys("cam1/").await, ["cam1/a", "cam1/b"]);
    assert_eq!(s.keys("cam1/b").await, ["cam1/b"]);
    assert_eq!(s.keys("ot").await, ["other"]);
    for nothing in ["x", "cam1/a/", "/", "../", "cam1/../", "cam1//", ".videorec", ".videorec/"] {
        assert!(s.keys(nothing).await.is_empty(), "{nothing}");
    }
}

pub async fn an_overwrite_changes_the_version(s: Subject) {
    let mut versions = std::collections::BTreeSet::new();
    for i in 0..20 {
        // Of the same size, as fast as we can.
        versions.insert(s.put("k", &format!("{i:02}")).await.0.version);
    }
    assert_eq!(versions.len(), 20);
    assert_eq!(s.read("k").await, "19");
    assert_eq!(s.keys("").await, ["k"]);
}

/// Promise 5: effects are idempotent by key: the same output is written once, by whoever is first.
pub async fn one_of_sixteen_conditional_writers_wins(s: Subject) {
    let mut writers = tokio::task::JoinSet::new();
    for i in 0..16 {
        let store = s.store.clone();
        writers.spawn(async move {
            let options = Put { if_absent: true, expected: None };
            (i, put_bytes(&*store, &key("deep/down/lease"), format!("writer {i}"), options).await)
        });
    }
    let mut winners = Vec::new();
    while let Some(done) = writers.join_next().await {
        match done.unwrap() {
            (i, Ok(_)) => winners.push(i),
            (_, Err(e)) => assert_eq!((e.kind(), e.is_temporary()), (ErrorKind::Exists, false), "{e}"),
        }
    }
    assert_eq!(winners.len(), 1);
    assert_eq!(s.read("deep/down/lease").await, format!("writer {}", winners[0]));
}

pub async fn a_conditional_write_overwrites_nothing(s: Subject) {
    s.put("k", "first").await;
    let before = s.store.head(&key("k")).await.unwrap();
    let options = Put { if_absent: true, expected: None };
    let error = put_bytes(&*s.store, &before.key, "second", options).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exists);
    assert_eq!(s.store.head(&before.key).await.unwrap(), before);
    assert_eq!(s.read("k").await, "first");
}

/// Promise 6: no output is visible before it is complete and checked.
pub async fn nothing_is_visible_before_commit(s: Subject) {
    let mut upload = s.store.create(&key("out/x"), Put::default()).await.unwrap();
    for _ in 0..3 {
        upload.write(pattern(1 << 20)).await.unwrap();
        assert_eq!(s.store.head(&key("out/x")).await.unwrap_err().kind(), ErrorKind::NotFound);
        assert!(s.keys("").await.is_empty());
    }
    upload.commit().await.unwrap();
    assert_eq!(s.keys("").await, ["out/x"]);
}

pub async fn an_overwrite_is_whole_or_not_at_all(s: Subject) {
    s.put("k", "old").await;
    let mut upload = s.store.create(&key("k"), Put::default()).await.unwrap();
    upload.write(pattern(2 << 20)).await.unwrap();
    assert_eq!(s.read("k").await, "old");
    // Who reads the old version goes on reading it, or is told that it is gone.
    let whole = pattern(3 << 20);
    s.store.create(&key("big"), Put::default()).await.unwrap();
    put_bytes(&*s.store, &key("big"), whole.clone(), Put::default()).await.unwrap();
    let body = s.store.get(&key("big"), None, None).await.unwrap();
    s.put("big", "new").await;
    match collect(body).await {
        Ok(bytes) => assert!(bytes == whole),
        Err(e) => assert_eq!(e.kind(), ErrorKind::Changed, "{e}"),
    }
    upload.commit().await.unwrap();
    assert_eq!(s.store.head(&key("k")).await.unwrap().size, 2 << 20);
}

/// Promise 6: no output is visible before it is complete and checked.
pub async fn a_dropped_upload_leaves_nothing(s: Subject) {
    let mut upload = s.store.create(&key("x"), Put::default()).await.unwrap();
    upload.write(pattern(2 << 20)).await.unwrap();
    upload.write("tail".into()).await.unwrap();
    drop(upload);
    s.is_empty().await;
}

pub async fn an_aborted_upload_leaves_nothing(s: Subject) {
    let mut upload = s.store.create(&key("x"), Put::default()).await.unwrap();
    upload.write(pattern(2 << 20)).await.unwrap();
    upload.abort().await.unwrap();
    s.is_empty().await;
}

pub async fn a_broken_stream_leaves_nothing(s: Subject) {
    let broken = || Err(Error::new(ErrorKind::Unavailable, "the sender went away"));
    let stream = futures::stream::iter([Ok(pattern(2 << 20)), broken()]);
    let error = put_stream(&*s.store, &key("x"), stream, Put::default()).await.unwrap_err();
    assert_eq!(error.to_string(), "the sender went away");
    s.is_empty().await;
}

/// Promise 6: no output is visible before it is complete and checked.
pub async fn unexpected_bytes_are_refused(s: Subject) {
    for wrong in [b"something".as_slice(), b"", b"expectec"] {
        let options = Put { if_absent: false, expected: Some(digest_of_bytes(b"expected")) };
        let error = put_bytes(&*s.store, &key("x"), wrong, options).await.unwrap_err();
        assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Corrupt, false));
        s.is_empty().await;
        put_bytes(&*s.store, &key("y"), "expected", options).await.unwrap();
        // Nor does it take the place of what is there.
        assert_eq!(
            put_bytes(&*s.store, &key("y"), wrong, options).await.unwrap_err().kind(),
            ErrorKind::Corrupt
        );
        assert_eq!(s.read("y").await, "expected");
        s.store.delete(&key("y"), &s.store.head(&key("y")).await.unwrap().version).await.unwrap();
    }
}

/// Promise 6 where the end of an object leaves before its beginning: nothing is visible before all of it is there.
pub async fn a_head_may_come_last(s: Subject) {
    let whole = pattern(LEAST_HEAD + (3 << 20) + 77);
    let (head, behind) = (whole.slice(..LEAST_HEAD), whole.slice(LEAST_HEAD..));
    let begin = async || s.store.create_head_last(&key("x"), Put::default()).await.unwrap();
    let Some(mut upload) = begin().await else { return };
    for piece in behind.chunks(700_001) {
        upload.write(Bytes::copy_from_slice(piece)).await.unwrap();
    }
    upload.head(head).await.unwrap();
    assert!(s.keys("").await.is_empty());
    let meta = upload.commit(&digest_of_bytes(&whole)).await.unwrap();
    assert!(same(&s.store.head(&key("x")).await.unwrap(), &meta));
    assert_eq!(digest_of(&*s.store, &key("x"), Some(&meta.version)).await.unwrap(), digest_of_bytes(&whole));
    // A head alone is an object, too.
    let mut upload = begin().await.expect("as before");
    upload.head("short".into()).await.unwrap();
    upload.commit(&digest_of_bytes(b"short")).await.unwrap();
    assert_eq!(s.read("x").await, "short");
    for give_up in [true, false] {
        let mut upload = begin().await.expect("as before");
        upload.write(behind.clone()).await.unwrap();
        upload.head(whole.slice(..LEAST_HEAD)).await.unwrap();
        if give_up {
            upload.abort().await.unwrap();
        }
        assert_eq!(s.read("x").await, "short");
    }
}

/// What is read of it in the end is compared with what left before: a writer that went back has not written that.
pub async fn what_was_sent_behind_a_head_must_be_what_is_there(s: Subject) {
    let whole = pattern(LEAST_HEAD + 100_000);
    let head = whole.slice(..LEAST_HEAD);
    let mut other = whole.to_vec();
    other[LEAST_HEAD + 50_000] ^= 1;
    for found in [digest_of_bytes(&other), digest_of_bytes(&whole[..whole.len() - 1])] {
        let begun = s.store.create_head_last(&key("x"), Put::default()).await.unwrap();
        let Some(mut upload) = begun else { return };
        upload.write(whole.slice(LEAST_HEAD..)).await.unwrap();
        upload.head(head.clone()).await.unwrap();
        let error = upload.commit(&found).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.to_string().contains("nothing was stored; write it again"), "{error}");
        assert!(s.keys("").await.is_empty());
    }
}

pub async fn a_stale_version_is_not_deleted(s: Subject) {
    let old = s.put("k", "old").await.0;
    s.put("k", "new").await;
    let new = s.store.head(&key("k")).await.unwrap();
    let error = s.store.delete(&old.key, &old.version).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Changed);
    assert_eq!(s.store.head(&new.key).await.unwrap(), new);
    assert_eq!(s.read("k").await, "new");
}

pub async fn a_stale_version_never_reads_as_the_new_bytes(s: Subject) {
    let old = s.put("k", "old").await.0;
    s.put("k", "new").await;
    match s.store.get(&old.key, Some(&old.version), None).await {
        Ok(body) => assert_eq!(collect(body).await.unwrap(), "old", "a store may keep versions"),
        Err(e) => assert!(matches!(e.kind(), ErrorKind::Changed | ErrorKind::NotFound), "{e}"),
    }
    let error = s.store.get(&old.key, Some("no-such-version"), None).await.err().unwrap();
    assert!(matches!(error.kind(), ErrorKind::Changed | ErrorKind::NotFound), "{error}");
}

/// What the catalog remembers of an object it does not own: these bytes or none.
pub async fn a_version_that_endures_names_its_bytes_for_good(s: Subject) {
    if !s.store.versions_endure() {
        return;
    }
    let mut versions = Vec::new();
    for text in ["one", "two", "six"] {
        versions.push((s.put("k", text).await.0.version, text));
    }
    let current = s.store.head(&key("k")).await.unwrap();
    s.store.delete(&current.key, &current.version).await.unwrap();
    s.put("k", "ten").await;
    for (version, text) in versions {
        if let Ok(body) = s.store.get(&current.key, Some(&version), None).await {
            assert_eq!(collect(body).await.unwrap(), text);
        }
    }
    assert_eq!(s.read("k").await, "ten");
}

pub async fn a_deleted_object_is_gone(s: Subject) {
    let meta = s.put("a/k", "x").await.0;
    s.store.delete(&meta.key, &meta.version).await.unwrap();
    s.is_empty().await;
    assert_eq!(s.store.delete(&meta.key, &meta.version).await.unwrap_err().kind(), ErrorKind::NotFound);
    // Its place is free again, also for who insists on a free one.
    let options = Put { if_absent: true, expected: None };
    put_bytes(&*s.store, &meta.key, "y", options).await.unwrap();
    assert_eq!(s.read("a/k").await, "y");
}

/// A purge leaves no version behind, whatever the store keeps.
pub async fn an_erased_object_is_gone_with_all_of_its_versions(s: Subject) {
    let mut versions = Vec::new();
    for text in ["one", "two", "six"] {
        versions.push(s.put("k", text).await.0.version);
    }
    s.put("k-below", "other").await;
    s.put("kk", "other").await;
    let current = s.store.head(&key("k")).await.unwrap();
    let stale = s.store.erase(&current.key, Some(&versions[0])).await.unwrap_err();
    assert_eq!(stale.kind(), ErrorKind::Changed);
    assert_eq!(s.read("k").await, "six");
    let erased = s.store.erase(&current.key, Some(&current.version)).await.unwrap();
    assert_eq!(erased.last().map(|m| (&m.version, m.size)), Some((&current.version, 3)));
    for version in &versions {
        assert!(s.store.get(&current.key, Some(version), None).await.is_err(), "{version} is still there");
    }
    assert_eq!(s.keys("").await, ["k-below", "kk"]);
    assert_eq!(s.store.erase(&current.key, None).await.unwrap(), []);
    assert_eq!(s.store.erase(&current.key, Some(&current.version)).await.unwrap(), []);
}

pub async fn a_copy_is_equal_and_independent(s: Subject) {
    let from = s.put("from", "bytes").await.0;
    s.store.set_tags(&from.key, &tags(&[("a", "1")])).await.unwrap();
    let to = key("copies/to");
    let options = Put { if_absent: true, expected: Some(digest_of_bytes(b"bytes")) };
    let meta = s.store.copy(&from.key, Some(&from.version), &to, options).await.unwrap();
    assert_eq!((&meta.key, meta.size), (&to, 5));
    assert!(same(&s.store.head(&to).await.unwrap(), &meta));
    assert!(s.store.tags(&to).await.unwrap().is_empty());
    let again = s.store.copy(&from.key, None, &to, options).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Exists);
    s.put("from", "other").await;
    s.store.delete(&from.key, &s.store.head(&from.key).await.unwrap().version).await.unwrap();
    assert_eq!(s.read("copies/to").await, "bytes");
    let wrong = Put { if_absent: false, expected: Some(digest_of_bytes(b"wrong")) };
    let error = s.store.copy(&to, None, &key("x"), wrong).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert_eq!(s.keys("").await, ["copies/to"]);
}

pub async fn tags_are_kept_until_the_next_overwrite(s: Subject) {
    s.put("a/k", "x").await;
    assert!(s.store.tags(&key("a/k")).await.unwrap().is_empty());
    let some = tags(&[("tier", "archive"), ("videorec:hold", "ja für immer")]);
    s.store.set_tags(&key("a/k"), &some).await.unwrap();
    assert_eq!(s.store.tags(&key("a/k")).await.unwrap(), some);
    let fewer = tags(&[("tier", "hot")]);
    s.store.set_tags(&key("a/k"), &fewer).await.unwrap();
    assert_eq!(s.store.tags(&key("a/k")).await.unwrap(), fewer);
    assert_eq!(s.keys("").await, ["a/k"]);
    s.put("a/k", "y").await;
    assert!(s.store.tags(&key("a/k")).await.unwrap().is_empty());
}

pub async fn one_tag_is_set_beside_the_others(s: Subject) {
    let (meta, _) = s.put("a/k", "bytes").await;
    let of = |pairs: &[(&str, &str)]| tags(pairs);
    s.store.set_tags(&meta.key, &of(&[("team", "red")])).await.unwrap();
    let set = async |value| s.store.set_tag(&meta.key, &meta.version, "class", value).await;
    for (value, all) in [
        (Some("GLACIER"), of(&[("class", "GLACIER"), ("team", "red")])),
        (Some("DEEP_ARCHIVE"), of(&[("class", "DEEP_ARCHIVE"), ("team", "red")])),
        (None, of(&[("team", "red")])),
        (None, of(&[("team", "red")])),
    ] {
        set(value).await.unwrap();
        assert_eq!(s.store.tags(&meta.key).await.unwrap(), all);
        assert!(same(&s.store.head(&meta.key).await.unwrap(), &meta), "the object is what it was");
    }
    // No room for another one: those that are there stay.
    let full: Vec<(String, String)> = (0..crate::MAX_TAGS).map(|n| (format!("t{n}"), "x".into())).collect();
    let full: Tags = full.into_iter().collect();
    s.store.set_tags(&meta.key, &full).await.unwrap();
    assert_eq!(set(Some("GLACIER")).await.unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(s.store.tags(&meta.key).await.unwrap(), full);
    // What replaced it is none of our business.
    s.store.set_tags(&meta.key, &Tags::new()).await.unwrap();
    s.put("a/k", "other bytes").await;
    assert_eq!(set(Some("GLACIER")).await.unwrap_err().kind(), ErrorKind::Changed);
    assert!(s.store.tags(&meta.key).await.unwrap().is_empty());
    let none = s.store.set_tag(&key("none"), &meta.version, "class", None).await;
    assert_eq!(none.unwrap_err().kind(), ErrorKind::NotFound);
}

pub async fn impossible_tags_are_refused(s: Subject) {
    s.put("k", "x").await;
    let many: Tags = (0..=MAX_TAGS).map(|i| (i.to_string(), String::new())).collect();
    for bad in [
        many,
        tags(&[("", "x")]),
        tags(&[(&"x".repeat(129), "")]),
        tags(&[("x", &"x".repeat(257))]),
        tags(&[("x", "a, b")]),
        tags(&[("x\n", "")]),
        tags(&[("aws:x", "")]),
    ] {
        assert_eq!(s.store.set_tags(&key("k"), &bad).await.unwrap_err().kind(), ErrorKind::Invalid);
    }
    assert!(s.store.tags(&key("k")).await.unwrap().is_empty());
}

pub async fn a_near_file_is_adopted(s: Subject) {
    let folder = s.near.clone();
    s.adopts_from(folder).await;
}

pub async fn a_far_file_is_adopted(s: Subject) {
    if let Some(folder) = s.far.clone() {
        s.adopts_from(folder).await;
    }
}

/// A file that was handed over is at every moment in at least one place.
pub async fn a_file_is_consumed_only_after_the_commit(s: Subject) {
    s.put("taken", "x").await;
    for folder in [Some(s.near.clone()), s.far.clone()].into_iter().flatten() {
        let file = folder.join(format!("kept-{}", std::process::id()));
        std::fs::write(&file, "bytes").unwrap();
        let wrong = Put { if_absent: true, expected: Some(digest_of_bytes(b"others")) };
        let error = s.store.adopt(&key("new"), &file, wrong).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        let absent = Put { if_absent: true, expected: None };
        let error = s.store.adopt(&key("taken"), &file, absent).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Exists);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "bytes");
        std::fs::remove_file(&file).unwrap();
        let error = s.store.adopt(&key("new"), &file, absent).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().contains("kept-"), "{error}");
    }
    assert_eq!(s.keys("").await, ["taken"]);
    assert_eq!(s.read("taken").await, "x");
}

/// Promise 12: no key, however hostile, names anything but an object.
pub async fn hostile_keys_are_refused(s: Subject) {
    let long_segment = "x".repeat(256);
    let long = format!("{}/y", vec!["x".repeat(200); 5].join("/"));
    for hostile in [
        "",
        "/",
        "/etc/passwd",
        "a/",
        "a//b",
        "..",
        "../up",
        "a/../../b",
        "./a",
        "a/.",
        "a\\b",
        "a b",
        "nul\0",
        "line\n",
        "umläut",
        "per%2e",
        "~",
        ".videorec/tmp/x",
        ".videorec",
        &long_segment,
        &long,
    ] {
        assert!(Key::parse(hostile).is_err(), "{hostile:?}");
    }
    for good in ["...", "..a", ".hidden", "a/.videorec", "-rf", "--", "a=b@c+d", ".videorec2"] {
        s.put(good, good).await;
        assert_eq!(s.read(good).await, good);
    }
    assert_eq!(s.keys("").await.len(), 8);
}

/// Promise 12, for keys that somebody else chose: an object like any other, or refused with nothing done.
pub async fn a_foreign_key_is_an_object_or_refused(s: Subject) {
    let outside = s.near.join("outside");
    std::fs::write(&outside, "outside").unwrap();
    let absolute = outside.to_str().unwrap();
    let mut kept = Vec::new();
    for text in [
        "My Holiday (1) +50%.mp4",
        "für/東京/e\u{301}.mp4",
        "../up",
        "a/../../b",
        "/",
        absolute,
        "a//b",
        "folder/",
        ".",
        "..",
        "-rf *",
        "line\r\nline",
        "evil\u{202e}4pm",
        "back\\slash",
        "a%2Fb",
        "a?versionId=1#x&y=<z>\"'",
        "concat:a|b",
        &"ü".repeat(300),
    ] {
        let key = Key::foreign(text).unwrap();
        assert_eq!(s.store.local_path(&key), None, "{key}");
        match put_bytes(&*s.store, &key, text.to_owned(), Put::default()).await {
            Ok((meta, _)) => {
                assert_eq!((&meta.key, meta.size), (&key, text.len() as u64));
                let body = s.store.get(&key, Some(&meta.version), None).await.unwrap();
                assert!(collect(body).await.unwrap() == text, "{key}");
                assert!(same(&s.store.head(&key).await.unwrap(), &meta), "{key}");
                kept.push(text.to_owned());
            }
            Err(e) => s.refuses(&key, e).await,
        }
    }
    kept.sort_unstable();
    let listed = s.store.list("", None, 10_000).await.unwrap();
    assert_eq!(listed.iter().map(|meta| meta.key.as_str()).collect::<Vec<_>>(), kept);
    for meta in listed {
        let copy = key("copy");
        s.store.copy(&meta.key, Some(&meta.version), &copy, Put::default()).await.unwrap();
        assert_eq!(s.read("copy").await, meta.key.as_str());
        s.store.set_tags(&meta.key, &tags(&[("a", "1")])).await.unwrap();
        assert_eq!(s.store.tags(&meta.key).await.unwrap().len(), 1);
        s.store.delete(&meta.key, &meta.version).await.unwrap();
        assert_eq!(s.store.head(&meta.key).await.unwrap_err().kind(), ErrorKind::NotFound);
    }
    assert_eq!(std::fs::read_to_string(&outside).unwrap(), "outside");
}

pub async fn check_leaves_nothing(s: Subject) {
    let health = s.store.check().await.unwrap();
    if let (Some(free), Some(capacity)) = (health.free, health.capacity) {
        assert!(0 < free && free <= capacity);
    }
    s.is_empty().await;
}

impl Subject {
    /// `error` is what writing answered; everything else answers likewise.
    async fn refuses(&self, key: &Key, error: Error) {
        let file = self.near.join("kept");
        std::fs::write(&file, "kept").unwrap();
        let (version, to) = (Some("v"), self::key("to"));
        for error in [
            error,
            self.store.head(key).await.unwrap_err(),
            self.store.get(key, version, None).await.err().unwrap(),
            self.store.create(key, Put::default()).await.err().unwrap(),
            self.store.copy(key, version, &to, Put::default()).await.unwrap_err(),
            self.store.delete(key, "v").await.unwrap_err(),
            self.store.tags(key).await.unwrap_err(),
            self.store.set_tags(key, &Tags::new()).await.unwrap_err(),
            self.store.adopt(key, &file, Put::default()).await.unwrap_err(),
        ] {
            assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Invalid, false), "{error}");
            assert!(error.to_string().contains(&key.to_string()), "{error}");
            assert!(!error.to_string().contains(['\n', '\u{202e}']), "{error}");
        }
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "kept");
        assert!(self.keys("").await.is_empty());
    }
    async fn put(&self, name: &str, text: &str) -> (crate::Meta, Digest) {
        put_bytes(&*self.store, &key(name), text.to_owned(), Put::default()).await.unwrap()
    }
    async fn read(&self, name: &str) -> String {
        let body = self.store.get(&key(name), None, None).await.unwrap();
        String::from_utf8(collect(body).await.unwrap().to_vec()).unwrap()
    }
    /// A file that is not there before, and what has become of it.
    async fn land(&self, key: &Key, version: Option<&str>) -> (PathBuf, Result<Digest, Error>) {
        let file = self.near.join("landed");
        let _ = std::fs::remove_file(&file);
        let landing = Landing::new(&file);
        let came = self.store.download(key, version, &landing).await;
        (file, landing.settle(came).await.unwrap())
    }
    async fn keys(&self, prefix: &str) -> Vec<String> {
        let listed = self.store.list(prefix, None, 10_000).await.unwrap();
        listed.into_iter().map(|meta| meta.key.to_string()).collect()
    }
    async fn all_pages(&self, prefix: &str, limit: usize) -> Vec<String> {
        let mut all: Vec<Key> = Vec::new();
        loop {
            let page = self.store.list(prefix, all.last(), limit).await.unwrap();
            assert!(page.len() <= limit);
            let last = page.len() < limit;
            all.extend(page.into_iter().map(|meta| meta.key));
            if last {
                return all.iter().map(Key::to_string).collect();
            }
        }
    }
    async fn is_empty(&self) {
        assert!(self.keys("").await.is_empty());
        for name in ["x", "a/k"] {
            assert_eq!(self.store.head(&key(name)).await.unwrap_err().kind(), ErrorKind::NotFound);
        }
    }
    async fn adopts_from(&self, folder: PathBuf) {
        for (name, bytes) in [("large", pattern((3 << 20) + 7)), ("empty", Bytes::new())] {
            let file = folder.join(format!("adopt-{}-{name}", std::process::id()));
            std::fs::write(&file, &bytes).unwrap();
            let options = Put { if_absent: true, expected: Some(digest_of_bytes(&bytes)) };
            let key = key(&format!("taken/{name}"));
            let (meta, digest) = self.store.adopt(&key, &file, options).await.unwrap();
            assert_eq!((meta.size, digest), (bytes.len() as u64, digest_of_bytes(&bytes)));
            assert!(!file.exists(), "the file is consumed");
            assert!(same(&self.store.head(&key).await.unwrap(), &meta));
            assert_eq!(digest_of(&*self.store, &key, Some(&meta.version)).await.unwrap(), digest);
        }
        assert_eq!(self.keys("").await, ["taken/empty", "taken/large"]);
    }
}

fn key(text: &str) -> Key {
    Key::parse(text).unwrap()
}

/// A write's own answer may date it a little otherwise than the store does later.
fn same(a: &crate::Meta, b: &crate::Meta) -> bool {
    let apart = a.modified.since(b.modified).max(b.modified.since(a.modified));
    apart < std::time::Duration::from_secs(60) && *a == crate::Meta { modified: a.modified, ..b.clone() }
}

fn tags(pairs: &[(&str, &str)]) -> Tags {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

async fn collect(body: crate::Body) -> Result<Bytes, Error> {
    Ok(body.try_collect::<Vec<_>>().await?.concat().into())
}

fn digest_of_bytes(bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::new();
    hasher.update(bytes);
    hasher.finish()
}

/// Bytes of which no two megabytes are equal.
fn pattern(size: usize) -> Bytes {
    (0..size).map(|i| (i as u32).wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect()
}
