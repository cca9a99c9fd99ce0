use std::sync::Arc;

use aws_sdk_s3::types::{EncodingType, ObjectVersionStorageClass};

use super::{
    bucket::{Bucket, class, timestamp},
    deleting,
    failure::Act,
    listing,
    version::Pin,
};
use crate::{Error, ErrorKind, Key, Meta};

const LIST: Act = Act { verb: "list the versions of", permission: "s3:ListBucketVersions" };
const ERASE: Act = Act { verb: "erase a version of", permission: "s3:DeleteObjectVersion" };

/// Every version of the key and every delete marker over them, oldest first: what is current goes last, so that nothing
/// older ever comes to light, and so that after a crash the next try still finds what it is about.
pub(super) async fn erase(
    bucket: &Arc<Bucket>,
    key: &Key,
    version: Option<&str>,
) -> Result<Vec<Meta>, Error> {
    let object = bucket.object(key)?;
    let mut entries = entries(bucket, key, &object).await?;
    if entries.is_empty() {
        // A bucket that was never told to keep versions may answer with none.
        return match bucket.head(key).await {
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            Err(e) => Err(e),
            Ok(meta) => {
                deleting::delete(bucket, key, version.unwrap_or(&meta.version)).await?;
                Ok(vec![meta])
            }
        };
    }
    if let Some(wanted) = version
        && let Some(Entry { meta: Some(current), .. }) = entries.iter().find(|e| e.latest)
        && current.version != wanted
    {
        return Err(Error::changed(&bucket.name, key, wanted, &current.version));
    }
    let mut erased = Vec::new();
    // S3 lists the newest first.
    entries.reverse();
    entries.sort_by_key(|e| e.latest);
    for entry in entries {
        deleting::remove(bucket, &object, entry.id.as_deref())
            .await
            .map_err(|failure| failure.into_error(bucket, ERASE, key))?;
        erased.extend(entry.meta);
    }
    Ok(erased)
}

struct Entry {
    /// Absent where no versions are kept.
    id: Option<String>,
    latest: bool,
    /// Absent for a delete marker.
    meta: Option<Meta>,
}

async fn entries(bucket: &Arc<Bucket>, key: &Key, object: &str) -> Result<Vec<Entry>, Error> {
    let mut entries = Vec::new();
    let (mut key_marker, mut id_marker) = (None, None);
    loop {
        let answer = bucket
            .ask(bucket.options.patience, || {
                bucket
                    .client
                    .list_object_versions()
                    .bucket(&bucket.bucket)
                    .prefix(object)
                    .set_key_marker(key_marker.clone())
                    .set_version_id_marker(id_marker.clone())
                    .encoding_type(EncodingType::Url)
                    .max_keys(listing::MOST as i32)
                    .send()
            })
            .await
            .map_err(|failure| failure.into_error(bucket, LIST, key))?;
        let encoded = answer.encoding_type() == Some(&EncodingType::Url);
        let ours = |found: Option<&str>| found.is_some_and(|found| listing::decode(found, encoded) == object);
        for it in answer.versions().iter().filter(|v| ours(v.key())) {
            let id = it.version_id().map(str::to_owned);
            let meta = Meta {
                key: key.clone(),
                size: u64::try_from(it.size().unwrap_or(0)).unwrap_or(0),
                version: Pin::of(id.as_deref(), it.e_tag()).to_string(),
                modified: timestamp(it.last_modified()),
                class: class(it.storage_class().map(ObjectVersionStorageClass::as_str)),
            };
            entries.push(Entry { id, latest: it.is_latest() == Some(true), meta: Some(meta) });
        }
        for it in answer.delete_markers().iter().filter(|v| ours(v.key())) {
            let id = it.version_id().map(str::to_owned);
            entries.push(Entry { id, latest: it.is_latest() == Some(true), meta: None });
        }
        // The key is the first of those that begin with it: when another one shows, it is over.
        let others = answer.versions().iter().any(|v| !ours(v.key()));
        if others || answer.is_truncated() != Some(true) {
            return Ok(entries);
        }
        key_marker = answer.next_key_marker().map(|key| listing::decode(key, encoded).into_owned());
        id_marker = answer.next_version_id_marker;
    }
}
