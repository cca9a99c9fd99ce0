//! What a recording is worth, from measurements only.

use domain::{MediaFacts, StreamFacts, StreamKind, Verdict};

use crate::container::{Container, Kind};
use crate::describe::{Description, Stream};
use crate::guard::{MAX_DURATION, MAX_PIXELS, MAX_STREAMS};
use crate::packets::{Decoded, Scan, Seen, Tally};

/// Frames per second at most. Slow-motion cameras reach 960; above that it is a header's lie, and work without end.
pub(crate) const MAX_FRAME_RATE: u64 = 1000;
/// Ticks per second at most: nanoseconds. ffmpeg silently replaces what does not fit by 1.
const MAX_TIMESCALE: u32 = 1_000_000_000;
/// Silence on all streams at once that no pause explains: the timestamps jump.
const MAX_HOLE_US: i64 = 3600 * 1_000_000;

/// Limits and refusals that hold before any packet is read.
pub(crate) fn refuse(container: &Container, description: &Description) -> Option<String> {
    if let Kind::Mov(boxes) = &container.kind {
        if boxes.encrypted() {
            return Some("it is encrypted (CENC or DRM): it needs its key".to_owned());
        }
        if let Some(track) = boxes.tracks.iter().find(|t| t.timescale > MAX_TIMESCALE) {
            return Some(format!(
                "its clock claims {} ticks a second, the limit is {MAX_TIMESCALE}",
                track.timescale
            ));
        }
        // ffprobe hides the size of a picture that is over the limit.
        for track in &boxes.tracks {
            let (width, height) = (u32::from(track.size.0), u32::from(track.size.1));
            if let Some(reason) = too_large(width, height) {
                return Some(reason);
            }
        }
    }
    if description.streams.len() > MAX_STREAMS as usize {
        return Some(too_many(description.streams.len()));
    }
    if let Some(reason) = description.streams.iter().find_map(|s| too_large(s.width, s.height)) {
        return Some(reason);
    }
    if !description.streams.iter().any(|s| matches!(s.kind(), StreamKind::Video | StreamKind::Audio)) {
        let unknown = description
            .streams
            .iter()
            .find(|s| matches!(s.codec_type.as_deref(), Some("video" | "audio")) && s.codec().is_none());
        return Some(match unknown {
            Some(stream) => format!("no decoder for its {}", named(stream)),
            None => "no audio or video streams".to_owned(),
        });
    }
    None
}

pub(crate) fn too_many(streams: usize) -> String {
    format!("{streams} streams, the limit is {MAX_STREAMS}")
}

pub(crate) fn too_large(width: u32, height: u32) -> Option<String> {
    (u64::from(width) * u64::from(height) > MAX_PIXELS)
        .then(|| format!("{width}x{height} pixels are over the limit of {MAX_PIXELS} pixels a picture"))
}

/// The verdict over what was read and decoded. `decoded` is empty where nothing was checked.
pub(crate) fn judge(container: &Container, facts: &MediaFacts, scan: &Scan, decoded: &Decoded) -> Verdict {
    if let Some(reason) = over_limit(facts) {
        return Verdict::Unsupported { reason };
    }
    let mut reasons = Vec::new();
    if let Some(reason) = shortfall(container, facts, scan) {
        reasons.push(reason);
    }
    let playing: Vec<&StreamFacts> =
        facts.streams.iter().filter(|s| matches!(s.kind, StreamKind::Video | StreamKind::Audio)).collect();
    if playing.iter().all(|s| s.packets == 0) && reasons.is_empty() {
        reasons.push("its header describes streams, and there is no data in them".to_owned());
    }
    reasons.extend(playing.iter().filter_map(|s| undecoded(s, decoded.tallies.get(&s.index)?)));
    let seen: Vec<&Seen> = playing.iter().filter_map(|s| scan.streams.get(&s.index)).collect();
    if !seen.is_empty() && seen.iter().all(|s| s.packets.hole > MAX_HOLE_US) {
        let hole = seen.iter().map(|s| s.packets.hole).min().unwrap_or(0);
        reasons
            .push(format!("its timestamps jump over {:.1} h in which there is nothing", hole as f64 / 3.6e9));
    }
    if reasons.is_empty() {
        return Verdict::Good;
    }
    Verdict::Damaged { reason: reasons.join("; ") }
}

