use std::borrow::Cow;

use domain::{Action, Companion, Container, Facts, Leaving, Output, Preset};

use crate::{
    Policy, Standing,
    evaluate::{Evaluation, Job, standing, unfit, wait_for_firing},
    export::{Routes, done, gave_up, id, rendition, routes, why_smallest},
    matching::earlier,
    model::Ask,
    placing::Placing,
    probing::Probing,
    source::Source,
    wish::{Choice, Smallest, Wanted, Wish},
};

/// Where steps stand that bring a file to a place that is not ours. They come after all that may still make that file, and
/// before what puts the source elsewhere.
pub(crate) fn send<'p>(
    found: &mut Evaluation<'p>,
    policy: &Policy,
    sendings: &[Placing<'p>],
    source: &Source,
    probing: &Probing,
    facts: &Facts,
) {
    for sending in sendings {
        let (job, standing, why) = match found.steps[sending.at].ask {
            Some(Ask::Action(Action::Export(spec))) => {
                let Some((id, action)) = sending.asked.said.job(0, facts) else { continue };
                let standing = match standing(id, facts) {
                    Standing::ToDo => {
                        let routes = routes(policy, std::slice::from_ref(&spec.to), found.now, |_| None);
                        let with = spec.with.contains(&Companion::Thumbnails);
                        turn(found, policy, sending, &spec.what, with, &routes, source, facts)
                    }
                    over => over,
                };
                (Some((id, action)), standing, Vec::new())
            }
            Some(Ask::Export(wish)) => match choices(found, policy, wish, probing, facts) {
                Ok(choices) => chosen(found, policy, sending, wish, &choices, source, facts),
                Err(standing) => (None, standing, Vec::new()),
            },
            _ => continue,
        };
        let step = &mut found.steps[sending.at];
        (step.job, step.standing, step.without) = (job, standing, why);
    }
}

/// The best file by the best route, or what was sent already.
fn chosen<'p>(
    found: &mut Evaluation<'p>,
    policy: &Policy,
    sending: &Placing<'p>,
    wish: &Wish,
    choices: &[Choice],
    source: &Source,
    facts: &Facts,
) -> (Job<'p>, Standing, Vec<String>) {
    // Where every recording's source is sent, what is sent was written down once.
    let job = |at: usize, what: &Leaving| match sending.asked.said.job(at, facts) {
        Some(job) if *what == Leaving::Source => job,
        _ => {
            let spec = wish.spec(&wish.to[at], what.clone());
            (id(facts, &spec), Cow::Owned(Action::Export(spec)))
        }
    };
    let job_id = |at: usize, what: &Leaving| job(at, what).0;
    if let Some((id, spec)) = done(facts, wish, choices, job_id) {
        let which = format!("it was `{}`, to `{}`", spec.what.name(), spec.to);
        return (Some((id, Cow::Owned(Action::Export(spec)))), Standing::Done, vec![which]);
    }
    let Some(Choice { what, .. }) = choices.first() else {
        return (None, Standing::Done, Vec::new());
    };
    let mut routes = routes(policy, &wish.to, found.now, |at| gave_up(facts, || job_id(at, what)));
    // Where all gave up, the first says so.
    let at = routes.taken.and_then(|taken| wish.to.iter().position(|to| to == taken)).unwrap_or(0);
    if at >= wish.to.len() {
        return (None, Standing::Done, Vec::new());
    }
    let (id, action) = job(at, what);
    let standing = standing(id, facts);
    let job = Some((id, action));
    let mut why: Vec<String> = match &wish.rendition {
        Wanted::Smallest(smallest) => why_smallest(smallest, choices).into_iter().collect(),
        _ => Vec::new(),
    };
    why.append(&mut routes.why);
    match standing {
        Standing::ToDo => {
            let with = wish.with.contains(&Companion::Thumbnails);
            (job, turn(found, policy, sending, what, with, &routes, source, facts), why)
        }
        over => (job, over, why),
    }
}

/// Whether it is the turn of an export that is to be done.
#[expect(clippy::too_many_arguments, reason = "what decides it comes from as many places")]
fn turn<'p>(
    found: &mut Evaluation<'p>,
    policy: &Policy,
    sending: &Placing<'p>,
    what: &Leaving,
    with_thumbnails: bool,
    routes: &Routes<'_>,
    source: &Source,
    facts: &Facts,
) -> Standing {
    if let Some(firing) = sending.scheduled {
        return wait_for_firing(found, sending.asked.rule, firing);
    }
    if *what == Leaving::Source
        && let Some(hindered) = source.hinders(found, sending.asked.rule, facts)
    {
        return hindered;
    }
    let pictures = |preset: &Preset| matches!(preset.output, Output::Thumbnails { .. });
    if with_thumbnails && let Making::UnderWay(name) = making(found, pictures) {
        return Standing::Waits(format!("{name} to be made, which travel along"));
    }
    found.due_at = earlier(found.due_at, routes.due);
    let hours = routes.taken.and_then(|to| policy.stores().get(to)?.terms.hours.as_ref());
    match (routes.taken, routes.opens, hours) {
        (Some(to), Some(at), Some(hours)) => {
            Standing::Waits(format!("{at}, when `{to}` takes files ({})", hours.as_str()))
        }
        _ => Standing::ToDo,
    }
}

