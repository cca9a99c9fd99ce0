//! What every call of ffmpeg and ffprobe must say, so that no input makes it read or allocate what it should not.

use std::io;
use std::path::Path;
use std::time::Duration;

/// Streams in one file at most. Meeting recorders write one stream a participant: 64 leaves them room, and keeps
/// the per-stream cost of demuxing (buffers, probing decoders) within the memory budget of a probe.
pub const MAX_STREAMS: u32 = 64;

/// Pixels of one picture at most: 8K (7680x4320) and as much again for odd cameras and alignment. A picture is
/// decoded into memory as a whole: at this limit 8-bit 4:2:0 takes 100 MB, and decoders hold several.
pub const MAX_PIXELS: u64 = 2 * 7680 * 4320;

/// The longest recording: two days. What claims more holds two far-apart timestamps, not media; converting those
/// would make 25 pictures for every second between them.
pub const MAX_DURATION: Duration = Duration::from_secs(48 * 3600);

/// Bytes of one allocation at most. The largest honest one is a picture: 16-bit 4:4:4 with alpha at MAX_PIXELS
/// would take 530 MB and is refused, 10-bit 4:2:0 takes 200 MB.
pub(crate) const MAX_ALLOC: u64 = 256 << 20;

/// Samples of one decoded audio frame at most. The longest honest frames are a second of PCM at 192 kHz.
pub(crate) const MAX_SAMPLES: u64 = 1 << 20;

/// Containers that recordings come in, by demuxer name (a name that a build lacks is harmless). Playlists (hls,
/// dash, concat, sdp, rtsp, imf) read further files and are never here; neither are still images, `image2`,
/// and the raw elementary streams h264/hevc/mpegvideo, which have no timestamps to measure a duration from.
const DEMUXERS: &[&str] = &[
    "mov", "mp4", "m4a", "3gp", "3g2", "mj2", "matroska", "webm", "mpegts", "mpeg", "avi", "flv", "live_flv",
    "asf", "ogg", "wav", "w64", "mp3", "aac", "loas", "ac3", "eac3", "flac", "amr", "aiff", "au", "caf",
    "mxf", "dv", "ivf", "rm",
];

/// Decoders by ffmpeg's name, as recordings need them. Everything else is refused before its decoder opens: the
/// rare ones are where the memory bugs are. A name that a build lacks is harmless.
const DECODERS: &[&str] = &[
    // Video that cameras, browsers, phones and screen recorders write today.
    "h264",
    "hevc",
    "vp8",
    "libvpx",
    "vp9",
    "libvpx-vp9",
    "av1",
    "libdav1d",
    "libaom-av1",
    "mpeg4",
    "mjpeg",
    "prores",
    "dnxhd",
    "dvvideo",
    "mpeg2video",
    "mpeg1video",
    // Video of older archives.
    "h263",
    "h263p",
    "flv",
    "msmpeg4v1",
    "msmpeg4v2",
    "msmpeg4",
    "wmv1",
    "wmv2",
    "wmv3",
    "vc1",
    "theora",
    // Lossless intermediates, and cover art.
    "ffv1",
    "png",
    "rawvideo",
    // Audio.
    "aac",
    "aac_latm",
    "mp3float",
    "mp3",
    "mp2float",
    "mp2",
    "mp1float",
    "mp1",
    "ac3",
    "eac3",
    "dca",
    "opus",
    "libopus",
    "vorbis",
    "libvorbis",
    "flac",
    "alac",
    "amrnb",
    "amrwb",
    "libopencore_amrnb",
    "libopencore_amrwb",
    "speex",
    "libspeex",
    "wmav1",
    "wmav2",
    "wmapro",
    "wmavoice",
    "wmalossless",
    "nellymoser",
    "g722",
    "g726",
    "gsm",
    "gsm_ms",
    "adpcm_ima_wav",
    "adpcm_ima_qt",
    "adpcm_ms",
    "adpcm_swf",
    "adpcm_yamaha",
    "pcm_alaw",
    "pcm_mulaw",
    "pcm_bluray",
    "pcm_dvd",
    "pcm_f32be",
    "pcm_f32le",
    "pcm_f64be",
    "pcm_f64le",
    "pcm_s8",
    "pcm_u8",
    "pcm_s16be",
    "pcm_s16le",
    "pcm_s16le_planar",
    "pcm_s24be",
    "pcm_s24le",
    "pcm_s32be",
    "pcm_s32le",
    "pcm_u16be",
    "pcm_u16le",
    // What Fedora's ffmpeg-free has in place of the built-in ones.
    "libopenh264",
    "libfdk_aac",
    // Subtitles. We decode none, but ffprobe refuses a whole file when one stream's decoder may not open.
    "ass",
    "ssa",
    "srt",
    "subrip",
    "mov_text",
    "webvtt",
    "text",
    "dvbsub",
    "dvdsub",
    "pgssub",
    "cc_dec",
    "libzvbi_teletextdec",
];

