use std::path::Path;

use domain::{
    AudioTarget, Container, Failure, Layout, MediaFacts, MixSpec, MixTrack, Output, Probe, Progress, Role,
    StreamChoice, StreamFacts, StreamKind, Verdict, VideoTarget,
};

use crate::argv::Argv;
use crate::budget::{self, Load};
use crate::check::{self, Wanted};
use crate::compose::{self, Tile};
use crate::convert::{Made, MadeFile};
use crate::loudness::{self, Way};
use crate::progress::Tick;
use crate::timeline::{Segment, Span, segments};
use crate::{Tools, encode, grid, guard, run, size, sound};

/// One track of a session, as far as it has come.
#[derive(Debug, Clone)]
pub struct MixInput<'a> {
    pub path: &'a Path,
    pub probe: &'a Probe,
    pub track: MixTrack,
}

/// Tiles at one time; beyond it a person sees nothing, and each one is a decoder with its threads.
const MAX_TILES: usize = 36;

impl Tools {
    /// Composes a session: a grid that changes at every join and leave, and one mix of all voices.
    ///
    /// Tracks of the spec that are not among the inputs, or of which nothing is known, are missing from the mix,
    /// and `partial` says so. In `choices` a stream's number is the track's position in the session, from 1; 0 is
    /// the mix as a whole. Nothing that a participant typed reaches an argv. Failures as for [`Tools::convert`].
    pub async fn mix(
        &self,
        work: &Path,
        inputs: &[MixInput<'_>],
        spec: &MixSpec,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<Made, Failure> {
        let plan = MixPlan::new(inputs, spec)?;
        for (number, input) in inputs.iter().enumerate() {
            guard::link(work, number, input.path).map_err(|error| run::disk(&error))?;
        }
        let shared = Shared { work, inputs, plan: &plan };
        // Side by side: the sound is encoded once over the whole length on one core, however the picture is cut.
        let ((), audio) = tokio::try_join!(self.picture(&shared, progress), self.voices(&shared, progress))?;
        let mut choices = plan.choices.clone();
        choices.extend(audio.into_iter().flatten());

        let output = plan.output();
        if plan.picture.is_some() {
            let limits = plan.load(self.parallel().0).limits(run::present(work))?;
            let ended = self.ffmpeg(work, join(&plan, &output), &[], limits, &|_| {}).await?;
            if !ended.clean {
                let why = run::complaint(&ended.stderr);
                return Err(Failure::permanent(format!("The mix could not be joined: {why}.")));
            }
        }
        let path = work.join(&output);
        let wrong = |why: String| {
            Failure::permanent(format!("The mix is not what its tracks are: {why}. The tracks are kept."))
        };
        let facts = self.measured(work, &path).await?.map_err(wrong)?;
        check::compare(&plan.wanted(), &facts).map_err(|short| wrong(short.sentence))?;
        if let (Some(picture), Some(stream)) = (&plan.picture, facts.video())
            && stream.packets != picture.frames
        {
            return Err(wrong(format!("it has {} pictures instead of {}", stream.packets, picture.frames)));
        }
        let files = vec![MadeFile { role: Role::Media, path, extension: plan.container.extension().into() }];
        Ok(Made { files, facts: Some(facts), choices, partial: plan.partial.clone() })
    }

    /// Renders every segment, and the list that joins them.
    async fn picture(
        &self,
        shared: &Shared<'_>,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<(), Failure> {
        let Some(picture) = &shared.plan.picture else { return Ok(()) };
        let (threads, told) = self.parallel();
        let reads: Vec<&Path> = shared.inputs.iter().map(|input| input.path).collect();
        let tonemap = {
            let mut all = true;
            for tile in &picture.tiles {
                all &= self.tonemaps(shared.work, tile.facts).await?;
            }
            all
        };
        let limits = || shared.plan.load(threads).limits(run::present(shared.work));
        // Without cues a seek reads the file from its start, and every segment seeks: give it cues once.
        let mut tiles = picture.tiles.clone();
        for tile in &mut tiles {
            if tile.facts.header_duration_ms.is_none()
                && compose::seeks(tile, &picture.segments, picture.rate)
            {
                let args = compose::indexed(tile);
                let ended = self.ffmpeg(shared.work, args, &reads, limits()?, &|_| {}).await?;
                if ended.clean {
                    tile.indexed = true;
                }
            }
        }
        let total_us = size::frame_us(picture.frames, picture.rate) as u64;
        for (number, segment) in picture.segments.iter().enumerate() {
            let before_us = size::frame_us(segment.from, picture.rate) as u64;
            let each = |tick: Tick| progress(tick.of(before_us, total_us));
            let shown: Vec<&Tile<'_>> = segment
                .inputs
                .iter()
                .filter_map(|input| tiles.iter().find(|tile| tile.input == *input))
                .collect();
            let args = compose::segment(segment, number, &shown, picture, tonemap, told)?;
            let ended = self.ffmpeg(shared.work, args, &reads, limits()?, &each).await?;
            if !ended.clean {
                return Err(Failure::permanent(format!(
                    "The picture from {} on could not be composed: {}.",
                    check::seconds(before_us / 1000),
                    run::complaint(&ended.stderr)
                )));
            }
        }
        std::fs::write(shared.work.join(compose::LIST), compose::list(&picture.segments, picture.rate))
            .map_err(|error| run::disk(&error))
    }

    /// Mixes and encodes the sound; returns what was done about its loudness.
    async fn voices(
        &self,
        shared: &Shared<'_>,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<Option<Option<StreamChoice>>, Failure> {
        let plan = shared.plan;
        let Some(voices) = &plan.voices else { return Ok(None) };
        let reads: Vec<&Path> = shared.inputs.iter().map(|input| input.path).collect();
        let limits = || plan.load(self.parallel().0).limits(run::present(shared.work));
        let mut way = None;
        if let Some(target) = plan.loudness {
            let ended = self.ffmpeg(shared.work, sound::measure(voices), &reads, limits()?, &|_| {}).await?;
            let text = std::fs::read_to_string(shared.work.join(sound::MEASURED)).unwrap_or_default();
            let measured = loudness::parse(&text).ok_or_else(|| {
                Failure::permanent(format!(
                    "The mix's loudness could not be measured: {}.",
                    run::complaint(&ended.stderr)
                ))
            })?;
            way = Some((loudness::way(measured, target), target));
        }
        let total_us = plan.total_ms * 1000;
        // The picture takes longer; where there is one it alone says how far the mix is.
        let each = |tick: Tick| {
            if plan.picture.is_none() {
                progress(tick.of(0, total_us));
            }
        };
        let filters = way.as_ref().and_then(|(way, target): &(Way, _)| way.filters(*target));
        let args = sound::mixed(voices, filters.as_deref(), plan.container, &plan.voices_file());
        let ended = self.ffmpeg(shared.work, args, &reads, limits()?, &each).await?;
        if !ended.clean {
            return Err(Failure::permanent(format!(
                "The voices could not be mixed: {}.",
                run::complaint(&ended.stderr)
            )));
        }
        Ok(Some(way.map(|(way, target)| StreamChoice {
            stream: 0,
            how: way.how().into(),
            why: way.why(target),
        })))
    }
}

struct Shared<'a> {
    work: &'a Path,
    inputs: &'a [MixInput<'a>],
    plan: &'a MixPlan<'a>,
}

