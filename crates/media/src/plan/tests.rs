use domain::{AudioCodec, Container, Dynamic, MediaFacts, Preset, StreamKind, VideoFacts};

use super::samples::{audio, facts, mp4, sound, video, webm};
use super::*;
use crate::argv::shown;
use crate::convert;

const GOOD: Given<'_> = Given { damaged: false, tonemap: true, no_copy: None };

fn line(facts: &MediaFacts, preset: &Preset, given: Given<'_>) -> String {
    let plan = plan(facts, preset, given).unwrap();
    let choices: Vec<_> =
        plan.choices().iter().map(|c| format!("# {}: {} ({})", c.stream, c.how, c.why)).collect();
    let args = convert::argv(&plan, None, false, &format!("main.{}", plan.container.extension())).unwrap();
    format!("{}\n{}", shown(&args), choices.join("\n"))
}

fn with(change: impl FnOnce(&mut VideoFacts)) -> MediaFacts {
    let mut facts = facts();
    change(facts.streams[0].video.as_mut().unwrap());
    facts
}

fn how_of(facts: &MediaFacts, preset: &Preset) -> (String, String) {
    let plan = plan(facts, preset, GOOD).unwrap();
    let choice = plan.choices().into_iter().find(|c| c.stream == 0).unwrap();
    (choice.how, choice.why)
}

#[test]
fn whole_command_lines() {
    insta::assert_snapshot!("copy", line(&facts(), &mp4(720), GOOD));
    insta::assert_snapshot!("scale", line(&facts(), &mp4(480), GOOD));
    insta::assert_snapshot!("webm_vp9", line(&facts(), &webm(), GOOD));
    insta::assert_snapshot!("damaged", line(&facts(), &mp4(720), Given { damaged: true, ..GOOD }));
    insta::assert_snapshot!("m4a", line(&facts(), &sound(Container::M4a, AudioCodec::Aac), GOOD));
    insta::assert_snapshot!("mp3", line(&facts(), &sound(Container::Mp3, AudioCodec::Mp3), GOOD));
    insta::assert_snapshot!("wav", line(&facts(), &sound(Container::Wav, AudioCodec::Pcm), GOOD));
    let hdr = with(|v| {
        (v.dynamic, v.bit_depth, v.pixel_format) = (Dynamic::Pq, 10, "yuv420p10le".into());
    });
    insta::assert_snapshot!("hdr", line(&hdr, &mp4(480), GOOD));
    let interlaced = with(|v| (v.interlaced, v.sar) = (true, (16, 11)));
    insta::assert_snapshot!("interlaced_anamorphic", line(&interlaced, &mp4(720), GOOD));
}

/// VP8 with a variable rate, no duration, and a picture that may change its size: the normal case.
#[test]
fn a_webrtc_recording() {
    let mut facts = facts();
    facts.header_duration_ms = None;
    facts.streams[0].codec = "vp8".into();
    facts.streams[1].codec = "opus".into();
    let video = facts.streams[0].video.as_mut().unwrap();
    (video.variable_frame_rate, video.frame_rate, video.constant_resolution) = (true, (2731, 100), false);
    insta::assert_snapshot!("webrtc", line(&facts, &mp4(720), GOOD));
}

#[test]
fn with_a_thread_limit_decoder_and_encoder_are_told() {
    let plan = plan(&facts(), &mp4(480), GOOD).unwrap();
    insta::assert_snapshot!("threads", shown(&convert::argv(&plan, Some(2), false, "main.mp4").unwrap()));
}

/// Of an output that is taken while it grows nothing may be moved: its index stays where it comes, last.
#[test]
fn a_followed_output_is_written_from_its_beginning_to_its_end() {
    for (container, codec) in [(Container::M4a, AudioCodec::Aac), (Container::Wav, AudioCodec::Pcm)] {
        let plan = plan(&facts(), &sound(container, codec), GOOD).unwrap();
        let [alone, followed] =
            [false, true].map(|followed| convert::argv(&plan, None, followed, "x").unwrap());
        let moves = |args: &[String]| args.iter().any(|arg| arg == "+faststart");
        assert_eq!((moves(&alone), moves(&followed)), (container == Container::M4a, false));
        let rest: Vec<_> = alone.into_iter().filter(|a| a != "-movflags" && a != "+faststart").collect();
        assert_eq!(rest, followed);
    }
}

