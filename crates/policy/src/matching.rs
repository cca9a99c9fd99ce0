use domain::{Facts, Kind, MediaFacts, Recording, StreamKind, Timestamp, Verdict};

use crate::{
    Policy,
    condition::{Between, Found, Test, Tier, Want},
    copies::Copies,
    model::Rule,
    own::{self, OwnValue},
    units::{Range, show_duration, show_size},
};

/// Whether a rule is for a recording, at this instant; and moves `due` forward to the first later instant at
/// which time alone could change the answer.
pub(crate) fn matches(
    policy: &Policy,
    rule: &Rule,
    facts: &Facts,
    now: Timestamp,
    due: &mut Option<Timestamp>,
) -> Match {
    let mut found = Match { truth: Truth::Yes, lasting: Truth::Yes, from: ALWAYS, until: NEVER };
    // What time changes comes last among the conditions (see `Test`): a rule that is not for this recording at
    // all leaves here, before its age is looked at.
    for condition in &rule.conditions {
        match condition.test.window(facts) {
            Some((from, until)) => {
                found.from = found.from.max(from);
                found.until = found.until.min(until);
            }
            None => match condition.test.holds(policy, facts, now) {
                Truth::No => {
                    return Match { truth: Truth::No, lasting: Truth::No, ..found };
                }
                holds => found.lasting = found.lasting.and(holds),
            },
        }
    }
    let in_time = found.from <= now && now < found.until;
    // A deletion's date counts before it is reached; for all others the expression may wait.
    if let Some(when) = &rule.when
        && (in_time || rule.deletes())
    {
        found.lasting = found.lasting.and(when.holds(policy, facts, now));
        *due = earlier(*due, when.changes_at(now));
    }
    if found.from >= found.until {
        // A window that holds nothing: `age` and `accepted` may contradict one another for this recording.
        return Match { truth: Truth::No, lasting: Truth::No, ..found };
    }
    found.truth = if in_time { found.lasting } else { Truth::No };
    *due = earlier(*due, [found.from, found.until].into_iter().find(|t| now < *t && *t < NEVER));
    found
}

/// A rule held against a recording.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Match {
    /// All of it, now.
    pub(crate) truth: Truth,
    /// All of it but time.
    pub(crate) lasting: Truth,
    /// From when to when time lets it hold; the end is excluded.
    pub(crate) from: Timestamp,
    pub(crate) until: Timestamp,
}

pub(crate) const ALWAYS: Timestamp = Timestamp(i64::MIN);
pub(crate) const NEVER: Timestamp = Timestamp(i64::MAX);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Truth {
    Yes,
    No,
    /// Needs media facts that there are not yet.
    Unknown,
    /// The rule's `when` has no answer.
    Broken,
}

impl Test {
    pub(crate) fn holds(&self, policy: &Policy, facts: &Facts, now: Timestamp) -> Truth {
        let r = &facts.recording;
        let within = |(from, until): (Timestamp, Timestamp)| from <= now && now < until;
        let media = |holds: &dyn Fn(&MediaFacts) -> bool| match (&r.probe, r.kind) {
            (_, Kind::Session) => Truth::No,
            (None, _) => Truth::Unknown,
            (Some(probe), _) => probe.facts.as_ref().is_some_and(holds).into(),
        };
        match self {
            Self::Kind(kinds) => kinds.contains(&r.kind).into(),
            Self::Size(range) => range.contains(r.digest.size).into(),
            Self::Recorded(between) => between.contains(r.dated()).into(),
            Self::AcceptedBetween(between) => between.contains(r.accepted_at).into(),
            Self::Prefix(prefixes) => prefixes.iter().any(|p| r.name.starts_with(p.as_str())).into(),
            Self::Tags { has, any, none } => (has.is_subset(&r.tags)
                && (any.is_empty() || !any.is_disjoint(&r.tags))
                && none.is_disjoint(&r.tags))
            .into(),
            Self::Own { name, want } => want.holds(policy, name, r.fields.get(name)).into(),
            Self::Name(globs) => globs.iter().any(|g| g.matches(&r.name)).into(),
            Self::Found(wanted) => match (&r.probe, r.kind) {
                (_, Kind::Session) => Truth::No,
                (None, _) => Truth::Unknown,
                (Some(probe), _) => wanted.contains(&found(&probe.verdict)).into(),
            },
            Self::Duration(range) => media(&|m| range.contains(m.duration_ms)),
            Self::Height(range) => media(&|m| height(m).is_some_and(|h| range.contains(u64::from(h)))),
            Self::Codec(codecs) => media(&|m| played(m).any(|codec| codecs.contains(codec))),
            Self::Type(globs) => media(&|m| globs.iter().any(|g| g.matches(&m.media_type))),
            Self::Copies(range) => range.contains(u64::from(Copies::of(policy, facts).count)).into(),
            Self::Tier(tiers) => tiers.iter().any(|tier| lies(tier, facts)).into(),
            Self::Age(_) | Self::AcceptedAgo(_) | Self::LastAccess(_) | Self::LastSeen(_) => {
                self.window(facts).is_some_and(within).into()
            }
        }
    }

