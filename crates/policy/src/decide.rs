use domain::{
    Action, Decision, Facts, JobId, JobSpec, Kind, Lane, State, Timestamp, Trash, Usage, Verdict, Wait,
};

use crate::{
    Objection, ObjectionKind, Policy, Standing,
    deletion::{objection as to_deleting, objection_to_archiving, objection_to_evicting},
    evaluate::{Evaluation, Fate, Step, evaluate},
    model::{Ask, CUSTODY, INTAKE},
    said::because,
};

/// What should happen to a recording now: the jobs whose outcomes are missing, what is waited for, and where
/// the recording stands. A function of its arguments and of nothing else; asking twice asks for the same.
///
/// What is not one recording's affair alone, deletions and what makes room, is only offered: see [`Offer`].
///
/// `usage` is part of the question; nothing of this release looks at it: room is weighed by [`crate::room`].
///
/// [`Offer`]: domain::Offer
pub fn decide(policy: &Policy, facts: &Facts, _usage: &Usage, now: Timestamp) -> Decision {
    let evaluation = evaluate(policy, facts, now);
    let (state, reason) = standing(&evaluation, facts);
    Decision {
        jobs: jobs(&evaluation, facts),
        waits: waits(&evaluation),
        state,
        reason,
        due_at: evaluation.due_at,
        offers: evaluation.offers,
    }
}

/// What a person or a round may want done to a recording besides what its rules ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed<'a> {
    Delete,
    /// Give up what is in that store.
    Evict {
        store: &'a str,
    },
    /// Let another store hold it.
    Move,
    /// Put it into another storage class of its store.
    Archive,
}

/// The strongest objection to a deed, by the same evaluation that decides; nothing when it may be done. Asked
/// again in the instant of doing it.
pub fn objection(policy: &Policy, facts: &Facts, deed: Deed<'_>, now: Timestamp) -> Option<Objection> {
    let evaluation = evaluate(policy, facts, now);
    let gone = |waits_for: &str| {
        let until = facts.recording.custody.trash.as_ref().map(|t| t.until);
        Some(Objection { kind: ObjectionKind::Gone, waits_for: waits_for.to_owned(), until })
    };
    match (evaluation.fate, deed) {
        (Fate::Deleted, _) => gone("nothing any more: it is deleted"),
        (Fate::Trashed, _) => gone("its return from the trash, or its purge"),
        (Fate::Alive, Deed::Delete) => to_deleting(&evaluation, policy, facts, now),
        (Fate::Alive, Deed::Evict { store }) if store == facts.recording.store => Some(Objection {
            kind: ObjectionKind::InUse,
            waits_for: format!("a move: `{store}` holds the recording itself"),
            until: None,
        }),
        (Fate::Alive, Deed::Evict { store }) => objection_to_evicting(&evaluation, policy, facts, store),
        (Fate::Alive, Deed::Archive) => objection_to_archiving(&evaluation, policy, facts, false),
        (Fate::Alive, Deed::Move) => {
            let waits_for = evaluation.shield.held(facts)?;
            Some(Objection { kind: ObjectionKind::Hold, waits_for, until: None })
        }
    }
}

