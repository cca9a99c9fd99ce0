use std::sync::Arc;

use aws_sdk_s3::types::{Tag, Tagging};

use super::{bucket::Bucket, failure::Act};
use crate::{Error, Key, Tags};

const READ_TAGS: Act = Act { verb: "read the tags of", permission: "s3:GetObjectTagging" };
const WRITE_TAGS: Act = Act { verb: "write the tags of", permission: "s3:PutObjectTagging" };

/// Of the version that is current when S3 gets to it: both requests name none.
pub(super) async fn read(bucket: &Arc<Bucket>, key: &Key) -> Result<Tags, Error> {
    let object = bucket.object(key)?;
    let asked = || bucket.client.get_object_tagging().bucket(&bucket.bucket).key(&object).send();
    match bucket.ask(bucket.options.patience, asked).await {
        Ok(answer) => {
            Ok(answer.tag_set().iter().map(|tag| (tag.key().to_owned(), tag.value().to_owned())).collect())
        }
        Err(failure) => Err(bucket.missing(failure, READ_TAGS, key).await),
    }
}

pub(super) async fn write(bucket: &Arc<Bucket>, key: &Key, tags: &Tags) -> Result<(), Error> {
    let object = bucket.object(key)?;
    let set = tags
        .iter()
        .map(|(name, value)| Tag::builder().key(name).value(value).build().expect("both are there"))
        .collect();
    let tagging = Tagging::builder().set_tag_set(Some(set)).build().expect("the set is there");
    let asked = || {
        bucket.client.put_object_tagging().bucket(&bucket.bucket).key(&object).tagging(tagging.clone()).send()
    };
    match bucket.ask(bucket.options.patience, asked).await {
        Ok(_) => Ok(()),
        Err(failure) => Err(bucket.missing(failure, WRITE_TAGS, key).await),
    }
}
