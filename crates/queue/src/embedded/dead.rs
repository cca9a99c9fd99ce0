use std::{
    collections::VecDeque,
    sync::{MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;

use super::Embedded;
use crate::{Dead, DeadLetters, Error, Lane, MAX_REASON, Queue as _, Which, body, dead};

/// Dead letters in memory. The oldest make room for new ones, and all end with the process: what they were about is
/// found again by whoever looks at the facts.
#[derive(Debug, Default)]
pub(super) struct Letters {
    kept: VecDeque<(Lane, Dead)>,
    last_id: u64,
}

/// Dead letters in all lanes together.
const CAPACITY: usize = 10_000;

#[async_trait]
impl DeadLetters for Embedded {
    async fn park(&self, lane: Lane, body: String, reason: &str) -> Result<(), Error> {
        body::check(&body)?;
        let reason = dead::reason(reason, MAX_REASON);
        let mut letters = self.letters();
        letters.last_id += 1;
        let id = letters.last_id.to_string();
        letters.kept.push_back((lane, Dead { id, body, reason, receives: 0, sent_at_ms: None }));
        if letters.kept.len() > CAPACITY {
            letters.kept.pop_front();
        }
        Ok(())
    }

    async fn dead(&self, lane: Lane, max: usize) -> Result<Vec<Dead>, Error> {
        Ok(self.letters().of(lane, &Which::All).take(max).cloned().collect())
    }

    async fn redrive(&self, lane: Lane, which: Which) -> Result<u64, Error> {
        let chosen: Vec<Dead> = self.letters().of(lane, &which).cloned().collect();
        let mut sent = 0;
        for dead in chosen {
            // In this order, since a full lane must not cost the message.
            self.send(lane, dead.body, Duration::ZERO).await?;
            sent += self.letters().remove(lane, &Which::Id(dead.id));
        }
        Ok(sent)
    }

    async fn drop_dead(&self, lane: Lane, which: Which) -> Result<u64, Error> {
        Ok(self.letters().remove(lane, &which))
    }

    async fn dead_counts(&self) -> Result<Vec<(Lane, u64)>, Error> {
        let letters = self.letters();
        Ok(Lane::ALL.map(|lane| (lane, letters.of(lane, &Which::All).count() as u64)).into())
    }
}

impl Embedded {
    fn letters(&self) -> MutexGuard<'_, Letters> {
        self.dead.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Letters {
    fn of<'a>(&'a self, lane: Lane, which: &'a Which) -> impl Iterator<Item = &'a Dead> {
        self.kept.iter().filter(move |(of, dead)| *of == lane && which.names(&dead.id)).map(|(_, dead)| dead)
    }

    fn remove(&mut self, lane: Lane, which: &Which) -> u64 {
        let before = self.kept.len();
        self.kept.retain(|(of, dead)| *of != lane || !which.names(&dead.id));
        (before - self.kept.len()) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_oldest_make_room() {
        let queue = Embedded::default();
        for i in 0..CAPACITY + 3 {
            queue.park(Lane::Bulk, format!("{i}"), "").await.unwrap();
        }
        let kept = queue.dead(Lane::Bulk, usize::MAX).await.unwrap();
        assert_eq!((kept.len(), kept[0].body.as_str()), (CAPACITY, "3"));
    }

    #[tokio::test]
    async fn a_full_lane_costs_no_dead_letter() {
        let queue = Embedded::new(crate::Config { capacity: 1, ..Default::default() });
        for body in ["a", "b"] {
            queue.park(Lane::Bulk, body.into(), "").await.unwrap();
        }
        assert_eq!(queue.redrive(Lane::Bulk, Which::All).await.unwrap_err().kind(), crate::ErrorKind::Full);
        assert_eq!(queue.dead(Lane::Bulk, 9).await.unwrap()[0].body, "b", "a is in its lane, b still here");
    }
}
