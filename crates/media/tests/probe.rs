//! What probing finds in media as recorders write it.

mod common;

use std::path::Path;

use common::{PICTURE, TONE, changed, ffmpeg, made, plain, run};
use domain::{MediaFacts, Probe, StreamKind, Verdict};
use media::{Check, Tools};
use sandbox::{Layer, Sandbox};

fn tools() -> Tools {
    let sandbox = Sandbox::new(&Layer::ALL).expect("a sandbox of what this machine has");
    Tools::new(sandbox, None, None, None).expect("ffmpeg is installed")
}

async fn probe(source: &Path) -> Probe {
    let work = tempfile::tempdir().expect("a temporary directory");
    tools().probe(work.path(), source).await.expect("no trouble of our own")
}

async fn good(source: &Path) -> MediaFacts {
    let probe = probe(source).await;
    assert_eq!(probe.verdict, Verdict::Good, "{}", source.display());
    probe.facts.expect("facts of a good recording")
}

async fn damage(source: &Path) -> String {
    match probe(source).await.verdict {
        Verdict::Damaged { reason } => reason,
        other => panic!("{}: {other:?}", source.display()),
    }
}

#[tokio::test]
async fn a_plain_recording_is_good_and_its_facts_are_complete() {
    let facts = good(&plain()).await;
    assert_eq!(facts.media_type, "video/mp4");
    assert!((3990..=4050).contains(&facts.duration_ms), "{}", facts.duration_ms);
    assert_eq!(facts.header_duration_ms, Some(4000));
    let stream = facts.video().expect("video");
    assert_eq!(
        (stream.codec.as_str(), stream.packets, stream.duration_ms, stream.start_ms),
        ("h264", 100, 4000, 0)
    );
    let video = stream.video.as_ref().expect("video facts");
    assert_eq!((video.width, video.height, video.frame_rate, video.bit_depth), (320, 240, (25, 1), 8));
    assert_eq!(video.keyframe_interval_ms, Some(2000));
    assert!(video.closed_gop && video.constant_resolution && video.monotonic_dts && video.simple_edit_list);
    assert!(!video.variable_frame_rate && !video.interlaced && !video.alpha);
    let audio = facts.main_audio().and_then(|s| s.audio.as_ref()).expect("audio facts");
    assert_eq!((audio.sample_rate, audio.channels), (44100, 1));
}

#[tokio::test]
async fn webm_as_a_browser_records_it_has_no_duration_and_is_measured() {
    // `-live` writes no duration, no cues, and clusters of unknown size, as MediaRecorder does.
    let webm = ffmpeg(
        "live.webm",
        &format!("{PICTURE} {TONE} -c:v libvpx -deadline realtime -cpu-used 8 -c:a libopus -f webm -live 1"),
    );
    let facts = good(&webm).await;
    assert_eq!((facts.media_type.as_str(), facts.header_duration_ms), ("video/webm", None));
    assert!((3950..=4100).contains(&facts.duration_ms), "{}", facts.duration_ms);
}

#[tokio::test]
async fn rotation_is_read_from_the_display_matrix() {
    // The identity matrix of the video track's header becomes 90 degrees clockwise.
    let unit = [0u8, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0];
    let turned = [0u8, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0, 0, 0];
    let file = changed("turned.mp4", &plain(), |mut bytes| {
        let track = find(&bytes, b"tkhd", 0);
        let at = find(&bytes, &unit, track);
        bytes[at..at + unit.len()].copy_from_slice(&turned);
        bytes
    });
    let facts = good(&file).await;
    let video = facts.video().and_then(|s| s.video.as_ref()).expect("video facts");
    assert_eq!((video.rotation, video.display_size()), (90, (240, 320)));
}

#[tokio::test]
async fn odd_sizes_ten_bits_and_alpha_are_facts() {
    let odd = "-f lavfi -i testsrc=size=161x121:rate=25:duration=1 -deadline realtime -cpu-used 8";
    let plain = good(&ffmpeg("odd.webm", &format!("{odd} -pix_fmt yuv420p -c:v libvpx-vp9"))).await;
    let video = plain.video().and_then(|s| s.video.as_ref()).expect("video facts");
    assert_eq!((video.width, video.height, video.alpha), (161, 121, false));
    let alpha = good(&ffmpeg("alpha.webm", &format!("{odd} -pix_fmt yuva420p -c:v libvpx-vp9"))).await;
    assert!(alpha.video().and_then(|s| s.video.as_ref()).expect("video facts").alpha);
    let ten =
        good(&ffmpeg("ten.mkv", &format!("{PICTURE} -pix_fmt yuv420p10le -c:v libx264 -preset ultrafast")))
            .await;
    let video = ten.video().and_then(|s| s.video.as_ref()).expect("video facts");
    assert_eq!((video.bit_depth, ten.media_type.as_str()), (10, "video/x-matroska"));
}

