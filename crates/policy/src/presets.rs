use std::{collections::BTreeMap, sync::LazyLock};

use domain::{AudioCodec, AudioTarget, Container, Output, Preset, Sprite, VideoCodec, VideoTarget};
use serde::de::DeserializeOwned;
use serde_json::{Map, Number, Value as Json};

use crate::{
    check::{Check, Field, name_is_plain},
    problem::{clip, nearest},
    yaml::{self, Node, Value},
};

/// The presets that come with every library, by name.
pub(crate) fn shipped() -> &'static BTreeMap<String, Preset> {
    static SHIPPED: LazyLock<BTreeMap<String, Preset>> = LazyLock::new(|| {
        let text = include_str!("presets.yaml");
        let root = yaml::read(text).expect("tested: the shipped presets are YAML");
        let mut check = Check::new(text);
        let presets = each(&mut check, &root);
        check.finish().expect("tested: the shipped presets are right");
        presets
    });
    &SHIPPED
}

/// Reads a policy's own `presets:`.
pub(crate) fn read(check: &mut Check<'_>, node: &Node) -> BTreeMap<String, Preset> {
    let own = each(check, node);
    for field in check_names(node) {
        if shipped().contains_key(field.0) {
            check.problem(
                field.1.at,
                format!("`{}` is a shipped preset, the same for everybody; give yours another name", field.0),
            );
        }
    }
    own
}

fn check_names(node: &Node) -> Vec<(&str, &Node)> {
    let Value::Map(entries) = &node.value else { return Vec::new() };
    let named = entries.iter().filter_map(|(key, _)| match &key.value {
        Value::Scalar(text) => Some((text.as_str(), key)),
        _ => None,
    });
    named.collect()
}

fn each(check: &mut Check<'_>, node: &Node) -> BTreeMap<String, Preset> {
    let mut presets = BTreeMap::new();
    for field in check.entries(node, "`presets`").unwrap_or_default() {
        if !name_is_plain(field.name) {
            check.problem(
                field.at,
                format!(
                    "`{}` cannot name a preset: 1 to 40 of a-z, 0-9 and -, as it becomes part of file names",
                    clip(field.name)
                ),
            );
        }
        if let Some(output) = output(check, &field) {
            presets.insert(field.name.to_owned(), Preset { name: field.name.to_owned(), output });
        }
    }
    presets
}

fn output(check: &mut Check<'_>, preset: &Field<'_>) -> Option<Output> {
    let what = format!("preset `{}`", clip(preset.name));
    // The kind says which fields there are, so it is read before them.
    let entries = match &preset.value.value {
        Value::Map(entries) => entries.as_slice(),
        _ => &[],
    };
    let is_kind = |key: &Node| matches!(&key.value, Value::Scalar(text) if text == "kind");
    let Some((_, kind)) = entries.iter().find(|(key, _)| is_kind(key)) else {
        check.problem(preset.at, format!("{what} has no `kind`: video, audio, thumbnails or waveform"));
        return None;
    };
    let word = check.text(kind, "`kind`")?;
    let known = check.choice(kind.at, word, "kind of preset", KINDS)?;
    let fields = check.fields(preset.value, &what, known, &[])?;
    let part = |name: &str| fields.iter().find(|f| f.name == name);
    for name in known.iter().filter(|n| **n != "audio" || word == "audio") {
        if part(name).is_none() {
            check.problem(preset.at, format!("{what} has no `{name}`"));
        }
    }
    let container = |check: &mut Check<'_>| -> Option<Container> {
        let field = part("container")?;
        let text = check.text(field.value, "`container`")?;
        let choices: &[_] = if word == "video" { &VIDEO_CONTAINERS } else { &AUDIO_CONTAINERS };
        check.choice(field.value.at, text, "container", choices)
    };
    let video = |check: &mut Check<'_>| target::<VideoTarget>(check, part("video")?, VIDEO);
    let audio = |check: &mut Check<'_>| target::<AudioTarget>(check, part("audio")?, AUDIO);
    Some(match word {
        "video" => {
            let (container, video, audio) = (container(check), video(check), audio(check));
            let (container, video) = (container?, video?);
            if part("audio").is_some() && audio.is_none() {
                return None;
            }
            fits_video(check, part("video")?, container, &video);
            if let (Some(field), Some(audio)) = (part("audio"), &audio) {
                fits_audio(check, field, container, audio);
            }
            Output::Video { container, video, audio }
        }
        "audio" => {
            let (container, audio) = (container(check), audio(check));
            let (container, audio) = (container?, audio?);
            fits_audio(check, part("audio")?, container, &audio);
            Output::Audio { container, audio }
        }
        "thumbnails" => {
            let poster_width = part("poster_width").and_then(|f| pixels(check, f, 16, 4096));
            let sprite = part("sprite").and_then(|f| target::<Sprite>(check, f, SPRITE).map(|s| (f, s)));
            let (field, sprite) = sprite?;
            let rows = sprite.max_tiles.div_ceil(sprite.columns.max(1));
            // JPEG and most decoders end at 16,384 pixels; a portrait tile is about twice as high as wide.
            if sprite.columns * sprite.tile_width > 16_384 || rows * sprite.tile_width > 8_192 {
                check.problem(
                    field.at,
                    "the sprite would be larger than 16384 pixels: fewer or smaller tiles",
                );
            }
            Output::Thumbnails { poster_width: poster_width?, sprite }
        }
        _ => {
            let width = part("width").and_then(|f| pixels(check, f, 16, 10_000));
            let height = part("height").and_then(|f| pixels(check, f, 16, 4_000));
            Output::Waveform { width: width?, height: height? }
        }
    })
}

