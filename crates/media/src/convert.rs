use std::path::{Path, PathBuf};

use domain::{Failure, MediaFacts, Output, Preset, Probe, Progress, Role, StreamChoice, StreamKind, Verdict};

use tokio::sync::watch;

use crate::argv::Argv;
use crate::budget::{self, Load};
use crate::check::{self, Short};
use crate::plan::{Given, How, Plan, plan};
use crate::progress::Tick;
use crate::{Making, Tools, encode, guard, making, run, size};

/// A recording as probing found it, good or damaged.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// A file; for video and audio also a named pipe, if the recording [`streams`](crate::streams). It gives all of it
    /// once, and nothing to whoever opens it again.
    pub path: &'a Path,
    pub probe: &'a Probe,
}

/// What a conversion or a mix made, in the work directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// The first is the main one.
    pub files: Vec<MadeFile>,
    /// The main file probed again; absent when it is a picture.
    pub facts: Option<MediaFacts>,
    /// Per stream: `copy`, the encoder's name or `drop`, and why.
    pub choices: Vec<StreamChoice>,
    /// Less than the whole, and why, as a sentence.
    pub partial: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeFile {
    pub role: Role,
    pub path: PathBuf,
    /// Without the dot.
    pub extension: String,
}

impl Tools {
    /// Makes one rendition. Needs a private directory on a disk with room; the caller removes it afterwards.
    ///
    /// The output is probed again before it is returned (see `check`). A copy that does not hold up is encoded
    /// instead, once. Dropping the future kills the child. Permanent failures: nothing to make, a wrong preset, a
    /// source that does not decode to what was measured; temporary: the machine's trouble. `making` is for whoever takes
    /// the output's bytes while it is made.
    pub async fn convert(
        &self,
        work: &Path,
        source: &Source<'_>,
        preset: &Preset,
        progress: &(dyn Fn(Progress) + Send + Sync),
        making: Option<&watch::Sender<Making>>,
    ) -> Result<Made, Failure> {
        let facts = source.facts()?;
        guard::link(work, 0, source.path).map_err(|error| run::disk(&error))?;
        match &preset.output {
            Output::Video { .. } | Output::Audio { .. } => {
                self.render(work, source, facts, preset, progress, making).await
            }
            Output::Thumbnails { poster_width, sprite } => {
                self.thumbnails(work, source, facts, *poster_width, sprite, progress).await
            }
            Output::Waveform { width, height } => {
                self.waveform(work, source, facts, (*width, *height), progress).await
            }
        }
    }

    async fn render(
        &self,
        work: &Path,
        source: &Source<'_>,
        facts: &MediaFacts,
        preset: &Preset,
        progress: &(dyn Fn(Progress) + Send + Sync),
        making: Option<&watch::Sender<Making>>,
    ) -> Result<Made, Failure> {
        let mut given = Given {
            damaged: source.damaged().is_some(),
            tonemap: self.tonemaps(work, facts).await?,
            no_copy: None,
        };
        let first = plan(facts, preset, given)?;
        let short = match self.attempt(work, source, facts, &first, progress, making).await? {
            Ok(made) => return Ok(made),
            Err(short) => short,
        };
        let why = format!("a copy failed its check: {}", short.sentence);
        let second = if given.damaged {
            salvage(first, &short)
        } else if first.copies() {
            given.no_copy = Some(&why);
            Some(plan(facts, preset, given)?)
        } else {
            None
        };
        let Some(second) = second else { return Err(failed(source, &short)) };
        tracing::info!(reason = %short.sentence, "converting once more");
        match self.attempt(work, source, facts, &second, progress, making).await? {
            Ok(made) => Ok(made),
            Err(short) => Err(failed(source, &short)),
        }
    }

