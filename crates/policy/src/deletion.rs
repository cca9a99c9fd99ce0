use std::time::Duration;

use domain::{Action, Facts, Offer, Timestamp, What};

use crate::{
    Policy, Standing,
    copies::Copies,
    evaluate::{Evaluation, Step},
    matching::{ALWAYS, Match, NEVER, Truth, earlier},
    model::{Ask, Rule},
};

/// What the rules would have go.
#[derive(Default)]
pub(crate) struct Deletion<'p> {
    /// The rule whose date is the latest, and the date.
    date: Option<(Timestamp, &'p Rule)>,
    /// The latest date of a rule of which it cannot be said whether it matches: it may put off, not delete.
    unsure: Option<Timestamp>,
    /// Steps that make room where room is needed.
    pub(crate) candidates: Vec<(usize, &'p Rule)>,
}

impl<'p> Deletion<'p> {
    /// Notes when a rule would have the recording go. Of several dates the latest wins, so none can be left out.
    pub(crate) fn date(&mut self, rule: &'p Rule, held: Match, facts: &Facts, now: Timestamp) {
        // Most recordings are not for it: what follows may look up a time zone.
        if held.lasting == Truth::No || held.until <= now {
            return;
        }
        let from = match &rule.schedule {
            Some(schedule) => schedule.from(held.from.max(facts.recording.accepted_at)),
            None => held.from,
        };
        if held.until <= from {
            return;
        }
        match held.lasting {
            Truth::No => {}
            Truth::Unknown | Truth::Broken => self.unsure = self.unsure.max(Some(from)),
            // Rules come by name: of two with one date the first stays.
            Truth::Yes if self.date.is_none_or(|(date, _)| date < from) => {
                self.date = Some((from, rule));
            }
            Truth::Yes => {}
        }
    }

    /// Says where deletions stand, and offers what may go.
    pub(crate) fn offer(self, found: &mut Evaluation<'p>, policy: &'p Policy, facts: &Facts, now: Timestamp) {
        found.deletion = self.date;
        if let Some((date, rule)) = self.date {
            self.due(found, policy, facts, now, date, rule);
        }
        for (at, rule) in &self.candidates {
            let standing = match make_room(found, policy, facts, rule) {
                Ok(offer) => {
                    let why = format!("when `{}` needs room", offer.room.as_deref().unwrap_or_default());
                    found.offers.push(offer);
                    Standing::Offered(why)
                }
                Err(why) => Standing::NotApplicable(why),
            };
            found.steps[*at].standing = standing;
        }
        found.offers.sort();
    }

    fn due(
        &self,
        found: &mut Evaluation<'p>,
        policy: &Policy,
        facts: &Facts,
        now: Timestamp,
        date: Timestamp,
        rule: &'p Rule,
    ) {
        let put_off = self.unsure.unwrap_or(ALWAYS).max(date);
        let standing = if now < put_off {
            found.due_at = earlier(found.due_at, Some(put_off).filter(|t| *t < NEVER));
            Standing::Later(put_off)
        } else if let Some(objection) = objection(found, policy, facts, now) {
            found.due_at = earlier(found.due_at, objection.until);
            Standing::Barred(objection.waits_for)
        } else {
            found.offers.extend(rule.asks.iter().filter_map(|ask| match ask {
                Ask::Delete { trash } => Some(Offer {
                    what: What::Delete,
                    room: None,
                    bytes: bytes(facts, None),
                    trash: *trash,
                    reason: since(rule, date),
                    ..offer(rule, facts)
                }),
                _ => None,
            }));
            Standing::Offered("deletion is due".into())
        };
        for step in &mut found.steps {
            if !matches!(step.ask, Some(Ask::Delete { .. })) || step.standing != Standing::Done {
                continue;
            }
            step.standing = if step.rule == rule.name {
                standing.clone()
            } else {
                let when = if date == ALWAYS { "too".to_owned() } else { format!("later, from {date}") };
                Standing::NotApplicable(format!(
                    "rule `{}` deletes it {when}, and the latest wins",
                    rule.name
                ))
            };
        }
    }
}

/// Something stronger than what would have a recording go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Objection {
    pub kind: ObjectionKind,
    /// Completes "waits for ...".
    pub waits_for: String,
    /// When it ends by itself.
    pub until: Option<Timestamp>,
}

