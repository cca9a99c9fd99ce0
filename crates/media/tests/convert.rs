//! Conversions, on small media made here: each test's sentence is a fact that was measured or a promise.

mod made;

use domain::{AudioCodec, Container, FailureKind, Output, Role, StreamKind, Verdict};
use made::*;

const H264_AAC: &str = "-f lavfi -i testsrc=s=320x240:r=25:d=4 -f lavfi -i sine=f=440:d=4:r=48000 \
    -c:v libx264 -preset ultrafast -pix_fmt yuv420p -g 50 -c:a aac -b:a 96k -movflags +faststart -f mp4";

fn plain() -> std::path::PathBuf {
    made("plain.mp4", H264_AAC)
}

/// A remux is orders of magnitude cheaper: what fits is copied, and the reason is recorded.
#[tokio::test]
async fn what_fits_is_copied() {
    let done = convert(&plain(), &mp4(720)).await;
    assert_eq!(done.how(0).0, "copy", "{:?}", done.how(0));
    assert_eq!(done.how(1).0, "copy", "{:?}", done.how(1));
    assert_eq!(done.made().partial, None);
    assert_eq!(frames(done.main()), 100);
    // The index stands in front of the media.
    let bytes = std::fs::read(done.main()).unwrap();
    let at = |name: &[u8]| bytes.windows(4).position(|w| w == name).unwrap();
    assert!(at(b"moov") < at(b"mdat"));
}

/// Every shipped shape of preset makes what it says, whatever it starts from.
#[tokio::test]
async fn every_shape_of_preset_makes_what_it_says() {
    for (preset, streams) in [
        (mp4(1080), vec!["h264", "aac"]),
        (mp4(720), vec!["h264", "aac"]),
        (mp4(120), vec!["h264", "aac"]),
        (webm(), vec!["vp9", "opus"]),
        (audio(Container::M4a, AudioCodec::Aac), vec!["aac"]),
        (audio(Container::Mp3, AudioCodec::Mp3), vec!["mp3"]),
        (audio(Container::Wav, AudioCodec::Pcm), vec!["pcm_s16le"]),
        (audio(Container::Ogg, AudioCodec::Opus), vec!["opus"]),
        (audio(Container::Flac, AudioCodec::Flac), vec!["flac"]),
    ] {
        let done = convert(&plain(), &preset).await;
        let codecs: Vec<_> = done.facts().streams.iter().map(|s| s.codec.as_str()).collect();
        assert_eq!(codecs, streams, "{}", preset.name);
        assert!(
            done.facts().duration_ms.abs_diff(4000) < 100,
            "{}: {}",
            preset.name,
            done.facts().duration_ms
        );
    }
    let small = convert(&plain(), &mp4(120)).await;
    assert_eq!(small.facts().video().unwrap().video.as_ref().unwrap().display_size(), (160, 120));
    assert_eq!(frames(small.main()), 100);
}

/// Thumbnails are a poster, a sheet and its map; a recording of one picture has one tile.
#[tokio::test]
async fn thumbnails_fit_the_recording() {
    let done = convert(&plain(), &thumbnails()).await;
    let roles: Vec<_> = done.made().files.iter().map(|f| (f.role, f.extension.as_str())).collect();
    assert_eq!(roles, [(Role::Poster, "jpg"), (Role::Sprite, "jpg"), (Role::Tiles, "vtt")]);
    let size = |at: usize| {
        ffprobe(&done.made().files[at].path, &["-show_entries", "stream=width,height", "-of", "csv=p=0"])
    };
    assert_eq!(size(0), "320,240", "a poster is never enlarged");
    assert_eq!(size(1), "320,60", "four tiles of 80x60 in one row");
    let vtt = std::fs::read_to_string(&done.made().files[2].path).unwrap();
    assert_eq!(vtt.matches("-->").count(), 4);

    let one = made("one.mp4", "-f lavfi -i testsrc=s=64x64:r=25 -frames:v 1 -c:v libx264 -f mp4");
    let done = convert(&one, &thumbnails()).await;
    let vtt = std::fs::read_to_string(&done.made().files[2].path).unwrap();
    assert_eq!(vtt.matches("-->").count(), 1);
}