/// The start of every ffmpeg argv, before the first input.
pub(crate) fn ffmpeg() -> Vec<String> {
    // Without -nostdin ffmpeg reads commands from its terminal.
    strings(&["-nostdin", "-hide_banner", "-v", "error", "-max_alloc", &MAX_ALLOC.to_string()])
}

/// The start of every ffprobe argv; the input follows. It includes [`input`].
pub(crate) fn ffprobe() -> Vec<String> {
    let mut args = strings(&["-hide_banner", "-v", "error", "-max_alloc", &MAX_ALLOC.to_string()]);
    args.extend(input());
    args
}

/// Options of one input: they must stand before each `-i`, because ffmpeg applies them to that input only.
pub(crate) fn input() -> Vec<String> {
    strings(&[
        "-protocol_whitelist",
        "file,pipe",
        "-format_whitelist",
        &DEMUXERS.join(","),
        "-codec_whitelist",
        &DECODERS.join(","),
        "-max_streams",
        &MAX_STREAMS.to_string(),
        "-max_pixels",
        &MAX_PIXELS.to_string(),
        "-max_samples",
        &MAX_SAMPLES.to_string(),
    ])
}

/// [`input`] for a look at the names of streams: no decoder opens at all, and streams are counted far beyond the
/// limit, so that a refusal can say how many there are.
pub(crate) fn naming() -> Vec<String> {
    strings(&[
        "-protocol_whitelist",
        "file,pipe",
        "-format_whitelist",
        &DEMUXERS.join(","),
        "-codec_whitelist",
        "none",
        "-max_streams",
        "2000",
    ])
}

/// Whether [`input`] lets a decoder of this codec open. Codecs and their decoders differ in a few names.
pub(crate) fn decodes(codec: &str) -> bool {
    const ALIASES: &[(&str, &str)] = &[
        ("mp3", "mp3float"),
        ("dts", "dca"),
        ("amr_nb", "amrnb"),
        ("amr_wb", "amrwb"),
        ("adpcm_g722", "g722"),
        ("adpcm_g726", "g726"),
        ("flv1", "flv"),
        ("msmpeg4v3", "msmpeg4"),
        ("dvd_subtitle", "dvdsub"),
        ("dvb_subtitle", "dvbsub"),
        ("hdmv_pgs_subtitle", "pgssub"),
        ("dvb_teletext", "libzvbi_teletextdec"),
        ("eia_608", "cc_dec"),
    ];
    let decoder = ALIASES.iter().find(|(name, _)| *name == codec).map_or(codec, |(_, decoder)| decoder);
    DECODERS.contains(&decoder)
}

/// Gives `source` the generated name `in<number>` in the work directory, and returns it as ffmpeg must see it.
/// The child may follow the link only when `source` is in its `Spec::read`.
pub(crate) fn link(work: &Path, number: usize, source: &Path) -> io::Result<String> {
    let name = format!("in{number}");
    let link = work.join(&name);
    // A work directory may be used again by the next call of the same job.
    match std::fs::remove_file(&link) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    std::os::unix::fs::symlink(std::path::absolute(source)?, &link)?;
    Ok(format!("file:{name}"))
}

fn strings(args: &[&str]) -> Vec<String> {
    args.iter().map(|arg| (*arg).to_owned()).collect()
}

