use std::fmt;

use domain::{JobSpec, Recording};

use crate::Claim;

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
    /// The recording is held by now, and what was done would take its bytes from where they are.
    Held,
    /// The database did not get to it for longer than we wait: another process holds it, or it has too much to do.
    Busy,
    /// No space left for the database.
    Full,
    /// The disk below the database failed, or the way to its server.
    Io,
    /// The database, or a row of it, is not what was written.
    Corrupt,
    /// The database was written by a newer binary.
    Newer,
    /// The database cannot be opened or written: path, address or permissions.
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
    pub(crate) fn lease_lost(claim: &Claim) -> Self {
        let spec = &claim.job.spec;
        let message = format!(
            "the lease on job {} ({}) is lost: another worker has it or had it since; nothing was written",
            spec.id.short(),
            spec.action.label()
        );
        Self::new(Kind::LeaseLost, message)
    }
    /// `hold`: by whom and why, as a clause.
    pub(crate) fn held(job: &JobSpec, hold: &str) -> Self {
        let message = format!(
            "{} is not taken over: {hold}; every byte is where it was, and it is done anew once that is released",
            job.action.label()
        );
        Self::new(Kind::Held, message)
    }
    pub(crate) fn of_nobody(job: &JobSpec) -> Self {
        let message = format!("job {} is of a recording that the catalog does not know", job.id.short());
        Self::new(Kind::Invalid, message)
    }
    pub(crate) fn someone_elses(recording: &Recording, what: &str) -> Self {
        let message =
            format!("the {what} of another recording cannot become a fact of {}", recording.id.short());
        Self::new(Kind::Invalid, message)
    }
    pub(crate) fn home_is_no_copy(recording: &Recording) -> Self {
        let message = format!(
            "{} holds the recording {} itself, which is not one of its copies: move it to another store first",
            recording.store,
            recording.id.short()
        );
        Self::new(Kind::Invalid, message)
    }
    pub(crate) fn not_being_purged(recording: &Recording) -> Self {
        let message = format!(
            "{} is not being purged: ask `begin_purge` before a byte is removed",
            recording.id.short()
        );
        Self::new(Kind::Invalid, message)
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
