use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use domain::{Clock, Digest, Hasher, Timestamp};

use crate::{
    Body, CHUNK, Error, ErrorKind, HeadLast, Health, Key, LifecycleRule, Meta, Put, Speed, Store, Tags, Tier,
    Upload, lifecycle::no_lifecycle,
};

mod classes;

/// A store in memory that keeps versions, for tests and as the model of the others: like a versioned bucket, an
/// overwritten version stays readable by its id.
#[derive(Clone)]
pub struct Memory {
    name: Arc<str>,
    clock: Option<Arc<dyn Clock>>,
    has_classes: bool,
    objects: Arc<Mutex<Objects>>,
}

#[derive(Default)]
struct Objects {
    current: BTreeMap<Key, Object>,
    /// Versions that were overwritten.
    past: HashMap<(Key, String), Bytes>,
    last_version: u64,
    lifecycle: Vec<LifecycleRule>,
    refused: Vec<String>,
}

#[derive(Clone)]
struct Object {
    meta: Meta,
    bytes: Bytes,
    tags: Tags,
    restored: Option<classes::Restored>,
}

impl Memory {
    /// Without a clock every object dates from 1970.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self { name: name.into(), clock: None, has_classes: false, objects: Arc::default() }
    }

    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    fn now(&self) -> Timestamp {
        self.clock.as_ref().map_or(Timestamp(0), |clock| clock.now())
    }

    fn lock(&self) -> MutexGuard<'_, Objects> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn current(&self, key: &Key) -> Result<Object, Error> {
        self.lock().current.get(key).cloned().ok_or_else(|| Error::not_found(&self.name, key))
    }

    fn put(&self, key: &Key, bytes: Bytes, if_absent: bool) -> Result<Meta, Error> {
        let mut objects = self.lock();
        if if_absent && objects.current.contains_key(key) {
            return Err(Error::exists(&self.name, key));
        }
        objects.last_version += 1;
        let meta = Meta {
            key: key.clone(),
            size: bytes.len() as u64,
            version: format!("v{}", objects.last_version),
            modified: self.now(),
            class: None,
        };
        let object = Object { meta: meta.clone(), bytes, tags: Tags::new(), restored: None };
        if let Some(old) = objects.current.insert(key.clone(), object) {
            objects.past.insert((key.clone(), old.meta.version), old.bytes);
        }
        Ok(meta)
    }
}

#[async_trait]
impl Store for Memory {
    fn name(&self) -> &str {
        &self.name
    }

    fn versions_endure(&self) -> bool {
        true
    }

    async fn head(&self, key: &Key) -> Result<Meta, Error> {
        Ok(self.current(key)?.meta)
    }

    async fn get(&self, key: &Key, version: Option<&str>, range: Option<Range<u64>>) -> Result<Body, Error> {
        let current = self.current(key);
        self.is_readable(key, version)?;
        let bytes = match version {
            None => current?.bytes,
            Some(wanted) => match (current, self.lock().past.get(&(key.clone(), wanted.to_owned()))) {
                (Ok(object), _) if object.meta.version == wanted => object.bytes,
                (_, Some(bytes)) => bytes.clone(),
                (Ok(object), None) => {
                    return Err(Error::changed(&self.name, key, wanted, &object.meta.version));
                }
                (Err(not_found), None) => return Err(not_found),
            },
        };
        let (start, end) = crate::stream::clamp(range, bytes.len() as u64);
        let mut rest = bytes.slice(start as usize..end as usize);
        let chunks =
            std::iter::from_fn(move || (!rest.is_empty()).then(|| Ok(rest.split_to(rest.len().min(CHUNK)))));
        Ok(Box::pin(futures::stream::iter(chunks)))
    }

    async fn create(&self, key: &Key, options: Put) -> Result<Box<dyn Upload>, Error> {
        Ok(Box::new(InMemory::new(self, key, options)))
    }

    async fn create_head_last(&self, key: &Key, options: Put) -> Result<Option<Box<dyn HeadLast>>, Error> {
        Ok(Some(Box::new(InMemory::new(self, key, options))))
    }

