//! WAV and AVI: whether the sizes in their chunks are there.

use std::io;

use crate::container::Source;

const MAX_CHUNKS: u32 = 1024;
/// What a writer puts where it cannot seek back to write the size.
const UNKNOWN: u64 = 0xffff_ffff;

/// What the file promises and does not hold; `None` also for files of other kinds.
pub(crate) fn short(source: &mut Source, head: &[u8]) -> io::Result<Option<String>> {
    let (Some(riff), Some(kind)) = (head.get(..4), head.get(8..12)) else { return Ok(None) };
    match (riff, kind) {
        (b"RIFF" | b"RF64" | b"BW64", b"WAVE") => wave(source),
        (b"RIFF", b"AVI ") => {
            let promised = u64::from(le32(&head[4..])) + 8;
            // The last pad byte is often left out.
            let cut = promised > source.len + 1 && promised != UNKNOWN + 8;
            Ok(cut.then(|| bytes(source.len, promised)))
        }
        _ => Ok(None),
    }
}

fn wave(source: &mut Source) -> io::Result<Option<String>> {
    let (mut offset, mut streamed, mut long) = (12, false, None);
    for _ in 0..MAX_CHUNKS {
        let head = source.at(offset, 8)?;
        if head.len() < 8 {
            break;
        }
        let (mut size, body) = (u64::from(le32(&head[4..])), offset + 8);
        match &head[..4] {
            b"ds64" => long = source.at(body + 8, 8)?.try_into().ok().map(u64::from_le_bytes),
            // `INFO ISFT Lavf..`: ffmpeg signs also what it writes into a pipe.
            b"LIST" => streamed = source.at(body, size.min(256))?.windows(4).any(|word| word == b"Lavf"),
            b"data" => {
                if size == UNKNOWN
                    && let Some(long) = long
                {
                    size = long;
                }
                let promised = body.saturating_add(size);
                // A size left open by a known streaming writer promises nothing; from any other it is a lie.
                let open = size == UNKNOWN && streamed;
                return Ok((promised > source.len + 1 && !open).then(|| bytes(source.len, promised)));
            }
            _ => {}
        }
        offset = body.saturating_add(size + size % 2);
    }
    Ok(None)
}

fn bytes(there: u64, promised: u64) -> String {
    format!("it is short: {there} bytes of the {promised} that its header promises are there")
}

fn le32(bytes: &[u8]) -> u32 {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}
