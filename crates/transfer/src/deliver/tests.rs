use bytes::Bytes;

use super::*;
use crate::{
    Fault, Faulty, Folder, Op, Presence,
    contract::{digest, name, pattern},
};

fn faulty(dir: &tempfile::TempDir) -> Faulty<Folder> {
    Faulty::new(Folder::new("partner", dir.path(), Presence::Exists))
}

/// Idempotent: the same export twice writes nothing the second time, also when nobody heard that the first one was done.
#[tokio::test]
async fn an_answer_that_got_lost_costs_no_second_transfer() {
    let dir = tempfile::tempdir().unwrap();
    let to = faulty(&dir);
    to.on(Op::Put, 1, Fault::ReplyLost);
    let bytes = pattern(1 << 20);
    let how = How::default();
    let error = deliver(&to, &name("a"), &bytes, &digest(&bytes), &how).await.unwrap_err();
    assert!(error.is_temporary(), "{error}");
    let again = deliver(&to, &name("a"), &bytes, &digest(&bytes), &how).await.unwrap();
    assert_eq!((again.outcome, again.bytes_sent, again.verified), (Outcome::Already, 0, Checked::ReadBack));
    assert_eq!(to.calls(Op::Put), 1);
}

#[tokio::test]
async fn a_cut_goes_on_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let to = faulty(&dir);
    to.on(Op::Put, 1, Fault::Cut { after: 1_500_000 });
    let bytes = pattern(3 << 20);
    let error = deliver(&to, &name("a"), &bytes, &digest(&bytes), &How::default()).await.unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Unavailable, true));
    let done = deliver(&to, &name("a"), &bytes, &digest(&bytes), &How::default()).await.unwrap();
    assert_eq!((done.resumed_from, done.bytes_sent), (1_500_000, (3 << 20) - 1_500_000));
}

/// A bit that flips on the way is found before the file has its name, and the next attempt is a whole one.
#[tokio::test]
async fn a_flipped_bit_never_gets_the_files_name() {
    let dir = tempfile::tempdir().unwrap();
    let to = faulty(&dir);
    to.on(Op::Put, 1, Fault::Flip { at: 2_000_000 });
    let bytes = pattern(3 << 20);
    let error = deliver(&to, &name("a"), &bytes, &digest(&bytes), &How::default()).await.unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Corrupt, true), "{error}");
    assert_eq!(to.stat(&name("a")).await.unwrap(), None);
    let done = deliver(&to, &name("a"), &bytes, &digest(&bytes), &How::default()).await.unwrap();
    assert_eq!((done.resumed_from, done.bytes_sent), (0, 3 << 20));
}

/// A full destination is not left fuller.
#[tokio::test]
async fn a_full_destination_is_left_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let to = faulty(&dir);
    to.on(Op::Put, 1, Fault::NoSpace { after: 1 << 20 });
    let bytes = pattern(3 << 20);
    let error = deliver(&to, &name("a"), &bytes, &digest(&bytes), &How::default()).await.unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::NoSpace, true));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_folder_of_that_name_is_worked_around_or_reported() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("a")).unwrap();
    let to = faulty(&dir);
    let bytes = Bytes::from_static(b"x");
    let by = |conflict| How { conflict, ..How::default() };
    let renamed = deliver(&to, &name("a"), &bytes, &digest(&bytes), &by(Conflict::Rename)).await.unwrap();
    assert_eq!(renamed.name, name("a (2)"));
    for conflict in [Conflict::Skip, Conflict::Replace] {
        let error = deliver(&to, &name("a"), &bytes, &digest(&bytes), &by(conflict)).await.unwrap_err();
        assert!(!error.is_temporary(), "{error}");
    }
}

#[tokio::test]
async fn what_cannot_be_looked_at_is_not_written() {
    let dir = tempfile::tempdir().unwrap();
    let to = faulty(&dir);
    to.on(Op::Stat, 1, Fault::Fail { kind: ErrorKind::Denied, temporary: false });
    let bytes = Bytes::from_static(b"x");
    let error = deliver(&to, &name("a"), &bytes, &digest(&bytes), &How::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert_eq!(to.calls(Op::Put), 0);
}

#[tokio::test]
async fn a_body_that_breaks_leaves_no_file_here() {
    let dir = tempfile::tempdir().unwrap();
    let to = faulty(&dir);
    let bytes = pattern(3 << 20);
    deliver(&to, &name("a"), &bytes, &digest(&bytes), &How::default()).await.unwrap();
    to.on(Op::Get, 1, Fault::Cut { after: 1 << 20 }).on(Op::Get, 2, Fault::Flip { at: 9 });
    let here = dir.path().join("here");
    for kind in [ErrorKind::Unavailable, ErrorKind::Corrupt] {
        let error = fetch(&to, &name("a"), &here, Some(&digest(&bytes))).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(!here.exists());
    }
}
