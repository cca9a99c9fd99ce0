//! The reference model: what has become of each recording, told by the audit log, and what must never be in it.

use std::collections::BTreeMap;

use catalog::AuditEntry;
use domain::{RecordingId, Timestamp};
use serde_json::Value;

use crate::{
    known::{Fate, Known},
    law::{DAY, Law},
};

pub type Verdict = Result<(), String>;

#[derive(Default)]
pub struct Judge {
    /// By the hash of the policy.
    pub laws: BTreeMap<String, Law>,
    in_force: String,
    /// The policy whose plan somebody has looked at last.
    pub seen: String,
    pub known: Vec<Known>,
    /// What went into the trash and did not come back: when, and how many bytes.
    went: BTreeMap<RecordingId, (i64, u64)>,
    /// The audit log was read up to here.
    pub read: i64,
    /// Somebody was at work when the last event happened.
    pub in_hand: bool,
    /// How often what was met, to see that the histories are about something.
    pub met: BTreeMap<String, u32>,
}

impl Judge {
    pub fn law(&self) -> &Law {
        &self.laws[&self.in_force]
    }

    pub fn of(&mut self, id: RecordingId) -> Option<&mut Known> {
        self.known.iter_mut().find(|k| k.id == id)
    }

    pub fn hear(&mut self, entry: &AuditEntry) -> Verdict {
        self.read = entry.seq;
        let action = entry.details["action"].as_str().and_then(|action| action.split(' ').next());
        let who = if entry.actor == "policy" { "by a rule" } else { "" };
        let met = format!("{} {}", entry.what, action.unwrap_or(who));
        *self.met.entry(met.trim_end().to_owned()).or_default() += 1;
        if entry.what == "policy" {
            self.in_force = text(&entry.details, "to");
            return Ok(());
        }
        let Some(id) = entry.recording else { return Ok(()) };
        let judged = self.judge(id, entry);
        judged.map_err(|why| format!("{why}\n  at {}: {} {} {}", entry.at, entry.what, id, entry.details))
    }

    fn judge(&mut self, id: RecordingId, entry: &AuditEntry) -> Verdict {
        let Some(law) = self.laws.get(&self.in_force).cloned() else {
            return Err("no policy is in force".into());
        };
        let now = entry.at.0;
        let in_hand = self.in_hand;
        let Some(it) = self.of(id) else { return Err("nobody brought this in".into()) };
        it.touched = true;
        let held = it.is_held(&law, now);
        let action = entry.details["action"].as_str().unwrap_or_default();
        match (entry.what.as_str(), action) {
            ("hold", _) => {
                it.can_be_changed()?;
                it.held_amid |= in_hand;
                it.holds.insert(text(&entry.details, "name"));
            }
            ("release", _) => match entry.details["name"].as_str() {
                Some(name) => {
                    it.holds.remove(name);
                }
                None => it.holds.clear(),
            },
            ("describe", _) => {
                it.can_be_changed()?;
                it.tagged_amid |= in_hand;
                for tag in texts(&entry.details, "untag") {
                    it.traits.tags.remove(&tag);
                }
                it.traits.tags.extend(texts(&entry.details, "tags"));
            }
            ("undelete", _) => {
                it.can_be_changed()?;
                it.fate = Fate::Live;
                it.kept_until = time(&entry.details, "kept_until");
                self.went.remove(&id);
            }
            ("trash", _) => return self.trashed(id, &law, entry),
            ("purge", _) => {
                let Fate::Trashed { until, .. } = it.fate else {
                    return Err("promise 11: purged without having been in the trash".into());
                };
                never(held, "promise 2: purged while it is held")?;
                never(now < until, "promise 8: purged before its time in the trash was over")?;
                it.fate = Fate::Going;
            }
            ("purged", _) | ("record", "purge") => {
                never(
                    !matches!(it.fate, Fate::Going | Fate::Gone),
                    "promise 11: it was purged and that was not written down before",
                )?;
                it.fate = Fate::Gone;
            }
            ("evict", _) => {
                never(held && !it.tagged_amid, "promise 2: a copy is given up while it is held")?;
                never(it.fate != Fate::Live, "what is in the trash goes as a whole")?;
                // That another is there is looked up, and not read back again: what rots unseen is not to be told from it.
                it.ruined |= it.harmed;
                it.owed = it.owed.min(law.copies);
                it.evicted.insert(text(&entry.details, "store"));
                it.given_up.insert(text(&entry.details, "store"));
            }
            ("record", action) if action.starts_with("move") => {
                never(held && !it.held_amid && !it.tagged_amid, "promise 2: moved while it is held")?;
            }
            ("record", action) if action.starts_with("tag") => {
                it.tagged_amid = true;
                it.traits.tags.extend(texts(&entry.details["fact"], "tags"));
            }
            ("record", action) if action.starts_with("verify") => it.verified = true,
            _ => {}
        }
        Ok(())
    }

