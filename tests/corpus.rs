//! Real and hostile media from the field, when `VIDEOREC_CORPUS` names a folder of it (CI does): every file comes to
//! a terminal state within its budget, with a true reason where it is not `ready`, and its source untouched.

mod support;

use std::{collections::BTreeMap, path::PathBuf};

use support::{Library, hash};

/// What the corpus holds besides good recordings, and what the product has to say of it.
const NOT_READY: &[(&str, &[&str])] = &[
    ("exo_encrypted_cenc.mp4", &["unsupported"]),
    ("exo_mdat_too_long.mp4", &["ready", "damaged"]),
    ("exo_short.ps", &["ready", "damaged", "unsupported"]),
    ("exo_truncated.adts", &["ready", "damaged"]),
    ("ft_corrupt.mkv", &["unsupported", "damaged"]),
    ("ft_null.webm", &["ready", "damaged"]),
    ("mb_oversized_id3.wav", &["ready", "damaged"]),
    // Named for the player that it broke; every packet of it decodes with ffmpeg.
    ("mov_failing_audio.mp4", &["ready"]),
    ("moz_invalid_userdata.mp4", &["unsupported", "damaged"]),
    ("nor_48byte.mp4", &["unsupported"]),
    ("oc_nostreams.mp4", &["unsupported"]),
    ("own_1bit_png_32k.mov", &["unsupported"]),
    ("own_24h_black.mp4", &["ready"]),
    ("own_30_streams.mkv", &["ready", "unsupported"]),
    ("own_400_streams.mkv", &["unsupported"]),
    ("own_attachment_traversal.mkv", &["ready"]),
    ("own_dash_mpd.mp4", &["unsupported"]),
    ("own_date_2999.mp4", &["ready"]),
    ("own_fps_4e9.mov", &["unsupported"]),
    ("own_fragmented_cut.mp4", &["damaged"]),
    ("own_hls_concat_exfil.mp4", &["unsupported"]),
    ("own_hls_http.avi", &["unsupported"]),
    ("own_hls_live_noend.mp4", &["unsupported"]),
    ("own_hls_neighbour.mp4", &["unsupported"]),
    ("own_mdat_half_faststart.mp4", &["damaged"]),
    ("own_metadata_injection.mp4", &["ready"]),
    ("own_moov_half.mp4", &["damaged"]),
    ("own_png16000_in_mov.mov", &["unsupported"]),
    ("own_png_header_65500.mov", &["unsupported"]),
    ("own_random.mp4", &["unsupported"]),
    ("own_rare_codec_magicyuv.avi", &["unsupported"]),
    ("own_res_change.ts", &["ready", "damaged"]),
    ("own_sdp.mp4", &["unsupported"]),
    ("own_text.mp4", &["unsupported"]),
    ("own_wav_size_liar.wav", &["ready", "damaged"]),
];

#[test]
fn every_file_of_the_corpus_comes_to_a_true_end() {
    let Some(corpus) = std::env::var_os("VIDEOREC_CORPUS").map(PathBuf::from) else {
        return eprintln!("skipped: VIDEOREC_CORPUS names no folder of media");
    };
    let sources = files(&corpus);
    assert!(!sources.is_empty(), "{} is empty", corpus.display());
    let library = Library::new();
    let folders = [corpus.join("valid"), corpus.join("hostile")].map(|f| f.display().to_string());
    let said = library.run(&["ingest", &folders[0], &folders[1]]);
    assert!(matches!(said.code, Some(0 | 1)), "{}", said.err);
    assert_eq!(files(&corpus), sources, "a source was touched");

    let all = library.recordings();
    let mut wrong = Vec::new();
    for (path, _) in sources {
        let name = path.file_name().unwrap().to_str().unwrap();
        let folder = path.parent().unwrap().file_name().unwrap().to_str().unwrap();
        let recording = &all[&format!("{folder}/{name}")];
        let (state, reason) = (recording["state"].as_str().unwrap(), recording["reason"].as_str().unwrap());
        let expected = NOT_READY.iter().find(|(n, _)| *n == name).map_or(&["ready"][..], |(_, s)| s);
        if !expected.contains(&state) || (state != "ready" && reason.len() < 10) {
            wrong.push(format!("{name}: {state} ({reason}), expected {expected:?}"));
        }
        println!("{state:<12} {name:<44} {reason}");
        // Salvage is never silent: what was made of a damaged recording says that it is partial.
        if state == "damaged" {
            for made in recording["renditions"].as_array().unwrap() {
                if made["partial"].is_null() {
                    wrong.push(format!("{name}: {} does not say that it is partial", made["name"]));
                }
            }
        }
    }
    let open = library.json(&["jobs", "--state", "pending,running"]);
    assert!(open.is_empty(), "{open:#?}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn files(corpus: &std::path::Path) -> BTreeMap<PathBuf, u64> {
    let folders = ["valid", "hostile"].map(|f| corpus.join(f));
    let entries = folders.iter().flat_map(|f| std::fs::read_dir(f).unwrap_or_else(|e| panic!("{f:?}: {e}")));
    entries.map(|e| e.unwrap().path()).filter(|p| p.is_file()).map(|p| (p.clone(), hash(&p))).collect()
}
