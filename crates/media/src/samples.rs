//! The packets of an MP4 of ours, from its sample tables.
//!
//! ffprobe's list of packets is made of nothing else, and printing it costs more than all the rest of a check: 1.5 of 1.9 s for
//! 260,000 packets in 1 GiB. So of an output ffprobe reads and counts every packet, and when and how large they are is read here.
//! Where the two do not agree, or there is anything here that our own muxing does not write, ffprobe's list decides.

use std::{io, path::Path};

use crate::boxes::{self, be32, child, children, duration, timescale, u32_at};
use crate::container::Source;
use crate::describe::{Description, micros};
use crate::packets::{Packet, Scan};

/// Samples of one file: 48 h of 60 fps video with audio have 20 million. PCM, with one a tick, has more, and other packets.
const MOST: u64 = 25_000_000;
/// Microseconds: what a container's rounding to milliseconds may move an end by.
const ROUNDING_US: i64 = 2_000;

/// Nothing where the tables are not of the kind that we write.
pub(crate) fn read(path: &Path) -> io::Result<Option<Scan>> {
    let mut source = Source::plain(std::fs::File::open(path)?)?;
    Ok(boxes::index(&mut source)?.as_deref().and_then(scan))
}

/// What ffprobe lists as the tables have it. Of MP3 it reads the frames themselves, whose last one is longer.
const AS_THEY_ARE: [&str; 7] = ["h264", "hevc", "vp9", "av1", "aac", "opus", "flac"];

/// Whether ffprobe read as many packets from every stream, and found that it ends where they do.
pub(crate) fn agree(scan: &Scan, description: &Description) -> bool {
    scan.streams.len() == description.streams.len()
        && description.streams.iter().all(|stream| {
            let Some(seen) = scan.streams.get(&stream.index) else { return false };
            if !stream.codec().is_some_and(|codec| AS_THEY_ARE.contains(&codec)) {
                return false;
            }
            let number = |text: &Option<String>| text.as_deref().and_then(micros);
            let ends = number(&stream.start_time)
                .zip(number(&stream.duration))
                .map(|(start, lasting)| start.saturating_add(lasting));
            stream.nb_read_packets.as_deref().and_then(|n| n.parse().ok()) == Some(seen.read)
                && ends.zip(seen.packets.end()).is_some_and(|(a, b)| (a - b).abs() <= ROUNDING_US)
        })
}

/// Of the body of a `moov`.
fn scan(moov: &[u8]) -> Option<Scan> {
    if child(moov, b"mvex").is_some() {
        return None;
    }
    let movie_scale = child(moov, b"mvhd").and_then(timescale)?;
    let mut scan = Scan::default();
    let traks = children(moov).filter(|(kind, _)| kind == b"trak");
    for (stream, (_, trak)) in (0..).zip(traks) {
        track(trak, movie_scale, stream, &mut scan)?;
    }
    scan.finish();
    Some(scan)
}

fn track(trak: &[u8], movie_scale: u32, stream: u32, scan: &mut Scan) -> Option<()> {
    let mdia = child(trak, b"mdia")?;
    let stbl = child(child(mdia, b"minf")?, b"stbl")?;
    let mdhd = child(mdia, b"mdhd")?;
    let scale = timescale(mdhd).filter(|scale| *scale > 0)?;
    let is_sound = child(mdia, b"hdlr")?.get(8..12) == Some(b"soun");
    let stsz = child(stbl, b"stsz")?;
    let (fixed, count) = (u32_at(stsz, 4)?, u64::from(u32_at(stsz, 8)?));
    if count > MOST {
        return None;
    }
    let edit = shown(trak, movie_scale, scale)?;
    let (stts, ctts) = (child(stbl, b"stts")?, child(stbl, b"ctts"));
    // Of reordered pictures ffprobe takes the durations from their rate.
    let rates = stts.get(8..).unwrap_or_default().chunks_exact(8).map(|run| be32(&run[4..]));
    if ctts.is_some() && rates.clone().max() != rates.min() {
        return None;
    }
    let (mut durations, mut offsets) = (runs(stts), ctts.map(runs));
    // The last one lasts until what is shown ends.
    let all = i64::try_from(duration(mdhd)?).ok()?;
    let lasting = edit.lasting.unwrap_or(all).min(all);
    let mut keys = child(stbl, b"stss")
        .filter(|stss| u32_at(stss, 4) != Some(0))
        .map(|stss| stss.get(8..).unwrap_or_default().chunks_exact(4).map(be32).peekable());
    let us = |ticks: i64| (ticks as f64 / f64::from(scale) * 1e6).round() as i64;
    let mut at = 0_i64;
    for n in 0..count {
        let mut duration = i64::from(durations.next()?);
        if ctts.is_none() && n + 1 == count {
            duration = Some(lasting - (at - edit.from)).filter(|duration| *duration >= 0)?;
        }
        let offset = match &mut offsets {
            Some(offsets) => i64::from(offsets.next()? as i32),
            None => 0,
        };
        let size = if fixed > 0 { fixed } else { u32_at(stsz, 12 + 4 * usize::try_from(n).ok()?)? };
        let key = keys.as_mut().is_none_or(|keys| keys.next_if(|k| u64::from(*k) == n + 1).is_some());
        let shown = at + offset;
        // A tick may be lost in the edit list's coarser ones.
        if edit.lasting.is_some_and(|lasting| shown - edit.from > lasting) {
            return None;
        }
        scan.packet(
            stream,
            &Packet {
                pts: us(shown - edit.from),
                dts: us(at - edit.from),
                duration: us(duration),
                size: u64::from(size),
                key,
                // Encoder priming as a whole; of what is cut in two, the rest is played.
                discard: if is_sound { shown + duration <= edit.from } else { shown < edit.from },
            },
        );
        at += duration;
    }
    Some(())
}

