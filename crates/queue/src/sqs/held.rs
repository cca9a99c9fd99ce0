use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use tokio::time::Instant;

use super::whole_seconds;
use crate::{Lane, MAX_VISIBILITY, Receipt};

/// The deliveries that are ours, and until when. Plain state: every call is told the time, and forgets what is over.
#[derive(Debug, Default)]
pub(super) struct Held {
    deliveries: HashMap<String, Delivery>,
    by_end: BTreeSet<(Instant, String)>,
    last_token: u64,
}

#[derive(Debug)]
struct Delivery {
    handle: String,
    until: Instant,
    /// When the request that brought it was sent: SQS counts its twelve hours from there.
    asked: Instant,
}

impl Held {
    pub(super) fn add(&mut self, lane: Lane, handle: String, asked: Instant, until: Instant) -> Receipt {
        self.last_token += 1;
        let token = self.last_token.to_string();
        self.deliveries.insert(token.clone(), Delivery { handle, until, asked });
        self.by_end.insert((until, token.clone()));
        Receipt { lane, token }
    }

    /// What SQS calls the delivery.
    pub(super) fn handle(&mut self, receipt: &Receipt, now: Instant) -> Option<String> {
        self.expire(now);
        self.deliveries.get(&receipt.token).map(|delivery| delivery.handle.clone())
    }

    /// The handle, and for how many seconds from now it may be hidden. None: for no more.
    pub(super) fn extension(
        &mut self,
        receipt: &Receipt,
        now: Instant,
        wanted: Duration,
    ) -> Option<(String, u64)> {
        self.expire(now);
        let delivery = self.deliveries.get(&receipt.token)?;
        let seconds = grant(delivery.asked, now, wanted);
        (seconds > 0).then(|| (delivery.handle.clone(), seconds))
    }

    /// Notes an extension, if it came in time.
    pub(super) fn keep(&mut self, receipt: &Receipt, now: Instant, until: Instant) -> Option<()> {
        self.expire(now);
        self.set_end(receipt, until)
    }

    /// Notes a time from which it may no longer be ours.
    pub(super) fn shorten(&mut self, receipt: &Receipt, until: Instant) {
        if self.deliveries.get(&receipt.token).is_some_and(|delivery| until < delivery.until) {
            self.set_end(receipt, until);
        }
    }

    fn set_end(&mut self, receipt: &Receipt, until: Instant) -> Option<()> {
        let delivery = self.deliveries.get_mut(&receipt.token)?;
        self.by_end.remove(&(delivery.until, receipt.token.clone()));
        delivery.until = until;
        self.by_end.insert((until, receipt.token.clone()));
        Some(())
    }

    pub(super) fn end(&mut self, receipt: &Receipt) {
        if let Some(delivery) = self.deliveries.remove(&receipt.token) {
            self.by_end.remove(&(delivery.until, receipt.token.clone()));
        }
    }

    fn expire(&mut self, now: Instant) {
        while let Some((until, _)) = self.by_end.first()
            && *until <= now
        {
            let (_, token) = self.by_end.pop_first().expect("just seen");
            self.deliveries.remove(&token);
        }
    }
}

