//! What the bytes themselves claim, read by us: ffprobe tells neither where a box ends nor what an edit list says.
//!
//! Only sizes and tables are read, bounded, from hostile bytes; media data never is.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use crate::Front;
use crate::boxes::{self, Boxes};
use crate::ebml::{self, Ebml};
use crate::riff;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Container {
    /// Bytes of the file.
    pub len: u64,
    pub kind: Kind,
    /// What the file promises and does not hold, as a sentence.
    pub short: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Mov(Boxes),
    Matroska(Ebml),
    /// Something else that can only be told by ffprobe.
    Other,
    /// Certainly not a recording; the reason.
    Not(&'static str),
}

/// Blocks for a few reads of the file's headers.
pub(crate) fn read(path: &Path) -> io::Result<Container> {
    let mut file = File::open(path)?;
    let len = file.metadata()?.len();
    let mut head = Vec::new();
    file.by_ref().take(4096).read_to_end(&mut head)?;
    let mut source = Source::plain(file)?;
    let (kind, short) = if let Some(reason) = not_media(&head) {
        (Kind::Not(reason), None)
    } else if is_mov(&head) {
        let boxes = boxes::read(&mut source)?;
        let short = boxes.short();
        (Kind::Mov(boxes), short)
    } else if head.starts_with(&[0x1a, 0x45, 0xdf, 0xa3]) {
        let ebml = ebml::read(&mut source)?;
        let short = ebml.short(len);
        (Kind::Matroska(ebml), short)
    } else {
        (Kind::Other, riff::short(&mut source, &head)?)
    };
    Ok(Container { len, kind, short })
}

/// Bytes of the ADTS frame that starts at `offset`, as its header says; the header's length is all there is to
/// tell whether the last frame of such a file is whole.
pub(crate) fn adts_frame(path: &Path, offset: u64) -> io::Result<Option<u64>> {
    let mut source = Source { file: File::open(path)?, len: u64::MAX, front: None };
    let head = source.at(offset, 7)?;
    let &[0xff, b1, _, b3, b4, b5, _] = head.as_slice() else { return Ok(None) };
    if b1 & 0xf6 != 0xf0 {
        return Ok(None);
    }
    Ok(Some(u64::from(b3 & 0x03) << 11 | u64::from(b4) << 3 | u64::from(b5) >> 5))
}

/// A file that is read at places.
pub(crate) struct Source {
    file: File,
    pub len: u64,
    /// As if its index were in front.
    front: Option<Arc<Front>>,
}

impl Source {
    pub fn plain(file: File) -> io::Result<Self> {
        Ok(Self { len: file.metadata()?.len(), file, front: None })
    }

    pub fn with_front(file: File, front: Arc<Front>) -> io::Result<Self> {
        Ok(Self { len: front.len(file.metadata()?.len()), file, front: Some(front) })
    }

    /// At most `count` bytes from `offset`; fewer at the end of the file.
    pub fn at(&mut self, offset: u64, count: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let count = count.min(self.len.saturating_sub(offset));
        let Some(front) = self.front.clone() else {
            self.read(offset, count, &mut bytes)?;
            return Ok(bytes);
        };
        let index = front.index.len() as u64;
        let [first, second] = front.behind(u64::MAX);
        let end = offset + count;
        let mut begins = 0;
        for (file, len) in [
            (Some(0), front.at),
            (None, index),
            (Some(first.start), first.end - first.start),
            (Some(second.start), u64::MAX),
        ] {
            let ends = len.saturating_add(begins);
            let (from, to) = (offset.max(begins), end.min(ends));
            if from < to {
                match file {
                    Some(at) => self.read(at + (from - begins), to - from, &mut bytes)?,
                    None => bytes.extend(&front.index[(from - begins) as usize..(to - begins) as usize]),
                }
            }
            begins = ends;
        }
        Ok(bytes)
    }

    fn read(&mut self, at: u64, count: u64, bytes: &mut Vec<u8>) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(at))?;
        self.file.by_ref().take(count).read_to_end(bytes).map(drop)
    }
}

fn is_mov(head: &[u8]) -> bool {
    const FIRST: [&[u8]; 9] =
        [b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"wide", b"free", b"skip", b"pnot"];
    head.get(4..8).is_some_and(|kind| FIRST.contains(&kind))
}

/// Playlists and text are refused by what they are, before ffprobe sees them; its own refusals of these are text
/// for people.
fn not_media(head: &[u8]) -> Option<&'static str> {
    if head.is_empty() {
        return Some("the file is empty");
    }
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    let starts = |word: &str| text.get(..word.len()).is_some_and(|s| s.eq_ignore_ascii_case(word.as_bytes()));
    if starts("#EXTM3U") {
        return Some("a playlist (HLS), not a recording");
    }
    if starts("ffconcat version") {
        return Some("a playlist (concat), not a recording");
    }
    let printable = head.iter().all(|b| *b >= 0x20 && *b != 0x7f || b"\t\r\n\x0c\x1b".contains(b));
    if !printable {
        return None;
    }
    let has = |word: &[u8]| head.windows(word.len()).any(|w| w == word);
    Some(if has(b"<MPD") {
        "a playlist (DASH manifest), not a recording"
    } else if starts("v=0") && has(b"m=") {
        "a session description (SDP), not a recording"
    } else if std::str::from_utf8(head).is_ok() || head.is_ascii() || head.len() == 4096 {
        "text, not media"
    } else {
        return None;
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn playlists_and_text_are_told_by_what_they_are() {
        assert_eq!(not_media(b""), Some("the file is empty"));
        assert_eq!(
            not_media(b"\xef\xbb\xbf#EXTM3U\n#EXT-X-VERSION:3\nseg.ts\n"),
            Some("a playlist (HLS), not a recording")
        );
        assert_eq!(not_media(b"ffconcat version 1.0\nfile x"), Some("a playlist (concat), not a recording"));
        assert_eq!(not_media(b"<?xml?><MPD></MPD>"), Some("a playlist (DASH manifest), not a recording"));
        assert_eq!(
            not_media(b"v=0\r\nm=audio 5004 RTP/AVP 0"),
            Some("a session description (SDP), not a recording")
        );
        assert_eq!(not_media(b"once upon a time"), Some("text, not media"));
        assert_eq!(not_media(b"OggS\0\x02"), None);
        assert_eq!(not_media(b"#!AMR\n\x3c\x91"), None);
    }
}