    /// One call of ffmpeg and the look at what it made.
    async fn attempt(
        &self,
        work: &Path,
        source: &Source<'_>,
        facts: &MediaFacts,
        plan: &Plan,
        progress: &(dyn Fn(Progress) + Send + Sync),
        making: Option<&watch::Sender<Making>>,
    ) -> Result<Result<Made, Short>, Failure> {
        let (threads, told) = self.parallel();
        let load = load(plan, facts, threads, source.bytes());
        let output = format!("main.{}", plan.container.extension());
        let path = work.join(&output);
        let args = argv(plan, told, making.is_some(), &output)?;
        if let Some(making) = making {
            making::begins(making, &path)?;
        }
        let total_us = facts.duration_ms.saturating_mul(1000);
        let each = |tick: Tick| progress(tick.of(0, total_us));
        let limits = load.limits(run::present(work))?;
        let ended = self.ffmpeg(work, args, &[source.path], limits, &each).await?;

        let damaged = source.damaged();
        if !ended.clean && damaged.is_none() {
            let sentence = format!("ffmpeg failed: {}", run::complaint(&ended.stderr));
            return Ok(Err(Short { sentence, missing: Vec::new() }));
        }
        if let Some(making) = making
            && let Err(sentence) = making::written(making, &path, plan.container).await?
        {
            return Ok(Err(Short { sentence, missing: Vec::new() }));
        }
        let got = match self.measured(work, &path).await? {
            Ok(got) => got,
            Err(sentence) => return Ok(Err(Short { sentence, missing: Vec::new() })),
        };
        let wanted = check::wanted(plan, facts);
        let partial = match (damaged, check::compare(&wanted, &got)) {
            (None, Err(short)) => return Ok(Err(short)),
            (None, Ok(())) => None,
            // Less is expected here, and said; a stream without a single packet is left out by another attempt.
            (Some(_), Err(short)) if !short.missing.is_empty() => return Ok(Err(short)),
            (Some(reason), _) => Some(salvaged(plan, facts, &got, reason)),
        };
        let files = vec![MadeFile { role: Role::Media, path, extension: plan.container.extension().into() }];
        Ok(Ok(Made { files, facts: Some(got), choices: plan.choices(), partial }))
    }

    /// Probes an output by its packets alone. An output that is not media is the inner error, as a clause.
    pub(crate) async fn measured(
        &self,
        work: &Path,
        path: &Path,
    ) -> Result<Result<MediaFacts, String>, Failure> {
        if path.metadata().map_or(0, |meta| meta.len()) == 0 {
            return Ok(Err("nothing came out".into()));
        }
        let room = run::room(work, "check")?;
        // We just encoded it: counting packets finds what is missing, decoding again would find only what our
        // own encoder did, at several times the price.
        let probe = self.probe_output(&room, path).await?;
        Ok(match (probe.facts, probe.verdict) {
            (Some(facts), Verdict::Good | Verdict::Damaged { .. }) => Ok(facts),
            (_, Verdict::Unsupported { reason } | Verdict::Damaged { reason }) => {
                Err(format!("it is unreadable: {reason}"))
            }
            (None, Verdict::Good) => Err("it holds no streams".into()),
        })
    }

    /// Asks the build only when there is HDR to map.
    pub(crate) async fn tonemaps(&self, work: &Path, facts: &MediaFacts) -> Result<bool, Failure> {
        let hdr = |stream: &domain::StreamFacts| {
            stream.video.as_ref().is_some_and(|video| video.dynamic != domain::Dynamic::Sdr)
        };
        if facts.streams.iter().any(hdr) {
            self.has_filters(work, &["zscale", "tonemap"]).await
        } else {
            Ok(true)
        }
    }
}

impl<'a> Source<'a> {
    pub(crate) fn facts(&self) -> Result<&'a MediaFacts, Failure> {
        match (&self.probe.facts, &self.probe.verdict) {
            (_, Verdict::Unsupported { reason }) => {
                Err(Failure::permanent(format!("The recording is not something we decode: {reason}")))
            }
            (Some(facts), _) => Ok(facts),
            (None, _) => Err(Failure::permanent("The recording was probed without finding any streams.")),
        }
    }

    /// Its size; of a pipe, what was measured when it was probed.
    fn bytes(&self) -> u64 {
        let there = self.path.metadata().map_or(0, |meta| meta.len());
        let measured = self.probe.facts.as_ref().map_or(0, |f| f.bit_rate / 8 * f.duration_ms.div_ceil(1000));
        there.max(measured)
    }

    pub(crate) fn damaged(&self) -> Option<&'a str> {
        match &self.probe.verdict {
            Verdict::Damaged { reason } => Some(reason),
            _ => None,
        }
    }
}

/// The whole command line. Of an output that is followed ffmpeg leaves the index at the end.
pub(crate) fn argv(
    plan: &Plan,
    threads: Option<u32>,
    followed: bool,
    output: &str,
) -> Result<Vec<String>, Failure> {
    let limit = threads.map(|n| vec!["-threads".to_owned(), n.to_string()]).unwrap_or_default();
    let mut input: Vec<&str> = limit.iter().map(String::as_str).collect();
    if let Some(How::Encode(video)) = plan.video.as_ref().map(|video| &video.how) {
        input.extend(video.picture.input);
    }
    let mut argv = Argv::new().source(&input, 0);
    if let Some(video) = &plan.video {
        argv = argv.args(&["-map", &format!("0:{}", video.stream)]);
        argv = match &video.how {
            How::Copy => argv.args(&["-c:v", "copy"]),
            How::Encode(how) => argv
                .args(&["-filter:v", &how.picture.chain()])
                .args(&encode::video(&video.target, video.size.0, how.rate)?)
                .args(&limit),
        };
    }
    if let Some(audio) = &plan.audio {
        argv = argv.args(&["-map", &format!("0:{}", audio.stream)]);
        argv = match &audio.how {
            How::Copy => argv.args(&["-c:a", "copy"]),
            How::Encode(how) => {
                argv.args(&["-filter:a", FILL]).args(&encode::audio(&audio.target, how.channels))
            }
        };
    }
    let options: &[&str] = match plan.container {
        container if followed && encode::index_last(container) => &[],
        container => encode::muxer_options(container),
    };
    Ok(argv.strip().args(options).output(encode::muxer(plan.container), output))
}

