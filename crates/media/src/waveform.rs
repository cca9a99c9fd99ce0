//! A picture of the audio's envelope.

use std::path::Path;

use domain::{Failure, MediaFacts, Progress, Role, StreamChoice};

use crate::argv::Argv;
use crate::budget::{self, Load};
use crate::convert::{Made, MadeFile, Source};
use crate::progress::Tick;
use crate::{Tools, run, thumbs};

impl Tools {
    pub(crate) async fn waveform(
        &self,
        work: &Path,
        source: &Source<'_>,
        facts: &MediaFacts,
        (width, height): (u32, u32),
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<Made, Failure> {
        let stream = facts.main_audio().ok_or_else(|| {
            Failure::permanent("The recording has no audio, so there is no waveform to draw.")
        })?;
        if width == 0 || height == 0 || u64::from(width) * u64::from(height) > 64 << 20 {
            return Err(Failure::permanent(format!(
                "A waveform of {width}x{height} pixels cannot be drawn."
            )));
        }
        let total_us = stream.duration_ms.saturating_mul(1000);
        let each = |tick: Tick| progress(tick.of(0, total_us));
        let seconds = stream.duration_ms as f64 / 1000.0;
        let pixels = u64::from(width) * u64::from(height);
        let limits = Load {
            seconds,
            decoded: 0.0,
            encoded: pixels as f64 / 1e6,
            pictures: 1.0,
            in_pixels: 0,
            out_pixels: pixels,
            bytes: budget::bytes(pixels as f64 * 4.0),
            threads: self.parallel().0,
        }
        .limits(run::present(work))?;
        let args = argv(stream.index, stream.duration_ms, width, height);
        let ended = self.ffmpeg(work, args, &[source.path], limits, &each).await?;
        let path = work.join("waveform.png");
        if !thumbs::whole(&path) {
            return Err(Failure::permanent(format!(
                "No sound of this recording could be read: {}.",
                run::complaint(&ended.stderr)
            )));
        }
        Ok(Made {
            files: vec![MadeFile { role: Role::Waveform, path, extension: "png".into() }],
            facts: None,
            choices: vec![StreamChoice {
                stream: stream.index,
                how: "png".into(),
                why: "the audio a listener would get".into(),
            }],
            partial: source
                .damaged()
                .map(|reason| format!("Made of what could be read: {}.", reason.trim_end_matches('.'))),
        })
    }
}

/// Samples that `showwavespic` may hold: it keeps all of them until the end, a day at 48 kHz would be 16 GB.
const SAMPLES: u64 = 12_000_000;

/// It draws the mean of absolute values, so rectifying first and thinning out then leaves the drawing the same.
fn argv(stream: u32, duration_ms: u64, width: u32, height: u32) -> Vec<String> {
    // Less than a sample a column is refused: a moment of sound gets silence behind it.
    if duration_ms * 8 < u64::from(width) * 2 {
        return drawn(&format!(
            "[0:{stream}]aresample=48000:async=1:first_pts=0,aformat=sample_fmts=fltp:channel_layouts=mono,\
                 apad=whole_len={},showwavespic=s={width}x{height}:colors=#4a90d9[v]",
            width * 2
        ));
    }
    let rate = (SAMPLES / (duration_ms / 1000).max(1)).clamp(50, 8000);
    let thin = if rate < 8000 {
        format!("aeval=exprs=abs(val(0)):c=mono,aresample={rate},aformat=channel_layouts=mono,")
    } else {
        String::new()
    };
    let graph = format!(
        "[0:{stream}]aresample=8000:async=1:first_pts=0,aformat=sample_fmts=fltp:channel_layouts=mono,\
         {thin}showwavespic=s={width}x{height}:colors=#4a90d9[v]"
    );
    drawn(&graph)
}

fn drawn(graph: &str) -> Vec<String> {
    Argv::new()
        .source(&[], 0)
        .args(&["-filter_complex", graph, "-map", "[v]", "-frames:v", "1", "-c:v", "png"])
        .strip()
        .output("image2pipe", "waveform.png")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::argv::shown;

    /// A day of sound is drawn from twelve million samples, not from four thousand million.
    #[test]
    fn long_sound_is_thinned_out_before_it_is_held() {
        insta::assert_snapshot!("waveform__short", shown(&argv(1, 10_000, 1800, 200)));
        insta::assert_snapshot!("waveform__day", shown(&argv(1, 86_400_000, 1800, 200)));
    }
}
