use async_trait::async_trait;

/// How fast copies are made.
#[async_trait]
pub trait Pace: Send + Sync {
    /// Returns when so many bytes may pass.
    async fn take(&self, bytes: usize);
}

/// As fast as it goes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unbounded;

#[async_trait]
impl Pace for Unbounded {
    async fn take(&self, _: usize) {}
}
