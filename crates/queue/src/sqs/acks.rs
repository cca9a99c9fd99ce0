use std::{
    mem,
    sync::{Arc, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::oneshot, time::sleep};

use super::{Inner, Place, wire::BATCH};
use crate::{Error, ErrorKind, Lane};

/// Acknowledgements that wait a moment for others, to go together.
#[derive(Debug, Default)]
pub(super) struct Acks(Vec<Ack>);

#[derive(Debug)]
struct Ack {
    handle: String,
    answer: oneshot::Sender<Result<(), Error>>,
}

/// Less than a request takes, so that one alone is not much later for it.
const LINGER: Duration = Duration::from_millis(2);

impl Inner {
    /// Goes on when the future is dropped.
    pub(super) async fn ack(self: &Arc<Self>, lane: Lane, handle: String) -> Result<(), Error> {
        let (answer, answered) = oneshot::channel();
        let full = {
            let mut acks = self.place(lane).acks();
            acks.0.push(Ack { handle, answer });
            if acks.0.len() == 1 {
                self.tasks.spawn(self.clone().flush_soon(lane));
            }
            (acks.0.len() == BATCH).then(|| mem::take(&mut *acks))
        };
        if let Some(full) = full {
            self.tasks.spawn(self.clone().flush(lane, full));
        }
        answered.await.unwrap_or_else(|_| {
            Err(Error::new(
                ErrorKind::Unavailable,
                "the acknowledgement was cut off; the message comes again",
            ))
        })
    }

    async fn flush_soon(self: Arc<Self>, lane: Lane) {
        sleep(LINGER).await;
        let acks = mem::take(&mut *self.place(lane).acks());
        self.flush(lane, acks).await;
    }

    async fn flush(self: Arc<Self>, lane: Lane, acks: Acks) {
        // A full batch may have taken all that was waited for.
        if acks.0.is_empty() {
            return;
        }
        let (handles, answers): (Vec<_>, Vec<_>) =
            acks.0.into_iter().map(|ack| (ack.handle, ack.answer)).unzip();
        let outcomes = self.wire.remove(&self.place(lane).url, handles).await;
        for (answer, outcome) in answers.into_iter().zip(outcomes) {
            // Nobody listens when the caller is gone.
            let _ = answer.send(outcome);
        }
    }
}

impl Place {
    fn acks(&self) -> MutexGuard<'_, Acks> {
        self.acks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
