//! Asking until there is an answer that asking again would not change.

use std::{error::Error as StdError, time::Duration};

use aws_sdk_s3::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};

use super::{bucket::Bucket, failure::Failure};

/// Bytes in a second. Whoever is slower than that counts as dead.
const SLOWEST: u64 = 64 << 10;
/// Bytes in a second that a service copies or puts together at least, before it answers.
const SLOWEST_INSIDE: u64 = 4 << 20;

impl Bucket {
    /// Sends a request until it is answered, at most [`super::Options::attempts`] times, waiting longer and longer in
    /// between. [`Failure::doubt`] says whether the request may have had its effect all the same.
    pub async fn ask<T, E, F>(&self, allowed: Duration, send: impl Fn() -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
        E: ProvideErrorMetadata + StdError + 'static,
    {
        let mut doubt = false;
        for attempt in 1.. {
            let mut failure = match tokio::time::timeout(allowed, send()).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) => Failure::of(error),
                Err(_) => Failure::silence(allowed),
            };
            doubt |= failure.doubt;
            if !failure.may_pass() || attempt >= self.options.attempts {
                failure.doubt = doubt;
                return Err(failure);
            }
            tracing::debug!(store = self.name, attempt, ?failure, "asking S3 again");
            self.pause(attempt).await;
        }
        unreachable!("there is no last attempt but the one that returns")
    }

    /// Waits before the attempt after this one. By chance, because those who failed together must not come back
    /// together.
    pub async fn pause(&self, attempt: u32) {
        let longest = self.options.backoff.saturating_mul(1 << (attempt - 1).min(5));
        tokio::time::sleep(longest.mul_f64(fastrand::f64())).await;
    }

    /// How long a request may take that sends so many bytes.
    pub fn allowed(&self, bytes: u64) -> Duration {
        self.options.patience + Duration::from_secs(bytes / SLOWEST)
    }

    /// How long a request may take that has the service move so many bytes.
    pub fn allowed_inside(&self, bytes: u64) -> Duration {
        4 * self.options.patience + Duration::from_secs(bytes / SLOWEST_INSIDE)
    }
}
