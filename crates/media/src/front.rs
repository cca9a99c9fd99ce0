//! The index of a plain MP4, moved from its end to its front. Pure: the media data stays as it is, and so does everything in
//! the index but where it says that the data lies. It is patched and not written anew: what we do not know is kept.

use crate::boxes::{be32, be64, header};

/// A file as it is with its index in front: all before `at`, the index, all between `at` and `cut.0`, and all from
/// `cut.1` on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Front {
    pub at: u64,
    pub index: Vec<u8>,
    /// Where the index was: its first byte, and the first one behind it.
    pub cut: (u64, u64),
}

impl Front {
    /// Where a byte of the file lies now, that lay there before; none of the index itself.
    pub fn moved(&self, before: u64) -> u64 {
        moved(before, self.at, self.cut, self.index.len() as u64)
    }

    /// The pieces of the file that follow the index, in order; the file has `len` bytes.
    pub fn behind(&self, len: u64) -> [std::ops::Range<u64>; 2] {
        [self.at..self.cut.0, self.cut.1..len]
    }

    /// Bytes of all of it.
    pub fn len(&self, len: u64) -> u64 {
        len - (self.cut.1 - self.cut.0) + self.index.len() as u64
    }
}

fn moved(before: u64, at: u64, cut: (u64, u64), index: u64) -> u64 {
    match before {
        _ if before >= cut.1 => before - (cut.1 - cut.0) + index,
        _ if before >= at => before + index,
        _ => before,
    }
}

/// Where the boxes behind the media data begin, by how the file begins; nothing where that is not told, or where the index
/// comes first anyway.
pub fn behind_data(head: &[u8], len: u64) -> Option<u64> {
    let mut at = 0_u64;
    loop {
        let (kind, before, size) = header(head.get(usize::try_from(at).ok()?..)?)?;
        match &kind {
            b"ftyp" if at == 0 => {}
            b"free" | b"skip" | b"wide" | b"uuid" | b"mdat" if at > 0 => {}
            _ => return None,
        }
        // 0 means "to the end": then no index follows.
        if size < before {
            return None;
        }
        at = at.checked_add(size)?;
        if &kind == b"mdat" {
            return (at < len).then_some(at);
        }
    }
}

/// Moves the index, of a file that begins with `head`, and of which `tail` is all from `tail_at` on, as [`behind_data`] says.
/// Nothing where the index is not whole or not plain (fragments, encryption).
pub fn to_front(head: &[u8], tail_at: u64, tail: &[u8]) -> Option<Front> {
    let (first, _, at) = header(head)?;
    if &first != b"ftyp" || at > tail_at {
        return None;
    }
    let mut rest = tail;
    loop {
        let (kind, before, size) = header(rest)?;
        let size = usize::try_from(size).ok().filter(|size| *size as u64 >= before)?;
        let whole = rest.get(..size)?;
        if &kind == b"moov" {
            let begins = tail_at + (tail.len() - rest.len()) as u64;
            let cut = (begins, begins + size as u64);
            let index = rewrite(whole, at, cut)?;
            return Some(Front { at, index, cut });
        }
        rest = &rest[size..];
    }
}

/// Boxes that lead to where the data's places stand, each in the one before.
const LEADING: [&[u8; 4]; 5] = [b"moov", b"trak", b"mdia", b"minf", b"stbl"];
/// Fragments, a compressed index, places of data of another kind.
const NOT_PLAIN: [&[u8; 4]; 3] = [b"mvex", b"cmov", b"saio"];

fn rewrite(moov: &[u8], at: u64, cut: (u64, u64)) -> Option<Vec<u8>> {
    let (mut last, mut narrow) = (0, 0);
    survey(moov, &LEADING, &mut last, &mut narrow)?;
    let len = moov.len() as u64;
    // The larger the index, the further away the data; places that do not fit into 32 bits any more make it larger still.
    let wide = u32::try_from(moved(last, at, cut, len)).is_err();
    let index = if wide { len + 4 * narrow } else { len };
    let mut out = Vec::with_capacity(usize::try_from(index).ok()?);
    patch(moov, &LEADING, wide, &|place| moved(place, at, cut, index), &mut out)?;
    (out.len() as u64 == index).then_some(out)
}

