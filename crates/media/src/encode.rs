//! Encoder and muxer options for a preset's target: the same for a conversion and for a mix.

use domain::{AudioCodec, AudioTarget, Container, Failure, VideoCodec, VideoTarget};

use crate::size;

/// `-c:v` and all that belongs to it.
pub(crate) fn video(target: &VideoTarget, width: u32, rate: (u32, u32)) -> Result<Vec<String>, Failure> {
    let speed = speed(target)?;
    let gop = (f64::from(target.keyframe_seconds.max(1)) * size::fps(rate)).round().clamp(1.0, 9999.0);
    let mut args = strings(&["-c:v", encoder(target.codec)]);
    match target.codec {
        VideoCodec::H264 => {
            if let Some(speed) = speed {
                args.extend(strings(&["-preset", speed]));
            }
            args.extend(strings(&["-crf", &target.crf.to_string()]));
        }
        VideoCodec::Vp9 => {
            // Without row-mt a 720p picture keeps two threads busy, whatever the machine has.
            let columns = match width {
                0..512 => "0",
                512..1024 => "1",
                1024..2048 => "2",
                _ => "3",
            };
            args.extend(strings(&["-deadline", "good", "-cpu-used", speed.unwrap_or("4"), "-row-mt", "1"]));
            args.extend(strings(&["-tile-columns", columns, "-crf", &target.crf.to_string()]));
            // Constant quality needs an explicit 0; a bit rate beside the crf makes it an upper bound.
            let kbps = target.max_kbps.map_or("0".to_owned(), |kbps| format!("{kbps}k"));
            args.extend(strings(&["-b:v", &kbps]));
        }
    }
    if let Some(kbps) = target.max_kbps {
        args.extend(strings(&[
            "-maxrate",
            &format!("{kbps}k"),
            "-bufsize",
            &format!("{}k", kbps.saturating_mul(2)),
        ]));
    }
    args.extend(strings(&["-g", &format!("{gop:.0}"), "-pix_fmt", "yuv420p"]));
    Ok(args)
}

/// `-c:a` and all that belongs to it. Always 48 kHz: `loudnorm` would leave 192 kHz behind, and one rate
/// everywhere means that no two outputs need resampling to be joined.
pub(crate) fn audio(target: &AudioTarget, channels: u16) -> Vec<String> {
    let mut args = strings(&["-c:a", audio_encoder(target.codec)]);
    if !matches!(target.codec, AudioCodec::Pcm | AudioCodec::Flac) {
        args.extend(strings(&["-b:a", &format!("{}k", target.kbps)]));
    }
    args.extend(strings(&["-ac", &channels.to_string(), "-ar", "48000"]));
    args
}

pub(crate) fn muxer(container: Container) -> &'static str {
    match container {
        Container::Mp4 => "mp4",
        Container::Webm => "webm",
        Container::Mkv => "matroska",
        // The mp4 muxer under the brand that players take for sound alone.
        Container::M4a => "ipod",
        Container::Mp3 => "mp3",
        Container::Wav => "wav",
        Container::Ogg => "ogg",
        Container::Flac => "flac",
    }
}

/// Whether ffmpeg writes the index last, so that it has to be moved: in front a player finds it before it has the whole file.
pub(crate) fn index_last(container: Container) -> bool {
    matches!(container, Container::Mp4 | Container::M4a)
}

pub(crate) fn muxer_options(container: Container) -> &'static [&'static str] {
    match container {
        container if index_last(container) => &["-movflags", "+faststart"],
        // A plain header cannot count beyond 4 GiB (6 hours of 48 kHz stereo).
        Container::Wav => &["-rf64", "auto"],
        _ => &[],
    }
}

