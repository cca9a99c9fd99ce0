//! An output that is uploaded while it is made: what lies behind its head leaves for the store as it grows, the head when nobody
//! writes to it any longer.
//!
//! Promise 6: nothing is visible before the whole is complete and checked. Until it is told to, the store shows nothing; and what
//! it shows then is what lies in the work directory: all of that is read once more when nobody writes to it any longer, and
//! the store refuses to show it if what it was sent is anything else.

use std::{fs::File, io, ops::Range, os::unix::fs::FileExt as _, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use domain::{Digest, Hasher};
use media::{FOLLOWED, Front, Making};
use storage::{Error, ErrorKind, HeadLast, Key, Meta, Put, Store};
use tokio::{sync::watch, time::Instant};
use tokio_util::task::AbortOnDropHandle;
use tracing::debug;

/// Between two looks whether there is more, where pieces come one after the other, and at most: while ffmpeg encodes it takes seconds to
/// make one, and whoever looks takes a core from it. The end is told and not looked for.
const LOOK: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(250));
/// Bytes read at once, and sent as one part.
const PIECE: u64 = 8 << 20;
/// Bytes at the beginning that come last: more than any muxer goes back to, and enough for a first part.
const HEAD: u64 = 8 << 20;

pub(crate) struct Follow {
    making: watch::Sender<Making>,
    task: AbortOnDropHandle<Option<Ready>>,
}

/// All of an output is with the store, which does not show it yet.
pub(crate) struct Ready {
    upload: Box<dyn HeadLast>,
    pub whole: Digest,
}

impl Follow {
    pub(crate) fn start(store: Arc<dyn Store>, key: Key) -> Self {
        let (making, seen) = watch::channel(Making::default());
        let follower = Follower { store, key, seen, attempt: 0, state: State::Waits };
        Self { making, task: AbortOnDropHandle::new(tokio::spawn(follower.run())) }
    }

    pub(crate) fn making(&self) -> &watch::Sender<Making> {
        &self.making
    }

    /// What is ready for the store to show, and where the output's index has to go if nothing is.
    pub(crate) async fn end(self) -> (Option<Ready>, Option<Arc<Front>>) {
        let Self { making, task } = self;
        let front = match &*making.borrow() {
            Making::Written { front, .. } => front.clone(),
            _ => None,
        };
        drop(making);
        (task.await.unwrap_or_default(), front)
    }

    /// What was sent is to be forgotten: the store has heard of that when this returns.
    pub(crate) async fn give_up(self) {
        if let (Some(ready), _) = self.end().await {
            abort(ready.upload).await;
        }
    }
}

impl Ready {
    pub(crate) async fn show(self) -> Result<Meta, Error> {
        let shown = self.upload.commit(&self.whole).await;
        debug!("shown");
        shown
    }
}

struct Follower {
    store: Arc<dyn Store>,
    key: Key,
    seen: watch::Receiver<Making>,
    attempt: u32,
    state: State,
}

enum State {
    /// It is small so far.
    Waits,
    Sends(Sending),
    Ready(Ready),
    /// The store did not take it; it is uploaded when it is whole.
    Failed,
}

struct Sending {
    file: Arc<File>,
    upload: Box<dyn HeadLast>,
    /// Where in the file the next bytes to be sent lie.
    at: u64,
}

impl Follower {
    async fn run(mut self) -> Option<Ready> {
        let mut last = Instant::now();
        loop {
            let over = self.seen.has_changed().is_err();
            let making = self.seen.borrow_and_update().clone();
            if making.attempt() != self.attempt {
                self.attempt = making.attempt();
                self.give_up(State::Waits).await;
            }
            let step = match &making {
                Making::Written { path, front, .. } => {
                    self.finish(path, front.as_deref()).await.map(|()| false)
                }
                Making::Grows { path, .. } if !over => self.advance(path).await,
                _ => Ok(false),
            };
            match step {
                Ok(true) => {
                    last = Instant::now();
                    continue;
                }
                Ok(false) => {}
                Err(e) => {
                    debug!(error = %e, "not uploaded while it is made");
                    self.give_up(State::Failed).await;
                }
            }
            if over {
                return match std::mem::replace(&mut self.state, State::Failed) {
                    State::Ready(ready) => Some(ready),
                    state => {
                        self.state = state;
                        self.give_up(State::Failed).await;
                        None
                    }
                };
            }
            let look = (last.elapsed() / 8).clamp(LOOK.0, LOOK.1);
            let _ = tokio::time::timeout(look, self.seen.changed()).await;
        }
    }

    /// Until the store has heard of it.
    async fn give_up(&mut self, next: State) {
        let upload = match std::mem::replace(&mut self.state, next) {
            State::Sends(sending) => sending.upload,
            State::Ready(ready) => ready.upload,
            State::Waits | State::Failed => return,
        };
        abort(upload).await;
    }

    /// Whether there is more to be sent already.
    async fn advance(&mut self, path: &Path) -> Result<bool, Error> {
        match &mut self.state {
            State::Waits => self.begin(path).await,
            State::Sends(sending) => sending.advance().await,
            State::Ready(_) | State::Failed => Ok(false),
        }
    }

    /// Begins when it is large enough; whether it has.
    async fn begin(&mut self, path: &Path) -> Result<bool, Error> {
        let path = path.to_owned();
        let opened = off_thread(move || match File::open(&path) {
            Ok(file) if file.metadata()?.len() >= FOLLOWED => Ok(Some(file)),
            Ok(_) => Ok(None),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        });
        let Some(file) = opened.await? else { return Ok(false) };
        let Some(upload) = self.store.create_head_last(&self.key, Put::default()).await? else {
            self.state = State::Failed;
            return Ok(false);
        };
        self.state = State::Sends(Sending { file: Arc::new(file), upload, at: HEAD });
        Ok(true)
    }

