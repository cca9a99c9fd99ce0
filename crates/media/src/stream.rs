//! Whether a recording can be read from a pipe: from its first byte to its last, without going back. Pure.

use domain::{MediaFacts, Preset};

use crate::plan::{Given, How, plan};

/// Bytes from a recording's beginning that [`streams`] wants to see.
pub const HEAD: u64 = 64 << 10;

/// Judged by how the file begins. Containers that were made for writing as one goes are read that way too; MP4 only
/// where its index comes before its data. A wrong yes costs an attempt: the output is measured either way.
pub fn streams(head: &[u8]) -> bool {
    let begins = |magic: &[u8]| head.starts_with(magic);
    if begins(&[0x1A, 0x45, 0xDF, 0xA3])
        || begins(b"OggS")
        || begins(b"fLaC")
        || begins(b"FLV")
        || begins(b"ID3")
    {
        return true;
    }
    if begins(b"RIFF") {
        return head.get(8..12) == Some(b"WAVE");
    }
    // MPEG-TS: a sync byte at every packet.
    if [0, 188, 376].iter().all(|at| head.get(*at) == Some(&0x47)) {
        return true;
    }
    index_first(head)
}

/// `moov` before `mdat`, as far as the boxes' own sizes lead.
fn index_first(mut rest: &[u8]) -> bool {
    loop {
        let Some((size, kind)) = rest.first_chunk::<4>().zip(rest.get(4..8)) else { return false };
        match kind {
            b"moov" => return true,
            b"ftyp" | b"free" | b"skip" | b"wide" | b"uuid" | b"styp" | b"sidx" => {}
            _ => return false,
        }
        let size = u32::from_be_bytes(*size) as usize;
        if size < 8 || size > rest.len() {
            return false;
        }
        rest = &rest[size..];
    }
}

/// Whether everything that this preset takes of the recording is copied: then reading and writing is all there is to do.
pub fn copies(preset: &Preset, facts: &MediaFacts) -> bool {
    let given = Given { damaged: false, tonemap: true, no_copy: None };
    let copied = |how: Option<bool>| how.unwrap_or(true);
    plan(facts, preset, given).is_ok_and(|plan| {
        copied(plan.video.as_ref().map(|v| v.how == How::Copy))
            && copied(plan.audio.as_ref().map(|a| a.how == How::Copy))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boxes(kinds: &[(&[u8; 4], u32)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (kind, size) in kinds {
            bytes.extend(size.to_be_bytes());
            bytes.extend(*kind);
            bytes.resize(bytes.len() + *size as usize - 8, 0);
        }
        bytes
    }

    #[test]
    fn what_was_written_as_one_goes_is_read_as_one_goes() {
        assert!(streams(&[0x1A, 0x45, 0xDF, 0xA3, 0, 0]));
        assert!(streams(b"RIFF\0\0\0\0WAVEfmt "));
        assert!(!streams(b"RIFF\0\0\0\0AVI LIST"), "an AVI's index is at its end");
        let mut ts = vec![0; 600];
        [0, 188, 376].into_iter().for_each(|at| ts[at] = 0x47);
        assert!(streams(&ts));
        assert!(!streams(b"") && !streams(b"no recording at all"));
    }

    #[test]
    fn an_mp4_is_read_as_one_goes_where_its_index_comes_first() {
        assert!(streams(&boxes(&[(b"ftyp", 32), (b"moov", 500)])));
        assert!(streams(&boxes(&[(b"ftyp", 32), (b"free", 8), (b"moov", 500), (b"mdat", 99)])));
        assert!(!streams(&boxes(&[(b"ftyp", 32), (b"mdat", 500)])));
        assert!(!streams(&boxes(&[(b"ftyp", 32), (b"free", 8)])), "not seen is not known");
        // Sizes that lie lead nowhere.
        assert!(!streams(&[0, 0, 0, 0, b'f', b't', b'y', b'p']));
        assert!(!streams(&[0xFF, 0xFF, 0xFF, 0xFF, b'f', b't', b'y', b'p']));
    }
}
