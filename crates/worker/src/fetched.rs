//! Sources that had to be fetched, kept on the scratch disk while they are used and for a while after: an object is
//! hashed, probed and converted one after the other, mostly by one worker, and is read from its bucket once.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use domain::Digest;
use storage::{Error, ErrorKind, Key, Landing, Store};
use tokio::sync::OnceCell;

/// What was fetched, by where it lies and which version it is.
#[derive(Debug)]
pub struct Fetched {
    folder: PathBuf,
    /// Bytes to keep when nobody uses them.
    spare: u64,
    entries: Mutex<HashMap<Name, Arc<Entry>>>,
    next: AtomicU64,
}

type Name = (String, String, String);

#[derive(Debug)]
struct Entry {
    /// One fetch, whoever asks meanwhile.
    file: OnceCell<(File, Digest)>,
    /// Larger is later.
    used: AtomicU64,
}

/// Gone from the disk with its last user.
#[derive(Debug)]
struct File {
    path: PathBuf,
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// A fetched file in use.
#[derive(Debug, Clone)]
pub(crate) struct Held(Arc<Entry>);

impl Held {
    pub(crate) fn path(&self) -> &Path {
        &self.0.file.get().expect("held after it was fetched").0.path
    }

    /// Of all of it, computed while it was fetched.
    pub(crate) fn digest(&self) -> &Digest {
        &self.0.file.get().expect("held after it was fetched").1
    }
}

impl Fetched {
    /// `scratch`: a folder on the scratch disk, in which this process has one of its own. What it leaves there when it is killed, goes
    /// with what its jobs leave.
    pub fn new(scratch: PathBuf, spare: u64) -> Self {
        let folder = scratch.join(format!("fetched-{}", std::process::id()));
        Self { folder, spare, entries: Mutex::default(), next: AtomicU64::new(0) }
    }

    /// Whether an object of this size may be fetched before it is known whether anybody wants it.
    pub(crate) fn may_keep(&self, size: u64) -> bool {
        size <= self.spare
    }

    /// Whether it is here already, or on its way.
    pub(crate) fn has(&self, store: &dyn Store, key: &Key, version: Option<&str>) -> bool {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.contains_key(&name_of(store, key, version))
    }

    /// The object as a local file; fetched if it is not here yet.
    pub(crate) async fn get(
        &self,
        store: &dyn Store,
        key: &Key,
        version: Option<&str>,
    ) -> Result<Held, Error> {
        let name = name_of(store, key, version);
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let entry = {
            let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
            let fresh = || Arc::new(Entry { file: OnceCell::new(), used: AtomicU64::new(number) });
            entries.entry(name).or_insert_with(fresh).clone()
        };
        let path = self.folder.join(number.to_string());
        let fetched = entry.file.get_or_try_init(|| async { fetch(store, key, version, path).await });
        let fetched = fetched.await.map(|_| ());
        entry.used.store(number, Ordering::Relaxed);
        self.make_room();
        fetched.map(|()| Held(entry))
    }

    /// Lets go of what nobody has used for longest, until what is only kept fits.
    fn make_room(&self) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        // One for the map: nobody else has it.
        let mut idle: Vec<(u64, Name, u64)> = entries
            .iter()
            .filter(|(_, entry)| Arc::strong_count(entry) == 1)
            .map(|(name, entry)| {
                let size = entry.file.get().map_or(0, |(_, digest)| digest.size);
                (entry.used.load(Ordering::Relaxed), name.clone(), size)
            })
            .collect();
        idle.sort_unstable();
        let mut kept: u64 = idle.iter().map(|(_, _, size)| size).sum();
        for (_, name, size) in idle {
            let empty = entries.get(&name).is_some_and(|e| e.file.get().is_none());
            if kept <= self.spare && !empty {
                continue;
            }
            entries.remove(&name);
            kept -= size;
        }
    }
}

impl Drop for Fetched {
    fn drop(&mut self) {
        self.entries.get_mut().unwrap_or_else(PoisonError::into_inner).clear();
        // Not while somebody uses a file in it.
        let _ = std::fs::remove_dir(&self.folder);
    }
}