#[tokio::test]
async fn a_waveform_is_drawn_of_any_sound() {
    let done = convert(&plain(), &waveform()).await;
    assert_eq!(done.made().files[0].role, Role::Waveform);
    let size = ffprobe(done.main(), &["-show_entries", "stream=width,height", "-of", "csv=p=0"]);
    assert_eq!(size, "600,100");
}

/// Copying keeps the rotation tag; transcoding bakes the rotation in and drops the tag.
#[tokio::test]
async fn rotation_is_kept_as_a_tag_or_baked_in() {
    plain();
    let turned = made("turned.mp4", "-i {dir}/plain.mp4 -c copy -metadata:s:v rotate=90 -f mp4");
    let copied = convert(&turned, &mp4(720)).await;
    assert_eq!(copied.how(0).0, "copy");
    let video = copied.facts().video().unwrap().video.as_ref().unwrap();
    assert_ne!(video.rotation, 0);
    assert_eq!(video.display_size(), (240, 320));
    let baked = convert(&turned, &mp4(120)).await;
    let video = baked.facts().video().unwrap().video.as_ref().unwrap();
    assert_eq!((video.width, video.height, video.rotation), (120, 160, 0));
}

/// Odd sizes and 1x1 cannot become 4:2:0 as they are.
#[tokio::test]
async fn odd_sizes_become_even() {
    let odd =
        made("odd.webm", "-f lavfi -i testsrc=s=161x121:r=25:d=1 -c:v libvpx -deadline realtime -f webm");
    let done = convert(&odd, &mp4(720)).await;
    assert_eq!(done.facts().video().unwrap().video.as_ref().unwrap().display_size(), (160, 120));
    let dot = made(
        "dot.mkv",
        "-f lavfi -i color=c=red:s=2x2:r=25:d=1 -vf scale=1:1,format=rgb24 -c:v png -f matroska",
    );
    let done = convert(&dot, &mp4(720)).await;
    assert_eq!(done.facts().video().unwrap().video.as_ref().unwrap().display_size(), (2, 2));
    assert_eq!(frames(done.main()), 25);
}

/// Pixels of an output are square.
#[tokio::test]
async fn anamorphic_pictures_get_square_pixels() {
    let wide =
        made("sar.mkv", "-f lavfi -i testsrc=s=160x240:r=25:d=1 -vf setsar=2/1 -c:v mpeg4 -f matroska");
    let done = convert(&wide, &mp4(720)).await;
    let video = done.facts().video().unwrap().video.as_ref().unwrap();
    assert_eq!((video.width, video.height), (320, 240));
}

/// VP8 + Opus without a duration and with a variable rate, as a browser streams it: the normal case.
#[tokio::test]
async fn a_webrtc_recording_becomes_constant_and_whole() {
    let webrtc = piped(
        "webrtc.webm",
        "-f lavfi -i testsrc=s=320x240:r=30:d=5 -f lavfi -i sine=d=5:r=48000 \
         -vf select='not(mod(n,3))+lt(mod(n,50),20)' -fps_mode vfr -c:v libvpx -deadline realtime -c:a libopus -f webm",
    );
    let done = convert(&webrtc, &mp4(720)).await;
    assert_eq!(done.probe.facts.as_ref().unwrap().header_duration_ms, None);
    let video = done.facts().video().unwrap();
    assert!(!video.video.as_ref().unwrap().variable_frame_rate);
    assert_eq!(video.video.as_ref().unwrap().frame_rate, (30, 1));
    assert!(frames(done.main()).abs_diff(150) <= 2, "{}", frames(done.main()));
}

/// Resolution changes in mid-file rebuild the filter graph, and counting starts again; with the graph kept, 300
/// pictures stay 300 (media.md measured 448 in one graph).
#[tokio::test]
async fn a_picture_that_changes_its_size_keeps_its_frames() {
    let changing = resolution_change();
    let done = convert(&changing, &mp4(720)).await;
    let video = done.facts().video().unwrap();
    assert_eq!(video.video.as_ref().unwrap().display_size(), (320, 240));
    assert_eq!(frames(done.main()), 300);
    assert_eq!(video.duration_ms, 10_000);
}

