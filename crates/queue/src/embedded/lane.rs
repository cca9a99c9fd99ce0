use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use tokio::time::Instant;

use crate::{Depth, Lane};

/// The messages of one lane and when each is due. Plain state: every call is told the time.
#[derive(Debug, Default)]
pub(super) struct Messages {
    entries: HashMap<u64, Entry>,
    by_body: HashMap<String, u64>,
    /// Visible or delayed, by the time from which they are visible.
    waiting: BTreeSet<(Instant, u64)>,
    /// With a receiver, by the time at which they come back.
    in_flight: BTreeSet<(Instant, u64)>,
    last_id: u64,
    last_delivery: u64,
}

/// A message as it goes out.
pub(super) struct Delivery {
    pub body: String,
    pub token: String,
    pub receives: u32,
}

#[derive(Debug)]
struct Entry {
    body: String,
    receives: u32,
    place: Place,
    /// Sent again while in flight: comes once more, then.
    again: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
enum Place {
    Waiting { from: Instant },
    InFlight { until: Instant, delivery: u64 },
}

impl Messages {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// False when it needs room and there is none.
    pub(super) fn send(&mut self, body: String, from: Instant, room: bool) -> bool {
        if let Some(&id) = self.by_body.get(&body) {
            let entry = self.entries.get_mut(&id).expect("a body names an entry");
            match entry.place {
                Place::Waiting { from: before } if from < before => self.place_waiting(id, from),
                Place::Waiting { .. } => {}
                Place::InFlight { .. } => entry.again = Some(entry.again.map_or(from, |at| at.min(from))),
            }
            return true;
        }
        if !room {
            return false;
        }
        self.last_id += 1;
        let entry = Entry { body: body.clone(), receives: 0, place: Place::Waiting { from }, again: None };
        self.entries.insert(self.last_id, entry);
        self.by_body.insert(body, self.last_id);
        self.waiting.insert((from, self.last_id));
        true
    }

    /// The message that has been visible for longest.
    pub(super) fn take(&mut self, now: Instant, until: Instant) -> Option<Delivery> {
        self.expire(now);
        let &(from, id) = self.waiting.first()?;
        if from > now {
            return None;
        }
        self.last_delivery += 1;
        let delivery = self.last_delivery;
        self.place(id, Place::InFlight { until, delivery });
        let entry = self.entries.get_mut(&id).expect("a waiting id names an entry");
        entry.receives += 1;
        Some(Delivery { body: entry.body.clone(), token: token(id, delivery), receives: entry.receives })
    }

    /// When something may become visible by itself.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let waiting = self.waiting.first().map(|&(at, _)| at);
        let in_flight = self.in_flight.first().map(|&(at, _)| at);
        waiting.into_iter().chain(in_flight).min()
    }

    pub(super) fn extend(&mut self, token: &str, now: Instant, visibility: Duration) -> Option<()> {
        let (id, delivery) = self.held(token, now)?;
        self.place(id, Place::InFlight { until: now + visibility, delivery });
        Some(())
    }

    pub(super) fn ack(&mut self, token: &str, now: Instant) -> Option<()> {
        let (id, _) = self.held(token, now)?;
        let entry = self.entries.get_mut(&id).expect("a held id names an entry");
        if let Some(from) = entry.again.take() {
            entry.receives = 0;
            self.place_waiting(id, from);
            return Some(());
        }
        self.unplace(id);
        let entry = self.entries.remove(&id).expect("a held id names an entry");
        self.by_body.remove(&entry.body);
        Some(())
    }

    pub(super) fn release(&mut self, token: &str, now: Instant, delay: Duration) -> Option<()> {
        let (id, _) = self.held(token, now)?;
        self.give_back(id, now + delay);
        Some(())
    }

    pub(super) fn depth(&mut self, lane: Lane, now: Instant) -> Depth {
        self.expire(now);
        let visible = self.waiting.range(..=(now, u64::MAX)).count();
        Depth {
            lane,
            visible: visible as u64,
            in_flight: self.in_flight.len() as u64,
            delayed: (self.waiting.len() - visible) as u64,
        }
    }

    /// The message of a delivery that is not over.
    fn held(&mut self, token: &str, now: Instant) -> Option<(u64, u64)> {
        self.expire(now);
        let (id, delivery) = token.split_once('-')?;
        let (id, delivery) = (id.parse().ok()?, delivery.parse().ok()?);
        match self.entries.get(&id)?.place {
            Place::InFlight { delivery: current, .. } if current == delivery => Some((id, delivery)),
            _ => None,
        }
    }

    fn expire(&mut self, now: Instant) {
        while let Some(&(until, id)) = self.in_flight.first()
            && until <= now
        {
            self.give_back(id, until);
        }
    }

    fn give_back(&mut self, id: u64, from: Instant) {
        let entry = self.entries.get_mut(&id).expect("an id in flight names an entry");
        let from = entry.again.take().map_or(from, |again| again.min(from));
        self.place_waiting(id, from);
    }

    fn place_waiting(&mut self, id: u64, from: Instant) {
        self.place(id, Place::Waiting { from });
    }

    fn place(&mut self, id: u64, place: Place) {
        self.unplace(id);
        self.entries.get_mut(&id).expect("only entries are placed").place = place;
        match place {
            Place::Waiting { from } => self.waiting.insert((from, id)),
            Place::InFlight { until, .. } => self.in_flight.insert((until, id)),
        };
    }

    fn unplace(&mut self, id: u64) {
        match self.entries[&id].place {
            Place::Waiting { from } => self.waiting.remove(&(from, id)),
            Place::InFlight { until, .. } => self.in_flight.remove(&(until, id)),
        };
    }
}

fn token(id: u64, delivery: u64) -> String {
    format!("{id}-{delivery}")
}
