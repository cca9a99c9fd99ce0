//! Every file of the media corpus gets a terminal verdict that is true. Runs where `VIDEOREC_CORPUS` names the
//! corpus (its data is no part of this repository).

use std::path::PathBuf;

use domain::Verdict;
use media::Tools;
use sandbox::{Layer, Sandbox};

/// All of `valid/` is good; of `hostile/`, the beginning of the reason tells what must be found.
const HOSTILE: &[(&str, Expect)] = &[
    ("exo_encrypted_cenc.mp4", Unsupported("it is encrypted")),
    // The sample table ends before the file does; only mdat's size is a lie.
    ("exo_mdat_too_long.mp4", Good),
    ("exo_short.ps", Good),
    ("exo_truncated.adts", Damaged("it is cut: its last frame")),
    ("ft_corrupt.mkv", Damaged("it begins like Matroska")),
    ("ft_null.webm", Good),
    ("mb_oversized_id3.wav", Good),
    // MoviePy's reader fails at its end; all 431 packets decode.
    ("mov_failing_audio.mp4", Good),
    ("moz_invalid_userdata.mp4", Damaged("holds 0.0 s of the 231.3 s")),
    ("nor_48byte.mp4", Unsupported("an mp4 header without any media")),
    ("oc_nostreams.mp4", Unsupported("no audio or video streams")),
    ("own_1bit_png_32k.mov", Unsupported("32000x32000 pixels")),
    ("own_24h_black.mp4", Good),
    ("own_30_streams.mkv", Good),
    ("own_400_streams.mkv", Unsupported("400 streams, the limit is 64")),
    ("own_attachment_traversal.mkv", Good),
    ("own_dash_mpd.mp4", Unsupported("a playlist (DASH manifest)")),
    ("own_date_2999.mp4", Good),
    ("own_fps_4e9.mov", Unsupported("its clock claims 4294967295 ticks")),
    ("own_fragmented_cut.mp4", Damaged("it is cut: the file ends in the middle of a fragment")),
    ("own_hls_concat_exfil.mp4", Unsupported("a playlist (HLS)")),
    ("own_hls_http.avi", Unsupported("a playlist (HLS)")),
    ("own_hls_live_noend.mp4", Unsupported("a playlist (HLS)")),
    ("own_hls_neighbour.mp4", Unsupported("a playlist (HLS)")),
    ("own_mdat_half_faststart.mp4", Damaged("holds 2.6 s of the 4.0 s")),
    ("own_metadata_injection.mp4", Good),
    ("own_moov_half.mp4", Damaged("its index (moov) is cut")),
    ("own_png16000_in_mov.mov", Unsupported("16000x16000 pixels")),
    ("own_png_header_65500.mov", Unsupported("65500x65500 pixels")),
    ("own_random.mp4", Unsupported("no container and codecs")),
    ("own_rare_codec_magicyuv.avi", Unsupported("codec magicyuv")),
    ("own_res_change.ts", Good),
    ("own_sdp.mp4", Unsupported("a session description (SDP)")),
    ("own_text.mp4", Unsupported("text, not media")),
    ("own_wav_size_liar.wav", Damaged("it is short")),
];

#[derive(Debug)]
enum Expect {
    Good,
    Damaged(&'static str),
    Unsupported(&'static str),
}
use Expect::{Damaged, Good, Unsupported};

#[tokio::test]
async fn every_file_of_the_corpus_gets_the_verdict_that_is_true() {
    let Some(corpus) = std::env::var_os("VIDEOREC_CORPUS").map(PathBuf::from) else {
        println!("skipped: VIDEOREC_CORPUS does not name the media corpus");
        return;
    };
    let sandbox = Sandbox::new(&Layer::ALL).expect("a sandbox of what this machine has");
    let tools = Tools::new(sandbox, None, None, None).expect("ffmpeg is installed");
    let mut wrong = Vec::new();
    for folder in ["valid", "hostile"] {
        for entry in std::fs::read_dir(corpus.join(folder)).expect("the corpus has both folders") {
            let path = entry.expect("readable").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let expected = match HOSTILE.iter().find(|(file, _)| *file == name) {
                Some((_, expected)) => expected,
                None if folder == "valid" => &Good,
                None => panic!("{name} is not in the table"),
            };
            let work = tempfile::tempdir().expect("a temporary directory");
            let probe = tools.probe(work.path(), &path).await.expect("no trouble of our own");
            let holds = match (&probe.verdict, expected) {
                (Verdict::Good, Good) => probe.facts.as_ref().is_some_and(|facts| facts.duration_ms > 0),
                (Verdict::Damaged { reason }, Damaged(start)) => reason.starts_with(start),
                (Verdict::Unsupported { reason }, Unsupported(start)) => reason.starts_with(start),
                _ => false,
            };
            if !holds {
                wrong.push(format!("{name}: {:?} instead of {expected:?}", probe.verdict));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