/// The last place that is named with 32 bits, and how many are.
fn survey(all: &[u8], leading: &[&[u8; 4]], last: &mut u64, narrow: &mut u64) -> Option<()> {
    let mut rest = all;
    while !rest.is_empty() {
        let (kind, body, whole) = one(rest)?;
        match &kind {
            _ if NOT_PLAIN.contains(&&kind) => return None,
            b"stco" if leading.is_empty() => {
                for place in places(body, 4)? {
                    *last = (*last).max(u64::from(be32(place)));
                    *narrow += 1;
                }
            }
            _ if leads(leading, &kind) => survey(body, &leading[1..], last, narrow)?,
            _ => {}
        }
        rest = &rest[whole.len()..];
    }
    Some(())
}

fn patch(
    all: &[u8],
    leading: &[&[u8; 4]],
    wide: bool,
    moved: &dyn Fn(u64) -> u64,
    out: &mut Vec<u8>,
) -> Option<()> {
    let mut rest = all;
    while !rest.is_empty() {
        let (kind, body, whole) = one(rest)?;
        let begins = out.len();
        match &kind {
            b"stco" if leading.is_empty() && wide => {
                out.extend([0; 4]);
                out.extend(b"co64");
                out.extend(&body[..8]);
                places(body, 4)?.for_each(|p| out.extend(moved(u64::from(be32(p))).to_be_bytes()));
                resize(out, begins)?;
            }
            b"stco" if leading.is_empty() => {
                out.extend(&whole[..whole.len() - body.len() + 8]);
                for place in places(body, 4)? {
                    out.extend(u32::try_from(moved(u64::from(be32(place)))).ok()?.to_be_bytes());
                }
            }
            b"co64" if leading.is_empty() => {
                out.extend(&whole[..whole.len() - body.len() + 8]);
                places(body, 8)?.for_each(|p| out.extend(moved(be64(p)).to_be_bytes()));
            }
            _ if leads(leading, &kind) => {
                out.extend(&whole[..whole.len() - body.len()]);
                patch(body, &leading[1..], wide, moved, out)?;
                resize(out, begins)?;
            }
            _ => out.extend(whole),
        }
        rest = &rest[whole.len()..];
    }
    Some(())
}

/// Never deeper than they lead, whatever is nested in what.
fn leads(leading: &[&[u8; 4]], kind: &[u8; 4]) -> bool {
    leading.first() == Some(&kind)
}

/// The first box: its type, what it holds, and all of it.
fn one(rest: &[u8]) -> Option<([u8; 4], &[u8], &[u8])> {
    let (kind, before, size) = header(rest)?;
    let whole = rest.get(..usize::try_from(size).ok()?)?;
    Some((kind, whole.get(usize::try_from(before).ok()?..)?, whole))
}

/// A table's entries; nothing where it does not hold as many as it says.
fn places(body: &[u8], each: usize) -> Option<impl Iterator<Item = &[u8]>> {
    let count = usize::try_from(be32(body.get(4..8)?)).ok()?;
    (body.len() - 8 == count.checked_mul(each)?).then(|| body[8..].chunks_exact(each))
}

/// Corrects the size of the box that begins there and goes to the end.
fn resize(out: &mut [u8], begins: usize) -> Option<()> {
    let size = out.len() - begins;
    if be32(&out[begins..]) == 1 {
        out[begins + 8..begins + 16].copy_from_slice(&(size as u64).to_be_bytes());
    } else {
        out[begins..begins + 4].copy_from_slice(&u32::try_from(size).ok()?.to_be_bytes());
    }
    Some(())
}

#[cfg(test)]
mod tests;
