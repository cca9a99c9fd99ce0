//! FTP as a destination: plain, or with TLS from the first byte (implicit) or from the first command on (explicit).
//!
//! - Nothing is sent in the clear unless [`Tls::None`] says so. With TLS the data connections are encrypted too, and resume the
//!   control connection's session, which many servers insist on.
//! - Data connections go to the server that we talk to, whatever address its answer to `PASV` names: nobody has us connect
//!   elsewhere.
//! - A server's word that it has everything (226) may be lost after a long upload, since firewalls forget the control connection
//!   meanwhile. Then the file's size is asked for before anything is sent again.
//! - What a server can do is learned when it is first connected to: listings for machines (`MLSD`, else `LIST`), times (`MFMT`),
//!   hashes (`HASH`, `XSHA256` and the like). [`Limits`] knows of it from then on.
//! - FTP cannot refuse to replace in one step: a file that comes into being in the same instant may be lost.

use std::{fmt, ops::Range, sync::Arc, time::Duration};

use async_trait::async_trait;
use domain::Timestamp;
use futures::{StreamExt as _, TryStreamExt as _};

use self::{
    pool::{Lease, Pool},
    refused::{Blame, Refused},
    session::Kind,
};
pub use crate::tls::Trust;
use crate::{
    Body, Checksum, Destination, Error, Files, Health, Limits, Listing, Meta, Name, Put, Secret, Sent,
    Source, names::Rules, partial, put_by_renaming, put_in_place, reach::Server,
};

mod features;
mod hash;
mod listing;
mod pool;
mod receive;
mod refused;
mod send;
mod session;
#[cfg(test)]
mod tests;
mod tickets;
mod walk;

/// A folder on an FTP server; see the module.
#[derive(Clone)]
pub struct Ftp {
    blame: Blame,
    pool: Arc<Pool>,
}

/// How to reach a server and what it can take.
#[derive(Debug, Clone)]
pub struct Options {
    pub host: String,
    /// `None`: 21, or 990 with [`Tls::Implicit`].
    pub port: Option<u16>,
    pub tls: Tls,
    pub trust: Trust,
    pub user: String,
    pub password: Secret,
    /// The folder on the server that names are below: from where it lets us in, or absolute. Empty is where it lets us in.
    pub root: String,
    pub names: Rules,
    /// Addresses that the internet does not have are allowed too: a server in the same building.
    pub private: bool,
    /// How long the server may be silent while it is asked something, or take nothing.
    pub patience: Duration,
    /// Whether the server lets files be renamed. Without it files are written under their own names, and are seen there before they
    /// are whole: use it with `on_conflict: replace` only.
    pub renames: bool,
}

/// How what is sent is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Tls {
    /// The connection begins in the clear, and nothing is said on it before it is encrypted (`AUTH TLS`).
    #[default]
    Explicit,
    /// It is encrypted from the first byte.
    Implicit,
    /// Everybody on the way can read and change everything, the password included.
    None,
}

impl Options {
    pub fn new(host: impl Into<String>, user: impl Into<String>, password: impl Into<Secret>) -> Self {
        Self {
            host: host.into(),
            port: None,
            tls: Tls::default(),
            trust: Trust::default(),
            user: user.into(),
            password: password.into(),
            root: String::new(),
            names: Rules::default(),
            private: false,
            patience: Duration::from_secs(60),
            renames: true,
        }
    }

    fn server(&self) -> Server {
        let usual = if self.tls == Tls::Implicit { 990 } else { 21 };
        Server { host: self.host.clone(), port: self.port.unwrap_or(usual), private: self.private }
    }
}

impl Tls {
    /// What a URL's scheme asks for: `ftp` is plain, `ftpes` explicit, `ftps` implicit.
    pub fn of_scheme(scheme: &str) -> Option<Self> {
        Some(match scheme {
            "ftp" => Self::None,
            "ftpes" => Self::Explicit,
            "ftps" => Self::Implicit,
            _ => return None,
        })
    }
}