/// Where the recording stands, and why, as sentences.
pub(crate) fn standing(evaluation: &Evaluation<'_>, facts: &Facts) -> (State, String) {
    let r = &facts.recording;
    let steps = || evaluation.steps.iter();
    match evaluation.fate {
        Fate::Alive => {}
        Fate::Trashed => return (State::Trashed, in_the_trash(evaluation, facts)),
        Fate::Deleted => return (State::Deleted, "Purged; its certificate is what is left.".into()),
    }
    let probing = steps().any(|s| s.rule == INTAKE && s.standing == Standing::ToDo);
    let to_do = set(steps().filter(|s| s.standing == Standing::ToDo).map(Step::label));
    let waits = set(steps().filter_map(|s| match &s.standing {
        // What waits for probing is said by probing itself.
        Standing::Waits(what) if !probing => Some(what.as_str()),
        _ => None,
    }));
    if !to_do.is_empty() || !waits.is_empty() {
        let unprobed = r.kind != Kind::Session && r.probe.is_none();
        let state = if unprobed { State::Accepted } else { State::Processing };
        let waiting = || listed("Waits for ", ", ", waits.iter(), ".");
        let doing = |start| listed(start, ", ", to_do.iter(), ".");
        let reason = match (waits.is_empty(), to_do.is_empty()) {
            (false, false) => waiting() + &doing(" To do: "),
            (false, true) => waiting(),
            (true, _) => doing("To do: "),
        };
        return (state, reason);
    }
    let gave_up = set(steps().filter_map(|s| match &s.standing {
        Standing::Parked(reason) => Some(format!("{} gave up: {reason}", s.label())),
        Standing::Impossible(reason) => Some(reason.clone()),
        _ => None,
    }));
    // What a finished mix lacks stays true of it, and what is held back is no work under way: it may be for ever.
    let mixed = |s: &&Step<'_>| s.standing == Standing::Done && matches!(s.ask, Some(Ask::Mix { .. }));
    let mut lacks = set(steps().filter(mixed).flat_map(|s| s.without.iter().cloned()));
    lacks.extend(set(steps().filter_map(|s| match &s.standing {
        Standing::Barred(what) | Standing::Cold(what) => Some(format!("{} waits for {what}", s.label())),
        _ => None,
    })));
    let (state, verdict) = match r.probe.as_ref().map(|p| &p.verdict) {
        Some(Verdict::Unsupported { reason }) => (State::Unsupported, Some(reason)),
        Some(Verdict::Damaged { reason }) => (State::Damaged, Some(reason)),
        _ if !gave_up.is_empty() => (State::Failed, None),
        _ => (State::Ready, None),
    };
    match verdict {
        // Word for word what probing said, when there is nothing to add.
        Some(verdict) if gave_up.is_empty() && lacks.is_empty() => (state, verdict.clone()),
        _ => (state, sentences(verdict.into_iter().cloned().chain(gave_up).chain(lacks))),
    }
}

