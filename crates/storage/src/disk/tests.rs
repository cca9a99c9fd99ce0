use std::{os::unix::fs::symlink, path::Path, sync::Arc};

use proptest::prelude::*;
use tempfile::TempDir;

use super::Disk;
use crate::{
    ErrorKind, Key, Memory, Put, Store, contract::Subject, put_bytes, read_all, small_disk::SmallDisk,
};

async fn subject() -> Subject {
    let (dir, disk) = disk();
    let near = dir.path().join("near");
    std::fs::create_dir(&near).unwrap();
    let far = Path::new("/dev/shm");
    Subject {
        store: Arc::new(disk),
        near,
        far: far.is_dir().then(|| far.to_owned()),
        keep: Box::new(NoLeftovers(dir)),
    }
}
crate::contract!(subject);

/// Every case of the suite ends with an empty folder of temporary files.
struct NoLeftovers(TempDir);

impl Drop for NoLeftovers {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(temporary_files(self.0.path()), 0, "temporary files were left behind");
        }
    }
}

/// Promise 6, with a power cut or SIGKILL in the middle of writing: what was begun is never visible.
#[tokio::test]
async fn what_a_killed_writer_leaves_is_invisible_and_removed_at_the_next_start() {
    let (dir, disk) = disk();
    std::fs::write(dir.path().join("store/.videorec/tmp/4711-0"), "half a recor").unwrap();
    assert!(disk.list("", None, 10).await.unwrap().is_empty());
    let mut running = disk.create(&key("x"), Put::default()).await.unwrap();
    running.write(vec![1; 2 << 20].into()).await.unwrap();
    assert_eq!(temporary_files(dir.path()), 2);
    Disk::open("second", dir.path().join("store")).unwrap();
    assert_eq!(temporary_files(dir.path()), 1, "the writer that lives keeps its file");
    running.commit().await.unwrap();
    assert_eq!(disk.head(&key("x")).await.unwrap().size, 2 << 20);
    assert_eq!(temporary_files(dir.path()), 0);
}

/// Promise 12: no key leads outside the root, whatever links somebody puts below it.
#[tokio::test]
async fn links_are_not_followed() {
    let (dir, disk) = disk();
    let outside = dir.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("secret"), "secret").unwrap();
    let root = dir.path().join("store");
    symlink(&outside, root.join("folder")).unwrap();
    symlink(outside.join("secret"), root.join("file")).unwrap();
    symlink("/dev/zero", root.join("endless")).unwrap();
    for name in ["folder/secret", "file", "endless"] {
        let error = disk.get(&key(name), None, None).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Denied, "{name}: {error}");
        assert!(error.to_string().contains("symbolic links"), "{error}");
        assert_eq!(disk.head(&key(name)).await.unwrap_err().kind(), ErrorKind::Denied);
        assert_eq!(disk.delete(&key(name), "v").await.unwrap_err().kind(), ErrorKind::Denied);
    }
    let error = put_bytes(&disk, &key("folder/new"), "x", Put::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(disk.list("", None, 10).await.unwrap().is_empty());
    assert!(disk.list("folder/", None, 10).await.unwrap().is_empty());
    // Overwriting replaces the link and never what it links to.
    put_bytes(&disk, &key("file"), "ours", Put::default()).await.unwrap();
    assert_eq!(std::fs::read_to_string(outside.join("secret")).unwrap(), "secret");
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 1);
    let error = disk.adopt(&key("x"), &root.join("endless"), Put::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
}

#[tokio::test]
async fn foreign_files_are_left_alone() {
    let (dir, disk) = disk();
    let root = dir.path().join("store");
    std::fs::write(root.join("My Holiday.mp4"), "x").unwrap();
    std::fs::create_dir(root.join("a folder")).unwrap();
    std::fs::write(root.join("a folder/x"), "x").unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, root.join("pipe"), rustix::fs::Mode::RWXU).unwrap();
    std::fs::write(root.join("plain.mp4"), "x").unwrap();
    let listed = disk.list("", None, 10).await.unwrap();
    assert_eq!(listed.iter().map(|meta| meta.key.as_str()).collect::<Vec<_>>(), ["plain.mp4"]);
    assert_eq!(disk.get(&key("pipe"), None, None).await.err().unwrap().kind(), ErrorKind::Denied);
    assert_eq!(disk.local_path(&key("plain.mp4")).unwrap(), root.canonicalize().unwrap().join("plain.mp4"));
}

#[tokio::test]
async fn a_key_below_an_object_or_in_place_of_a_folder_is_refused() {
    let (_dir, disk) = disk();
    put_bytes(&disk, &key("a"), "x", Put::default()).await.unwrap();
    put_bytes(&disk, &key("folder/b"), "x", Put::default()).await.unwrap();
    for name in ["a/below", "folder"] {
        for if_absent in [true, false] {
            let options = Put { if_absent, expected: None };
            let error = put_bytes(&disk, &key(name), "y", options).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{name}: {error}");
        }
    }
}

