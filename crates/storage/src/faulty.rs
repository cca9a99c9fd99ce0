use std::{
    collections::HashMap,
    ops::Range,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use domain::{Digest, Hasher, Timestamp};
use futures::StreamExt as _;

use crate::{
    Body, Error, ErrorKind, HeadLast, Health, Key, LifecycleRule, Meta, Origin, Put, Speed, Store, Tags,
    Tier, Upload, WriteAt,
};

/// A store that fails on cue, to see what happens around it.
#[derive(Debug)]
pub struct Faulty<S> {
    inner: S,
    script: Arc<Script>,
}

/// What a store is asked to do. `Get` counts downloads, too; `Create` those whose head comes last; `Write` counts every
/// `Upload::write` and `HeadLast::write`, and so on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Op {
    Head,
    Get,
    Create,
    Write,
    Commit,
    Abort,
    List,
    Copy,
    CopyFrom,
    Delete,
    Tags,
    SetTags,
    Adopt,
    Tier,
    SetClass,
    Restore,
    Lifecycle,
    SweepUploads,
    Check,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Answers with an error and does nothing.
    Fail { kind: ErrorKind, temporary: bool },
    /// The connection breaks after so many bytes. On `Get` the body, on `Create` the upload.
    Cut { after: u64 },
    /// One bit of this byte flips. On `Get` on the way to us; on `Create` on the way to the medium, behind all
    /// checks: the commit answers as if all were well.
    Flip { at: u64 },
    /// On `Create`: the store is full after so many bytes.
    NoSpace { after: u64 },
    /// It is done, but the answer does not arrive: a temporary error.
    ReplyLost,
    /// No answer until the caller gives up.
    Hang,
    /// It is done as ever, only later.
    Late { by: Duration },
}

impl<S: Store> Faulty<S> {
    pub fn new(inner: S) -> Self {
        Self { inner, script: Arc::default() }
    }

    /// Cues a fault for the `nth` call from now (1 is the next one).
    ///
    /// # Panics
    /// When that fault cannot happen to that operation: a script that does nothing would prove nothing.
    pub fn on(&self, op: Op, nth: u64, fault: Fault) -> &Self {
        assert!(nth > 0, "calls are counted from 1");
        assert!(possible(op, fault), "{fault:?} cannot happen to {op:?}");
        self.script.with(|state| {
            let call = state.calls.get(&op).copied().unwrap_or(0) + nth;
            state.cues.insert((op, call), fault);
        });
        self
    }

    /// How often it was called.
    pub fn calls(&self, op: Op) -> u64 {
        self.script.with(|state| state.calls.get(&op).copied().unwrap_or(0))
    }

    pub fn inner(&self) -> &S {
        &self.inner
    }
}

fn possible(op: Op, fault: Fault) -> bool {
    match fault {
        Fault::Fail { .. } | Fault::Hang | Fault::Late { .. } => true,
        Fault::Cut { .. } | Fault::Flip { .. } => matches!(op, Op::Get | Op::Create),
        Fault::NoSpace { .. } => op == Op::Create,
        Fault::ReplyLost => matches!(
            op,
            Op::Commit
                | Op::Copy
                | Op::CopyFrom
                | Op::Delete
                | Op::SetTags
                | Op::Adopt
                | Op::SetClass
                | Op::Restore
        ),
    }
}

#[derive(Debug, Default)]
struct Script(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    calls: HashMap<Op, u64>,
    cues: HashMap<(Op, u64), Fault>,
}

impl Script {
    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Counts the call. Faults that hit at once do so here; the others are the caller's to play.
    async fn enter(&self, store: &str, op: Op) -> Result<Option<Fault>, Error> {
        let fault = self.with(|state| {
            let call = state.calls.entry(op).or_default();
            *call += 1;
            state.cues.remove(&(op, *call))
        });
        match fault {
            Some(Fault::Fail { kind, temporary }) => {
                Err(Error::new(kind, format!("store `{store}`: {op:?} was told to fail"))
                    .temporary(temporary))
            }
            Some(Fault::Hang) => std::future::pending().await,
            Some(Fault::Late { by }) => {
                tokio::time::sleep(by).await;
                Ok(None)
            }
            fault => Ok(fault),
        }
    }

