use std::{
    collections::BTreeMap,
    fmt::Debug,
    ops::Range,
    path::{Path, PathBuf},
    pin::Pin,
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use domain::{Digest, Timestamp};
use futures::Stream;

use crate::{
    Error, ErrorKind, Key, LifecycleRule, Speed, Tier, WriteAt,
    lifecycle::{no_lifecycle, with_tag},
    tier::no_classes,
};

/// Bytes under keys.
///
/// Two things hold for every backend: nothing is visible under a key before it is complete (see [`Upload`]),
/// and memory does not grow with an object's size. The suite in [`mod@crate::contract`] says the rest.
///
/// A call whose future is dropped, or whose answer is an error with [`Error::is_temporary`], may have had its
/// effect all the same, as over any network: ask again, or repeat it with `if_absent`.
#[async_trait]
pub trait Store: Send + Sync + Debug {
    /// The name that the configuration gives it; errors and the catalog use it.
    fn name(&self) -> &str;

    /// Whether a version may be remembered: it goes on naming the same bytes, and reading it either gives them or
    /// fails.
    fn versions_endure(&self) -> bool {
        false
    }

    /// The current version. Errors: `NotFound`.
    async fn head(&self, key: &Key) -> Result<Meta, Error>;

    /// Bytes of the current version, or of the given one. A range's end is clamped to the object's size; a range
    /// that begins at or behind it is an empty body. Errors: `NotFound`; `Changed` when the store no longer has
    /// that version.
    async fn get(&self, key: &Key, version: Option<&str>, range: Option<Range<u64>>) -> Result<Body, Error>;

    /// As [`Store::get`] of all of it, for whoever can put bytes where they belong: several stretches may come at once, in any
    /// order. How many bytes it has. After an error any of them may be there. Errors: as for [`Store::get`]; those of `into`;
    /// `Corrupt` when they are not what the store keeps, where it knows.
    async fn download(&self, key: &Key, version: Option<&str>, into: &dyn WriteAt) -> Result<u64, Error> {
        crate::write_in_order(self.get(key, version, None).await?, into, |e| e).await
    }

    /// Begins a streaming write.
    async fn create(&self, key: &Key, options: Put) -> Result<Box<dyn Upload>, Error>;

    /// Begins a write whose beginning is known last, so that what comes behind it is on its way before. `None` where
    /// nothing is on a way: write it when it is whole.
    async fn create_head_last(&self, key: &Key, options: Put) -> Result<Option<Box<dyn HeadLast>>, Error> {
        let _ = (key, options);
        Ok(None)
    }

    /// Up to `limit` objects whose keys begin with `prefix` and come after `after`, in the order of the keys'
    /// bytes. A page shorter than `limit` is the last one.
    async fn list(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<Vec<Meta>, Error>;

    /// A copy within the store, without its tags. Errors as for `get` and [`Upload::commit`].
    async fn copy(&self, from: &Key, version: Option<&str>, to: &Key, options: Put) -> Result<Meta, Error> {
        let body = self.get(from, version, None).await?;
        Ok(crate::stream::pump(self.create(to, options).await?, body).await?.0)
    }

    /// A copy of another store's object that the service makes by itself, without its bytes passing through us. `None`
    /// when it cannot; then the bytes have to be streamed. What the service copies is compared with
    /// [`Put::expected`] first. Errors as for [`Store::copy`].
    async fn copy_from(
        &self,
        from: &dyn Store,
        key: &Key,
        version: Option<&str>,
        to: &Key,
        options: Put,
    ) -> Option<Result<Meta, Error>> {
        let _ = (from, key, version, to, options);
        None
    }

    /// Where the object lies in its service, for other stores' [`Store::copy_from`].
    fn origin(&self, key: &Key) -> Option<Origin> {
        let _ = key;
        None
    }

    /// Removes exactly that version. Errors: `NotFound`; `Changed` when another version is there now, which then
    /// stays untouched.
    async fn delete(&self, key: &Key, version: &str) -> Result<(), Error>;

    /// Removes the object with everything that is kept of it: all of its versions. What was removed; nothing where there
    /// is nothing. Errors: `Changed` when another version than the given one is current, and then nothing is removed.
    async fn erase(&self, key: &Key, version: Option<&str>) -> Result<Vec<Meta>, Error> {
        let meta = match self.head(key).await {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            meta => meta?,
        };
        self.delete(key, version.unwrap_or(&meta.version)).await?;
        Ok(vec![meta])
    }

    /// Tags of the current version. Errors: `NotFound`.
    async fn tags(&self, key: &Key) -> Result<Tags, Error>;

    /// Replaces all tags of the current version; they go when it is overwritten. Errors: `NotFound`; `Invalid`
    /// for more than [`MAX_TAGS`] or too long ones.
    async fn set_tags(&self, key: &Key, tags: &Tags) -> Result<(), Error>;

    /// Gives exactly that version one tag, or takes it, and keeps its others. Who tags at the same moment may lose what he
    /// wrote: S3 knows no condition on that. Errors: as for [`Store::set_tags`]; `Changed` when another version is there now.
    async fn set_tag(&self, key: &Key, version: &str, name: &str, value: Option<&str>) -> Result<(), Error> {
        let meta = self.head(key).await?;
        if meta.version != version {
            return Err(Error::changed(self.name(), key, version, &meta.version));
        }
        let before = self.tags(key).await?;
        let after = with_tag(&before, name, value);
        if after == before { Ok(()) } else { self.set_tags(key, &after).await }
    }

    /// Where the object is a plain file that a child process may read in place. Says nothing about whether it
    /// exists.
    fn local_path(&self, key: &Key) -> Option<PathBuf> {
        let _ = key;
        None
    }

    /// Takes over a finished local file, hashed while read. The file is gone afterwards and untouched after an
    /// error. Nobody may write to it any more.
    async fn adopt(&self, key: &Key, file: &Path, options: Put) -> Result<(Meta, Digest), Error> {
        crate::stream::adopt_by_streaming(self, key, file, options).await
    }

    /// The class that the object is kept in, and whether it can be read now. Errors: `NotFound`; `Changed` when another
    /// version is there now; `Invalid` where there are no classes.
    async fn tier(&self, key: &Key, version: &str) -> Result<Tier, Error> {
        let _ = (key, version);
        Err(no_classes(self.name()))
    }

    /// Moves the object to another class, with its tags. It is another version afterwards. Errors: as for
    /// [`Store::tier`]; `Archived` when it has to be restored first.
    async fn set_class(&self, key: &Key, version: &str, class: &str) -> Result<Meta, Error> {
        let _ = (key, version, class);
        Err(no_classes(self.name()))
    }

    /// Asks for the object to be readable for so many days; [`Store::tier`] tells when it is. Safe to repeat. Errors: as
    /// for [`Store::tier`].
    async fn restore(&self, key: &Key, version: &str, days: u32, speed: Speed) -> Result<(), Error> {
        let _ = (key, version, days, speed);
        Err(no_classes(self.name()))
    }

    /// The store's own rules that put objects into other classes, as they were at most so long ago: services let them be asked
    /// for only so often. Errors: `Invalid` where there are no such rules to be had.
    async fn lifecycle(&self, at_most: Duration) -> Result<Vec<LifecycleRule>, Error> {
        let _ = at_most;
        Err(no_lifecycle(self.name()))
    }

    /// Removes what writers that were killed before `before` left half, and counts it: it costs money and is seen by nobody.
    /// `before` must be earlier than the beginning of any write that may still go on. Where nothing of that kind is left,
    /// there is nothing to do.
    async fn sweep_uploads(&self, before: Timestamp) -> Result<u64, Error> {
        let _ = before;
        Ok(0)
    }

    /// Writes, reads and removes a probe, so that a full disk or a missing permission shows before work begins.
    async fn check(&self) -> Result<Health, Error>;
}

/// An object as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    pub key: Key,
    /// Bytes.
    pub size: u64,
    /// Opaque; differs after every overwrite with other bytes. Means something to the store that gave it only.
    pub version: String,
    /// When the store got these bytes, by its own clock. The answer to a write may be off by as long as that took.
    pub modified: Timestamp,
    /// The storage class, where it is another than the one that objects have unless something else is said.
    pub class: Option<String>,
}

/// An object's place in a service that holds several stores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// What two stores have in common when one can copy from the other.
    pub service: String,
    pub bucket: String,
    pub object: String,
}