    /// For what time changes: from when to when it holds, the end excluded.
    fn window(&self, facts: &Facts) -> Option<(Timestamp, Timestamp)> {
        let r = &facts.recording;
        match self {
            Self::Age(range) => Some(window(r.dated(), *range)),
            Self::AcceptedAgo(range) => Some(window(r.accepted_at, *range)),
            Self::LastAccess(range) => Some(window(accessed(r), *range)),
            Self::LastSeen(range) => {
                Some(r.custody.last_access.map_or((NEVER, NEVER), |at| window(at, *range)))
            }
            _ => None,
        }
    }

    /// The value it saw, for a person.
    pub(crate) fn saw(&self, policy: &Policy, facts: &Facts, now: Timestamp) -> String {
        let r = &facts.recording;
        let media = |saw: &dyn Fn(&MediaFacts) -> String| match (r.media(), &r.probe, r.kind) {
            (_, _, Kind::Session) => "a session has no media of its own".to_owned(),
            (_, None, _) => "not probed yet".to_owned(),
            (None, Some(_), _) => "probing found no media".to_owned(),
            (Some(m), ..) => saw(m),
        };
        match self {
            Self::Kind(_) => format!("the kind is {}", r.kind.as_str()),
            Self::Size(_) => format!("the size is {}", show_size(r.digest.size)),
            Self::Recorded(_) => match r.recorded_at {
                Some(at) => format!("recorded at {at}"),
                None => format!("no trusted recording time, accepted at {}", r.accepted_at),
            },
            Self::AcceptedBetween(_) => format!("accepted at {}", r.accepted_at),
            Self::Prefix(_) | Self::Name(_) => format!("the name is {}", r.name),
            Self::Tags { .. } if r.tags.is_empty() => "it has no tags".into(),
            Self::Tags { .. } => {
                format!("the tags are {}", r.tags.iter().map(String::as_str).collect::<Vec<_>>().join(", "))
            }
            Self::Own { name, want } => match (r.fields.get(name), own::find(&policy.own, name)) {
                (None, _) => format!("it has no field {name}"),
                (Some(text), Some(field)) if !matches!(want, Want::Set(_)) => match field.kind.read(text) {
                    Ok(_) => format!("{name} is {text}"),
                    Err(_) => format!("{name} is {text}, and {}", field.kind.is_none()),
                },
                (Some(text), _) => format!("{name} is {text}"),
            },
            Self::Found(_) => match (&r.probe, r.kind) {
                (_, Kind::Session) => "a session is not probed".into(),
                (None, _) => "not probed yet".into(),
                (Some(probe), _) => match &probe.verdict {
                    Verdict::Good => "probing found it good".into(),
                    Verdict::Damaged { reason } => format!("probing found it damaged: {reason}"),
                    Verdict::Unsupported { reason } => format!("probing found it unsupported: {reason}"),
                },
            },
            Self::Duration(_) => media(&|m| format!("the duration is {}", show_duration(m.duration_ms))),
            Self::Height(_) => media(&|m| match height(m) {
                Some(h) => format!("the height is {h}"),
                None => "there is no video stream".into(),
            }),
            Self::Codec(_) => media(&|m| match played(m).collect::<Vec<_>>() {
                none if none.is_empty() => "there are no streams to play".into(),
                codecs => format!("the codecs are {}", codecs.join(", ")),
            }),
            Self::Type(_) => media(&|m| format!("the type is {}", m.media_type)),
            Self::Age(_) => {
                let since = if r.recorded_at.is_some() { "recording" } else { "acceptance" };
                format!("the age is {}, since {since}", show_duration(ms_between(r.dated(), now)))
            }
            Self::AcceptedAgo(_) => {
                format!("accepted {} ago", show_duration(ms_between(r.accepted_at, now)))
            }
            Self::LastSeen(_) if r.custody.last_access.is_none() => {
                "never sent nor restored, and nobody knows who else looked at it".into()
            }
            Self::LastAccess(_) | Self::LastSeen(_) => {
                let ago = show_duration(ms_between(accessed(r), now));
                match r.custody.last_access {
                    Some(_) => format!("last sent or restored {ago} ago"),
                    None => format!("never sent nor restored, accepted {ago} ago"),
                }
            }
            Self::Copies(_) => Copies::of(policy, facts).to_string(),
            Self::Tier(_) => {
                let place = &r.custody.place;
                let readable = if place.cold.is_some() { "cold" } else { "hot" };
                format!("it is {readable}, its class is {}", place.class.as_deref().unwrap_or("STANDARD"))
            }
        }
    }
}

