//! Each attack on media meets what `security.md` says it must.
//!
//! Playlists never get as far as ffprobe here: our own look refuses them. That ffprobe's whitelists would refuse
//! them too is tested beside them, in `guard.rs`.

mod common;

use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use common::{PICTURE, ffmpeg, made, run};
use domain::{Probe, Verdict};
use media::Tools;
use sandbox::{Layer, Sandbox};

async fn probe(source: &Path) -> Probe {
    let sandbox = Sandbox::new(&Layer::ALL).expect("a sandbox of what this machine has");
    let tools = Tools::new(sandbox, None, None, None).expect("ffmpeg is installed");
    let work = tempfile::tempdir().expect("a temporary directory");
    tools.probe(work.path(), source).await.expect("no trouble of our own")
}

async fn refusal(source: &Path) -> String {
    match probe(source).await.verdict {
        Verdict::Unsupported { reason } => reason,
        other => panic!("{}: {other:?}", source.display()),
    }
}

/// A playlist named .mp4 that points at another recording's file is refused, and the other bytes are never read.
#[tokio::test]
async fn playlists_that_point_at_a_neighbour_are_refused_unread() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let neighbour = dir.path().join("neighbour.ts");
    run(&format!("{PICTURE} -c:v libx264 -preset ultrafast -metadata service_name=CANARY"), &neighbour);
    let neighbour = neighbour.display();
    let playlists = [
        format!("#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:4,\n{neighbour}\n#EXT-X-ENDLIST\n"),
        format!("ffconcat version 1.0\nfile '{neighbour}'\n"),
        format!(
            "<?xml version=\"1.0\"?><MPD type=\"static\"><Period><BaseURL>{neighbour}</BaseURL></Period></MPD>"
        ),
    ];
    for playlist in playlists {
        let file = dir.path().join("holiday.mp4");
        std::fs::write(&file, &playlist).expect("writable");
        let probe = probe(&file).await;
        assert!(matches!(probe.verdict, Verdict::Unsupported { .. }), "{playlist}: {probe:?}");
        assert!(!format!("{probe:?}").contains("CANARY"));
    }
}

/// A playlist that reaches for the network makes no connection.
#[tokio::test]
async fn playlists_that_reach_for_the_network_never_connect() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
    listener.set_nonblocking(true).expect("a socket option");
    let port = listener.local_addr().expect("bound").port();
    let dir = tempfile::tempdir().expect("a temporary directory");
    for playlist in [
        format!("#EXTM3U\n#EXTINF:4,\nhttp://127.0.0.1:{port}/secret\n#EXT-X-ENDLIST\n"),
        format!("ffconcat version 1.0\nfile http://127.0.0.1:{port}/secret\n"),
        format!("v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\nc=IN IP4 127.0.0.1\r\nm=audio {port} RTP/AVP 0\r\n"),
    ] {
        let file = dir.path().join("call.avi");
        std::fs::write(&file, &playlist).expect("writable");
        refusal(&file).await;
    }
    let error = listener.accept().expect_err("nobody connected");
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
}

/// A self-referencing or endless playlist is refused at once.
#[tokio::test]
async fn endless_playlists_are_refused_at_once() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("loop.mp4");
    std::fs::write(&file, "#EXTM3U\n#EXTINF:1,\nloop.mp4\n").expect("writable");
    let started = Instant::now();
    refusal(&file).await;
    assert!(started.elapsed() < Duration::from_secs(5));
}

/// 400 streams are refused by number; as many as a large meeting has are not.
#[tokio::test]
async fn too_many_streams_are_refused_by_number() {
    let many = |name: &str, count: usize| {
        made(name, |path| {
            let maps = " -map 0".repeat(count);
            run(&format!("-f lavfi -i anullsrc=r=8000:cl=mono -t 0.2{maps} -c:a pcm_s16le"), path);
        })
    };
    assert_eq!(refusal(&many("streams-400.mkv", 400)).await, "400 streams, the limit is 64");
    assert_eq!(probe(&many("streams-30.mkv", 30)).await.verdict, Verdict::Good);
}