#[tokio::test]
async fn a_file_that_grows_while_it_is_read_is_no_result() {
    use futures::TryStreamExt as _;
    let (dir, disk) = disk();
    let path = dir.path().join("store/growing");
    std::fs::write(&path, vec![0; 3 << 20]).unwrap();
    let mut body = disk.get(&key("growing"), None, None).await.unwrap();
    body.try_next().await.unwrap().unwrap();
    let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
    std::io::Write::write_all(&mut file, b"more").unwrap();
    let error = body.try_collect::<Vec<_>>().await.unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Changed, true));
}

/// Another name for a file is another way to write to it: such a file is copied instead of renamed.
#[tokio::test]
async fn a_file_with_two_names_is_adopted_by_copying() {
    let (dir, disk) = disk();
    let (file, other) = (dir.path().join("file"), dir.path().join("other"));
    std::fs::write(&file, "good").unwrap();
    std::fs::hard_link(&file, &other).unwrap();
    disk.adopt(&key("x"), &file, Put::default()).await.unwrap();
    std::fs::write(&other, "evil").unwrap();
    assert_eq!(read_all(&disk, &key("x"), 10).await.unwrap(), "good");
    assert!(!file.exists());
}

#[tokio::test]
async fn adopting_on_the_same_file_system_copies_nothing() {
    use std::os::unix::fs::MetadataExt as _;
    let (dir, disk) = disk();
    let file = dir.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let inode = std::fs::metadata(&file).unwrap().ino();
    disk.adopt(&key("x"), &file, Put::default()).await.unwrap();
    assert_eq!(std::fs::metadata(disk.local_path(&key("x")).unwrap()).unwrap().ino(), inode);
}

#[test]
fn a_root_that_cannot_be_used_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let error = Disk::open("media", &file).unwrap_err();
    assert!(error.to_string().contains("store `media`") && error.to_string().contains("file"), "{error}");
    let error = Disk::open("media", file.join("below")).unwrap_err();
    assert!(error.to_string().contains("is a file and not a folder"), "{error}");
    // Nobody, not even root, makes folders there.
    let error = Disk::open("media", "/sys/kernel/videorec").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    assert!(error.to_string().contains("/sys/kernel/videorec"), "{error}");
}

/// With a real full file system where we may mount one; elsewhere `Faulty` stands in, see `verified`.
#[tokio::test]
async fn a_full_disk_is_named_and_leaves_nothing() {
    let Some(mount) = SmallDisk::mount() else { return };
    let disk = Disk::open("small", &mount.0).unwrap();
    put_bytes(&disk, &key("fits"), vec![1; 1 << 20], Put::default()).await.unwrap();
    let error = put_bytes(&disk, &key("large"), vec![1; 8 << 20], Put::default()).await.unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::NoSpace, true), "{error}");
    assert!(
        error.to_string().contains("`large`") && error.to_string().contains("free some space"),
        "{error}"
    );
    assert_eq!(disk.list("", None, 10).await.unwrap().len(), 1);
    assert_eq!(std::fs::read_dir(mount.0.join(".videorec/tmp")).unwrap().count(), 0);
    let health = disk.check().await.unwrap();
    assert_eq!(health.capacity, Some(4 << 20));
    put_bytes(&disk, &key("fits-too"), vec![1; 1 << 20], Put::default()).await.unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// The store in memory is the model: a page of a folder is the page of a sorted map.
    #[test]
    fn lists_like_a_sorted_map(
        names in proptest::collection::vec("[ab][-.0a]?(/[ab][-.0a]?){0,2}", 0..20),
        prefix in "([ab][-.0a]?/?){0,2}",
        after in proptest::option::of("[ab][-.0a]?(/[ab][-.0a]?){0,2}"),
        limit in 0..6usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (_dir, disk) = disk_in("/dev/shm");
            let memory = Memory::new("model");
            for name in names {
                // A folder cannot hold both `a` and `a/b`.
                if put_bytes(&disk, &key(&name), "x", Put::default()).await.is_ok() {
                    put_bytes(&memory, &key(&name), "x", Put::default()).await.unwrap();
                }
            }
            let after = after.map(|after| key(&after));
            let keys = |page: Vec<crate::Meta>| page.into_iter().map(|meta| meta.key).collect::<Vec<_>>();
            let expected = keys(memory.list(&prefix, after.as_ref(), limit).await.unwrap());
            assert_eq!(keys(disk.list(&prefix, after.as_ref(), limit).await.unwrap()), expected);
        });
    }
}

fn disk() -> (TempDir, Disk) {
    disk_in("/tmp")
}

fn disk_in(parent: &str) -> (TempDir, Disk) {
    let dir = tempfile::tempdir_in(parent).or_else(|_| tempfile::tempdir()).unwrap();
    let disk = Disk::open("disk", dir.path().join("store")).unwrap();
    (dir, disk)
}

fn key(text: &str) -> Key {
    Key::parse(text).unwrap()
}

fn temporary_files(dir: &Path) -> usize {
    std::fs::read_dir(dir.join("store/.videorec/tmp")).unwrap().count()
}