fn resolution_change() -> std::path::PathBuf {
    for size in ["320x240", "160x120", "240x320"] {
        made(
            &format!("part{size}.ivf"),
            &format!("-f lavfi -i testsrc=s={size}:r=30 -frames:v 100 -c:v libvpx -deadline realtime -f ivf"),
        );
    }
    let dir = plain().parent().unwrap().to_owned();
    let list = dir.join("parts.txt");
    let own = dir.join(format!("parts-{:?}", std::thread::current().id()));
    std::fs::write(&own, "file part320x240.ivf\nfile part160x120.ivf\nfile part240x320.ivf\n").unwrap();
    std::fs::rename(own, list).unwrap();
    made("changing.webm", "-f concat -i {dir}/parts.txt -c copy -f webm")
}

/// A 10 s Opus file with a 3 s hole decodes to 7 s; the hole becomes silence and the rest stays where it was.
#[tokio::test]
async fn holes_in_the_sound_become_silence() {
    let holed = made(
        "hole.webm",
        "-f lavfi -i sine=d=10:r=48000 -af aselect='not(between(t,3,6))' -c:a libopus -f webm",
    );
    for preset in [audio(Container::M4a, AudioCodec::Aac), audio(Container::Ogg, AudioCodec::Opus)] {
        let done = convert(&holed, &preset).await;
        assert_ne!(done.how(0).0, "copy", "{:?}", done.how(0));
        assert!(done.facts().duration_ms.abs_diff(10_000) < 100, "{}", done.facts().duration_ms);
    }
}

/// Sound that starts later than the picture stays in sync with it: within 20 ms, copied or encoded.
#[tokio::test]
async fn a_late_start_of_the_sound_is_kept() {
    plain();
    let late = made(
        "late.mkv",
        "-f lavfi -i testsrc=s=320x240:r=25:d=4 -itsoffset 1.5 -f lavfi -i sine=d=2:r=48000 \
         -map 0 -map 1 -c:v libx264 -preset ultrafast -pix_fmt yuv420p -c:a libopus -f matroska",
    );
    for preset in [mp4(720), mp4(120)] {
        let done = convert(&late, &preset).await;
        let starts = first_sound(done.main());
        assert!((starts - 1500.0).abs() < 20.0, "{starts}");
    }
    let done = convert(&late, &audio(Container::Mp3, AudioCodec::Mp3)).await;
    assert!((first_sound(done.main()) - 1500.0).abs() < 60.0);
}

/// A source without sound gives a silent output; without a picture, sound in the preset's container.
#[tokio::test]
async fn what_the_source_does_not_have_is_not_made_up() {
    plain();
    let silent = made("silent.mp4", "-i {dir}/plain.mp4 -an -c copy -f mp4");
    assert_eq!(convert(&silent, &mp4(720)).await.facts().streams.len(), 1);
    let refused = convert(&silent, &audio(Container::Mp3, AudioCodec::Mp3)).await.result.unwrap_err();
    assert_eq!(refused.kind, FailureKind::Permanent);
    assert!(refused.message.contains("no audio"), "{refused}");
    assert!(convert(&silent, &waveform()).await.result.unwrap_err().message.contains("no audio"));
}

/// One audio stream is kept, the container's default.
#[tokio::test]
async fn of_several_audio_streams_the_default_is_kept() {
    plain();
    let several = made(
        "several.mkv",
        "-i {dir}/plain.mp4 -f lavfi -i sine=f=880:d=4:r=48000 -map 0:v -map 0:a -map 1:a -c:v copy -c:a aac \
         -disposition:a:0 0 -disposition:a:1 default -f matroska",
    );
    let done = convert(&several, &mp4(720)).await;
    assert_eq!(done.facts().audio().count(), 1);
    assert_eq!(done.how(1).0, "drop");
    assert_ne!(done.how(2).0, "drop");
}

/// Cover art in an mp3 is not a video stream.
#[tokio::test]
async fn cover_art_is_not_video() {
    let cover = made("cover.jpg", "-f lavfi -i testsrc=s=64x64 -frames:v 1 -c:v mjpeg -f image2pipe");
    let _ = cover;
    let song = made(
        "song.mp3",
        "-f lavfi -i sine=d=2 -i {dir}/cover.jpg -map 0 -map 1 -c:a libmp3lame -c:v copy -disposition:v attached_pic -f mp3",
    );
    let done = convert(&song, &mp4(720)).await;
    assert!(done.facts().streams.iter().all(|s| s.kind == StreamKind::Audio));
    assert!(convert(&song, &thumbnails()).await.result.unwrap_err().message.contains("no video"));
}

