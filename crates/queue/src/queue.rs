use std::{fmt::Debug, time::Duration};

use async_trait::async_trait;

use crate::{Error, body};

/// Messages in lanes, delivered at least once and in no promised order.
#[async_trait]
pub trait Queue: Send + Sync + Debug {
    /// Hands over a body of 1 to [`MAX_BODY`] bytes of text without control characters (tab and line ends may be),
    /// visible after `delay` (at most [`MAX_DELAY`]; more is shortened to it, so a receiver must look for itself whether
    /// the time has come).
    /// Errors: `Full` (temporary), `Invalid`.
    async fn send(&self, lane: Lane, body: String, delay: Duration) -> Result<(), Error>;

    /// Hands over many, visible at once; cheaper than one by one where the backend has batches. After an error some of
    /// them may have been sent: send all of them again.
    /// Errors: as with `send`; an `Invalid` one is found before anything is sent.
    async fn send_many(&self, lane: Lane, bodies: Vec<String>) -> Result<(), Error> {
        bodies.iter().try_for_each(|body| body::check(body))?;
        for body in bodies {
            self.send(lane, body, Duration::ZERO).await?;
        }
        Ok(())
    }

    /// Up to `max` (at most [`MAX_RECEIVE`]) messages, those of the first lane first; waits up to `wait` for the
    /// first one and then does not wait for more. An empty answer means that there was none.
    ///
    /// A received message is invisible to others until its visibility ends: `extend` it, and `ack` it after its
    /// outcome is recorded. Dropping the future loses no message.
    async fn receive(&self, lanes: &[Lane], max: usize, wait: Duration) -> Result<Vec<Message>, Error>;

    /// Keeps the message invisible for that long from now, at most [`MAX_VISIBILITY`]. With SQS that is the limit for a
    /// delivery with all its extensions: what would go beyond is shortened, and when nothing is left it is `Lost`.
    /// Errors: `Lost`; whoever gets it stops its work, since somebody else may have begun it.
    async fn extend(&self, receipt: &Receipt, visibility: Duration) -> Result<(), Error>;

    /// Removes the message for good. Errors: `Lost`; the message then comes again.
    async fn ack(&self, receipt: &Receipt) -> Result<(), Error>;

    /// Gives the message back, visible after `delay`. Errors: `Lost`.
    async fn release(&self, receipt: &Receipt, delay: Duration) -> Result<(), Error>;

    /// How many messages each lane holds, every lane once. Approximate where the backend's is (SQS).
    async fn depth(&self) -> Result<Vec<Depth>, Error>;

    /// Ends what goes on behind the calls and gives back what was received for nobody. Call it before the process ends,
    /// after the last `receive`; with SQS it takes up to 20 s, since a message is out of everybody's sight for a whole
    /// visibility when its poll is cut off.
    /// Errors: something could not be given back; its visibility ends by itself.
    async fn close(&self) -> Result<(), Error> {
        Ok(())
    }
}

/// What a message is about, and how urgent it is. Each lane is a queue of its own where the backend has such (SQS).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Something happened: a hint to look again.
    Events,
    /// Jobs that a person waits for.
    Interactive,
    /// All other jobs.
    Bulk,
}

impl Lane {
    pub const ALL: [Lane; 3] = [Self::Events, Self::Interactive, Self::Bulk];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Interactive => "interactive",
            Self::Bulk => "bulk",
        }
    }
}

impl From<domain::Lane> for Lane {
    fn from(lane: domain::Lane) -> Self {
        match lane {
            domain::Lane::Interactive => Self::Interactive,
            domain::Lane::Bulk => Self::Bulk,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub lane: Lane,
    pub body: String,
    pub receipt: Receipt,
    /// Times it was received, this one included. A killed worker counts too.
    pub receives: u32,
}

/// Names one delivery of one message; each delivery has another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Receipt {
    pub(crate) lane: Lane,
    pub(crate) token: String,
}

/// Messages of one lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Depth {
    pub lane: Lane,
    /// Ready for a receiver.
    pub visible: u64,
    /// With a receiver.
    pub in_flight: u64,
    /// Not yet due.
    pub delayed: u64,
}

/// Bytes: SQS's classic limit. A message is a hint and has no business being large.
pub const MAX_BODY: usize = 256 << 10;

/// The longest delay that SQS knows.
pub const MAX_DELAY: Duration = Duration::from_secs(15 * 60);

/// The longest time that SQS hides a message.
pub const MAX_VISIBILITY: Duration = Duration::from_secs(12 * 60 * 60);

/// Messages in one answer at most, as with SQS.
pub const MAX_RECEIVE: usize = 10;
