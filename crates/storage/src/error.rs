use std::{fmt, io};

use crate::Key;

/// What went wrong, whether it may pass by itself, and a sentence that names the store, the key and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    kind: ErrorKind,
    temporary: bool,
    message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// No such object, or no such version of it.
    NotFound,
    /// A conditional write met an object that is already there.
    Exists,
    /// The object is another version than the caller knows.
    Changed,
    /// Bytes are not the ones that were expected.
    Corrupt,
    /// The store is full.
    NoSpace,
    /// The store does not let us.
    Denied,
    /// The request itself is wrong.
    Invalid,
    /// The object lies in an archive and must be restored before it can be read.
    Archived,
    /// The store does not answer, or answered half.
    Unavailable,
    Other,
}

impl Error {
    /// Whether it is temporary follows from the kind; [`Error::temporary`] overrides it.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let temporary = matches!(kind, ErrorKind::Unavailable | ErrorKind::NoSpace);
        Self { kind, temporary, message: message.into() }
    }

    pub fn temporary(mut self, temporary: bool) -> Self {
        self.temporary = temporary;
        self
    }

    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The same call may succeed later without anybody changing anything in the request.
    pub fn is_temporary(&self) -> bool {
        self.temporary
    }

    pub(crate) fn not_found(store: &str, key: &Key) -> Self {
        Self::new(ErrorKind::NotFound, format!("store `{store}` has no object `{key}`"))
    }

    pub(crate) fn exists(store: &str, key: &Key) -> Self {
        Self::new(
            ErrorKind::Exists,
            format!("store `{store}` already has an object `{key}`; nothing was overwritten"),
        )
    }

    pub(crate) fn not_plain(store: &str, key: &Key) -> Self {
        Self::new(
            ErrorKind::Invalid,
            format!(
                "store `{store}` is a folder and cannot hold `{key}`: a key there consists of segments between \
                 slashes, each of 1 to 255 ASCII letters, digits and `._=@+-`; choose such a key, or a store in S3"
            ),
        )
    }

    pub(crate) fn changed(store: &str, key: &Key, expected: &str, found: &str) -> Self {
        Self::new(
            ErrorKind::Changed,
            format!(
                "object `{key}` in store `{store}` is version {found}, not {expected}: it was replaced \
                 meanwhile; look at it again"
            ),
        )
    }

    pub(crate) fn corrupt(
        store: &str,
        key: &Key,
        expected: &domain::Digest,
        found: &domain::Digest,
        what_now: &str,
    ) -> Self {
        Self::new(
            ErrorKind::Corrupt,
            format!(
                "object `{key}` in store `{store}` has {} bytes with SHA-256 {}, expected {} bytes with {}; \
                 {what_now}",
                found.size, found.sha256, expected.size, expected.sha256
            ),
        )
    }

    /// An operating system's error while doing `what` to `whom`.
    pub(crate) fn io(store: &str, what: &str, whom: impl fmt::Display, error: &io::Error) -> Self {
        let (kind, hint) = classify(error);
        let temporary = matches!(kind, ErrorKind::Unavailable | ErrorKind::NoSpace);
        Self { kind, temporary, message: format!("store `{store}`: cannot {what} `{whom}`: {error}{hint}") }
    }
}

fn classify(error: &io::Error) -> (ErrorKind, &'static str) {
    use rustix::io::Errno;
    let Some(errno) = Errno::from_io_error(error) else { return (ErrorKind::Other, "") };
    match errno {
        Errno::NOENT => (ErrorKind::NotFound, ""),
        Errno::EXIST => (ErrorKind::Exists, ""),
        Errno::NOSPC | Errno::DQUOT => (ErrorKind::NoSpace, "; free some space or raise the quota"),
        Errno::FBIG => (ErrorKind::Denied, "; the file system or a limit allows no file of this size"),
        Errno::ACCESS | Errno::PERM => {
            (ErrorKind::Denied, "; give the user that runs videorec access to it, or choose another folder")
        }
        Errno::ROFS => (ErrorKind::Denied, "; mount it writable, or choose another folder"),
        Errno::LOOP | Errno::MLINK => (
            ErrorKind::Denied,
            "; symbolic links below a store's root are not followed: replace it by what it links to",
        ),
        Errno::NOTDIR => (ErrorKind::Invalid, "; a part of its path is a file and not a folder"),
        Errno::ISDIR => (ErrorKind::Invalid, "; there is a folder of this name"),
        Errno::NAMETOOLONG => (ErrorKind::Invalid, ""),
        Errno::AGAIN
        | Errno::INTR
        | Errno::BUSY
        | Errno::MFILE
        | Errno::NFILE
        | Errno::NOMEM
        | Errno::STALE
        | Errno::TIMEDOUT
        | Errno::NOTCONN
        | Errno::HOSTDOWN
        | Errno::HOSTUNREACH
        | Errno::NETUNREACH => (ErrorKind::Unavailable, "; it will be tried again"),
        Errno::IO => (ErrorKind::Other, "; check the disk's health (`dmesg`, `smartctl`)"),
        _ => (ErrorKind::Other, ""),
    }
}
