use domain::{Facts, Kind, MediaFacts, StreamKind, Timestamp, Verdict};

use crate::{
    condition::{Between, Found, Test},
    model::Rule,
    units::{Range, show_duration, show_size},
};

/// Whether a rule is for a recording, at this instant; and moves `due` forward to the first later instant at
/// which time alone could change the answer.
pub(crate) fn matches(rule: &Rule, facts: &Facts, now: Timestamp, due: &mut Option<Timestamp>) -> Truth {
    let mut all = Truth::Yes;
    let mut flips: Option<Timestamp> = None;
    // What time changes comes last among the conditions (see `Test`): a rule that is not for this recording at
    // all leaves here, before its age is looked at.
    for condition in &rule.conditions {
        let holds = condition.test.holds(facts, now);
        match condition.test.flips(facts) {
            None if holds == Truth::No => return Truth::No,
            None => {}
            Some(instants) => {
                let next = instants.into_iter().flatten().filter(|t| *t > now).min();
                flips = earlier(flips, next);
            }
        }
        all = all.and(holds);
    }
    *due = earlier(*due, flips);
    all
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Truth {
    Yes,
    No,
    /// Needs media facts that there are not yet.
    Unknown,
}

impl Test {
    pub(crate) fn holds(&self, facts: &Facts, now: Timestamp) -> Truth {
        let r = &facts.recording;
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
            Self::Age(range) => range.contains(ms_between(r.dated(), now)).into(),
            Self::AcceptedAgo(range) => range.contains(ms_between(r.accepted_at, now)).into(),
        }
    }

    /// For what time changes: the instants at which it begins and ceases to hold.
    fn flips(&self, facts: &Facts) -> Option<[Option<Timestamp>; 2]> {
        match self {
            Self::Age(range) => Some(instants(facts.recording.dated(), *range)),
            Self::AcceptedAgo(range) => Some(instants(facts.recording.accepted_at, *range)),
            _ => None,
        }
    }

    /// The value it saw, for a person.
    pub(crate) fn saw(&self, facts: &Facts, now: Timestamp) -> String {
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
        }
    }
}

impl Truth {
    fn and(self, other: Truth) -> Truth {
        match (self, other) {
            (Self::No, _) | (_, Self::No) => Self::No,
            (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
            _ => Self::Yes,
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

fn found(verdict: &Verdict) -> Found {
    match verdict {
        Verdict::Good => Found::Good,
        Verdict::Damaged { .. } => Found::Damaged,
        Verdict::Unsupported { .. } => Found::Unsupported,
    }
}

fn height(media: &MediaFacts) -> Option<u32> {
    Some(media.video()?.video.as_ref()?.display_size().1)
}

/// The codecs of what one sees and hears; cover art and data are not that.
fn played(media: &MediaFacts) -> impl Iterator<Item = &str> {
    let played = |kind| matches!(kind, StreamKind::Video | StreamKind::Audio);
    media.streams.iter().filter(move |s| played(s.kind)).map(|s| s.codec.as_str())
}

/// Zero when the clock is behind: something from the future is new, not old.
fn ms_between(earlier: Timestamp, now: Timestamp) -> u64 {
    u64::try_from(i128::from(now.0) - i128::from(earlier.0)).unwrap_or(0)
}

fn instants(since: Timestamp, range: Range) -> [Option<Timestamp>; 2] {
    let at = |ms: u64| {
        let ms = i64::try_from(ms).ok().filter(|ms| *ms > 0)?;
        since.0.checked_add(ms).map(Timestamp)
    };
    [at(range.min), range.max.checked_add(1).and_then(at)]
}
