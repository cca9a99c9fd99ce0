use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use tokio::{sync::Notify, time::Instant};

use self::{dead::Letters, lane::Messages};
use crate::{
    Depth, Error, ErrorKind, Lane, MAX_DELAY, MAX_RECEIVE, MAX_VISIBILITY, Message, Queue, Receipt, body,
};

mod dead;
mod lane;

/// A queue inside the process, for embedded mode.
///
/// Nothing survives the process, and nothing needs to: whoever starts looks at the facts and sends again.
///
/// A body that already waits in its lane is not queued a second time (the earlier time counts), and one that is
/// sent while it is in flight comes exactly once more after that delivery is over. This saves work and is no
/// promise: SQS will deliver every one of them.
#[derive(Debug)]
pub struct Embedded {
    config: Config,
    lanes: Mutex<[(Lane, Messages); Lane::ALL.len()]>,
    changed: Notify,
    dead: Mutex<Letters>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// How long a received message stays invisible unless it is extended.
    pub visibility: Duration,
    /// Messages in all lanes together at most; `send` answers `Full` beyond it.
    pub capacity: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { visibility: Duration::from_secs(120), capacity: 1_000_000 }
    }
}

impl Embedded {
    pub fn new(config: Config) -> Self {
        let lanes = Lane::ALL.map(|lane| (lane, Messages::default()));
        Self { config, lanes: Mutex::new(lanes), changed: Notify::new(), dead: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, [(Lane, Messages); Lane::ALL.len()]> {
        // Nothing below leaves a half-done change behind when it panics.
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `act` on the lane of a receipt, then wakes who waits for what may have become visible.
    fn with<T>(&self, lane: Lane, act: impl FnOnce(&mut Messages, Instant) -> T) -> T {
        let now = Instant::now();
        let result = act(of(&mut self.lock(), lane), now);
        self.changed.notify_waiters();
        result
    }

    fn take(&self, lanes: &[Lane], max: usize) -> (Vec<Message>, Option<Instant>) {
        let now = Instant::now();
        let mut all = self.lock();
        let mut taken = Vec::new();
        let mut next: Option<Instant> = None;
        for &lane in lanes {
            let messages = of(&mut all, lane);
            while taken.len() < max
                && let Some(delivery) = messages.take(now, now + self.config.visibility.min(MAX_VISIBILITY))
            {
                taken.push(Message {
                    lane,
                    body: delivery.body,
                    receipt: Receipt { lane, token: delivery.token },
                    receives: delivery.receives,
                });
            }
            next = next.into_iter().chain(messages.next_due()).min();
        }
        (taken, next)
    }
}

impl Default for Embedded {
    fn default() -> Self {
        Self::new(Config::default())
    }
}

#[async_trait]
impl Queue for Embedded {
    async fn send(&self, lane: Lane, body: String, delay: Duration) -> Result<(), Error> {
        body::check(&body)?;
        let now = Instant::now();
        let mut all = self.lock();
        let room = all.iter().map(|(_, messages)| messages.len()).sum::<usize>() < self.config.capacity;
        let accepted = of(&mut all, lane).send(body, now + delay.min(MAX_DELAY), room);
        drop(all);
        if !accepted {
            return Err(Error::new(
                ErrorKind::Full,
                format!("the queue holds its {} messages; try again later", self.config.capacity),
            ));
        }
        self.changed.notify_waiters();
        Ok(())
    }

    async fn receive(&self, lanes: &[Lane], max: usize, wait: Duration) -> Result<Vec<Message>, Error> {
        if lanes.is_empty() || max == 0 {
            return Err(Error::new(
                ErrorKind::Invalid,
                "receive at least one message from at least one lane",
            ));
        }
        let deadline = Instant::now() + wait.min(MAX_VISIBILITY);
        loop {
            // Before looking, or a message sent between the look and the wait would wake nobody.
            let changed = self.changed.notified();
            // No await after taking: a dropped future has either taken nothing or already answered.
            let (taken, next) = self.take(lanes, max.min(MAX_RECEIVE));
            if !taken.is_empty() || Instant::now() >= deadline {
                return Ok(taken);
            }
            let until = next.map_or(deadline, |next| next.min(deadline));
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep_until(until) => {}
            }
        }
    }

    async fn extend(&self, receipt: &Receipt, visibility: Duration) -> Result<(), Error> {
        let visibility = visibility.min(MAX_VISIBILITY);
        let held = self.with(receipt.lane, |messages, now| messages.extend(&receipt.token, now, visibility));
        held.ok_or_else(Error::lost)
    }

    async fn ack(&self, receipt: &Receipt) -> Result<(), Error> {
        self.with(receipt.lane, |messages, now| messages.ack(&receipt.token, now)).ok_or_else(Error::lost)
    }

    async fn release(&self, receipt: &Receipt, delay: Duration) -> Result<(), Error> {
        let delay = delay.min(MAX_DELAY);
        let held = self.with(receipt.lane, |messages, now| messages.release(&receipt.token, now, delay));
        held.ok_or_else(Error::lost)
    }

    async fn depth(&self) -> Result<Vec<Depth>, Error> {
        let now = Instant::now();
        Ok(self.lock().iter_mut().map(|(lane, messages)| messages.depth(*lane, now)).collect())
    }
}

fn of(all: &mut [(Lane, Messages); Lane::ALL.len()], lane: Lane) -> &mut Messages {
    let found = all.iter_mut().find(|(named, _)| *named == lane);
    &mut found.expect("every lane of Lane::ALL has its messages").1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Subject;

    const SHORT: Duration = Duration::from_secs(2);

    async fn subject() -> Subject {
        Subject::new(Embedded::new(Config { visibility: SHORT, ..Config::default() }), SHORT)
    }
    crate::contract!(subject, start_paused = true);
    crate::dead_letters_contract!(subject, start_paused = true);

    #[tokio::test]
    async fn a_full_queue_says_so_and_takes_again_once_there_is_room() {
        let queue = Embedded::new(Config { capacity: 1, ..Config::default() });
        queue.send(Lane::Bulk, "a".into(), Duration::ZERO).await.unwrap();
        let full = queue.send(Lane::Interactive, "b".into(), Duration::ZERO).await.unwrap_err();
        assert_eq!((full.kind(), full.is_temporary()), (ErrorKind::Full, true));
        // A repeat needs no room.
        queue.send(Lane::Bulk, "a".into(), Duration::ZERO).await.unwrap();
        let got = queue.receive(&Lane::ALL, 1, Duration::ZERO).await.unwrap();
        queue.ack(&got[0].receipt).await.unwrap();
        queue.send(Lane::Interactive, "b".into(), Duration::ZERO).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_waits_is_queued_once_and_the_earlier_time_counts() {
        let queue = Embedded::default();
        for delay in [60, 5, 30] {
            queue.send(Lane::Bulk, "same".into(), Duration::from_secs(delay)).await.unwrap();
        }
        queue.send(Lane::Interactive, "same".into(), Duration::from_secs(60)).await.unwrap();
        let start = Instant::now();
        let got = queue.receive(&Lane::ALL, 10, Duration::from_secs(20)).await.unwrap();
        assert_eq!((got.len(), got[0].lane, start.elapsed().as_secs()), (1, Lane::Bulk, 5));
        queue.ack(&got[0].receipt).await.unwrap();
        assert_eq!(queue.depth().await.unwrap().iter().map(|d| d.delayed).sum::<u64>(), 1);
    }

    /// The sender may know of a change that came after this delivery's receiver had looked.
    #[tokio::test]
    async fn a_body_sent_while_in_flight_comes_once_more() {
        let queue = Embedded::default();
        queue.send(Lane::Bulk, "look".into(), Duration::ZERO).await.unwrap();
        let first = queue.receive(&Lane::ALL, 10, Duration::ZERO).await.unwrap();
        for _ in 0..3 {
            queue.send(Lane::Bulk, "look".into(), Duration::ZERO).await.unwrap();
        }
        assert!(queue.receive(&Lane::ALL, 10, Duration::ZERO).await.unwrap().is_empty());
        queue.ack(&first[0].receipt).await.unwrap();
        let second = queue.receive(&Lane::ALL, 10, Duration::ZERO).await.unwrap();
        assert_eq!((second.len(), second[0].receives), (1, 1));
        queue.ack(&second[0].receipt).await.unwrap();
        assert!(queue.receive(&Lane::ALL, 10, Duration::ZERO).await.unwrap().is_empty());
    }
}
