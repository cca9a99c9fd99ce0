use std::sync::Arc;

use super::{
    Options,
    connect::unavailable,
    session::Lost,
    wire::{Status, code},
};
use crate::{Error, ErrorKind, inert};

/// Speaks of one server in errors.
#[derive(Debug, Clone)]
pub(super) struct Blame {
    pub name: Arc<str>,
    pub options: Arc<Options>,
}

impl Blame {
    pub(super) fn lost(&self, lost: &Lost) -> Error {
        unavailable(&self.name, &self.options, &lost.0)
    }

    pub(super) fn unexpected(&self) -> Error {
        unavailable(&self.name, &self.options, "it answered something else than it was asked")
    }

    /// What the server said when it was to do `what` to `whom`.
    pub(super) fn status(&self, what: &str, whom: impl std::fmt::Display, status: &Status) -> Error {
        let (kind, hint) = match status.code {
            code::NO_SUCH_FILE | code::NO_SUCH_PATH => (ErrorKind::NotFound, ""),
            code::PERMISSION_DENIED | code::WRITE_PROTECT => {
                (ErrorKind::Denied, "; have the server's operator give our user access to it")
            }
            code::ALREADY_EXISTS => (ErrorKind::Exists, ""),
            code::NO_SPACE | code::QUOTA_EXCEEDED => {
                (ErrorKind::NoSpace, "; free some space there or have the quota raised")
            }
            code::UNSUPPORTED => (ErrorKind::Unsupported, ""),
            // Says nothing; some say it in words.
            _ if speaks_of_space(&status.message) => {
                (ErrorKind::NoSpace, "; free some space there or have the quota raised")
            }
            _ => (ErrorKind::Other, ""),
        };
        let (name, said) = (&*self.name, inert(&status.message));
        if kind == ErrorKind::NotFound {
            return Error::not_found(name, whom);
        }
        let code = status.code;
        Error::new(
            kind,
            format!("destination `{name}`: cannot {what} `{whom}`: {said} (SFTP status {code}){hint}"),
        )
    }
}

fn speaks_of_space(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    ["no space", "disk full", "quota", "insufficient space", "not enough space"]
        .iter()
        .any(|s| message.contains(s))
}
