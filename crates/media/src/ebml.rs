//! Matroska and WebM: which of the two, and whether an element runs past the end of the file.

use std::io;

use crate::container::Source;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ebml {
    /// `matroska` or `webm`; empty when it cannot be read.
    pub doctype: String,
    /// Offset at which the outermost element that is cut should have ended.
    pub promised: Option<u64>,
}

const EBML: u32 = 0x1a45_dfa3;
const DOCTYPE: u32 = 0x4282;
const SEGMENT: u32 = 0x1853_8067;
/// Level-1 elements looked at: two days of clusters of a second, and as many cues.
const MAX_ELEMENTS: u32 = 500_000;

pub(crate) fn read(source: &mut Source) -> io::Result<Ebml> {
    let mut ebml = Ebml::default();
    let (mut offset, mut first) = (0, true);
    for _ in 0..MAX_ELEMENTS {
        let head = source.at(offset, 12)?;
        let Some((id, header, size)) = element(&head) else { break };
        let body = offset + header;
        if first {
            if id != EBML {
                break;
            }
            let size = size.unwrap_or(0).min(4096);
            ebml.doctype = doctype(&source.at(body, size)?).unwrap_or_default();
        }
        first = false;
        let end = size.map(|size| body.saturating_add(size));
        if end.is_some_and(|end| end > source.len) {
            ebml.promised = end;
            break;
        }
        // A segment is entered when nobody wrote its size; a cluster of unknown size can only be parsed.
        offset = match end {
            Some(end) => end,
            None if id == SEGMENT => body,
            None => break,
        };
        if offset >= source.len {
            break;
        }
    }
    Ok(ebml)
}

impl Ebml {
    pub fn short(&self, len: u64) -> Option<String> {
        self.promised
            .map(|end| format!("it is cut: {len} bytes of the {end} that its structure promises are there"))
    }
}

fn doctype(mut header: &[u8]) -> Option<String> {
    while let Some((id, start, Some(size))) = element(header) {
        let end = start.checked_add(size)? as usize;
        let body = header.get(start as usize..end)?;
        if id == DOCTYPE {
            return Some(String::from_utf8_lossy(body).chars().filter(char::is_ascii_alphanumeric).collect());
        }
        header = &header[end..];
    }
    None
}

/// Id, bytes of id and size, and the body's size unless it is unknown.
fn element(bytes: &[u8]) -> Option<(u32, u64, Option<u64>)> {
    let id_len = bytes.first()?.leading_zeros() as usize + 1;
    if id_len > 4 {
        return None;
    }
    let id = bytes.get(..id_len)?.iter().fold(0u32, |id, b| id << 8 | u32::from(*b));
    let first = *bytes.get(id_len)?;
    let size_len = first.leading_zeros() as usize + 1;
    if size_len > 8 {
        return None;
    }
    let raw = bytes.get(id_len..id_len + size_len)?.iter().fold(0u64, |n, b| n << 8 | u64::from(*b));
    let mask = (1u64 << (7 * size_len)) - 1;
    let size = raw & mask;
    Some((id, (id_len + size_len) as u64, (size != mask).then_some(size)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_sizes_have_variable_lengths() {
        assert_eq!(element(&[0x42, 0x82, 0x84, b'w']), Some((DOCTYPE, 3, Some(4))));
        assert_eq!(
            element(&[0x18, 0x53, 0x80, 0x67, 0x01, 255, 255, 255, 255, 255, 255, 255]),
            Some((SEGMENT, 12, None))
        );
        assert_eq!(element(&[0x42, 0x82, 0x40, 0x02]), Some((DOCTYPE, 4, Some(2))));
        assert_eq!(element(&[0x00, 0x01]), None);
        assert_eq!(element(&[0x42]), None);
    }

    #[test]
    fn the_doctype_is_found_among_others() {
        assert_eq!(doctype(b"\x42\x86\x81\x01\x42\x82\x84webm").as_deref(), Some("webm"));
        assert_eq!(doctype(b"\x42\x86\x8f\x01"), None);
    }
}
