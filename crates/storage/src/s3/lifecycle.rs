use std::{sync::Arc, time::Duration};

use aws_sdk_s3::types::{ExpirationStatus, LifecycleRule as Rule, Tag};
use tokio::time::Instant;

use super::{bucket::Bucket, failure::Act};
use crate::{Error, LifecycleRule};

const ASK: Act = Act { verb: "read the lifecycle rules of", permission: "s3:GetLifecycleConfiguration" };

/// The bucket's rules that are in force; none where it has none.
pub(super) async fn rules(bucket: &Arc<Bucket>, at_most: Duration) -> Result<Vec<LifecycleRule>, Error> {
    // Held while it is asked for: a thousand jobs ask once.
    let mut known = bucket.lifecycle.lock().await;
    match &*known {
        Some((at, rules)) if at.elapsed() < at_most => Ok(rules.clone()),
        _ => {
            let rules = ask(bucket).await?;
            *known = Some((Instant::now(), rules.clone()));
            Ok(rules)
        }
    }
}

async fn ask(bucket: &Arc<Bucket>) -> Result<Vec<LifecycleRule>, Error> {
    let asked = || bucket.client.get_bucket_lifecycle_configuration().bucket(&bucket.bucket).send();
    match bucket.ask(bucket.options.patience, asked).await {
        Ok(answer) => Ok(answer
            .rules()
            .iter()
            .filter(|rule| *rule.status() == ExpirationStatus::Enabled)
            .map(read)
            .collect()),
        Err(failure) if failure.is("NoSuchLifecycleConfiguration") || failure.is_unknown() => Ok(Vec::new()),
        Err(failure) => Err(failure.into_error(bucket, ASK, &bucket.bucket)),
    }
}

fn read(rule: &Rule) -> LifecycleRule {
    let filter = rule.filter();
    let both = filter.and_then(|f| f.and());
    // Rules of before there were filters.
    #[expect(deprecated, reason = "S3 still has such rules")]
    let old = rule.prefix();
    let prefix = filter.and_then(|f| f.prefix()).or(both.and_then(|b| b.prefix())).or(old);
    let tags = filter.and_then(|f| f.tag()).into_iter().chain(both.map(|b| b.tags()).unwrap_or_default());
    let bound = |one: Option<i64>, other: Option<i64>| one.or(other).and_then(|n| u64::try_from(n).ok());
    LifecycleRule {
        prefix: prefix.unwrap_or_default().to_owned(),
        tags: tags.map(|tag: &Tag| (tag.key().to_owned(), tag.value().to_owned())).collect(),
        larger_than: bound(
            filter.and_then(|f| f.object_size_greater_than()),
            both.and_then(|b| b.object_size_greater_than()),
        ),
        smaller_than: bound(
            filter.and_then(|f| f.object_size_less_than()),
            both.and_then(|b| b.object_size_less_than()),
        ),
        classes: rule
            .transitions()
            .iter()
            .filter_map(|t| t.storage_class().map(|class| class.as_str().to_owned()))
            .collect(),
    }
}
