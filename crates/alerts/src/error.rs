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
    /// The request itself is wrong.
    Invalid,
    /// The service does not let us.
    Denied,
    /// The service does not answer.
    Unavailable,
    Other,
}

impl Error {
    /// Whether it is temporary follows from the kind; [`Error::temporary`] overrides it.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, temporary: kind == ErrorKind::Unavailable, message: message.into() }
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
}
