use std::sync::atomic::{AtomicI64, Ordering};

/// The machine's clock: the only place where it is read.
pub struct System;

/// Milliseconds by which a test lets this process live in the future.
static AHEAD: AtomicI64 = AtomicI64::new(0);

/// For tests: what takes weeks is looked at in a moment.
pub fn live_ahead(seconds: i64) {
    AHEAD.store(seconds.saturating_mul(1000), Ordering::SeqCst);
}

impl domain::Clock for System {
    #[expect(clippy::disallowed_methods, reason = "this is the clock that everybody else is given")]
    fn now(&self) -> domain::Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let now = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
        domain::Timestamp(now.saturating_add(AHEAD.load(Ordering::SeqCst)))
    }
}
