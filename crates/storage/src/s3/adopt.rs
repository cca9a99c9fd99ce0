use std::{fs::File, io::Read as _, path::Path, sync::Arc};

use bytes::Bytes;
use domain::Digest;

use super::{bucket::Bucket, writing::Writing};
use crate::{Error, Key, Meta, Put, Upload as _, off_thread::off_thread};

/// Uploads a file, a part at a time from the disk and several on their way; then removes it.
pub(super) async fn adopt(
    bucket: &Arc<Bucket>,
    key: &Key,
    path: &Path,
    options: Put,
) -> Result<(Meta, Digest), Error> {
    let fail = |what: &'static str| {
        let (store, shown) = (bucket.name.clone(), path.display().to_string());
        move |e: std::io::Error| Error::io(&store, what, &shown, &e)
    };
    let opening = path.to_owned();
    let (mut file, size) = off_thread(move || {
        let file = File::open(opening)?;
        let size = file.metadata()?.len();
        Ok((file, size))
    })
    .await
    .map_err(fail("adopt"))?;
    let mut writing = Box::new(Writing::new(bucket.clone(), key, options, Some(size))?);
    loop {
        let wanted = writing.part_size() as u64;
        let (rest, part) = off_thread(move || {
            let mut part = Vec::with_capacity(wanted.min(size) as usize);
            (&file).take(wanted).read_to_end(&mut part)?;
            Ok((file, part))
        })
        .await
        .map_err(fail("read"))?;
        file = rest;
        if part.is_empty() {
            break;
        }
        writing.write(Bytes::from(part)).await?;
    }
    let stored = writing.commit().await?;
    // Only now: until the commit has answered, this file is the only copy.
    tokio::fs::remove_file(path).await.map_err(fail("remove the adopted file"))?;
    Ok(stored)
}