impl Ftp {
    /// Connects when it is first asked for something. Errors: `Invalid` for certificates that are none.
    pub fn new(name: impl Into<String>, options: Options) -> Result<Self, Error> {
        let blame = Blame { name: name.into().into(), options: Arc::new(options) };
        let pool = Arc::new(Pool::new(&blame)?);
        Ok(Self { blame, pool })
    }

    async fn session(&self) -> Result<Lease, Error> {
        self.pool.lease(&self.blame).await
    }

    /// Whatever is there of that name.
    async fn kind(&self, session: &mut Lease, name: &Name) -> Result<Option<Kind>, Error> {
        let path = session.path(name);
        session.kind(&path).await.map_err(|e| self.blame.error("look at", name, e))
    }

    /// `absent`: nothing was there a moment ago.
    async fn give_name(&self, from: &Name, to: &Name, replace: bool, absent: bool) -> Result<(), Error> {
        let mut session = self.session().await?;
        if !absent {
            self.may_name(&mut session, to, replace).await?;
        }
        let (old, new) = (session.path(from), session.path(to));
        match session.rename(&old, &new).await {
            Ok(()) => {}
            Err((session::Rename::From, Refused::Said { code: 450 | 550, .. }))
                if session.file(&old).await.is_ok_and(|found| found.is_none()) =>
            {
                return Err(Error::not_found(self.name(), from));
            }
            // Windows' servers rename nothing onto a file: for a moment there is neither.
            Err((session::Rename::To, e @ Refused::Said { code: 500.., .. })) => {
                if !self.may_name(&mut session, to, replace).await? {
                    return Err(self.blame.no_rename(from, to, e));
                }
                self.delete(&mut session, to).await?;
                session.rename(&old, &new).await.map_err(|(_, e)| self.blame.no_rename(from, to, e))?;
            }
            Err((_, e)) => return Err(self.blame.no_rename(from, to, e)),
        }
        session.release();
        Ok(())
    }

    /// Whether there is a file of that name, which is to be replaced. Errors: `Exists` when it is not to be, or is a folder.
    async fn may_name(&self, session: &mut Lease, to: &Name, replace: bool) -> Result<bool, Error> {
        match self.kind(session, to).await? {
            Some(Kind::File) if replace => Ok(true),
            Some(_) => Err(Error::exists(self.name(), to)),
            None => Ok(false),
        }
    }

    async fn delete(&self, session: &mut Lease, name: &Name) -> Result<(), Error> {
        let path = session.path(name);
        match session.delete(&path).await {
            Ok(()) => Ok(()),
            // There is none, or no file: what was to be gone is not there.
            Err(Refused::Said { code: 450 | 501 | 550 | 553, .. })
                if session.file(&path).await.is_ok_and(|found| found.is_none()) =>
            {
                Ok(())
            }
            Err(e) => Err(self.blame.error("remove", name, e)),
        }
    }
}

#[async_trait]
impl Destination for Ftp {
    fn name(&self) -> &str {
        &self.blame.name
    }

    fn limits(&self) -> Limits {
        let learned = self.pool.learned();
        Limits {
            names: self.blame.options.names.clone(),
            max_size: None,
            resumes: self.blame.options.renames && learned.resumes,
            lists: true,
            keeps_times: learned.times,
            refuses_to_replace: false,
            hashes: learned.hashes,
        }
    }

    async fn stat(&self, name: &Name) -> Result<Option<Meta>, Error> {
        let mut session = self.session().await?;
        let path = session.path(name);
        let found = session.file(&path).await.map_err(|e| self.blame.error("look at", name, e))?;
        session.release();
        Ok(found.map(|(size, modified)| Meta { name: name.clone(), size, modified, hash: None }))
    }

    async fn put(&self, name: &Name, source: &dyn Source, put: &Put) -> Result<Sent, Error> {
        if self.blame.options.renames {
            put_by_renaming(self, name, source, put).await
        } else {
            put_in_place(self, name, source, put).await
        }
    }

