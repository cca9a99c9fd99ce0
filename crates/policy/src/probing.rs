use domain::{Action, Facts, JobId, Kind};

use crate::{Standing, source::Source};

/// Where probing stands; sessions need none.
pub(crate) enum Probing {
    Finished,
    ToDo(JobId),
    /// It went into an archive before it was probed: how its probe stands meanwhile.
    Cold(JobId, Standing),
    Parked(JobId, String),
    /// Recorded as done, yet without a result: nothing that waiting would mend.
    Lost(JobId),
}

impl Probing {
    pub(crate) fn of(facts: &Facts, source: &Source) -> Self {
        let r = &facts.recording;
        if r.kind == Kind::Session || r.probe.is_some() {
            return Self::Finished;
        }
        let job = Action::Probe.job_id(r.id, &r.version);
        match facts.parked.get(&job) {
            Some(reason) => Self::Parked(job, reason.clone()),
            None if facts.done.contains(&job) => Self::Lost(job),
            None => match source.unrestored(r) {
                Some(standing) => Self::Cold(job, standing),
                None => Self::ToDo(job),
            },
        }
    }

    pub(crate) fn step(&self) -> Option<(JobId, Standing)> {
        match self {
            Self::Finished => None,
            Self::ToDo(job) => Some((*job, Standing::ToDo)),
            Self::Cold(job, standing) => Some((*job, standing.clone())),
            Self::Parked(job, reason) => Some((*job, Standing::Parked(reason.clone()))),
            Self::Lost(job) => {
                let why = "probing is recorded as done and its result is not there";
                Some((*job, Standing::Impossible(why.into())))
            }
        }
    }

    /// How a step stands that needs what probing finds; nothing when it was found.
    pub(crate) fn hinders(&self) -> Option<Standing> {
        match self {
            Self::Finished => None,
            Self::ToDo(_) => Some(Standing::Waits("probing".into())),
            Self::Cold(_, standing) => Some(standing.clone()),
            Self::Parked(..) | Self::Lost(_) => {
                Some(Standing::NotApplicable("it could not be probed".into()))
            }
        }
    }
}