/// Conditions of a write.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Put {
    /// Only when there is no such object yet: of many concurrent writers exactly one wins, the others get `Exists`.
    pub if_absent: bool,
    /// What the bytes must be; others are refused as `Corrupt` and never become visible.
    pub expected: Option<Digest>,
}

/// A write under way. Nothing is visible before `commit` has answered; dropping it is `abort`.
#[async_trait]
pub trait Upload: Send {
    /// Appends. After an error the upload is lost: begin a new one.
    async fn write(&mut self, bytes: Bytes) -> Result<(), Error>;

    /// Makes the object durable, then visible. Errors: `Exists`, `Corrupt` (see [`Put`]), `NoSpace`.
    async fn commit(self: Box<Self>) -> Result<(Meta, Digest), Error>;

    async fn abort(self: Box<Self>) -> Result<(), Error>;
}

/// A write under way whose first bytes come last. Nothing is visible before `commit` has answered; dropping it is `abort`.
#[async_trait]
pub trait HeadLast: Send {
    /// Appends to what comes behind the head. After an error the write is lost: begin a new one.
    async fn write(&mut self, bytes: Bytes) -> Result<(), Error>;

    /// Puts the head in front, of at least [`LEAST_HEAD`] bytes if anything follows it. Nothing is written after it.
    async fn head(&mut self, head: Bytes) -> Result<(), Error>;

