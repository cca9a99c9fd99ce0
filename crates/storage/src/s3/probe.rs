use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt as _;

use super::{
    bucket::Bucket,
    checksum, deleting,
    failure::Act,
    reading,
    version::Pin,
    writing::{Only, Target},
};
use crate::{Error, ErrorKind, Health, Key};

/// Writes, reads and removes a small object. How much room there is, S3 does not say.
pub(super) async fn probe(bucket: &Arc<Bucket>) -> Result<Health, Error> {
    let name = format!("probe-{:016x}", fastrand::u64(..));
    let key = Key::reserved(&name);
    let target = Target::new(bucket.clone(), &key)?;
    let pattern = Bytes::from_static(&PATTERN);
    let written = target.put(pattern.clone(), checksum::crc64(&pattern), &Only::IfAbsent).await?;
    let read = async {
        let body = reading::get(bucket, &key, Some(&written.version), None).await?;
        Ok::<_, Error>(body.try_collect::<Vec<_>>().await?.concat())
    };
    let read = read.await;
    // Before anything is said about it: also a probe that fails leaves nothing.
    let removed =
        deleting::remove(bucket, &target.object, Pin::parse(&written.version).id().as_deref()).await;
    let act = Act { verb: "remove the probe", permission: "s3:DeleteObject and s3:DeleteObjectVersion" };
    let read = read?;
    removed.map_err(|failure| failure.into_error(bucket, act, &key))?;
    if *read != PATTERN {
        return Err(Error::new(
            ErrorKind::Corrupt,
            format!("store `{}`: a probe in bucket `{}` reads back differently", bucket.name, bucket.bucket),
        ));
    }
    Ok(Health::default())
}

const PATTERN: [u8; 4096] = [0xA5; 4096];
