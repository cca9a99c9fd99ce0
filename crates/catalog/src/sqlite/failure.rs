use std::path::Path;

use crate::{Error, Kind, Result};

/// What SQLite's words mean for the person who has to do something about them.
impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        let (kind, message) = explain(&error);
        Error::new(kind, message).because(error)
    }
}

/// The same, naming the file: for errors on the way to it.
pub(super) fn at<T>(path: &Path, result: Result<T, sqlx::Error>) -> Result<T> {
    result.map_err(|error| {
        let (kind, message) = explain(&error);
        Error::new(kind, format!("{}: {message}", path.display())).because(error)
    })
}

fn explain(error: &sqlx::Error) -> (Kind, String) {
    let code = match error {
        sqlx::Error::Database(e) => e.code().and_then(|c| c.parse::<i32>().ok()),
        sqlx::Error::Io(_) => {
            return (Kind::Io, format!("the catalog's file cannot be read or written: {error}"));
        }
        sqlx::Error::PoolTimedOut => Some(BUSY),
        _ => None,
    };
    // The low byte is the class; the rest says more precisely where.
    match code.map(|c| c & 0xff) {
        Some(BUSY | LOCKED) => (
            Kind::Busy,
            "another process has held the catalog's database for too long; it is tried again, and if that does \
             not help, look for a second videorec that hangs"
                .into(),
        ),
        Some(FULL) => (
            Kind::Full,
            "no space is left for the catalog's database: free some on its disk; nothing of this step was kept, \
             and it is tried again"
                .into(),
        ),
        Some(IOERR) => (
            Kind::Io,
            format!("the disk below the catalog's database fails: check it and the system's log ({error})"),
        ),
        Some(CORRUPT | NOTADB) => (
            Kind::Corrupt,
            format!(
                "the catalog's database is damaged: stop videorec, keep the file, and restore it from its backup \
                 ({error})"
            ),
        ),
        Some(PERM | READONLY | CANTOPEN) => (
            Kind::Access,
            format!(
                "the catalog's database cannot be opened for writing: check that its folder exists and belongs to \
                 this user ({error})"
            ),
        ),
        _ => (Kind::Internal, format!("the catalog's database refused a step: {error}")),
    }
}

// https://www.sqlite.org/rescode.html
const PERM: i32 = 3;
const BUSY: i32 = 5;
const LOCKED: i32 = 6;
const READONLY: i32 = 8;
const IOERR: i32 = 10;
const CORRUPT: i32 = 11;
const FULL: i32 = 13;
const CANTOPEN: i32 = 14;
const NOTADB: i32 = 26;
