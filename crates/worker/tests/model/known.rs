//! A recording as the model knows it.

use std::collections::BTreeSet;

use domain::{Copy, Recording, RecordingId};

use crate::law::{Law, Traits};

#[derive(Debug)]
pub struct Known {
    pub id: RecordingId,
    pub text: String,
    pub traits: Traits,
    pub holds: BTreeSet<String>,
    pub kept_until: i64,
    pub fate: Fate,
    /// Every good copy that there was, the test has damaged.
    pub ruined: bool,
    /// Some are or were damaged.
    pub harmed: bool,
    /// Where a copy was given up, in its time: nothing makes another there.
    pub given_up: BTreeSet<String>,
    /// Moved by a person, or there was another policy before this one.
    pub moved_otherwise: bool,
    /// Where its bytes lay when they were last looked for, by store and key.
    pub objects: BTreeSet<(String, String)>,
    /// Where the catalog had it when it was last looked at.
    pub seen: Option<(Recording, Vec<Copy>)>,

    /// Held while somebody worked on it, by hand or because it was tagged: what was asked for an instant before may be
    /// written down an instant later.
    pub held_amid: bool,
    pub tagged_amid: bool,

    // What happened to it since it was last looked at.
    pub touched: bool,
    pub trashed_now: bool,
    pub was_due: bool,
    pub made_room: bool,
    pub verified: bool,
    /// Good copies that there had to be.
    pub owed: u32,
    pub evicted: BTreeSet<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Live,
    Trashed { until: i64 },
    Going,
    Gone,
}

impl Known {
    pub fn new(id: RecordingId, text: String, traits: Traits) -> Self {
        Self {
            id,
            text,
            traits,
            holds: BTreeSet::new(),
            kept_until: i64::MIN,
            fate: Fate::Live,
            ruined: false,
            harmed: false,
            given_up: BTreeSet::new(),
            moved_otherwise: false,
            objects: BTreeSet::new(),
            seen: None,
            held_amid: false,
            tagged_amid: false,
            touched: false,
            trashed_now: false,
            was_due: false,
            made_room: false,
            verified: false,
            owed: u32::MAX,
            evicted: BTreeSet::new(),
        }
    }

    pub fn is_held(&self, law: &Law, at: i64) -> bool {
        !self.holds.is_empty() || law.is_held(&self.traits, at)
    }

    /// Nothing stronger keeps a rule from deleting it; enough copies apart.
    pub fn may_go(&self, law: &Law, at: i64) -> bool {
        self.fate == Fate::Live
            && !self.is_held(law, at)
            && !law.is_kept(&self.traits, at)
            && self.kept_until <= at
    }

    pub fn can_be_changed(&self) -> Result<(), String> {
        match self.fate {
            Fate::Going | Fate::Gone => Err("there is no way back, and somebody took it".into()),
            _ => Ok(()),
        }
    }

    /// Places that the catalog believes to be good.
    pub fn good(&self) -> u32 {
        let Some((recording, copies)) = &self.seen else { return 0 };
        let home = u32::from(recording.custody.place.bad.is_none());
        home + copies.iter().filter(|c| c.bad.is_none() && c.store != recording.store).count() as u32
    }

    /// Bytes that it takes in that store, or in all.
    pub fn takes(&self, store: Option<&str>) -> u64 {
        let Some((recording, copies)) = &self.seen else { return 0 };
        let stores = [recording.store.as_str()].into_iter().chain(copies.iter().map(|c| c.store.as_str()));
        stores.filter(|at| store.is_none_or(|store| store == *at)).count() as u64 * self.text.len() as u64
    }

    pub fn begin_anew(&mut self) {
        self.touched = false;
        self.trashed_now = false;
        self.was_due = false;
        self.made_room = false;
        self.verified = false;
        self.owed = u32::MAX;
        (self.held_amid, self.tagged_amid) = (false, false);
        self.evicted.clear();
    }
}
