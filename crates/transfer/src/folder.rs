//! A folder as a destination: local, or a mount of NFS, SMB or whatever the system can mount.
//!
//! - Paths are walked folder by folder from the root without following symbolic links: whoever else writes to the share cannot
//!   lead us out of it. The root itself may be a link.
//! - A file is fsynced under its partial name, then renamed, and the folder is fsynced.
//! - Before every step the root is looked at: a share that is not mounted is an empty folder on the system's own disk, which
//!   exports would fill. [`Presence`] says how that is known.
//! - What is read back comes from the medium as far as the system lets us ask for that (`fadvise`), not from what it still has
//!   in memory of our writing.

use std::{
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use domain::Timestamp;
use futures::{StreamExt as _, TryStreamExt as _};

use self::root::Root;
use crate::{
    Body, CHUNK, Destination, Error, Files, Health, Limits, Listing, Meta, Name, Put, Sent, Source, body,
    names::Rules, put_by_renaming,
};

mod root;
#[cfg(test)]
mod tests;
mod walk;

/// A folder as a destination; see the module.
#[derive(Debug, Clone)]
pub struct Folder {
    root: Arc<Root>,
}

/// How it is known that the root is what it should be, and not the empty folder that something was to be mounted on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Presence {
    /// A file of this name lies in it. The surest: whoever sets up the share puts it there.
    Marker(String),
    /// Something is mounted there.
    MountPoint,
    /// It exists: for a folder on a disk of our own.
    #[default]
    Exists,
}

impl Folder {
    /// Looks at nothing yet; every call does.
    pub fn new(name: impl Into<String>, root: impl AsRef<Path>, presence: Presence) -> Self {
        let root = Root { name: name.into(), path: root.as_ref().into(), presence, names: Rules::default() };
        Self { root: Arc::new(root) }
    }

    /// For file systems that take more names than Windows does.
    pub fn with_names(self, names: Rules) -> Self {
        Self { root: Arc::new(Root { names, ..(*self.root).clone() }) }
    }

    pub fn path(&self) -> PathBuf {
        self.root.path.clone()
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Root) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let root = self.root.clone();
        off_thread(move || work(&root)).await
    }
}

#[async_trait]
impl Destination for Folder {
    fn name(&self) -> &str {
        &self.root.name
    }

    fn limits(&self) -> Limits {
        Limits {
            names: self.root.names.clone(),
            max_size: None,
            resumes: true,
            lists: true,
            keeps_times: true,
            refuses_to_replace: true,
            hashes: Vec::new(),
        }
    }

    async fn stat(&self, name: &Name) -> Result<Option<Meta>, Error> {
        let name = name.clone();
        self.run(move |root| root.stat(&name)).await
    }

    async fn put(&self, name: &Name, source: &dyn Source, put: &Put) -> Result<Sent, Error> {
        put_by_renaming(self, name, source, put).await
    }

    async fn get(&self, name: &Name, range: Option<Range<u64>>) -> Result<Body, Error> {
        let opened = name.clone();
        let (file, size) = self.run(move |root| root.open(&opened)).await?;
        let (from, to) = body::clamp(range, size);
        let state = (self.root.clone(), name.clone(), Arc::new(file), from);
        let chunks = futures::stream::try_unfold(state, move |(root, name, file, at)| async move {
            if at >= to {
                return Ok(None);
            }
            let length = usize::try_from(to - at).unwrap_or(CHUNK).min(CHUNK);
            let read = file.clone();
            let chunk = off_thread(move || root::read_at(&read, at, length))
                .await
                .map_err(|e| Error::io(&root.name, "read", &name, &e))?;
            let next = at + chunk.len() as u64;
            Ok((!chunk.is_empty()).then_some((chunk, (root, name, file, next))))
        });
        Ok(chunks.boxed())
    }

    fn list<'a>(&'a self, folder: Option<&Name>) -> Listing<'a> {
        walk::list(self.root.clone(), folder.cloned())
    }

    async fn remove(&self, name: &Name) -> Result<(), Error> {
        let name = name.clone();
        self.run(move |root| root.remove(&name)).await
    }

    async fn mkdirs(&self, folder: &Name) -> Result<(), Error> {
        let folder = folder.clone();
        self.run(move |root| root.mkdirs(&folder)).await
    }

    async fn rename(&self, from: &Name, to: &Name, replace: bool) -> Result<(), Error> {
        let (from, to) = (from.clone(), to.clone());
        self.run(move |root| root.rename(&from, &to, replace)).await
    }

    async fn sweep(&self, folder: Option<&Name>, before: Timestamp) -> Result<u64, Error> {
        let folder = folder.cloned();
        self.run(move |root| walk::sweep(root, folder.as_ref(), before)).await
    }

    async fn check(&self) -> Result<Health, Error> {
        self.run(Root::probe).await
    }
}

#[async_trait]
impl Files for Folder {
    async fn append(&self, partial: &Name, from: u64, source: &dyn Source) -> Result<u64, Error> {
        let name = partial.clone();
        let mut file = self.run(move |root| root.open_partial(&name, from)).await?;
        let mut body = source.read_from(from).await?;
        let mut sent = 0;
        while let Some(chunk) = body.try_next().await? {
            sent += chunk.len() as u64;
            let name = partial.clone();
            file = self.run(move |root| root.write(file, &chunk, &name)).await?;
        }
        let name = partial.clone();
        self.run(move |root| root.sync(&file, &name)).await?;
        Ok(sent)
    }

    async fn settle(&self, partial: &Name, name: &Name, put: &Put) -> Result<(), Error> {
        let (partial, name, put) = (partial.clone(), name.clone(), put.clone());
        self.run(move |root| {
            if let Some(modified) = put.modified {
                root.set_time(&partial, modified)?;
            }
            root.rename(&partial, &name, put.replace)
        })
        .await
    }
}

/// Runs blocking work where it stalls nobody.
async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(stopped) => match stopped.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime shuts down: nobody waits for the answer any more.
            Err(_) => std::future::pending().await,
        },
    }
}