/// HDR becomes SDR: 8-bit, BT.709, and says so.
#[tokio::test]
async fn hdr_becomes_sdr() {
    let hdr = made(
        "hdr.mp4",
        "-f lavfi -i testsrc2=s=320x240:r=25:d=1 -pix_fmt yuv420p10le -c:v libx265 -preset ultrafast -x265-params \
         log-level=none:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc -color_primaries bt2020 \
         -color_trc smpte2084 -colorspace bt2020nc -tag:v hvc1 -f mp4",
    );
    let done = convert(&hdr, &mp4(720)).await;
    let shown = ffprobe(
        done.main(),
        &["-show_entries", "stream=pix_fmt,color_space,color_transfer,color_primaries", "-of", "csv=p=0"],
    );
    assert_eq!(shown, "yuv420p,bt709,bt709,bt709");
    assert!(convert(&hdr, &thumbnails()).await.result.is_ok());
}

#[tokio::test]
async fn interlaced_pictures_are_made_whole() {
    let interlaced = made(
        "interlaced.mkv",
        "-f lavfi -i testsrc=s=320x240:r=50:d=2 -vf tinterlace=interleave_top,fieldorder=tff -c:v libx264 -flags \
         +ildct+ilme -x264opts tff=1 -pix_fmt yuv420p -f matroska",
    );
    let done = convert(&interlaced, &mp4(720)).await;
    assert!(done.probe.facts.as_ref().unwrap().video().unwrap().video.as_ref().unwrap().interlaced);
    assert!(!done.facts().video().unwrap().video.as_ref().unwrap().interlaced);
}

/// Transparent pixels become black, not whatever colour lies under them.
#[tokio::test]
async fn transparency_is_flattened() {
    let clear = made("clear.mov", "-f lavfi -i color=c=red@0.0:s=64x64:r=25:d=1,format=rgba -c:v png -f mov");
    let done = convert(&clear, &mp4(720)).await;
    let [r, g, b] = colour(done.main(), 0.2, 0.5, 0.5);
    assert!(r < 24 && g < 24 && b < 24, "{r} {g} {b}");
}

/// Text inside the file is not carried over.
#[tokio::test]
async fn titles_are_left_behind() {
    plain();
    let titled = made(
        "titled.mp4",
        "-i {dir}/plain.mp4 -c copy -metadata title=<script> -metadata:s:a:0 handler_name=evil -f mp4",
    );
    for preset in [mp4(720), webm()] {
        let done = convert(&titled, &preset).await;
        let tags = ffprobe(done.main(), &["-show_entries", "format_tags:stream_tags", "-of", "json"]);
        assert!(!tags.contains("script") && !tags.contains("evil"), "{tags}");
    }
}

/// "Converted" means probed again: expected streams, and duration within tolerance of the source. ffmpeg's exit
/// code 0 proves nothing.
#[tokio::test]
async fn a_source_that_was_cut_after_probing_is_found_out() {
    let whole = plain();
    let probe = tools().probe(tempfile::tempdir().unwrap().path(), &whole).await.unwrap();
    assert_eq!(probe.verdict, Verdict::Good);
    let dir = tempfile::tempdir().unwrap();
    let cut = dir.path().join("cut");
    let bytes = std::fs::read(&whole).unwrap();
    std::fs::write(&cut, &bytes[..bytes.len() * 6 / 10]).unwrap();
    // First the copy fails its check, then the encode.
    let failure = convert_probed(&cut, probe, &mp4(720)).await.result.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Permanent);
    assert!(failure.message.contains("where the recording lasts 4.0 s"), "{failure}");
}

