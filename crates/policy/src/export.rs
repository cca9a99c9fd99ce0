use std::fmt;

use domain::{Action, ExportSpec, Facts, JobId, Leaving, State, Timestamp};

use crate::{
    Policy,
    matching::earlier,
    model::LIBRARY,
    problem::{clip, nearest},
    units::show_size,
    wish::{Choice, Smallest, Wanted, Wish},
};

/// What a wish comes to for one recording now: what is done, and, where there was a choice, why this file and this route, as
/// clauses. Nothing is waited for: what is yet to be made is not there. A store's hours are not looked at but for the choice.
///
/// Errors: why not, as a clause.
pub fn export(
    policy: &Policy,
    facts: &Facts,
    wish: &Wish,
    now: Timestamp,
) -> Result<(ExportSpec, Vec<String>), NoExport> {
    let r = &facts.recording;
    if r.state == State::Deleted {
        return Err(NoExport::Deleted);
    }
    if let Some(trash) = &r.custody.trash {
        return Err(NoExport::Trashed { back: trash.purging.is_none() });
    }
    let Some(first) = wish.to.first() else { return Err(unknown(policy, "")) };
    for to in &wish.to {
        takes_exports(policy, to)?;
    }
    let (choices, mut why) = choices(facts, wish)?;
    let job = |at: usize, what: &Leaving| id(facts, &wish.spec(&wish.to[at], what.clone()));
    if let Some((_, done)) = done(facts, wish, &choices, job) {
        return Ok((done, why));
    }
    let Some(choice) = choices.into_iter().next() else {
        return Err(no_such(facts, wish));
    };
    if choice.what == Leaving::Source {
        readable(facts, now)?;
    }
    let routes = routes(policy, &wish.to, now, |at| gave_up(facts, || job(at, &choice.what)));
    // Somebody asks for it: where all gave up, the first tries again.
    let route = routes.taken.unwrap_or(first);
    why.extend(routes.why);
    Ok((wish.spec(route, choice.what), why))
}

/// Why something cannot be exported. Shown as a clause that says what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoExport {
    Trashed {
        /// It can be brought back.
        back: bool,
    },
    Deleted,
    UnknownStore {
        name: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// The library's own.
    TakesNone {
        name: String,
    },
    NoSuchRendition {
        wanted: String,
        /// Those that there are.
        there: Vec<String>,
    },
    /// The source has to be restored first.
    Cold {
        class: String,
        /// That is asked for.
        restoring: bool,
    },
    /// The source's bytes are not what was accepted, and why that is known.
    Bad(String),
}

impl fmt::Display for NoExport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trashed { back: true } => {
                f.write_str("it is in the trash; `videorec undelete` brings it back")
            }
            Self::Trashed { back: false } => f.write_str("it is being purged"),
            Self::Deleted => f.write_str("it is deleted"),
            Self::UnknownStore { name, known } => {
                let known: Vec<&str> = known.iter().map(String::as_str).collect();
                write!(f, "unknown store `{}`{}", clip(name), nearest(name, &known))
            }
            Self::TakesNone { name } => {
                write!(
                    f,
                    "`{name}` is the library's own store, where it is already; name a store of `stores:`"
                )
            }
            Self::NoSuchRendition { wanted, there } if there.is_empty() => {
                write!(f, "there is no `{}` of it, and no rendition at all; `source` is there", clip(wanted))
            }
            Self::NoSuchRendition { wanted, there } => {
                write!(f, "there is no `{}` of it; there are source, {}", clip(wanted), there.join(", "))
            }
            Self::Cold { class, restoring: true } => {
                write!(f, "its source is being restored from {class}, and cannot be read before that is over")
            }
            Self::Cold { class, restoring: false } => {
                write!(f, "its source is archived in {class}; `videorec restore` brings it back, at a price")
            }
            Self::Bad(why) => write!(f, "its source is bad: {why}"),
        }
    }
}

impl std::error::Error for NoExport {}