    fn trashed(&mut self, id: RecordingId, law: &Law, entry: &AuditEntry) -> Verdict {
        let (now, by_policy) = (entry.at.0, entry.actor == "policy");
        let (rule, bytes) = (text(&entry.details, "rule"), entry.details["bytes"].as_u64().unwrap_or(0));
        let until = time(&entry.details, "until");
        let unseen = self.seen != self.in_force;
        let it = self.of(id).ok_or("nobody brought this in")?;
        never(it.fate != Fate::Live, "it was in the trash already")?;
        never(it.is_held(law, now), "promise 2: deleted while it is held")?;
        never(law.is_kept(&it.traits, now), "deleted while a rule keeps it")?;
        if by_policy {
            never(unseen, "promise 8: deleted by a policy that nobody has seen")?;
            never(now < it.kept_until, "it came back from the trash a short while ago")?;
            let n = law.named(&rule).ok_or("deleted by a rule that there is not")?;
            if law.makes_room(n) {
                never(!law.rules[n].whom.holds(&it.traits, now), "the rule is not for it")?;
                it.made_room = true;
            } else {
                let (date, by) = law.date(&it.traits).ok_or("no rule deletes it")?;
                never(now < date, "the latest date wins, and that was not reached")?;
                never(!by.contains(&n), "another rule has the latest date")?;
                it.was_due = true;
            }
            never(
                until - now != law.trash_of(Some(n)),
                "it stays in the trash for another time than its rule says",
            )?;
        }
        it.owed = it.owed.min(law.copies);
        it.fate = Fate::Trashed { until };
        it.trashed_now = true;
        self.went.insert(id, (now, bytes));
        let (count, sum) = self.went_since(now - DAY);
        let most = self.most(law, count);
        never(count > most, &format!("promise 8: {count} went within a day, and {most} may"))?;
        let too_much = law.most_bytes.is_some_and(|most| sum > most);
        never(too_much, &format!("promise 8: {sum} bytes went within a day"))
    }

    /// What went after that.
    pub fn went_since(&self, since: i64) -> (u64, u64) {
        let went = self.went.values().filter(|(at, _)| *at > since);
        went.fold((0, 0), |(n, sum), (_, bytes)| (n + 1, sum + bytes))
    }

    /// How many may go within a day of which so many went.
    pub fn most(&self, law: &Law, went: u64) -> u64 {
        let live = self.known.iter().filter(|k| k.fate == Fate::Live).count() as u64;
        law.most(live + went)
    }
}

pub fn never(is: bool, what: &str) -> Verdict {
    if is { Err(what.to_owned()) } else { Ok(()) }
}

fn text(details: &Value, name: &str) -> String {
    details[name].as_str().unwrap_or_default().to_owned()
}

fn texts(details: &Value, name: &str) -> Vec<String> {
    let all = details[name].as_array().into_iter().flatten();
    all.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn time(details: &Value, name: &str) -> i64 {
    let found: Result<Timestamp, _> = serde_json::from_value(details[name].clone());
    found.expect("a time").0
}
