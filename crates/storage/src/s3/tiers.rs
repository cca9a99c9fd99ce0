use std::sync::Arc;

use aws_sdk_s3::{
    primitives::{DateTime, DateTimeFormat},
    types::{ArchiveStatus, GlacierJobParameters, RestoreRequest, StorageClass, Tier as RestoreTier},
};

use super::{
    bucket::{Bucket, LOOK, Looked, timestamp},
    copying::{self, With},
    deleting,
    failure::Act,
    writing::{Only, Target},
};
use crate::{Access, Error, Key, Meta, Speed, Tier};

const RESTORE: Act = Act { verb: "restore", permission: "s3:RestoreObject" };
const REMOVE_OLD: Act = Act { verb: "remove the version before of", permission: "s3:DeleteObjectVersion" };

pub(super) async fn tier(bucket: &Arc<Bucket>, key: &Key, version: &str) -> Result<Tier, Error> {
    Ok(of(&look(bucket, key, version, false).await?))
}

/// Copies the object onto itself. Where versions are kept, the version before is removed, or both would be paid for; but
/// only when S3's own checksums of both are equal. Otherwise it stays.
pub(super) async fn set_class(
    bucket: &Arc<Bucket>,
    key: &Key,
    version: &str,
    class: &str,
) -> Result<Meta, Error> {
    let before = look(bucket, key, version, true).await?;
    if of(&before).class == class {
        return Ok(before.meta);
    }
    let target = Target::new(bucket.clone(), key)?;
    let tags = super::tags::read(bucket, key).await?;
    let with = With {
        tags: Some(encode(&tags)),
        class: Some(StorageClass::from(class)),
        only: before.head.e_tag().map_or(Only::Always, |etag| Only::Over(etag.to_owned())),
    };
    let meta = copying::copy_looked_at(&target, &bucket.origin(key)?, &before, with).await?;
    if meta.version == before.meta.version || before.pin.id().is_none() {
        return Ok(meta);
    }
    let after = bucket.look_at(&bucket.bucket, &target.object, key, None, true).await;
    let equal = after.is_ok_and(|after| {
        after.meta.version == meta.version
            && after.meta.size == before.meta.size
            && after.kept.is_some_and(|kept| before.kept == Some(kept))
    });
    if equal {
        deleting::remove(bucket, &target.object, before.pin.id().as_deref())
            .await
            .map_err(|failure| failure.into_error(bucket, REMOVE_OLD, key))?;
    } else {
        tracing::warn!(
            store = bucket.name,
            %key,
            version,
            "the version before stays: S3 keeps no checksum that says the new one equals it"
        );
    }
    Ok(meta)
}

pub(super) async fn restore(
    bucket: &Arc<Bucket>,
    key: &Key,
    version: &str,
    days: u32,
    speed: Speed,
) -> Result<(), Error> {
    let found = look(bucket, key, version, false).await?;
    let tier = of(&found);
    if tier.access == Access::Now {
        return Ok(());
    }
    let speed = match speed {
        Speed::Expedited => RestoreTier::Expedited,
        Speed::Standard => RestoreTier::Standard,
        Speed::Bulk => RestoreTier::Bulk,
    };
    let job = GlacierJobParameters::builder().tier(speed).build().expect("the tier is there");
    // What lies in Intelligent-Tiering comes back for good.
    let days = (tier.class != StorageClass::IntelligentTiering.as_str())
        .then(|| i32::try_from(days).unwrap_or(i32::MAX));
    let request = RestoreRequest::builder().set_days(days).glacier_job_parameters(job).build();
    let object = bucket.object(key)?;
    let asked = || {
        bucket
            .client
            .restore_object()
            .bucket(&bucket.bucket)
            .key(&object)
            .set_version_id(found.pin.id())
            .restore_request(request.clone())
            .send()
    };
    match bucket.ask(bucket.options.patience, asked).await {
        Ok(_) => Ok(()),
        // By an earlier request, perhaps our own.
        Err(failure) if failure.is("RestoreAlreadyInProgress") => Ok(()),
        Err(failure) => Err(failure.into_error(bucket, RESTORE, key)),
    }
}

/// The current version, which must be that one.
async fn look(bucket: &Arc<Bucket>, key: &Key, version: &str, checksums: bool) -> Result<Looked, Error> {
    let object = bucket.object(key)?;
    match bucket.look_at(&bucket.bucket, &object, key, None, checksums).await {
        Ok(found) if found.meta.version == version => Ok(found),
        Ok(found) => Err(Error::changed(&bucket.name, key, version, &found.meta.version)),
        Err(failure) => Err(bucket.missing(failure, LOOK, key).await),
    }
}

fn of(found: &Looked) -> Tier {
    // S3 does not name the class that most objects have.
    let class = found.head.storage_class().cloned().unwrap_or(StorageClass::Standard);
    let archived = matches!(class, StorageClass::Glacier | StorageClass::DeepArchive)
        || matches!(
            found.head.archive_status(),
            Some(ArchiveStatus::ArchiveAccess | ArchiveStatus::DeepArchiveAccess)
        );
    Tier { class: class.as_str().to_owned(), access: access(archived, found.head.restore()) }
}

/// S3's header: `ongoing-request="true"`, or `ongoing-request="false", expiry-date="Fri, 21 Dec 2012 00:00:00 GMT"`.
fn access(archived: bool, restore: Option<&str>) -> Access {
    if !archived {
        return Access::Now;
    }
    let Some(restore) = restore else { return Access::Archived };
    if restore.contains("ongoing-request=\"true\"") {
        return Access::Restoring;
    }
    let until = restore
        .split_once("expiry-date=\"")
        .and_then(|(_, rest)| rest.split_once('"'))
        .and_then(|(date, _)| DateTime::from_str(date, DateTimeFormat::HttpDate).ok());
    match until {
        Some(until) => Access::Until(timestamp(Some(&until))),
        None => Access::Archived,
    }
}

/// As a header has tags: like a query.
fn encode(tags: &crate::Tags) -> String {
    let pairs = tags
        .iter()
        .map(|(name, value)| format!("{}={}", copying::percent_encode(name), copying::percent_encode(value)));
    pairs.collect::<Vec<_>>().join("&")
}

#[test]
fn what_s3_says_of_a_restore_is_understood() {
    use domain::Timestamp;
    assert_eq!(access(false, None), Access::Now);
    assert_eq!(access(true, None), Access::Archived);
    assert_eq!(access(true, Some("ongoing-request=\"true\"")), Access::Restoring);
    let until = "ongoing-request=\"false\", expiry-date=\"Fri, 21 Dec 2012 00:00:00 GMT\"";
    assert_eq!(access(true, Some(until)), Access::Until(Timestamp(1_356_048_000_000)));
    assert_eq!(access(true, Some("ongoing-request=\"false\"")), Access::Archived);
}
