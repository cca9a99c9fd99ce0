//! Sessions, on small tracks made here: each test's sentence is a fact that was measured or a promise.

mod made;

use std::path::{Path, PathBuf};

use domain::{
    AudioCodec, Container, Failure, Layout, MixSpec, MixTrack, Preset, Probe, RecordingId, Tenths, Verdict,
};
use made::*;
use media::{Made, MixInput};

struct Mixed {
    #[expect(dead_code, reason = "holds the output")]
    work: tempfile::TempDir,
    made: Made,
}

impl Mixed {
    fn main(&self) -> &Path {
        &self.made.files[0].path
    }
}

async fn mix(preset: Preset, loudness: Option<Tenths>, tracks: &[(&Path, u64, Option<u64>)]) -> Mixed {
    let (work, result) = try_mix(preset, Layout::Grid, loudness, tracks).await;
    Mixed { work, made: result.unwrap() }
}

async fn try_mix(
    preset: Preset,
    layout: Layout,
    loudness: Option<Tenths>,
    tracks: &[(&Path, u64, Option<u64>)],
) -> (tempfile::TempDir, Result<Made, Failure>) {
    let tools = tools();
    let mut probes: Vec<Probe> = Vec::new();
    for (path, ..) in tracks {
        let room = tempfile::tempdir().unwrap();
        probes.push(tools.probe(room.path(), path).await.unwrap());
    }
    let tracks_of: Vec<MixTrack> = tracks
        .iter()
        .enumerate()
        .map(|(n, (_, offset_ms, leave_ms))| MixTrack {
            recording: RecordingId::derive(&[&[n as u8]]),
            version: "1".into(),
            participant: "Ana'; [x]drawtext=text=x".into(),
            offset_ms: *offset_ms,
            leave_ms: *leave_ms,
        })
        .collect();
    let inputs: Vec<MixInput<'_>> = tracks
        .iter()
        .zip(&probes)
        .zip(&tracks_of)
        .map(|(((path, ..), probe), track)| MixInput { path, probe, track: track.clone() })
        .collect();
    let spec = MixSpec { preset, layout, loudness, tracks: tracks_of };
    let work = tempfile::tempdir().unwrap();
    let result = tools.mix(work.path(), &inputs, &spec, &|_| {}).await;
    if let Ok(made) = &result {
        as_measured(made).await;
    }
    (work, result)
}

/// A participant as a browser records one: one colour, one tone, no duration in the header.
fn participant(name: &str, colour: &str, rate: u32, seconds: u32, tone: &str) -> PathBuf {
    piped(
        &format!("{name}.webm"),
        &format!(
            "-f lavfi -i color=c={colour}:s=320x180:r={rate}:d={seconds} -f lavfi -i {tone}:d={seconds} \
             -map 0 -map 1 -c:v libvpx -deadline realtime -b:v 200k -c:a libopus -f webm"
        ),
    )
}

fn is(colour: [u8; 3], expected: [u8; 3]) -> bool {
    colour.iter().zip(expected).all(|(a, b)| a.abs_diff(b) < 40)
}

const RED: [u8; 3] = [255, 0, 0];
const GREEN: [u8; 3] = [0, 128, 0];
const BLUE: [u8; 3] = [0, 0, 255];
const BLACK: [u8; 3] = [0, 0, 0];

/// The picture is cut at every join and leave, rendered, and joined; frames sum exactly at 25 and at 30, each in
/// its place.
#[tokio::test]
async fn the_grid_follows_who_is_there() {
    for rate in [25, 30] {
        let ana = participant(&format!("ana{rate}"), "red", rate, 8, "sine=f=300:r=48000");
        let bo = participant(&format!("bo{rate}"), "blue", rate, 4, "sine=f=500:r=48000");
        let cy = participant(&format!("cy{rate}"), "green", 15, 6, "sine=f=700:r=48000");
        // Joins at 1.5 and 2.333, leaves at 4.7 and 5.5; ends with Ana's 8 s.
        let mixed =
            mix(mp4(720), None, &[(&ana, 0, Some(8000)), (&bo, 1500, None), (&cy, 2333, Some(4700))]).await;
        assert_eq!(frames(mixed.main()), u64::from(rate) * 8);
        let times = ffprobe(
            mixed.main(),
            &["-select_streams", "v", "-show_entries", "packet=pts_time", "-of", "csv=p=0"],
        );
        let mut times: Vec<f64> = times.lines().map(|t| t.trim_end_matches(',').parse().unwrap()).collect();
        times.sort_by(f64::total_cmp);
        for pair in times.windows(2) {
            assert!((pair[1] - pair[0] - 1.0 / f64::from(rate)).abs() < 0.0005, "{pair:?}");
        }
        let file = mixed.main();
        assert!(is(colour(file, 1.0, 0.5, 0.5), RED), "alone she fills the picture");
        assert!(is(colour(file, 2.0, 0.25, 0.5), RED) && is(colour(file, 2.0, 0.75, 0.5), BLUE));
        assert!(is(colour(file, 4.0, 0.5, 0.75), GREEN), "the third is below, in the middle");
        assert!(is(colour(file, 5.0, 0.75, 0.5), BLUE), "he left, two remain");
        assert!(is(colour(file, 7.0, 0.5, 0.5), RED));
        assert_eq!(mixed.made.partial, None);
        assert_eq!(mixed.made.choices.len(), 3);
    }
}

