//! A bucket as a destination, through [`storage::S3`]: S3 itself, or any service that speaks its language.
//!
//! - Nothing shows before the request that ends an upload; it takes the place of renaming. Every byte is bound to a checksum that
//!   the service compares before it stores anything, so what is put is always [`Checked::OnArrival`].
//! - After a cut the parts that had arrived stay, and are not sent again: the service is asked for them, and each is compared with
//!   our bytes. What nobody goes on with is swept, where the service tells who has begun it.
//! - From one bucket to another of the same service nothing passes through us, where its credentials reach both.

use std::ops::Range;

use async_trait::async_trait;
use domain::Timestamp;
use futures::{StreamExt as _, TryStreamExt as _};
use storage::{Key, Store, WriteAt};

use crate::{
    Body, Checked, Destination, Error, ErrorKind, Health, Limits, Listing, Meta, Name, Put, Sent, Source,
    names::Rules, put, source::bare,
};

#[cfg(test)]
mod tests;

/// A bucket as a destination; see the module.
#[derive(Debug, Clone)]
pub struct S3 {
    store: storage::S3,
}

impl S3 {
    pub fn new(store: storage::S3) -> Self {
        Self { store }
    }

    fn key(&self, name: &Name) -> Result<Key, Error> {
        Key::foreign(name.as_str()).map_err(|e| Error::new(ErrorKind::Invalid, e.to_string()))
    }
}

/// A failure of the bucket.
fn failed(error: &storage::Error) -> Error {
    use storage::ErrorKind as From;
    let kind = match error.kind() {
        From::NotFound => ErrorKind::NotFound,
        From::Exists => ErrorKind::Exists,
        From::Corrupt => ErrorKind::Corrupt,
        From::NoSpace => ErrorKind::NoSpace,
        From::Denied => ErrorKind::Denied,
        From::Invalid => ErrorKind::Invalid,
        From::Unavailable => ErrorKind::Unavailable,
        From::Changed | From::Archived | From::Other => ErrorKind::Other,
    };
    // Changed: replaced in the same instant, and not there to stay.
    let temporary = error.is_temporary() || matches!(error.kind(), From::Corrupt | From::Changed);
    Error::new(kind, error.to_string()).temporary(temporary)
}

fn meta(meta: &storage::Meta) -> Option<Meta> {
    let name = Name::parse(meta.key.as_str()).ok()?;
    Some(Meta { name, size: meta.size, modified: Some(meta.modified), hash: None })
}

#[async_trait]
impl Destination for S3 {
    fn name(&self) -> &str {
        self.store.name()
    }

    fn limits(&self) -> Limits {
        Limits {
            names: Rules::unix(),
            max_size: Some(5 << 40),
            resumes: true,
            lists: true,
            keeps_times: false,
            refuses_to_replace: true,
            hashes: Vec::new(),
        }
    }

    async fn stat(&self, name: &Name) -> Result<Option<Meta>, Error> {
        match self.store.head(&self.key(name)?).await {
            Ok(found) => Ok(meta(&found)),
            Err(e) if e.kind() == storage::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(failed(&e)),
        }
    }

    async fn put(&self, name: &Name, source: &dyn Source, put: &Put) -> Result<Sent, Error> {
        put::check_source(self.name(), name, source, put)?;
        let key = self.key(name)?;
        let options = storage::Put { if_absent: !put.replace, expected: Some(put.expected) };
        if let Some(stored) = source.stored() {
            let copied = self
                .store
                .copy_from(&*stored.store, &stored.key, stored.version.as_deref(), &key, options)
                .await;
            if let Some(copied) = copied {
                return Ok(sent(name, &copied.map_err(|e| failed(&e))?, 0));
            }
        }
        let mut upload = self.store.create_resumable(&key, options).map_err(|e| failed(&e))?;
        if let Err(e) = write(&mut upload, source).await {
            // Nobody will be able to go on with it.
            if !e.is_temporary()
                && let Err(left) = upload.abort().await
            {
                tracing::warn!(destination = self.name(), name = %name, error = %left, "an incomplete upload stays");
            }
            return Err(e);
        }
        let (stored, _, kept) = upload.commit().await.map_err(|e| failed(&e))?;
        Ok(Sent { resumed_from: kept, ..sent(name, &stored, stored.size - kept) })
    }

