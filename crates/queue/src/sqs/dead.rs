use std::collections::HashSet;

use async_trait::async_trait;

use super::{
    Inner, Sqs,
    send::batches,
    wire::{BATCH, REASON, Received},
};
use crate::{Dead, DeadLetters, Error, Lane, MAX_BODY, Which, body, dead};

/// Seconds for which a look hides what it sees, so that it does not see it twice; given back at its end.
const HIDDEN: u64 = 30;
/// Seconds. A poll that waits asks every server of SQS, one that does not may miss what is there.
const WAIT: u64 = 1;

/// SQS cannot find a message by its id. Whatever concerns one goes through the queue page by page until it is found,
/// and gives the others back; every message that was seen on the way counts a receive more.
#[async_trait]
impl DeadLetters for Sqs {
    async fn park(&self, lane: Lane, body: String, reason: &str) -> Result<(), Error> {
        body::check(&body)?;
        // An attribute counts as its name, its type and its value.
        let room = MAX_BODY.saturating_sub(body.len() + REASON.len() + "String".len());
        let url = self.0.dead_letters(lane).await?;
        self.0.wire.send(url, body, 0, dead::reason(reason, room)).await
    }

    async fn dead(&self, lane: Lane, max: usize) -> Result<Vec<Dead>, Error> {
        let mut walk = Walk::through(&self.0, lane).await?;
        let mut found = Vec::new();
        while found.len() < max {
            let page = walk.page(max - found.len()).await;
            let page = walk.or_end(page).await?;
            if page.is_empty() {
                break;
            }
            found.extend(page.into_iter().map(|seen| {
                walk.others.push(seen.handle);
                Dead {
                    id: seen.id,
                    body: seen.body,
                    reason: seen.reason,
                    receives: seen.receives,
                    sent_at_ms: seen.sent_at_ms,
                }
            }));
        }
        walk.end().await;
        Ok(found)
    }

    async fn redrive(&self, lane: Lane, which: Which) -> Result<u64, Error> {
        self.0.take_out(lane, which, true).await
    }

    async fn drop_dead(&self, lane: Lane, which: Which) -> Result<u64, Error> {
        self.0.take_out(lane, which, false).await
    }

    async fn dead_counts(&self) -> Result<Vec<(Lane, u64)>, Error> {
        futures::future::try_join_all(Lane::ALL.map(async |lane| Ok((lane, self.0.dead_count(lane).await?))))
            .await
    }
}

impl Inner {
    async fn dead_letters(&self, lane: Lane) -> Result<&str, Error> {
        let place = self.place(lane);
        let found =
            place.dead_letters.get_or_try_init(async || self.wire.dead_letter_queue(&place.url).await);
        Ok(found.await?)
    }

    async fn dead_count(&self, lane: Lane) -> Result<u64, Error> {
        let depth = self.wire.depth(lane, self.dead_letters(lane).await?).await?;
        Ok(depth.visible + depth.in_flight + depth.delayed)
    }

    /// Removes the chosen ones, after sending them to their lane if they are to live.
    async fn take_out(&self, lane: Lane, which: Which, alive: bool) -> Result<u64, Error> {
        // Messages that die again at once must not keep this going for ever, and the count is approximate.
        let limit = 2 * self.dead_count(lane).await? + 100;
        let mut walk = Walk::through(self, lane).await?;
        let mut out = 0;
        while out < limit {
            let page = walk.page(BATCH).await;
            let page = walk.or_end(page).await?;
            if page.is_empty() {
                break;
            }
            let (chosen, others): (Vec<_>, Vec<_>) = page.into_iter().partition(|seen| which.names(&seen.id));
            walk.others.extend(others.into_iter().map(|seen| seen.handle));
            let count = chosen.len() as u64;
            let taken = self.take_out_page(lane, walk.url, chosen, alive).await;
            walk.or_end(taken).await?;
            out += count;
            if count > 0 && matches!(which, Which::Id(_)) {
                break;
            }
        }
        walk.end().await;
        Ok(out)
    }

    async fn take_out_page(
        &self,
        lane: Lane,
        dead: &str,
        page: Vec<Received>,
        alive: bool,
    ) -> Result<(), Error> {
        let (handles, bodies): (Vec<_>, Vec<_>) =
            page.into_iter().map(|seen| (seen.handle, seen.body)).unzip();
        if handles.is_empty() {
            return Ok(());
        }
        if alive {
            for batch in batches(bodies) {
                // When this fails, the page stays where it is and is visible there again soon.
                self.send_batch(&self.place(lane).url, batch).await?;
            }
        }
        self.wire.remove(dead, handles).await.into_iter().collect()
    }
}

/// A way through a lane's dead letters that sees each once.
struct Walk<'a> {
    inner: &'a Inner,
    url: &'a str,
    seen: HashSet<String>,
    /// Handles of what is given back at the end.
    others: Vec<String>,
}

impl<'a> Walk<'a> {
    async fn through(inner: &'a Inner, lane: Lane) -> Result<Self, Error> {
        let url = inner.dead_letters(lane).await?;
        Ok(Self { inner, url, seen: HashSet::new(), others: Vec::new() })
    }

    /// The next few; none at the end.
    async fn page(&mut self, max: usize) -> Result<Vec<Received>, Error> {
        let mut page = self.inner.wire.receive(self.url, max, WAIT, HIDDEN).await?;
        // On a very long way the first ones come into sight again: then all were seen.
        page.retain(|seen| {
            let new = self.seen.insert(seen.id.clone());
            if !new {
                self.others.push(seen.handle.clone());
            }
            new
        });
        Ok(page)
    }

    /// Gives back what was seen also when the way ends with a failure.
    async fn or_end<T>(&mut self, result: Result<T, Error>) -> Result<T, Error> {
        if result.is_err() {
            self.end().await;
        }
        result
    }

    async fn end(&mut self) {
        for handles in std::mem::take(&mut self.others).chunks(BATCH) {
            // What cannot be given back comes into sight by itself.
            self.inner.wire.hide(self.url, handles.to_vec(), 0).await;
        }
    }
}
