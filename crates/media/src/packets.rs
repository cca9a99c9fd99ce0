//! What the packets and frames say, measured line by line in constant memory.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use crate::describe::micros;
use crate::guard::MAX_STREAMS;

/// Everything seen so far of one run of ffprobe, by stream index.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    pub streams: BTreeMap<u32, Seen>,
}

#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// All of them, also those that are no part of the recording.
    pub read: u64,
    pub packets: Times,
    pub bytes: u64,
    pub monotonic_dts: bool,
    /// Key frames by their pts.
    pub keys: u64,
    /// Microseconds; between key frames, not counting from the last to the end.
    pub longest_key_distance: i64,
    pub last_key: Option<i64>,
    /// Packets before the first key frame, within [`LEAD_US`]: they show nothing, and are no damage, where a
    /// capture (or a window of ours) begins in the middle of a GOP.
    pub before_key: u64,
    /// A packet after a key frame is shown before it: the GOP is open.
    pub leading: bool,
    /// Where the last packet starts in the file, and its bytes.
    pub last: Option<(u64, u64)>,
    last_dts: Option<i64>,
    pub frames: Times,
    /// Samples of decoded audio.
    pub samples: u64,
    /// The picture sizes that were decoded; more than a few are as bad as many.
    pub sizes: Vec<(u32, u32)>,
}

/// Points in time that come almost in order; microseconds.
#[derive(Debug, Default)]
pub(crate) struct Times {
    pub count: u64,
    pub first: Option<i64>,
    /// The end of what lasts longest, as far as durations are known.
    pub end: Option<i64>,
    /// The sum of the durations.
    pub lasting: i64,
    /// The longest distance between neighbours.
    pub hole: i64,
    pub intervals: Intervals,
    /// Reorders: with B-frames, decode order is not display order.
    waiting: BinaryHeap<Reverse<i64>>,
    previous: Option<i64>,
    last: Option<(i64, Option<i64>)>,
}

/// How often each interval occurred, in half milliseconds: finer than any container's rounding.
#[derive(Debug, Default)]
pub(crate) struct Intervals {
    counts: BTreeMap<u32, u64>,
    total: u64,
}

/// Key frames further apart than this are rare, so that a first one that comes later is not how a capture begins.
const LEAD_US: i64 = 10_000_000;
/// H.264 and HEVC reorder across 16 pictures at most.
const REORDER: usize = 17;
/// Distinct intervals remembered: more are counted as different from all.
const MAX_INTERVALS: usize = 4096;
/// Matroska and FLV round to a millisecond, so that two neighbours differ by two.
const ROUNDING_HALF_MS: u32 = 4;
const MAX_SIZES: usize = 8;

impl Scan {
    /// One line of `-of compact`: `packet|stream_index=0|pts_time=0.040000|...`, keys in any order.
    pub fn line(&mut self, line: &str) {
        let mut fields = line.split('|');
        let section = fields.next().unwrap_or_default();
        let mut row = Row::default();
        for field in fields {
            let Some((key, value)) = field.split_once('=') else { continue };
            match key {
                // Side data follows on the same line under keys that may be the same.
                "side_data_type" => break,
                "stream_index" => row.stream = value.parse().ok(),
                "pts_time" | "best_effort_timestamp_time" => row.pts = row.pts.or(micros(value)),
                "dts_time" | "pkt_dts_time" => row.dts = micros(value),
                "duration_time" | "pkt_duration_time" => row.duration = row.duration.or(micros(value)),
                "size" => row.size = value.parse().unwrap_or(0),
                "pos" => row.pos = value.parse().ok(),
                "flags" => (row.key, row.discard) = (value.contains('K'), value.contains('D')),
                "nb_samples" => row.samples = value.parse().unwrap_or(0),
                "width" => row.width = value.parse().unwrap_or(0),
                "height" => row.height = value.parse().unwrap_or(0),
                _ => {}
            }
        }
        let Some(stream) = row.stream.filter(|index| *index < MAX_STREAMS) else { return };
        let seen = self.stream(stream);
        match section {
            "packet" => seen.packet(&row),
            "frame" => seen.frame(&row),
            _ => {}
        }
    }

