use std::sync::Arc;

use aws_sdk_s3::{operation::delete_object::DeleteObjectOutput, types::EncodingType};

use super::{
    bucket::{Bucket, LOOK},
    failure::{Act, Failure},
    listing,
    version::Pin,
};
use crate::{Error, Key};

const DELETE: Act = Act { verb: "delete", permission: "s3:DeleteObject and s3:DeleteObjectVersion" };

/// Removes exactly that version, and really: where versions are kept, no delete marker takes its place, unless it is
/// needed to keep an older version from coming to light again.
pub(super) async fn delete(bucket: &Arc<Bucket>, key: &Key, version: &str) -> Result<(), Error> {
    let object = bucket.object(key)?;
    let pin = Pin::parse(version);
    match &pin {
        Pin::Id(id) => delete_version(bucket, key, &object, id).await,
        Pin::Etag(_) => delete_current(bucket, key, &object, &pin).await,
    }
}

async fn delete_version(bucket: &Bucket, key: &Key, object: &str, id: &str) -> Result<(), Error> {
    let newest = newest(bucket, key, object).await?;
    let Some(Version { id: found, etag, older }) = newest else {
        // Gone, or under a delete marker; or the bucket is.
        return Err(match bucket.head(key).await {
            Ok(meta) => Error::changed(&bucket.name, key, id, &meta.version),
            Err(error) => error,
        });
    };
    let found = Pin::of(Some(&found), Some(&etag)).to_string();
    if found != id {
        return Err(Error::changed(&bucket.name, key, id, &found));
    }
    if older {
        // First the marker and then the version, so that nobody ever sees the older one. Only over this version: over
        // a newer one it would hide that.
        match mark_deleted(bucket, object, Some(&etag)).await {
            Ok(_) => {}
            // The marker of an answer that got lost.
            Err(failure) if failure.doubt && failure.is_missing() => {}
            Err(failure) => return Err(refused(bucket, key, id, failure).await),
        }
    }
    remove(bucket, object, Some(id)).await.map_err(|failure| failure.into_error(bucket, DELETE, key))?;
    Ok(())
}

async fn delete_current(bucket: &Bucket, key: &Key, object: &str, pin: &Pin) -> Result<(), Error> {
    let version = pin.to_string();
    let found = bucket.head(key).await?;
    if found.version != version {
        return Err(Error::changed(&bucket.name, key, &version, &found.version));
    }
    match mark_deleted(bucket, object, pin.if_match().as_deref()).await {
        // Versions are kept by now, but were not when this one was written: its bytes are still there.
        Ok(marker) if marker.delete_marker() == Some(true) && marker.version_id() != Some("null") => {
            remove(bucket, object, Some("null"))
                .await
                .map_err(|failure| failure.into_error(bucket, DELETE, key))?;
            Ok(())
        }
        Ok(_) => Ok(()),
        // By ourselves, and the answer got lost.
        Err(failure) if failure.doubt && failure.is_missing() => Ok(()),
        Err(failure) => Err(refused(bucket, key, &version, failure).await),
    }
}

/// Deletes whatever is current, if it has that ETag: an object, or a place in the history of one.
async fn mark_deleted(
    bucket: &Bucket,
    object: &str,
    if_match: Option<&str>,
) -> Result<DeleteObjectOutput, Failure> {
    let delete = |if_match: Option<&str>| {
        let if_match = if_match.map(str::to_owned);
        bucket.ask(bucket.options.patience, move || {
            bucket
                .client
                .delete_object()
                .bucket(&bucket.bucket)
                .key(object)
                .set_if_match(if_match.clone())
                .send()
        })
    };
    match delete(if_match).await {
        // A service without the condition: we have compared, a moment ago.
        Err(failure) if failure.is_unknown() && if_match.is_some() => delete(None).await,
        deleted => deleted,
    }
}

/// Removes one version for good; it need not be there.
pub(super) async fn remove(
    bucket: &Bucket,
    object: &str,
    id: Option<&str>,
) -> Result<DeleteObjectOutput, Failure> {
    bucket
        .ask(bucket.options.patience, || {
            bucket
                .client
                .delete_object()
                .bucket(&bucket.bucket)
                .key(object)
                .set_version_id(id.map(str::to_owned))
                .send()
        })
        .await
}

async fn refused(bucket: &Bucket, key: &Key, version: &str, failure: Failure) -> Error {
    if !failure.is_unmet() && !failure.is_missing() {
        return failure.into_error(bucket, DELETE, key);
    }
    match bucket.head(key).await {
        Ok(meta) if meta.version != version => Error::changed(&bucket.name, key, version, &meta.version),
        Ok(_) => failure.into_error(bucket, DELETE, key),
        Err(error) => error,
    }
}

struct Version {
    id: String,
    etag: String,
    /// Another version would take its place.
    older: bool,
}

/// The current version and what lies below it; `None` where no object is current.
async fn newest(bucket: &Bucket, key: &Key, object: &str) -> Result<Option<Version>, Error> {
    let listed = bucket
        .ask(bucket.options.patience, || {
            bucket
                .client
                .list_object_versions()
                .bucket(&bucket.bucket)
                .prefix(object)
                .encoding_type(EncodingType::Url)
                .max_keys(2)
                .send()
        })
        .await
        .map_err(|failure| {
            let act = Act { permission: "s3:ListBucketVersions", ..LOOK };
            failure.into_error(bucket, act, key)
        })?;
    let encoded = listed.encoding_type() == Some(&EncodingType::Url);
    // Of this key: it is the first in the order of keys that begin with it, newest versions first.
    let ours = listed
        .versions()
        .iter()
        .filter(|v| v.key().is_some_and(|key| listing::decode(key, encoded) == object))
        .collect::<Vec<_>>();
    let latest = ours.iter().find(|version| version.is_latest() == Some(true));
    Ok(latest.map(|latest| Version {
        id: latest.version_id().unwrap_or_default().to_owned(),
        etag: latest.e_tag().unwrap_or_default().to_owned(),
        older: ours.len() > 1,
    }))
}
