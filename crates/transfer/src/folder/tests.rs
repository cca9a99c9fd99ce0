use std::os::unix::fs::symlink;

use bytes::Bytes;

use super::*;
use crate::{
    ErrorKind,
    contract::{self, Subject, name, pattern, put_of},
};

async fn make() -> Subject {
    let dir = tempfile::tempdir().unwrap();
    let to = Folder::new("partner", dir.path(), Presence::Exists).with_names(Rules::unix());
    Subject { to: Arc::new(to), keep: Box::new(dir) }
}

async fn make_strict() -> Subject {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("MARKER"), "").unwrap();
    let to = Folder::new("partner", dir.path(), Presence::Marker("MARKER".into()));
    Subject { to: Arc::new(to), keep: Box::new(dir) }
}

mod local {
    crate::contract!(super::make);
    crate::transfer_contract_cases! { super::make, a_folder_is_not_replaced }
}

mod marked {
    crate::contract!(super::make_strict);
}

/// A share that is not mounted is an empty folder on our own disk: nothing goes there.
#[tokio::test]
async fn a_mount_that_vanished_is_not_written_to() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = Bytes::from_static(b"x");
    let marked = Folder::new("nas", dir.path(), Presence::Marker("MARKER".into()));
    let mounted = Folder::new("nas", dir.path(), Presence::MountPoint);
    let missing = Folder::new("nas", dir.path().join("not/there"), Presence::Exists);
    for (to, says) in [(&marked, "MARKER"), (&mounted, "mount the share"), (&missing, "make it, or mount it")]
    {
        for error in [
            to.put(&name("a/b"), &bytes, &put_of(&bytes)).await.unwrap_err(),
            to.stat(&name("a")).await.unwrap_err(),
            to.check().await.unwrap_err(),
            to.mkdirs(&name("a")).await.unwrap_err(),
            to.list(None).try_collect::<Vec<_>>().await.unwrap_err(),
        ] {
            assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Unavailable, true), "{error}");
            assert!(error.to_string().contains(says), "{error}");
        }
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    std::fs::write(dir.path().join("MARKER"), "").unwrap();
    marked.put(&name("a/b"), &bytes, &put_of(&bytes)).await.unwrap();
}

/// Whoever else writes to the share cannot have us write, read or remove elsewhere.
#[tokio::test]
async fn links_do_not_lead_out() {
    let (dir, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(outside.path().join("secret"), "secret").unwrap();
    symlink(outside.path(), dir.path().join("folder")).unwrap();
    symlink(outside.path().join("secret"), dir.path().join("file")).unwrap();
    let to = Folder::new("partner", dir.path(), Presence::Exists);
    let bytes = Bytes::from_static(b"ours");
    to.put(&name("folder/x"), &bytes, &put_of(&bytes)).await.unwrap_err();
    assert_eq!(to.stat(&name("file")).await.unwrap(), None);
    for link in ["folder/secret", "file"] {
        to.get(&name(link), None).await.err().unwrap();
    }
    to.remove(&name("folder/secret")).await.unwrap();
    assert!(to.list(None).try_collect::<Vec<_>>().await.unwrap().is_empty());
    let mut put = put_of(&bytes);
    put.replace = true;
    // The link is replaced, not what it points at.
    to.put(&name("file"), &bytes, &put).await.unwrap();
    assert_eq!(std::fs::read(outside.path().join("secret")).unwrap(), b"secret");
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 1);
}

/// A real full file system where we may mount one; `deliver`'s tests have one that is told to be full.
#[tokio::test]
async fn a_full_disk_keeps_no_half_file() {
    let dir = tempfile::tempdir().unwrap();
    use rustix::mount::{MountFlags, UnmountFlags};
    let options = c"size=4m";
    if rustix::mount::mount("tmpfs", dir.path(), "tmpfs", MountFlags::empty(), options).is_err() {
        eprintln!("not allowed to mount a tmpfs: nothing was tried");
        return;
    }
    let to = Folder::new("small", dir.path(), Presence::MountPoint);
    let large = pattern(8 << 20);
    let refused = to.put(&name("a/large"), &large, &put_of(&large)).await.unwrap_err();
    let small = pattern(1 << 20);
    let taken = to.put(&name("a/small"), &small, &put_of(&small)).await;
    let files = to.list(None).try_collect::<Vec<_>>().await;
    let left = to.sweep(None, Timestamp(i64::MAX)).await;
    rustix::mount::unmount(dir.path(), UnmountFlags::DETACH).unwrap();
    assert_eq!((refused.kind(), refused.is_temporary()), (ErrorKind::NoSpace, true), "{refused}");
    taken.unwrap();
    assert_eq!((files.unwrap().len(), left.unwrap()), (1, 0));
}

#[tokio::test]
async fn an_error_names_the_destination_and_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), "x").unwrap();
    let to = Folder::new("partner", dir.path(), Presence::Exists);
    let bytes = Bytes::from_static(b"x");
    let error = to.put(&name("file/below"), &bytes, &put_of(&bytes)).await.unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Invalid, false), "{error}");
    let message = error.to_string();
    assert!(message.contains("partner") && message.contains("is a file and not a folder"), "{message}");
    assert!(contract::name("x").folder().is_none());
}
