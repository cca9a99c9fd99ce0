//! From what ffprobe described and what the packets measured to our facts.

use domain::{AudioFacts, Dynamic, MediaFacts, StreamFacts, StreamKind, VideoFacts};

use crate::container::{Container, Kind};
use crate::describe::{Description, Stream, inert, ratio};
use crate::packets::{Decoded, Scan, Seen};

/// A stream with a single key frame is one GOP when it is no longer than this; above it the distance is unknown.
const MOMENT_US: i64 = 10_000_000;

pub(crate) fn facts(
    container: &Container,
    description: &Description,
    scan: &Scan,
    decoded: &Decoded,
) -> MediaFacts {
    let shown = |kind| matches!(kind, StreamKind::Video | StreamKind::Audio);
    let spans = |only_shown: bool| {
        let streams = description.streams.iter().filter(move |s| !only_shown || shown(s.kind()));
        streams
            .filter_map(|s| scan.streams.get(&s.index))
            .filter_map(|seen| Some((seen.packets.first?, seen.packets.end()?)))
            .reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
    };
    // A subtitle or a data track may begin before and last beyond what plays.
    let (start, end) = spans(true).or_else(|| spans(false)).unwrap_or((0, 0));
    let duration_us = end.saturating_sub(start).max(0);
    let nothing = Seen::default();
    let streams: Vec<StreamFacts> = description
        .streams
        .iter()
        .map(|stream| {
            let seen = scan.streams.get(&stream.index).unwrap_or(&nothing);
            stream_facts(container, stream, seen, decoded, start)
        })
        .collect();
    MediaFacts {
        format: inert(&description.format.format_name),
        media_type: media_type(container, description, &streams).to_owned(),
        duration_ms: ms(duration_us),
        header_duration_ms: description.format.duration_ms(),
        bit_rate: bit_rate(container.len, duration_us),
        streams,
        claimed_created: description
            .format
            .tag("creation_time")
            .or_else(|| description.format.tag("date"))
            .or_else(|| description.format.tag("com.apple.quicktime.creationdate")),
        claimed_title: description.format.tag("title"),
    }
}

fn stream_facts(
    container: &Container,
    stream: &Stream,
    seen: &Seen,
    decoded: &Decoded,
    start: i64,
) -> StreamFacts {
    let kind = stream.kind();
    let span = seen.packets.span();
    let picture = matches!(kind, StreamKind::Video | StreamKind::CoverArt);
    StreamFacts {
        index: stream.index,
        kind,
        codec: inert(stream.codec().or(stream.codec_tag_string.as_deref()).unwrap_or("unknown")),
        profile: stream.profile.as_deref().map(inert).filter(|p| !p.is_empty() && p != "unknown"),
        language: stream.tag("language").filter(|l| l != "und"),
        title: stream.tag("title"),
        default: stream.is_default(),
        start_ms: seen.packets.first.map_or(0, |first| first.saturating_sub(start) / 1000),
        duration_ms: ms(span),
        packets: seen.packets.count,
        bit_rate: bit_rate(seen.bytes, span),
        video: picture.then(|| video_facts(container, stream, seen, decoded)),
        audio: (kind == StreamKind::Audio).then(|| AudioFacts {
            sample_rate: stream.sample_rate.as_deref().and_then(|r| r.parse().ok()).unwrap_or(0),
            channels: stream.channels,
        }),
    }
}