    /// An operation as a whole.
    async fn play<T>(
        &self,
        store: &str,
        op: Op,
        act: impl Future<Output = Result<T, Error>> + Send,
    ) -> Result<T, Error> {
        let fault = self.enter(store, op).await?;
        let done = act.await?;
        if fault == Some(Fault::ReplyLost) {
            return Err(Error::new(
                ErrorKind::Unavailable,
                format!("store `{store}`: the answer to {op:?} was lost"),
            ));
        }
        Ok(done)
    }
}

#[async_trait]
impl<S: Store> Store for Faulty<S> {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn versions_endure(&self) -> bool {
        self.inner.versions_endure()
    }

    async fn head(&self, key: &Key) -> Result<Meta, Error> {
        self.script.play(self.name(), Op::Head, self.inner.head(key)).await
    }

    async fn get(&self, key: &Key, version: Option<&str>, range: Option<Range<u64>>) -> Result<Body, Error> {
        let fault = self.script.enter(self.name(), Op::Get).await?;
        let body = self.inner.get(key, version, range).await?;
        Ok(match fault {
            Some(Fault::Flip { at }) => {
                let mut position = 0;
                Box::pin(body.map(move |chunk| chunk.map(|bytes| flip(bytes, &mut position, at))))
            }
            Some(Fault::Cut { after }) => {
                let cut = cut_off(self.name());
                let mut left = after;
                Box::pin(cut_body(body, move |chunk: &mut Bytes| {
                    chunk.truncate(usize::try_from(left).unwrap_or(usize::MAX));
                    left -= chunk.len() as u64;
                    (left == 0).then(|| cut.clone())
                }))
            }
            _ => body,
        })
    }

    async fn download(&self, key: &Key, version: Option<&str>, into: &dyn WriteAt) -> Result<u64, Error> {
        let fault = self.script.enter(self.name(), Op::Get).await?;
        let store = self.name().to_owned();
        let into = FaultyInto { store, fault, passed: AtomicU64::new(0), inner: into };
        self.inner.download(key, version, &into).await
    }

    async fn create(&self, key: &Key, options: Put) -> Result<Box<dyn Upload>, Error> {
        let fault = self.script.enter(self.name(), Op::Create).await?;
        let flip = matches!(fault, Some(Fault::Flip { .. }));
        // The medium that lies has no checks to pass: we check before it, as if it had told the truth.
        let inner_options = if flip { Put { expected: None, ..options } } else { options };
        Ok(Box::new(FaultyUpload {
            store: self.name().to_owned(),
            key: key.clone(),
            options,
            fault,
            position: 0,
            sent: Hasher::new(),
            inner: self.inner.create(key, inner_options).await?,
            script: self.script.clone(),
        }))
    }

    async fn create_head_last(&self, key: &Key, options: Put) -> Result<Option<Box<dyn HeadLast>>, Error> {
        let fault = self.script.enter(self.name(), Op::Create).await?;
        let Some(inner) = self.inner.create_head_last(key, options).await? else { return Ok(None) };
        let (store, script) = (self.name().to_owned(), self.script.clone());
        Ok(Some(Box::new(FaultyHeadLast { store, key: key.clone(), fault, position: 0, inner, script })))
    }

