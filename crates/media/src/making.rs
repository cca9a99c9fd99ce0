//! An output while it is made, for whoever takes its bytes before it is whole.
//!
//! ffmpeg writes a file from its beginning to its end, and goes back only to its head; in MP4 the index comes last. So all
//! that lies behind the head can be read as it grows, and once all is written, the head and the index are what is left.
//! That a muxer never goes back further is not promised anywhere: whoever takes bytes early compares them with the file in
//! the end.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::{Container, Failure};
use tokio::sync::watch;

use crate::container::Source;
use crate::{Front, boxes, encode, front, run};

/// Bytes of an output below which nobody follows it: then its index is in front when it is written.
pub const FOLLOWED: u64 = 16 << 20;

/// An index larger than this is of no recording that we take.
const MAX_INDEX: u64 = 128 << 20;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Making {
    #[default]
    Nothing,
    /// It is written to, or will be. All before is void: a copy that does not hold up is followed by an encode.
    Grows { attempt: u32, path: PathBuf },
    /// Nobody writes to it any more; it is being checked. It is to be taken with its index in front, where that is not so yet.
    Written { attempt: u32, path: PathBuf, front: Option<Arc<Front>> },
}

impl Making {
    /// Counted from 1.
    pub fn attempt(&self) -> u32 {
        match self {
            Self::Nothing => 0,
            Self::Grows { attempt, .. } | Self::Written { attempt, .. } => *attempt,
        }
    }
}

pub(crate) fn begins(making: &watch::Sender<Making>, path: &Path) -> Result<(), Failure> {
    // What an earlier attempt left is not to be taken for this one's.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(run::disk(&error)),
        _ => {}
    }
    making.send_modify(|making| {
        *making = Making::Grows { attempt: making.attempt() + 1, path: path.to_owned() };
    });
    Ok(())
}

/// Says where the index goes. The inner error is what is wrong with the output, as a clause.
pub(crate) async fn written(
    making: &watch::Sender<Making>,
    path: &Path,
    container: Container,
) -> Result<Result<(), String>, Failure> {
    let mut front = None;
    if encode::index_last(container) {
        let file = path.to_owned();
        let found = tokio::task::spawn_blocking(move || index(&file))
            .await
            .map_err(|error| Failure::temporary(format!("looking at an output stopped: {error}")))?;
        front = match found {
            Ok(front) => front.map(Arc::new),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(Err(error.to_string())),
            // ffmpeg wrote nothing: the check says so.
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(run::disk(&error)),
        };
    }
    making.send_modify(|making| {
        *making = Making::Written { attempt: making.attempt(), path: path.to_owned(), front };
    });
    Ok(Ok(()))
}

/// Where the index goes, of an output that is large; into a small one it is written at once.
///
/// Promise 6: what is checked is what is seen. A large output is probed as ffmpeg wrote it, and seen with its index in front.
/// Both are the same media if following either index leads to the same bytes, for every sample: that is what
/// [`front::to_front`] does (its tests say so of every place), and here each index is followed through its own file.
fn index(path: &Path) -> io::Result<Option<Front>> {
    let odd = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let mut file = File::open(path)?;
    let len = file.metadata()?.len();
    let mut head = Vec::new();
    (&file).take(4096).read_to_end(&mut head)?;
    let Some(tail_at) = front::behind_data(&head, len).filter(|at| len - at <= MAX_INDEX) else {
        // Nothing was written, or nothing but an index.
        return Ok(None);
    };
    let mut tail = Vec::new();
    file.seek(SeekFrom::Start(tail_at))?;
    file.read_to_end(&mut tail)?;
    let front = front::to_front(&head, tail_at, &tail).ok_or_else(|| odd("its index cannot be read"))?;
    if len < FOLLOWED {
        front.put(path)?;
        return Ok(None);
    }
    let front = Arc::new(front);
    let before = boxes::read(&mut Source::plain(file)?)?;
    let after = boxes::read(&mut Source::with_front(File::open(path)?, front.clone())?)?;
    if before != after || after.short().is_some() {
        return Err(odd("its index does not lead to its data"));
    }
    Ok(Some(Arc::unwrap_or_clone(front)))
}

impl Front {
    /// Replaces the file that this is of by one with its index in front.
    pub fn put(&self, path: &Path) -> io::Result<()> {
        let mut file = File::open(path)?;
        let len = file.metadata()?.len();
        let beside = path.with_extension("front");
        let mut out = File::create(&beside)?;
        io::copy(&mut (&file).take(self.at), &mut out)?;
        out.write_all(&self.index)?;
        for piece in self.behind(len) {
            file.seek(SeekFrom::Start(piece.start))?;
            io::copy(&mut (&file).take(piece.end - piece.start), &mut out)?;
        }
        std::fs::rename(&beside, path)
    }
}