    /// A packet that was found otherwise than by ffprobe.
    pub fn packet(&mut self, stream: u32, packet: &Packet) {
        if stream >= MAX_STREAMS {
            return;
        }
        let &Packet { pts, dts, duration, size, key, discard } = packet;
        let (pts, dts, duration) = (Some(pts), Some(dts), Some(duration));
        self.stream(stream).packet(&Row { pts, dts, duration, size, key, discard, ..Row::default() });
    }

    fn stream(&mut self, index: u32) -> &mut Seen {
        self.streams.entry(index).or_insert_with(|| Seen { monotonic_dts: true, ..Seen::default() })
    }

    /// At the end of the lines: what still waits for reordering.
    pub fn finish(&mut self) {
        for seen in self.streams.values_mut() {
            seen.packets.finish();
            seen.frames.finish();
        }
    }
}

/// Times in microseconds, the size in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Packet {
    pub pts: i64,
    pub dts: i64,
    pub duration: i64,
    pub size: u64,
    pub key: bool,
    /// To be read, and not to be shown.
    pub discard: bool,
}

#[derive(Default)]
struct Row {
    stream: Option<u32>,
    pts: Option<i64>,
    dts: Option<i64>,
    duration: Option<i64>,
    size: u64,
    pos: Option<u64>,
    key: bool,
    discard: bool,
    samples: u64,
    width: u32,
    height: u32,
}

impl Seen {
    fn packet(&mut self, row: &Row) {
        self.read += 1;
        self.bytes += row.size;
        if let Some(pos) = row.pos {
            self.last = Some((pos, row.size));
        }
        if let Some(dts) = row.dts {
            self.monotonic_dts &= self.last_dts.is_none_or(|last| dts > last);
            self.last_dts = Some(dts);
        }
        // Encoder priming and what an edit list cuts off is read but not part of the recording.
        if row.discard {
            return;
        }
        let Some(pts) = row.pts.or(row.dts) else {
            self.packets.count += 1;
            return;
        };
        self.packets.add(pts, row.duration);
        let first = self.packets.first.unwrap_or(pts);
        if self.last_key.is_none() && !row.key && pts.saturating_sub(first) < LEAD_US {
            self.before_key += 1;
        }
        if row.key {
            if let Some(last) = self.last_key {
                self.longest_key_distance = self.longest_key_distance.max(pts.saturating_sub(last));
            }
            self.keys += 1;
            self.last_key = Some(pts);
        } else if self.last_key.is_some_and(|key| pts < key) {
            self.leading = true;
        }
    }

    fn frame(&mut self, row: &Row) {
        self.samples += row.samples;
        match row.pts.or(row.dts) {
            Some(pts) => self.frames.add(pts, row.duration),
            None => self.frames.count += 1,
        }
        let size = (row.width, row.height);
        if row.width > 0 && self.sizes.len() < MAX_SIZES && !self.sizes.contains(&size) {
            self.sizes.push(size);
        }
    }

    /// The longest distance between key frames in microseconds, the one to the end included; none without any.
    pub fn key_interval(&self) -> Option<i64> {
        let to_end = self.packets.end()?.saturating_sub(self.last_key?);
        Some(self.longest_key_distance.max(to_end))
    }
}

/// What decoding came to.
#[derive(Debug, Default)]
pub(crate) struct Decoded {
    pub tallies: BTreeMap<u32, Tally>,
    /// Streams of which everything was decoded, with what was seen.
    pub whole: BTreeMap<u32, Seen>,
    /// How the decoder crashed.
    pub crashed: Option<String>,
}

