use std::time::Duration;

use crate::{Error, Kind};

/// Why an attempt at a call failed, and with it whether to make another.
#[derive(Debug)]
pub(super) enum Failure {
    Sql(sqlx::Error),
    /// The connection was lost when everything had been said: it is kept or it is not.
    Unanswered(sqlx::Error),
    /// Nothing came back in time.
    Late(Duration),
    Ours(Error),
}

pub(super) type Result<T> = std::result::Result<T, Failure>;

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}
impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Ours(error)
    }
}

impl Failure {
    /// Nothing of the attempt was kept, and another one may well succeed.
    pub(super) fn is_worth_another_attempt(&self) -> bool {
        match self {
            Self::Sql(error) => {
                is_lost(error)
                    || matches!(code(error), Some(DEADLOCK | SERIALIZATION))
                    || is_taken_row_id(error)
            }
            Self::Unanswered(_) | Self::Late(_) | Self::Ours(_) => false,
        }
    }

    /// The connection cannot be used again, or it is not known in which state it is.
    pub(super) fn ends_the_connection(&self) -> bool {
        match self {
            Self::Sql(error) => is_lost(error),
            Self::Unanswered(_) | Self::Late(_) => true,
            Self::Ours(_) => false,
        }
    }

    /// When the connection is lost after a last word, nobody knows whether it was heard.
    pub(super) fn of_the_last_word(self) -> Self {
        match self {
            Self::Sql(error) if is_lost(&error) => Self::Unanswered(error),
            other => other,
        }
    }
}

/// What it means for the person who has to do something about it.
impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Sql(error) | Failure::Unanswered(error) => {
                let (kind, message) = explain(&error);
                Error::new(kind, message).because(error)
            }
            Failure::Late(patience) => Error::new(
                Kind::Io,
                format!(
                    "the catalog's database server said nothing for {} s: it is tried again; check that the server \
                     runs, that it is not overloaded, and the network to it",
                    patience.as_secs()
                ),
            ),
            Failure::Ours(error) => error,
        }
    }
}

fn explain(error: &sqlx::Error) -> (Kind, String) {
    if is_lost(error) {
        let message = format!(
            "the catalog's database server cannot be reached, or it ended the connection ({error}): it is tried \
             again; check that the server runs and the network to it"
        );
        return (Kind::Io, message);
    }
    match error {
        sqlx::Error::PoolTimedOut => (
            Kind::Busy,
            "no connection to the catalog's database came free in time: it is tried again; check that the server runs \
             and can be reached, or give this process more connections"
                .into(),
        ),
        sqlx::Error::PoolClosed => {
            (Kind::Invalid, "the catalog was closed: nothing can be asked of it any more".into())
        }
        error if is_mistrusted(error) => (
            Kind::Access,
            format!(
                "no encrypted connection to the catalog's database server: check `sslmode` and `sslrootcert` in its \
                 URL against what the server offers ({error})"
            ),
        ),
        _ => explain_state(error),
    }
}

/// By SQLSTATE: https://www.postgresql.org/docs/current/errcodes-appendix.html
fn explain_state(error: &sqlx::Error) -> (Kind, String) {
    let state = code(error).unwrap_or_default();
    match (&state[..state.len().min(2)], state) {
        (_, DEADLOCK | SERIALIZATION) | ("55", _) => (
            Kind::Busy,
            "too many others change the same rows of the catalog at this moment: it is tried again".into(),
        ),
        (_, "57014") => (
            Kind::Busy,
            "the catalog's database took too long over a step and gave it up: it is tried again; if that does not \
             help, look at what else keeps the server busy"
                .into(),
        ),
        (_, TOO_MANY_CONNECTIONS) => (
            Kind::Busy,
            "the catalog's database server has no connection left: it is tried again; give each process fewer \
             connections, or raise the server's `max_connections`"
                .into(),
        ),
        (_, "53100") => (
            Kind::Full,
            "no space is left on the disk of the catalog's database server: free some or add some; nothing of this \
             step was kept, and it is tried again"
                .into(),
        ),
        ("53", _) => {
            (Kind::Busy, format!("the catalog's database server has too little left ({error}): it is tried again"))
        }
        ("58", _) => (
            Kind::Io,
            format!("the disk below the catalog's database server fails: check it and the server's log ({error})"),
        ),
        ("XX", _) => (
            Kind::Corrupt,
            format!(
                "the catalog's database is damaged or its server has a fault: look at the server's log, and if rows \
                 are lost, restore it from its backup ({error})"
            ),
        ),
        ("28", _) | (_, "3D000" | "42501" | "3F000") => (
            Kind::Access,
            format!(
                "the catalog's database does not let us in: check the user, the password and the database's name in \
                 its URL, and that this user owns the database ({error})"
            ),
        ),
        _ => (Kind::Internal, format!("the catalog's database refused a step: {error}")),
    }
}

/// The other end is gone, goes away, or is no longer the one that takes writes.
fn is_lost(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) => !is_mistrusted(error),
        // Cut in the middle of a message, or the other end of a proxy that speaks something else.
        sqlx::Error::Protocol(_) => true,
        sqlx::Error::Database(_) => code(error).is_some_and(|state| {
            state.starts_with("08")
                || matches!(state, "57P01" | "57P02" | "57P03" | "57P05" | "25P03" | READ_ONLY)
        }),
        _ => false,
    }
}

/// What is wrong with the server's certificate comes as a failure to read.
fn is_mistrusted(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Tls(_) => true,
        sqlx::Error::Io(e) => {
            e.kind() == std::io::ErrorKind::InvalidData && e.to_string().contains("certificate")
        }
        _ => false,
    }
}

/// Handed out twice after all: a date of more recordings than there are turns.
fn is_taken_row_id(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|e| e.constraint() == Some("recording_pkey"))
}

fn code(error: &sqlx::Error) -> Option<&str> {
    let error = error.as_database_error()?;
    Some(error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>()?.code())
}

const SERIALIZATION: &str = "40001";
const DEADLOCK: &str = "40P01";
const TOO_MANY_CONNECTIONS: &str = "53300";
/// After a fail-over an old connection may lead to what is now a standby.
const READ_ONLY: &str = "25006";
