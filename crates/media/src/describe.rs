//! ffprobe's JSON, as far as we use it. Unknown fields are tolerated: every version adds some.

use std::collections::BTreeMap;

use serde::Deserialize;

use domain::StreamKind;

#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Description {
    #[serde(default)]
    pub streams: Vec<Stream>,
    #[serde(default)]
    pub format: Format,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Format {
    pub format_name: String,
    pub start_time: Option<String>,
    pub duration: Option<String>,
    pub tags: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Stream {
    pub index: u32,
    pub codec_name: Option<String>,
    pub codec_type: Option<String>,
    pub codec_tag_string: Option<String>,
    pub profile: Option<String>,
    pub width: u32,
    pub height: u32,
    pub sample_aspect_ratio: Option<String>,
    pub pix_fmt: Option<String>,
    pub bits_per_raw_sample: Option<String>,
    pub color_transfer: Option<String>,
    pub field_order: Option<String>,
    pub avg_frame_rate: Option<String>,
    pub r_frame_rate: Option<String>,
    pub sample_rate: Option<String>,
    pub start_time: Option<String>,
    pub duration: Option<String>,
    /// Where all of them were read.
    pub nb_read_packets: Option<String>,
    pub channels: u16,
    pub disposition: BTreeMap<String, i64>,
    pub tags: BTreeMap<String, String>,
    pub side_data_list: Vec<SideData>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct SideData {
    pub side_data_type: String,
    /// Degrees counter-clockwise, of a display matrix.
    pub rotation: Option<f64>,
    pub dv_profile: Option<u32>,
}

/// Characters kept of any text from inside a file.
const MAX_TEXT: usize = 200;

impl Description {
    /// ffprobe's text for tags may hold anything; broken UTF-8 becomes U+FFFD.
    pub fn parse(json: &[u8]) -> Option<Description> {
        serde_json::from_str(&String::from_utf8_lossy(json)).ok()
    }
}

impl Format {
    pub fn tag(&self, name: &str) -> Option<String> {
        tag(&self.tags, name)
    }

    /// Milliseconds as the container claims.
    pub fn duration_ms(&self) -> Option<u64> {
        let micros = micros(self.duration.as_deref()?)?;
        u64::try_from(micros).ok().filter(|us| *us > 0).map(|us| us / 1000)
    }
}

impl Stream {
    pub fn kind(&self) -> StreamKind {
        let flag = |name: &str| self.disposition.get(name).is_some_and(|v| *v != 0);
        match self.codec_type.as_deref() {
            // What has no decoder here cannot be used as media (the spatial audio track beside the AAC of newer
            // iPhones): it is data to us.
            Some("video" | "audio") if self.codec().is_none() => StreamKind::Data,
            Some("video") if flag("attached_pic") || flag("timed_thumbnails") => StreamKind::CoverArt,
            Some("video") => StreamKind::Video,
            Some("audio") => StreamKind::Audio,
            Some("subtitle") => StreamKind::Subtitle,
            Some("attachment") => StreamKind::Attachment,
            _ => StreamKind::Data,
        }
    }

    /// ffmpeg's name of the codec.
    pub fn codec(&self) -> Option<&str> {
        self.codec_name.as_deref().filter(|name| !name.is_empty() && *name != "unknown")
    }

    pub fn is_default(&self) -> bool {
        self.disposition.get("default").is_some_and(|v| *v != 0)
    }

    pub fn tag(&self, name: &str) -> Option<String> {
        tag(&self.tags, name)
    }

    pub fn pixels(&self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }
}

/// Tags differ in case between containers (`title`, `TITLE`, `alpha_mode`, `ALPHA_MODE`).
fn tag(tags: &BTreeMap<String, String>, name: &str) -> Option<String> {
    tags.iter()
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| inert(value))
        .filter(|v| !v.is_empty())
}

/// One line without control characters and without those that reorder or hide text, of bounded length.
pub(crate) fn inert(text: &str) -> String {
    let kept = |c: &char| {
        !c.is_control()
            && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
    };
    let spaced = text.chars().map(|c| if matches!(c, '\n' | '\r' | '\t') { ' ' } else { c });
    spaced.filter(kept).take(MAX_TEXT).collect::<String>().trim().to_owned()
}

/// `30000/1001` or `4:3`, both parts above zero.
pub(crate) fn ratio(text: Option<&str>) -> Option<(u32, u32)> {
    let (num, den) = text?.split_once(['/', ':'])?;
    let (num, den) = (num.parse().ok()?, den.parse().ok()?);
    (num > 0 && den > 0).then_some((num, den))
}

/// ffprobe's decimal seconds (`-1.234567`) in microseconds; `N/A` is none.
pub(crate) fn micros(text: &str) -> Option<i64> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let whole: i64 = whole.parse().ok()?;
    let mut micros = 0i64;
    for place in 0..6 {
        let digit = fraction.as_bytes().get(place).copied().unwrap_or(b'0');
        micros = micros * 10 + i64::from(digit.is_ascii_digit().then(|| digit - b'0')?);
    }
    let value = whole.checked_mul(1_000_000)?.checked_add(micros)?;
    Some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_become_microseconds() {
        assert_eq!(micros("1.5"), Some(1_500_000));
        assert_eq!(micros("-0.023220"), Some(-23_220));
        assert_eq!(micros("86400.000000"), Some(86_400_000_000));
        assert_eq!(micros("N/A"), None);
        assert_eq!(micros("99999999999999999999"), None);
        assert_eq!(micros("9223372036854775807.0"), None);
    }

    #[test]
    fn text_from_inside_a_file_is_inert() {
        assert_eq!(inert("a\u{1b}[31mred\u{202e}gpj\r\nb"), "a[31mredgpj  b");
        assert_eq!(inert(&"x".repeat(10_000)).len(), MAX_TEXT);
    }

    #[test]
    fn what_has_no_decoder_is_data() {
        let json = br#"{"streams":[
            {"index":0,"codec_type":"video","codec_name":"mjpeg","disposition":{"attached_pic":1}},
            {"index":1,"codec_type":"audio","codec_tag_string":"apac"},
            {"index":2,"codec_type":"audio","codec_name":"aac","new_field":{"of":"ffmpeg 9"}}]}"#;
        let description = Description::parse(json).expect("it is JSON");
        let kinds: Vec<_> = description.streams.iter().map(Stream::kind).collect();
        assert_eq!(kinds, [StreamKind::CoverArt, StreamKind::Data, StreamKind::Audio]);
    }
}