/// All that is decided before anything runs.
pub(crate) struct MixPlan<'a> {
    pub(crate) container: Container,
    pub(crate) total_ms: u64,
    pub(crate) picture: Option<Picture<'a>>,
    pub(crate) voices: Option<sound::Voices>,
    pub(crate) loudness: Option<domain::Tenths>,
    pub(crate) choices: Vec<StreamChoice>,
    pub(crate) partial: Option<String>,
}

pub(crate) struct Picture<'a> {
    pub(crate) target: &'a VideoTarget,
    pub(crate) canvas: (u32, u32),
    pub(crate) rate: (u32, u32),
    pub(crate) frames: u64,
    pub(crate) tiles: Vec<Tile<'a>>,
    pub(crate) segments: Vec<Segment>,
}

impl<'a> MixPlan<'a> {
    pub(crate) fn new(inputs: &'a [MixInput<'a>], spec: &'a MixSpec) -> Result<MixPlan<'a>, Failure> {
        let (container, video, audio) = match &spec.preset.output {
            Output::Video { container, video, audio } => (*container, Some(video), audio.as_ref()),
            Output::Audio { container, audio } => (*container, None, Some(audio)),
            Output::Thumbnails { .. } | Output::Waveform { .. } => {
                let name = &spec.preset.name;
                return Err(Failure::permanent(format!(
                    "A mix is media, and the preset {name} makes pictures."
                )));
            }
        };
        let video = video.filter(|_| spec.layout == Layout::Grid);
        encode::fits(container, video.map(|v| v.codec), audio.map(|a| a.codec))?;

        let usable: Vec<(usize, &MixInput<'_>, &MediaFacts)> = inputs
            .iter()
            .enumerate()
            .filter_map(|(number, input)| Some((number, input, usable(input.probe)?)))
            .filter(|(_, input, facts)| end(input, facts) > input.track.offset_ms)
            .collect();
        let total_ms = usable.iter().map(|(_, input, facts)| end(input, facts)).max().unwrap_or(0);
        if total_ms == 0 {
            return Err(Failure::permanent(
                "None of the session's tracks can be read, so there is nothing to mix.",
            ));
        }
        let picture = video.map(|target| picture(&usable, target, total_ms)).transpose()?.flatten();
        let voices = audio.and_then(|target| voices(&usable, target, total_ms));
        if picture.is_none() && voices.is_none() {
            return Err(Failure::permanent("The session's tracks hold nothing that this preset asks for."));
        }
        let mut choices = Vec::new();
        for (number, input, facts) in &usable {
            let what = match (
                picture.as_ref().is_some_and(|p| p.tiles.iter().any(|tile| tile.input == *number)),
                voices.as_ref().is_some_and(|v| v.inputs.iter().any(|voice| voice.input == *number)),
            ) {
                (true, true) => "its picture and its voice",
                (true, false) => "its picture; there is no voice to mix",
                (false, true) => "its voice; there is no picture to show",
                (false, false) => "nothing of it: the preset asks for what it does not have",
            };
            choices.push(StreamChoice {
                stream: position(spec, &input.track),
                how: "mix".into(),
                why: format!(
                    "{what}, from {} to {}",
                    check::seconds(input.track.offset_ms),
                    check::seconds(end(input, facts))
                ),
            });
        }
        choices.sort_by_key(|choice| choice.stream);
        let partial = partial(inputs, spec);
        Ok(MixPlan { container, total_ms, picture, voices, loudness: spec.loudness, choices, partial })
    }

    fn output(&self) -> String {
        format!("main.{}", self.container.extension())
    }

    /// Sound alone is the output already.
    fn voices_file(&self) -> String {
        if self.picture.is_none() { self.output() } else { format!("voices.{}", self.container.extension()) }
    }

    /// What a call of this mix may take: the same budget for each, because any segment may be nearly all of it.
    fn load(&self, threads: u32) -> Load {
        let seconds = self.total_ms as f64 / 1000.0;
        let mut load = Load {
            seconds: seconds * self.voices.as_ref().map_or(1.0, |voices| voices.inputs.len() as f64),
            decoded: 0.0,
            encoded: 0.0,
            pictures: 0.0,
            in_pixels: 0,
            out_pixels: 0,
            // The loudness of each tenth of a second takes 400 bytes of text.
            bytes: budget::bytes(seconds * (48_000.0 * 6.0 + 4000.0)),
            // Every input brings its own decoder threads.
            threads,
        };
        if let Some(picture) = &self.picture {
            let out = u64::from(picture.canvas.0) * u64::from(picture.canvas.1);
            for tile in &picture.tiles {
                let pixels = u64::from(tile.video.width) * u64::from(tile.video.height);
                load.decoded += tile.stream.packets as f64 * pixels as f64 / 1e6;
                load.in_pixels += pixels;
                load.bytes += tile.facts.bit_rate.saturating_mul(tile.facts.duration_ms) / 8000;
            }
            load.threads = threads * (1 + picture.tiles.len() as u32 / 2);
            load.pictures = picture.frames as f64;
            load.encoded = load.pictures * out as f64 / 1e6 * budget::slowness(picture.target);
            load.out_pixels = out;
            load.bytes += budget::video_bytes(seconds, picture.target, out, size::fps(picture.rate)) * 2;
        }
        load
    }

    fn wanted(&self) -> Vec<Wanted> {
        let video = self.picture.as_ref().map(|picture| Wanted {
            kind: StreamKind::Video,
            codec: encode::video_name(picture.target.codec),
            size: Some(picture.canvas),
            end_ms: self.total_ms,
            tolerance_ms: 250,
            rate: Some(picture.rate),
        });
        let audio = self.voices.as_ref().map(|voices| Wanted {
            kind: StreamKind::Audio,
            codec: encode::audio_name(voices.target.codec),
            size: None,
            end_ms: self.total_ms,
            tolerance_ms: 250,
            rate: None,
        });
        video.into_iter().chain(audio).collect()
    }
}

fn usable(probe: &Probe) -> Option<&MediaFacts> {
    match probe.verdict {
        Verdict::Unsupported { .. } => None,
        _ => probe.facts.as_ref(),
    }
}

/// Milliseconds from the session's start at which a track is over.
fn end(input: &MixInput<'_>, facts: &MediaFacts) -> u64 {
    let own = input.track.offset_ms.saturating_add(facts.duration_ms);
    input.track.leave_ms.map_or(own, |leave| leave.min(own))
}

fn picture<'a>(
    usable: &[(usize, &'a MixInput<'a>, &'a MediaFacts)],
    target: &'a VideoTarget,
    total_ms: u64,
) -> Result<Option<Picture<'a>>, Failure> {
    let tiles: Vec<Tile<'a>> = usable
        .iter()
        .filter_map(|(number, input, facts)| {
            let stream: &StreamFacts = facts.video()?;
            Some(Tile {
                input: *number,
                offset_ms: input.track.offset_ms,
                end_ms: end(input, facts),
                facts,
                stream,
                video: stream.video.as_ref()?,
                indexed: false,
            })
        })
        .collect();
    if tiles.is_empty() {
        return Ok(None);
    }
    let fastest = tiles
        .iter()
        .map(|tile| size::rate(tile.video.frame_rate, tile.video.variable_frame_rate, target.max_fps))
        .max_by(|a, b| size::fps(*a).total_cmp(&size::fps(*b)));
    let rate = fastest.unwrap_or((30, 1));
    let frames = size::frames(total_ms, rate).max(1);
    let spans: Vec<Span> = tiles
        .iter()
        .map(|tile| Span {
            input: tile.input,
            from: size::frames(tile.offset_ms, rate),
            to: size::frames(tile.end_ms, rate).min(frames),
        })
        .filter(|span| span.from < span.to)
        .collect();
    let segments = segments(&spans, frames);
    let shown =
        |input: &usize| tiles.iter().find(|tile| tile.input == *input).map(|tile| tile.video.display_size());
    let groups: Vec<Vec<(u32, u32)>> =
        segments.iter().map(|segment| segment.inputs.iter().filter_map(shown).collect()).collect();
    let most = groups.iter().map(Vec::len).max().unwrap_or(0);
    if most > MAX_TILES {
        return Err(Failure::permanent(format!(
            "{most} pictures at one time are more than a grid shows ({MAX_TILES}). Mix fewer tracks, or sound only."
        )));
    }
    let canvas = grid::canvas(target.short_side, &groups);
    Ok(Some(Picture { target, canvas, rate, frames, tiles, segments }))
}

fn voices(
    usable: &[(usize, &MixInput<'_>, &MediaFacts)],
    target: &AudioTarget,
    total_ms: u64,
) -> Option<sound::Voices> {
    let inputs: Vec<sound::Voice> = usable
        .iter()
        .filter_map(|(number, input, facts)| {
            let stream = facts.main_audio()?;
            Some(sound::Voice {
                input: *number,
                stream: stream.index,
                channels: stream.audio.as_ref()?.channels,
                offset_ms: input.track.offset_ms,
                length_ms: input.track.leave_ms.map(|leave| leave.saturating_sub(input.track.offset_ms)),
            })
        })
        .collect();
    let widest = inputs.iter().map(|voice| voice.channels).max()?;
    let channels = if widest >= 2 && target.max_channels >= 2 { 2 } else { 1 };
    Some(sound::Voices { inputs, channels, total_ms, target: target.clone() })
}

/// Joins the segments, adds the sound, and encodes nothing.
fn join(plan: &MixPlan<'_>, output: &str) -> Vec<String> {
    let mut argv = Argv::new().ours("concat", compose::LIST);
    if plan.voices.is_some() {
        argv =
            argv.ours(if plan.container == Container::Mp4 { "mp4" } else { "matroska" }, &plan.voices_file());
    }
    argv = argv.args(&["-map", "0"]);
    if plan.voices.is_some() {
        argv = argv.args(&["-map", "1"]);
    }
    argv = argv.args(&["-c", "copy"]).strip();
    if let (Some(picture), Container::Mp4) = (&plan.picture, plan.container) {
        argv = argv.args(&["-video_track_timescale", &compose::timescale(picture.rate).to_string()]);
    }
    argv.args(encode::muxer_options(plan.container)).output(encode::muxer(plan.container), output)
}

/// The track's position in the session, from 1.
fn position(spec: &MixSpec, track: &MixTrack) -> u32 {
    spec.tracks.iter().position(|other| other == track).map_or(0, |at| at as u32 + 1)
}

fn partial(inputs: &[MixInput<'_>], spec: &MixSpec) -> Option<String> {
    let mut clauses = Vec::new();
    for (at, track) in spec.tracks.iter().enumerate() {
        if !inputs.iter().any(|input| input.track == *track) {
            clauses.push(format!("track {} is missing", at + 1));
        }
    }
    for input in inputs {
        let at = position(spec, &input.track);
        let trim = |reason: &str| reason.trim_end_matches('.').to_owned();
        match &input.probe.verdict {
            Verdict::Good if input.probe.facts.is_some() => {}
            Verdict::Good => clauses.push(format!("track {at} holds no streams")),
            Verdict::Damaged { reason } => clauses.push(format!("track {at} is damaged: {}", trim(reason))),
            Verdict::Unsupported { reason } => {
                clauses.push(format!("track {at} is left out: {}", trim(reason)))
            }
        }
    }
    (!clauses.is_empty()).then(|| format!("Not the whole session: {}.", clauses.join("; ")))
}

#[cfg(test)]
mod tests;