#[cfg(test)]
#[path = "../tests/common/mod.rs"]
mod common;

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::Duration;

    use sandbox::{Layer, Limits, Output, Sandbox, Spec, Stdin};

    use super::*;

    /// Each option is tried against the same file without it, so that a version of ffmpeg in which it does not
    /// act fails here.
    async fn run(program: &str, args: Vec<String>, input: &str, after: &str) -> Output {
        let sandbox = Sandbox::new(&Layer::ALL).expect("a sandbox of what this machine has");
        let work = tempfile::tempdir().expect("a temporary directory");
        let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
        let mut args: Vec<_> = args.into_iter().map(Into::into).collect();
        args.extend(["-i", input].map(Into::into));
        args.extend(after.split_whitespace().map(Into::into));
        let seconds = Duration::from_secs(60);
        let limits = Limits {
            wall: seconds,
            cpu: seconds,
            memory: 2 << 30,
            file_size: 1 << 20,
            disk: u64::MAX,
            processes: 1,
        };
        let spec = Spec {
            program: PathBuf::from(program),
            args,
            dir: work.path().to_owned(),
            read: vec![target],
            limits,
            stdin: Stdin::Null,
        };
        sandbox.run(spec, 1 << 20).await.expect("it starts")
    }

    async fn opens(args: Vec<String>, input: &Path) -> bool {
        run("ffprobe", args, &input.display().to_string(), "").await.exit.success()
    }

    #[tokio::test]
    async fn format_whitelist_keeps_playlists_from_their_neighbours() {
        let plain = common::plain();
        let name = plain.file_name().and_then(|name| name.to_str()).expect("a plain name");
        let hls = format!("#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:4,\n{name}\n#EXT-X-ENDLIST\n");
        let concat = format!("ffconcat version 1.0\nfile {name}\n");
        for (file, playlist) in [("hls.mp4", hls), ("concat.mp4", concat)] {
            let file = common::bytes(file, playlist.as_bytes());
            assert!(opens(Vec::new(), &file).await, "without the guard ffprobe reads the neighbour");
            assert!(!opens(ffprobe(), &file).await);
        }
        // Without the guard these wait for the network or for ever.
        let dash =
            "<?xml version=\"1.0\"?><MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" type=\"static\"></MPD>";
        let sdp = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\nc=IN IP4 127.0.0.1\r\nm=audio 5004 RTP/AVP 0\r\n";
        let endless = "#EXTM3U\n#EXTINF:1,\nendless.mp4\n";
        for (file, text) in [("dash.mp4", dash), ("sdp.mp4", sdp), ("endless.mp4", endless)] {
            assert!(!opens(ffprobe(), &common::bytes(file, text.as_bytes())).await, "{file}");
        }
    }

    #[tokio::test]
    async fn protocol_whitelist_refuses_all_but_files() {
        let subfile = format!("subfile,,start,0,end,0,,:{}", common::plain().display());
        assert!(run("ffprobe", Vec::new(), &subfile, "").await.exit.success());
        assert!(!run("ffprobe", ffprobe(), &subfile, "").await.exit.success());
    }

    #[tokio::test]
    async fn codec_whitelist_acts_in_ffprobe_and_ffmpeg() {
        let rare =
            common::ffmpeg("rare.avi", "-f lavfi -i testsrc2=size=64x50:rate=5:duration=1 -c:v magicyuv");
        assert!(opens(Vec::new(), &rare).await && !opens(ffprobe(), &rare).await);
        let guarded = [ffmpeg(), input()].concat();
        let input = rare.display().to_string();
        assert!(run("ffmpeg", ffmpeg(), &input, "-f null -").await.exit.success());
        assert!(!run("ffmpeg", guarded, &input, "-f null -").await.exit.success());
    }

    #[tokio::test]
    async fn max_pixels_keeps_a_huge_picture_below_100_mb() {
        let huge = common::huge_picture().display().to_string();
        for (program, args, after) in
            [("ffprobe", ffprobe(), "-show_frames"), ("ffmpeg", [ffmpeg(), input()].concat(), "-f null -")]
        {
            let output = run(program, args, &huge, after).await;
            assert!(output.usage.max_rss < 100_000_000, "{program}: {} bytes", output.usage.max_rss);
        }
    }

    #[tokio::test]
    async fn max_alloc_acts() {
        let plain = common::plain();
        let tight: Vec<String> = ffprobe()
            .into_iter()
            .map(|a| if a == MAX_ALLOC.to_string() { "20000".to_owned() } else { a })
            .collect();
        assert!(opens(ffprobe(), &plain).await && !opens(tight, &plain).await);
    }
}