/// The default of `amix` cost 8.4 dB with three inputs: a tone mixed with three silent tracks keeps its level.
#[tokio::test]
async fn a_voice_keeps_its_level_among_silent_ones() {
    let voice = made("voice.wav", "-f lavfi -i sine=f=440:r=48000:d=4 -c:a pcm_s16le -f wav");
    let silence = made("silence.wav", "-f lavfi -i anullsrc=r=48000:cl=mono -t 4 -c:a pcm_s16le -f wav");
    let tracks = [(voice.as_path(), 0, None), (&silence, 0, None), (&silence, 0, None), (&silence, 0, None)];
    let wav = audio(Container::Wav, AudioCodec::Pcm);
    let mixed = mix(wav.clone(), None, &tracks).await;
    let (before, after) = (volume(&voice, "mean_volume", ""), volume(mixed.main(), "mean_volume", ""));
    assert!((before - after).abs() < 1.0, "{before} dB became {after} dB");
    // Beside a stereo track too.
    let stereo = made("stereo.wav", "-f lavfi -i anullsrc=r=48000:cl=stereo -t 4 -c:a pcm_s16le -f wav");
    let mixed = mix(wav, None, &[(&voice, 0, None), (&stereo, 0, None)]).await;
    let after = volume(mixed.main(), "mean_volume", "");
    assert!((before - after).abs() < 1.0, "{before} dB became {after} dB");
}

/// `amix` ignores `-itsoffset`: a beep appears at its track's offset, within 20 ms.
#[tokio::test]
async fn a_beep_appears_at_its_offset() {
    let beep = participant("beep", "red", 30, 2, "sine=f=1000:r=48000");
    let quiet = participant("quiet", "blue", 30, 6, "anullsrc=r=48000:cl=mono");
    let mixed = mix(mp4(720), None, &[(&quiet, 0, None), (&beep, 3333, None)]).await;
    let at = first_sound(mixed.main());
    assert!((at - 3333.0).abs() < 20.0, "{at}");
    assert!(is(colour(mixed.main(), 3.45, 0.75, 0.5), RED), "its picture appears with it");
    assert!(is(colour(mixed.main(), 3.2, 0.5, 0.5), BLUE));
}

/// Who left is no longer heard.
#[tokio::test]
async fn a_voice_ends_when_its_participant_leaves() {
    let tone = made("tone.wav", "-f lavfi -i sine=f=440:r=48000:d=5 -c:a pcm_s16le -f wav");
    let silence = made("silence6.wav", "-f lavfi -i anullsrc=r=48000:cl=mono -t 6 -c:a pcm_s16le -f wav");
    let wav = audio(Container::Wav, AudioCodec::Pcm);
    let mixed = mix(wav, None, &[(&silence, 0, None), (&tone, 1000, Some(3000))]).await;
    assert!(volume(mixed.main(), "max_volume", "atrim=1.1:2.9,") > -30.0);
    assert!(volume(mixed.main(), "max_volume", "atrim=3.05:6,") < -80.0);
    let duration = mixed.made.facts.as_ref().unwrap().duration_ms;
    assert_eq!(duration, 6000, "it lasts until the last one is over");
}

