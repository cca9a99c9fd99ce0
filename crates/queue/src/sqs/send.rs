use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use tokio::time::sleep;

use super::{Inner, wire::BATCH};
use crate::{Error, Lane, MAX_BODY};

/// Requests under way at a time, of one call.
const AT_ONCE: usize = 8;
/// Before each further try at what a batch left.
const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(500)];

impl Inner {
    pub(super) async fn send_many(&self, lane: Lane, bodies: Vec<String>) -> Result<(), Error> {
        let url = &self.place(lane).url;
        let batches = stream::iter(batches(bodies)).map(Ok);
        batches.try_for_each_concurrent(AT_ONCE, async |batch| self.send_batch(url, batch).await).await
    }

    /// One batch; what the server could not take of it is sent again a few times.
    pub(super) async fn send_batch(&self, url: &str, mut bodies: Vec<String>) -> Result<(), Error> {
        let mut pauses = PAUSES.into_iter();
        loop {
            let mut outcomes = self.wire.send_batch(url, &bodies).await;
            let Some(failure) = outcomes.iter_mut().find_map(|o| o.clone().err()) else { return Ok(()) };
            // When all failed it was the request, and that the SDK has already tried again.
            let again = failure.is_temporary() && outcomes.iter().any(Result::is_ok);
            let Some(pause) = pauses.next().filter(|_| again) else { return Err(failure) };
            let mut outcomes = outcomes.iter();
            bodies.retain(|_| outcomes.next().is_some_and(Result::is_err));
            sleep(pause).await;
        }
    }
}

/// In the given order, each within what a batch may hold by number and by bytes.
pub(super) fn batches(bodies: Vec<String>) -> Vec<Vec<String>> {
    let mut batches: Vec<Vec<String>> = Vec::new();
    let mut bytes = 0;
    for body in bodies {
        match batches.last_mut() {
            Some(batch) if batch.len() < BATCH && bytes + body.len() <= MAX_BODY => {
                bytes += body.len();
                batch.push(body);
            }
            _ => {
                bytes = body.len();
                batches.push(vec![body]);
            }
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_as_large_as_sqs_takes_them() {
        let sizes = |lengths: &[usize]| {
            let bodies = lengths.iter().map(|&n| "x".repeat(n)).collect();
            batches(bodies).iter().map(Vec::len).collect::<Vec<_>>()
        };
        assert!(sizes(&[]).is_empty());
        assert_eq!(sizes(&[1; 21]), [10, 10, 1]);
        assert_eq!(sizes(&[MAX_BODY / 2, MAX_BODY / 2, 1]), [2, 1]);
        assert_eq!(sizes(&[MAX_BODY, 1, MAX_BODY, MAX_BODY + 1, 1]), [1, 1, 1, 1, 1]);
    }
}
