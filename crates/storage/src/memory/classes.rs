//! Storage classes as S3 has them, so that what archives can be tried without S3: objects that have to be restored are not
//! read, a change of class is another version, and a lifecycle rule changes it in place.

use std::time::Duration;

use domain::Timestamp;

use super::{Memory, Object};
use crate::{Access, Error, ErrorKind, Key, LifecycleRule, Meta, Speed, Tier, tier::no_classes};

/// The class that objects have where nothing is said.
const STANDARD: &str = "STANDARD";
/// Those that are not read before they are restored.
const COLD: [&str; 2] = ["GLACIER", "DEEP_ARCHIVE"];
const HOUR: Duration = Duration::from_secs(60 * 60);

/// A copy that can be read for a while.
#[derive(Debug, Clone, Copy)]
pub(super) struct Restored {
    from: Timestamp,
    until: Timestamp,
}

impl Memory {
    /// With storage classes and lifecycle rules. Restores take hours by the store's clock.
    pub fn with_classes(mut self) -> Self {
        self.has_classes = true;
        self
    }

    /// Replaces its rules, as who owns a bucket does.
    pub fn set_lifecycle(&self, rules: Vec<LifecycleRule>) {
        self.lock().lifecycle = rules;
    }

    /// The hour of the day at which rules are followed. How many objects were moved by it.
    pub fn follow_lifecycle(&self) -> usize {
        let mut objects = self.lock();
        let rules = objects.lifecycle.clone();
        let mut moved = 0;
        for (key, object) in &mut objects.current {
            let size = object.meta.size;
            let goes = |rule: &&LifecycleRule| {
                let has = |(name, value): (&String, &String)| object.tags.get(name) == Some(value);
                key.as_str().starts_with(&rule.prefix)
                    && rule.tags.iter().all(has)
                    && rule.larger_than.is_none_or(|least| size > least)
                    && rule.smaller_than.is_none_or(|most| size < most)
            };
            let class = rules.iter().find(goes).and_then(|rule| rule.classes.last());
            if let Some(class) = class.filter(|class| object.meta.class.as_ref() != Some(*class)) {
                (object.meta.class, object.restored) = (Some(class.clone()), None);
                moved += 1;
            }
        }
        moved
    }

    /// Takes what is put into that class, and keeps it where it is: what some services do with classes that they do not have.
    pub fn refuse_class(&self, class: &str) {
        self.lock().refused.push(class.to_owned());
    }

    /// Whoever may change classes besides us: in place, whatever the object's class is.
    pub fn change_class(&self, key: &Key, class: Option<&str>) {
        if let Some(object) = self.lock().current.get_mut(key) {
            (object.meta.class, object.restored) = (class.map(str::to_owned), None);
        }
    }

    pub(super) fn tier_of(&self, key: &Key, version: &str) -> Result<Tier, Error> {
        let object = self.with_class(key, version)?;
        let class = object.meta.class.clone().unwrap_or_else(|| STANDARD.to_owned());
        Ok(Tier { access: self.access(&object), class })
    }

    pub(super) fn put_into(&self, key: &Key, version: &str, class: &str) -> Result<Meta, Error> {
        let object = self.with_class(key, version)?;
        if !self.access(&object).is_readable() {
            return Err(archived(&self.name, key));
        }
        let class = Some(class.to_owned()).filter(|class| class != STANDARD);
        if object.meta.class == class || self.lock().refused.iter().any(|no| class.as_ref() == Some(no)) {
            return Ok(object.meta);
        }
        let meta = self.put(key, object.bytes, false)?;
        let mut objects = self.lock();
        objects.past.remove(&(key.clone(), version.to_owned()));
        let Some(new) = objects.current.get_mut(key).filter(|o| o.meta.version == meta.version) else {
            return Ok(meta);
        };
        new.tags = object.tags;
        new.meta.class = class;
        Ok(new.meta.clone())
    }

