//! The comparison of a watched bucket with the catalog: heals what no event told of.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use futures::{StreamExt as _, stream::FuturesUnordered};
use storage::Key;
use tracing::{info, warn};

use crate::{Library, Looked, objects::object_id};

/// Objects listed at a time, S3's most.
const PAGE: usize = 1000;
/// Objects looked at together.
const LOOKS: usize = 8;
/// Who walks says so at least this often, or another takes over where the bookmark lies.
const LEAD: Duration = Duration::from_secs(300);

/// What a walk came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Walked {
    pub objects: u64,
    pub taken: u64,
}

fn role(store: &str) -> String {
    format!("walk:{store}")
}

impl Library {
    /// Walks every watched place. Memory is bounded by a page; a walk that was cut off goes on where it was.
    pub(crate) async fn walk_buckets(&self) -> Result<Walked> {
        let mut all = Walked::default();
        for watched in &self.watched {
            let walked = self.walk(&watched.store).await;
            // However it ended: whoever is asked next may walk. Of a walk that is another's this says nothing.
            let role = role(&watched.store);
            self.catalog.lead(&role, &self.worker, self.now(), Duration::ZERO).await?;
            let walked = walked.with_context(|| format!("walking `{}`", watched.store))?;
            all.objects += walked.objects;
            all.taken += walked.taken;
        }
        Ok(all)
    }

    async fn walk(&self, name: &str) -> Result<Walked> {
        let role = role(name);
        let mut walked = Walked::default();
        let mut after = self.catalog.bookmark(&role).await?;
        loop {
            if !self.catalog.lead(&role, &self.worker, self.now(), LEAD).await? {
                // Another worker is on it.
                return Ok(walked);
            }
            let from = after.as_deref().map(Key::foreign).transpose()?;
            let page = self.stores.get(name)?.list("", from.as_ref(), PAGE).await?;
            let ids: Vec<_> = page.iter().map(|meta| object_id(name, meta.key.as_str())).collect();
            let known = self.catalog.versions(&ids).await?;
            let changed: Vec<&Key> = (page.iter().zip(known))
                .filter(|(meta, known)| known.as_ref() != Some(&meta.version))
                .map(|(meta, _)| &meta.key)
                .collect();
            walked.objects += page.len() as u64;
            walked.taken += self.look_at_all(name, &changed).await?;
            match page.last() {
                Some(last) if page.len() == PAGE => {
                    let last = last.key.as_str().to_owned();
                    self.catalog.set_bookmark(&role, Some(&last)).await?;
                    after = Some(last);
                }
                _ => break,
            }
        }
        self.catalog.set_bookmark(&role, None).await?;
        if walked.taken > 0 {
            info!(
                store = name,
                objects = walked.objects,
                taken = walked.taken,
                "the walk found what no event told of"
            );
        }
        Ok(walked)
    }

    /// One that cannot be looked at does not keep the others from it; if none can, the trouble is the store's.
    async fn look_at_all(&self, store: &str, keys: &[&Key]) -> Result<u64> {
        let (mut taken, mut failed) = (0, 0);
        let mut count = |looked: Result<Looked>| match looked {
            Ok(Looked::New(_)) => taken += 1,
            Ok(_) => {}
            Err(e) => {
                failed += 1;
                warn!(
                    store,
                    error = format!("{e:#}"),
                    "an object could not be looked at; the next walk tries again"
                );
            }
        };
        let mut looks = FuturesUnordered::new();
        for key in keys {
            if looks.len() >= LOOKS
                && let Some(looked) = looks.next().await
            {
                count(looked);
            }
            looks.push(self.look(store, key.as_str()));
        }
        while let Some(looked) = looks.next().await {
            count(looked);
        }
        if failed > 0 && failed == keys.len() {
            bail!("none of {failed} objects could be looked at");
        }
        Ok(taken)
    }
}