fn name_of(store: &dyn Store, key: &Key, version: Option<&str>) -> Name {
    (store.name().to_owned(), key.as_str().to_owned(), version.unwrap_or_default().to_owned())
}

async fn fetch(
    store: &dyn Store,
    key: &Key,
    version: Option<&str>,
    path: PathBuf,
) -> Result<(File, Digest), Error> {
    // Who had our id before us may have been killed with it.
    let _ = tokio::fs::remove_file(&path).await;
    if let Some(folder) = path.parent() {
        tokio::fs::create_dir_all(folder).await.map_err(|e| disk(&e))?;
    }
    let landing = Landing::new(&path);
    let came = store.download(key, version, &landing).await;
    let landed = landing.settle(came).await.map_err(|e| disk(&e))?;
    Ok((File { path }, landed?))
}

fn disk(error: &std::io::Error) -> Error {
    let full = error.kind() == std::io::ErrorKind::StorageFull;
    let kind = if full { ErrorKind::NoSpace } else { ErrorKind::Other };
    let message =
        format!("cannot write to the scratch disk: {error}; free some space, or give it a larger one");
    Error::new(kind, message).temporary(true)
}

#[cfg(test)]
mod tests {
    use storage::{Fault, Faulty, Memory, Op, put_bytes};

    use super::*;

    async fn store() -> Faulty<Memory> {
        let store = Faulty::new(Memory::new("bucket"));
        for name in ["a", "b", "c"] {
            put_bytes(&store, &key(name), name.repeat(100), storage::Put::default()).await.unwrap();
        }
        store
    }

    fn files(fetched: &Fetched) -> usize {
        std::fs::read_dir(&fetched.folder).unwrap().count()
    }

    fn key(name: &str) -> Key {
        Key::parse(name).unwrap()
    }

    #[tokio::test]
    async fn an_object_is_fetched_once_and_kept_while_there_is_room() {
        let folder = tempfile::tempdir().unwrap();
        let (fetched, store) = (Fetched::new(folder.path().into(), 150), store().await);
        let a = fetched.get(&store, &key("a"), None).await.unwrap();
        assert_eq!(std::fs::read_to_string(a.path()).unwrap(), "a".repeat(100));
        assert_eq!(*a.digest(), storage::digest_of(&store, &key("a"), None).await.unwrap());
        let before = store.calls(Op::Get);
        let b = key("b");
        let (one, two) = tokio::join!(fetched.get(&store, &b, None), fetched.get(&store, &b, None));
        let one = one.unwrap();
        assert_eq!((one.path(), store.calls(Op::Get)), (two.as_ref().unwrap().path(), before + 1));
        fetched.get(&store, &key("a"), None).await.unwrap();
        assert_eq!(store.calls(Op::Get), before + 1);
        assert_eq!(files(&fetched), 2);
        // What is in use is not counted; of the others one fits, and what was used first goes.
        drop(fetched.get(&store, &key("c"), None).await.unwrap());
        assert_eq!(files(&fetched), 3);
        let (kept, gone) = (a.path().to_owned(), two.unwrap().path().to_owned());
        drop((a, one));
        fetched.get(&store, &key("c"), None).await.unwrap();
        assert!(kept.exists() && !gone.exists());
        drop(fetched);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn what_one_who_was_killed_has_left_is_in_nobodys_way() {
        let folder = tempfile::tempdir().unwrap();
        let fetched = Fetched::new(folder.path().into(), 1000);
        std::fs::create_dir(&fetched.folder).unwrap();
        std::fs::write(fetched.folder.join("0"), "half of").unwrap();
        let held = fetched.get(&store().await, &key("a"), None).await.unwrap();
        assert_eq!(std::fs::read_to_string(held.path()).unwrap(), "a".repeat(100));
    }

    /// What was cut off in the middle leaves nothing, and is fetched again.
    #[tokio::test]
    async fn a_broken_fetch_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (fetched, store) = (Fetched::new(folder.path().into(), 1000), store().await);
        store.on(Op::Get, 1, Fault::Cut { after: 10 });
        assert!(fetched.get(&store, &key("a"), None).await.is_err());
        assert_eq!(files(&fetched), 0);
        let held = fetched.get(&store, &key("a"), None).await.unwrap();
        assert_eq!(held.digest().size, 100);
    }
}