#[tokio::test]
async fn a_variable_frame_rate_and_an_open_gop_are_seen_in_the_packets() {
    let vfr = ffmpeg(
        "vfr.mp4",
        &format!("{PICTURE} -vf select=lt(t\\,2)+not(mod(n\\,4)) -vsync vfr -c:v libx264 -preset ultrafast"),
    );
    assert!(
        good(&vfr).await.video().and_then(|s| s.video.as_ref()).expect("video facts").variable_frame_rate
    );
    let open =
        ffmpeg("open.mp4", &format!("{PICTURE} -c:v libx264 -bf 2 -g 25 -x264-params open-gop=1:scenecut=0"));
    assert!(!good(&open).await.video().and_then(|s| s.video.as_ref()).expect("video facts").closed_gop);
}

#[tokio::test]
async fn a_change_of_size_in_mid_stream_is_seen() {
    let part = |name: &str, size: &str| {
        ffmpeg(
            name,
            &format!("-f lavfi -i testsrc2=size={size}:rate=25:duration=1 -c:v libx264 -preset ultrafast"),
        )
    };
    let parts = [part("small.ts", "320x240"), part("large.ts", "640x480")];
    let file = made("sizes.ts", |path| {
        let bytes: Vec<u8> = parts.iter().flat_map(|part| std::fs::read(part).expect("made")).collect();
        std::fs::write(path, bytes).expect("target is writable");
    });
    let facts = match probe(&file).await {
        Probe { facts: Some(facts), .. } => facts,
        other => panic!("{other:?}"),
    };
    assert!(!facts.video().and_then(|s| s.video.as_ref()).expect("video facts").constant_resolution);
}

#[tokio::test]
async fn a_hole_in_opus_is_no_damage() {
    // Ten seconds on the clock of which seven were sent, as a participant's mute or loss leaves it.
    let hole = ffmpeg(
        "hole.webm",
        "-f lavfi -i sine=frequency=440:duration=10 -c:a libopus -bsf:a noise=drop=between(n\\,200\\,349)",
    );
    let facts = good(&hole).await;
    assert!((9_900..=10_100).contains(&facts.duration_ms), "{}", facts.duration_ms);
}

#[tokio::test]
async fn cover_art_is_not_video() {
    let cover = ffmpeg("cover.png", "-f lavfi -i color=red:size=64x64 -frames:v 1");
    let song = made("cover.mp3", |path| {
        run(
            &format!(
                "{TONE} -i {} -map 0 -map 1 -c:v copy -c:a libmp3lame -disposition:v attached_pic",
                cover.display()
            ),
            path,
        );
    });
    let facts = good(&song).await;
    assert_eq!(facts.media_type, "audio/mpeg");
    assert!(facts.video().is_none());
    assert!(facts.streams.iter().any(|s| s.kind == StreamKind::CoverArt));
}

#[tokio::test]
async fn a_truncated_recording_is_damaged_although_ffmpeg_says_exit_0() {
    let cut = changed("cut.mp4", &plain(), |bytes| bytes[..bytes.len() * 6 / 10].to_vec());
    let reason = damage(&cut).await;
    assert!(
        reason.starts_with("holds ") && reason.ends_with(" of the 4.0 s that its header promises"),
        "{reason}"
    );
    // Two bytes are enough: the last sample is not whole.
    let nicked = changed("nicked.mp4", &plain(), |bytes| bytes[..bytes.len() - 2].to_vec());
    assert!(damage(&nicked).await.starts_with("it is cut: 1 of its"));
}

#[tokio::test]
async fn a_recording_whose_index_was_never_written_is_damaged() {
    let late = ffmpeg("late.mp4", &format!("{PICTURE} -c:v libx264 -preset ultrafast"));
    let cut = changed("late-cut.mp4", &late, |bytes| bytes[..bytes.len() / 2].to_vec());
    assert_eq!(damage(&cut).await, "its index (moov) is missing: the recorder did not finish the file");
}

