use std::{borrow::Cow, fmt, io};

/// What went wrong, whether it may pass by itself, and a sentence that names the destination, the file and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    kind: ErrorKind,
    temporary: bool,
    message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// No such file.
    NotFound,
    /// There is such a file already, and it was not to be replaced.
    Exists,
    /// What arrived is not what was sent, in size or in content.
    Corrupt,
    /// The destination is full, or a quota is.
    NoSpace,
    /// The destination does not let us in, or not do this.
    Denied,
    /// The server is not the one that we were told of: nothing was sent, no password either.
    HostKeyChanged,
    /// The destination does not answer, or broke off.
    Unavailable,
    /// The protocol or this server cannot do it.
    Unsupported,
    /// The request itself is wrong.
    Invalid,
    /// What was to be sent could not be read: the destination has no part in it.
    Source,
    Other,
}

impl Error {
    /// Whether it is temporary follows from the kind; [`Error::temporary`] overrides it.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        // Corrupt: sent again, it may well arrive.
        let temporary = matches!(kind, ErrorKind::Unavailable | ErrorKind::NoSpace | ErrorKind::Corrupt);
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

    pub fn not_found(destination: &str, name: impl fmt::Display) -> Self {
        Self::new(ErrorKind::NotFound, format!("destination `{destination}` has no file `{name}`"))
    }

    pub fn exists(destination: &str, name: impl fmt::Display) -> Self {
        Self::new(
            ErrorKind::Exists,
            format!(
                "destination `{destination}` already has a file `{name}`; nothing was replaced: choose another name, or \
                 `on_conflict: replace` or `rename`"
            ),
        )
    }

    pub fn no_space(destination: &str, name: impl fmt::Display) -> Self {
        Self::new(
            ErrorKind::NoSpace,
            format!(
                "destination `{destination}` is full: cannot write `{name}`; free some space there or have the quota raised"
            ),
        )
    }

    pub fn unsupported(destination: &str, what: &str) -> Self {
        Self::new(ErrorKind::Unsupported, format!("destination `{destination}` cannot {what}"))
    }

    /// An operating system's error while doing `what` to `whom`.
    pub fn io(destination: &str, what: &str, whom: impl fmt::Display, error: &io::Error) -> Self {
        let (kind, hint) = classify(error);
        Self::new(kind, format!("destination `{destination}`: cannot {what} `{whom}`: {error}{hint}"))
    }

    /// A failure of whatever was to be sent.
    pub fn source(error: &storage::Error) -> Self {
        Self::new(ErrorKind::Source, format!("cannot read what is to be sent: {error}"))
            .temporary(error.is_temporary())
    }
}

fn classify(error: &io::Error) -> (ErrorKind, &'static str) {
    use rustix::io::Errno;
    let Some(errno) = Errno::from_io_error(error) else { return (ErrorKind::Other, "") };
    match errno {
        Errno::NOENT => (ErrorKind::NotFound, ""),
        Errno::EXIST => (ErrorKind::Exists, ""),
        Errno::NOSPC | Errno::DQUOT => (ErrorKind::NoSpace, "; free some space there or have the quota raised"),
        Errno::FBIG => (ErrorKind::Denied, "; its file system allows no file of this size"),
        Errno::ACCESS | Errno::PERM => {
            (ErrorKind::Denied, "; give the user that runs videorec access to it, or choose another folder")
        }
        Errno::ROFS => (ErrorKind::Denied, "; mount it writable, or choose another folder"),
        Errno::LOOP | Errno::MLINK => (
            ErrorKind::Denied,
            "; symbolic links below a destination's root are not followed: replace it by what it links to",
        ),
        Errno::NOTDIR => (ErrorKind::Invalid, "; a part of its path is a file and not a folder"),
        Errno::ISDIR => (ErrorKind::Invalid, "; there is a folder of this name"),
        Errno::NAMETOOLONG | Errno::INVAL | Errno::ILSEQ => {
            (ErrorKind::Invalid, "; its file system does not take this name")
        }
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
        | Errno::NETUNREACH
        // What a hard-mounted share gives when its server is gone.
        | Errno::IO => (ErrorKind::Unavailable, "; check the mount and its server"),
        _ => (ErrorKind::Other, ""),
    }
}

/// Text of strangers for a log or a terminal: control characters, those that turn the direction of writing, invisible
/// ones and the like are escaped.
pub fn inert(text: &str) -> Cow<'_, str> {
    let harmless = |c: char| c.is_ascii_graphic() && c != '\\' || c == ' ';
    if text.chars().all(harmless) {
        return Cow::Borrowed(text);
    }
    text.chars()
        .fold(String::with_capacity(2 * text.len()), |mut out, c| {
            match c {
                '\'' | '"' => out.push(c),
                _ => out.extend(c.escape_debug()),
            }
            out
        })
        .into()
}