fn video_facts(container: &Container, stream: &Stream, seen: &Seen, decoded: &Decoded) -> VideoFacts {
    let pixel_format = inert(stream.pix_fmt.as_deref().unwrap_or("unknown"));
    let alpha_tag = stream.tag("alpha_mode").as_deref() == Some("1");
    // A full decode knows better than the packets which of them show a picture (VP9's hidden frames do not).
    let whole = decoded.whole.get(&stream.index).filter(|whole| whole.frames.count > 1);
    let times = whole.map_or(&seen.packets, |whole| &whole.frames);
    VideoFacts {
        width: stream.width,
        height: stream.height,
        rotation: rotation(stream),
        sar: ratio(stream.sample_aspect_ratio.as_deref()).unwrap_or((1, 1)),
        bit_depth: bit_depth(stream, &pixel_format),
        dynamic: dynamic(stream),
        frame_rate: frame_rate(stream, times.count, seen.packets.span()),
        variable_frame_rate: times.intervals.vary(),
        interlaced: matches!(stream.field_order.as_deref(), Some("tt" | "bb" | "tb" | "bt")),
        keyframe_interval_ms: seen
            .key_interval()
            .filter(|_| seen.keys > 1 || seen.packets.span() <= MOMENT_US)
            .map(ms),
        closed_gop: !seen.leading,
        constant_resolution: decoded.tallies.get(&stream.index).is_none_or(|tally| tally.sizes.len() <= 1),
        monotonic_dts: seen.monotonic_dts,
        simple_edit_list: match &container.kind {
            Kind::Mov(boxes) => {
                boxes.tracks.get(stream.index as usize).is_none_or(|track| track.simple_edits)
            }
            _ => true,
        },
        alpha: alpha_tag || has_alpha(&pixel_format),
        pixel_format,
    }
}

/// Clockwise. ffprobe gives the display matrix's angle counter-clockwise; ffmpeg before 5 also wrote the clockwise
/// `rotate` tag.
fn rotation(stream: &Stream) -> u16 {
    let matrix = stream.side_data_list.iter().find_map(|side| side.rotation).map(|ccw| -ccw);
    let degrees =
        matrix.or_else(|| stream.tag("rotate")?.parse().ok()).filter(|d: &f64| d.is_finite()).unwrap_or(0.0);
    (((degrees / 90.0).round() as i64).rem_euclid(4) * 90) as u16
}

fn dynamic(stream: &Stream) -> Dynamic {
    match stream.color_transfer.as_deref() {
        Some("smpte2084") => Dynamic::Pq,
        Some("arib-std-b67") => Dynamic::Hlg,
        // Dolby Vision without a compatible base layer says nothing in the colour fields.
        _ if stream.side_data_list.iter().any(|side| side.dv_profile == Some(5)) => Dynamic::Pq,
        _ => Dynamic::Sdr,
    }
}

fn bit_depth(stream: &Stream, pixel_format: &str) -> u8 {
    let named = pixel_format.strip_suffix("le").or_else(|| pixel_format.strip_suffix("be"));
    let digits = |name: &str| {
        let start = name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
        name[start..].parse().ok()
    };
    let from_name: Option<u8> = match named.and_then(digits) {
        // rgb48 and rgba64 count all components.
        Some(48 | 64) => Some(16),
        Some(depth @ 9..=16) => Some(depth),
        _ => None,
    };
    let raw = stream
        .bits_per_raw_sample
        .as_deref()
        .and_then(|bits| bits.parse().ok())
        .filter(|bits| (8..=16).contains(bits));
    from_name.or(raw).unwrap_or(8)
}

fn has_alpha(pixel_format: &str) -> bool {
    ["yuva", "rgba", "bgra", "argb", "abgr", "gbrap", "ya8", "ya16", "ayuv"]
        .iter()
        .any(|p| pixel_format.starts_with(p))
}

/// The container's ratio where the pictures confirm it, because 30000/1001 cannot be measured; else as measured.
fn frame_rate(stream: &Stream, pictures: u64, span: i64) -> (u32, u32) {
    let (base, average) = (ratio(stream.r_frame_rate.as_deref()), ratio(stream.avg_frame_rate.as_deref()));
    if pictures < 2 || span <= 0 {
        return average.or(base).unwrap_or((0, 1));
    }
    let measured = pictures as f64 * 1e6 / span as f64;
    let near = |ratio: Option<(u32, u32)>, tolerance: f64| {
        ratio.filter(|(num, den)| (f64::from(*num) / f64::from(*den) / measured - 1.0).abs() < tolerance)
    };
    // The base rate is a round ratio where the average carries the container's rounding; 29.97 and 30 are 0.1 %
    // apart.
    near(base, 0.0005)
        .or_else(|| near(average, 0.01))
        .or_else(|| near(base, 0.01))
        .unwrap_or_else(|| ((measured * 1000.0).round().min(4e9) as u32, 1000))
}

