//! A folder as a store.
//!
//! - An object is the file `<root>/<key>`. Folders appear as keys need them and are never removed.
//! - A write goes to `<root>/.videorec/tmp`, is hashed and fsynced there, then renamed, and the folders are fsynced:
//!   a reader, also after a power cut, finds either all of it or nothing.
//! - A version is size, time of modification and inode number. Restoring the folder from a backup therefore changes
//!   every version (and with it drops the tags), which costs a look at each object and nothing else.
//! - Paths are walked folder by folder from the opened root without following symbolic links, so that no key leads
//!   outside, whatever somebody puts below the root. The root itself may be a link.
//! - Files with names that are no plain [`Key`] are not objects: neither listed nor touched. Neither is `.videorec`.
//!   A key that is not plain is refused before any path is made of it.
//! - Several processes may use one root: temporary files are locked by who writes them, deleting and overwriting by
//!   a lock on the folder.

use std::{
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use domain::Digest;

use self::{tree::Tree, writing::Writing};
use crate::{Body, Error, Health, Key, Meta, Put, Store, Tags, Upload, off_thread::off_thread};

mod adopt;
mod list;
mod probe;
mod reading;
mod tags;
mod temporary;
#[cfg(test)]
mod tests;
mod tree;
mod writing;

/// A folder as a store; see the module for its layout.
#[derive(Debug, Clone)]
pub struct Disk {
    tree: Arc<Tree>,
}

impl Disk {
    /// Opens the folder, makes it if need be, and removes what writers that died have left behind. Blocks: for
    /// start-up.
    pub fn open(name: impl Into<String>, root: impl AsRef<Path>) -> Result<Self, Error> {
        let tree = Tree::open(name.into(), root.as_ref())?;
        temporary::sweep(&tree)?;
        Ok(Self { tree: Arc::new(tree) })
    }

    /// Runs blocking work on the tree where it stalls nobody.
    async fn run<T: Send + 'static>(
        &self,
        key: &Key,
        work: impl FnOnce(&Arc<Tree>, &Key) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.takes(key)?;
        let (tree, key) = (self.tree.clone(), key.clone());
        off_thread(move || work(&tree, &key)).await
    }

    /// Promise 12: only a plain key becomes a path.
    fn takes(&self, key: &Key) -> Result<(), Error> {
        if key.is_plain() { Ok(()) } else { Err(Error::not_plain(self.name(), key)) }
    }
}

#[async_trait]
impl Store for Disk {
    fn name(&self) -> &str {
        &self.tree.name
    }

    async fn head(&self, key: &Key) -> Result<Meta, Error> {
        self.run(key, |tree, key| tree.head(key)).await
    }

    async fn get(&self, key: &Key, version: Option<&str>, range: Option<Range<u64>>) -> Result<Body, Error> {
        let version = version.map(str::to_owned);
        reading::body(self.run(key, |tree, key| reading::open(tree, key, version, range)).await?)
    }

    async fn create(&self, key: &Key, options: Put) -> Result<Box<dyn Upload>, Error> {
        self.takes(key)?;
        Ok(Box::new(Writing::new(self.tree.clone(), key.clone(), options)))
    }

    async fn list(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<Vec<Meta>, Error> {
        let (tree, prefix, after) = (self.tree.clone(), prefix.to_owned(), after.cloned());
        off_thread(move || list::page(&tree, &prefix, after.as_ref(), limit)).await
    }

    async fn delete(&self, key: &Key, version: &str) -> Result<(), Error> {
        let version = version.to_owned();
        self.run(key, move |tree, key| {
            tree.delete(key, &version)?;
            tags::forget(tree, key);
            Ok(())
        })
        .await
    }

    async fn tags(&self, key: &Key) -> Result<Tags, Error> {
        self.run(key, |tree, key| tags::read(tree, key)).await
    }

    async fn set_tags(&self, key: &Key, tags: &Tags) -> Result<(), Error> {
        crate::store::check_tags(self.name(), key, tags)?;
        let tags = tags.clone();
        self.run(key, move |tree, key| tags::write(tree, key, tags)).await
    }

    fn local_path(&self, key: &Key) -> Option<PathBuf> {
        key.is_plain().then(|| self.tree.path.join(key.as_str()))
    }

    async fn adopt(&self, key: &Key, file: &Path, options: Put) -> Result<(Meta, Digest), Error> {
        self.takes(key)?;
        match adopt::by_renaming(&self.tree, key, file, options).await? {
            Some(adopted) => Ok(adopted),
            None => crate::stream::adopt_by_streaming(self, key, file, options).await,
        }
    }

    async fn check(&self) -> Result<Health, Error> {
        let tree = self.tree.clone();
        off_thread(move || probe::probe(&tree)).await
    }
}
