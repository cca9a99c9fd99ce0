use std::{fmt, sync::Arc};

use suppaftp::FtpError;

use super::Options;
use crate::{Error, ErrorKind, Name, inert, tls};

/// What came of a command that did not succeed.
#[derive(Debug)]
pub(super) enum Refused {
    /// The server's answer, and the connection is as good as before.
    Said {
        code: u32,
        text: String,
    },
    /// The connection is not.
    Broken(String),
    Late,
}

impl From<FtpError> for Refused {
    fn from(error: FtpError) -> Self {
        match error {
            FtpError::UnexpectedResponse(response) => {
                let text = String::from_utf8_lossy(&response.body);
                // Each line again begins with the code.
                let text = text.get(4..).unwrap_or_default().trim().chars().take(200).collect();
                Self::Said { code: response.status.code(), text }
            }
            FtpError::ConnectionError(e) => Self::Broken(e.to_string()),
            FtpError::SecureError(e) => Self::Broken(e),
            FtpError::BadResponse => Self::Broken("it does not speak FTP".into()),
            e => Self::Broken(e.to_string()),
        }
    }
}

/// What an answer means, as far as it means the same everywhere.
pub(super) fn kind(code: u32, said: &str) -> ErrorKind {
    let said = said.to_ascii_lowercase();
    let full = ["no space", "disk full", "quota", "insufficient storage", "exceeded storage"];
    match code {
        452 | 552 => ErrorKind::NoSpace,
        // The usual words for a full disk under codes that mean anything.
        426 | 450 | 451 | 550 | 553 if full.iter().any(|words| said.contains(words)) => ErrorKind::NoSpace,
        400..=429 | 434..=499 => ErrorKind::Unavailable,
        500 | 502 | 504 | 522 | 536 => ErrorKind::Unsupported,
        501 | 553 => ErrorKind::Invalid,
        _ => ErrorKind::Denied,
    }
}

/// Who is to be named in an error.
#[derive(Debug, Clone)]
pub(super) struct Blame {
    pub name: Arc<str>,
    pub options: Arc<Options>,
}

impl Blame {
    /// `what` was to be done to `whom`.
    pub(super) fn error(&self, what: &str, whom: impl fmt::Display, refused: Refused) -> Error {
        let (name, server) = (&self.name, self.options.server().shown());
        match refused {
            Refused::Said { code, text } => {
                let kind = kind(code, &text);
                if kind == ErrorKind::NoSpace {
                    return Error::no_space(name, whom);
                }
                let hint = match kind {
                    ErrorKind::Unavailable => "try again later",
                    ErrorKind::Unsupported => "it lacks a command that we need: have the server updated",
                    ErrorKind::Invalid => "it does not take this name",
                    _ => "have the partner give the user access to it, or choose another folder",
                };
                let said = self.inert(&text);
                Error::new(
                    kind,
                    format!(
                        "destination `{name}`: {server} refuses to {what} `{whom}`: {code} {said}; {hint}"
                    ),
                )
            }
            Refused::Broken(why) => {
                self.unreachable(&format!("{server} broke off: {}", self.inert(&why)), &why)
            }
            Refused::Late => {
                let silent = format!("{server} was silent for {:?}", self.options.patience);
                self.unreachable(&silent, "")
            }
        }
    }

    pub(super) fn login(&self, refused: Refused) -> Error {
        match refused {
            // A busy server says 421, also here.
            Refused::Said { code, text } if code >= 430 => Error::new(
                ErrorKind::Denied,
                format!(
                    "destination `{}`: {} does not let `{}` in: {code} {}; check user and password",
                    self.name,
                    self.options.server().shown(),
                    inert(&self.options.user),
                    self.inert(&text)
                ),
            ),
            e => self.error("let in", &self.options.user, e),
        }
    }

    pub(super) fn no_root(&self, refused: &Refused) -> Error {
        let why = match refused {
            Refused::Said { code, text } => format!("{code} {}", self.inert(text)),
            Refused::Broken(_) | Refused::Late => return self.error("open", "its folder", Refused::Late),
        };
        Error::new(
            ErrorKind::NotFound,
            format!(
                "destination `{}`: its folder `{}` cannot be opened on the server: {why}; make it there, or correct the folder",
                self.name,
                inert(&self.options.root)
            ),
        )
    }

    pub(super) fn no_rename(&self, from: &Name, to: &Name, refused: Refused) -> Error {
        match refused {
            Refused::Said { code, text } if kind(code, &text) != ErrorKind::Unavailable => Error::new(
                ErrorKind::Denied,
                format!(
                    "destination `{}`: the server refuses to rename `{from}` to `{to}`: {code} {}; have renaming allowed, or \
                     set `renames: false` for this destination",
                    self.name,
                    self.inert(&text)
                ),
            ),
            e => self.error("rename", from, e),
        }
    }

    fn unreachable(&self, what: &str, why: &str) -> Error {
        // What rustls says, in the only form that comes through.
        let (kind, hint) = if why.contains("invalid peer certificate") {
            (ErrorKind::HostKeyChanged, tls::UNBELIEVED)
        } else {
            (ErrorKind::Unavailable, "try again later")
        };
        Error::new(kind, format!("destination `{}`: {what}; {hint}", self.name))
    }

    /// A server may repeat what it was told.
    fn inert(&self, said: &str) -> String {
        let password = self.options.password.expose();
        let said = if password.is_empty() { said.into() } else { said.replace(password, "***") };
        inert(&said).into_owned()
    }
}