/// Loudness reaches its target, and which way it went is recorded.
#[tokio::test]
async fn loudness_reaches_its_target() {
    let quiet =
        made("quiet.wav", "-f lavfi -i sine=f=440:r=48000:d=6 -af volume=-12dB -c:a pcm_s16le -f wav");
    let wav = audio(Container::Wav, AudioCodec::Pcm);
    let mixed = mix(wav.clone(), Some(Tenths(-180)), &[(&quiet, 0, None)]).await;
    let text = stderr_of(&[], mixed.main(), &["-af", "ebur128"]);
    let reached: f64 =
        text.rsplit("I:").next().unwrap().split("LUFS").next().unwrap().trim().parse().unwrap();
    assert!((reached + 18.0).abs() < 1.0, "{reached} LUFS");
    let choice = mixed.made.choices.iter().find(|c| c.stream == 0).unwrap();
    assert_eq!(choice.how, "loudnorm linear", "{}", choice.why);
    // A click among quiet: one gain would push it over the limit.
    let clicks = made(
        "clicks.wav",
        "-f lavfi -i aevalsrc=0.02*sin(440*2*PI*t)+0.9*sin(1000*2*PI*t)*lt(mod(t\\,3)\\,0.02):s=48000:d=6 -c:a pcm_s16le -f wav",
    );
    let mixed = mix(wav.clone(), Some(Tenths(-160)), &[(&clicks, 0, None)]).await;
    let choice = mixed.made.choices.iter().find(|c| c.stream == 0).unwrap();
    assert_eq!(choice.how, "loudnorm dynamic", "{}", choice.why);
    let rate = ffprobe(mixed.main(), &["-show_entries", "stream=sample_rate", "-of", "csv=p=0"]);
    assert_eq!(rate, "48000");
    let silence = made("silence.wav", "-f lavfi -i anullsrc=r=48000:cl=mono -t 4 -c:a pcm_s16le -f wav");
    let mixed = mix(wav, Some(Tenths(-160)), &[(&silence, 0, None)]).await;
    assert_eq!(mixed.made.choices.iter().find(|c| c.stream == 0).unwrap().how, "as it is");
}

/// A participant without a picture is heard and gets no tile; without any picture a video preset holds sound alone;
/// before anybody joins and in gaps the picture is black.
#[tokio::test]
async fn tracks_without_picture_or_sound_are_mixed_for_what_they_have() {
    let voice = made("voice.wav", "-f lavfi -i sine=f=440:r=48000:d=4 -c:a pcm_s16le -f wav");
    let mute =
        made("mute.mp4", "-f lavfi -i color=c=red:s=320x180:r=25:d=2 -c:v libx264 -pix_fmt yuv420p -f mp4");
    let mixed = mix(mp4(720), None, &[(&voice, 0, None), (&mute, 1000, None)]).await;
    assert_eq!(frames(mixed.main()), 100);
    assert!(is(colour(mixed.main(), 0.5, 0.5, 0.5), BLACK));
    assert!(is(colour(mixed.main(), 2.0, 0.5, 0.5), RED));
    assert!(is(colour(mixed.main(), 3.5, 0.5, 0.5), BLACK));

    let mixed = mix(mp4(720), None, &[(&voice, 0, None)]).await;
    assert!(mixed.made.facts.as_ref().unwrap().video().is_none());
    let mixed = mix(mp4(720), None, &[(&mute, 0, None)]).await;
    assert!(mixed.made.facts.as_ref().unwrap().main_audio().is_none());
    let (_work, sound_only) =
        try_mix(mp4(720), Layout::AudioOnly, None, &[(&voice, 0, None), (&mute, 0, None)]).await;
    assert!(sound_only.unwrap().facts.unwrap().video().is_none());
}

/// VP9 and Opus in WebM hold the same session.
#[tokio::test]
async fn a_session_in_webm() {
    let ana = participant("ana25", "red", 25, 8, "sine=f=300:r=48000");
    let bo = participant("bo25", "blue", 25, 4, "sine=f=500:r=48000");
    let mixed = mix(webm(), None, &[(&ana, 0, Some(3000)), (&bo, 1000, Some(3000))]).await;
    let facts = mixed.made.facts.as_ref().unwrap();
    let codecs: Vec<_> = facts.streams.iter().map(|s| s.codec.as_str()).collect();
    assert_eq!(codecs, ["vp9", "opus"]);
    assert_eq!(frames(mixed.main()), 75);
}

/// What cannot be read is missing from the mix, and the mix says so.
#[tokio::test]
async fn an_unreadable_track_is_named() {
    let voice = made("voice.wav", "-f lavfi -i sine=f=440:r=48000:d=4 -c:a pcm_s16le -f wav");
    let dir = tempfile::tempdir().unwrap();
    let text = dir.path().join("text.webm");
    std::fs::write(&text, "this is not media\n".repeat(50)).unwrap();
    let mixed =
        mix(audio(Container::M4a, AudioCodec::Aac), None, &[(&voice, 0, None), (&text, 0, None)]).await;
    let partial = mixed.made.partial.as_deref().unwrap();
    assert!(partial.starts_with("Not the whole session: track 2 is left out"), "{partial}");
    let (_work, nothing) = try_mix(mp4(720), Layout::Grid, None, &[(&text, 0, None)]).await;
    assert!(nothing.unwrap_err().message.starts_with("None of the session's tracks"));
    let _ = Verdict::Good;
}
