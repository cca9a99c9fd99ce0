use std::{
    collections::HashMap,
    ops::Range,
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use domain::Timestamp;
use futures::{StreamExt as _, TryStreamExt as _};
use storage::WriteAt;

use crate::{
    Body, Checksum, Destination, Error, ErrorKind, Health, Limits, Listing, Meta, Name, Put, Sent, Source,
    body,
};

/// A destination that fails on cue, to see what happens around it.
#[derive(Debug)]
pub struct Faulty<D> {
    inner: D,
    script: Mutex<State>,
}

/// What a destination is asked to do. `Get` counts downloads, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Op {
    Stat,
    Put,
    Get,
    List,
    Remove,
    Mkdirs,
    Rename,
    Hash,
    Sweep,
    Check,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Answers with an error and does nothing.
    Fail { kind: ErrorKind, temporary: bool },
    /// `Put`, `Get`: the connection breaks after so many bytes. A put leaves its partial file.
    Cut { after: u64 },
    /// `Put`, `Get`: one bit of this byte flips on the way.
    Flip { at: u64 },
    /// `Put`: the destination is full after so many bytes.
    NoSpace { after: u64 },
    /// `Stat`: the size is one more than it is.
    WrongSize,
    /// It is done, but the answer does not arrive: a temporary error.
    ReplyLost,
    /// No answer until the caller gives up.
    Hang,
}

#[derive(Debug, Default)]
struct State {
    calls: HashMap<Op, u64>,
    cues: HashMap<(Op, u64), Fault>,
}

impl<D: Destination> Faulty<D> {
    pub fn new(inner: D) -> Self {
        Self { inner, script: Mutex::default() }
    }

    /// Cues a fault for the `nth` call from now (1 is the next one).
    ///
    /// # Panics
    /// When that fault cannot happen to that operation: a script that does nothing would prove nothing.
    pub fn on(&self, op: Op, nth: u64, fault: Fault) -> &Self {
        assert!(nth > 0, "calls are counted from 1");
        let possible = match fault {
            Fault::Fail { .. } | Fault::Hang => true,
            Fault::Cut { .. } | Fault::Flip { .. } => matches!(op, Op::Put | Op::Get),
            Fault::NoSpace { .. } => op == Op::Put,
            Fault::WrongSize => op == Op::Stat,
            Fault::ReplyLost => matches!(op, Op::Put | Op::Remove | Op::Mkdirs | Op::Rename | Op::Sweep),
        };
        assert!(possible, "{fault:?} cannot happen to {op:?}");
        self.with(|state| {
            let call = state.calls.get(&op).copied().unwrap_or(0) + nth;
            state.cues.insert((op, call), fault);
        });
        self
    }

    /// How often it was called.
    pub fn calls(&self, op: Op) -> u64 {
        self.with(|state| state.calls.get(&op).copied().unwrap_or(0))
    }

    pub fn inner(&self) -> &D {
        &self.inner
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.script.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Counts the call. Faults that hit at once do so here; the others are the caller's to play.
    async fn enter(&self, op: Op) -> Result<Option<Fault>, Error> {
        let fault = self.with(|state| {
            let call = state.calls.entry(op).or_default();
            *call += 1;
            state.cues.remove(&(op, *call))
        });
        match fault {
            Some(Fault::Fail { kind, temporary }) => {
                let message = format!("destination `{}`: {op:?} was told to fail", self.inner.name());
                Err(Error::new(kind, message).temporary(temporary))
            }
            Some(Fault::Hang) => std::future::pending().await,
            fault => Ok(fault),
        }
    }

    /// An operation as a whole.
    async fn play<T>(&self, op: Op, act: impl Future<Output = Result<T, Error>> + Send) -> Result<T, Error> {
        let fault = self.enter(op).await?;
        let done = act.await?;
        if fault == Some(Fault::ReplyLost) { Err(self.lost(op)) } else { Ok(done) }
    }

    fn lost(&self, op: Op) -> Error {
        let message = format!("destination `{}`: the answer to {op:?} was lost", self.inner.name());
        Error::new(ErrorKind::Unavailable, message)
    }
}

#[async_trait]
impl<D: Destination> Destination for Faulty<D> {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn limits(&self) -> Limits {
        self.inner.limits()
    }

    async fn stat(&self, name: &Name) -> Result<Option<Meta>, Error> {
        let fault = self.enter(Op::Stat).await?;
        let mut meta = self.inner.stat(name).await?;
        if let (Some(Fault::WrongSize), Some(meta)) = (fault, &mut meta) {
            meta.size += 1;
        }
        Ok(meta)
    }

