//! How room is made: when, how much, and of what.

use std::time::Duration;

use domain::{Offer, RecordingId, Timestamp, What};
use policy::{Order, Room, Watermark, choose, room};
use proptest::{collection::vec, prelude::*};

use crate::support::*;

const GB: u64 = 1_000_000_000;

fn watermark() -> Watermark {
    let text = "version: 1
stores: { recordings: { capacity: 1TB } }
rules:
  - name: make room
    match: { prefix: cam/ }
    watermark: { store: recordings, high: 85%, low: 75.5%, emergency: 95%, for: 10m, order: [archived, oldest] }
    delete: { trash: 1d }
";
    let policy = policy::parse(text).unwrap_or_else(|problems| panic!("{problems}"));
    policy.watermarks().next().unwrap().clone()
}

fn minutes(n: i64) -> Timestamp {
    Timestamp(ACCEPTED.0 + n * 60_000)
}

#[test]
fn a_watermark_is_read_in_bytes_of_its_store() {
    let w = watermark();
    assert_eq!((w.high, w.low, w.emergency), (850 * GB, 755 * GB, Some(950 * GB)));
    assert_eq!((w.patience, &*w.store, &*w.rule), (Duration::from_secs(600), "recordings", "make room"));
    assert_eq!(w.order, [Order::Archived, Order::Oldest]);
}

#[test]
fn a_peak_passes_and_a_full_store_makes_room_down_to_low() {
    let w = watermark();
    let look = |last: &Room, used, leaving, at| room(&w, last, used * GB, leaving * GB, minutes(at));
    let calm = look(&Room::default(), 849, 0, 0);
    assert_eq!(calm, Room::default());
    let above = look(&calm, 850, 0, 1);
    assert_eq!((above.since, above.armed, above.need), (Some(minutes(1)), false, 0));
    assert_eq!(look(&above, 849, 0, 5), Room::default(), "a peak");
    let waiting = look(&above, 900, 0, 10);
    assert_eq!((waiting.since, waiting.armed), (Some(minutes(1)), false));
    let armed = look(&waiting, 900, 0, 11);
    assert_eq!((armed.armed, armed.need, armed.emergency), (true, 145 * GB, false));
    // What is on its way out is not asked for again: ZoneMinder #1597 deleted too much for want of this.
    assert_eq!(look(&armed, 900, 145, 12), Room { since: None, armed: false, need: 0, emergency: false });
    let some = look(&armed, 900, 100, 12);
    assert_eq!((some.armed, some.need), (true, 45 * GB), "below high, and not yet down to low");
    assert!(!look(&some, 755, 0, 13).armed);
    // A clock that was set back costs patience once, not for ever.
    let back = look(&above, 900, 0, -600);
    assert_eq!((back.since, back.armed), (Some(minutes(-600)), false));
    assert!(look(&back, 900, 0, -590).armed);
}

#[test]
fn an_emergency_has_no_patience_and_lasts_until_bytes_are_gone() {
    let w = watermark();
    let look = |last: &Room, used, leaving| room(&w, last, used * GB, leaving * GB, minutes(0));
    let emergency = look(&Room::default(), 950, 0);
    assert_eq!((emergency.armed, emergency.need, emergency.emergency), (true, 195 * GB, true));
    let leaving = look(&emergency, 950, 195);
    assert_eq!((leaving.armed, leaving.emergency), (false, true), "promised room is no room");
    assert!(look(&leaving, 850, 95).emergency);
    assert!(!look(&leaving, 849, 0).emergency);
}

fn offer(what: What, archived: bool, dated: i64, bytes: u64) -> Offer {
    Offer {
        rule: "make room".into(),
        what,
        room: Some("recordings".into()),
        bytes,
        archived,
        dated: Timestamp(dated),
        trash: Duration::from_secs(3600),
        reason: String::new(),
    }
}

fn id(n: u8) -> RecordingId {
    RecordingId::derive(&[&[n]])
}

