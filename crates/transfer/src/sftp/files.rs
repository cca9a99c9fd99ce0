//! What single requests do: one function for each thing that is asked of a server.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    failure::Blame,
    session::Session,
    wire::{self, Attributes, Entry, Reply, Request, Status, code, kind},
};
use crate::{Error, ErrorKind};

/// A session with the words to speak of it.
#[derive(Clone)]
pub(super) struct Server {
    pub session: Arc<Session>,
    pub blame: Blame,
}

/// A file that the server holds open for us. Dropping it closes it there, sooner or later.
#[derive(Debug)]
pub(super) struct Open {
    pub session: Arc<Session>,
    pub handle: Bytes,
    closed: bool,
}

impl Drop for Open {
    fn drop(&mut self) {
        if !self.closed {
            self.session.tell(Request::new(kind::CLOSE).string(&self.handle));
        }
    }
}

pub(super) const POSIX_RENAME: &str = "posix-rename@openssh.com";
const FSYNC: &str = "fsync@openssh.com";
const STATVFS: &str = "statvfs@openssh.com";

impl Server {
    async fn ask(&self, request: Request) -> Result<Reply, Error> {
        self.session.ask(request).await.map_err(|lost| self.blame.lost(&lost))
    }

    /// A request that is answered by a status.
    async fn done(&self, request: Request) -> Result<Result<(), Status>, Error> {
        self.status(self.ask(request).await?)
    }

    /// The same for one that may take long.
    async fn done_patiently(&self, request: Request) -> Result<Result<(), Status>, Error> {
        self.status(self.session.ask_patiently(request).await.map_err(|lost| self.blame.lost(&lost))?)
    }

    fn status(&self, reply: Reply) -> Result<Result<(), Status>, Error> {
        match reply {
            Reply::Status(status) if status.code == code::OK => Ok(Ok(())),
            Reply::Status(status) => Ok(Err(status)),
            _ => Err(self.blame.unexpected()),
        }
    }

    pub(super) async fn stat(&self, path: &str) -> Result<Option<Attributes>, Error> {
        match self.ask(Request::new(kind::STAT).string(path)).await? {
            Reply::Attributes(attributes) => Ok(Some(attributes)),
            Reply::Status(status) => match self.blame.status("look at", crate::inert(path), &status) {
                e if e.kind() == ErrorKind::NotFound => Ok(None),
                e => Err(e),
            },
            _ => Err(self.blame.unexpected()),
        }
    }

    /// Where that is from the server's root on.
    #[cfg(feature = "rsync")]
    pub(super) async fn real_path(&self, path: &str) -> Result<String, Error> {
        match self.ask(Request::new(kind::REALPATH).string(path)).await? {
            Reply::Names(entries) if entries.len() == 1 => {
                String::from_utf8(entries[0].name.to_vec()).map_err(|_| self.blame.unexpected())
            }
            Reply::Status(status) => Err(self.blame.status("look for", crate::inert(path), &status)),
            _ => Err(self.blame.unexpected()),
        }
    }

    pub(super) async fn fstat(&self, file: &Open, path: &str) -> Result<Attributes, Error> {
        match self.ask(Request::new(kind::FSTAT).string(&file.handle)).await? {
            Reply::Attributes(attributes) => Ok(attributes),
            Reply::Status(status) => Err(self.blame.status("look at", crate::inert(path), &status)),
            _ => Err(self.blame.unexpected()),
        }
    }

    pub(super) async fn open(&self, path: &str, flags: u32) -> Result<Open, Error> {
        let what = if flags & wire::open::WRITE == 0 { "open" } else { "write" };
        let request = Request::new(kind::OPEN).string(path).u32(flags).no_attributes();
        self.handle(request, what, path).await
    }

    pub(super) async fn open_folder(&self, path: &str) -> Result<Open, Error> {
        self.handle(Request::new(kind::OPENDIR).string(path), "list", path).await
    }

    async fn handle(&self, request: Request, what: &str, path: &str) -> Result<Open, Error> {
        match self.ask(request).await? {
            Reply::Handle(handle) => Ok(Open { session: self.session.clone(), handle, closed: false }),
            Reply::Status(status) => Err(self.blame.status(what, crate::inert(path), &status)),
            _ => Err(self.blame.unexpected()),
        }
    }

    /// Makes durable what was written, where that is asked for and the server can, and closes: some say only then that the disk is
    /// full.
    pub(super) async fn finish(&self, mut file: Open, path: &str) -> Result<(), Error> {
        if self.blame.options.fsync && self.session.has(FSYNC) {
            match self.done_patiently(Request::extended(FSYNC).string(&file.handle)).await? {
                Err(status) if status.code != code::UNSUPPORTED => {
                    return Err(self.write_failed(path, &status).await);
                }
                _ => {}
            }
        }
        file.closed = true;
        match self.done_patiently(Request::new(kind::CLOSE).string(&file.handle)).await? {
            Ok(()) => Ok(()),
            Err(status) => Err(self.write_failed(path, &status).await),
        }
    }

    /// OpenSSH calls a full disk a failure, as it calls everything: then its own figures tell.
    pub(super) async fn write_failed(&self, path: &str, status: &Status) -> Error {
        let error = self.blame.status("write", crate::inert(path), status);
        if error.kind() != ErrorKind::Other {
            return error;
        }
        match self.room(path).await {
            Ok(Some((free, _))) if free < LITTLE => Error::no_space(&self.blame.name, crate::inert(path)),
            // Whatever it was, it met bytes and not a name.
            _ => error.temporary(true),
        }
    }