/// Whole seconds that SQS grants: as many as wanted, within the twelve hours that began with the receive request.
pub(super) fn grant(asked: Instant, now: Instant, wanted: Duration) -> u64 {
    let left = (asked + MAX_VISIBILITY).saturating_duration_since(now);
    whole_seconds(wanted).min(left.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn held() -> (Held, Instant, Receipt) {
        let (mut held, now) = (Held::default(), Instant::now());
        let receipt = held.add(Lane::Bulk, "handle".into(), now, now + 2 * MINUTE);
        (held, now, receipt)
    }

    #[test]
    fn a_delivery_is_ours_until_its_end_and_not_after() {
        let (mut held, start, receipt) = held();
        let last = start + 2 * MINUTE - Duration::from_nanos(1);
        assert_eq!(held.handle(&receipt, last).as_deref(), Some("handle"));
        assert_eq!(held.handle(&receipt, start + 2 * MINUTE), None);
        assert_eq!(held.extension(&receipt, start + 2 * MINUTE, MINUTE), None);
        assert_eq!(
            held.keep(&receipt, start + 2 * MINUTE, start + 9 * MINUTE),
            None,
            "the answer came too late"
        );
    }

    #[test]
    fn an_extension_counts_from_when_it_was_asked_for() {
        let (mut held, start, receipt) = held();
        let asked = start + MINUTE;
        assert_eq!(
            held.extension(&receipt, asked, Duration::from_millis(90_001)),
            Some(("handle".into(), 91))
        );
        assert_eq!(
            held.handle(&receipt, start + 2 * MINUTE - Duration::from_secs(1)).as_deref(),
            Some("handle")
        );
        held.keep(&receipt, asked + Duration::from_secs(5), asked + Duration::from_secs(91)).unwrap();
        assert!(held.handle(&receipt, start + 2 * MINUTE).is_some());
        assert_eq!(held.handle(&receipt, asked + Duration::from_secs(91)), None);
    }

    /// An extension may shorten, too; without an answer nobody knows whether it has.
    #[test]
    fn an_extension_that_may_have_been_done_prolongs_nothing() {
        let (mut held, start, receipt) = held();
        held.shorten(&receipt, start + 5 * MINUTE);
        assert_eq!(held.handle(&receipt, start + 2 * MINUTE), None);

        let receipt = held.add(Lane::Bulk, "handle".into(), start, start + 2 * MINUTE);
        let other = held.add(Lane::Bulk, "other".into(), start, start + MINUTE / 2);
        held.shorten(&receipt, start + MINUTE);
        assert!(held.handle(&other, start).is_some(), "nobody else's end comes earlier for it");
        assert!(held.handle(&receipt, start + MINUTE - Duration::from_nanos(1)).is_some());
        assert_eq!(held.handle(&receipt, start + MINUTE), None);
    }

    /// A worker that extends every 40 s: SQS would refuse what goes beyond twelve hours, so less is asked for, and then
    /// the delivery is lost before its message is somebody else's.
    #[test]
    fn twelve_hours_are_the_end_of_every_delivery() {
        let (mut held, start, receipt) = held();
        let mut now = start;
        let mut granted = Vec::new();
        while let Some((_, seconds)) = held.extension(&receipt, now, 2 * MINUTE) {
            assert!(now + Duration::from_secs(seconds) <= start + MAX_VISIBILITY);
            held.keep(&receipt, now, now + Duration::from_secs(seconds)).unwrap();
            granted.push(seconds);
            now += Duration::from_secs(40);
        }
        assert_eq!(now, start + MAX_VISIBILITY);
        assert_eq!(granted[granted.len() - 4..], [120, 120, 80, 40]);
    }

    /// Nothing is left of less than a second, and a zero would give the message away.
    #[test]
    fn the_last_part_of_a_second_is_not_rounded_to_a_zero() {
        let (mut held, start, receipt) = held();
        let almost = start + MAX_VISIBILITY - Duration::from_millis(1);
        held.keep(&receipt, start, start + MAX_VISIBILITY).unwrap();
        assert_eq!(held.extension(&receipt, almost, MINUTE), None);
        assert!(held.handle(&receipt, almost).is_some(), "it can still be acknowledged");
    }

    #[test]
    fn memory_is_given_back_when_deliveries_end() {
        let (mut held, start, first) = held();
        for i in 0..100 {
            held.add(Lane::Bulk, format!("{i}"), start, start + MINUTE);
        }
        held.end(&first);
        held.end(&first);
        assert_eq!((held.deliveries.len(), held.by_end.len()), (100, 100));
        held.handle(&first, start + MINUTE);
        assert_eq!((held.deliveries.len(), held.by_end.len()), (0, 0));
    }
}
