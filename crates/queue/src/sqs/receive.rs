use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep, sleep_until};

use super::{Inner, held};
use crate::{Error, ErrorKind, Lane, MAX_VISIBILITY, Message};

/// The longest that SQS lets a poll wait.
const LONGEST_POLL: Duration = Duration::from_secs(20);
/// An answer that is on its way when the wait is over is waited for.
const ON_ITS_WAY: Duration = Duration::from_secs(1);
/// How long a message waits for the next receiver, unless a quarter of the visibility is less.
const KEPT: Duration = Duration::from_secs(2);

impl Inner {
    pub(super) async fn receive(
        self: &Arc<Self>,
        lanes: &[Lane],
        max: usize,
        wait: Duration,
    ) -> Result<Vec<Message>, Error> {
        if self.closing.is_cancelled() {
            return Err(Error::new(ErrorKind::Invalid, "this queue is closed: receive before that"));
        }
        let deadline = Instant::now() + wait.min(MAX_VISIBILITY);
        if lanes.len() > 1 || wait.is_zero() {
            self.look(lanes, max).await?;
        }
        let _here = Here::at(self, lanes);
        loop {
            // Before looking, or what comes between the look and the wait would wake nobody.
            let changed = self.changed.notified();
            let left = deadline.saturating_duration_since(Instant::now());
            {
                let mut state = self.lock();
                let inboxes = &mut state.inboxes;
                // No await after taking: a dropped future has either taken nothing or already answered.
                let taken = inboxes.take(lanes, max);
                if !taken.is_empty() || left.is_zero() || self.closing.is_cancelled() {
                    return Ok(taken);
                }
                if let Some(failure) = inboxes.failure(lanes) {
                    return Err(failure);
                }
                for &lane in lanes {
                    if inboxes.begin_poll(lane) {
                        self.tasks.spawn(self.clone().long_poll(lane, max, poll_seconds(left)));
                    }
                }
            }
            tokio::select! {
                () = changed => {}
                () = sleep_until(deadline + grace(left)) => {}
            }
        }
    }

    /// A short poll of each lane, in order, until there is enough.
    async fn look(self: &Arc<Self>, lanes: &[Lane], max: usize) -> Result<(), Error> {
        for (i, &lane) in lanes.iter().enumerate() {
            let room = max.saturating_sub(self.lock().inboxes.ready(&lanes[..=i]));
            if room == 0 {
                break;
            }
            let poll = self.tasks.spawn(self.clone().poll(lane, room, 0));
            let polled = poll.await.unwrap_or_else(|e| Err(Error::new(ErrorKind::Other, e.to_string())));
            if let Err(failure) = polled {
                // What the lanes before it brought goes out first; the next receive meets the failure again.
                return if self.lock().inboxes.ready(lanes) > 0 { Ok(()) } else { Err(failure) };
            }
        }
        Ok(())
    }

    async fn long_poll(self: Arc<Self>, lane: Lane, max: usize, seconds: u64) {
        let failure = self.clone().poll(lane, max, seconds).await.err();
        self.lock().inboxes.end_poll(lane, failure);
        self.changed.notify_waiters();
    }

    /// One request, to its end. What it brings is in the inbox before anybody hears of it.
    async fn poll(self: Arc<Self>, lane: Lane, max: usize, seconds: u64) -> Result<(), Error> {
        let url = &self.place(lane).url;
        let asked = Instant::now();
        let mut received = self.wire.receive(url, max, seconds, self.visibility.as_secs()).await?;
        if received.is_empty() {
            return Ok(());
        }
        let mut until = asked + self.visibility;
        // After a long wait nobody here knows when the visibility began: it begins anew.
        if asked.elapsed() > self.visibility / 4 {
            let now = Instant::now();
            let seconds = held::grant(asked, now, self.visibility);
            let handles: Vec<_> = received.iter().map(|r| r.handle.clone()).collect();
            // What could not be hidden anew comes again by itself.
            let mut hidden = self.wire.hide(url, handles, seconds).await.into_iter();
            received.retain(|_| hidden.next().is_some_and(|outcome| outcome.is_ok()));
            until = now + Duration::from_secs(seconds);
        }
        let tokens = {
            let mut state = self.lock();
            let messages: Vec<_> = received
                .into_iter()
                .map(|r| {
                    let receipt = state.held.add(lane, r.handle, asked, until);
                    Message { lane, body: r.body, receipt, receives: r.receives }
                })
                .collect();
            let tokens = messages.iter().map(|m| m.receipt.token.clone()).collect();
            state.inboxes.put(messages);
            tokens
        };
        self.changed.notify_waiters();
        self.tasks.spawn(self.clone().tidy(lane, tokens));
        Ok(())
    }

    /// Gives back what has found no receiver after a moment.
    async fn tidy(self: Arc<Self>, lane: Lane, tokens: Vec<String>) {
        tokio::select! {
            () = sleep(KEPT.min(self.visibility / 4)) => {}
            () = self.closing.cancelled() => {}
        }
        let handles: Vec<String> = {
            let mut state = self.lock();
            let now = Instant::now();
            let back = state.inboxes.take_back(lane, &tokens);
            let handles =
                back.iter().filter_map(|message| state.held.handle(&message.receipt, now)).collect();
            back.iter().for_each(|message| state.held.end(&message.receipt));
            handles
        };
        if !handles.is_empty() {
            let outcomes = self.wire.hide(&self.place(lane).url, handles, 0).await;
            let failure = outcomes.into_iter().filter_map(Result::err).find(|e| e.kind() != ErrorKind::Lost);
            if self.closing.is_cancelled() && failure.is_some() {
                self.lock().not_given_back = failure;
            }
        }
    }
}

/// A receiver is there for as long as this lives.
struct Here<'a> {
    inner: &'a Inner,
    lanes: &'a [Lane],
}

impl<'a> Here<'a> {
    fn at(inner: &'a Inner, lanes: &'a [Lane]) -> Self {
        inner.lock().inboxes.enter(lanes);
        Self { inner, lanes }
    }
}

impl Drop for Here<'_> {
    fn drop(&mut self) {
        self.inner.lock().inboxes.leave(self.lanes);
    }
}

/// SQS waits whole seconds: the nearest number of them, and one where that is none.
fn poll_seconds(left: Duration) -> u64 {
    (left + Duration::from_millis(500)).as_secs().clamp(1, LONGEST_POLL.as_secs())
}

/// For how long after the deadline a poll is waited for. One of a second for less than half of one is left to whoever
/// comes next.
fn grace(left: Duration) -> Duration {
    if left < Duration::from_millis(500) { Duration::ZERO } else { ON_ITS_WAY }
}
