use std::{
    collections::BTreeMap,
    fs::File,
    io,
    ops::Range,
    os::unix::fs::FileExt as _,
    path::PathBuf,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
};

use bytes::Bytes;
use domain::{Digest, Hasher};
use tokio::sync::mpsc;

use super::{Made, WAITING};

/// Writes what comes, the first of it in its order, until nothing more does.
pub(super) fn write(
    path: PathBuf,
    first: Vec<Bytes>,
    mut chunks: mpsc::Receiver<(u64, Bytes)>,
) -> io::Result<(Made, Digest)> {
    let (made, file) = Made::new(path)?;
    let digest = thread::scope(|scope| {
        let (sender, receiver) = sync_channel(WAITING);
        let hashing = scope.spawn(|| hash(&file, receiver));
        let mut writing = Writing { file: &file, hashing: sender, handed: 0, ahead: BTreeMap::new() };
        for chunk in first {
            writing.put(writing.next(), chunk)?;
        }
        while let Some((at, chunk)) = chunks.blocking_recv() {
            writing.put(at, chunk)?;
        }
        writing.finish();
        hashing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    Ok((made, digest?))
}

/// What is hashed next: bytes at hand, or those that are in the file by now.
enum Next {
    Bytes(Bytes),
    Range(Range<u64>),
}

struct Writing<'f> {
    file: &'f File,
    hashing: SyncSender<Next>,
    /// Bytes from the beginning that whoever hashes knows of.
    handed: u64,
    /// Others that are in the file, without those that follow one another: where they begin, and where they end.
    ahead: BTreeMap<u64, u64>,
}

impl Writing<'_> {
    /// Where the bytes end that are there from the beginning on.
    fn next(&self) -> u64 {
        self.ahead.get(&self.handed).copied().unwrap_or(self.handed)
    }

    fn put(&mut self, at: u64, chunk: Bytes) -> io::Result<()> {
        // Nothing lies nowhere: noted, it would stand between two that follow one another.
        if chunk.is_empty() {
            return Ok(());
        }
        self.file.write_all_at(&chunk, at)?;
        let end = at + chunk.len() as u64;
        if at == self.handed && self.hand(Next::Bytes(chunk)) {
            self.handed = end;
        } else {
            self.note(at, end);
        }
        if let Some(end) = self.ahead.get(&self.handed).copied()
            && self.hand(Next::Range(self.handed..end))
        {
            self.ahead.remove(&self.handed);
            self.handed = end;
        }
        Ok(())
    }

    /// Whether whoever hashes has taken it. He is waited for only while all comes in its order: what is in memory would have to be
    /// read again. Else the line does not wait for him, and he finds it in the file.
    fn hand(&self, next: Next) -> bool {
        if self.ahead.is_empty() {
            self.hashing.send(next).is_ok()
        } else {
            self.hashing.try_send(next).is_ok()
        }
    }

    fn note(&mut self, mut start: u64, mut end: u64) {
        if let Some((before, _)) = self.ahead.range(..start).next_back().filter(|(_, ends)| **ends == start) {
            start = *before;
        }
        if let Some(ends) = self.ahead.remove(&end) {
            end = ends;
        }
        self.ahead.insert(start, end);
    }

    /// Behind a gap nothing is hashed: then the digest is of fewer bytes than came.
    fn finish(mut self) {
        if let Some(end) = self.ahead.remove(&self.handed) {
            // Refused only by a thread that has failed, which says so itself.
            let _ = self.hashing.send(Next::Range(self.handed..end));
        }
    }
}

fn hash(file: &File, nexts: Receiver<Next>) -> io::Result<Digest> {
    let mut hasher = Hasher::new();
    let mut block = Vec::new();
    for next in nexts {
        match next {
            Next::Bytes(bytes) => hasher.update(&bytes),
            Next::Range(range) => {
                block.resize(BLOCK, 0);
                let mut at = range.start;
                while at < range.end {
                    let bytes = usize::try_from(range.end - at).map_or(BLOCK, |left| left.min(BLOCK));
                    file.read_exact_at(&mut block[..bytes], at)?;
                    hasher.update(&block[..bytes]);
                    at += bytes as u64;
                }
            }
        }
    }
    Ok(hasher.finish())
}

/// Bytes that are read at once: few enough to be still in the processor's cache when they are hashed.
const BLOCK: usize = 256 << 10;
