use serde::{Deserialize, Serialize};

/// A named description of an output, as in a policy's `presets:`; the shipped ones are data of the same shape.
///
/// A job carries the whole preset, not its name: a preset that changes is another cause, hence another job.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Preset {
    pub name: String,
    #[serde(flatten)]
    pub output: Output,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Output {
    Video {
        container: Container,
        video: VideoTarget,
        /// Absent: a silent output. A source without audio gives a silent output either way.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        audio: Option<AudioTarget>,
    },
    Audio {
        container: Container,
        audio: AudioTarget,
    },
    /// A poster, a sprite sheet and the WebVTT that maps time to tiles.
    Thumbnails {
        /// Pixels; never enlarged.
        poster_width: u32,
        sprite: Sprite,
    },
    /// A picture of the audio's envelope.
    Waveform {
        /// Pixels.
        width: u32,
        height: u32,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Container {
    Mp4,
    Webm,
    Mkv,
    M4a,
    Mp3,
    Wav,
    Ogg,
    Flac,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VideoTarget {
    pub codec: VideoCodec,
    /// Pixels of the shorter side as displayed ("720p" is 720 also for portrait); never enlarged.
    pub short_side: u32,
    /// Frames per second at most; a variable rate becomes constant.
    #[serde(default = "fps")]
    pub max_fps: u32,
    /// The encoder's constant rate factor.
    pub crf: u32,
    /// The encoder's own speed word (x264: `veryfast` .. `slow`; vp9: its `-cpu-used` number).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speed: Option<String>,
    /// Seconds between key frames.
    #[serde(default = "keyframe_seconds")]
    pub keyframe_seconds: u32,
    /// Kilobits per second; peaks are held below by the encoder's VBV.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_kbps: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VideoCodec {
    H264,
    Vp9,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AudioTarget {
    pub codec: AudioCodec,
    /// Kilobits per second; ignored by lossless codecs.
    #[serde(default = "audio_kbps")]
    pub kbps: u32,
    /// Channels at most; more are mixed down.
    #[serde(default = "channels")]
    pub max_channels: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AudioCodec {
    Aac,
    Opus,
    Mp3,
    Pcm,
    Flac,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sprite {
    /// Pixels.
    pub tile_width: u32,
    pub columns: u32,
    /// Tiles at most over the whole recording; they are spread evenly.
    pub max_tiles: u32,
    /// Seconds between tiles at least.
    pub min_interval_seconds: u32,
}

fn fps() -> u32 {
    60
}
fn keyframe_seconds() -> u32 {
    2
}
fn audio_kbps() -> u32 {
    128
}
fn channels() -> u16 {
    2
}

impl Container {
    /// The file name's extension, without the dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Mp4 => "mp4",
            Self::Webm => "webm",
            Self::Mkv => "mkv",
            Self::M4a => "m4a",
            Self::Mp3 => "mp3",
            Self::Wav => "wav",
            Self::Ogg => "ogg",
            Self::Flac => "flac",
        }
    }
}