pub(crate) const KINDS: &[(&str, &[&str])] = &[
    ("video", &["audio", "container", "kind", "video"]),
    ("audio", &["audio", "container", "kind"]),
    ("thumbnails", &["kind", "poster_width", "sprite"]),
    ("waveform", &["height", "kind", "width"]),
];
pub(crate) const VIDEO_CONTAINERS: [(&str, Container); 3] =
    [("mp4", Container::Mp4), ("webm", Container::Webm), ("mkv", Container::Mkv)];
pub(crate) const AUDIO_CONTAINERS: [(&str, Container); 5] = [
    ("m4a", Container::M4a),
    ("mp3", Container::Mp3),
    ("wav", Container::Wav),
    ("ogg", Container::Ogg),
    ("flac", Container::Flac),
];

/// A part's fields: the name, and the numbers it may have (none: a word).
pub(crate) type Fields = &'static [(&'static str, Option<(u64, u64)>)];
pub(crate) const VIDEO: Fields = &[
    ("codec", None),
    ("short_side", Some((16, 4320))),
    ("max_fps", Some((1, 120))),
    ("crf", Some((0, 63))),
    ("speed", None),
    // Above 20 seconds seeking suffers, and a copied stream would not be accepted either.
    ("keyframe_seconds", Some((1, 20))),
    ("max_kbps", Some((50, 200_000))),
];
pub(crate) const AUDIO: Fields = &[("codec", None), ("kbps", Some((8, 512))), ("max_channels", Some((1, 8)))];
pub(crate) const SPRITE: Fields = &[
    ("tile_width", Some((16, 640))),
    ("columns", Some((1, 100))),
    ("max_tiles", Some((1, 2000))),
    ("min_interval_seconds", Some((1, 3600))),
];

