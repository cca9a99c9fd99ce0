use std::sync::Arc;

use domain::Timestamp;
use futures::StreamExt as _;
use rustix::fs::AtFlags;

use super::root::{Root, meta};
use crate::{Error, Listing, Name, Presence, partial};

/// Files on their way from the walking thread at once, whatever the size of the folder.
const AHEAD: usize = 256;

pub(super) fn list<'a>(root: Arc<Root>, folder: Option<Name>) -> Listing<'a> {
    let (sender, receiver) = tokio::sync::mpsc::channel(AHEAD);
    let end = sender.clone();
    let walk = move || {
        let walked = root.walk(folder.as_ref(), &mut |at, folder, file| {
            if folder.is_none() && matches!(&root.presence, Presence::Marker(marker) if marker == file) {
                return Ok(true);
            }
            // Names that are none, partial files among them, are nobody's business.
            let Ok(name) = Name::join(folder, file) else { return Ok(true) };
            match rustix::fs::statat(at, file, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => Ok(meta(name, &stat).is_none_or(|meta| sender.blocking_send(Ok(meta)).is_ok())),
                Err(rustix::io::Errno::NOENT) => Ok(true),
                Err(e) => Err(root.failed("look at", &name, e)),
            }
        });
        if let Err(e) = walked {
            let _ = end.blocking_send(Err(e));
        }
    };
    tokio::task::spawn_blocking(walk);
    futures::stream::unfold(receiver, |mut receiver| async move { Some((receiver.recv().await?, receiver)) })
        .boxed()
}

pub(super) fn sweep(root: &Root, folder: Option<&Name>, before: Timestamp) -> Result<u64, Error> {
    let mut removed = 0;
    root.walk(folder, &mut |at, folder, file| {
        if !partial::is_partial(file) {
            return Ok(true);
        }
        let name = Name::reserved(folder, file);
        let old = match rustix::fs::statat(at, file, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => {
                meta(name.clone(), &stat).and_then(|meta| meta.modified).is_some_and(|at| at < before)
            }
            Err(rustix::io::Errno::NOENT) => false,
            Err(e) => return Err(root.failed("look at", &name, e)),
        };
        if old {
            rustix::fs::unlinkat(at, file, AtFlags::empty()).map_err(|e| root.failed("remove", &name, e))?;
            removed += 1;
        }
        Ok(true)
    })?;
    Ok(removed)
}
