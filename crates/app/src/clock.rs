/// The machine's clock: the only place where it is read.
pub struct System;

impl domain::Clock for System {
    #[expect(clippy::disallowed_methods, reason = "this is the clock that everybody else is given")]
    fn now(&self) -> domain::Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        domain::Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}
