use domain::{Action, Cost, MediaFacts, Output};

use crate::convert;
use crate::plan::{Given, How, plan};

/// What running an action takes, for a scheduler that fits jobs into a machine: the threads that ffmpeg can keep
/// busy (more than the machine has is to be read as all of it) and the bytes of memory it will touch.
/// Where bytes lie is not this room's business: the scratch disk is the caller's to add.
/// Without facts (a session, or a recording not yet probed) it assumes 1080p. Pure.
pub fn cost(action: &Action, facts: Option<&MediaFacts>) -> Cost {
    match action {
        Action::Probe | Action::Drill { .. } => Cost { threads: 1, memory: 200 << 20, disk: 0 },
        Action::Backup { .. }
        | Action::Tag { .. }
        | Action::Archive { .. }
        | Action::Look { .. }
        | Action::Withdraw { .. }
        | Action::Seek { .. }
        | Action::Restore { .. }
        | Action::Awaken { .. }
        | Action::Move { .. }
        | Action::Evict { .. }
        | Action::Verify { .. }
        | Action::Repair { .. }
        | Action::Purge { .. }
        | Action::Export(_)
        | Action::Notify { .. } => Cost { threads: 0, memory: 32 << 20, disk: 0 },
        Action::Mix(mix) => match &mix.preset.output {
            Output::Video { .. } if mix.layout == domain::Layout::Grid => {
                let tiles = mix.tracks.len().max(1) as u64;
                encoding(FULL_HD, FULL_HD / 2 * tiles)
            }
            _ => Cost { threads: 1, memory: BASE + mix.tracks.len() as u64 * (8 << 20), disk: 0 },
        },
        Action::Convert { preset } => match &preset.output {
            Output::Thumbnails { .. } => {
                Cost { threads: 2, memory: BASE + facts.map_or(FULL_HD, crate::thumbs::pixels) * 60, disk: 0 }
            }
            Output::Waveform { .. } => Cost { threads: 1, memory: BASE + (96 << 20), disk: 0 },
            Output::Audio { .. } => Cost { threads: 1, memory: BASE, disk: 0 },
            Output::Video { .. } => converting(preset, facts),
        },
    }
}

fn converting(preset: &domain::Preset, facts: Option<&MediaFacts>) -> Cost {
    let Some(facts) = facts else { return encoding(FULL_HD, FULL_HD) };
    let given = Given { damaged: false, tonemap: true, no_copy: None };
    match plan(facts, preset, given) {
        Ok(plan) => match &plan.video {
            Some(video) if video.how != How::Copy => {
                let (_, pixels) = convert::decoded(facts, video.stream);
                encoding(u64::from(video.size.0) * u64::from(video.size.1), pixels)
            }
            // A copy that fails its check is encoded in the same job; that is rare, and not worth waiting for.
            _ => Cost { threads: 1, memory: BASE, disk: 0 },
        },
        // It fails before it starts anything.
        Err(_) => Cost { threads: 1, memory: 16 << 20, disk: 0 },
    }
}

/// ffmpeg itself, its libraries and packet queues.
const BASE: u64 = 96 << 20;
const FULL_HD: u64 = 1920 * 1080;

/// Measured with x264 medium on two threads: 260 MB for 720p, 470 MB for 1080p, and it grows with threads. The
/// encoder works on rows of pictures: a small one cannot keep many threads busy.
fn encoding(out_pixels: u64, in_pixels: u64) -> Cost {
    let threads = match out_pixels {
        0..500_000 => 4,
        500_000..1_000_000 => 8,
        _ => 16,
    };
    Cost { threads, memory: BASE + out_pixels * 180 + in_pixels * 30, disk: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::samples;

    #[test]
    fn a_copy_costs_less_than_an_encode() {
        let facts = samples::facts();
        let cost_of = |side| cost(&Action::Convert { preset: samples::mp4(side) }, Some(&facts));
        assert_eq!(cost_of(1080).threads, 1);
        assert_eq!(cost_of(480).threads, 4);
        assert!(cost_of(480).memory > cost_of(1080).memory);
        assert!(cost(&Action::Probe, None).memory > 0);
    }
}