fn over_limit(facts: &MediaFacts) -> Option<String> {
    if u128::from(facts.duration_ms) > MAX_DURATION.as_millis() {
        let hours = |ms: f64| format!("{:.1} h", ms / 3.6e6);
        let limit = hours(MAX_DURATION.as_millis() as f64);
        return Some(format!("{} long, the limit is {limit}", hours(facts.duration_ms as f64)));
    }
    facts.streams.iter().filter(|s| s.kind == StreamKind::Video && s.packets > 10).find_map(|s| {
        let rate = s.packets * 1000 / s.duration_ms.max(1);
        (rate > MAX_FRAME_RATE).then(|| format!("{rate} frames a second, the limit is {MAX_FRAME_RATE}"))
    })
}

/// What the container promises and does not hold.
fn shortfall(container: &Container, facts: &MediaFacts, scan: &Scan) -> Option<String> {
    let claimed = match &container.kind {
        // The header of a fragmented file is no promise: it was written before its end was known.
        Kind::Mov(boxes) if boxes.fragmented => None,
        // A duration that ffmpeg estimated from the bit rate is no promise either; these carry one in the header.
        Kind::Mov(_) | Kind::Matroska(_) => facts.header_duration_ms,
        _ if ["avi", "flv", "flac", "asf", "aiff", "caf", "w64"].contains(&facts.format.as_str()) => {
            facts.header_duration_ms
        }
        _ => None,
    };
    // The end counts: where all streams start late, the header counts from zero. Subtitles may last longest.
    let held = facts
        .streams
        .iter()
        .map(|s| u64::try_from(s.start_ms).unwrap_or(0) + s.duration_ms)
        .chain([facts.duration_ms])
        .max()
        .unwrap_or(0);
    // Matroska's duration is its last timestamp, also where the first one is an hour (segmenters, `-copyts`).
    let begins = match &container.kind {
        Kind::Matroska(_) => scan.streams.values().filter_map(|seen| seen.packets.first).min().unwrap_or(0),
        _ => 0,
    };
    let held = held + u64::try_from(begins / 1000).unwrap_or(0);
    let missing = claimed.map(|claimed| claimed.saturating_sub(held)).filter(|missing| {
        // Rounding, encoder delay, and muxers that count a last frame differently.
        *missing > 1000.max(claimed.unwrap_or(0) / 50) || container.short.is_some() && *missing > 100
    });
    match (missing, claimed) {
        (Some(_), Some(claimed)) => {
            Some(format!("holds {} of the {} that its header promises", seconds(held), seconds(claimed)))
        }
        _ => container.short.clone(),
    }
}

