use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use aws_types::SdkConfig;
use tokio::{
    sync::{Notify, OnceCell},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{acks::Acks, held::Held, inbox::Inboxes, wire::Wire};
use crate::{
    Depth, Error, ErrorKind, Lane, MAX_DELAY, MAX_RECEIVE, MAX_VISIBILITY, Message, Queue, Receipt, body,
};

mod acks;
mod dead;
mod error;
mod held;
mod inbox;
mod receive;
mod send;
mod wire;

/// Amazon SQS: a standard queue for each lane.
///
/// Whether a delivery is still ours is decided here and not asked: SQS, and what imitates it, takes a change of a
/// delivery that is over in silence or not, as it happens. Our count begins before the request that brought the message,
/// so it ends before SQS's, and a `Lost` in doubt is the safe side.
///
/// A poll that is cut off takes its message out of everybody's sight for a whole visibility. So polls run in tasks of
/// their own, and what one brings after its receiver is gone goes to the next receiver, or back after a moment. Whoever
/// gets a message has at least half of its visibility before it.
#[derive(Debug)]
pub struct Sqs(Arc<Inner>);

/// The queue of each lane.
#[derive(Debug, Clone)]
pub struct Addresses {
    pub events: Address,
    pub interactive: Address,
    pub bulk: Address,
}

#[derive(Debug, Clone)]
pub struct Address {
    pub url: String,
    /// The URL of its dead-letter queue; none: the one that its redrive policy names.
    pub dead_letters: Option<String>,
}

impl<T: Into<String>> From<T> for Address {
    fn from(url: T) -> Self {
        Self { url: url.into(), dead_letters: None }
    }
}

#[derive(Debug)]
struct Inner {
    wire: Wire,
    /// In the order of [`Lane::ALL`].
    places: [Place; Lane::ALL.len()],
    /// Whole seconds, 1 at least.
    visibility: Duration,
    state: Mutex<State>,
    /// Something came into an inbox, or a poll ended.
    changed: Notify,
    closing: CancellationToken,
    tasks: TaskTracker,
}

#[derive(Debug)]
struct Place {
    lane: Lane,
    url: String,
    dead_letters: OnceCell<String>,
    acks: Mutex<Acks>,
}

#[derive(Debug, Default)]
struct State {
    held: Held,
    inboxes: Inboxes,
    /// For whoever closes.
    not_given_back: Option<Error>,
}

impl Sqs {
    /// How long a received message stays invisible unless it is extended: long enough for an extension to be tried
    /// again, short enough to have a dead worker's messages back soon.
    pub const VISIBILITY: Duration = Duration::from_secs(120);

    /// Asks nothing yet; `depth` finds out whether the queues are there and let us. `sdk` brings the region, the
    /// credentials and an HTTP client. SQS counts a `visibility` in whole seconds, so it is rounded up.
    pub fn new(sdk: &SdkConfig, addresses: Addresses, visibility: Duration) -> Self {
        let Addresses { events, interactive, bulk } = addresses;
        let place = |lane, address: Address| Place {
            lane,
            url: address.url,
            dead_letters: OnceCell::new_with(address.dead_letters),
            acks: Mutex::default(),
        };
        Self(Arc::new(Inner {
            wire: Wire::new(sdk),
            places: [
                place(Lane::Events, events),
                place(Lane::Interactive, interactive),
                place(Lane::Bulk, bulk),
            ],
            visibility: Duration::from_secs(whole_seconds(visibility.min(MAX_VISIBILITY)).max(1)),
            state: Mutex::default(),
            changed: Notify::new(),
            closing: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }))
    }
}

#[async_trait]
impl Queue for Sqs {
    async fn send(&self, lane: Lane, body: String, delay: Duration) -> Result<(), Error> {
        body::check(&body)?;
        let delay = whole_seconds(delay.min(MAX_DELAY));
        self.0.wire.send(&self.0.place(lane).url, body, delay, None).await
    }

    async fn send_many(&self, lane: Lane, bodies: Vec<String>) -> Result<(), Error> {
        bodies.iter().try_for_each(|body| body::check(body))?;
        self.0.send_many(lane, bodies).await
    }

    /// One lane: a single request, waiting at the server. Several: a short poll of each in order, so that the first
    /// lane's come first, and then waiting at all of them at once.
    async fn receive(&self, lanes: &[Lane], max: usize, wait: Duration) -> Result<Vec<Message>, Error> {
        if lanes.is_empty() || max == 0 {
            return Err(Error::new(
                ErrorKind::Invalid,
                "receive at least one message from at least one lane",
            ));
        }
        self.0.receive(lanes, max.min(MAX_RECEIVE), wait).await
    }

    async fn extend(&self, receipt: &Receipt, visibility: Duration) -> Result<(), Error> {
        if visibility.is_zero() {
            return self.release(receipt, visibility).await;
        }
        let asked = Instant::now();
        let (handle, seconds) =
            self.0.lock().held.extension(receipt, asked, visibility).ok_or_else(Error::lost)?;
        let hidden = self.0.wire.hide_one(&self.0.place(receipt.lane).url, handle, seconds).await;
        let until = asked + Duration::from_secs(seconds);
        let held = &mut self.0.lock().held;
        match &hidden {
            // The answer may have come after the end, and then somebody else may have been first.
            Ok(()) => held.keep(receipt, Instant::now(), until).ok_or_else(Error::lost)?,
            Err(e) if e.kind() == ErrorKind::Lost => held.end(receipt),
            // It may have been done, and an extension can shorten.
            Err(_) => held.shorten(receipt, until),
        }
        hidden
    }

    /// One call does for up to ten that come within a few milliseconds.
    async fn ack(&self, receipt: &Receipt) -> Result<(), Error> {
        let handle = self.0.lock().held.handle(receipt, Instant::now()).ok_or_else(Error::lost)?;
        self.0.ack(receipt.lane, handle).await?;
        self.0.lock().held.end(receipt);
        Ok(())
    }

    /// The delivery is over whatever the answer is, since a request without an answer may have been done.
    async fn release(&self, receipt: &Receipt, delay: Duration) -> Result<(), Error> {
        let now = Instant::now();
        let delay = delay.min(MAX_DELAY);
        let (handle, seconds) = {
            let mut state = self.0.lock();
            let held = &mut state.held;
            // What is left of the delivery's twelve hours may be less than the delay.
            let granted = if delay.is_zero() {
                held.handle(receipt, now).map(|handle| (handle, 0))
            } else {
                held.extension(receipt, now, delay)
            };
            held.end(receipt);
            granted.ok_or_else(Error::lost)?
        };
        self.0.wire.hide_one(&self.0.place(receipt.lane).url, handle, seconds).await
    }

    async fn depth(&self) -> Result<Vec<Depth>, Error> {
        let counts = self.0.places.iter().map(async |place| self.0.wire.depth(place.lane, &place.url).await);
        futures::future::try_join_all(counts).await
    }

    async fn close(&self) -> Result<(), Error> {
        self.0.closing.cancel();
        self.0.changed.notify_waiters();
        self.0.tasks.close();
        self.0.tasks.wait().await;
        self.0.lock().not_given_back.take().map_or(Ok(()), Err)
    }
}

impl Inner {
    fn place(&self, lane: Lane) -> &Place {
        let place = self.places.iter().find(|place| place.lane == lane);
        place.expect("every lane has its place")
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing leaves a half-done change behind when it panics.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Rounded up: what is hidden is hidden for as long as was asked at least.
fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}