    pub(super) fn begin_restore(
        &self,
        key: &Key,
        version: &str,
        days: u32,
        speed: Speed,
    ) -> Result<(), Error> {
        let object = self.with_class(key, version)?;
        if self.access(&object) != Access::Archived {
            return Ok(());
        }
        let from = self.now()
            + match speed {
                Speed::Expedited => HOUR / 12,
                Speed::Standard => 12 * HOUR,
                Speed::Bulk => 48 * HOUR,
            };
        if let Some(object) = self.lock().current.get_mut(key) {
            object.restored = Some(Restored { from, until: from + 24 * HOUR * days });
        }
        Ok(())
    }

    pub(super) fn is_readable(&self, key: &Key, version: Option<&str>) -> Result<(), Error> {
        match self.current(key) {
            Ok(object)
                if version.is_none_or(|version| version == object.meta.version)
                    && !self.access(&object).is_readable() =>
            {
                Err(archived(&self.name, key))
            }
            _ => Ok(()),
        }
    }

    fn with_class(&self, key: &Key, version: &str) -> Result<Object, Error> {
        if !self.has_classes {
            return Err(no_classes(&self.name));
        }
        let object = self.current(key)?;
        match object.meta.version == version {
            true => Ok(object),
            false => Err(Error::changed(&self.name, key, version, &object.meta.version)),
        }
    }

    fn access(&self, object: &Object) -> Access {
        if !object.meta.class.as_deref().is_some_and(|class| COLD.contains(&class)) {
            return Access::Now;
        }
        match object.restored {
            Some(Restored { from, .. }) if self.now() < from => Access::Restoring,
            Some(Restored { until, .. }) if self.now() < until => Access::Until(until),
            _ => Access::Archived,
        }
    }
}

fn archived(store: &str, key: &Key) -> Error {
    Error::new(
        ErrorKind::Archived,
        format!(
            "store `{store}`: cannot read `{key}`: it lies in an archive: restore it, and read it when it has come back"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Put, Store as _, put_bytes, read_all};

    #[tokio::test]
    async fn what_is_archived_is_restored_before_it_is_read() {
        let store = Memory::new("memory").with_classes();
        let key = Key::parse("a").unwrap();
        let meta = put_bytes(&store, &key, "bytes", Put::default()).await.unwrap().0;
        let cold = store.set_class(&key, &meta.version, "GLACIER").await.unwrap();
        assert_ne!(cold.version, meta.version);
        assert_eq!(read_all(&store, &key, 9).await.unwrap_err().kind(), ErrorKind::Archived);
        store.restore(&key, &cold.version, 1, Speed::Bulk).await.unwrap();
        assert_eq!(store.tier(&key, &cold.version).await.unwrap().access, Access::Restoring);
        store.change_class(&key, None);
        assert_eq!(read_all(&store, &key, 9).await.unwrap(), "bytes");
        assert_eq!(store.erase(&key, None).await.unwrap().len(), 1, "one version was kept");
    }

    #[tokio::test]
    async fn rules_move_in_place_what_is_tagged() {
        let store = Memory::new("memory").with_classes();
        let rule = LifecycleRule {
            tags: [("k".to_owned(), "v".to_owned())].into(),
            classes: vec!["GLACIER_IR".into()],
            ..LifecycleRule::default()
        };
        store.set_lifecycle(vec![rule]);
        let (a, b) = (Key::parse("a").unwrap(), Key::parse("b").unwrap());
        let meta = put_bytes(&store, &a, "bytes", Put::default()).await.unwrap().0;
        put_bytes(&store, &b, "bytes", Put::default()).await.unwrap();
        store.set_tag(&a, &meta.version, "k", Some("v")).await.unwrap();
        assert_eq!((store.follow_lifecycle(), store.follow_lifecycle()), (1, 0));
        let now_there = store.head(&a).await.unwrap();
        assert_eq!((now_there.class.as_deref(), &now_there.version), (Some("GLACIER_IR"), &meta.version));
        assert_eq!(store.head(&b).await.unwrap().class, None);
    }
}