impl Truth {
    fn and(self, other: Truth) -> Truth {
        match (self, other) {
            (Self::No, _) | (_, Self::No) => Self::No,
            (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
            (Self::Broken, _) | (_, Self::Broken) => Self::Broken,
            _ => Self::Yes,
        }
    }
}

impl Want {
    /// `text`: the recording's, where it has such a field. One that is not of the field's kind is as good as none.
    fn holds(&self, policy: &Policy, name: &str, text: Option<&str>) -> bool {
        let value = || own::find(&policy.own, name)?.kind.read(text?).ok();
        match self {
            Self::Set(wanted) => text.is_some() == *wanted,
            Self::Is(texts) => text.is_some_and(|text| texts.contains(text)),
            Self::Not(texts) => text.is_none_or(|text| !texts.contains(text)),
            Self::Number(range) => matches!(value(), Some(OwnValue::Number(n)) if range.contains(n)),
            Self::Date(between) => matches!(value(), Some(OwnValue::Date(at)) if between.contains(at)),
        }
    }
}

impl From<bool> for Truth {
    fn from(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }
}

impl Between {
    fn contains(self, at: Timestamp) -> bool {
        self.from.is_none_or(|from| from <= at) && self.before.is_none_or(|before| at < before)
    }
}

pub(crate) fn earlier(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// When it was last sent to somebody or restored, else when it came: who reads its store beside us is not known.
pub(crate) fn accessed(it: &Recording) -> Timestamp {
    it.custody.last_access.unwrap_or(it.accepted_at)
}

fn found(verdict: &Verdict) -> Found {
    match verdict {
        Verdict::Good => Found::Good,
        Verdict::Damaged { .. } => Found::Damaged,
        Verdict::Unsupported { .. } => Found::Unsupported,
    }
}

pub(crate) fn height(media: &MediaFacts) -> Option<u32> {
    Some(media.video()?.video.as_ref()?.display_size().1)
}

/// The codecs of what one sees and hears; cover art and data are not that.
pub(crate) fn played(media: &MediaFacts) -> impl Iterator<Item = &str> {
    let played = |kind| matches!(kind, StreamKind::Video | StreamKind::Audio);
    media.streams.iter().filter(move |s| played(s.kind)).map(|s| s.codec.as_str())
}

/// Zero when the clock is behind: something from the future is new, not old.
fn ms_between(earlier: Timestamp, now: Timestamp) -> u64 {
    u64::try_from(i128::from(now.0) - i128::from(earlier.0)).unwrap_or(0)
}

fn window(since: Timestamp, range: Range) -> (Timestamp, Timestamp) {
    let at = |ms: u64| i64::try_from(ms).ok().and_then(|ms| since.0.checked_add(ms)).map_or(NEVER, Timestamp);
    let from = if range.min == 0 { ALWAYS } else { at(range.min) };
    (from, range.max.checked_add(1).map_or(NEVER, at))
}

fn lies(tier: &Tier, facts: &Facts) -> bool {
    let place = &facts.recording.custody.place;
    match tier {
        Tier::Hot => place.cold.is_none(),
        Tier::Cold => place.cold.is_some(),
        Tier::Class(class) => place.class.as_deref().unwrap_or("STANDARD") == class,
    }
}
