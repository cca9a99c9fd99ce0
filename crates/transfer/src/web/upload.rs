use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::Poll,
    time::Duration,
};

use domain::Digest;
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use tokio::time::Instant;

use super::Outgoing;
use crate::{Body, Error, Name, hashing::Hashing, put};

/// What is known of a body while the connection takes it.
#[derive(Debug, Clone)]
pub(crate) struct Upload {
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    /// When it was last asked for more.
    asked: Mutex<Instant>,
    /// It is we who are waited for.
    ours: AtomicBool,
    sent: AtomicU64,
    failure: Mutex<Option<Error>>,
}

impl Upload {
    /// Which must have `size` bytes.
    pub(crate) fn of(body: Body, size: u64, name: &Name) -> (Outgoing, Self) {
        let state = State {
            asked: Mutex::new(Instant::now()),
            ours: AtomicBool::new(false),
            sent: AtomicU64::new(0),
            failure: Mutex::default(),
        };
        let this = Self { state: Arc::new(state) };
        let frames = this.watch(body, size, name.clone()).map_ok(Frame::data);
        (StreamBody::new(frames).boxed_unsync(), this)
    }

    /// Bytes that the connection took.
    pub(crate) fn sent(&self) -> u64 {
        self.state.sent.load(Ordering::Relaxed)
    }

    /// Why the body broke off, if it did.
    pub(super) fn failure(&self) -> Option<Error> {
        self.state.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Returns when the server has taken nothing for so long, or has not answered for so long after the end.
    pub(super) async fn stalls(&self, patience: Duration) {
        loop {
            let asked = *self.state.asked.lock().unwrap_or_else(PoisonError::into_inner);
            // How long our source takes is not the server's fault.
            let silent =
                if self.state.ours.load(Ordering::Relaxed) { Duration::ZERO } else { asked.elapsed() };
            if silent >= patience {
                return;
            }
            tokio::time::sleep(patience - silent).await;
        }
    }

    fn watch(
        &self,
        mut body: Body,
        size: u64,
        name: Name,
    ) -> impl Stream<Item = Result<bytes::Bytes, Error>> + Send + 'static {
        let state = self.state.clone();
        futures::stream::poll_fn(move |cx| {
            *state.asked.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
            loop {
                let next = body.poll_next_unpin(cx);
                state.ours.store(next.is_pending(), Ordering::Relaxed);
                match next {
                    // Would be taken for the end.
                    Poll::Ready(Some(Ok(chunk))) if chunk.is_empty() => {}
                    Poll::Ready(Some(Ok(chunk))) => {
                        state.sent.fetch_add(chunk.len() as u64, Ordering::Relaxed);
                        return Poll::Ready(Some(Ok(chunk)));
                    }
                    Poll::Ready(Some(Err(e))) => return Poll::Ready(Some(Err(state.fail(e)))),
                    Poll::Ready(None) if state.sent.load(Ordering::Relaxed) < size => {
                        let sent = state.sent.load(Ordering::Relaxed);
                        return Poll::Ready(Some(Err(state.fail(put::short_source(&name, sent, size)))));
                    }
                    other => return other,
                }
            }
        })
    }
}

impl State {
    fn fail(&self, error: Error) -> Error {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.clone());
        error
    }
}

/// Holds the last chunk back until it is known that all are the right ones. A server has nothing until it has everything: so it
/// never has anything else.
pub(crate) fn only(
    body: Body,
    expected: Digest,
    wrong: impl FnOnce(&Digest) -> Error + Send + 'static,
) -> Body {
    let state = (body, Hashing::new(), None, wrong);
    let checked = futures::stream::try_unfold(Some(state), move |state| async move {
        let Some((mut body, mut hashing, mut held, wrong)) = state else { return Ok(None) };
        while let Some(chunk) = body.try_next().await? {
            hashing.update(&chunk).await;
            if let Some(ready) = held.replace(chunk) {
                return Ok(Some((ready, Some((body, hashing, held, wrong)))));
            }
        }
        let found = hashing.finish().await?;
        if (found.size, found.sha256) != (expected.size, expected.sha256) {
            return Err(wrong(&found));
        }
        Ok(held.map(|last| (last, None)))
    });
    checked.boxed()
}