/// Whether files may be sent to a store.
pub(crate) fn takes_exports(policy: &Policy, name: &str) -> Result<(), NoExport> {
    if name == LIBRARY {
        Err(NoExport::TakesNone { name: name.to_owned() })
    } else if policy.stores().contains_key(name) {
        Ok(())
    } else {
        Err(unknown(policy, name))
    }
}

fn unknown(policy: &Policy, name: &str) -> NoExport {
    let known = policy.stores().keys().filter(|name| *name != LIBRARY).cloned().collect();
    NoExport::UnknownStore { name: name.to_owned(), known }
}

/// The files that would do, the best first, and why it is the best.
fn choices(facts: &Facts, wish: &Wish) -> Result<(Vec<Choice>, Vec<String>), NoExport> {
    let choices = match &wish.rendition {
        Wanted::Source => vec![Choice { bytes: facts.recording.digest.size, what: Leaving::Source }],
        Wanted::Rendition(name) => vec![rendition(facts, name).ok_or_else(|| no_such(facts, wish))?],
        Wanted::Smallest(smallest) => {
            let choices = smallest.of(facts);
            let why = why_smallest(smallest, &choices);
            return Ok((choices, why.into_iter().collect()));
        }
    };
    Ok((choices, Vec::new()))
}

/// A rendition by its name, as it is now.
pub(crate) fn rendition(facts: &Facts, name: &str) -> Option<Choice> {
    let made = facts.renditions.iter().filter(|r| r.name == name).min_by_key(|r| r.job)?;
    Some(Choice { bytes: 0, what: Leaving::Rendition { name: name.to_owned(), job: made.job } })
}

/// A clause, where there was a choice.
pub(crate) fn why_smallest(smallest: &Smallest, choices: &[Choice]) -> Option<String> {
    let [best, others @ ..] = choices else { return None };
    let (name, size) = (best.what.name(), show_size(best.bytes));
    Some(match others.len() {
        0 => format!("`{name}` ({size}) is the only one that is {}", smallest.described()),
        n => format!("`{name}` ({size}) is the smallest of {} that are {}", n + 1, smallest.described()),
    })
}

/// What was exported already by this wish. Whichever file and route it was, that was good enough: nothing leaves twice because
/// an hour has passed or something smaller has been made. `job` says which job it is to send a file by a route.
pub(crate) fn done(
    facts: &Facts,
    wish: &Wish,
    choices: &[Choice],
    job: impl Fn(usize, &Leaving) -> JobId,
) -> Option<(JobId, ExportSpec)> {
    if facts.done.is_empty() {
        return None;
    }
    let ways = choices.iter().flat_map(|choice| wish.to.iter().enumerate().map(move |way| (choice, way)));
    let mut jobs = ways.map(|(choice, (at, to))| (job(at, &choice.what), choice, to));
    let (id, choice, to) = jobs.find(|(id, ..)| facts.done.contains(id))?;
    Some((id, wish.spec(to, choice.what.clone())))
}

/// Why an export gave up, where it did.
pub(crate) fn gave_up(facts: &Facts, job: impl FnOnce() -> JobId) -> Option<&str> {
    if facts.parked.is_empty() {
        return None;
    }
    facts.parked.get(&job()).map(String::as_str)
}

/// The job that an export is.
pub(crate) fn id(facts: &Facts, spec: &ExportSpec) -> JobId {
    Action::Export(spec.clone()).job_id(facts.recording.id, &facts.recording.version)
}

/// The way that something takes, of several.
pub(crate) struct Routes<'a> {
    /// Nothing: all gave up.
    pub(crate) taken: Option<&'a str>,
    /// When the one that is taken opens; nothing while it is open.
    pub(crate) opens: Option<Timestamp>,
    /// When time alone would change that.
    pub(crate) due: Option<Timestamp>,
    /// Why that one, as clauses; nothing where there is only one.
    pub(crate) why: Vec<String>,
}

