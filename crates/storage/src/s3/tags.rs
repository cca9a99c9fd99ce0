use std::sync::Arc;

use aws_sdk_s3::types::{Tag, Tagging};

use super::{bucket::Bucket, failure::Act, version::Pin};
use crate::{Error, Key, Tags, lifecycle::with_tag, store::check_tags};

const READ_TAGS: Act =
    Act { verb: "read the tags of", permission: "s3:GetObjectTagging and s3:GetObjectVersionTagging" };
const WRITE_TAGS: Act =
    Act { verb: "write the tags of", permission: "s3:PutObjectTagging and s3:PutObjectVersionTagging" };

/// Of the version that is current when S3 gets to it: the request names none.
pub(super) async fn read(bucket: &Arc<Bucket>, key: &Key) -> Result<Tags, Error> {
    of(bucket, key, None).await
}

/// Of the version that is current when S3 gets to it.
pub(super) async fn write(bucket: &Arc<Bucket>, key: &Key, tags: &Tags) -> Result<(), Error> {
    put(bucket, key, None, tags).await
}

/// See [`Store::set_tag`](crate::Store::set_tag). Where no versions are kept, other bytes may get it that come in this moment.
pub(super) async fn set(
    bucket: &Arc<Bucket>,
    key: &Key,
    version: &str,
    name: &str,
    value: Option<&str>,
) -> Result<(), Error> {
    let current = bucket.head(key).await?;
    if current.version != version {
        return Err(Error::changed(&bucket.name, key, version, &current.version));
    }
    let pin = Pin::parse(version);
    let before = of(bucket, key, Some(&pin)).await?;
    let after = with_tag(&before, name, value);
    if after == before {
        return Ok(());
    }
    check_tags(&bucket.name, key, &after)?;
    put(bucket, key, Some(&pin), &after).await
}

async fn of(bucket: &Arc<Bucket>, key: &Key, pin: Option<&Pin>) -> Result<Tags, Error> {
    let object = bucket.object(key)?;
    let id = pin.and_then(Pin::id);
    let asked = || {
        let request = bucket.client.get_object_tagging().bucket(&bucket.bucket).key(&object);
        request.set_version_id(id.clone()).send()
    };
    match bucket.ask(bucket.options.patience, asked).await {
        Ok(answer) => {
            Ok(answer.tag_set().iter().map(|tag| (tag.key().to_owned(), tag.value().to_owned())).collect())
        }
        Err(failure) => Err(bucket.missing(failure, READ_TAGS, key).await),
    }
}

async fn put(bucket: &Arc<Bucket>, key: &Key, pin: Option<&Pin>, tags: &Tags) -> Result<(), Error> {
    let object = bucket.object(key)?;
    let id = pin.and_then(Pin::id);
    let set = tags
        .iter()
        .map(|(name, value)| Tag::builder().key(name).value(value).build().expect("both are there"))
        .collect();
    let tagging = Tagging::builder().set_tag_set(Some(set)).build().expect("the set is there");
    let asked = || {
        let request = bucket.client.put_object_tagging().bucket(&bucket.bucket).key(&object);
        request.set_version_id(id.clone()).tagging(tagging.clone()).send()
    };
    match bucket.ask(bucket.options.patience, asked).await {
        Ok(_) => Ok(()),
        Err(failure) => Err(bucket.missing(failure, WRITE_TAGS, key).await),
    }
}