impl Decoded {
    pub fn add(&mut self, scan: Scan, everything: bool) {
        for (index, seen) in scan.streams {
            self.tallies.entry(index).or_default().add(&seen);
            if everything {
                self.whole.insert(index, seen);
            }
        }
    }
}

/// What decoding one stream came to, over all windows.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub runs: u64,
    /// Packets from which a picture or sound is expected.
    pub packets: u64,
    pub frames: u64,
    /// Microseconds that the packets last.
    pub lasting: i64,
    /// The longest stretch in microseconds in which there are packets and no frames.
    pub hole: i64,
    pub sizes: Vec<(u32, u32)>,
}

impl Tally {
    /// Adds one window, which a scan of its own read.
    pub fn add(&mut self, seen: &Seen) {
        self.runs += 1;
        self.packets += seen.packets.count - seen.before_key;
        self.frames += seen.frames.count;
        self.lasting += seen.packets.lasting.max(seen.packets.span());
        self.hole = self.hole.max(seen.frames.hole - seen.packets.hole);
        for size in &seen.sizes {
            if self.sizes.len() < MAX_SIZES && !self.sizes.contains(size) {
                self.sizes.push(*size);
            }
        }
    }
}

impl Times {
    fn add(&mut self, at: i64, duration: Option<i64>) {
        let duration = duration.filter(|d| *d > 0);
        self.count += 1;
        self.first = Some(self.first.map_or(at, |first| first.min(at)));
        let end = at.saturating_add(duration.unwrap_or(0));
        self.end = Some(self.end.map_or(end, |e| e.max(end)));
        self.lasting = self.lasting.saturating_add(duration.unwrap_or(0));
        if self.last.is_none_or(|(last, _)| at >= last) {
            self.last = Some((at, duration));
        }
        self.waiting.push(Reverse(at));
        if self.waiting.len() > REORDER {
            self.release();
        }
    }

    fn release(&mut self) {
        let Some(Reverse(at)) = self.waiting.pop() else { return };
        if let Some(previous) = self.previous {
            // Going back happens where ffprobe seeks to the next window.
            let distance = at.saturating_sub(previous);
            if distance > 0 {
                self.hole = self.hole.max(distance);
                self.intervals.add(distance);
            }
        }
        self.previous = Some(at);
    }

    fn finish(&mut self) {
        while !self.waiting.is_empty() {
            self.release();
        }
    }

    /// The end in microseconds. The last packet lasts as long as others do when its container does not say.
    pub fn end(&self) -> Option<i64> {
        let assumed = match self.last? {
            (at, None) => at.saturating_add(self.intervals.usual().unwrap_or(0)),
            (at, Some(duration)) => at.saturating_add(duration),
        };
        Some(assumed.max(self.end?))
    }

    /// Microseconds from the first to the end of the last.
    pub fn span(&self) -> i64 {
        match (self.first, self.end()) {
            (Some(first), Some(end)) => end.saturating_sub(first).max(0),
            _ => 0,
        }
    }
}

impl Intervals {
    fn add(&mut self, micros: i64) {
        self.total += 1;
        let half_ms = u32::try_from(micros.saturating_add(250) / 500).unwrap_or(u32::MAX);
        if self.counts.len() < MAX_INTERVALS || self.counts.contains_key(&half_ms) {
            *self.counts.entry(half_ms).or_default() += 1;
        }
    }

    fn median(&self) -> Option<u32> {
        let mut below = 0;
        self.counts.iter().find_map(|(interval, count)| {
            below += count;
            (below * 2 >= self.total).then_some(*interval)
        })
    }

    /// The median in microseconds.
    pub fn usual(&self) -> Option<i64> {
        self.median().map(|half_ms| i64::from(half_ms) * 500)
    }

