use std::sync::Arc;

use aws_sdk_s3::types::{EncodingType, Initiator};
use domain::Timestamp;

use super::{
    bucket::{Bucket, timestamp},
    failure::Act,
    listing,
    multipart::Multipart,
    writing::Target,
};
use crate::{Error, Key};

const LIST: Act = Act { verb: "list unfinished uploads below", permission: "s3:ListBucketMultipartUploads" };
const ABORT: Act = Act { verb: "end an unfinished upload of", permission: "s3:AbortMultipartUpload" };

/// Whose uploads are ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// Nobody else has any.
    Everybodys,
    /// Those that were begun by whom we are here; where the service does not tell, none.
    Ours,
}

/// Ends uploads below our prefix that began before `before`; how many.
pub(super) async fn sweep(bucket: &Arc<Bucket>, whose: Whose, before: Timestamp) -> Result<u64, Error> {
    // Asked for when it has to be known.
    let mut us: Option<Option<String>> = None;
    let mut ended = 0;
    let (mut key_marker, mut id_marker) = (None, None);
    loop {
        let answer = bucket
            .ask(bucket.options.patience, || {
                bucket
                    .client
                    .list_multipart_uploads()
                    .bucket(&bucket.bucket)
                    .prefix(&bucket.prefix)
                    .set_key_marker(key_marker.clone())
                    .set_upload_id_marker(id_marker.clone())
                    .encoding_type(EncodingType::Url)
                    .max_uploads(listing::MOST as i32)
                    .send()
            })
            .await
            .map_err(|failure| failure.into_error(bucket, LIST, &bucket.prefix))?;
        let encoded = answer.encoding_type() == Some(&EncodingType::Url);
        for upload in answer.uploads() {
            // One without a date may be a minute old.
            let Some(begun) = upload.initiated() else { continue };
            let (Some(object), Some(id)) = (upload.key(), upload.upload_id()) else { continue };
            if timestamp(Some(begun)) >= before {
                continue;
            }
            if whose == Whose::Ours {
                let us = match &us {
                    Some(known) => known,
                    None => us.insert(who_we_are(bucket).await?),
                };
                if us.is_none() || upload.initiator().and_then(Initiator::id) != us.as_deref() {
                    continue;
                }
            }
            ended += u64::from(abort(bucket, &listing::decode(object, encoded), id).await?);
        }
        if answer.is_truncated() != Some(true) {
            break;
        }
        key_marker = answer.next_key_marker().map(|key| listing::decode(key, encoded).into_owned());
        id_marker = answer.next_upload_id_marker;
    }
    if ended > 0 {
        tracing::info!(store = bucket.name, ended, "ended uploads that nobody finished");
    }
    Ok(ended)
}

/// What the service calls whoever begins our uploads: seen on one of ours, which is then ended.
async fn who_we_are(bucket: &Arc<Bucket>) -> Result<Option<String>, Error> {
    let target = Target::new(bucket.clone(), &Key::reserved(&format!("who-{:016x}", fastrand::u64(..))))?;
    let object = target.object.clone();
    let upload = Multipart::begin(target, |request| request).await?;
    let asked = bucket
        .ask(bucket.options.patience, || {
            bucket.client.list_multipart_uploads().bucket(&bucket.bucket).prefix(&*object).send()
        })
        .await;
    upload.abort().await;
    let answer = asked.map_err(|failure| failure.into_error(bucket, LIST, &bucket.prefix))?;
    let ours = answer.uploads().iter().find_map(|upload| upload.initiator()?.id());
    Ok(ours.filter(|id| !id.is_empty()).map(str::to_owned))
}

/// Whether it was still there.
async fn abort(bucket: &Bucket, object: &str, id: &str) -> Result<bool, Error> {
    let asked =
        || bucket.client.abort_multipart_upload().bucket(&bucket.bucket).key(object).upload_id(id).send();
    match bucket.ask(bucket.options.patience, asked).await {
        Ok(_) => Ok(true),
        Err(failure) if failure.is("NoSuchUpload") => Ok(false),
        Err(failure) => Err(failure.into_error(bucket, ABORT, crate::key::inert(object))),
    }
}