/// Of those that have not given up and whose hours are open the fastest, by the bandwidth that it has, and of equals the first;
/// where none is open, the one that opens first. `gave_up` says why one did.
pub(crate) fn routes<'a, 'f>(
    policy: &Policy,
    to: &'a [String],
    now: Timestamp,
    gave_up: impl Fn(usize) -> Option<&'f str>,
) -> Routes<'a> {
    let mut found = Routes { taken: None, opens: None, due: None, why: Vec::new() };
    let several = to.len() > 1;
    let mut ways: Vec<Way<'a>> = Vec::with_capacity(to.len());
    for (at, to) in to.iter().enumerate() {
        match gave_up(at) {
            Some(reason) if several => found.why.push(format!("`{to}` gave up: {reason}")),
            Some(_) => {}
            None => ways.push(Way::of(policy, to, now)),
        }
    }
    // Of equals the first: so the last of all in the other order.
    let open = ways.iter().enumerate().rev().filter(|(_, way)| way.opens.is_none());
    let best = open.max_by_key(|(_, way)| way.speed);
    let Some((at, best)) = best else {
        for Way { to, opens, .. } in &ways {
            found
                .why
                .extend(opens.filter(|_| several).map(|opens| format!("`{to}` takes files from {opens} on")));
        }
        if let Some(first) = ways.iter().min_by_key(|way| way.opens) {
            (found.taken, found.opens, found.due) = (Some(first.to), first.opens, first.opens);
            found.why.extend(several.then(|| format!("`{}` opens first", first.to)));
        }
        return found;
    };
    found.taken = Some(best.to);
    found.due = best.closes;
    for (n, way) in ways.iter().enumerate() {
        // Better once it opens.
        let Some(opens) = way.opens.filter(|_| way.speed > best.speed || way.speed == best.speed && n < at)
        else {
            continue;
        };
        found.due = earlier(found.due, Some(opens));
        found.why.push(format!("`{}` takes files from {opens} on", way.to));
    }
    let slower = ways[..at].iter().find(|way| way.opens.is_none());
    found.why.extend(several.then(|| match slower {
        Some(Way { to, speed, .. }) => {
            format!("`{}` is faster than `{to}` with its {}/s", best.to, show_size(*speed))
        }
        None => format!("`{}` is the first that is open", best.to),
    }));
    found
}

/// A route that has not given up.
struct Way<'a> {
    to: &'a str,
    /// When its hours begin; nothing while they last.
    opens: Option<Timestamp>,
    closes: Option<Timestamp>,
    /// Bytes a second that it takes, as far as that is said.
    speed: u64,
}

impl<'a> Way<'a> {
    fn of(policy: &Policy, to: &'a str, now: Timestamp) -> Self {
        let terms = policy.stores().get(to).map(|store| &store.terms);
        let hours = terms.and_then(|terms| terms.hours.as_ref());
        Self {
            to,
            opens: hours.and_then(|hours| hours.opens(now)),
            closes: hours.and_then(|hours| hours.closes(now)),
            speed: terms.and_then(|terms| terms.bandwidth).unwrap_or(u64::MAX),
        }
    }
}

fn no_such(facts: &Facts, wish: &Wish) -> NoExport {
    let mut there: Vec<String> = facts.renditions.iter().map(|r| r.name.clone()).collect();
    there.sort();
    there.dedup();
    NoExport::NoSuchRendition { wanted: wish.rendition.label(), there }
}

fn readable(facts: &Facts, now: Timestamp) -> Result<(), NoExport> {
    let custody = &facts.recording.custody;
    if let Some(bad) = &custody.place.bad {
        return Err(NoExport::Bad(bad.clone()));
    }
    if custody.is_readable(now) {
        return Ok(());
    }
    let restore = custody.place.cold.as_ref().and_then(|cold| cold.restore.as_ref());
    Err(NoExport::Cold {
        class: custody.place.class.clone().unwrap_or_else(|| "the archive".into()),
        restoring: restore.is_some_and(|restore| restore.until.is_none()),
    })
}