    async fn list(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<Vec<Meta>, Error> {
        self.script.play(self.name(), Op::List, self.inner.list(prefix, after, limit)).await
    }

    async fn copy(&self, from: &Key, version: Option<&str>, to: &Key, options: Put) -> Result<Meta, Error> {
        self.script.play(self.name(), Op::Copy, self.inner.copy(from, version, to, options)).await
    }

    async fn copy_from(
        &self,
        from: &dyn Store,
        key: &Key,
        version: Option<&str>,
        to: &Key,
        options: Put,
    ) -> Option<Result<Meta, Error>> {
        self.script
            .play(self.name(), Op::CopyFrom, async {
                self.inner.copy_from(from, key, version, to, options).await.transpose()
            })
            .await
            .transpose()
    }

    fn origin(&self, key: &Key) -> Option<Origin> {
        self.inner.origin(key)
    }

    async fn delete(&self, key: &Key, version: &str) -> Result<(), Error> {
        self.script.play(self.name(), Op::Delete, self.inner.delete(key, version)).await
    }

    async fn erase(&self, key: &Key, version: Option<&str>) -> Result<Vec<Meta>, Error> {
        self.script.play(self.name(), Op::Delete, self.inner.erase(key, version)).await
    }

    async fn tags(&self, key: &Key) -> Result<Tags, Error> {
        self.script.play(self.name(), Op::Tags, self.inner.tags(key)).await
    }

    async fn set_tags(&self, key: &Key, tags: &Tags) -> Result<(), Error> {
        self.script.play(self.name(), Op::SetTags, self.inner.set_tags(key, tags)).await
    }

    fn local_path(&self, key: &Key) -> Option<PathBuf> {
        self.inner.local_path(key)
    }

    async fn adopt(&self, key: &Key, file: &Path, options: Put) -> Result<(Meta, Digest), Error> {
        self.script.play(self.name(), Op::Adopt, self.inner.adopt(key, file, options)).await
    }

    async fn tier(&self, key: &Key, version: &str) -> Result<Tier, Error> {
        self.script.play(self.name(), Op::Tier, self.inner.tier(key, version)).await
    }

    async fn set_class(&self, key: &Key, version: &str, class: &str) -> Result<Meta, Error> {
        self.script.play(self.name(), Op::SetClass, self.inner.set_class(key, version, class)).await
    }

    async fn restore(&self, key: &Key, version: &str, days: u32, speed: Speed) -> Result<(), Error> {
        self.script.play(self.name(), Op::Restore, self.inner.restore(key, version, days, speed)).await
    }

    async fn set_tag(&self, key: &Key, version: &str, name: &str, value: Option<&str>) -> Result<(), Error> {
        self.script.play(self.name(), Op::SetTags, self.inner.set_tag(key, version, name, value)).await
    }

    async fn lifecycle(&self, at_most: Duration) -> Result<Vec<LifecycleRule>, Error> {
        self.script.play(self.name(), Op::Lifecycle, self.inner.lifecycle(at_most)).await
    }

    async fn sweep_uploads(&self, before: Timestamp) -> Result<u64, Error> {
        self.script.play(self.name(), Op::SweepUploads, self.inner.sweep_uploads(before)).await
    }

    async fn check(&self) -> Result<Health, Error> {
        self.script.play(self.name(), Op::Check, self.inner.check()).await
    }
}

/// What a download meets on its way.
struct FaultyInto<'i> {
    store: String,
    fault: Option<Fault>,
    /// Bytes that came by, in whatever order.
    passed: AtomicU64,
    inner: &'i dyn WriteAt,
}

#[async_trait]
impl WriteAt for FaultyInto<'_> {
    async fn write_at(&self, at: u64, mut bytes: Bytes) -> Result<(), Error> {
        let before = self.passed.fetch_add(bytes.len() as u64, Ordering::SeqCst);
        match self.fault {
            Some(Fault::Flip { at: flipped }) => bytes = flip(bytes, &mut { at }, flipped),
            Some(Fault::Cut { after }) if before + bytes.len() as u64 >= after => {
                bytes.truncate(usize::try_from(after.saturating_sub(before)).unwrap_or(usize::MAX));
                self.inner.write_at(at, bytes).await?;
                return Err(cut_off(&self.store));
            }
            _ => {}
        }
        self.inner.write_at(at, bytes).await
    }
}

struct FaultyUpload {
    store: String,
    key: Key,
    options: Put,
    /// Of `Create`: what hits the bytes.
    fault: Option<Fault>,
    position: u64,
    /// What we were given, before any bit flips.
    sent: Hasher,
    inner: Box<dyn Upload>,
    script: Arc<Script>,
}