#[test]
fn the_gentler_way_is_first_then_the_order_and_no_more_than_needed() {
    let evict = || What::Evict { store: "recordings".into() };
    let candidates = [
        (id(1), offer(What::Delete, false, 1, 10)),
        (id(2), offer(What::Delete, true, 9, 10)),
        (id(3), offer(What::Delete, false, 2, 50)),
        (id(4), offer(evict(), false, 8, 10)),
        (id(1), offer(evict(), false, 1, 10)),
        (id(5), offer(What::Delete, false, 0, 0)),
    ];
    let ids = |need| {
        let chosen = choose(&candidates, &[Order::Archived, Order::Oldest], need);
        (chosen.offers.iter().map(|(id, _)| *id).collect::<Vec<_>>(), chosen.bytes, chosen.short)
    };
    assert_eq!(ids(0), (vec![], 0, 0));
    assert_eq!(ids(1), (vec![id(1)], 10, 0));
    assert_eq!(ids(11), (vec![id(1), id(4)], 20, 0));
    assert_eq!(ids(21), (vec![id(1), id(4), id(2)], 30, 0));
    assert_eq!(ids(31), (vec![id(1), id(4), id(2), id(3)], 80, 0), "recording 1 goes once");
    assert_eq!(ids(100), (vec![id(1), id(4), id(2), id(3)], 80, 20));
    let largest = choose(&candidates[..3], &[Order::Largest], 1);
    assert_eq!(largest.offers[0].0, id(3));
}

proptest! {
    /// Promise 8, its half of making room: no more goes than what is needed. The last one taken is needed, and nothing
    /// goes where nothing is needed; the candidates' order leaves no trace.
    #[test]
    fn the_last_one_taken_is_needed(
        (candidates, shuffled) in vec((0u8..12, any::<bool>(), 0i64..5, 0u64..50), 0..12)
            .prop_map(|all| {
                all.into_iter().map(|(n, archived, dated, bytes)| (id(n), offer(What::Delete, archived, dated, bytes))).collect::<Vec<_>>()
            })
            .prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle())),
        need in 0u64..300,
    ) {
        let order = [Order::Archived, Order::Oldest];
        let chosen = choose(&candidates, &order, need);
        prop_assert_eq!(&chosen, &choose(&shuffled, &order, need));
        let sum: u64 = chosen.offers.iter().map(|(_, o)| o.bytes).sum();
        prop_assert_eq!(sum, chosen.bytes);
        prop_assert_eq!(chosen.short, need.saturating_sub(sum));
        if let Some((_, last)) = chosen.offers.last() {
            prop_assert!(sum - last.bytes < need);
        }
        if chosen.short > 0 {
            let of_all: std::collections::BTreeSet<_> = candidates.iter().filter(|(_, o)| o.bytes > 0).map(|(id, _)| *id).collect();
            prop_assert_eq!(chosen.offers.len(), of_all.len(), "everything that may go goes before it is too little");
        }
    }

    /// Whatever bytes come and go: what is asked for never goes below `low`, and nothing is asked for below it.
    #[test]
    fn room_is_made_down_to_low_and_no_further(looks in vec((0u64..1200, 0u64..1200, 0i64..30), 1..20)) {
        let w = watermark();
        let (mut last, mut at) = (Room::default(), 0);
        for (used, leaving, later) in looks {
            at += later;
            let (used, leaving) = (used * GB, leaving * GB);
            let next = room(&w, &last, used, leaving, minutes(at));
            let stays = used.saturating_sub(leaving);
            prop_assert_eq!(next.need > 0, next.armed);
            if next.armed {
                prop_assert_eq!(stays - next.need, w.low);
            }
            if next.armed && !last.armed && !next.emergency {
                prop_assert!(stays >= w.high && minutes(at).since(last.since.unwrap()) >= w.patience);
            }
            prop_assert!(!next.emergency || used >= w.high);
            prop_assert!(next.emergency || used < 950 * GB);
            last = next;
        }
    }
}
