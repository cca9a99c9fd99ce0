use std::{fmt::Debug, ops::Range, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use domain::{Digest, Timestamp, Verify};
use futures::stream::BoxStream;
use storage::WriteAt;
use tokio::time::Instant;

use crate::{Algorithm, Checksum, Error, Name, Source, body, names::Rules};

/// A place that is not ours, where files are put, looked at, and fetched from.
///
/// A call whose future is dropped, or whose answer is an error with [`Error::is_temporary`], may have had its effect all the
/// same, as over any network: [`deliver`](crate::deliver()) looks before it writes. The suite in [`mod@crate::contract`] says the
/// rest.
#[async_trait]
pub trait Destination: Send + Sync + Debug {
    /// The name that the configuration gives it; errors use it.
    fn name(&self) -> &str;

    /// What it can do, as far as is known without asking the server.
    fn limits(&self) -> Limits;

    /// The file as it is now; `None` when there is none, also when there is a folder of that name.
    async fn stat(&self, name: &Name) -> Result<Option<Meta>, Error>;

    /// Writes a whole file, as [`Put`] says; folders on the way to it are made. Errors: `Exists`, `Corrupt`, `NoSpace`, `Source`.
    async fn put(&self, name: &Name, source: &dyn Source, put: &Put) -> Result<Sent, Error>;

    /// A file's bytes in chunks of at most [`CHUNK`](crate::CHUNK). A range's end is clamped to the file's size; a range that
    /// begins at or behind it is an empty body. Errors: `NotFound`.
    async fn get(&self, name: &Name, range: Option<Range<u64>>) -> Result<Body, Error>;

    /// As [`Destination::get`] of all of it, for whoever can put bytes where they belong: they may come in any order, several
    /// stretches at once. How many bytes it has. After an error any of them may be there. Errors: as for [`Destination::get`].
    async fn download(&self, name: &Name, into: &dyn WriteAt) -> Result<u64, Error> {
        body::in_order(self.get(name, None).await?, into).await
    }

    /// All files in a folder and below it, in any order; `None` is the root. Partial files are not among them, nor are names
    /// that no [`Name`] can be. A folder that is not there has no files.
    fn list<'a>(&'a self, folder: Option<&Name>) -> Listing<'a>;

    /// Removes a file. It is no error when there is none.
    async fn remove(&self, name: &Name) -> Result<(), Error>;

    /// Makes the folder and those on the way to it, where they are missing.
    async fn mkdirs(&self, folder: &Name) -> Result<(), Error>;

    /// Gives a file another name. Errors: `NotFound`; `Exists` when that name is taken and it is not to be replaced.
    async fn rename(&self, from: &Name, to: &Name, replace: bool) -> Result<(), Error>;

    /// What the server says the file's hash is, in one of [`Limits::hashes`]; `None` when it does not say, and then the file has
    /// to be read back.
    async fn hash(&self, name: &Name) -> Result<Option<Checksum>, Error> {
        let _ = name;
        Ok(None)
    }

    /// Removes partial files in a folder and below it that were last written before `before`, and counts them: writers that died
    /// leave them. `before` must be earlier than the last write of any transfer that may still go on.
    async fn sweep(&self, folder: Option<&Name>, before: Timestamp) -> Result<u64, Error>;

    /// Whether it can be reached and written to, and what room it has.
    async fn check(&self) -> Result<Health, Error>;
}

/// Whoever wires things hands them around.
#[async_trait]
impl<D: Destination + ?Sized> Destination for Arc<D> {
    fn name(&self) -> &str {
        (**self).name()
    }

    fn limits(&self) -> Limits {
        (**self).limits()
    }

    async fn stat(&self, name: &Name) -> Result<Option<Meta>, Error> {
        (**self).stat(name).await
    }

    async fn put(&self, name: &Name, source: &dyn Source, put: &Put) -> Result<Sent, Error> {
        (**self).put(name, source, put).await
    }

