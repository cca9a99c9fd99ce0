//! rsync over SSH, as a destination: for servers where a file is often sent anew with little in it changed.
//!
//! - The connection is ours, as it is for SFTP: the same pinned keys, the same secrets ([`sftp`]). On it the
//!   server runs `rsync --server`, and here the program `rsync` runs in the sandbox, without a network: in place of a remote shell
//!   it starts a relay of two named pipes, whose other ends we pass on.
//! - Looking, listing, fetching, removing and renaming go by SFTP over the same connection. A server that has rsync and no SFTP
//!   (`rrsync`) can therefore not be sent to.
//! - Where a file is replaced, the server first copies the old one, and only what differs is sent. After a cut only what is
//!   behind the partial file's end is.
//! - The server hashes by `sha256sum` what it has on its disk; where it has no such program, all is read back. rsync's own checksum
//!   is of what passed by, and not of what lies there.
//! - rsync reads files and no streams: what does not lie on this machine is first brought into [`Options::scratch`].
//! - Small files go by SFTP altogether: two programs take longer to start than such a file to send.

use std::{fmt, ops::Range, path::PathBuf, time::Duration};

use async_trait::async_trait;
use domain::Timestamp;
use sandbox::{Limits as Budgets, Sandbox, Spec, Stdin};
use tokio::sync::OnceCell;

use self::{
    run::{How, Run},
    shell::{NO_PROGRAM, quoted},
    staged::Staged,
};
use crate::{
    Algorithm, Body, Checksum, Destination, Error, ErrorKind, Files, Health, Limits, Listing, Meta, Name,
    Put, Sent, Sftp, Source, partial, put, put_by_renaming, sftp,
};

mod failure;
mod pipes;
mod run;
mod shell;
mod staged;
#[cfg(test)]
mod tests;

/// A folder on a server that has rsync and SFTP; see the module.
pub struct Rsync {
    files: Sftp,
    sandbox: Sandbox,
    options: Options,
    blame: Blame,
    /// Where names are below, from the server's root on.
    root: OnceCell<String>,
}

#[derive(Debug, Clone)]
pub struct Options {
    /// How the server is reached.
    pub ssh: sftp::Options,
    /// A folder on this machine with room for what is sent at a time.
    pub scratch: PathBuf,
    /// Bytes: smaller files go by SFTP.
    pub small: u64,
}

impl Options {
    pub fn new(ssh: sftp::Options, scratch: impl Into<PathBuf>) -> Self {
        Self { ssh, scratch: scratch.into(), small: 1 << 20 }
    }
}

/// Speaks of one server in errors.
#[derive(Debug)]
struct Blame {
    name: String,
    server: String,
}

impl Rsync {
    /// Connects when it is first asked for something.
    pub fn new(name: impl Into<String>, mut options: Options, sandbox: Sandbox) -> Self {
        // What is not whole has another name, or there is nothing to compare with.
        options.ssh.renames = true;
        let name = name.into();
        let files = Sftp::new(name.clone(), options.ssh.clone());
        let blame = Blame { name, server: files.address() };
        Self { files, sandbox, options, blame, root: OnceCell::new() }
    }

    async fn root(&self) -> Result<&str, Error> {
        Ok(self.root.get_or_try_init(|| self.files.real_root()).await?.trim_end_matches('/'))
    }

    /// From the server's root on.
    async fn path(&self, name: &Name) -> Result<String, Error> {
        Ok(format!("{}/{}", self.root().await?, name.as_str()))
    }

    /// The folder of that file, from the server's root on.
    async fn folder(&self, name: &Name) -> Result<String, Error> {
        match name.folder() {
            Some(folder) => self.path(&folder).await,
            None => Ok(format!("{}/", self.root().await?)),
        }
    }

    /// Puts a file in the place of another: what the two have in common is not sent. `None`: there is no other worth the trouble.
    async fn put_over(&self, name: &Name, source: &dyn Source, put: &Put) -> Result<Option<Sent>, Error> {
        put::check_source(self.name(), name, source, put)?;
        if self.stat(name).await?.is_none_or(|old| old.size < self.options.small) {
            return Ok(None);
        }
        // Not the name of one whose size says how much of it is right.
        let partial = partial::of(name, &format!("over {}", put::token(put)));
        match self.over(&partial, name, source, put).await {
            Err(e) => {
                put::forget(self, &partial, &e).await;
                Err(e)
            }
            sent => sent.map(Some),
        }
    }

    async fn over(&self, partial: &Name, name: &Name, source: &dyn Source, put: &Put) -> Result<Sent, Error> {
        let staged = Staged::of(source, 0, &self.options.scratch).await?;
        let size = source.size();
        match &staged.broken {
            Some(e) => return Err(e.clone()),
            None if staged.end != size => return Err(put::short_source(name, staged.end, size)),
            None => {}
        }
        if self.files.stat(partial).await?.is_none() {
            self.copy(name, partial).await?;
        }
        let run = Run { local: staged.path(), partial, how: How::Differing, source };
        let bytes = self.send(&run).await?;
        self.files.make_durable(partial).await?;
        let (checked, modified) = put::check(self, partial, source, put).await?;
        self.settle(partial, name, put).await?;
        let modified = if self.limits().keeps_times { put.modified.or(modified) } else { modified };
        let meta = Meta { name: name.clone(), size, modified, hash: None };
        Ok(Sent { meta, bytes, resumed_from: 0, checked })
    }

    /// Has the server copy a file. Where it cannot, there is none: then all of the file is sent.
    async fn copy(&self, from: &Name, to: &Name) -> Result<(), Error> {
        let line = format!("cp {} {}", quoted(&self.path(from).await?), quoted(&self.path(to).await?));
        let (_, said) = self.files.ask_shell(&line, LONG).await?;
        if said.status == Some(0) { Ok(()) } else { self.remove(to).await }
    }