/// In the order of strength.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ObjectionKind {
    /// It is deleted already.
    Gone,
    /// By hand or by a rule.
    Hold,
    /// Something is being made of it, or it is being restored.
    InUse,
    /// A rule might hold or keep it; that cannot be said.
    Unsure,
    Keep,
    /// It came back from the trash a short while ago.
    Grace,
    /// There would be, or are, too few verified copies.
    Copies,
}

/// What objects to deleting, the strongest first.
pub(crate) fn objection(
    found: &Evaluation<'_>,
    policy: &Policy,
    facts: &Facts,
    now: Timestamp,
) -> Option<Objection> {
    use ObjectionKind as Kind;
    let lasting = |kind, waits_for| Objection { kind, waits_for, until: None };
    if let Some(hold) = found.shield.held(facts) {
        return Some(lasting(Kind::Hold, hold));
    }
    if let Some(busy) = found.steps.iter().find(|s| s.is_under_way()) {
        return Some(lasting(Kind::InUse, format!("{} to be finished", busy.label())));
    }
    if let Some(unsure) = found.shield.unsure() {
        return Some(lasting(Kind::Unsure, unsure));
    }
    if let Some((until, waits_for)) = found.shield.kept() {
        let until = Some(until).filter(|t| *t < NEVER);
        return Some(Objection { kind: Kind::Keep, waits_for, until });
    }
    if let Some(until) = facts.recording.custody.kept_until.filter(|until| now < *until) {
        let waits_for = format!("{until}: it came back from the trash and is kept until then");
        return Some(Objection { kind: Kind::Grace, waits_for, until: Some(until) });
    }
    Copies::of(policy, facts).lacking(policy).map(|lacking| lasting(Kind::Copies, lacking))
}

/// What giving up the copy in a store meets.
pub(crate) fn objection_to_evicting(
    found: &Evaluation<'_>,
    policy: &Policy,
    facts: &Facts,
    store: &str,
) -> Option<Objection> {
    use ObjectionKind as Kind;
    let lasting = |kind, waits_for| Objection { kind, waits_for, until: None };
    if let Some(hold) = found.shield.held(facts) {
        return Some(lasting(Kind::Hold, hold));
    }
    // The job that gives it up asks this of itself, and others may wait for it.
    let evicts = |s: &Step<'_>| match &s.job {
        Some((_, action)) => match &**action {
            Action::Evict { store: other, .. } => other == store || s.standing != Standing::ToDo,
            _ => false,
        },
        None => false,
    };
    if let Some(busy) = found.steps.iter().find(|s| s.is_under_way() && !evicts(s)) {
        return Some(lasting(Kind::InUse, format!("{} to be finished", busy.label())));
    }
    let left = Copies::without(policy, facts, Some(store));
    left.lacking(policy).map(|lacking| lasting(Kind::Copies, lacking))
}