/// Each of the conditions for a copy, when it does not hold, is the reason for encoding.
#[test]
fn every_condition_for_a_copy_is_asked() {
    assert_eq!(how_of(&facts(), &mp4(720)).0, "copy");
    type Change = fn(&mut VideoFacts);
    let cases: [(Change, &str); 13] = [
        (|v| v.dynamic = Dynamic::Hlg, "HDR becomes SDR"),
        (|v| v.alpha = true, "it has transparency, which is flattened"),
        (|v| v.bit_depth = 10, "yuv420p is not 8-bit 4:2:0"),
        (|v| v.pixel_format = "yuv444p".into(), "yuv444p is not 8-bit 4:2:0"),
        (|v| v.interlaced = true, "it is interlaced"),
        (|v| (v.width, v.height) = (1920, 1080), "1920x1080 is larger than 720p"),
        (|v| v.frame_rate = (120, 1), "120.00 frames a second are more than 60"),
        (|v| v.constant_resolution = false, "its picture size changes in mid-stream"),
        (|v| v.closed_gop = false, "its GOPs are open"),
        (|v| v.keyframe_interval_ms = Some(20_000), "its key frames are 20.0 s apart"),
        (|v| v.monotonic_dts = false, "its decode times go backwards"),
        (|v| v.simple_edit_list = false, "it has an edit list"),
        (|v| v.sar = (3, 1), "fits"),
    ];
    for (change, why) in cases {
        let (how, said) = how_of(&with(change), &mp4(720));
        if why == "fits" {
            assert_eq!(how, "copy");
        } else {
            assert_eq!((how.as_str(), said.as_str()), ("libx264", why));
        }
    }
    let mut long = facts();
    (long.streams[0].duration_ms, long.streams[0].video.as_mut().unwrap().keyframe_interval_ms) =
        (60_000, None);
    assert_eq!(how_of(&long, &mp4(720)).1, "its key frames are 60.0 s apart");
    let mut capped = mp4(720);
    if let Output::Video { video, .. } = &mut capped.output {
        video.max_kbps = Some(1500);
    }
    assert_eq!(how_of(&facts(), &capped).1, "2000 kb/s are more than 1500");
}

/// Copying keeps the rotation tag, which mp4 players follow; ladder sizes are those after rotation.
#[test]
fn rotation_decides_with_the_picture_as_shown() {
    let turned = with(|v| v.rotation = 90);
    assert_eq!(how_of(&turned, &mp4(720)).0, "copy");
    let plan = plan(&turned, &mp4(480), GOOD).unwrap();
    assert_eq!(plan.video.unwrap().size, (480, 854));
}

#[test]
fn a_variable_frame_rate_is_no_reason_to_encode() {
    assert_eq!(how_of(&with(|v| v.variable_frame_rate = true), &mp4(720)).0, "copy");
}

/// One audio stream is kept, the container's default; the others, cover art, subtitles and data are named as left out.
#[test]
fn what_is_left_out_is_said() {
    let mut facts = facts();
    let mut add = |index, kind, default| {
        let mut stream = audio();
        (stream.index, stream.kind, stream.default) = (index, kind, default);
        facts.streams.push(stream);
    };
    add(2, StreamKind::Audio, true);
    add(3, StreamKind::CoverArt, false);
    add(4, StreamKind::Subtitle, false);
    add(5, StreamKind::Data, false);
    facts.streams[1].default = false;
    insta::assert_snapshot!("left_out", line(&facts, &mp4(720), GOOD));
}

#[test]
fn a_source_without_the_wanted_kind_is_refused_or_made_of_the_rest() {
    let mut silent = facts();
    silent.streams.truncate(1);
    assert!(plan(&silent, &mp4(720), GOOD).unwrap().audio.is_none());
    let refused = plan(&silent, &sound(Container::Mp3, AudioCodec::Mp3), GOOD).unwrap_err();
    assert!(refused.message.contains("no audio"), "{refused}");
    let mut sound_only = facts();
    sound_only.streams.remove(0);
    assert!(plan(&sound_only, &mp4(720), GOOD).unwrap().video.is_none());
}

/// Audio is decided by itself: gaps, channels and bit rate are reasons to encode it, also beside copied video.
#[test]
fn audio_is_decided_separately() {
    let audio_of = |change: fn(&mut StreamFacts)| {
        let mut facts = facts();
        change(&mut facts.streams[1]);
        let plan = plan(&facts, &mp4(720), GOOD).unwrap();
        assert_eq!(plan.video.as_ref().unwrap().how, How::Copy);
        plan.audio.unwrap().why
    };
    assert_eq!(audio_of(|_| ()), "fits as it is: aac, 128 kb/s");
    assert_eq!(audio_of(|s| s.packets = 329), "it has gaps, which are filled with silence");
    assert_eq!(audio_of(|s| s.bit_rate = 320_000), "320 kb/s are more than 128");
    assert_eq!(audio_of(|s| s.audio.as_mut().unwrap().channels = 6), "6 channels are more than 2");
    assert_eq!(audio_of(|s| s.codec = "opus".into()), "opus is not aac");
}

/// The fallback after a failed copy copies nothing, and says why.
#[test]
fn after_a_failed_copy_everything_is_encoded() {
    let why = "a copy failed its check: its video lasts 2.0 s where the recording lasts 4.0 s";
    let plan = plan(&facts(), &mp4(720), Given { no_copy: Some(why), ..GOOD }).unwrap();
    assert!(!plan.copies());
    assert_eq!(plan.choices()[0].why, why);
}

/// The sizes of an output are those of its source where nothing is too large, and even.
#[test]
fn the_smallest_picture_becomes_two_by_two() {
    let tiny = with(|v| (v.width, v.height, v.pixel_format) = (1, 1, "yuv444p".into()));
    let plan = plan(&tiny, &mp4(720), GOOD).unwrap();
    assert_eq!(plan.video.unwrap().size, (2, 2));
    let _ = video();
}