    async fn get(&self, name: &Name, range: Option<Range<u64>>) -> Result<Body, Error> {
        receive::get(self, name, range).await
    }

    fn list<'a>(&'a self, folder: Option<&Name>) -> Listing<'a> {
        let files = walk::files(self, folder.cloned());
        files.try_filter(|meta| std::future::ready(!partial::is_partial(meta.name.file()))).boxed()
    }

    async fn remove(&self, name: &Name) -> Result<(), Error> {
        let mut session = self.session().await?;
        self.delete(&mut session, name).await?;
        session.release();
        Ok(())
    }

    async fn mkdirs(&self, folder: &Name) -> Result<(), Error> {
        let mut session = self.session().await?;
        let whole = session.path(folder);
        let mut refused = match session.enter(&whole).await {
            Ok(()) => {
                session.release();
                return Ok(());
            }
            Err(e) => e,
        };
        let mut path = session.home().to_owned();
        for segment in folder.segments() {
            path = format!("{path}/{segment}");
            // Refused, when there is one already: only the last look counts.
            if let Err(e) = session.make_folder(&path).await {
                refused = e;
            }
        }
        if let Err(e) = session.enter(&whole).await {
            let why = if matches!(e, Refused::Said { .. }) { refused } else { e };
            return Err(self.blame.error("make the folder", folder, why));
        }
        session.release();
        Ok(())
    }

    async fn rename(&self, from: &Name, to: &Name, replace: bool) -> Result<(), Error> {
        self.give_name(from, to, replace, false).await
    }

    async fn hash(&self, name: &Name) -> Result<Option<Checksum>, Error> {
        hash::of(self, name).await
    }

    async fn sweep(&self, folder: Option<&Name>, before: Timestamp) -> Result<u64, Error> {
        let mut partials = walk::files(self, folder.cloned())
            .try_filter(|meta| std::future::ready(partial::is_partial(meta.name.file())));
        let mut swept = 0;
        while let Some(meta) = partials.try_next().await? {
            // `LIST` tells times in a zone of its own: then the file is asked itself.
            let modified = match meta.modified {
                Some(modified) => Some(modified),
                None => self.stat(&meta.name).await?.and_then(|meta| meta.modified),
            };
            if modified.is_some_and(|modified| modified < before) {
                self.remove(&meta.name).await?;
                swept += 1;
            }
        }
        Ok(swept)
    }

    async fn check(&self) -> Result<Health, Error> {
        let mut session = self.session().await?;
        let home = session.home().to_owned();
        session.enter(&home).await.map_err(|e| self.blame.no_root(&e))?;
        session.release();
        // Several may look at once.
        let token = format!("probe {} {:?}", std::process::id(), std::thread::current().id());
        let probe = Name::reserved(None, partial::of(&Name::reserved(None, "probe"), &token).file());
        let wrote = self.append(&probe, 0, &bytes::Bytes::from_static(b"videorec")).await;
        let removed = self.remove(&probe).await;
        wrote.and(removed)?;
        Ok(Health::default())
    }
}

#[async_trait]
impl Files for Ftp {
    async fn append(&self, partial: &Name, from: u64, source: &dyn Source) -> Result<u64, Error> {
        send::append(self, partial, from, source).await
    }

    async fn settle(&self, partial: &Name, name: &Name, put: &Put) -> Result<(), Error> {
        if let (Some(modified), true) = (put.modified, self.pool.learned().times) {
            let mut session = self.session().await?;
            let path = session.path(partial);
            match session.set_time(&path, modified).await {
                Ok(()) => {}
                // Whole and in its place it is worth more than with the right time.
                Err(Refused::Said { .. }) => self.pool.learn(|learned| learned.times = false),
                Err(e) => return Err(self.blame.error("set the time of", partial, e)),
            }
            session.release();
        }
        self.give_name(partial, name, put.replace, put.is_absent()).await
    }
}

impl fmt::Debug for Ftp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ftp").field("name", &self.blame.name).field("options", &self.blame.options).finish()
    }
}