    /// Makes the object durable, then visible. `whole` is what the caller has read of it by now: if that is not what was
    /// written, it is `Corrupt`, and nothing is stored. Errors: as for [`Upload::commit`].
    async fn commit(self: Box<Self>, whole: &Digest) -> Result<Meta, Error>;

    async fn abort(self: Box<Self>) -> Result<(), Error>;
}

/// An object's bytes in chunks of at most [`CHUNK`]. After an error the stream ends.
pub type Body = Pin<Box<dyn Stream<Item = Result<Bytes, Error>> + Send>>;

pub type Tags = BTreeMap<String, String>;

/// Bytes of room, where the store knows them (an object store does not).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Health {
    pub free: Option<u64>,
    pub capacity: Option<u64>,
}

/// Bytes in one chunk of a body at most.
pub const CHUNK: usize = 1 << 20;

/// Bytes in the head of a [`HeadLast`] at least: S3's limit for a part that others follow.
pub const LEAST_HEAD: usize = 5 << 20;

/// S3's limit on tags of one object.
pub const MAX_TAGS: usize = 10;

/// What S3 takes as tags, asked of every backend so that what works on a disk works in the cloud.
pub(crate) fn check_tags(store: &str, key: &Key, tags: &Tags) -> Result<(), Error> {
    let bad = |why: String| {
        Err(Error::new(ErrorKind::Invalid, format!("store `{store}` cannot tag object `{key}`: {why}")))
    };
    if tags.len() > MAX_TAGS {
        return bad(format!("{} tags, at most {MAX_TAGS} are allowed", tags.len()));
    }
    for (name, value) in tags {
        if name.is_empty() || name.chars().count() > 128 || value.chars().count() > 256 {
            let name = crate::key::inert(name);
            return bad(format!("the name `{name:.40}` has 1 to 128 characters and its value at most 256"));
        }
        // As S3 has it: letters, numbers and spaces of any script, and these.
        let allowed = |c: char| c.is_alphanumeric() || c == ' ' || "_.:/=+-@".contains(c);
        if name.starts_with("aws:") || !name.chars().chain(value.chars()).all(allowed) {
            return bad(format!(
                "in `{}`=`{}` only letters, numbers, spaces and `_.:/=+-@` are allowed, and no name begins with `aws:`",
                crate::key::inert(name),
                crate::key::inert(value)
            ));
        }
    }
    Ok(())
}

/// Refuses a finished upload whose bytes are not the announced ones.
pub(crate) fn check_expected(store: &str, key: &Key, options: &Put, found: &Digest) -> Result<(), Error> {
    match &options.expected {
        Some(expected) if expected != found => {
            Err(Error::corrupt(store, key, expected, found, "nothing was stored; read the source again"))
        }
        _ => Ok(()),
    }
}