/// Holes where packets are missing become silence, and so does a late start: without it ten seconds with a hole of
/// three decode to seven, and everything after the hole is out of sync.
pub(crate) const FILL: &str = "aresample=48000:async=1:first_pts=0";

/// What the plan takes.
pub(crate) fn load(plan: &Plan, facts: &MediaFacts, threads: u32, source_bytes: u64) -> Load {
    let seconds = facts.duration_ms as f64 / 1000.0;
    let mut load = Load {
        seconds,
        decoded: 0.0,
        encoded: 0.0,
        pictures: 0.0,
        in_pixels: 0,
        out_pixels: 0,
        bytes: budget::bytes(0.0),
        threads,
    };
    if let Some(video) = &plan.video {
        match &video.how {
            How::Copy => load.bytes += source_bytes + source_bytes / 8,
            How::Encode(how) => {
                let (frames, pixels) = decoded(facts, video.stream);
                let out = u64::from(video.size.0) * u64::from(video.size.1);
                let fps = size::fps(how.rate);
                load.in_pixels = pixels;
                load.decoded = frames * pixels as f64 / 1e6;
                load.out_pixels = out;
                load.pictures = seconds * fps;
                load.encoded = load.pictures * out as f64 / 1e6 * budget::slowness(&video.target);
                load.bytes += budget::video_bytes(seconds, &video.target, out, fps);
            }
        }
    }
    if let Some(audio) = &plan.audio {
        load.bytes += match &audio.how {
            How::Copy => source_bytes + source_bytes / 8,
            // PCM is the largest: two bytes a sample, and FLAC of noise at 24 bits three.
            How::Encode(how) => budget::bytes(seconds * 48_000.0 * 3.0 * f64::from(how.channels)),
        };
    }
    load
}

/// Pictures in a stream, and pixels in each.
pub(crate) fn decoded(facts: &MediaFacts, index: u32) -> (f64, u64) {
    facts.streams.iter().find(|stream| stream.index == index).map_or((0.0, 0), |stream| {
        let pixels =
            stream.video.as_ref().map_or(0, |video| u64::from(video.width) * u64::from(video.height));
        (stream.packets as f64, pixels)
    })
}

/// The plan without the streams of which nothing could be read; nothing when that leaves nothing.
fn salvage(mut plan: Plan, short: &Short) -> Option<Plan> {
    let why = "nothing of it could be read".to_owned();
    let mut drop = |stream| plan.dropped.push(StreamChoice { stream, how: "drop".into(), why: why.clone() });
    if short.missing.contains(&StreamKind::Video)
        && let Some(video) = plan.video.take()
    {
        drop(video.stream);
    }
    if short.missing.contains(&StreamKind::Audio)
        && let Some(audio) = plan.audio.take()
    {
        drop(audio.stream);
    }
    let changed = !short.missing.is_empty();
    (changed && (plan.video.is_some() || plan.audio.is_some())).then_some(plan)
}

/// How much of a damaged source is in the output.
fn salvaged(plan: &Plan, facts: &MediaFacts, got: &MediaFacts, reason: &str) -> String {
    let promised = facts.duration_ms.max(facts.header_duration_ms.unwrap_or(0));
    let mut sentence = format!(
        "{} of {} could be read: {}",
        check::seconds(got.duration_ms),
        check::seconds(promised.max(got.duration_ms)),
        reason.trim_end_matches('.'),
    );
    if plan.dropped.iter().any(|choice| choice.why.starts_with("nothing of it")) {
        sentence += "; a stream of which nothing could be read is missing";
    }
    sentence + "."
}

fn failed(source: &Source<'_>, short: &Short) -> Failure {
    if let Some(reason) = source.damaged() {
        let reason = reason.trim_end_matches('.');
        return Failure::permanent(format!(
            "Nothing of this damaged recording could be salvaged ({reason}): {}. The source is kept.",
            short.sentence
        ));
    }
    Failure::permanent(format!(
        "The output is not what the recording is: {}. The source is kept; probe it again if it changed.",
        short.sentence
    ))
}
