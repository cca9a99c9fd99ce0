//! Command lines that render a session's picture, one for each segment. Pure.

use std::fmt::Write;

use domain::{Failure, MediaFacts, StreamFacts, VideoCodec, VideoFacts};

use crate::argv::{Argv, micros};
use crate::mix::Picture;
use crate::picture::{self, Into};
use crate::timeline::Segment;
use crate::{encode, grid, size};

/// One track with a picture.
#[derive(Debug, Clone)]
pub(crate) struct Tile<'a> {
    pub(crate) input: usize,
    pub(crate) offset_ms: u64,
    pub(crate) end_ms: u64,
    pub(crate) facts: &'a MediaFacts,
    pub(crate) stream: &'a StreamFacts,
    pub(crate) video: &'a VideoFacts,
    /// A copy with cues lies in the work directory: see [`indexed`].
    pub(crate) indexed: bool,
}

pub(crate) const LIST: &str = "segments.ffconcat";

/// Microseconds before a segment at which its inputs are read, so that the picture that still stands when it
/// starts (a paused screen) is known. What was drawn earlier than this appears with its next change.
const LEAD_US: i64 = 2_000_000;

/// What every segment says of its colours, whoever is in it: it stands in H.264's headers, and only the first
/// segment's survive the join.
const SAME: &str =
    "setsar=1,format=yuv420p,setparams=range=tv:color_primaries=bt709:color_trc=bt709:colorspace=bt709";

/// Renders `segment` to its own mp4. All segments share their settings, start with a closed GOP and count frames,
/// so that they join without encoding again.
pub(crate) fn segment(
    segment: &Segment,
    number: usize,
    tiles: &[&Tile<'_>],
    picture: &Picture<'_>,
    tonemap: bool,
    threads: Option<u32>,
) -> Result<Vec<String>, Failure> {
    let limit = threads.map(|n| vec!["-threads".to_owned(), n.to_string()]).unwrap_or_default();
    let (width, height) = picture.canvas;
    let rate = size::rate_text(picture.rate);
    let frames = segment.frames();
    let cells = grid::cells(tiles.len(), picture.canvas);
    let mut argv = Argv::new();
    let mut graph = String::new();
    for (n, (tile, cell)) in tiles.iter().zip(&cells).enumerate() {
        let (seek, shift) = read_from(tile, segment, picture.rate);
        let drawn =
            picture::picture(tile.stream, tile.video, Into::Tile(cell.width, cell.height), tonemap).bt709();
        let seek_text = micros(seek);
        let mut options: Vec<&str> = limit.iter().map(String::as_str).collect();
        options.extend(drawn.input);
        if seek > 0 {
            options.extend(["-ss", &seek_text]);
        }
        let stream = if tile.indexed { 0 } else { tile.stream.index };
        argv = if tile.indexed {
            argv.source_named(&options, &indexed_name(tile.input))
        } else {
            argv.source(&options, tile.input)
        };
        // `fps` with a start time begins at the segment's first frame whatever the track's own clock says; the
        // last picture stands until the segment is over.
        write!(
            graph,
            "[{n}:{stream}]{},setpts=PTS-{:.6}/TB,fps={rate}:start_time=0,tpad=stop=-1:stop_mode=clone,\
             trim=end_frame={frames}[t{n}];",
            drawn.chain(),
            shift as f64 / 1e6,
        )
        .expect("a String takes it");
    }
    match tiles.len() {
        0 => write!(graph, "color=c=black:s={width}x{height}:r={rate},trim=end_frame={frames},{SAME}[v]"),
        1 => write!(graph, "[t0]{SAME}[v]"),
        n => {
            let labels: String = (0..n).map(|n| format!("[t{n}]")).collect();
            let layout: Vec<_> = cells.iter().map(|cell| format!("{}_{}", cell.x, cell.y)).collect();
            write!(
                graph,
                "{labels}xstack=inputs={n}:layout={}:fill=black,pad={width}:{height}:-1:-1,{SAME}[v]",
                layout.join("|")
            )
        }
    }
    .expect("a String takes it");
    let mut argv = argv
        .args(&["-filter_complex", &graph, "-map", "[v]"])
        .args(&encode::video(picture.target, width, picture.rate)?)
        .args(&limit);
    if picture.target.codec == VideoCodec::H264 {
        // Key frames at fixed places only: a scene cut near a join would make two of them.
        argv = argv.args(&["-sc_threshold", "0", "-x264-params", "open-gop=0"]);
    }
    Ok(argv
        .strip()
        .args(&["-video_track_timescale", &timescale(picture.rate).to_string()])
        .output("mp4", &name(number)))
}

/// Where to seek in the track, and how much later the segment starts, in microseconds of the track's time.
fn read_from(tile: &Tile<'_>, segment: &Segment, rate: (u32, u32)) -> (i64, i64) {
    let start = size::frame_us(segment.from, rate) - tile.offset_ms as i64 * 1000;
    let seek = (start - LEAD_US).max(0);
    (seek, start - seek)
}

/// Whether rendering these segments seeks in this track.
pub(crate) fn seeks(tile: &Tile<'_>, segments: &[Segment], rate: (u32, u32)) -> bool {
    segments
        .iter()
        .any(|segment| segment.inputs.contains(&tile.input) && read_from(tile, segment, rate).0 > 0)
}

/// Copies a track into Matroska with cues. The sound goes along: where the picture starts depends on it.
pub(crate) fn indexed(tile: &Tile<'_>) -> Vec<String> {
    let mut argv = Argv::new().source(&[], tile.input).args(&["-map", &format!("0:{}", tile.stream.index)]);
    if let Some(audio) = tile.facts.main_audio() {
        argv = argv.args(&["-map", &format!("0:{}", audio.index)]);
    }
    argv.args(&["-c", "copy"]).strip().output("matroska", &indexed_name(tile.input))
}

fn indexed_name(input: usize) -> String {
    format!("indexed{input}.mkv")
}

fn name(number: usize) -> String {
    format!("segment{number}.mp4")
}

/// Segments in order, each with its exact length: the concat demuxer would believe the header's, which is rounded to
/// a millisecond and shifts what follows.
pub(crate) fn list(segments: &[Segment], rate: (u32, u32)) -> String {
    let mut text = "ffconcat version 1.0\n".to_owned();
    for (number, segment) in segments.iter().enumerate() {
        let length = size::frame_us(segment.to, rate) - size::frame_us(segment.from, rate);
        writeln!(text, "file {}\nduration {}", name(number), micros(length)).expect("a String takes it");
    }
    text
}

/// Ticks a second that hold every frame's time exactly.
pub(crate) fn timescale((num, _): (u32, u32)) -> u32 {
    if num < 10_000 { num * 1000 } else { num }
}
