//! Copy or encode, decided for each stream, with the reason. Pure: facts in, a plan out.

use domain::{
    AudioTarget, Container, Dynamic, Failure, MediaFacts, Output, Preset, StreamChoice, StreamFacts,
    StreamKind, VideoFacts, VideoTarget,
};

use crate::encode;
use crate::picture::{self, Into, Picture};
use crate::size;

/// What one call of ffmpeg makes of one source.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plan {
    pub(crate) container: Container,
    pub(crate) video: Option<Video>,
    pub(crate) audio: Option<Audio>,
    /// Streams that are left out, and why.
    pub(crate) dropped: Vec<StreamChoice>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Video {
    pub(crate) stream: u32,
    /// As the output will be, in square pixels.
    pub(crate) size: (u32, u32),
    pub(crate) target: VideoTarget,
    pub(crate) how: How<EncodeVideo>,
    pub(crate) why: String,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Audio {
    pub(crate) stream: u32,
    pub(crate) target: AudioTarget,
    pub(crate) how: How<EncodeAudio>,
    pub(crate) why: String,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum How<E> {
    Copy,
    Encode(E),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct EncodeVideo {
    pub(crate) picture: Picture,
    pub(crate) rate: (u32, u32),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct EncodeAudio {
    pub(crate) channels: u16,
}

/// What the plan may count on, besides the facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Given<'a> {
    /// The source is damaged: nothing is copied, because a decoder is what finds out which parts hold.
    pub(crate) damaged: bool,
    /// This ffmpeg can map HDR to SDR.
    pub(crate) tonemap: bool,
    /// Nothing may be copied, and why: a copy was tried before.
    pub(crate) no_copy: Option<&'a str>,
}

/// Video and audio presets only; pictures are planned in `thumbs` and `waveform`.
pub(crate) fn plan(facts: &MediaFacts, preset: &Preset, given: Given<'_>) -> Result<Plan, Failure> {
    let (container, video, audio) = match &preset.output {
        Output::Video { container, video, audio } => (*container, Some(video), audio.as_ref()),
        Output::Audio { container, audio } => (*container, None, Some(audio)),
        Output::Thumbnails { .. } | Output::Waveform { .. } => {
            return Err(Failure::permanent(format!("The preset {} makes pictures, not media.", preset.name)));
        }
    };
    encode::fits(container, video.map(|v| v.codec), audio.map(|a| a.codec))?;

    let video = video.and_then(|target| facts.video().map(|stream| (target, stream)));
    let audio = audio.and_then(|target| facts.main_audio().map(|stream| (target, stream)));
    let video = video.and_then(|(target, stream)| video_plan(stream, target, container, given));
    let audio = audio.and_then(|(target, stream)| audio_plan(stream, target, container, given));
    if video.is_none() && audio.is_none() {
        let (has, wants) = match preset.output {
            Output::Audio { .. } => ("no audio", "A sound preset"),
            _ => ("neither video nor audio", "A video preset"),
        };
        return Err(Failure::permanent(format!(
            "The recording has {has}. {wants} like {} makes nothing of it: limit the rule to recordings that have it.",
            preset.name
        )));
    }
    let kept = |index| {
        video.as_ref().is_some_and(|v| v.stream == index) || audio.as_ref().is_some_and(|a| a.stream == index)
    };
    let dropped = facts
        .streams
        .iter()
        .filter(|stream| !kept(stream.index))
        .map(|stream| StreamChoice {
            stream: stream.index,
            how: "drop".into(),
            why: why_dropped(stream, &preset.output),
        })
        .collect();
    Ok(Plan { container, video, audio, dropped })
}

impl Plan {
    /// In the source's order, for the record.
    pub(crate) fn choices(&self) -> Vec<StreamChoice> {
        let mut choices = self.dropped.clone();
        choices.extend(self.video.iter().map(|video| {
            StreamChoice {
                stream: video.stream,
                how: match video.how {
                    How::Copy => "copy",
                    How::Encode(_) => encode::encoder(video.target.codec),
                }
                .into(),
                why: video.why.clone(),
            }
        }));
        choices.extend(self.audio.iter().map(|audio| {
            StreamChoice {
                stream: audio.stream,
                how: match audio.how {
                    How::Copy => "copy",
                    How::Encode(_) => encode::audio_encoder(audio.target.codec),
                }
                .into(),
                why: audio.why.clone(),
            }
        }));
        choices.sort_by_key(|choice| choice.stream);
        choices
    }

    pub(crate) fn copies(&self) -> bool {
        self.video.as_ref().is_some_and(|video| video.how == How::Copy)
            || self.audio.as_ref().is_some_and(|audio| audio.how == How::Copy)
    }
}

fn video_plan(
    stream: &StreamFacts,
    target: &VideoTarget,
    container: Container,
    given: Given<'_>,
) -> Option<Video> {
    let facts = stream.video.as_ref()?;
    let (how, size, why) = match why_encode_video(stream, facts, target, container, given) {
        None => {
            let why = format!(
                "fits as it is: {}, 8-bit 4:2:0, {}x{}, closed GOPs{}",
                stream.codec,
                facts.width,
                facts.height,
                if facts.variable_frame_rate { ", its variable frame rate is kept" } else { "" },
            );
            (How::Copy, facts.display_size(), why)
        }
        Some(mut why) => {
            let size = size::fit(facts.display_size(), target.short_side);
            // The rate of a lone picture is whatever its container counts time in.
            let average = if stream.packets == 1 { (0, 1) } else { facts.frame_rate };
            let rate = size::rate(average, facts.variable_frame_rate, target.max_fps);
            if facts.dynamic != Dynamic::Sdr && !given.tonemap {
                why += "; its colours are not mapped, because this ffmpeg has no zscale and tonemap filters";
            }
            let picture = picture::picture(stream, facts, Into::Size(size.0, size.1), given.tonemap)
                .rate(rate, stream.packets)
                .format("yuv420p");
            (How::Encode(EncodeVideo { picture, rate }), size, why)
        }
    };
    Some(Video { stream: stream.index, size, target: target.clone(), how, why })
}

/// The first reason why a video stream cannot be copied.
///
/// A variable frame rate is none: mp4, WebM and Matroska give each frame its own time, players follow it, and an
/// encode would cost a generation of quality and some hundred times the work. Where encoding is needed anyway
/// the rate becomes constant.
fn why_encode_video(
    stream: &StreamFacts,
    facts: &VideoFacts,
    target: &VideoTarget,
    container: Container,
    given: Given<'_>,
) -> Option<String> {
    if let Some(why) = given.no_copy {
        return Some(why.to_owned());
    }
    let wanted = encode::video_name(target.codec);
    let (width, height) = facts.display_size();
    let interval = facts.keyframe_interval_ms.unwrap_or(stream.duration_ms);
    let fps = size::fps(facts.frame_rate);
    let too_fast = fps > f64::from(target.max_fps) * 1.005;
    let reasons = [
        (given.damaged, "the source is damaged: only what decodes is kept".to_owned()),
        (stream.codec != wanted, format!("{} is not {wanted}", stream.codec)),
        (facts.dynamic != Dynamic::Sdr, "HDR becomes SDR".to_owned()),
        (facts.alpha, "it has transparency, which is flattened".to_owned()),
        (
            facts.bit_depth != 8 || !matches!(facts.pixel_format.as_str(), "yuv420p" | "yuvj420p"),
            format!("{} is not 8-bit 4:2:0", facts.pixel_format),
        ),
        (facts.interlaced, "it is interlaced".to_owned()),
        (
            width.min(height) > target.short_side,
            format!("{width}x{height} is larger than {}p", target.short_side),
        ),
        (too_fast, format!("{fps:.2} frames a second are more than {}", target.max_fps)),
        (
            target.max_kbps.is_some_and(|max| stream.bit_rate > u64::from(max) * 1000),
            format!("{} kb/s are more than {}", stream.bit_rate / 1000, target.max_kbps.unwrap_or(0)),
        ),
        (!facts.constant_resolution, "its picture size changes in mid-stream".to_owned()),
        (!facts.closed_gop, "its GOPs are open".to_owned()),
        (interval >= 20_000, format!("its key frames are {:.1} s apart", interval as f64 / 1000.0)),
        (!facts.monotonic_dts, "its decode times go backwards".to_owned()),
        (!facts.simple_edit_list, "it has an edit list".to_owned()),
        (stream.duration_ms == 0 && stream.packets > 1, "its duration is unknown".to_owned()),
        (
            facts.rotation != 0 && container != Container::Mp4,
            format!("a rotation tag means nothing in .{}", container.extension()),
        ),
    ];
    reasons.into_iter().find_map(|(holds, why)| holds.then_some(why))
}

fn audio_plan(
    stream: &StreamFacts,
    target: &AudioTarget,
    container: Container,
    given: Given<'_>,
) -> Option<Audio> {
    let facts = stream.audio.as_ref()?;
    let channels = facts.channels.clamp(1, target.max_channels.max(1));
    let (how, why) = match why_encode_audio(stream, facts.channels, target, container, given) {
        None => (How::Copy, format!("fits as it is: {}, {} kb/s", stream.codec, stream.bit_rate / 1000)),
        Some(why) => (How::Encode(EncodeAudio { channels }), why),
    };
    Some(Audio { stream: stream.index, target: target.clone(), how, why })
}

/// The first reason why an audio stream cannot be copied.
fn why_encode_audio(
    stream: &StreamFacts,
    channels: u16,
    target: &AudioTarget,
    container: Container,
    given: Given<'_>,
) -> Option<String> {
    if let Some(why) = given.no_copy {
        return Some(why.to_owned());
    }
    let wanted = encode::audio_name(target.codec);
    let lossless = matches!(target.codec, domain::AudioCodec::Pcm | domain::AudioCodec::Flac);
    // Encoders aim at a bit rate on average: a quarter more is no reason for another generation.
    let too_many = !lossless && stream.bit_rate > u64::from(target.kbps) * 1250;
    // These hold one sound from first to last packet: a late start would be lost, and with it the sync.
    let no_times = matches!(container, Container::Mp3 | Container::Wav | Container::Flac | Container::Ogg);
    let reasons = [
        (given.damaged, "the source is damaged: only what decodes is kept".to_owned()),
        (stream.codec != wanted, format!("{} is not {wanted}", stream.codec)),
        (
            channels > target.max_channels,
            format!("{channels} channels are more than {}", target.max_channels),
        ),
        (too_many, format!("{} kb/s are more than {}", stream.bit_rate / 1000, target.kbps)),
        (!continuous(stream), "it has gaps, which are filled with silence".to_owned()),
        (no_times && stream.start_ms > 20, "it starts late, and silence takes that place".to_owned()),
        (stream.duration_ms == 0 && stream.packets > 1, "its duration is unknown".to_owned()),
    ];
    reasons.into_iter().find_map(|(holds, why)| holds.then_some(why))
}

/// Whether the packets fill the time they span. WebRTC recorders leave holes where the network lost packets;
/// players close them up, and the rest is out of sync.
fn continuous(stream: &StreamFacts) -> bool {
    let Some(audio) = &stream.audio else { return true };
    let rate = f64::from(audio.sample_rate.max(1));
    // Milliseconds that one packet may hold.
    let lengths: Vec<f64> = match stream.codec.as_str() {
        // Twice as long in HE-AAC.
        "aac" => vec![1024e3 / rate, 2048e3 / rate],
        "mp3" => vec![1152e3 / rate, 576e3 / rate],
        "opus" => vec![2.5, 5.0, 10.0, 20.0, 40.0, 60.0, 120.0],
        _ => return true,
    };
    let span = stream.duration_ms as f64;
    lengths.iter().any(|length| (length * stream.packets as f64 - span).abs() <= 100.0 + span * 0.001)
}

fn why_dropped(stream: &StreamFacts, output: &Output) -> String {
    match stream.kind {
        StreamKind::Video if matches!(output, Output::Audio { .. }) => "the preset is for sound alone",
        StreamKind::Video => "one video stream is kept: the container's default, else its first",
        StreamKind::Audio if matches!(output, Output::Video { audio: None, .. }) => "the preset is silent",
        StreamKind::Audio => {
            "one audio stream is kept, the one a listener would get: the container's default, else its first"
        }
        StreamKind::CoverArt => "cover art is not video",
        StreamKind::Subtitle => "subtitles are left out",
        StreamKind::Attachment => "attachments are left out",
        StreamKind::Data => "data streams are left out",
    }
    .to_owned()
}

/// Values for tests of this crate.
#[cfg(test)]
pub(crate) mod samples {
    use domain::{
        AudioCodec, AudioFacts, AudioTarget, Container, Dynamic, MediaFacts, Output, Preset, StreamFacts,
        StreamKind, VideoCodec, VideoFacts, VideoTarget,
    };

    /// Ten seconds of 1280x720 H.264 as a phone writes it, with AAC.
    pub(crate) fn facts() -> MediaFacts {
        MediaFacts {
            format: "mov,mp4,m4a,3gp,3g2,mj2".into(),
            media_type: "video/mp4".into(),
            duration_ms: 10_000,
            header_duration_ms: Some(10_000),
            bit_rate: 2_128_000,
            streams: vec![video(), audio()],
            claimed_created: None,
            claimed_title: None,
        }
    }

    pub(crate) fn video() -> StreamFacts {
        StreamFacts {
            index: 0,
            kind: StreamKind::Video,
            codec: "h264".into(),
            profile: Some("High".into()),
            language: None,
            title: None,
            default: true,
            start_ms: 0,
            duration_ms: 10_000,
            packets: 300,
            bit_rate: 2_000_000,
            video: Some(VideoFacts {
                width: 1280,
                height: 720,
                rotation: 0,
                sar: (1, 1),
                pixel_format: "yuv420p".into(),
                bit_depth: 8,
                dynamic: Dynamic::Sdr,
                frame_rate: (30, 1),
                variable_frame_rate: false,
                interlaced: false,
                keyframe_interval_ms: Some(2000),
                closed_gop: true,
                constant_resolution: true,
                monotonic_dts: true,
                simple_edit_list: true,
                alpha: false,
            }),
            audio: None,
        }
    }

    pub(crate) fn audio() -> StreamFacts {
        StreamFacts {
            index: 1,
            kind: StreamKind::Audio,
            codec: "aac".into(),
            profile: Some("LC".into()),
            language: None,
            title: None,
            default: true,
            start_ms: 0,
            duration_ms: 10_005,
            packets: 469,
            bit_rate: 128_000,
            video: None,
            audio: Some(AudioFacts { sample_rate: 48_000, channels: 2 }),
        }
    }

    pub(crate) fn mp4(short_side: u32) -> Preset {
        Preset {
            name: format!("mp4-{short_side}p"),
            output: Output::Video {
                container: Container::Mp4,
                video: VideoTarget {
                    codec: VideoCodec::H264,
                    short_side,
                    max_fps: 60,
                    crf: 23,
                    speed: Some("veryfast".into()),
                    keyframe_seconds: 2,
                    max_kbps: None,
                },
                audio: Some(AudioTarget { codec: AudioCodec::Aac, kbps: 128, max_channels: 2 }),
            },
        }
    }

    pub(crate) fn webm() -> Preset {
        Preset {
            name: "webm-vp9".into(),
            output: Output::Video {
                container: Container::Webm,
                video: VideoTarget {
                    codec: VideoCodec::Vp9,
                    short_side: 720,
                    max_fps: 30,
                    crf: 32,
                    speed: Some("5".into()),
                    keyframe_seconds: 5,
                    max_kbps: Some(2500),
                },
                audio: Some(AudioTarget { codec: AudioCodec::Opus, kbps: 96, max_channels: 2 }),
            },
        }
    }

    pub(crate) fn sound(container: Container, codec: AudioCodec) -> Preset {
        let audio = AudioTarget { codec, kbps: 128, max_channels: 2 };
        Preset {
            name: format!("audio-{}", container.extension()),
            output: Output::Audio { container, audio },
        }
    }
}

#[cfg(test)]
mod tests;
