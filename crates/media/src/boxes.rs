//! ISO base media (mp4, mov, 3gp): where boxes end, and what sample tables and edit lists say.

use std::io;

use crate::container::Source;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Boxes {
    /// The major brand, e.g. `qt  `; empty without an `ftyp`.
    pub brand: String,
    /// An index (`moov`) that is whole.
    pub index: bool,
    pub fragmented: bool,
    /// Some media data (`mdat`) is there.
    pub data: bool,
    /// The type of a box that runs past the end of the file and matters.
    pub cut: Option<String>,
    /// In the order of ffmpeg's streams.
    pub tracks: Vec<Track>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Track {
    /// Ticks per second.
    pub timescale: u32,
    /// The sample entry's fourcc, e.g. `avc1`; `encv` and `enca` are encrypted.
    pub entry: String,
    /// Pixels as the sample entry says; 0 for what is not video.
    pub size: (u16, u16),
    pub samples: u64,
    /// Samples whose bytes lie beyond the end of the file.
    pub missing: u64,
    /// No edit list, or one that only trims encoder delay.
    pub simple_edits: bool,
}

/// An index above this is not read: 48 h of 60 fps video and audio need about 100 MB.
const MAX_INDEX: u64 = 128 << 20;
/// Top-level boxes looked at; two days of 1 s fragments are 350,000.
const MAX_BOXES: u32 = 500_000;
/// Boxes of one parent looked at: no honest one has more.
const MAX_CHILDREN: usize = 4096;
/// Encoder delay and B-frame reordering stay below this; a longer cut at the start is an edit by a person.
const MAX_DELAY_MS: u64 = 500;

/// A box that is in no other.
struct Outer {
    kind: [u8; 4],
    offset: u64,
    /// Bytes of its header, and of all of it, as it says.
    header: u64,
    size: u64,
    /// It does not run past the end of the file.
    whole: bool,
}

/// The one that begins there. What is none ends the walk.
fn outer(source: &mut Source, offset: u64) -> io::Result<Option<Outer>> {
    let Some((kind, header, size)) = header(&source.at(offset, 16)?) else { return Ok(None) };
    let rest = source.len - offset;
    let size = if size == 0 { rest } else { size };
    Ok((size >= header).then_some(Outer { kind, offset, header, size, whole: size <= rest }))
}

impl Outer {
    fn body(&self, source: &mut Source) -> io::Result<Vec<u8>> {
        source.at(self.offset + self.header, self.size - self.header)
    }
}

pub(crate) fn read(source: &mut Source) -> io::Result<Boxes> {
    let mut boxes = Boxes::default();
    let mut offset = 0;
    for _ in 0..MAX_BOXES {
        let Some(outer) = outer(source, offset)? else { break };
        match &outer.kind {
            b"ftyp" if boxes.brand.is_empty() => {
                let body = source.at(offset + outer.header, 4)?;
                boxes.brand = fourcc(&body);
            }
            b"moov" if outer.whole && !boxes.index => {
                boxes.index = true;
                if outer.size <= MAX_INDEX {
                    let body = outer.body(source)?;
                    boxes.fragmented |= child(&body, b"mvex").is_some();
                    boxes.tracks = tracks(&body, source.len);
                }
            }
            b"moof" => boxes.fragmented = true,
            b"mdat" => boxes.data |= source.len - offset > outer.header,
            _ => {}
        }
        if !outer.whole {
            // In a plain file the sample tables say what is missing; a recorder may leave mdat's size open.
            let matters =
                matches!(&outer.kind, b"moov" | b"moof") || &outer.kind == b"mdat" && boxes.fragmented;
            if matters {
                boxes.cut = Some(fourcc(&outer.kind));
            }
            break;
        }
        offset += outer.size;
        if offset >= source.len {
            break;
        }
    }
    Ok(boxes)
}

/// The body of the index, if it is whole and not too large.
pub(crate) fn index(source: &mut Source) -> io::Result<Option<Vec<u8>>> {
    let mut offset = 0;
    for _ in 0..MAX_BOXES {
        let Some(outer) = outer(source, offset)?.filter(|outer| outer.whole) else { break };
        if &outer.kind == b"moov" {
            return if outer.size > MAX_INDEX { Ok(None) } else { outer.body(source).map(Some) };
        }
        offset += outer.size;
    }
    Ok(None)
}

impl Boxes {
    pub fn encrypted(&self) -> bool {
        self.tracks
            .iter()
            .any(|t| ["encv", "enca", "enct", "encs", "drms", "drmi"].contains(&t.entry.as_str()))
    }

    /// What the file promises and does not hold.
    pub fn short(&self) -> Option<String> {
        if let Some(cut) = &self.cut {
            return Some(match cut.as_str() {
                "moov" => "its index (moov) is cut: the file ends in the middle of it".to_owned(),
                _ => format!("it is cut: the file ends in the middle of a fragment ({cut})"),
            });
        }
        if !self.index && self.data {
            return Some("its index (moov) is missing: the recorder did not finish the file".to_owned());
        }
        let missing: u64 = self.tracks.iter().map(|t| t.missing).sum();
        let samples: u64 = self.tracks.iter().map(|t| t.samples).sum();
        (missing > 0)
            .then(|| format!("it is cut: {missing} of its {samples} samples lie beyond the end of the file"))
    }
}

fn tracks(moov: &[u8], len: u64) -> Vec<Track> {
    let movie_scale = child(moov, b"mvhd").and_then(timescale).unwrap_or(0);
    children(moov)
        .filter(|(kind, _)| kind == b"trak")
        .map(|(_, trak)| track(trak, movie_scale, len))
        .collect()
}

fn track(trak: &[u8], movie_scale: u32, len: u64) -> Track {
    let mdia = child(trak, b"mdia").unwrap_or_default();
    let mdhd = child(mdia, b"mdhd").unwrap_or_default();
    let stbl = child(mdia, b"minf").and_then(|minf| child(minf, b"stbl")).unwrap_or_default();
    let is_video = child(mdia, b"hdlr").and_then(|hdlr| hdlr.get(8..12)) == Some(b"vide");
    let stsd = child(stbl, b"stsd").unwrap_or_default();
    let entry = stsd.get(12..16).map(fourcc).unwrap_or_default();
    let size = if is_video {
        (u16_at(stsd, 8 + 32).unwrap_or(0), u16_at(stsd, 8 + 34).unwrap_or(0))
    } else {
        (0, 0)
    };
    let scale = timescale(mdhd).unwrap_or(0);
    let (samples, missing) = missing_samples(stbl, len);
    let edits = child(trak, b"edts").and_then(|edts| child(edts, b"elst"));
    let simple_edits = edits.is_none_or(|elst| simple(elst, movie_scale, scale, duration(mdhd).unwrap_or(0)));
    Track { timescale: scale, entry, size, samples, missing, simple_edits }
}

/// Samples of a track, and those that do not end within `len` bytes.
fn missing_samples(stbl: &[u8], len: u64) -> (u64, u64) {
    let (Some(stsz), Some(stsc)) = (child(stbl, b"stsz"), child(stbl, b"stsc")) else { return (0, 0) };
    let chunks: Vec<u64> = if let Some(stco) = child(stbl, b"stco") {
        stco.get(8..).unwrap_or_default().chunks_exact(4).map(|b| u64::from(be32(b))).collect()
    } else if let Some(co64) = child(stbl, b"co64") {
        co64.get(8..).unwrap_or_default().chunks_exact(8).map(be64).collect()
    } else {
        return (0, 0);
    };
    let (fixed, count) = (u32_at(stsz, 4).unwrap_or(0), u64::from(u32_at(stsz, 8).unwrap_or(0)));
    let sizes = stsz.get(12..).unwrap_or_default();
    let runs: Vec<(u64, u64)> = stsc
        .get(8..)
        .unwrap_or_default()
        .chunks_exact(12)
        .map(|run| (u64::from(be32(run)), u64::from(be32(&run[4..]))))
        .collect();

    // PCM has a sample a tick: counting them one by one would let a header of 50 bytes ask for hours of work.
    if fixed > 0 {
        return missing_fixed(&chunks, &runs, u64::from(fixed), count, len);
    }
    let (mut sample, mut missing, mut run) = (0u64, 0u64, 0usize);
    for (chunk, offset) in chunks.iter().enumerate() {
        while runs.get(run + 1).is_some_and(|next| next.0 <= chunk as u64 + 1) {
            run += 1;
        }
        let Some((_, per_chunk)) = runs.get(run) else { break };
        let mut end = *offset;
        for _ in 0..*per_chunk {
            let Some(size) = u32_at(sizes, sample as usize * 4).filter(|_| sample < count) else {
                return (sample, missing);
            };
            end = end.saturating_add(u64::from(size));
            missing += u64::from(end > len);
            sample += 1;
        }
    }
    (sample, missing)
}

fn missing_fixed(chunks: &[u64], runs: &[(u64, u64)], size: u64, count: u64, len: u64) -> (u64, u64) {
    // Uncompressed QuickTime audio states a size of 1 for samples that are frames of several bytes: only the
    // chunks' starts can be trusted there.
    let (mut sample, mut missing, mut run) = (0u64, 0u64, 0usize);
    for (chunk, offset) in chunks.iter().enumerate() {
        while runs.get(run + 1).is_some_and(|next| next.0 <= chunk as u64 + 1) {
            run += 1;
        }
        let Some((_, per_chunk)) = runs.get(run) else { break };
        let here = (*per_chunk).min(count.saturating_sub(sample));
        let fit = len.saturating_sub(*offset) / size;
        missing += here.saturating_sub(fit);
        sample = sample.saturating_add(here);
    }
    (sample, missing)
}

/// The only entry of an edit list.
pub(crate) struct Edit {
    /// Ticks of the movie; 0: to the end.
    pub shown: u64,
    /// Where in the media, in its ticks; negative: nowhere.
    pub from: i64,
    /// Played as it is, neither faster nor slower.
    pub plain: bool,
}

/// The outer nothing: a list of more entries, or one that is cut. The inner: one of none.
pub(crate) fn edit(elst: &[u8]) -> Option<Option<Edit>> {
    // Version 0 has 32-bit times, version 1 64-bit ones.
    let wide = elst.first() == Some(&1);
    let entry = elst.get(8..).unwrap_or_default();
    let (shown, from, rate) = match u32_at(elst, 4)? {
        0 => return Some(None),
        1 if wide => (u64_at(entry, 0)?, u64_at(entry, 8)? as i64, u32_at(entry, 16)?),
        1 => (u64::from(u32_at(entry, 0)?), i64::from(u32_at(entry, 4)? as i32), u32_at(entry, 8)?),
        _ => return None,
    };
    Some(Some(Edit { shown, from, plain: rate == 0x0001_0000 }))
}

fn simple(elst: &[u8], movie_scale: u32, scale: u32, media_duration: u64) -> bool {
    let Edit { shown, from, plain } = match edit(elst) {
        Some(Some(edit)) => edit,
        Some(None) => return true,
        None => return false,
    };
    let Ok(from) = u64::try_from(from) else { return false };
    if !plain || scale == 0 || movie_scale == 0 {
        return false;
    }
    let ms = |ticks: u64, scale: u32| ticks.saturating_mul(1000) / u64::from(scale);
    let trimmed_head = ms(from, scale);
    // A duration of 0 means "to the end" in fragmented files.
    let trimmed_tail = if shown == 0 {
        0
    } else {
        ms(media_duration, scale).saturating_sub(trimmed_head + ms(shown, movie_scale))
    };
    trimmed_head <= MAX_DELAY_MS && trimmed_tail <= MAX_DELAY_MS
}

/// `mvhd` and `mdhd` agree in where they keep these.
pub(crate) fn timescale(header: &[u8]) -> Option<u32> {
    u32_at(header, if header.first() == Some(&1) { 20 } else { 12 })
}

pub(crate) fn duration(header: &[u8]) -> Option<u64> {
    if header.first() == Some(&1) { u64_at(header, 24) } else { u32_at(header, 16).map(u64::from) }
}

pub(crate) fn child<'a>(parent: &'a [u8], wanted: &[u8; 4]) -> Option<&'a [u8]> {
    children(parent).find(|(kind, _)| kind == wanted).map(|(_, body)| body)
}

