use std::fmt;

/// What went wrong at the catalog's door, and what to do about it.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    message: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Somebody else has the job by now: stop, and write nothing more.
    LeaseLost,
    /// Another process held the database for longer than we wait.
    Busy,
    /// No space left for the database.
    Full,
    /// The disk below the database failed.
    Io,
    /// The database, or a row of it, is not what was written.
    Corrupt,
    /// The database was written by a newer binary.
    Newer,
    /// The database cannot be opened or written: path or permissions.
    Access,
    /// The caller's mistake.
    Invalid,
    /// Ours.
    Internal,
}

impl Error {
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }
    pub(crate) fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }
    pub fn kind(&self) -> Kind {
        self.kind
    }
    /// Whether the same call may succeed later without anybody changing the call.
    pub fn is_temporary(&self) -> bool {
        matches!(self.kind, Kind::Busy | Kind::Full | Kind::Io)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|e| e as _)
    }
}
