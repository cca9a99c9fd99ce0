//! A policy as the model sees it: few words, and what they mean, written down a second time and knowing nothing of
//! `crates/policy`.

use std::{collections::BTreeSet, fmt};

pub const DAY: i64 = 24 * 60 * 60 * 1000;
pub const HOUR: i64 = 60 * 60 * 1000;
/// Bytes that a store is said to hold.
pub const CAPACITY: u64 = 400;

#[derive(Debug, Clone)]
pub struct Law {
    pub copies: u32,
    pub trash_h: i64,
    pub percent: u64,
    pub floor: u64,
    pub most_bytes: Option<u64>,
    pub verify_percent: u32,
    pub rules: Vec<Rule>,
}

/// For whom a rule is; all that is said must hold.
#[derive(Debug, Clone, Default)]
pub struct Whom {
    pub tag: Option<&'static str>,
    pub cams: bool,
    pub age_d: Option<i64>,
}

#[derive(Debug, Clone)]
pub enum Verb {
    Hold,
    /// For so many days; absent: for ever.
    Keep(Option<i64>),
    Delete {
        trash_h: Option<i64>,
    },
    Backup(&'static str),
    Move {
        to: &'static str,
        keep_d: i64,
    },
    ArchiveTo(&'static str),
    /// Into [`CLASS`].
    Sink {
        by_lifecycle: bool,
    },
    Tag(&'static str),
    Notify,
    DeleteForRoom {
        trash_h: Option<i64>,
    },
    EvictForRoom(&'static str),
    ArchiveForRoom(&'static str),
}

#[derive(Debug, Clone)]
pub struct Rule {
    pub whom: Whom,
    pub verb: Verb,
}

/// What of a recording the rules look at.
#[derive(Debug, Clone)]
pub struct Traits {
    pub cam: bool,
    pub tags: BTreeSet<String>,
    pub accepted_at: i64,
    pub recorded_at: Option<i64>,
}

impl Traits {
    pub fn dated(&self) -> i64 {
        self.recorded_at.unwrap_or(self.accepted_at)
    }
}

impl Whom {
    /// All of it but time.
    fn is_meant(&self, it: &Traits) -> bool {
        self.tag.is_none_or(|tag| it.tags.contains(tag)) && (it.cam || !self.cams)
    }

    fn from(&self, it: &Traits) -> i64 {
        self.age_d.map_or(i64::MIN, |days| it.dated() + days * DAY)
    }

    pub fn holds(&self, it: &Traits, at: i64) -> bool {
        self.is_meant(it) && self.from(it) <= at
    }
}

impl Law {
    /// The rules that are for it now.
    fn now(&self, it: &Traits, at: i64) -> impl Iterator<Item = (usize, &Rule)> {
        self.rules.iter().enumerate().filter(move |(_, rule)| rule.whom.holds(it, at))
    }

    pub fn is_held(&self, it: &Traits, at: i64) -> bool {
        self.now(it, at).any(|(_, rule)| matches!(rule.verb, Verb::Hold))
    }

    pub fn is_kept(&self, it: &Traits, at: i64) -> bool {
        self.now(it, at).any(|(_, rule)| match rule.verb {
            Verb::Keep(days) => days.is_none_or(|days| at < it.dated() + days * DAY),
            _ => false,
        })
    }

    /// Whether a rule wants a copy of it there.
    pub fn backs_up(&self, it: &Traits, store: &str, at: i64) -> bool {
        self.now(it, at).any(|(_, rule)| matches!(rule.verb, Verb::Backup(to) if to == store))
    }

    /// When it is to go, and by which of these rules: the latest date wins.
    pub fn date(&self, it: &Traits) -> Option<(i64, Vec<usize>)> {
        let deletes = self
            .rules
            .iter()
            .enumerate()
            .filter(|(_, rule)| matches!(rule.verb, Verb::Delete { .. }) && rule.whom.is_meant(it));
        let dates: Vec<(usize, i64)> = deletes.map(|(n, rule)| (n, rule.whom.from(it))).collect();
        let latest = dates.iter().map(|(_, date)| *date).max()?;
        Some((latest, dates.iter().filter(|(_, date)| *date == latest).map(|(n, _)| *n).collect()))
    }

    pub fn is_due(&self, it: &Traits, at: i64) -> bool {
        self.date(it).is_some_and(|(date, _)| date <= at)
    }

    /// How many may go within a day, out of so many.
    pub fn most(&self, of: u64) -> u64 {
        self.floor.max(of * self.percent / 100)
    }

    /// How long a rule's deletions stay in the trash; none is the policy's own time.
    pub fn trash_of(&self, rule: Option<usize>) -> i64 {
        let said = rule.and_then(|n| match self.rules[n].verb {
            Verb::Delete { trash_h } | Verb::DeleteForRoom { trash_h } => trash_h,
            _ => None,
        });
        said.unwrap_or(self.trash_h) * HOUR
    }

    pub fn named(&self, name: &str) -> Option<usize> {
        (0..self.rules.len()).find(|n| self.name(*n) == name)
    }

    pub fn name(&self, n: usize) -> String {
        format!("{n} {}", self.rules[n].verb.word())
    }

    pub fn makes_room(&self, n: usize) -> bool {
        matches!(self.rules[n].verb, Verb::DeleteForRoom { .. })
    }
}

/// One that is read without being restored.
pub const CLASS: &str = "GLACIER_IR";

/// Down to how much a watermark makes room.
pub const LOW: u64 = CAPACITY * 30 / 100;

impl Verb {
    fn word(&self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Keep(_) => "keep",
            Self::Delete { .. } => "delete",
            Self::Backup(_) => "backup",
            Self::Move { .. } => "move",
            Self::ArchiveTo(_) => "archive",
            Self::Sink { .. } => "sink",
            Self::Tag(_) => "tag",
            Self::Notify => "notify",
            Self::DeleteForRoom { .. } => "delete for room",
            Self::EvictForRoom(_) => "evict for room",
            Self::ArchiveForRoom(_) => "archive for room",
        }
    }
}

impl fmt::Display for Whom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said = Vec::new();
        said.extend(self.age_d.map(|days| format!("age: \">={days}d\"")));
        said.extend(self.cams.then(|| "prefix: cam/".to_owned()));
        said.extend(self.tag.map(|tag| format!("tags: [{tag}]")));
        if said.is_empty() { f.write_str("all") } else { write!(f, "{{ {} }}", said.join(", ")) }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { whom, verb } = self;
        write!(f, "match: {whom}, ")?;
        let delete = |trash_h: Option<i64>| match trash_h {
            Some(hours) => format!("delete: {{ trash: {hours}h }}"),
            None => "delete: {}".to_owned(),
        };
        let all = if whom.to_string() == "all" { ", unsafe_all: true" } else { "" };
        let room = |store: &str| {
            format!("watermark: {{ store: {store}, high: 50%, low: 30%, for: 10m, order: [oldest] }}")
        };
        match verb {
            Verb::Hold => f.write_str("hold: { reason: litigation }"),
            Verb::Keep(Some(days)) => write!(f, "keep: {days}d"),
            Verb::Keep(None) => f.write_str("keep: forever"),
            Verb::Delete { trash_h } => write!(f, "{}{all}", delete(*trash_h)),
            Verb::Backup(to) => write!(f, "backup: {to}"),
            Verb::Move { to, keep_d } => write!(f, "move: {{ to: {to}, keep: {keep_d}d }}"),
            Verb::ArchiveTo(to) => write!(f, "archive: {to}"),
            Verb::Sink { by_lifecycle: false } => write!(f, "archive: {CLASS}"),
            Verb::Sink { by_lifecycle: true } => write!(f, "archive: {{ class: {CLASS}, by: lifecycle }}"),
            Verb::Tag(tag) => write!(f, "tag: {tag}"),
            Verb::Notify => f.write_str("notify: warning"),
            Verb::DeleteForRoom { trash_h } => {
                write!(f, "{}, {}{all}", room("recordings"), delete(*trash_h))
            }
            Verb::EvictForRoom(store) => write!(f, "{}, evict: {store}", room(store)),
            Verb::ArchiveForRoom(to) => write!(f, "{}, archive: {to}", room("recordings")),
        }
    }
}

/// The policy file.
impl fmt::Display for Law {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let most = self.most_bytes.map(|most| format!(", max_bytes: {most}B")).unwrap_or_default();
        writeln!(f, "version: 1")?;
        writeln!(f, "stores:")?;
        writeln!(f, "  recordings: {{ capacity: {CAPACITY}B }}")?;
        writeln!(f, "  replica: {{ url: /replica, capacity: {CAPACITY}B }}")?;
        writeln!(f, "  attic: {{ url: /attic }}")?;
        writeln!(f, "protect:")?;
        writeln!(f, "  copies: {{ min: {} }}", self.copies)?;
        writeln!(f, "  trash: {}h", self.trash_h)?;
        writeln!(f, "  deletion: {{ max_percent: {}, floor: {}{most} }}", self.percent, self.floor)?;
        writeln!(f, "  verify: {}%", self.verify_percent)?;
        writeln!(f, "rules:")?;
        for (n, rule) in self.rules.iter().enumerate() {
            writeln!(f, "  - {{ name: \"{}\", {rule} }}", self.name(n))?;
        }
        Ok(())
    }
}