/// A decoder that recordings do not need never opens.
#[tokio::test]
async fn a_rare_decoder_is_refused_by_name() {
    let file = ffmpeg("rare.avi", "-f lavfi -i testsrc2=size=64x50:rate=5:duration=1 -c:v magicyuv");
    assert_eq!(refusal(&file).await, "codec magicyuv is not one that we decode");
}

/// A picture of 16000x16000 is refused by its dimensions.
#[tokio::test]
async fn a_huge_picture_is_refused_by_its_dimensions() {
    assert!(refusal(&common::huge_picture()).await.starts_with("16000x16000 pixels are over the limit"));
}

/// Two frames 24 h apart are told as what they are, within seconds.
#[tokio::test]
async fn two_frames_a_day_apart_cost_nothing() {
    let file = ffmpeg(
        "day.mkv",
        "-f lavfi -i color=size=64x64:rate=1:duration=2 -vf settb=1/1000,setpts=N*86400000 -vsync passthrough -c:v libx264 -bf 0",
    );
    let started = Instant::now();
    let probe = probe(&file).await;
    assert!(started.elapsed() < Duration::from_secs(10));
    let Verdict::Damaged { reason } = probe.verdict else { panic!("{:?}", probe.verdict) };
    assert_eq!(reason, "its timestamps jump over 24.0 h in which there is nothing");
}

/// What claims more than the longest recording is refused.
#[tokio::test]
async fn more_than_two_days_are_refused() {
    let file = ffmpeg(
        "days.mkv",
        "-f lavfi -i color=size=64x64:rate=1:duration=4 -vf settb=1/1000,setpts=N*86400000 -vsync passthrough -c:v libx264 -bf 0",
    );
    assert_eq!(refusal(&file).await, "72.0 h long, the limit is 48.0 h");
}

/// Junk of every kind ends in a terminal verdict with its reason.
#[tokio::test]
async fn junk_is_unsupported() {
    let mut noise = vec![0u8; 65_536];
    let mut state = 0x9e37_79b9_u32;
    noise.iter_mut().for_each(|byte| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *byte = (state >> 24) as u8;
    });
    let ftyp = [b"\0\0\0\x30ftypisom\0\0\x02\0isomiso2avc1mp41".as_slice(), &[0; 16]].concat();
    let of = |name: &str, bytes: &[u8]| common::bytes(name, bytes);
    assert_eq!(refusal(&of("empty.mp4", b"")).await, "the file is empty");
    assert_eq!(refusal(&of("text.mp4", &b"just words\n".repeat(100))).await, "text, not media");
    assert_eq!(refusal(&of("ftyp.mp4", &ftyp)).await, "an mp4 header without any media");
    assert_eq!(refusal(&of("noise.mp4", &noise)).await, "no container and codecs that recordings use");
}

/// An attachment with a path as its name is never extracted, and text from inside a file is inert.
#[tokio::test]
async fn attachments_stay_inside_and_text_is_inert() {
    let font = common::bytes("font.ttf", b"not a font");
    let file = made("attachment.mkv", |path| {
        run(
            &format!(
                "{PICTURE} -attach {} -metadata:s:t filename=../../../../tmp/videorec-canary.ttf \
                 -metadata:s:t mimetype=application/x-truetype-font -metadata title=a\u{1b}[31m\u{202e}b -c:v libx264 -preset ultrafast",
                font.display()
            ),
            path,
        );
    });
    let probe = probe(&file).await;
    assert_eq!(probe.verdict, Verdict::Good);
    assert_eq!(probe.facts.and_then(|f| f.claimed_title).as_deref(), Some("a[31mb"));
    assert!(!Path::new("/tmp/videorec-canary.ttf").exists());
}