    /// Whether rsync is there, and here.
    async fn has_rsync(&self) -> Result<(), Error> {
        let (_, said) = self.files.ask_shell("rsync --version", SHORT).await?;
        match said.status {
            Some(0) => {}
            Some(status) if NO_PROGRAM.contains(&status) => return Err(self.blame.lacks_rsync()),
            _ => {
                let ended = failure::Ended { code: Some(1), said, ..failure::Ended::default() };
                return Err(self.blame.ended("anything", &ended));
            }
        }
        let folder = tempfile::Builder::new().prefix("rsync-").tempdir_in(&self.options.scratch);
        let folder = folder.map_err(|e| self.blame.not_here(&e))?;
        let spec = Spec {
            program: "rsync".into(),
            args: vec!["--version".into()],
            dir: folder.path().to_owned(),
            read: Vec::new(),
            limits: BUDGETS,
            stdin: Stdin::Null,
        };
        let said = self.sandbox.run(spec, 1 << 10).await.map_err(|e| self.blame.not_here(&e))?;
        if said.exit.success() { Ok(()) } else { Err(self.blame.not_here(&said.stderr_tail)) }
    }
}

/// How long a server may take to copy or hash a file; one that is gone is noticed earlier.
const LONG: Duration = Duration::from_secs(6 * 60 * 60);
const SHORT: Duration = Duration::from_secs(60);
const BUDGETS: Budgets =
    Budgets { wall: SHORT, cpu: SHORT, memory: 1 << 30, file_size: 0, disk: 1 << 20, processes: 1 };

#[async_trait]
impl Destination for Rsync {
    fn name(&self) -> &str {
        &self.blame.name
    }

    fn limits(&self) -> Limits {
        Limits { hashes: vec![Algorithm::Sha256], ..self.files.limits() }
    }

    async fn stat(&self, name: &Name) -> Result<Option<Meta>, Error> {
        self.files.stat(name).await
    }

    async fn put(&self, name: &Name, source: &dyn Source, put: &Put) -> Result<Sent, Error> {
        if put.replace
            && source.size() >= self.options.small
            && let Some(sent) = self.put_over(name, source, put).await?
        {
            return Ok(sent);
        }
        put_by_renaming(self, name, source, put).await
    }

    async fn get(&self, name: &Name, range: Option<Range<u64>>) -> Result<Body, Error> {
        self.files.get(name, range).await
    }

    fn list<'a>(&'a self, folder: Option<&Name>) -> Listing<'a> {
        self.files.list(folder)
    }

    async fn remove(&self, name: &Name) -> Result<(), Error> {
        self.files.remove(name).await
    }

    async fn mkdirs(&self, folder: &Name) -> Result<(), Error> {
        self.files.mkdirs(folder).await
    }

    async fn rename(&self, from: &Name, to: &Name, replace: bool) -> Result<(), Error> {
        self.files.rename(from, to, replace).await
    }

    async fn hash(&self, name: &Name) -> Result<Option<Checksum>, Error> {
        let line = format!("sha256sum < {}", quoted(&self.path(name).await?));
        let (answer, said) = self.files.ask_shell(&line, LONG).await?;
        let text = String::from_utf8_lossy(&answer);
        let hex = text.split_whitespace().next().filter(|_| said.status == Some(0));
        Ok(hex.and_then(|hex| Checksum::parse(Algorithm::Sha256, hex)))
    }

    async fn sweep(&self, folder: Option<&Name>, before: Timestamp) -> Result<u64, Error> {
        self.files.sweep(folder, before).await
    }

    async fn check(&self) -> Result<Health, Error> {
        let health = self.files.check().await?;
        self.has_rsync().await?;
        Ok(health)
    }
}

#[async_trait]
impl Files for Rsync {
    async fn append(&self, partial: &Name, from: u64, source: &dyn Source) -> Result<u64, Error> {
        let size = source.size();
        if size < self.options.small {
            // From its beginning: where SFTP was cut, there may be holes before the end.
            let sent = self.files.append(partial, 0, source).await?;
            return Ok(sent.saturating_sub(from));
        }
        // Before anything is brought here for it.
        self.root().await?;
        let folder = partial.folder();
        if folder.is_some() && !self.files.has_folder(folder.as_ref()).await? {
            return Err(Error::not_found(self.name(), partial));
        }
        let staged = Staged::of(source, from, &self.options.scratch).await?;
        let bytes = staged.end - from;
        match &staged.broken {
            // What had come before it broke is brought there all the same: else it would have to come here once more.
            Some(e) if !e.is_temporary() || bytes == 0 => return Err(e.clone()),
            None if staged.end != size => return Ok(bytes),
            _ => {}
        }
        let how = if from > 0 { How::Behind(from) } else { How::Differing };
        let sent = self.send(&Run { local: staged.path(), partial, how, source }).await?;
        // With holes before `from`, another beginning than ours would have been filled with them.
        if from > 0 && sent != bytes {
            return Err(Error::new(
                ErrorKind::Corrupt,
                format!(
                    "destination `{}`: somebody else has written to `{partial}` meanwhile; it will be sent anew",
                    self.name()
                ),
            ));
        }
        self.files.make_durable(partial).await?;
        match staged.broken {
            Some(e) => Err(e),
            None => Ok(bytes),
        }
    }

    async fn settle(&self, partial: &Name, name: &Name, put: &Put) -> Result<(), Error> {
        self.files.settle(partial, name, put).await
    }
}

impl fmt::Debug for Rsync {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rsync({:?})", self.files)
    }
}