/// What a rule offers to make room, or why it does not.
fn make_room(
    found: &mut Evaluation<'_>,
    policy: &Policy,
    facts: &Facts,
    rule: &Rule,
) -> Result<Offer, String> {
    let Some((watermark, ask)) = rule.watermark.as_ref().zip(rule.asks.first()) else {
        return Err("it has no watermark".into());
    };
    let r = &facts.recording;
    let place = &r.custody.place;
    let store = watermark.store.as_str();
    let freed = bytes(facts, Some(store));
    let nothing = || format!("it has no bytes in `{store}`");
    let barred = |objection: Objection| format!("it is not offered; that waits for {}", objection.waits_for);
    let offer = Offer {
        room: Some(store.to_owned()),
        bytes: freed,
        reason: format!("Rule `{}` ({}) makes room in `{store}`.", rule.name, rule.looks_for()),
        ..offer(rule, facts)
    };
    Ok(match ask {
        Ask::Delete { trash } => {
            if freed == 0 {
                return Err(nothing());
            }
            if let Some(objection) = objection(found, policy, facts, found.now) {
                found.due_at = earlier(found.due_at, objection.until);
                return Err(barred(objection));
            }
            Offer { what: What::Delete, trash: *trash, ..offer }
        }
        Ask::Evict { store: from } => {
            if !facts.copies.iter().any(|c| c.store == *from && c.store != r.store) {
                return Err(format!("it has no copy in `{from}` besides itself"));
            }
            // Another copy may be about to go: one after the other.
            if let Some(busy) = found.steps.iter().find(|s| s.is_under_way()) {
                return Err(format!("it is not offered; that waits for {} to be finished", busy.label()));
            }
            if let Some(objection) = objection_to_evicting(found, policy, facts, from) {
                return Err(barred(objection));
            }
            Offer { what: What::Evict { store: from.clone() }, bytes: r.digest.size, ..offer }
        }
        Ask::Action(Action::Archive { class, .. }) => {
            if r.store != *store {
                return Err(format!("it does not live in `{store}`"));
            }
            if place.class.as_ref() == Some(class) {
                return Err(format!("it is in {class} already"));
            }
            archivable(found, policy, facts, false)?;
            Offer { what: What::Archive { class: class.clone() }, bytes: r.digest.size, ..offer }
        }
        Ask::Move { to, .. } => {
            if r.store != *store {
                return Err(format!("it does not live in `{store}`"));
            }
            archivable(found, policy, facts, true)?;
            Offer { what: What::Archive { class: to.clone() }, bytes: r.digest.size, ..offer }
        }
        _ => return Err("it makes no room".into()),
    })
}

fn archivable(found: &Evaluation<'_>, policy: &Policy, facts: &Facts, moves: bool) -> Result<(), String> {
    let objection = objection_to_archiving(found, policy, facts, moves);
    if let Some(objection) = objection {
        return Err(format!("it is not offered; that waits for {}", objection.waits_for));
    }
    if !facts.recording.custody.is_readable(found.now) {
        return Err("it is archived already".into());
    }
    Ok(())
}

/// What putting the source into a storage class meets, or (`moves`) into another store.
pub(crate) fn objection_to_archiving(
    found: &Evaluation<'_>,
    policy: &Policy,
    facts: &Facts,
    moves: bool,
) -> Option<Objection> {
    use ObjectionKind as Kind;
    let lasting = |kind, waits_for| Objection { kind, waits_for, until: None };
    if moves && let Some(hold) = found.shield.held(facts) {
        return Some(lasting(Kind::Hold, hold));
    }
    if let Some(busy) = found.steps.iter().find(|s| s.is_under_way()) {
        return Some(lasting(Kind::InUse, format!("{} to be finished", busy.label())));
    }
    if let Some(bad) = &facts.recording.custody.place.bad {
        return Some(lasting(Kind::InUse, format!("good bytes; these are bad: {bad}")));
    }
    let lacking = Copies::of(policy, facts).lacking(policy).filter(|_| policy.protect().copies_min > 1)?;
    Some(lasting(Kind::Copies, lacking))
}

/// What all offers of a rule have in common.
fn offer(rule: &Rule, facts: &Facts) -> Offer {
    let place = &facts.recording.custody.place;
    Offer {
        rule: rule.name.clone(),
        what: What::Delete,
        room: None,
        bytes: 0,
        archived: place.cold.is_some() || place.class.is_some(),
        dated: facts.recording.dated(),
        trash: Duration::ZERO,
        reason: String::new(),
    }
}

fn since(rule: &Rule, date: Timestamp) -> String {
    let looks_for = rule.looks_for();
    match date {
        ALWAYS => format!("Rule `{}` ({looks_for}) deletes it.", rule.name),
        date => format!("Rule `{}` ({looks_for}) deletes it from {date} on.", rule.name),
    }
}

/// Bytes of a recording: its source, copies and renditions, in one store or in all.
fn bytes(facts: &Facts, store: Option<&str>) -> u64 {
    let r = &facts.recording;
    let source = [(r.store.as_str(), r.digest.size)].into_iter();
    let copies = facts.copies.iter().map(|c| (c.store.as_str(), c.digest.size));
    let files = facts.renditions.iter().flat_map(|r| &r.files).map(|f| (f.store.as_str(), f.digest.size));
    let there = source.chain(copies).chain(files).filter(|(at, _)| store.is_none_or(|store| store == *at));
    there.fold(0, |sum, (_, size)| sum.saturating_add(size))
}