    async fn get(&self, name: &Name, range: Option<Range<u64>>) -> Result<Body, Error> {
        let body = self.store.get(&self.key(name)?, None, range).await.map_err(|e| failed(&e))?;
        Ok(body.map_err(|e| failed(&e)).boxed())
    }

    async fn download(&self, name: &Name, into: &dyn WriteAt) -> Result<u64, Error> {
        self.store.download(&self.key(name)?, None, into).await.map_err(|e| failed(&e))
    }

    fn list<'a>(&'a self, folder: Option<&Name>) -> Listing<'a> {
        let prefix = folder.map(|f| format!("{}/", f.as_str())).unwrap_or_default();
        let pages = futures::stream::try_unfold(Some(None::<Key>), move |after| {
            let prefix = prefix.clone();
            async move {
                let Some(after) = after else { return Ok(None) };
                let page = self.store.list(&prefix, after.as_ref(), PAGE).await.map_err(|e| failed(&e))?;
                let next = if page.len() == PAGE { page.last().map(|m| Some(m.key.clone())) } else { None };
                Ok::<_, Error>(Some((page, next)))
            }
        });
        let metas = pages
            .map_ok(|page| futures::stream::iter(page.into_iter().filter_map(|found| meta(&found).map(Ok))));
        metas.try_flatten().boxed()
    }

    async fn remove(&self, name: &Name) -> Result<(), Error> {
        let key = self.key(name)?;
        match self.store.head(&key).await {
            Err(e) if e.kind() == storage::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(failed(&e)),
            Ok(found) => match self.store.delete(&key, &found.version).await {
                Err(e) if e.kind() != storage::ErrorKind::NotFound => Err(failed(&e)),
                _ => Ok(()),
            },
        }
    }

    /// A bucket has no folders.
    async fn mkdirs(&self, _: &Name) -> Result<(), Error> {
        Ok(())
    }

    /// A copy, then the removal: a bucket cannot rename.
    async fn rename(&self, from: &Name, to: &Name, replace: bool) -> Result<(), Error> {
        let (old, new) = (self.key(from)?, self.key(to)?);
        let found = self.store.head(&old).await.map_err(|e| failed(&e))?;
        let options = storage::Put { if_absent: !replace, expected: None };
        self.store.copy(&old, Some(&found.version), &new, options).await.map_err(|e| failed(&e))?;
        self.store.delete(&old, &found.version).await.map_err(|e| failed(&e))
    }

    /// Unfinished uploads of ours below the bucket's prefix: S3 does not part them by folder, but by who began them.
    async fn sweep(&self, _: Option<&Name>, before: Timestamp) -> Result<u64, Error> {
        self.store.sweep_own_uploads(before).await.map_err(|e| failed(&e))
    }

    async fn check(&self) -> Result<Health, Error> {
        let health = self.store.check().await.map_err(|e| failed(&e))?;
        Ok(Health { free: health.free, capacity: health.capacity })
    }
}

/// Hands over all the bytes. Those that are there already do not go over the line: they are neither paced nor counted.
async fn write(upload: &mut storage::s3::Resumable, source: &dyn Source) -> Result<(), Error> {
    let mut body = bare(source).read_from(0).await?;
    let mut at = 0;
    while let Some(chunk) = body.try_next().await? {
        let bytes = chunk.len();
        if at >= upload.known() {
            source.passing(at, bytes).await;
        }
        at += bytes as u64;
        upload.write(chunk).await.map_err(|e| failed(&e))?;
    }
    Ok(())
}

/// Objects in one page of a list.
const PAGE: usize = 1000;

fn sent(name: &Name, stored: &storage::Meta, bytes: u64) -> Sent {
    let meta = Meta { name: name.clone(), size: stored.size, modified: Some(stored.modified), hash: None };
    Sent { meta, bytes, resumed_from: 0, checked: Checked::OnArrival }
}