/// What is shown of a track, in its ticks.
struct Shown {
    from: i64,
    /// Everything, where there is none.
    lasting: Option<i64>,
}

/// Nothing where it is more than a cut of what an encoder needs. Of a track that starts late ffprobe takes the last packet for longer
/// than it is.
fn shown(trak: &[u8], movie_scale: u32, scale: u32) -> Option<Shown> {
    let elst = child(trak, b"edts").and_then(|edts| child(edts, b"elst"));
    let Some(edit) = elst.map_or(Some(None), boxes::edit)? else {
        return Some(Shown { from: 0, lasting: None });
    };
    if edit.from < 0 || !edit.plain || movie_scale == 0 {
        return None;
    }
    // To the nearest tick, as ffmpeg has it.
    let (movie_scale, scale) = (u128::from(movie_scale), u128::from(scale));
    let ticks = (u128::from(edit.shown) * scale + movie_scale / 2) / movie_scale;
    let lasting = if edit.shown == 0 { None } else { Some(i64::try_from(ticks).ok()?) };
    Some(Shown { from: edit.from, lasting })
}

/// The values of a table of (how often, value).
fn runs(table: &[u8]) -> impl Iterator<Item = u32> {
    let pairs = table.get(8..).unwrap_or_default().chunks_exact(8);
    pairs.flat_map(|run| std::iter::repeat_n(be32(&run[4..]), be32(run) as usize))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Check, Tools};

    fn tools() -> Tools {
        let sandbox = sandbox::Sandbox::new(&[])
            .or_else(|_| sandbox::Sandbox::new(&sandbox::Layer::ALL))
            .expect("with every layer that may be missing");
        Tools::new(sandbox, None, None, std::env::var_os("PATH").as_deref()).unwrap()
    }

    /// A film of 6 s with B-frames and sound, as `arguments` have it written.
    #[expect(clippy::disallowed_methods, reason = "what is measured is made outside of what is tested")]
    fn film(at: &Path, arguments: &str) {
        let mut ffmpeg = std::process::Command::new("ffmpeg");
        let sources = "-v error -y -f lavfi -i testsrc=s=160x120:r=30000/1001:d=6 -itsoffset LATE \
            -f lavfi -i sine=d=6:r=48000 -map 0 -map 1 -pix_fmt yuv420p";
        let late = arguments.split_once("late=").map_or("0", |(_, late)| late);
        let arguments = arguments.split(" late=").next().unwrap();
        ffmpeg.args(sources.replace("LATE", late).split_whitespace()).args(arguments.split_whitespace());
        assert!(ffmpeg.arg(at).status().unwrap().success(), "{arguments}");
    }

    /// What the tables say of times, sizes and keys is what ffprobe lists, packet by packet, for everything that we write.
    #[tokio::test]
    async fn tables_and_packets_say_the_same() {
        for (name, arguments) in [
            ("a.mp4", "-c:v libx264 -preset fast -g 60 -c:a aac -movflags +faststart"),
            ("b.mp4", "-c:v libx264 -preset ultrafast -bf 0 -c:a libopus"),
            ("c.mp4", "-c:v libx265 -preset ultrafast -x265-params log-level=none -c:a libopus"),
            ("f.mp4", "-c:v libx264 -preset fast -x264-params keyint=25:open-gop=1 -c:a flac -strict -2"),
            ("g.m4a", "-vn -c:a aac"),
            ("h.mp4", "-c:v libvpx-vp9 -cpu-used 8 -deadline realtime -c:a aac"),
            ("i.mp4", "-c:v libsvtav1 -preset 12 -c:a aac"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join(name);
            film(&path, arguments);
            let (tools, room) = (tools(), tempfile::tempdir().unwrap());
            let quick = tools.probe_mp4(room.path(), &path).await.unwrap();
            let listed = tools.with_check(Check::None).probe(room.path(), &path).await.unwrap();
            assert_eq!(quick, Some(listed), "{arguments}");
        }
    }

    /// What is of another kind, or has fewer packets than its tables say, is measured packet by packet.
    #[tokio::test]
    async fn what_does_not_agree_is_left_to_ffprobe() {
        let folder = tempfile::tempdir().unwrap();
        let (whole, fragmented) = (folder.path().join("whole.mp4"), folder.path().join("fragmented.mp4"));
        film(&whole, "-c:v libx264 -preset ultrafast -c:a aac -movflags +faststart");
        film(&fragmented, "-c:v libx264 -preset ultrafast -c:a aac -movflags frag_keyframe+empty_moov");
        let mut bytes = std::fs::read(&whole).unwrap();
        // One sample more than there is a time for.
        let stsz = bytes.windows(4).position(|w| w == b"stsz").unwrap() + 12;
        let count = be32(&bytes[stsz..]);
        bytes[stsz..stsz + 4].copy_from_slice(&(count + 1).to_be_bytes());
        let [changed, mp3, late] =
            ["changed.mp4", "mp3.mp4", "late.mp4"].map(|name| folder.path().join(name));
        std::fs::write(&changed, bytes).unwrap();
        film(&mp3, "-c:v libx264 -preset ultrafast -c:a libmp3lame");
        film(&late, "-c:v libx264 -preset ultrafast -c:a libopus late=0.7");
        let room = tempfile::tempdir().unwrap();
        for path in [fragmented, changed, mp3, late] {
            assert_eq!(tools().probe_mp4(room.path(), &path).await.unwrap(), None, "{}", path.display());
        }
        assert!(tools().probe_mp4(room.path(), &whole).await.unwrap().is_some());
    }
}
