//! A source that flows: its bytes go from the bucket straight into a named pipe, which ffmpeg reads like a file. Nothing is
//! written to the disk, and the work begins with the first byte. The index of an MP4 may be at its end: it is read first and
//! given first.

use std::{
    ffi::CString,
    io,
    ops::Range,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use domain::{Crc64, Digest, Failure, Output, Preset};
use futures::StreamExt as _;
use media::Front;
use storage::{Body, ErrorKind, Key, Store};
use tokio::{io::AsyncWriteExt as _, net::unix::pipe, sync::watch};
use tokio_util::task::AbortOnDropHandle;
use tracing::debug;

use super::Context;
use crate::library::{pinned, storage_failure, stored_key};

/// Between two looks whether ffmpeg has opened its end.
const LOOK: Duration = Duration::from_millis(2);

/// Bytes behind an MP4's data at most, to be read first: they are held in memory.
const MOST_INDEX: u64 = 64 << 20;

pub(crate) struct Feed {
    path: PathBuf,
    poured: watch::Receiver<Poured>,
    _task: AbortOnDropHandle<()>,
}

#[derive(Clone)]
enum Poured {
    NotYet,
    Well,
    Badly(storage::Error),
}

/// What is poured, and in which order.
struct Source {
    store: Arc<dyn Store>,
    key: Key,
    version: Option<String>,
    digest: Digest,
    /// An index that comes first: all before the data, all behind it, and where that begins.
    moved: Option<(Front, Vec<u8>, Vec<u8>, u64)>,
}

/// The source as a flow, where that is possible and worth it: it has to be fetched, and either fetching is what the work
/// consists of, or it is too large to be kept for the jobs that follow.
pub(crate) async fn flowing(context: &Context<'_>, preset: &Preset) -> Result<Option<Feed>, Failure> {
    let (library, recording) = (context.library, &context.recording);
    let store = library.stores.shared(&recording.store)?;
    let key = stored_key(&recording.key)?;
    let Some(facts) = recording.media() else { return Ok(None) };
    let one_pass = matches!(preset.output, Output::Video { .. } | Output::Audio { .. });
    if !one_pass || store.local_path(&key).is_some() || library.fetched.has(&*store, &key, pinned(recording))
    {
        return Ok(None);
    }
    if !media::copies(preset, facts) && library.fetched.may_keep(recording.digest.size) {
        return Ok(None);
    }
    let version = pinned(recording).map(str::to_owned);
    let mut source = Source { store, key, version, digest: recording.digest, moved: None };
    let head = source.read(0..media::HEAD).await.map_err(|e| storage_failure(&e))?;
    if !media::streams(&head) {
        source.moved = source.index_first(head).await.map_err(|e| storage_failure(&e))?;
        if source.moved.is_none() {
            return Ok(None);
        }
    }
    let path = context.work.path().join("flow");
    make_pipe(&path)
        .map_err(|e| Failure::temporary(format!("cannot make a pipe in the work directory: {e}")))?;
    debug!(bytes = recording.digest.size, moved = source.moved.is_some(), "the source flows from its bucket");
    let (tell, poured) = watch::channel(Poured::NotYet);
    let task = AbortOnDropHandle::new(tokio::spawn(feed(source, path.clone(), tell)));
    Ok(Some(Feed { path, poured, _task: task }))
}

impl Feed {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What kept the bytes from coming, or from being the recording's: then what was made of them is worth nothing, for no
    /// fault of the recording's. Waits until all were given that are wanted, of which somebody has read.
    pub(crate) async fn trouble(&self) -> Option<storage::Error> {
        let mut poured = self.poured.clone();
        let _ = poured.wait_for(|poured| !matches!(poured, Poured::NotYet)).await;
        self.trouble_so_far()
    }

    pub(crate) fn trouble_so_far(&self) -> Option<storage::Error> {
        match &*self.poured.borrow() {
            Poured::Badly(trouble) => Some(trouble.clone()),
            Poured::NotYet | Poured::Well => None,
        }
    }
}

/// All of it for whoever opens the pipe first. A second reader (a copy that does not hold up is followed by an encode) gets
/// an end instead of a wait, and the job then goes on with a file: while the first one has not closed its end, nobody
/// could tell the two apart.
async fn feed(source: Source, path: PathBuf, tell: watch::Sender<Poured>) {
    // ffmpeg takes a while to start: then the first bytes have come.
    let mut body = Some(source.body().await);
    loop {
        match pipe::OpenOptions::new().open_sender(&path) {
            Ok(mut pipe) => {
                if let Some(body) = body.take() {
                    widen(&pipe);
                    let poured = match body {
                        Ok(body) => source.pour(body, &mut pipe).await,
                        Err(e) => Err(e),
                    };
                    debug!(well = poured.is_ok(), "poured");
                    // Before the reader is given its end.
                    tell.send_replace(poured.map_or_else(Poured::Badly, |()| Poured::Well));
                }
            }
            // Nobody reads.
            Err(e) if e.raw_os_error() == Some(libc::ENXIO) => {}
            Err(_) => return,
        }
        tokio::time::sleep(LOOK).await;
    }
}

impl Source {
    async fn read(&self, range: Range<u64>) -> Result<Vec<u8>, storage::Error> {
        let mut body = self.store.get(&self.key, self.version.as_deref(), Some(range)).await?;
        let mut bytes = Vec::new();
        while let Some(chunk) = body.next().await {
            bytes.extend_from_slice(&chunk?);
        }
        Ok(bytes)
    }

    /// For an MP4 whose index is at its end, and not too large.
    async fn index_first(
        &self,
        mut head: Vec<u8>,
    ) -> Result<Option<(Front, Vec<u8>, Vec<u8>, u64)>, storage::Error> {
        let size = self.digest.size;
        let Some(at) = media::behind_data(&head, size).filter(|at| size - at <= MOST_INDEX) else {
            return Ok(None);
        };
        let tail = self.read(at..size).await?;
        let Some(front) = media::to_front(&head, at, &tail) else { return Ok(None) };
        head.truncate(front.at as usize);
        Ok(Some((front, head, tail, at)))
    }

    /// What is read of the bucket while it is poured, of which the first bytes have come.
    async fn body(&self) -> Result<Body, storage::Error> {
        let range = self.moved.as_ref().map(|(front, ..)| front.at..front.cut.0);
        let mut body = Box::pin(self.store.get(&self.key, self.version.as_deref(), range).await?.peekable());
        body.as_mut().peek().await;
        Ok(body)
    }

    /// A reader that leaves early has read enough. Whoever reads all has read the recording, whatever became of it on the way.
    async fn pour(&self, mut body: Body, pipe: &mut pipe::Sender) -> Result<(), storage::Error> {
        let mut seen = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc64Nvme);
        if let Some((front, head, _, _)) = &self.moved {
            seen.update(head);
            for bytes in [head, &front.index] {
                if pipe.write_all(bytes).await.is_err() {
                    return Ok(());
                }
            }
        }
        while let Some(chunk) = body.next().await {
            let chunk = chunk?;
            seen.update(&chunk);
            if pipe.write_all(&chunk).await.is_err() {
                return Ok(());
            }
        }
        if let Some((front, _, tail, at)) = &self.moved {
            seen.update(&tail[(front.cut.0 - at) as usize..]);
            let _ = pipe.write_all(&tail[(front.cut.1 - at) as usize..]).await;
        }
        if Crc64(seen.finalize()) == self.digest.crc64 {
            return Ok(());
        }
        Err(storage::Error::new(
            ErrorKind::Corrupt,
            format!(
                "what came of `{}` from store `{}` is not what was accepted, by its checksum; it is read again, and if \
                 that goes on, put it back from a copy",
                self.key,
                self.store.name()
            ),
        )
        .temporary(true))
    }
}