    async fn get(&self, name: &Name, range: Option<Range<u64>>) -> Result<Body, Error> {
        (**self).get(name, range).await
    }

    async fn download(&self, name: &Name, into: &dyn WriteAt) -> Result<u64, Error> {
        (**self).download(name, into).await
    }

    fn list<'a>(&'a self, folder: Option<&Name>) -> Listing<'a> {
        (**self).list(folder)
    }

    async fn remove(&self, name: &Name) -> Result<(), Error> {
        (**self).remove(name).await
    }

    async fn mkdirs(&self, folder: &Name) -> Result<(), Error> {
        (**self).mkdirs(folder).await
    }

    async fn rename(&self, from: &Name, to: &Name, replace: bool) -> Result<(), Error> {
        (**self).rename(from, to, replace).await
    }

    async fn hash(&self, name: &Name) -> Result<Option<Checksum>, Error> {
        (**self).hash(name).await
    }

    async fn sweep(&self, folder: Option<&Name>, before: Timestamp) -> Result<u64, Error> {
        (**self).sweep(folder, before).await
    }

    async fn check(&self) -> Result<Health, Error> {
        (**self).check().await
    }
}

/// A file as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    pub name: Name,
    /// Bytes.
    pub size: u64,
    /// By the destination's clock; `None` where the protocol does not tell.
    pub modified: Option<Timestamp>,
    /// Where looking brings one along. [`Destination::hash`] may know more.
    pub hash: Option<Checksum>,
}

/// How a file is put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Put {
    /// What the bytes are. They have another name until they are known to be these, as far as `verify` asks.
    pub expected: Digest,
    pub verify: Verify,
    /// Whether a file of that name is replaced. Where it is not and the protocol cannot tell in one step, a file that comes
    /// into being in the same instant may be lost: [`Limits::refuses_to_replace`].
    pub replace: bool,
    /// The time that the file is given, where the destination keeps times.
    pub modified: Option<Timestamp>,
    /// When whoever calls saw that there is no such file: what was seen just now is not asked for again.
    pub absent: Option<Instant>,
}

impl Put {
    /// Whether there is no such file, as far as has just been seen.
    pub(crate) fn is_absent(&self) -> bool {
        self.absent.is_some_and(|seen| seen.elapsed() < MOMENT)
    }
}

/// A look that is older says nothing of now.
const MOMENT: Duration = Duration::from_secs(1);

/// How it was made sure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Checked {
    /// It was not asked for.
    None,
    Size,
    /// The server's hash of what it has is the right one.
    ServerHash(Algorithm),
    /// The service compared a checksum with what it stored before it took it.
    OnArrival,
    /// All bytes were read back, and their SHA-256 is the right one.
    ReadBack,
}

/// What a put did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    pub meta: Meta,
    /// Bytes that were sent this time.
    pub bytes: u64,
    /// Bytes that were there from an earlier attempt.
    pub resumed_from: u64,
    pub checked: Checked,
}

/// What a destination can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// What its file system makes of names.
    pub names: Rules,
    /// Bytes of the largest file.
    pub max_size: Option<u64>,
    /// After a cut, a transfer goes on where it was.
    pub resumes: bool,
    /// It can be asked what files there are.
    pub lists: bool,
    /// It gives files the time that they are to have.
    pub keeps_times: bool,
    /// A file that is not to be replaced is safe also from one that comes in the same instant.
    pub refuses_to_replace: bool,
    /// What [`Destination::hash`] may answer with, best first; empty where everything has to be read back.
    pub hashes: Vec<Algorithm>,
}

/// A file's bytes. After an error the stream ends.
pub type Body = BoxStream<'static, Result<Bytes, Error>>;

pub type Listing<'a> = BoxStream<'a, Result<Meta, Error>>;

/// Bytes of room, where the destination tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Health {
    pub free: Option<u64>,
    pub capacity: Option<u64>,
}