fn media_type(container: &Container, description: &Description, streams: &[StreamFacts]) -> &'static str {
    let has = |kind| streams.iter().any(|s| s.kind == kind);
    let audio_only = !has(StreamKind::Video);
    let either = |video, audio| if audio_only { audio } else { video };
    let first = description.format.format_name.split(',').next().unwrap_or_default();
    match first {
        "mov" => match &container.kind {
            Kind::Mov(boxes) if boxes.brand.starts_with("qt") || boxes.brand.is_empty() => "video/quicktime",
            Kind::Mov(boxes) if boxes.brand.starts_with("3g") => either("video/3gpp", "audio/3gpp"),
            _ => either("video/mp4", "audio/mp4"),
        },
        "matroska" => match &container.kind {
            Kind::Matroska(ebml) if ebml.doctype == "webm" => either("video/webm", "audio/webm"),
            _ => either("video/x-matroska", "audio/x-matroska"),
        },
        "mpegts" => "video/mp2t",
        "mpeg" => either("video/mpeg", "audio/mpeg"),
        "avi" => "video/x-msvideo",
        "flv" | "live_flv" => "video/x-flv",
        "asf" => either("video/x-ms-wmv", "audio/x-ms-wma"),
        "ogg" => either("video/ogg", "audio/ogg"),
        "wav" | "w64" => "audio/wav",
        "mp3" => "audio/mpeg",
        "aac" | "loas" => "audio/aac",
        "ac3" => "audio/ac3",
        "eac3" => "audio/eac3",
        "flac" => "audio/flac",
        "amr" => "audio/amr",
        "aiff" => "audio/aiff",
        "au" => "audio/basic",
        "caf" => "audio/x-caf",
        "mxf" => "application/mxf",
        "dv" => "video/dv",
        "ivf" => "video/x-ivf",
        "rm" => "application/vnd.rn-realmedia",
        _ => "application/octet-stream",
    }
}

fn ms(micros: i64) -> u64 {
    u64::try_from((micros.saturating_add(500)) / 1000).unwrap_or(0)
}

fn bit_rate(bytes: u64, micros: i64) -> u64 {
    match u64::try_from(micros) {
        Ok(micros @ 1..) => {
            u64::try_from(u128::from(bytes) * 8_000_000 / u128::from(micros)).unwrap_or(u64::MAX)
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::describe::SideData;

    fn turned(ccw: f64) -> Stream {
        let side =
            SideData { side_data_type: "Display Matrix".to_owned(), rotation: Some(ccw), dv_profile: None };
        Stream { side_data_list: vec![side], ..Stream::default() }
    }

    #[test]
    fn rotation_is_clockwise_in_whole_quarters() {
        assert_eq!(rotation(&turned(-90.0)), 90);
        assert_eq!(rotation(&turned(90.0)), 270);
        assert_eq!(rotation(&turned(180.0)), 180);
        assert_eq!(rotation(&turned(-179.9)), 180);
        assert_eq!(rotation(&turned(f64::NAN)), 0);
        let tagged = Stream { tags: [("rotate".to_owned(), "270".to_owned())].into(), ..Stream::default() };
        assert_eq!(rotation(&tagged), 270);
        assert_eq!(rotation(&Stream::default()), 0);
    }

    #[test]
    fn bit_depth_comes_from_the_pixel_format() {
        let of = |name: &str| bit_depth(&Stream::default(), name);
        assert_eq!(
            ["yuv420p", "nv12", "yuv420p10le", "p010le", "gray16be", "rgb48le", "yuvj420p"].map(of),
            [8, 8, 10, 10, 16, 16, 8]
        );
    }

    #[test]
    fn the_claimed_frame_rate_counts_only_where_pictures_confirm_it() {
        let of = |avg: &str, pictures, span| {
            frame_rate(&Stream { avg_frame_rate: Some(avg.to_owned()), ..Stream::default() }, pictures, span)
        };
        assert_eq!(of("30000/1001", 30, 1_001_000), (30000, 1001));
        assert_eq!(of("90000/1", 100, 4_000_000), (25_000, 1000));
        assert_eq!(of("0/0", 1, 0), (0, 1));
    }

    #[test]
    fn alpha_is_seen_in_the_format() {
        assert!(has_alpha("yuva420p") && has_alpha("rgba") && has_alpha("gbrap10le"));
        assert!(!has_alpha("yuv420p") && !has_alpha("gbrp"));
    }
}