/// Whether players and ffmpeg's muxers, from 4.4 on, take this codec in this container.
pub(crate) fn fits(
    container: Container,
    video: Option<VideoCodec>,
    audio: Option<AudioCodec>,
) -> Result<(), Failure> {
    use AudioCodec::{Aac, Flac, Mp3, Opus, Pcm};
    let video_ok = match video {
        None => true,
        Some(VideoCodec::H264) => matches!(container, Container::Mp4 | Container::Mkv),
        Some(VideoCodec::Vp9) => matches!(container, Container::Mp4 | Container::Webm | Container::Mkv),
    };
    let audio_ok = audio.is_none_or(|audio| match container {
        Container::Mkv => true,
        Container::Mp4 => matches!(audio, Aac | Mp3 | Opus),
        Container::M4a => audio == Aac,
        Container::Webm => audio == Opus,
        Container::Mp3 => audio == Mp3,
        Container::Wav => audio == Pcm,
        Container::Ogg => matches!(audio, Opus | Flac),
        Container::Flac => audio == Flac,
    });
    if video_ok && audio_ok {
        return Ok(());
    }
    let what = if video_ok { audio.map(audio_name) } else { video.map(video_name) };
    Err(Failure::permanent(format!(
        "A .{} file cannot hold {}. Choose another container or codec in the preset.",
        container.extension(),
        what.unwrap_or("this"),
    )))
}

/// The encoder's own word, and only that: it becomes part of an argv.
fn speed(target: &VideoTarget) -> Result<Option<&str>, Failure> {
    const X264: &[&str] = &[
        "ultrafast",
        "superfast",
        "veryfast",
        "faster",
        "fast",
        "medium",
        "slow",
        "slower",
        "veryslow",
        "placebo",
    ];
    const VP9: &[&str] = &["0", "1", "2", "3", "4", "5", "6", "7", "8"];
    let words = match target.codec {
        VideoCodec::H264 => X264,
        VideoCodec::Vp9 => VP9,
    };
    match target.speed.as_deref() {
        None => Ok(None),
        Some(speed) if words.contains(&speed) => Ok(Some(speed)),
        Some(_) => Err(Failure::permanent(format!(
            "The preset's speed is not one that {} knows. Use one of {}.",
            encoder(target.codec),
            words.join(", "),
        ))),
    }
}

pub(crate) fn encoder(codec: VideoCodec) -> &'static str {
    match codec {
        VideoCodec::H264 => "libx264",
        VideoCodec::Vp9 => "libvpx-vp9",
    }
}

pub(crate) fn audio_encoder(codec: AudioCodec) -> &'static str {
    match codec {
        AudioCodec::Aac => "aac",
        AudioCodec::Opus => "libopus",
        AudioCodec::Mp3 => "libmp3lame",
        AudioCodec::Pcm => "pcm_s16le",
        AudioCodec::Flac => "flac",
    }
}

/// As ffprobe names it.
pub(crate) fn video_name(codec: VideoCodec) -> &'static str {
    match codec {
        VideoCodec::H264 => "h264",
        VideoCodec::Vp9 => "vp9",
    }
}

/// As ffprobe names it.
pub(crate) fn audio_name(codec: AudioCodec) -> &'static str {
    match codec {
        AudioCodec::Aac => "aac",
        AudioCodec::Opus => "opus",
        AudioCodec::Mp3 => "mp3",
        AudioCodec::Pcm => "pcm_s16le",
        AudioCodec::Flac => "flac",
    }
}

fn strings(args: &[&str]) -> Vec<String> {
    args.iter().map(|arg| (*arg).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_speed_that_is_no_word_of_the_encoder_is_refused() {
        let mut target = VideoTarget {
            codec: VideoCodec::H264,
            short_side: 720,
            max_fps: 60,
            crf: 23,
            speed: Some("fast -f matroska".into()),
            keyframe_seconds: 2,
            max_kbps: None,
        };
        assert!(video(&target, 1280, (30, 1)).is_err());
        target.speed = Some("fast".into());
        assert!(video(&target, 1280, (30, 1)).is_ok());
    }

    #[test]
    fn a_container_refuses_what_it_cannot_hold() {
        assert!(fits(Container::Webm, Some(VideoCodec::H264), None).is_err());
        assert!(fits(Container::Mp3, None, Some(AudioCodec::Aac)).is_err());
        assert!(fits(Container::Webm, Some(VideoCodec::Vp9), Some(AudioCodec::Opus)).is_ok());
        assert!(fits(Container::Mp4, Some(VideoCodec::H264), Some(AudioCodec::Aac)).is_ok());
    }
}
