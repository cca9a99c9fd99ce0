use std::{cmp::Reverse, collections::BTreeSet};

use domain::{Offer, RecordingId, Timestamp, What};
use serde::{Deserialize, Serialize};

use crate::{Order, Watermark};

/// Whether a watermark makes room, and how much; the next look needs what the last one said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Room {
    /// Since when `high` is exceeded.
    pub since: Option<Timestamp>,
    /// Room is being made, down to `low`.
    pub armed: bool,
    /// Bytes still to be found; none unless armed.
    pub need: u64,
    /// Nothing more is to be taken in.
    pub emergency: bool,
}

/// Looks at a store again: `used` bytes are in it, trash, old versions and unfinished uploads included; `leaving` of
/// them are on their way out already, so that asking twice does not delete twice.
pub fn room(watermark: &Watermark, last: &Room, used: u64, leaving: u64, now: Timestamp) -> Room {
    let stays = used.saturating_sub(leaving);
    // What has not left yet fills the disk all the same: the emergency is about `used`, and ends below `high`.
    let emergency = match watermark.emergency {
        Some(bytes) if used >= bytes => true,
        Some(_) => last.emergency && used >= watermark.high,
        None => false,
    };
    // A clock that was set back must not make a store wait for its old time.
    let since = (stays >= watermark.high).then(|| last.since.unwrap_or(now).min(now));
    let armed = if last.armed {
        stays > watermark.low
    } else {
        let patient = since.is_none_or(|since| now.since(since) < watermark.patience);
        !patient || (emergency && stays > watermark.low)
    };
    Room { since, armed, need: if armed { stays - watermark.low } else { 0 }, emergency }
}

/// What goes so that the need is met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen<'o> {
    pub offers: Vec<&'o (RecordingId, Offer)>,
    /// What they free.
    pub bytes: u64,
    /// What no offer covers: a matter for people, never a reason to break a promise.
    pub short: u64,
}

/// The shortest prefix of the candidates, sorted, that covers the need. The gentler way comes first: giving up a
/// copy, then archiving, then deleting; then the watermark's order, then age and id, so that it is the same
/// whichever way they came in. One recording is taken once.
pub fn choose<'o>(candidates: &'o [(RecordingId, Offer)], order: &[Order], need: u64) -> Chosen<'o> {
    let key = |(id, offer): &(RecordingId, Offer)| {
        let ranks: [i128; 3] = std::array::from_fn(|i| match order.get(i) {
            Some(Order::Archived) => i128::from(!offer.archived),
            Some(Order::Oldest) => i128::from(offer.dated.0),
            Some(Order::Largest) => -i128::from(offer.bytes),
            None => 0,
        });
        (gentleness(&offer.what), ranks, offer.dated, *id)
    };
    let mut sorted: Vec<&(RecordingId, Offer)> = candidates.iter().filter(|(_, o)| o.bytes > 0).collect();
    sorted.sort_by(|a, b| key(a).cmp(&key(b)).then_with(|| a.1.cmp(&b.1)));
    let mut chosen = Chosen { offers: Vec::new(), bytes: 0, short: 0 };
    let mut taken = BTreeSet::new();
    for candidate in sorted {
        if chosen.bytes >= need {
            break;
        }
        if taken.insert(candidate.0) {
            chosen.bytes = chosen.bytes.saturating_add(candidate.1.bytes);
            chosen.offers.push(candidate);
        }
    }
    chosen.short = need.saturating_sub(chosen.bytes);
    chosen
}

fn gentleness(what: &What) -> Reverse<u8> {
    Reverse(match what {
        What::Evict { .. } => 2,
        What::Archive { .. } => 1,
        What::Delete => 0,
    })
}