#[tokio::test]
async fn a_cut_fragment_and_a_cut_matroska_segment_are_damaged() {
    let fragments = ffmpeg(
        "fragments.mp4",
        &format!(
            "{PICTURE} -c:v libx264 -preset ultrafast -g 25 -movflags frag_keyframe+empty_moov+default_base_moof"
        ),
    );
    good(&fragments).await;
    let cut = changed("fragments-cut.mp4", &fragments, |bytes| {
        let fragment = find(&bytes, b"moof", bytes.len() / 2);
        bytes[..fragment + 2000].to_vec()
    });
    assert!(damage(&cut).await.contains("in the middle of a fragment"));
    let mkv = ffmpeg("plain.mkv", &format!("{PICTURE} -c:v libx264 -preset ultrafast"));
    let cut = changed("cut.mkv", &mkv, |bytes| bytes[..bytes.len() * 9 / 10].to_vec());
    damage(&cut).await;
}

#[tokio::test]
async fn bytes_destroyed_in_the_middle_are_found_by_counting_pictures() {
    let file = ffmpeg(
        "long.mp4",
        "-f lavfi -i testsrc2=size=320x240:rate=25:duration=8 -c:v libx264 -preset ultrafast -g 25",
    );
    let broken = changed("destroyed.mp4", &file, |mut bytes| {
        let middle = bytes.len() / 2;
        bytes[middle - 60_000..middle + 60_000].fill(0);
        bytes
    });
    let reason = damage(&broken).await;
    assert!(
        reason.starts_with("video stream 0 (h264) decodes to ") && reason.ends_with(" pictures of 200"),
        "{reason}"
    );
    // Without a decode check nothing shows: the packets are all there.
    let work = tempfile::tempdir().expect("a temporary directory");
    let unchecked =
        tools().with_check(Check::None).probe(work.path(), &broken).await.expect("no trouble of our own");
    assert_eq!(unchecked.verdict, Verdict::Good);
}

#[tokio::test]
async fn a_long_recording_is_checked_in_windows_that_may_begin_in_the_middle_of_a_gop() {
    let long = ffmpeg(
        "windows.ts",
        "-f lavfi -i testsrc2=size=160x120:rate=10:duration=150 -c:v libx264 -preset ultrafast -g 70",
    );
    good(&long).await;
    let broken = changed("windows-destroyed.ts", &long, |mut bytes| {
        // The tail's packets keep their headers and lose their pictures.
        let tail = bytes.len() / 188 / 10 * 9;
        bytes.chunks_mut(188).skip(tail).for_each(|packet| packet.iter_mut().skip(40).for_each(|b| *b = 0));
        bytes
    });
    damage(&broken).await;
}

#[tokio::test]
async fn audio_that_does_not_decode_is_named() {
    // The sample table stays; what it points at is no AAC.
    let broken = changed("mute.m4a", &ffmpeg("tone.m4a", &format!("{TONE} -c:a aac")), |mut bytes| {
        let data = find(&bytes, b"mdat", 0) + 4;
        let end = find(&bytes, b"moov", data) - 4;
        bytes[data..end].fill(0xff);
        bytes
    });
    assert_eq!(damage(&broken).await, "audio stream 0 (aac) does not decode");
}

#[tokio::test]
async fn a_wav_from_a_pipe_promises_nothing_and_another_with_such_a_size_lies() {
    let piped = made("piped.wav", |path| {
        // ffmpeg cannot seek back in a pipe; a fifo-less way to the same bytes is to say so.
        run(&format!("{TONE} -f wav -seekable 0"), path);
    });
    good(&piped).await;
    let liar = changed("liar.wav", &ffmpeg("tone.wav", &format!("{TONE} -bitexact")), |mut bytes| {
        let data = find(&bytes, b"data", 0);
        bytes[data + 4..data + 8].fill(0xff);
        bytes
    });
    assert!(damage(&liar).await.starts_with("it is short: "));
}

#[tokio::test]
async fn an_installed_ffmpeg_says_what_it_has() {
    let work = tempfile::tempdir().expect("a temporary directory");
    let build = tools().build(work.path()).await.expect("ffmpeg answers");
    assert!(build.version.starts_with(|c: char| c.is_ascii_alphanumeric()));
    assert!(build.needs.iter().any(|need| need.name == "aac" && need.present), "{build:?}");
}

fn find(bytes: &[u8], wanted: &[u8], from: usize) -> usize {
    from + bytes[from..].windows(wanted.len()).position(|w| w == wanted).expect("the fixture holds it")
}