/// Whether a stream's packets become frames. Packets and frames were counted over the same stretches.
fn undecoded(stream: &StreamFacts, tally: &Tally) -> Option<String> {
    let &Tally { packets, frames, .. } = tally;
    let name = match stream.video {
        Some(_) => format!("video stream {} ({})", stream.index, stream.codec),
        None => format!("audio stream {} ({})", stream.index, stream.codec),
    };
    if packets > 0 && frames == 0 {
        // A decoder may keep the only packets of a stub of audio as its delay.
        return (stream.video.is_some() || packets > 3).then(|| format!("{name} does not decode"));
    }
    let lost = packets.saturating_sub(frames);
    let tolerated = match &stream.video {
        // Two field pictures make one frame, and hidden reference frames of VP8, VP9 and AV1 make none.
        Some(video) if video.interlaced || ["vp8", "vp9", "av1"].contains(&stream.codec.as_str()) => {
            packets / 2
        }
        _ => packets / 50,
    };
    // Encoder delay, leading pictures and what a decoder keeps back, once for each window.
    if lost > tolerated + 8 * tally.runs {
        let whole = tally.lasting / 1000 >= i64::try_from(stream.duration_ms).unwrap_or(i64::MAX) / 10 * 9;
        let checked = if whole { "" } else { " that were checked" };
        return Some(match stream.audio {
            Some(_) => {
                let held = (i128::from(tally.lasting) * i128::from(frames) / i128::from(packets)) as i64;
                format!("{name} decodes to {} of {}{checked}", seconds_us(held), seconds_us(tally.lasting))
            }
            None => format!("{name} decodes to {frames} pictures of {packets}{checked}"),
        });
    }
    // Where there are packets every moment, a picture is expected every moment.
    (tally.hole > 1_000_000)
        .then(|| format!("{name} has {} in which nothing decodes", seconds_us(tally.hole)))
}

fn named(stream: &Stream) -> String {
    let kind = stream.codec_type.as_deref().unwrap_or("data");
    match stream.codec_tag_string.as_deref() {
        Some(tag) if !tag.starts_with("[0]") => format!("{kind} codec ({})", crate::describe::inert(tag)),
        _ => format!("{kind} codec"),
    }
}

fn seconds(ms: u64) -> String {
    format!("{:.1} s", ms as f64 / 1000.0)
}
fn seconds_us(us: i64) -> String {
    format!("{:.1} s", us as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::AudioFacts;

    fn sound(packets: u64, frames: u64) -> Option<String> {
        let stream = StreamFacts {
            index: 1,
            kind: StreamKind::Audio,
            codec: "mp3".to_owned(),
            profile: None,
            language: None,
            title: None,
            default: true,
            start_ms: 0,
            duration_ms: 4000,
            packets,
            bit_rate: 0,
            video: None,
            audio: Some(AudioFacts { sample_rate: 48_000, channels: 2 }),
        };
        undecoded(&stream, &Tally { runs: 1, packets, frames, lasting: 4_000_000, ..Tally::default() })
    }

    #[test]
    fn packets_that_become_no_frames_are_damage() {
        assert_eq!(sound(160, 160), None);
        assert_eq!(sound(160, 158), None, "encoder delay");
        assert_eq!(sound(160, 40).as_deref(), Some("audio stream 1 (mp3) decodes to 1.0 s of 4.0 s"));
        assert_eq!(sound(160, 0).as_deref(), Some("audio stream 1 (mp3) does not decode"));
        assert_eq!(sound(1, 0), None, "a stub");
    }

    #[test]
    fn a_header_is_believed_only_where_it_is_a_promise() {
        let container = |kind| Container { len: 1000, kind, short: None };
        let facts = |format: &str| MediaFacts {
            format: format.to_owned(),
            media_type: String::new(),
            duration_ms: 2400,
            header_duration_ms: Some(4000),
            bit_rate: 0,
            streams: Vec::new(),
            claimed_created: None,
            claimed_title: None,
        };
        let whole = Kind::Mov(crate::boxes::Boxes::default());
        let fragmented = Kind::Mov(crate::boxes::Boxes { fragmented: true, ..Default::default() });
        let said = "holds 2.4 s of the 4.0 s that its header promises";
        assert_eq!(shortfall(&container(whole), &facts("mov,mp4"), &Scan::default()).as_deref(), Some(said));
        assert_eq!(shortfall(&container(fragmented), &facts("mov,mp4"), &Scan::default()), None);
        assert_eq!(
            shortfall(&container(Kind::Other), &facts("mp3"), &Scan::default()),
            None,
            "estimated from the bit rate"
        );
        assert_eq!(
            shortfall(&container(Kind::Other), &facts("flac"), &Scan::default()).as_deref(),
            Some(said)
        );
    }
}
