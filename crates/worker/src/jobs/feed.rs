//! A source that flows: its bytes go from the bucket straight into a named pipe, which ffmpeg reads like a file. Nothing is
//! written to the disk, and the work begins with the first byte.

use std::{
    ffi::CString,
    io,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use domain::{Failure, Output, Preset};
use futures::StreamExt as _;
use storage::{Key, Store};
use tokio::{io::AsyncWriteExt as _, net::unix::pipe};
use tracing::debug;

use super::Context;
use crate::library::{pinned, storage_failure, stored_key};

/// Between two looks whether ffmpeg has opened its end.
const LOOK: Duration = Duration::from_millis(2);

pub(crate) struct Feed {
    path: PathBuf,
    trouble: Arc<Mutex<Option<storage::Error>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.task.abort();
    }
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
    let mut body =
        store.get(&key, version.as_deref(), Some(0..media::HEAD)).await.map_err(|e| storage_failure(&e))?;
    let mut head = Vec::new();
    while let Some(chunk) = body.next().await {
        head.extend_from_slice(&chunk.map_err(|e| storage_failure(&e))?);
    }
    if !media::streams(&head) {
        return Ok(None);
    }
    let path = context.work.path().join("flow");
    make_pipe(&path)
        .map_err(|e| Failure::temporary(format!("cannot make a pipe in the work directory: {e}")))?;
    debug!(bytes = recording.digest.size, "the source flows from its bucket");
    let trouble = Arc::new(Mutex::new(None));
    let task = tokio::spawn(feed(store, key, version, path.clone(), trouble.clone()));
    Ok(Some(Feed { path, trouble, task }))
}

impl Feed {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What kept the bytes from coming: then the output is short for no fault of the recording's.
    pub(crate) fn trouble(&self) -> Option<storage::Error> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// All of it for whoever opens the pipe first. A second reader (a copy that does not hold up is followed by an encode) gets
/// an end instead of a wait, and the job then goes on with a file: while the first one has not closed its end, nobody
/// could tell the two apart.
async fn feed(
    store: Arc<dyn Store>,
    key: Key,
    version: Option<String>,
    path: PathBuf,
    trouble: Arc<Mutex<Option<storage::Error>>>,
) {
    let mut poured = false;
    loop {
        match pipe::OpenOptions::new().open_sender(&path) {
            Ok(mut pipe) if !poured => {
                poured = true;
                if let Err(e) = pour(&*store, &key, version.as_deref(), &mut pipe).await {
                    *trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(e);
                }
            }
            Ok(_) => {}
            // Nobody reads.
            Err(e) if e.raw_os_error() == Some(libc::ENXIO) => {}
            Err(_) => return,
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// A reader that leaves early has read enough.
async fn pour(
    store: &dyn Store,
    key: &Key,
    version: Option<&str>,
    pipe: &mut pipe::Sender,
) -> Result<(), storage::Error> {
    let mut body = store.get(key, version, None).await?;
    while let Some(chunk) = body.next().await {
        if pipe.write_all(&chunk?).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

fn make_pipe(path: &Path) -> io::Result<()> {
    let name = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: a path that ends in zero, which `name` keeps alive.
    match unsafe { libc::mkfifo(name.as_ptr(), 0o600) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
