use serde::{Deserialize, Serialize};

/// What probing found: the verdict, and the facts as far as there are any.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    pub verdict: Verdict,
    pub facts: Option<MediaFacts>,
}

/// What a recording is worth as media. The reason is a sentence for the person who owns the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    Good,
    /// Something plays, but less than the file promises, or with errors. Salvage is allowed, never silent.
    Damaged {
        reason: String,
    },
    /// Nothing here that we will decode: not media, no streams, encrypted, over a limit, a rare codec.
    Unsupported {
        reason: String,
    },
}

/// Technical facts, measured from the packets, not believed from the header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaFacts {
    /// The demuxer's name as ffprobe gives it, e.g. `mov,mp4,m4a,3gp,3g2,mj2` or `matroska,webm`.
    pub format: String,
    /// IANA media type, e.g. `video/mp4`: what `type:` in a policy matches.
    pub media_type: String,
    /// Milliseconds from the first to the end of the last packet, over all streams.
    pub duration_ms: u64,
    /// Milliseconds as the container claims; absent when it claims nothing (WebRTC's WebM).
    pub header_duration_ms: Option<u64>,
    /// Bits per second over the whole file.
    pub bit_rate: u64,
    pub streams: Vec<StreamFacts>,
    /// Creation time as written inside the file. Never trusted: shown, and never used for age.
    pub claimed_created: Option<String>,
    /// Title as written inside the file; inert text.
    pub claimed_title: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamFacts {
    /// The container's stream index (ffmpeg's `0:INDEX`).
    pub index: u32,
    pub kind: StreamKind,
    pub codec: String,
    pub profile: Option<String>,
    pub language: Option<String>,
    pub title: Option<String>,
    /// The container's "default" flag.
    pub default: bool,
    /// Milliseconds at which the first packet starts, relative to the earliest stream.
    pub start_ms: i64,
    /// Milliseconds from this stream's first packet to the end of its last.
    pub duration_ms: u64,
    /// Packets read.
    pub packets: u64,
    /// Bits per second, from the packets' sizes.
    pub bit_rate: u64,
    pub video: Option<VideoFacts>,
    pub audio: Option<AudioFacts>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StreamKind {
    Video,
    Audio,
    Subtitle,
    /// A picture attached to audio (ffprobe's `attached_pic`): not a video stream.
    CoverArt,
    Attachment,
    Data,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VideoFacts {
    /// Coded pixels, before rotation.
    pub width: u32,
    pub height: u32,
    /// Clockwise degrees to turn for display: 0, 90, 180, 270.
    pub rotation: u16,
    /// Sample aspect ratio.
    pub sar: (u32, u32),
    pub pixel_format: String,
    /// Bits per component.
    pub bit_depth: u8,
    pub dynamic: Dynamic,
    /// Average frames per second as a ratio; (0, 1) when unknown.
    pub frame_rate: (u32, u32),
    /// Packet intervals differ by more than a container's rounding does.
    pub variable_frame_rate: bool,
    pub interlaced: bool,
    /// The longest distance between key frames in milliseconds; absent with fewer than two key frames and
    /// a stream longer than a moment.
    pub keyframe_interval_ms: Option<u64>,
    /// Every frame of a GOP can be decoded without the one before.
    pub closed_gop: bool,
    /// The parameter sets (and so the picture's size) never change in mid-stream, as far as was seen.
    pub constant_resolution: bool,
    pub monotonic_dts: bool,
    /// No edit list, or one that only trims encoder delay.
    pub simple_edit_list: bool,
    /// The stream has an alpha plane.
    pub alpha: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dynamic {
    Sdr,
    /// SMPTE ST 2084 (HDR10, Dolby Vision base layers).
    Pq,
    /// ARIB STD-B67.
    Hlg,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudioFacts {
    /// Hertz.
    pub sample_rate: u32,
    pub channels: u16,
}

impl MediaFacts {
    pub fn video(&self) -> Option<&StreamFacts> {
        best(self.streams.iter().filter(|s| s.kind == StreamKind::Video))
    }
    /// All audio streams, in the container's order.
    pub fn audio(&self) -> impl Iterator<Item = &StreamFacts> {
        self.streams.iter().filter(|s| s.kind == StreamKind::Audio)
    }
    /// The audio stream a listener would get.
    pub fn main_audio(&self) -> Option<&StreamFacts> {
        best(self.audio())
    }
}

/// The container's default stream, else its first: the same choice on every run.
fn best<'a>(streams: impl Iterator<Item = &'a StreamFacts>) -> Option<&'a StreamFacts> {
    streams.min_by_key(|s| (!s.default, s.index))
}

impl VideoFacts {
    /// Width and height in square pixels as displayed: after rotation and sample aspect ratio.
    pub fn display_size(&self) -> (u32, u32) {
        let (num, den) = if self.sar.0 == 0 || self.sar.1 == 0 { (1, 1) } else { self.sar };
        let width = (u64::from(self.width) * u64::from(num) + u64::from(den) / 2) / u64::from(den);
        let width = u32::try_from(width).unwrap_or(u32::MAX).max(1);
        if self.rotation % 180 == 90 { (self.height, width) } else { (width, self.height) }
    }
}
