use std::fmt::Debug;

use async_trait::async_trait;
use domain::Alert;

use crate::{Error, digest::Digest};

/// A way to tell people.
#[async_trait]
pub trait Notify: Send + Sync + Debug {
    /// Tells them. After an error it is told again: whoever is told may be told twice. The error names the way that
    /// failed, since it may be one of several.
    async fn tell(&self, alert: &Alert) -> Result<(), Error>;

    /// Tells what a day has brought. A way that can show no more than an alert shows its summary.
    async fn digest(&self, digest: &Digest) -> Result<(), Error> {
        self.tell(&digest.as_alert()).await
    }
}