/// One job for all rules that ask for it.
fn jobs(evaluation: &Evaluation<'_>, facts: &Facts) -> Vec<JobSpec> {
    let to_do = evaluation.steps.iter().filter(|s| s.standing == Standing::ToDo);
    let mut asked: Vec<(JobId, &Action, &Step<'_>)> =
        to_do.filter_map(|step| step.job.as_ref().map(|(id, action)| (*id, &**action, step))).collect();
    // Stable: those of one job stay by rule, as steps come. One rule asks for a thing once.
    asked.sort_by_key(|(id, ..)| *id);
    asked.chunk_by(|(one, ..), (other, ..)| one == other).map(|of_one| job(of_one, facts)).collect()
}

fn job(asked: &[(JobId, &Action, &Step<'_>)], facts: &Facts) -> JobSpec {
    let (id, action, first) = asked[0];
    let steps = || asked.iter().map(|(.., step)| *step);
    let mut reason = if first.rule == INTAKE {
        "Every recording is probed before anything is made of it.".to_owned()
    } else if first.rule == CUSTODY {
        care(action, facts)
    } else if let ([_], Some(said)) = (asked, first.said) {
        said.reason.clone()
    } else {
        because(&listed("", " and ", steps().filter_map(|s| Some(&s.said?.by)), ""))
    };
    let without = set(steps().flat_map(|s| s.without.iter().map(String::as_str)));
    if !without.is_empty() {
        reason = sentences([reason.as_str()].into_iter().chain(without));
    }
    JobSpec {
        id,
        recording: facts.recording.id,
        version: facts.recording.version.clone(),
        lane: match action {
            // What a person sees at once: what it is, and its tags. The rest takes minutes in any case.
            Action::Probe | Action::Tag { .. } | Action::Notify { .. } => Lane::Interactive,
            // One question to a store, and somebody waits for the answer.
            Action::Restore { .. } | Action::Awaken { .. } | Action::Look { .. } => Lane::Interactive,
            _ => Lane::Bulk,
        },
        rule: match (action, &facts.recording.custody.trash) {
            // The rule that deleted it is what its certificate names.
            (Action::Purge { .. }, Some(trash)) => trash.rule.clone(),
            _ => listed("", ", ", steps().map(|s| s.rule), ""),
        },
        action: action.clone(),
        reason,
    }
}

/// Why something is done that no rule has to ask for.
fn care(action: &Action, facts: &Facts) -> String {
    let custody = &facts.recording.custody;
    match action {
        Action::Awaken { asked, .. } => format!("Its restore was asked for at {asked}."),
        Action::Look { asked, .. } => {
            format!("Its archiving was left to its bucket's lifecycle rule at {asked}.")
        }
        Action::Withdraw { .. } if custody.is_trashed() => "Nothing is archived out of the trash.".into(),
        Action::Withdraw { .. } => "No rule wants it archived any more, and it is not yet.".into(),
        Action::Repair { store, .. } => {
            let home = custody.place.bad.as_deref().filter(|_| *store == facts.recording.store);
            let copy = || facts.copies.iter().find(|c| c.store == *store).and_then(|c| c.bad.as_deref());
            let bad = home.or_else(copy).unwrap_or("its bytes are not what was accepted");
            sentences([format!("what is in {store} is bad: {bad}")])
        }
        Action::Evict { store, .. } => {
            format!(
                "What a move left in {store} was kept as long as it said, and there are enough other copies."
            )
        }
        Action::Purge { .. } => match &custody.trash {
            Some(trash) => {
                let why = trash.reason.trim_end_matches('.');
                format!("Deleted {} ({why}); its time in the trash is over.", deleted_by(trash))
            }
            None => String::new(),
        },
        _ => String::new(),
    }
}

/// As a clause: by which rule, or by hand.
fn deleted_by(trash: &Trash) -> String {
    if trash.rule == "by hand" { trash.rule.clone() } else { format!("by rule `{}`", trash.rule) }
}

fn in_the_trash(evaluation: &Evaluation<'_>, facts: &Facts) -> String {
    let r = &facts.recording;
    let Some(trash) = &r.custody.trash else { return String::new() };
    let why = trash.reason.trim_end_matches('.');
    let deleted = format!("Deleted at {} {} ({why}).", trash.at, deleted_by(trash));
    let purge = evaluation.steps.iter().find(|s| s.ask.is_none()).map(|s| &s.standing);
    let next = match purge {
        _ if trash.purging.is_some() => "It is being purged: there is no way back.".to_owned(),
        Some(Standing::Parked(reason)) => {
            format!(
                "Its purge gave up: {} `videorec retry {}` has another try.",
                sentences([reason.clone()]),
                r.id
            )
        }
        Some(Standing::Impossible(why)) => sentences([why.clone()]),
        Some(Standing::Barred(what)) => {
            format!("Its purge waits for {what}; `videorec undelete {}` brings it back.", r.id)
        }
        Some(Standing::Later(until)) => {
            format!("In the trash until {until}; until then `videorec undelete {}` brings it back.", r.id)
        }
        _ => "To do: purge.".to_owned(),
    };
    format!("{deleted} {next}")
}

fn waits(evaluation: &Evaluation<'_>) -> Vec<Wait> {
    let mut waits: Vec<Wait> = Vec::new();
    for step in &evaluation.steps {
        if let Standing::Waits(what) | Standing::Barred(what) | Standing::Cold(what) = &step.standing {
            let verb = step.verb().to_owned();
            let restore = matches!(step.standing, Standing::Cold(_));
            let wait = Wait { rule: step.rule.to_owned(), verb, waits_for: what.clone(), restore };
            // Three presets of one `convert` wait for one thing.
            if waits.last() != Some(&wait) {
                waits.push(wait);
            }
        }
    }
    waits
}

/// Sorted, and each once.
fn set<T: Ord>(texts: impl Iterator<Item = T>) -> Vec<T> {
    let mut set: Vec<T> = texts.collect();
    set.sort();
    set.dedup();
    set
}

/// Texts between two others, with something between each two. Its length is known first: there are millions of them.
fn listed<T: AsRef<str>>(
    start: &str,
    between: &str,
    texts: impl Iterator<Item = T> + Clone,
    end: &str,
) -> String {
    let length: usize = texts.clone().map(|text| text.as_ref().len() + between.len()).sum();
    let mut list = String::with_capacity(start.len() + length + end.len());
    list.push_str(start);
    for (i, text) in texts.enumerate() {
        if i > 0 {
            list.push_str(between);
        }
        list.push_str(text.as_ref());
    }
    list.push_str(end);
    list
}

/// Clauses as sentences.
fn sentences(clauses: impl IntoIterator<Item: AsRef<str>>) -> String {
    let mut text = String::with_capacity(128);
    for clause in clauses {
        let clause = clause.as_ref().trim();
        if clause.is_empty() {
            continue;
        }
        let mut chars = clause.chars();
        if !text.is_empty() {
            text.push(' ');
        }
        text.extend(chars.next().into_iter().flat_map(char::to_uppercase));
        text.push_str(chars.as_str());
        if !text.ends_with(['.', '!', '?']) {
            text.push('.');
        }
    }
    text
}
