//! Sources that had to be fetched, kept on the scratch disk while they are used and for a while after: an object is
//! hashed, probed and converted one after the other, mostly by one worker, and is read from its bucket once.

use std::{
    collections::HashMap,
    io::Write as _,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use domain::{Digest, Hasher};
use futures::StreamExt as _;
use storage::{Body, Error, ErrorKind, Key, Store};
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
    /// `folder`: this worker's own, on the scratch disk.
    pub fn new(folder: PathBuf, spare: u64) -> Self {
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
        let path = self.folder.join(format!("fetched-{number}"));
        let fetched = entry.file.get_or_try_init(|| async {
            let body = store.get(key, version, None).await?;
            write(body, path).await
        });
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

fn name_of(store: &dyn Store, key: &Key, version: Option<&str>) -> Name {
    (store.name().to_owned(), key.as_str().to_owned(), version.unwrap_or_default().to_owned())
}

/// Writes a body to a file, hashing it on the way. The file is gone again if that does not succeed.
async fn write(mut body: Body, path: PathBuf) -> Result<(File, Digest), Error> {
    let disk = |e: std::io::Error| {
        let kind =
            if e.kind() == std::io::ErrorKind::StorageFull { ErrorKind::NoSpace } else { ErrorKind::Other };
        Error::new(
            kind,
            format!("cannot write to the scratch disk: {e}; free some space, or give it a larger one"),
        )
        .temporary(true)
    };
    let mut out = std::fs::File::create(&path).map_err(disk)?;
    let file = File { path };
    let mut hasher = Hasher::new();
    while let Some(chunk) = body.next().await {
        let chunk = chunk?;
        // A megabyte takes about two milliseconds: too long for a thread that others wait for.
        let written = tokio::task::spawn_blocking(move || {
            hasher.update(&chunk);
            out.write_all(&chunk).map(|()| (out, hasher))
        });
        let written = written.await;
        let written =
            written.map_err(|e| Error::new(ErrorKind::Other, format!("fetching stopped: {e}; try again")))?;
        (out, hasher) = written.map_err(disk)?;
    }
    Ok((file, hasher.finish()))
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
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
        // What is in use is not counted; of the others one fits, and what was used first goes.
        drop(fetched.get(&store, &key("c"), None).await.unwrap());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3);
        let (kept, gone) = (a.path().to_owned(), two.unwrap().path().to_owned());
        drop((a, one));
        fetched.get(&store, &key("c"), None).await.unwrap();
        assert!(kept.exists() && !gone.exists());
    }

    /// What was cut off in the middle leaves nothing, and is fetched again.
    #[tokio::test]
    async fn a_broken_fetch_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (fetched, store) = (Fetched::new(folder.path().into(), 1000), store().await);
        store.on(Op::Get, 1, Fault::Cut { after: 10 });
        assert!(fetched.get(&store, &key("a"), None).await.is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        let held = fetched.get(&store, &key("a"), None).await.unwrap();
        assert_eq!(held.digest().size, 100);
    }
}