/// What a damaged source still holds is salvaged, and never in silence.
#[tokio::test]
async fn a_damaged_source_is_salvaged_and_said_so() {
    let bytes = std::fs::read(plain()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let cut = dir.path().join("cut.mp4");
    std::fs::write(&cut, &bytes[..bytes.len() * 6 / 10]).unwrap();
    let done = convert(&cut, &mp4(720)).await;
    assert!(matches!(done.probe.verdict, Verdict::Damaged { .. }), "{:?}", done.probe.verdict);
    let partial = done.made().partial.as_deref().unwrap();
    assert!(partial.contains("of 4.0 s could be read"), "{partial}");
    assert!(done.facts().duration_ms < 3500 && done.facts().duration_ms > 1000);
    assert!(convert(&cut, &thumbnails()).await.made().partial.is_some());
}

/// A copy that does not hold up is encoded instead, once, and the reason is recorded.
#[tokio::test]
async fn a_copy_that_fails_its_check_is_encoded() {
    // Facts that lie: they call MPEG-4 Part 2 H.264, so the copy comes out as something else than promised.
    plain();
    let other = made("part2.mp4", "-i {dir}/plain.mp4 -c:v mpeg4 -c:a copy -f mp4");
    let mut probe = tools().probe(tempfile::tempdir().unwrap().path(), &other).await.unwrap();
    probe.facts.as_mut().unwrap().streams[0].codec = "h264".into();
    let done = convert_probed(&other, probe, &mp4(720)).await;
    let (how, why) = done.how(0);
    assert_eq!(how, "libx264");
    assert!(why.starts_with("a copy failed its check: its video is mpeg4 instead of h264"), "{why}");
}

/// Only a preset's own words reach the command line.
#[tokio::test]
async fn a_preset_with_a_foreign_word_is_refused() {
    let mut preset = mp4(120);
    if let Output::Video { video, .. } = &mut preset.output {
        video.speed = Some("veryfast;-i;/etc/passwd".into());
    }
    assert_eq!(convert(&plain(), &preset).await.result.unwrap_err().kind, FailureKind::Permanent);
}

/// Progress only grows, and ends at the whole.
#[tokio::test]
async fn progress_is_told() {
    let seen = std::sync::Mutex::new(Vec::new());
    let work = tempfile::tempdir().unwrap();
    let path = plain();
    let probe = tools().probe(tempfile::tempdir().unwrap().path(), &path).await.unwrap();
    let source = media::Source { path: &path, probe: &probe };
    let each = |p: domain::Progress| seen.lock().unwrap().push(p.permille);
    tools().convert(work.path(), &source, &mp4(120), &each, None).await.unwrap();
    let seen = seen.into_inner().unwrap();
    assert!(seen.is_sorted() && *seen.last().unwrap() > 950, "{seen:?}");
}

/// Every good or damaged file of the corpus converts, or says why it cannot, within its budget.
#[tokio::test]
async fn the_corpus_converts() {
    let Some(corpus) = std::env::var_os("VIDEOREC_CORPUS").map(std::path::PathBuf::from) else {
        eprintln!("skipped: VIDEOREC_CORPUS is not set");
        return;
    };
    let only = std::env::var("ONLY").unwrap_or_default();
    let mut bad = Vec::new();
    for dir in ["valid", "hostile"] {
        let mut files: Vec<_> =
            std::fs::read_dir(corpus.join(dir)).unwrap().map(|e| e.unwrap().path()).collect();
        files.sort();
        for file in files {
            let name = file.file_name().unwrap().to_string_lossy().into_owned();
            if !name.contains(&only) {
                continue;
            }
            let room = tempfile::tempdir().unwrap();
            let probe = tools().probe(room.path(), &file).await.unwrap();
            let Some(facts) =
                probe.facts.clone().filter(|_| !matches!(probe.verdict, Verdict::Unsupported { .. }))
            else {
                continue;
            };
            let wide = [
                (mp4(480), facts.video().is_some() || facts.main_audio().is_some()),
                (audio(Container::M4a, AudioCodec::Aac), facts.main_audio().is_some()),
                (thumbnails(), facts.video().is_some()),
                (waveform(), facts.main_audio().is_some()),
            ];
            for (preset, expected) in wide {
                let start = std::time::Instant::now();
                let done = convert_probed(&file, probe.clone(), &preset).await;
                let said = match &done.result {
                    Ok(made) => format!(
                        "ok {:?} {}",
                        made.choices
                            .iter()
                            .filter(|c| c.how != "drop")
                            .map(|c| format!("{}:{} ({})", c.stream, c.how, c.why))
                            .collect::<Vec<_>>(),
                        made.partial.as_deref().unwrap_or_default(),
                    ),
                    Err(failure) => format!("FAILED {failure}"),
                };
                println!("{name} {} {} ms {said}", preset.name, start.elapsed().as_millis());
                let good = probe.verdict == Verdict::Good;
                if expected && good && done.result.is_err() {
                    bad.push(format!("{name} {}: {said}", preset.name));
                }
                if !good
                    && let Ok(made) = &done.result
                    && made.partial.is_none()
                {
                    bad.push(format!("{name} {}: salvaged in silence", preset.name));
                }
            }
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}
