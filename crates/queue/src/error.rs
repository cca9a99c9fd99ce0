/// What went wrong, whether it may pass by itself, and a sentence that says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    kind: ErrorKind,
    temporary: bool,
    message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The receipt is no longer ours: its message became visible again, went to another receiver, or is gone.
    Lost,
    /// The queue takes no more for now: send less, or later.
    Full,
    /// The request itself is wrong.
    Invalid,
    /// The queue does not let us.
    Denied,
    /// The queue does not answer.
    Unavailable,
    Other,
}

impl Error {
    /// Whether it is temporary follows from the kind; [`Error::temporary`] overrides it.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let temporary = matches!(kind, ErrorKind::Full | ErrorKind::Unavailable);
        Self { kind, temporary, message: message.into() }
    }

    pub fn temporary(mut self, temporary: bool) -> Self {
        self.temporary = temporary;
        self
    }

    pub(crate) fn lost() -> Self {
        let message =
            "this delivery is over: its visibility ended or it was answered before; stop working on it";
        Self::new(ErrorKind::Lost, message)
    }

    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The same call may succeed later without anybody changing anything in the request.
    pub fn is_temporary(&self) -> bool {
        self.temporary
    }
}