    async fn list(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<Vec<Meta>, Error> {
        let objects = self.lock();
        let found = objects
            .current
            .iter()
            .filter(|(key, _)| key.as_str().starts_with(prefix) && after.is_none_or(|after| *key > after));
        Ok(found.map(|(_, object)| object.meta.clone()).take(limit).collect())
    }

    async fn delete(&self, key: &Key, version: &str) -> Result<(), Error> {
        let mut objects = self.lock();
        let Some(object) = objects.current.get(key) else { return Err(Error::not_found(&self.name, key)) };
        if object.meta.version != version {
            return Err(Error::changed(&self.name, key, version, &object.meta.version));
        }
        objects.current.remove(key);
        Ok(())
    }

    async fn erase(&self, key: &Key, version: Option<&str>) -> Result<Vec<Meta>, Error> {
        let mut objects = self.lock();
        let current = objects.current.get(key).map(|object| object.meta.clone());
        if let (Some(wanted), Some(current)) = (version, &current)
            && current.version != wanted
        {
            return Err(Error::changed(&self.name, key, wanted, &current.version));
        }
        let mut erased = Vec::new();
        objects.past.retain(|(past, version), bytes| {
            if past == key {
                let (size, version) = (bytes.len() as u64, version.clone());
                erased.push(Meta { key: key.clone(), size, version, modified: Timestamp(0), class: None });
            }
            past != key
        });
        objects.current.remove(key);
        erased.extend(current);
        Ok(erased)
    }

    async fn tags(&self, key: &Key) -> Result<Tags, Error> {
        Ok(self.current(key)?.tags)
    }

    async fn set_tags(&self, key: &Key, tags: &Tags) -> Result<(), Error> {
        crate::store::check_tags(&self.name, key, tags)?;
        let mut objects = self.lock();
        let Some(object) = objects.current.get_mut(key) else {
            return Err(Error::not_found(&self.name, key));
        };
        object.tags = tags.clone();
        Ok(())
    }

    async fn tier(&self, key: &Key, version: &str) -> Result<Tier, Error> {
        self.tier_of(key, version)
    }

    async fn set_class(&self, key: &Key, version: &str, class: &str) -> Result<Meta, Error> {
        self.put_into(key, version, class)
    }

    async fn restore(&self, key: &Key, version: &str, days: u32, speed: Speed) -> Result<(), Error> {
        self.begin_restore(key, version, days, speed)
    }

    async fn lifecycle(&self, _: Duration) -> Result<Vec<LifecycleRule>, Error> {
        match self.has_classes {
            true => Ok(self.lock().lifecycle.clone()),
            false => Err(no_lifecycle(&self.name)),
        }
    }

    async fn check(&self) -> Result<Health, Error> {
        Ok(Health::default())
    }
}

struct InMemory {
    store: Memory,
    key: Key,
    options: Put,
    /// Of what is written head last.
    head: Bytes,
    bytes: BytesMut,
}

impl InMemory {
    fn new(store: &Memory, key: &Key, options: Put) -> Self {
        Self { store: store.clone(), key: key.clone(), options, head: Bytes::new(), bytes: BytesMut::new() }
    }
}

#[async_trait]
impl Upload for InMemory {
    async fn write(&mut self, bytes: Bytes) -> Result<(), Error> {
        self.bytes.extend_from_slice(&bytes);
        Ok(())
    }

    async fn commit(self: Box<Self>) -> Result<(Meta, Digest), Error> {
        let Self { store, key, options, bytes, .. } = *self;
        let mut hasher = Hasher::new();
        hasher.update(&bytes);
        let digest = hasher.finish();
        crate::store::check_expected(&store.name, &key, &options, &digest)?;
        Ok((store.put(&key, bytes.freeze(), options.if_absent)?, digest))
    }

    async fn abort(self: Box<Self>) -> Result<(), Error> {
        Ok(())
    }
}

#[async_trait]
impl HeadLast for InMemory {
    async fn write(&mut self, bytes: Bytes) -> Result<(), Error> {
        self.bytes.extend_from_slice(&bytes);
        Ok(())
    }

    async fn head(&mut self, head: Bytes) -> Result<(), Error> {
        self.head = head;
        Ok(())
    }

    async fn commit(self: Box<Self>, whole: &Digest) -> Result<Meta, Error> {
        let Self { store, key, options, head, bytes } = *self;
        let mut hasher = Hasher::new();
        hasher.update(&head);
        hasher.update(&bytes);
        let found = hasher.finish();
        if found != *whole {
            return Err(Error::new(
                ErrorKind::Corrupt,
                format!(
                    "store `{}`: of `{key}` other bytes were sent than it has now; nothing was stored; write it again",
                    store.name
                ),
            ));
        }
        crate::store::check_expected(&store.name, &key, &options, &found)?;
        let all = BytesMut::from_iter(head.iter().chain(bytes.iter()));
        store.put(&key, all.freeze(), options.if_absent)
    }

    async fn abort(self: Box<Self>) -> Result<(), Error> {
        Ok(())
    }
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Memory({})", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Faulty, contract::Subject};

    async fn subject() -> Subject {
        let dir = tempfile::tempdir().unwrap();
        Subject {
            store: Arc::new(Memory::new("memory")),
            near: dir.path().to_owned(),
            far: None,
            keep: Box::new(dir),
        }
    }
    crate::contract!(subject);

    /// A faulty store without a fault is the store itself.
    mod faulty {
        use super::*;

        async fn subject() -> Subject {
            let store = Arc::new(Faulty::new(Memory::new("memory")));
            Subject { store, ..super::subject().await }
        }
        crate::contract!(subject);
    }
}
