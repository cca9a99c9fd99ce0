//! When to try again: a pure function of how often it failed.

use std::time::Duration;

use domain::{Action, Failure, FailureKind};

/// Failures of the job's own after which it is parked.
pub const MAX_FAILURES: u32 = 5;
/// The same where somebody else's server is concerned, which may be down for a night.
pub const MAX_FAILURES_ELSEWHERE: u32 = 11;
/// Times a job may be handed out without ever coming to an outcome (the worker died each time), after which
/// it is parked: it may be what kills the workers.
pub const MAX_ATTEMPTS: u32 = 12;

#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    After(Duration),
    Park,
}

/// `failures` counts this one.
pub fn next(action: &Action, failure: &Failure, failures: u32) -> Next {
    let most = match action {
        Action::Export(_) => MAX_FAILURES_ELSEWHERE,
        _ => MAX_FAILURES,
    };
    if failure.kind == FailureKind::Permanent || failures >= most {
        return Next::Park;
    }
    // 2, 8, 32, 128 s: long enough for a full disk or a sleeping NAS to be noticed, over within minutes. Elsewhere on to
    // 512, 2048 s, and hourly: some five hours in all.
    let delay = Duration::from_secs(2 << (2 * failures.saturating_sub(1)).min(14));
    Next::After(delay.min(Duration::from_secs(3600)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temporary_failures_back_off_and_end() {
        let failure = Failure::temporary("the store is away");
        let backup = Action::Backup { store: "replica".into() };
        let delays: Vec<_> = (1..=MAX_FAILURES).map(|n| next(&backup, &failure, n)).collect();
        let after = |s| Next::After(Duration::from_secs(s));
        assert_eq!(delays, [after(2), after(8), after(32), after(128), Next::Park]);
        assert_eq!(next(&backup, &Failure::permanent("not media"), 1), Next::Park);
    }

    /// Somebody else's server may be down for a night's work on it.
    #[test]
    fn a_partner_is_given_some_hours() {
        let export = Action::Export(domain::ExportSpec {
            to: "partner".into(),
            what: domain::Leaving::Source,
            name: domain::NameTemplate::default(),
            with: Default::default(),
            on_conflict: Default::default(),
            verify: Default::default(),
        });
        let failure = Failure::temporary("it does not answer");
        let delays = (1..MAX_FAILURES_ELSEWHERE).map(|n| match next(&export, &failure, n) {
            Next::After(delay) => delay.as_secs(),
            Next::Park => panic!("given up after {n}"),
        });
        assert_eq!(delays.collect::<Vec<_>>(), [2, 8, 32, 128, 512, 2048, 3600, 3600, 3600, 3600]);
        assert_eq!(next(&export, &failure, MAX_FAILURES_ELSEWHERE), Next::Park);
        const { assert!(MAX_FAILURES_ELSEWHERE < MAX_ATTEMPTS) };
    }
}
