//! Whether what came out is what was promised. Pure: wanted against measured.

use domain::{MediaFacts, StreamKind};

use crate::plan::{How, Plan};
use crate::{encode, size};

/// One stream that the output must hold.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Wanted {
    pub(crate) kind: StreamKind,
    /// As ffprobe names it.
    pub(crate) codec: &'static str,
    /// As displayed; absent for sound.
    pub(crate) size: Option<(u32, u32)>,
    /// Milliseconds from the output's start to this stream's end.
    pub(crate) end_ms: u64,
    pub(crate) tolerance_ms: u64,
    /// The constant rate that the frames must add up to; absent where it is the source's own.
    pub(crate) rate: Option<(u32, u32)>,
}

/// What is missing, as a sentence, and which kinds came out empty.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Short {
    pub(crate) sentence: String,
    pub(crate) missing: Vec<StreamKind>,
}

/// A quarter of a second: above an encoder's priming and padding (Opus 6.5 ms, AAC 2 x 21 ms, MP3 50 ms) and two
/// packets of any codec; below what a viewer misses. It does not grow with the duration, because nothing that we
/// do drifts.
const TOLERANCE_MS: u64 = 250;

/// "Converted" means probed again: expected streams, and duration within tolerance of the source. ffmpeg's exit
/// code 0 proves nothing.
pub(crate) fn compare(wanted: &[Wanted], got: &MediaFacts) -> Result<(), Short> {
    let mut missing = Vec::new();
    let mut wrong = Vec::new();
    for want in wanted {
        let name = name(want.kind);
        let mut streams = got.streams.iter().filter(|stream| stream.kind == want.kind);
        let Some(stream) = streams.next().filter(|stream| stream.packets > 0) else {
            missing.push(want.kind);
            wrong.push(format!("it has no {name}"));
            continue;
        };
        if streams.next().is_some() {
            wrong.push(format!("it has more than one {name} stream"));
        }
        if stream.codec != want.codec {
            wrong.push(format!("its {name} is {} instead of {}", stream.codec, want.codec));
        }
        let end = u64::try_from(stream.start_ms).unwrap_or(0) + stream.duration_ms;
        if end.abs_diff(want.end_ms) > want.tolerance_ms {
            wrong.push(format!(
                "its {name} lasts {} where the recording lasts {}",
                seconds(end),
                seconds(want.end_ms)
            ));
        }
        if let Some(rate) = want.rate {
            let ms = (stream.packets as f64 * 1000.0 / size::fps(rate)) as u64;
            if ms.abs_diff(stream.duration_ms) > want.tolerance_ms {
                wrong.push(format!("it has {} pictures in {}", stream.packets, seconds(stream.duration_ms)));
            }
        }
        let size = stream.video.as_ref().map(|video| video.display_size());
        if let (Some((w, h)), Some((width, height))) = (want.size, size)
            && (w.abs_diff(width) > 1 || h.abs_diff(height) > 1)
        {
            wrong.push(format!("it shows {width}x{height} instead of {w}x{h}"));
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(Short { sentence: wrong.join("; "), missing }) }
}

/// What the plan's output must hold, by the source's measured facts.
pub(crate) fn wanted(plan: &Plan, facts: &MediaFacts) -> Vec<Wanted> {
    let stream = |index| facts.streams.iter().find(|stream| stream.index == index);
    let start = |indices: &mut dyn Iterator<Item = u32>| {
        indices.filter_map(stream).map(|stream| stream.start_ms).min().unwrap_or(0)
    };
    // Encoded sound is filled with silence from the file's start; all else starts with what is kept.
    let encoded_audio = plan.audio.as_ref().is_some_and(|audio| audio.how != How::Copy);
    let base = if encoded_audio {
        let media = facts.streams.iter().filter(|s| matches!(s.kind, StreamKind::Video | StreamKind::Audio));
        start(&mut media.map(|stream| stream.index))
    } else {
        let video = plan.video.iter().map(|video| video.stream);
        start(&mut video.chain(plan.audio.iter().map(|audio| audio.stream)))
    };
    let end = |index| {
        stream(index)
            .map_or(0, |stream| u64::try_from(stream.start_ms - base).unwrap_or(0) + stream.duration_ms)
    };
    let mut wanted = Vec::new();
    if let Some(video) = &plan.video {
        let own =
            stream(video.stream).and_then(|stream| stream.video.as_ref()).map_or((0, 1), |v| v.frame_rate);
        let rate = match &video.how {
            How::Copy => None,
            How::Encode(encode) => Some(encode.rate),
        };
        let slowest = [own, rate.unwrap_or(own)].map(size::fps).into_iter().filter(|fps| *fps > 0.0);
        let frame_ms = 1000.0 / slowest.fold(1000.0, f64::min);
        wanted.push(Wanted {
            kind: StreamKind::Video,
            codec: encode::video_name(video.target.codec),
            size: Some(video.size),
            end_ms: end(video.stream),
            // Where the last picture ends is the container's guess.
            tolerance_ms: TOLERANCE_MS.max((2.0 * frame_ms) as u64),
            rate,
        });
    }
    if let Some(audio) = &plan.audio {
        wanted.push(Wanted {
            kind: StreamKind::Audio,
            codec: encode::audio_name(audio.target.codec),
            size: None,
            end_ms: end(audio.stream),
            tolerance_ms: TOLERANCE_MS,
            rate: None,
        });
    }
    wanted
}

/// A picture file that is whole: its own end mark is there. (The decoders for still images are not open to
/// recordings, so it is not probed.)
pub(crate) fn picture(bytes: &[u8]) -> bool {
    let jpeg = bytes.starts_with(&[0xFF, 0xD8, 0xFF]) && bytes.ends_with(&[0xFF, 0xD9]);
    let png = bytes.starts_with(b"\x89PNG\r\n\x1a\n") && bytes.ends_with(b"IEND\xAE\x42\x60\x82");
    jpeg || png
}

pub(crate) fn seconds(ms: u64) -> String {
    match ms {
        0..1000 => format!("{:.2} s", ms as f64 / 1000.0),
        _ => format!("{:.1} s", ms as f64 / 1000.0),
    }
}

pub(crate) fn name(kind: StreamKind) -> &'static str {
    if kind == StreamKind::Audio { "audio" } else { "video" }
}