/// The boxes inside a box's body. What is cut or nonsense ends the walk.
pub(crate) fn children(mut rest: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    std::iter::from_fn(move || {
        let (kind, header, size) = header(rest)?;
        let size = if size == 0 { rest.len() } else { usize::try_from(size).ok()? };
        let body = rest.get(header as usize..size)?;
        rest = &rest[size..];
        Some((kind, body))
    })
    .take(MAX_CHILDREN)
}

/// Type, bytes of the header, bytes of the whole box (0: to the end).
pub(crate) fn header(bytes: &[u8]) -> Option<([u8; 4], u64, u64)> {
    let kind: [u8; 4] = bytes.get(4..8)?.try_into().ok()?;
    match u32_at(bytes, 0)? {
        1 => Some((kind, 16, u64_at(bytes, 8)?)),
        size => Some((kind, 8, u64::from(size))),
    }
}

fn fourcc(bytes: &[u8]) -> String {
    bytes.iter().map(|b| if b.is_ascii_graphic() || *b == b' ' { char::from(*b) } else { '?' }).collect()
}

pub(crate) fn be32(bytes: &[u8]) -> u32 {
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}
pub(crate) fn be64(bytes: &[u8]) -> u64 {
    u64::from(be32(bytes)) << 32 | u64::from(be32(&bytes[4..]))
}
fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2).map(|b| u16::from_be_bytes([b[0], b[1]]))
}
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4).map(be32)
}
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at + 8).map(be64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elst(entries: &[(u32, i32)]) -> Vec<u8> {
        let mut bytes = vec![0, 0, 0, 0];
        bytes.extend((entries.len() as u32).to_be_bytes());
        for (shown, from) in entries {
            bytes.extend(shown.to_be_bytes());
            bytes.extend(from.to_be_bytes());
            bytes.extend([0, 1, 0, 0]);
        }
        bytes
    }

    #[test]
    fn an_edit_list_is_simple_when_it_only_trims_encoder_delay() {
        // The movie counts milliseconds, the media 48,000 ticks a second and lasts ten seconds.
        let simple = |entries: &[_]| simple(&elst(entries), 1000, 48_000, 480_000);
        assert!(simple(&[]));
        assert!(simple(&[(9979, 1024)]), "AAC priming");
        assert!(!simple(&[(1500, -1), (8500, 0)]), "a delay at the start");
        assert!(!simple(&[(8000, 96_000)]), "two seconds cut off at the start");
        assert!(!simple(&[(5000, 0)]), "half of it is not shown");
        assert!(!simple(&[(1000, 0), (1000, 96_000)]), "pieces");
    }

    #[test]
    fn a_box_that_lies_about_its_size_ends_the_walk() {
        assert_eq!(children(b"\x00\x00\x00\x09free\x00\x7f\xff\xff\xffmoov").count(), 1);
        assert_eq!(children(b"\x00\x00\x00\x04free").count(), 0);
        assert_eq!(children(b"\x00\x00\x00\x01free\xff\xff\xff\xff\xff\xff\xff\xff").count(), 0);
    }

    #[test]
    fn a_constant_size_counts_without_walking() {
        assert_eq!(
            missing_fixed(&[100], &[(1, u64::from(u32::MAX))], 4, u64::from(u32::MAX), 140),
            (4_294_967_295, 4_294_967_285)
        );
    }
}