    /// Bytes that are free to us, and in all.
    pub(super) async fn room(&self, path: &str) -> Result<Option<(u64, u64)>, Error> {
        if !self.session.has(STATVFS) {
            return Ok(None);
        }
        match self.ask(Request::extended(STATVFS).string(path)).await? {
            Reply::Extended(bytes) => {
                let mut rest = wire::Reader(bytes);
                let mut next = || rest.u64().map_err(|_| self.blame.unexpected());
                let (_, unit, blocks, _, free) = (next()?, next()?, next()?, next()?, next()?);
                Ok(Some((free.saturating_mul(unit), blocks.saturating_mul(unit))))
            }
            _ => Ok(None),
        }
    }

    pub(super) async fn remove(&self, path: &str) -> Result<(), Error> {
        match self.done(Request::new(kind::REMOVE).string(path)).await? {
            Ok(()) => Ok(()),
            Err(status) => match self.blame.status("remove", crate::inert(path), &status) {
                e if e.kind() == ErrorKind::NotFound => Ok(()),
                e => Err(e),
            },
        }
    }

    pub(super) async fn mkdir(&self, path: &str) -> Result<(), Error> {
        match self.done(Request::new(kind::MKDIR).string(path).no_attributes()).await? {
            Ok(()) => Ok(()),
            // Most servers only say that it failed.
            Err(status) => match self.stat(path).await? {
                Some(attributes) if attributes.is_folder() => Ok(()),
                _ => Err(self.blame.status("make the folder", crate::inert(path), &status)),
            },
        }
    }

    /// A refusal is no error: a time is worth no transfer.
    pub(super) async fn set_time(&self, path: &str, seconds: u32) -> Result<(), Error> {
        if let Err(status) = self.done(Request::new(kind::SETSTAT).string(path).times(seconds)).await? {
            let name = &*self.blame.name;
            tracing::debug!(
                destination = name,
                status = status.code,
                "the server sets no time of modification"
            );
        }
        Ok(())
    }

    /// The protocol's own rename: where it follows the draft, it replaces nothing.
    pub(super) async fn rename(&self, from: &str, to: &str) -> Result<Result<(), Status>, Error> {
        self.done_patiently(Request::new(kind::RENAME).string(from).string(to)).await
    }

    /// A rename that replaces, in one step.
    pub(super) async fn posix_rename(&self, from: &str, to: &str) -> Result<Result<(), Status>, Error> {
        self.done_patiently(Request::extended(POSIX_RENAME).string(from).string(to)).await
    }

    /// The next files of a folder; `None` behind the last one.
    pub(super) async fn entries(&self, folder: &Open, path: &str) -> Result<Option<Vec<Entry>>, Error> {
        match self.ask(Request::new(kind::READDIR).string(&folder.handle)).await? {
            Reply::Names(entries) => Ok(Some(entries)),
            Reply::Status(status) if status.code == code::EOF => Ok(None),
            Reply::Status(status) => Err(self.blame.status("list", crate::inert(path), &status)),
            _ => Err(self.blame.unexpected()),
        }
    }

    pub(super) async fn write(&self, file: &Open, path: &str, offset: u64, data: &[u8]) -> Result<(), Error> {
        match self.done(Request::write(&file.handle, offset, data)).await? {
            Ok(()) => Ok(()),
            Err(status) => Err(self.write_failed(path, &status).await),
        }
    }

    /// As many bytes as were asked for; fewer only at the file's end.
    pub(super) async fn read(
        &self,
        file: &Open,
        path: &str,
        offset: u64,
        length: u32,
    ) -> Result<Bytes, Error> {
        let mut whole: Option<bytes::BytesMut> = None;
        let mut have = 0;
        loop {
            let request = Request::new(kind::READ)
                .string(&file.handle)
                .u64(offset + u64::from(have))
                .u32(length - have);
            let data = match self.ask(request).await? {
                Reply::Data(data) if data.is_empty() => return Ok(whole.unwrap_or_default().freeze()),
                Reply::Data(data) if data.len() > (length - have) as usize => {
                    return Err(self.blame.unexpected());
                }
                Reply::Data(data) => data,
                Reply::Status(status) if status.code == code::EOF => {
                    return Ok(whole.unwrap_or_default().freeze());
                }
                Reply::Status(status) => {
                    let error = self.blame.status("read", crate::inert(path), &status);
                    let temporary = error.is_temporary() || error.kind() == ErrorKind::Other;
                    return Err(error.temporary(temporary));
                }
                _ => return Err(self.blame.unexpected()),
            };
            have += u32::try_from(data.len()).unwrap_or(u32::MAX);
            match (&mut whole, have == length) {
                // The usual case: all of it at once, and not copied.
                (None, true) => return Ok(data),
                (Some(whole), _) => whole.extend_from_slice(&data),
                (None, false) => whole = Some(bytes::BytesMut::from(&data[..])),
            }
            if have == length {
                return Ok(whole.unwrap_or_default().freeze());
            }
        }
    }
}

/// Bytes; less than that is a full disk to whoever has to write.
const LITTLE: u64 = 1 << 20;