/// A part of a preset, through `domain`'s own reading: its defaults and words are said in one place only.
fn target<T: DeserializeOwned>(check: &mut Check<'_>, part: &Field<'_>, known: Fields) -> Option<T> {
    let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
    let what = format!("`{}`", part.name);
    let fields = check.fields(part.value, &what, &names, &[])?;
    let mut json = Map::new();
    let mut right = true;
    for field in &fields {
        let limits = known.iter().find(|(name, _)| *name == field.name).and_then(|(_, limits)| *limits);
        let value = match limits {
            Some((min, max)) => number(check, field, min, max).map(|n| Json::Number(Number::from(n))),
            None => check.text(field.value, &format!("`{}`", field.name)).map(|t| Json::String(t.to_owned())),
        };
        match value {
            Some(value) => {
                json.insert(field.name.to_owned(), value);
            }
            None => right = false,
        }
    }
    if !right {
        return None;
    }
    serde_json::from_value(Json::Object(json))
        .map_err(|error| {
            let message = error.to_string();
            // serde names the value that it did not know: point at it and not at the whole part.
            let culprit = fields.iter().find(|f| match &f.value.value {
                Value::Scalar(text) => message.contains(&format!("variant `{text}`")),
                _ => false,
            });
            match culprit {
                Some(field) => {
                    let expected: Vec<&str> = message.split('`').skip(3).step_by(2).collect();
                    let word = field.value.what().replace('`', "");
                    let message = format!("unknown {} `{word}`{}", field.name, nearest(&word, &expected));
                    check.problem(field.value.at, message);
                }
                None => check.problem(part.at, format!("{what}: {message}")),
            }
        })
        .ok()
}

fn number(check: &mut Check<'_>, field: &Field<'_>, min: u64, max: u64) -> Option<u64> {
    check.value(field.value, &format!("`{}`", field.name), |text| {
        let n = crate::units::count(text)?;
        if (min..=max).contains(&n) { Ok(n) } else { Err(format!("{n} is not between {min} and {max}")) }
    })
}

fn pixels(check: &mut Check<'_>, field: &Field<'_>, min: u64, max: u64) -> Option<u32> {
    number(check, field, min, max).and_then(|n| u32::try_from(n).ok())
}

/// What the containers hold: MP4 and M4A what every player expects in them, WebM what its specification allows.
fn fits_video(check: &mut Check<'_>, field: &Field<'_>, container: Container, video: &VideoTarget) {
    let fits = match container {
        Container::Mp4 => video.codec == VideoCodec::H264,
        Container::Webm => video.codec == VideoCodec::Vp9,
        _ => true,
    };
    if !fits {
        let message = format!("{} does not hold {}", container.extension(), json_word(&video.codec));
        check.problem(field.at, message);
    }
    if video.codec == VideoCodec::H264 && video.crf > 51 {
        check.problem(field.at, "`crf` of h264 is between 0 and 51");
    }
    let speeds: &[&str] = match video.codec {
        VideoCodec::H264 => X264_SPEEDS,
        VideoCodec::Vp9 => VP9_SPEEDS,
    };
    if let Some(speed) = &video.speed
        && !speeds.contains(&speed.as_str())
    {
        check.problem(field.at, format!("unknown speed `{}`{}", clip(speed), nearest(speed, speeds)));
    }
}

const X264_SPEEDS: &[&str] =
    &["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow"];
const VP9_SPEEDS: &[&str] = &["0", "1", "2", "3", "4", "5", "6", "7", "8"];

fn fits_audio(check: &mut Check<'_>, field: &Field<'_>, container: Container, audio: &AudioTarget) {
    use AudioCodec::{Aac, Flac, Mp3, Opus, Pcm};
    let holds: &[AudioCodec] = match container {
        Container::Mp4 | Container::M4a => &[Aac],
        Container::Webm => &[Opus],
        Container::Mkv => &[Aac, Opus, Mp3, Pcm, Flac],
        Container::Mp3 => &[Mp3],
        Container::Wav => &[Pcm],
        Container::Ogg => &[Opus, Flac],
        Container::Flac => &[Flac],
    };
    if !holds.contains(&audio.codec) {
        let words: Vec<String> = holds.iter().map(json_word).collect();
        let message = format!(
            "{} does not hold {}; it holds {}",
            container.extension(),
            json_word(&audio.codec),
            words.join(", ")
        );
        check.problem(field.at, message);
    }
    if audio.codec == Mp3 && audio.max_channels > 2 {
        check.problem(field.at, "mp3 has at most 2 channels");
    }
}

/// A codec as the file spells it.
fn json_word(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_presets_are_right() {
        let names: Vec<&str> = shipped().keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "audio-m4a",
                "audio-mp3",
                "audio-wav",
                "mp4-1080p",
                "mp4-480p",
                "mp4-720p",
                "thumbnails",
                "waveform",
                "webm-vp9"
            ]
        );
    }
}