/// Fewer turns between whoever pours and whoever drinks. Where that is refused, the pipe stays as it is.
#[cfg(target_os = "linux")]
fn widen(pipe: &pipe::Sender) {
    use std::os::fd::AsRawFd as _;
    // SAFETY: a descriptor that `pipe` keeps open.
    unsafe { libc::fcntl(pipe.as_raw_fd(), libc::F_SETPIPE_SZ, 1 << 20) };
}
#[cfg(not(target_os = "linux"))]
fn widen(_: &pipe::Sender) {}

fn make_pipe(path: &Path) -> io::Result<()> {
    let name = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: a path that ends in zero, which `name` keeps alive.
    match unsafe { libc::mkfifo(name.as_ptr(), 0o600) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use storage::{Fault, Faulty, Memory, Op, Put, put_bytes};

    use super::*;

    const BYTES: &[u8] = b"a recording, or what passes for one";

    struct Scene {
        store: Arc<Faulty<Memory>>,
        folder: tempfile::TempDir,
        poured: watch::Receiver<Poured>,
        _task: AbortOnDropHandle<()>,
    }

    impl Scene {
        /// Somebody has told the bucket to do this to whoever reads.
        async fn with(fault: Option<Fault>) -> Self {
            let store = Arc::new(Faulty::new(Memory::new("bucket")));
            let key = Key::parse("inbox/a.mp4").unwrap();
            let (_, digest) = put_bytes(&*store, &key, BYTES, Put::default()).await.unwrap();
            if let Some(fault) = fault {
                store.on(Op::Get, 1, fault);
            }
            let folder = tempfile::tempdir().unwrap();
            make_pipe(&folder.path().join("flow")).unwrap();
            let (tell, poured) = watch::channel(Poured::NotYet);
            let source = Source { store: store.clone(), key, version: None, digest, moved: None };
            let task = tokio::spawn(feed(source, folder.path().join("flow"), tell));
            Self { store, folder, poured, _task: AbortOnDropHandle::new(task) }
        }

        async fn drink(&self) -> Vec<u8> {
            let path = self.folder.path().join("flow");
            let drunk = tokio::task::spawn_blocking(move || {
                let mut bytes = Vec::new();
                std::fs::File::open(path)?.read_to_end(&mut bytes).map(|_| bytes)
            });
            drunk.await.unwrap().unwrap()
        }

        /// What became of it, when it is known.
        async fn outcome(&self) -> Result<(), ErrorKind> {
            let mut poured = self.poured.clone();
            match &*poured.wait_for(|poured| !matches!(poured, Poured::NotYet)).await.unwrap() {
                Poured::Badly(e) => Err(e.kind()),
                _ => Ok(()),
            }
        }
    }

    /// ffmpeg takes a tenth of a second to open what it reads; the bucket takes as long to bring the first bytes.
    #[tokio::test]
    async fn the_bucket_is_asked_before_anybody_drinks() {
        let scene = Scene::with(None).await;
        while scene.store.calls(Op::Get) == 0 {
            tokio::time::sleep(LOOK).await;
        }
        assert!(matches!(*scene.poured.borrow(), Poured::NotYet));
        assert_eq!(scene.drink().await, BYTES);
        assert_eq!(scene.outcome().await, Ok(()));
        assert!(scene.drink().await.is_empty(), "a second one gets an end");
        assert_eq!(scene.store.calls(Op::Get), 1);
    }

    /// Of all that can be wrong with the bytes nobody who drank them is to blame.
    #[tokio::test]
    async fn what_kept_the_bytes_from_coming_is_told() {
        let fail = Fault::Fail { kind: ErrorKind::Unavailable, temporary: true };
        for (fault, kind, drunk) in [
            (fail, ErrorKind::Unavailable, 0),
            (Fault::Cut { after: 10 }, ErrorKind::Unavailable, 10),
            (Fault::Flip { at: 3 }, ErrorKind::Corrupt, BYTES.len()),
        ] {
            let scene = Scene::with(Some(fault)).await;
            assert_eq!(scene.drink().await.len(), drunk, "{fault:?}");
            assert_eq!(scene.outcome().await, Err(kind), "{fault:?}");
        }
    }
}
