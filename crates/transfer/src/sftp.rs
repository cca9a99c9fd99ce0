//! SFTP, as a destination: OpenSSH's server and whatever else speaks version 3 over SSH.
//!
//! - The server is known by the SHA-256 fingerprints of its keys, which are pinned. An unknown key is refused as a changed one is;
//!   there is no trust on first use.
//! - Many requests of 32 KiB are under way at once: [`Options::in_flight`]. Larger ones corrupted files on some servers.
//! - One connection carries about 70 MB/s where the server is 20 ms away, whoever the client is. So large files go in pieces over
//!   several connections when an answer takes long.
//! - A replacing rename is OpenSSH's `posix-rename`, in one step. Where a server has none, the old file is removed first, and for a
//!   moment there is neither; one that refuses to rename at all needs [`Options::renames`] off.
//! - No request has a deadline of its own: one fails when nothing at all came from the server for [`Options::patience`]. A slow
//!   line is not a dead one.

use std::{fmt, ops::Range, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use domain::Timestamp;
use futures::{StreamExt as _, TryStreamExt as _};

#[cfg(feature = "rsync")]
pub(crate) use self::command::{Command, Said};
use self::{
    failure::Blame,
    files::{POSIX_RENAME, Server},
    pool::Pool,
};
use crate::{
    Body, Destination, Error, ErrorKind, Files, Health, Limits, Listing, Meta, Name, Put, Secret, Sent,
    Source, body, inert, names::Rules, partial, put_by_renaming, put_in_place,
};

#[cfg(feature = "rsync")]
mod command;
mod connect;
mod failure;
mod files;
mod lanes;
mod pool;
mod session;
#[cfg(test)]
mod tests;
mod walk;
mod wire;

/// A folder on an SFTP server; see the module.
#[derive(Clone)]
pub struct Sftp {
    blame: Blame,
    pool: Arc<Pool>,
}

/// How to reach a server and what it can take. [`Options::new`]'s are right for OpenSSH.
#[derive(Debug, Clone)]
pub struct Options {
    pub host: String,
    pub port: u16,
    pub user: String,
    /// Tried in this order; a server may want several of them.
    pub auth: Vec<Auth>,
    /// Fingerprints (`SHA256:…`, as `ssh-keygen -lf` shows them) of the keys that the server may have. None: nothing is let pass,
    /// and the error shows the one to pin.
    pub host_keys: Vec<String>,
    /// The folder on the server that names are below: from where it lets us in, or absolute. Empty is where it lets us in.
    pub root: String,
    pub names: Rules,
    /// Connections at once, of all transfers together.
    pub connections: usize,
    /// Connections that one large file is spread over where the server is far away.
    pub streams: usize,
    /// How long an answer takes from a server that is far away.
    pub far: Duration,
    /// Requests of one file under way at once on one connection.
    pub in_flight: usize,
    /// Bytes of one read or write.
    pub block: u32,
    /// How long nothing may come from the server while it is asked something.
    pub patience: Duration,
    pub connect_within: Duration,
    /// One write after the other, for servers that mix them up.
    pub serial_writes: bool,
    /// One read after the other.
    pub serial_reads: bool,
    /// Whether the server can be asked about an open file; else it is asked by name.
    pub fstat: bool,
    /// Whether files are given their time.
    pub times: bool,
    /// Whether the server is asked to write to its disk before it answers, where it can.
    pub fsync: bool,
    /// Whether the server lets files be renamed. Without it files are written under their own names, and are seen there before they
    /// are whole: use it with `on_conflict: replace` only.
    pub renames: bool,
}

/// How we show who we are.
#[derive(Debug, Clone)]
pub enum Auth {
    /// Also the answer to a server that asks for it as a question.
    Password(Secret),
    /// A private key's text, in OpenSSH's or PKCS#8's form.
    Key { key: Secret, passphrase: Option<Secret> },
    /// Whatever keys the agent at this socket has.
    Agent { socket: PathBuf },
}

impl Options {
    pub fn new(host: impl Into<String>, user: impl Into<String>) -> Self {
        Self {
            host: host.into(),
            port: 22,
            user: user.into(),
            auth: Vec::new(),
            host_keys: Vec::new(),
            root: String::new(),
            names: Rules::default(),
            connections: 4,
            streams: 4,
            far: Duration::from_millis(5),
            in_flight: 64,
            block: 32 << 10,
            patience: Duration::from_secs(60),
            connect_within: Duration::from_secs(30),
            serial_writes: false,
            serial_reads: false,
            fstat: true,
            times: true,
            fsync: true,
            renames: true,
        }
    }

    fn server(&self) -> String {
        format!("the server `{}:{}`", inert(&self.host), self.port)
    }
}

impl Sftp {
    /// Connects when it is first asked for something.
    pub fn new(name: impl Into<String>, options: Options) -> Self {
        let name: String = name.into();
        Self { blame: Blame { name: name.into(), options: Arc::new(options) }, pool: Arc::new(Pool::new()) }
    }

    fn options(&self) -> &Options {
        &self.blame.options
    }

    async fn server(&self) -> Result<Server, Error> {
        let session = self.pool.session(&self.blame.name, self.options()).await?;
        Ok(Server { session, blame: self.blame.clone() })
    }

    fn path(&self, name: &Name) -> String {
        match self.options().root.as_str() {
            "" => name.as_str().to_owned(),
            root if root.ends_with('/') => format!("{root}{}", name.as_str()),
            root => format!("{root}/{}", name.as_str()),
        }
    }

    fn root(&self) -> &str {
        if self.options().root.is_empty() { "." } else { &self.options().root }
    }

    /// We make folders below the one that was agreed on, and not that one: where it is missing, somebody has made a mistake.
    async fn root_is_there(&self, server: &Server) -> Result<(), Error> {
        let root = self.root();
        if server.stat(root).await?.is_some_and(|a| a.is_folder()) {
            return Ok(());
        }
        let (name, shown) = (self.name(), inert(root));
        let message = format!(
            "destination `{name}`: the folder `{shown}` is not there on {}; have it made, or name another in its url",
            self.options().server()
        );
        Err(Error::new(ErrorKind::Invalid, message))
    }
}

#[async_trait]
impl Destination for Sftp {
    fn name(&self) -> &str {
        &self.blame.name
    }

    fn limits(&self) -> Limits {
        let options = self.options();
        Limits {
            names: options.names.clone(),
            max_size: None,
            resumes: options.renames,
            lists: true,
            keeps_times: options.times && options.renames,
            // What the draft says, and OpenSSH does.
            refuses_to_replace: options.renames,
            hashes: Vec::new(),
        }
    }

    async fn stat(&self, name: &Name) -> Result<Option<Meta>, Error> {
        let found = self.server().await?.stat(&self.path(name)).await?;
        Ok(found.filter(wire::Attributes::is_file).map(|attributes| meta(name.clone(), &attributes)))
    }

    async fn put(&self, name: &Name, source: &dyn Source, put: &Put) -> Result<Sent, Error> {
        if self.options().renames {
            put_by_renaming(self, name, source, put).await
        } else {
            put_in_place(self, name, source, put).await
        }
    }

    async fn get(&self, name: &Name, range: Option<Range<u64>>) -> Result<Body, Error> {
        let (server, path) = (self.server().await?, self.path(name));
        let file = server.open(&path, wire::open::READ).await?;
        let attributes = if self.options().fstat {
            server.fstat(&file, &path).await?
        } else {
            server.stat(&path).await?.ok_or_else(|| Error::not_found(self.name(), name))?
        };
        if !attributes.is_file() {
            return Err(Error::not_found(self.name(), name));
        }
        let (from, to) = body::clamp(range, attributes.size.unwrap_or(0));
        lanes::read(self, server, file, path, from..to).await
    }

    fn list<'a>(&'a self, folder: Option<&Name>) -> Listing<'a> {
        let files = walk::files(self, folder.cloned()).try_filter_map(|found| async move {
            // Names that are none, partial files among them, are nobody's business.
            Ok(Name::join(found.folder.as_ref(), &found.file).ok().map(|name| meta(name, &found.attributes)))
        });
        files.boxed()
    }

    async fn remove(&self, name: &Name) -> Result<(), Error> {
        self.server().await?.remove(&self.path(name)).await
    }

    async fn mkdirs(&self, folder: &Name) -> Result<(), Error> {
        let server = self.server().await?;
        // From below: mostly only the last one is missing.
        let mut missing = Vec::new();
        let mut at = Some(folder.clone());
        while let Some(folder) = at {
            if server.stat(&self.path(&folder)).await?.is_some_and(|a| a.is_folder()) {
                break;
            }
            at = folder.folder();
            missing.push(folder);
        }
        if missing.last().is_some_and(|top| top.folder().is_none()) {
            self.root_is_there(&server).await?;
        }
        for folder in missing.iter().rev() {
            server.mkdir(&self.path(folder)).await?;
        }
        Ok(())
    }

    async fn rename(&self, from: &Name, to: &Name, replace: bool) -> Result<(), Error> {
        let server = self.server().await?;
        let (old, new) = (self.path(from), self.path(to));
        let mut renamed = if replace && server.session.has(POSIX_RENAME) {
            server.posix_rename(&old, &new).await?
        } else {
            server.rename(&old, &new).await?
        };
        let Err(mut status) = renamed else { return Ok(()) };
        if server.stat(&old).await?.is_none() {
            return Err(Error::not_found(self.name(), from));
        }
        let there = server.stat(&new).await?;
        // No file takes the place of a folder.
        if there.as_ref().is_some_and(|there| there.is_folder() || !replace) {
            return Err(Error::exists(self.name(), to));
        }
        if there.is_some_and(|there| there.is_file()) {
            server.remove(&new).await?;
            renamed = server.rename(&old, &new).await?;
            match renamed {
                Ok(()) => return Ok(()),
                Err(again) => status = again,
            }
        }
        let error = self.blame.status("give its name to", to, &status);
        if error.kind() == ErrorKind::NotFound {
            return Err(error);
        }
        let message = format!(
            "{error}; where a server refuses every rename, say so for this destination (`rename: refused`), and files are written \
             under their own names"
        );
        Err(Error::new(error.kind(), message).temporary(error.is_temporary()))
    }

    async fn sweep(&self, folder: Option<&Name>, before: Timestamp) -> Result<u64, Error> {
        let mut files = std::pin::pin!(walk::files(self, folder.cloned()));
        let mut removed = 0;
        while let Some(found) = files.try_next().await? {
            let name = Name::reserved(found.folder.as_ref(), &found.file);
            if partial::is_partial(&found.file) && modified(&found.attributes).is_some_and(|at| at < before) {
                self.remove(&name).await?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    async fn check(&self) -> Result<Health, Error> {
        let probe = Bytes::from_static(&[0xA5; 4096]);
        let token = format!("probe {} {:p}", std::process::id(), Arc::as_ptr(&self.pool));
        let name = partial::of(&Name::reserved(None, "probe"), &token);
        let wrote = self.append(&name, 0, &probe).await;
        let removed = self.remove(&name).await;
        wrote?;
        removed?;
        let room = self.server().await?.room(self.root()).await?;
        Ok(Health { free: room.map(|r| r.0), capacity: room.map(|r| r.1) })
    }
}

#[async_trait]
impl Files for Sftp {
    async fn append(&self, partial: &Name, from: u64, source: &dyn Source) -> Result<u64, Error> {
        let server = self.server().await?;
        match lanes::write(self, server.clone(), &self.path(partial), from, source).await {
            // In the root itself: there is no folder to make for it.
            Err(e) if e.kind() == ErrorKind::NotFound && partial.folder().is_none() => {
                self.root_is_there(&server).await?;
                Err(e)
            }
            written => written,
        }
    }

    async fn settle(&self, partial: &Name, name: &Name, put: &Put) -> Result<(), Error> {
        if let Some(modified) = put.modified.filter(|_| self.options().times) {
            let seconds = u32::try_from(modified.as_millis().div_euclid(1000)).unwrap_or(0);
            self.server().await?.set_time(&self.path(partial), seconds).await?;
        }
        self.rename(partial, name, put.replace).await
    }

    /// As many as may be under way: a server may take them in any order.
    fn rewind(&self) -> u64 {
        let options = self.options();
        let streams = options.streams.clamp(1, options.connections.max(1));
        (streams * options.in_flight) as u64 * u64::from(options.block)
    }
}

fn meta(name: Name, attributes: &wire::Attributes) -> Meta {
    Meta { name, size: attributes.size.unwrap_or(0), modified: modified(attributes), hash: None }
}

fn modified(attributes: &wire::Attributes) -> Option<Timestamp> {
    attributes.modified.map(|seconds| Timestamp(i64::from(seconds) * 1000))
}

impl fmt::Debug for Sftp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options = self.options();
        let (user, host, port) = (inert(&options.user), inert(&options.host), options.port);
        write!(f, "Sftp({}, sftp://{user}@{host}:{port}/{})", self.blame.name, inert(&options.root))
    }
}
