use std::fmt::Debug;

use async_trait::async_trait;

use crate::{Error, Lane, body};

/// Messages that are out of their lane because nobody could do anything with them. They wait for a person.
#[async_trait]
pub trait DeadLetters: Send + Sync + Debug {
    /// Puts a message that cannot be read, or is not worth another try, among the lane's dead letters; acknowledge it
    /// afterwards. Of the reason the first [`MAX_REASON`] bytes are kept, fewer where a large body leaves less room,
    /// and no control character.
    /// Errors: `Invalid`, as with a `send`.
    async fn park(&self, lane: Lane, body: String, reason: &str) -> Result<(), Error>;

    /// Up to `max` of them, in no particular order. A look takes nothing away; another one may have to wait half a
    /// minute if this one's future was dropped.
    async fn dead(&self, lane: Lane, max: usize) -> Result<Vec<Dead>, Error>;

    /// Sends them to their lane again and returns how many those were. What fails in the middle may be in both places.
    async fn redrive(&self, lane: Lane, which: Which) -> Result<u64, Error>;

    /// Removes them for good and returns how many those were.
    async fn drop_dead(&self, lane: Lane, which: Which) -> Result<u64, Error>;

    /// How many each lane has, every lane once. Approximate where the backend's is (SQS).
    async fn dead_counts(&self) -> Result<Vec<(Lane, u64)>, Error>;
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dead {
    /// Names it for [`Which::Id`].
    pub id: String,
    pub body: String,
    /// Why it was parked; none when the backend put it here by itself after too many receives.
    pub reason: Option<String>,
    /// Times it was received, as the backend counts: SQS counts the looks too.
    pub receives: u32,
    /// Milliseconds since 1970 of the original send, where the backend knows.
    pub sent_at_ms: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    All,
    /// One of them, by [`Dead::id`]. None of that id is not an error: the answer is 0.
    Id(String),
}

impl Which {
    pub(crate) fn names(&self, id: &str) -> bool {
        match self {
            Self::All => true,
            Self::Id(wanted) => wanted == id,
        }
    }
}

/// Bytes.
pub const MAX_REASON: usize = 1 << 10;

/// A reason as it is kept: it is read by people and comes from what could not be read.
pub(crate) fn reason(text: &str, room: usize) -> Option<String> {
    let inert: String = text
        .chars()
        .map(|c| match c {
            '\t' | '\n' | '\r' => ' ',
            c if c.is_control() || !body::is_carried(c) => char::REPLACEMENT_CHARACTER,
            c => c,
        })
        .collect();
    let cut = inert.floor_char_boundary(MAX_REASON.min(room));
    (cut > 0).then(|| inert[..cut].to_owned())
}