#[async_trait]
impl Upload for FaultyUpload {
    async fn write(&mut self, bytes: Bytes) -> Result<(), Error> {
        self.script.enter(&self.store, Op::Write).await?;
        self.sent.update(&bytes);
        let end = self.position + bytes.len() as u64;
        breaks(self.fault, end, &self.store, &self.key)?;
        match self.fault {
            Some(Fault::Flip { at }) => self.inner.write(flip(bytes, &mut self.position, at)).await?,
            _ => self.inner.write(bytes).await?,
        }
        self.position = end;
        Ok(())
    }

    async fn commit(self: Box<Self>) -> Result<(Meta, Digest), Error> {
        let Self { store, key, options, sent, inner, script, .. } = *self;
        let sent = sent.finish();
        script
            .play(&store, Op::Commit, async {
                crate::store::check_expected(&store, &key, &options, &sent)?;
                Ok((inner.commit().await?.0, sent))
            })
            .await
    }

    async fn abort(self: Box<Self>) -> Result<(), Error> {
        let Self { store, inner, script, .. } = *self;
        script.play(&store, Op::Abort, inner.abort()).await
    }
}

/// Here a bit flips before all checks: they are what has to find it.
struct FaultyHeadLast {
    store: String,
    key: Key,
    /// Of `Create`: what hits the bytes behind the head.
    fault: Option<Fault>,
    position: u64,
    inner: Box<dyn HeadLast>,
    script: Arc<Script>,
}

#[async_trait]
impl HeadLast for FaultyHeadLast {
    async fn write(&mut self, bytes: Bytes) -> Result<(), Error> {
        self.script.enter(&self.store, Op::Write).await?;
        let end = self.position + bytes.len() as u64;
        breaks(self.fault, end, &self.store, &self.key)?;
        let bytes = match self.fault {
            Some(Fault::Flip { at }) => flip(bytes, &mut self.position, at),
            _ => bytes,
        };
        self.inner.write(bytes).await?;
        self.position = end;
        Ok(())
    }

    async fn head(&mut self, head: Bytes) -> Result<(), Error> {
        self.script.enter(&self.store, Op::Write).await?;
        self.inner.head(head).await
    }

    async fn commit(self: Box<Self>, whole: &Digest) -> Result<Meta, Error> {
        let Self { store, inner, script, .. } = *self;
        script.play(&store, Op::Commit, inner.commit(whole)).await
    }

    async fn abort(self: Box<Self>) -> Result<(), Error> {
        let Self { store, inner, script, .. } = *self;
        script.play(&store, Op::Abort, inner.abort()).await
    }
}

/// Whether a write that comes so far meets its fault.
fn breaks(fault: Option<Fault>, end: u64, store: &str, key: &Key) -> Result<(), Error> {
    match fault {
        Some(Fault::Cut { after }) if end > after => Err(cut_off(store)),
        Some(Fault::NoSpace { after }) if end > after => Err(Error::new(
            ErrorKind::NoSpace,
            format!("store `{store}` is full: cannot write `{key}`; free some space"),
        )),
        _ => Ok(()),
    }
}

fn cut_off(store: &str) -> Error {
    Error::new(ErrorKind::Unavailable, format!("store `{store}`: the connection broke"))
}

fn flip(bytes: Bytes, position: &mut u64, at: u64) -> Bytes {
    let start = *position;
    *position += bytes.len() as u64;
    if !(start..*position).contains(&at) {
        return bytes;
    }
    let mut flipped = BytesMut::from(&bytes[..]);
    flipped[(at - start) as usize] ^= 1;
    flipped.freeze()
}

/// Passes chunks on until `cut` names an error, which comes after the chunk that it was asked about.
fn cut_body(
    body: Body,
    cut: impl FnMut(&mut Bytes) -> Option<Error> + Send,
) -> impl futures::Stream<Item = Result<Bytes, Error>> + Send {
    futures::stream::unfold((Some(body), cut, None::<Error>), |(body, mut cut, pending)| async move {
        if let Some(error) = pending {
            return Some((Err(error), (None, cut, None)));
        }
        let mut body = body?;
        match body.next().await? {
            Ok(mut chunk) => {
                let error = cut(&mut chunk);
                Some((Ok(chunk), (Some(body), cut, error)))
            }
            Err(e) => Some((Err(e), (None, cut, None))),
        }
    })
}