/// The files that would do, the best first; or how the export stands without any.
fn choices(
    found: &Evaluation<'_>,
    policy: &Policy,
    wish: &Wish,
    probing: &Probing,
    facts: &Facts,
) -> Result<Vec<Choice>, Standing> {
    match &wish.rendition {
        Wanted::Source => Ok(vec![Choice { bytes: facts.recording.digest.size, what: Leaving::Source }]),
        Wanted::Rendition(name) => {
            let making = making(found, |preset| preset.name == *name);
            match (making, rendition(facts, name)) {
                // Made anew, it is exported anew: what there is, is not sent before.
                (Making::UnderWay(_), _) => Err(Standing::Waits(format!("{name} to be made"))),
                (_, Some(choice)) => Ok(vec![choice]),
                (Making::Over(standing), None) => Err(standing),
                (Making::ByNobody, None) => {
                    let never = policy.presets().get(name).and_then(|preset| unfit(facts, preset));
                    Err(match never {
                        Some(why) => Standing::NotApplicable(why),
                        None => Standing::Barred(format!("`{name}`, which no rule has made of it")),
                    })
                }
            }
        }
        Wanted::Smallest(smallest) => {
            let choices = smallest.of(facts);
            let job = |at: usize, what: &Leaving| id(facts, &wish.spec(&wish.to[at], what.clone()));
            if done(facts, wish, &choices, job).is_some() {
                return Ok(choices);
            }
            // Were it chosen before all have come, the answer would hang on which comes first.
            let making = making(found, |preset| could_be(smallest, preset, facts));
            match (making, probing.hinders()) {
                (Making::UnderWay(name), _) => Err(Standing::Waits(format!("{name} to be made"))),
                (_, Some(waits @ Standing::Waits(_))) => Err(waits),
                (
                    Making::Over(
                        standing @ (Standing::Impossible(_) | Standing::Barred(_) | Standing::Cold(_)),
                    ),
                    _,
                ) if choices.is_empty() => Err(standing),
                _ if choices.is_empty() => {
                    Err(Standing::NotApplicable(format!("nothing of it is {}", smallest.described())))
                }
                _ => Ok(choices),
            }
        }
    }
}

/// How far what makes a file has come.
enum Making {
    /// Which rendition it is.
    UnderWay(String),
    /// How an export stands if the file is not there.
    Over(Standing),
    ByNobody,
}

/// Looks at what rules have made of it.
fn making(found: &Evaluation<'_>, wanted: impl Fn(&Preset) -> bool) -> Making {
    let mut most = Making::ByNobody;
    for step in &found.steps {
        let Some(Ask::Action(Action::Convert { preset }) | Ask::Mix { preset, .. }) = step.ask else {
            continue;
        };
        if !wanted(preset) {
            continue;
        }
        if step.is_under_way() {
            return Making::UnderWay(preset.name.clone());
        }
        let name = &preset.name;
        let standing = match &step.standing {
            Standing::Parked(why) => {
                Standing::Impossible(format!("there is no `{name}`: making it gave up ({why})"))
            }
            Standing::Impossible(why) => Standing::Impossible(format!("there is no `{name}`: {why}")),
            Standing::Barred(what) => Standing::Barred(format!("{name}, which waits for {what}")),
            Standing::Cold(what) => Standing::Cold(format!("{name}, which waits for {what}")),
            Standing::NotApplicable(why) => Standing::NotApplicable(format!("there is no `{name}`: {why}")),
            _ => Standing::Impossible(format!("making `{name}` is recorded as done, and it is not there")),
        };
        // What a person can mend is said rather than that another rule makes none.
        let mends = |standing: &Standing| match standing {
            Standing::Barred(_) | Standing::Cold(_) => 2,
            Standing::Impossible(_) => 1,
            _ => 0,
        };
        match &most {
            Making::Over(other) if mends(&standing) <= mends(other) => {}
            _ => most = Making::Over(standing),
        }
    }
    most
}

/// Whether what a preset makes may be good enough. In doubt it may: that costs a wait.
fn could_be(smallest: &Smallest, preset: &Preset, facts: &Facts) -> bool {
    let container = match &preset.output {
        Output::Video { container, .. } | Output::Audio { container, .. } => *container,
        Output::Thumbnails { .. } | Output::Waveform { .. } => return false,
    };
    let media_type = match container {
        Container::Mp4 => "video/mp4",
        Container::Webm => "video/webm",
        Container::Mkv => "video/x-matroska",
        Container::M4a => "audio/mp4",
        Container::Mp3 => "audio/mpeg",
        Container::Wav => "audio/wav",
        Container::Ogg => "audio/ogg",
        Container::Flac => "audio/flac",
    };
    let tall = |min: u32| match &preset.output {
        Output::Video { video, .. } => {
            let source = facts.recording.media().and_then(|m| m.video()?.video.as_ref());
            min <= source.map_or(video.short_side, |source| scaled(source.display_size(), video.short_side))
        }
        _ => false,
    };
    smallest.is_of_type(media_type) && smallest.min_height().is_none_or(tall)
}

/// The height of what is never enlarged and has its short side cut down; rounded up.
fn scaled((width, height): (u32, u32), short_side: u32) -> u32 {
    let short = width.min(height).max(1);
    if short <= short_side {
        return height;
    }
    let height = (u64::from(height) * u64::from(short_side)).div_ceil(u64::from(short)) + 1;
    u32::try_from(height).unwrap_or(u32::MAX)
}