    async fn put(&self, name: &Name, source: &dyn Source, put: &Put) -> Result<Sent, Error> {
        match self.enter(Op::Put).await? {
            Some(Fault::ReplyLost) => {
                self.inner.put(name, source, put).await?;
                Err(self.lost(Op::Put))
            }
            Some(fault) => {
                let destination = self.inner.name().to_owned();
                self.inner.put(name, &Spoiled { destination, source, fault }, put).await
            }
            None => self.inner.put(name, source, put).await,
        }
    }

    async fn get(&self, name: &Name, range: Option<Range<u64>>) -> Result<Body, Error> {
        let fault = self.enter(Op::Get).await?;
        let body = self.inner.get(name, range).await?;
        Ok(match fault {
            Some(fault) => spoil(body, 0, fault, self.inner.name().to_owned()),
            None => body,
        })
    }

    async fn download(&self, name: &Name, into: &dyn WriteAt) -> Result<u64, Error> {
        match self.enter(Op::Get).await? {
            Some(fault) => {
                let body = self.inner.get(name, None).await?;
                body::in_order(spoil(body, 0, fault, self.inner.name().to_owned()), into).await
            }
            None => self.inner.download(name, into).await,
        }
    }

    fn list<'a>(&'a self, folder: Option<&Name>) -> Listing<'a> {
        let folder = folder.cloned();
        let listing = async move {
            self.enter(Op::List).await?;
            Ok::<_, Error>(self.inner.list(folder.as_ref()))
        };
        futures::stream::once(listing).try_flatten().boxed()
    }

    async fn remove(&self, name: &Name) -> Result<(), Error> {
        self.play(Op::Remove, self.inner.remove(name)).await
    }

    async fn mkdirs(&self, folder: &Name) -> Result<(), Error> {
        self.play(Op::Mkdirs, self.inner.mkdirs(folder)).await
    }

    async fn rename(&self, from: &Name, to: &Name, replace: bool) -> Result<(), Error> {
        self.play(Op::Rename, self.inner.rename(from, to, replace)).await
    }

    async fn hash(&self, name: &Name) -> Result<Option<Checksum>, Error> {
        self.play(Op::Hash, self.inner.hash(name)).await
    }

    async fn sweep(&self, folder: Option<&Name>, before: Timestamp) -> Result<u64, Error> {
        self.play(Op::Sweep, self.inner.sweep(folder, before)).await
    }

    async fn check(&self) -> Result<Health, Error> {
        self.play(Op::Check, self.inner.check()).await
    }
}

/// A source whose bytes meet the fault on their way: to the destination it looks as if the line had broken.
struct Spoiled<'a> {
    destination: String,
    source: &'a dyn Source,
    fault: Fault,
}

#[async_trait]
impl Source for Spoiled<'_> {
    fn size(&self) -> u64 {
        self.source.size()
    }

    async fn read_from(&self, offset: u64) -> Result<Body, Error> {
        Ok(spoil(self.source.read_from(offset).await?, offset, self.fault, self.destination.clone()))
    }
}

fn spoil(body: Body, offset: u64, fault: Fault, destination: String) -> Body {
    let mut at = offset;
    let spoiled = body.flat_map(move |chunk| {
        let items = match chunk {
            Err(e) => vec![Err(e)],
            Ok(chunk) => {
                let (start, end) = (at, at + chunk.len() as u64);
                at = end;
                spoil_chunk(chunk, start..end, fault, &destination)
            }
        };
        futures::stream::iter(items)
    });
    spoiled.boxed()
}

fn spoil_chunk(chunk: Bytes, lies: Range<u64>, fault: Fault, destination: &str) -> Vec<Result<Bytes, Error>> {
    let broken = |after: u64, kind, what| {
        let kept = usize::try_from(after.saturating_sub(lies.start)).unwrap_or(usize::MAX).min(chunk.len());
        vec![Ok(chunk.slice(..kept)), Err(Error::new(kind, format!("destination `{destination}`: {what}")))]
    };
    match fault {
        Fault::Cut { after } if lies.end > after => {
            broken(after, ErrorKind::Unavailable, "the connection broke")
        }
        Fault::NoSpace { after } if lies.end > after => {
            broken(after, ErrorKind::NoSpace, "it is full; free some space")
        }
        Fault::Flip { at } if lies.contains(&at) => {
            let mut flipped = BytesMut::from(&chunk[..]);
            flipped[(at - lies.start) as usize] ^= 1;
            vec![Ok(flipped.freeze())]
        }
        _ => vec![Ok(chunk)],
    }
}