    /// More than one in a hundred intervals, and more than one, differ by more than a container's rounding.
    pub fn vary(&self) -> bool {
        let Some(median) = self.median() else { return false };
        let near = median.saturating_sub(ROUNDING_HALF_MS)..=median.saturating_add(ROUNDING_HALF_MS);
        let alike: u64 = self.counts.range(near).map(|(_, count)| count).sum();
        self.total - alike > (self.total / 100).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(lines: &str) -> Seen {
        let mut scan = Scan::default();
        lines.lines().for_each(|line| scan.line(line));
        scan.finish();
        scan.streams.remove(&0).expect("stream 0 was seen")
    }

    #[test]
    fn packets_are_measured_not_believed() {
        let seen = scan(
            "packet|stream_index=0|pts_time=-0.023220|dts_time=-0.023220|duration_time=0.023220|size=300|pos=48|flags=KD|side_data_type=Skip Samples|skip_samples=1024\n\
             packet|stream_index=0|pts_time=0.000000|dts_time=0.000000|duration_time=0.023220|size=200|pos=348|flags=K_\n\
             packet|stream_index=0|pts_time=0.023220|dts_time=0.023220|duration_time=N/A|size=100|pos=548|flags=K_\n\
             nonsense\n\
             packet|stream_index=4000|pts_time=1.0",
        );
        assert_eq!(seen.packets.count, 2);
        assert_eq!(seen.bytes, 600);
        assert_eq!(seen.packets.first, Some(0));
        assert_eq!(seen.packets.span(), 46_220, "the last lasts as long as others do, to half a millisecond");
        assert_eq!(seen.last, Some((548, 100)));
        assert!(seen.monotonic_dts);
    }

    #[test]
    fn a_packet_shown_before_the_key_frame_that_precedes_it_opens_the_gop() {
        let closed = "packet|stream_index=0|pts_time=0.0|flags=K_\npacket|stream_index=0|pts_time=0.08|flags=__\npacket|stream_index=0|pts_time=0.04|flags=__";
        assert!(!scan(closed).leading);
        let open = "packet|stream_index=0|pts_time=0.0|flags=K_\npacket|stream_index=0|pts_time=0.12|flags=K_\npacket|stream_index=0|pts_time=0.08|flags=__";
        assert!(scan(open).leading);
    }

    #[test]
    fn rounding_is_not_a_variable_frame_rate_and_reordering_neither() {
        let line =
            |ms: u64| format!("packet|stream_index=0|pts_time={}.{:03}000|flags=__\n", ms / 1000, ms % 1000);
        let rounded: String = (0..300u64).map(|n| line(n * 1000 / 30)).collect();
        assert!(!scan(&rounded).packets.intervals.vary());
        let reordered: String =
            (0..100u64).flat_map(|n| [n * 3, n * 3 + 2, n * 3 + 1]).map(|n| line(n * 40)).collect();
        assert!(!scan(&reordered).packets.intervals.vary());
        let variable: String = (0..300u64).map(|n| line(n * 33 + n % 7 * 9)).collect();
        assert!(scan(&variable).packets.intervals.vary());
    }

    #[test]
    fn what_precedes_the_first_key_frame_is_not_expected_to_decode() {
        let seen = scan(
            "packet|stream_index=0|pts_time=7.0|flags=__\n\
             packet|stream_index=0|pts_time=7.1|flags=__\n\
             packet|stream_index=0|pts_time=7.2|flags=K_\n\
             frame|stream_index=0|best_effort_timestamp_time=7.2|width=64|height=48",
        );
        let mut tally = Tally::default();
        tally.add(&seen);
        assert_eq!((tally.packets, tally.frames, tally.sizes), (1, 1, vec![(64, 48)]));
    }

    #[test]
    fn the_key_interval_includes_the_way_to_the_end() {
        let seen = scan(
            "packet|stream_index=0|pts_time=0.0|duration_time=1.0|flags=K_\n\
             packet|stream_index=0|pts_time=1.0|duration_time=1.0|flags=K_\n\
             packet|stream_index=0|pts_time=2.0|duration_time=3.0|flags=__",
        );
        assert_eq!(seen.key_interval(), Some(4_000_000));
    }
}
