//! How nouns are written as text in any database, and read back.

use std::{fmt::Display, str::FromStr, time::Duration};

use domain::{JobState, Kind, Lane, State};
use serde::{Serialize, de::DeserializeOwned};

use crate::{BatchState, Error, Happening, Result, error};

pub(crate) fn kind(text: &str) -> Result<Kind> {
    one_of(text, Kind::ALL, Kind::as_str)
}

pub(crate) fn state(text: &str) -> Result<State> {
    one_of(text, State::ALL, State::as_str)
}

/// What is paused is pending to everybody but the ledger.
pub(crate) fn job_state(text: &str) -> Result<JobState> {
    if text == "paused" { Ok(JobState::Pending) } else { one_of(text, JobState::ALL, JobState::as_str) }
}

/// The words for a state in the ledger.
pub(crate) fn job_states(state: JobState) -> &'static [&'static str] {
    match state {
        JobState::Pending => &["pending", "paused"],
        JobState::Running => &["running"],
        JobState::Done => &["done"],
        JobState::Parked => &["parked"],
        JobState::Cancelled => &["cancelled"],
    }
}

pub(crate) fn happening(text: &str) -> Result<Happening> {
    one_of(text, Happening::ALL, Happening::as_str)
}

pub(crate) fn batch_state(text: &str) -> Result<BatchState> {
    one_of(text, BatchState::ALL, BatchState::as_str)
}

/// A number, so that an index on it has the interactive lane first.
pub(crate) fn lane_number(lane: Lane) -> i64 {
    match lane {
        Lane::Interactive => 0,
        Lane::Bulk => 1,
    }
}

pub(crate) fn lane(number: i64) -> Result<Lane> {
    match number {
        0 => Ok(Lane::Interactive),
        1 => Ok(Lane::Bulk),
        other => Err(unreadable("a lane", &other)),
    }
}

/// Anything that is written as it is shown: ids and hashes.
pub(crate) fn parsed<T: FromStr<Err: Into<Box<dyn std::error::Error + Send + Sync>>>>(
    text: &str,
) -> Result<T> {
    text.parse().map_err(|e: T::Err| unreadable("an id", &text).because(e))
}

pub(crate) fn json<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|e| unreadable("a fact", &shortened(text)).because(e))
}

pub(crate) fn to_json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("our nouns are plain data")
}

/// Most have nothing special about them.
pub(crate) fn custody(text: &str) -> Result<domain::Custody> {
    if text == "{}" { Ok(domain::Custody::default()) } else { json(text) }
}

/// Most have none.
pub(crate) fn fields(text: &str) -> Result<domain::Fields> {
    if text == "{}" { Ok(domain::Fields::default()) } else { json(text) }
}

pub(crate) fn fields_text(fields: &domain::Fields) -> String {
    if fields.is_empty() { "{}".into() } else { to_json(fields) }
}

pub(crate) fn custody_text(custody: &domain::Custody) -> String {
    if *custody == domain::Custody::default() { "{}".into() } else { to_json(custody) }
}

pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Databases count in signed numbers; nothing that we count reaches the difference.
pub(crate) fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

pub(crate) fn unsigned(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}

pub(crate) fn from_hex(text: &str) -> Result<Vec<u8>> {
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|n| u8::try_from(n).ok());
    let pairs = text.as_bytes().chunks(2).map(|pair| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    });
    pairs.collect::<Option<_>>().ok_or_else(|| unreadable("a checksum", &shortened(text)))
}

fn one_of<T: std::marker::Copy, const N: usize>(
    text: &str,
    all: [T; N],
    name: fn(T) -> &'static str,
) -> Result<T> {
    all.into_iter().find(|it| name(*it) == text).ok_or_else(|| unreadable("a word", &text))
}

fn unreadable(what: &str, found: &dyn Display) -> Error {
    Error::new(
        error::Kind::Corrupt,
        format!(
            "the catalog holds `{found}` where {what} was expected: another version of videorec wrote it, or the \
             database is damaged; use the newer videorec, or restore the catalog from its backup"
        ),
    )
}

fn shortened(text: &str) -> String {
    text.chars().take(120).collect()
}