    async fn finish(&mut self, path: &Path, front: Option<&Front>) -> Result<(), Error> {
        if matches!(self.state, State::Waits) {
            self.begin(path).await?;
        }
        match std::mem::replace(&mut self.state, State::Waits) {
            State::Sends(sending) => self.state = State::Ready(sending.finish(front).await?),
            state => self.state = state,
        }
        Ok(())
    }
}

impl Sending {
    /// Sends a piece, if there is a whole one.
    async fn advance(&mut self) -> Result<bool, Error> {
        let (file, at) = (self.file.clone(), self.at);
        let piece = off_thread(move || piece(&file, at)).await?;
        let Some(piece) = piece else { return Ok(false) };
        self.at += piece.len() as u64;
        self.upload.write(piece).await?;
        Ok(true)
    }

    /// Sends what is left, and reads all of it in its final order meanwhile.
    async fn finish(mut self, front: Option<&Front>) -> Result<Ready, Error> {
        let len = self.file.metadata().map_err(|e| unreadable(&e))?.len();
        let (layout, already) = (Layout::of(len, front), self.at);
        let (file, index) = (self.file.clone(), front.map(|front| Bytes::from(front.index.clone())));
        let head = {
            let (file, before, after, index) =
                (file.clone(), layout.before, layout.after.clone(), index.clone());
            off_thread(move || head(&file, before, index.as_deref(), after)).await?
        };
        let hashing = {
            let (file, head, behind) = (file.clone(), head.clone(), layout.behind.clone());
            off_thread(move || hash(&file, &head, &behind))
        };
        let (whole, sent) = tokio::join!(hashing, async {
            // Of the data a part has left already, and nothing of what may follow the index.
            let [data, rest] = &layout.behind;
            for range in [data.start.max(self.at)..data.end, rest.clone()] {
                let mut at = range.start;
                while at < range.end {
                    let (file, end) = (file.clone(), range.end.min(at + PIECE));
                    let piece = off_thread(move || read(&file, at..end)).await?;
                    self.upload.write(piece).await?;
                    at = end;
                }
            }
            self.upload.head(head.clone()).await
        });
        sent?;
        debug!(bytes = len, already, "on its way into the store");
        Ok(Ready { upload: self.upload, whole: whole? })
    }
}

/// Which bytes of the file make the object, in order: all before `before`, the index if it moves, those of `after`; and then
/// `behind`, which are sent first.
#[derive(Debug, PartialEq, Eq)]
struct Layout {
    before: u64,
    after: Range<u64>,
    behind: [Range<u64>; 2],
}

impl Layout {
    fn of(len: u64, front: Option<&Front>) -> Self {
        let (before, [data, rest]) = match front {
            Some(front) => (front.at, front.behind(len)),
            None => (0, [0..len, len..len]),
        };
        let head = HEAD.clamp(data.start, data.end);
        Self { before, after: data.start..head, behind: [head..data.end, rest] }
    }
}

async fn abort(upload: Box<dyn HeadLast>) {
    if let Err(e) = upload.abort().await {
        debug!(error = %e, "an upload is left for the store to clear away");
    }
}

/// The next whole piece of a growing file. In an MP4 the index may have been written behind the data by now: it is not to be
/// sent from there. What it begins with says where the data ends before a byte of the index is written; so it is looked
/// at last.
fn piece(file: &File, at: u64) -> io::Result<Option<Bytes>> {
    if file.metadata()?.len() < at + PIECE {
        return Ok(None);
    }
    let piece = read(file, at..at + PIECE)?;
    let ends = media::behind_data(&read(file, 0..4096)?, u64::MAX);
    Ok(ends.is_none_or(|ends| at + PIECE <= ends).then_some(piece))
}

fn head(file: &File, before: u64, index: Option<&[u8]>, after: Range<u64>) -> io::Result<Bytes> {
    let parts = [&read(file, 0..before)?, index.unwrap_or_default(), &read(file, after)?];
    Ok(parts.concat().into())
}

fn hash(file: &File, head: &[u8], behind: &[Range<u64>]) -> io::Result<Digest> {
    let mut hasher = Hasher::new();
    hasher.update(head);
    let mut buffer = vec![0; 1 << 20];
    for range in behind {
        let mut at = range.start;
        while at < range.end {
            let chunk = &mut buffer[..(range.end - at).min(1 << 20) as usize];
            file.read_exact_at(chunk, at)?;
            hasher.update(chunk);
            at += chunk.len() as u64;
        }
    }
    Ok(hasher.finish())
}

fn read(file: &File, range: Range<u64>) -> io::Result<Bytes> {
    let mut bytes = vec![0; (range.end - range.start) as usize];
    file.read_exact_at(&mut bytes, range.start)?;
    Ok(bytes.into())
}

async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(|e| unreadable(&e)),
        Err(e) => Err(Error::new(ErrorKind::Other, format!("reading an output stopped: {e}"))),
    }
}

fn unreadable(e: &io::Error) -> Error {
    Error::new(
        ErrorKind::Other,
        format!("an output cannot be read from the scratch disk: {e}; check that disk"),
    )
    .temporary(true)
}

#[cfg(test)]
mod tests;
