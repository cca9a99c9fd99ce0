//! What we ask of a bucket's own lifecycle rules, and what they have to be for it. Pure, but for the asking.

use std::{collections::BTreeSet, time::Duration};

use domain::{Action, Recording, Timestamp};
use serde_json::{Value, json};
use storage::{Error, ErrorKind, Key, LifecycleRule, Store};

/// The tag that rules look for. Its value is the class.
pub(crate) const TAG: &str = "videorec-archive";
/// The class of what nobody put into another one.
pub const STANDARD: &str = "STANDARD";
/// How long a bucket's rules are believed to be as they were. What they lack is asked for anew.
const KNOWN_FOR: Duration = Duration::from_secs(10 * 60);

/// What the policy's `by: lifecycle` needs of each bucket, as `aws s3api put-bucket-lifecycle-configuration` takes it; and
/// that uploads which nobody finished are not paid for for ever.
pub fn configuration(classes: &BTreeSet<&str>) -> Value {
    let unfinished = json!({
        "ID": "videorec-unfinished-uploads", "Status": "Enabled", "Filter": { "Prefix": "" },
        "AbortIncompleteMultipartUpload": { "DaysAfterInitiation": 1 },
    });
    let rules: Vec<Value> = classes.iter().map(|class| rule(class)).chain([unfinished]).collect();
    json!({ "Rules": rules })
}

fn rule(class: &str) -> Value {
    // S3 takes nothing into these two earlier.
    let days = if class.ends_with("_IA") { 30 } else { 0 };
    json!({
        "ID": format!("{TAG}-{class}"), "Status": "Enabled", "Filter": { "Tag": { "Key": TAG, "Value": class } },
        "Transitions": [{ "Days": days, "StorageClass": class }],
    })
}

/// Whether the store's rules put an object of that key and size into the class, once it is tagged. Errors: as of
/// [`Store::lifecycle`].
pub async fn provides(store: &dyn Store, key: &Key, size: u64, class: &str) -> Result<bool, Error> {
    for at_most in [KNOWN_FOR, Duration::ZERO] {
        if moves(&store.lifecycle(at_most).await?, store, key, size, class) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The same by rules that were asked for once, for many objects.
pub fn moves(rules: &[LifecycleRule], store: &dyn Store, key: &Key, size: u64, class: &str) -> bool {
    let object = store.origin(key).map_or_else(|| key.to_string(), |origin| origin.object);
    rules.iter().any(|rule| rule.moves(&object, size, (TAG, class), class))
}

/// What to say where they do not, as a clause.
pub fn missing(store: &dyn Store, class: &str) -> String {
    let bucket = Key::parse("x").ok().and_then(|key| store.origin(&key)).map(|origin| origin.bucket);
    let whose = bucket.map_or_else(
        || format!("store `{}`", store.name()),
        |bucket| format!("bucket `{bucket}` (store `{}`)", store.name()),
    );
    format!(
        "{whose} has no lifecycle rule in force that puts objects with the tag {TAG}={class} into {class}; add {} to its rules: \
         `videorec policy lifecycle` prints all that the policy needs",
        rule(class)
    )
}

/// What to say where it has none to ask for, as a clause.
pub fn unasked(error: &Error) -> String {
    match error.kind() {
        ErrorKind::Invalid => format!("{error}; {ELSEWHERE}"),
        _ => error.to_string(),
    }
}

/// What to write instead where a store knows no classes.
pub(crate) const ELSEWHERE: &str = "where the cold ones are to lie in another store, write `archive: { to: STORE }`, or by hand \
                                    `videorec archive --to STORE`";

/// A look at how the source lies: the one that time would bring, where a transition is awaited.
pub(crate) fn look(it: &Recording, now: Timestamp) -> Action {
    match &it.custody.place.transition {
        Some(transition) => Action::Look { asked: transition.asked_at, look: transition.looks },
        None => Action::Look { asked: now, look: 0 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Read by S3 as it stands: tests/archives.rs puts it into a bucket.
    #[test]
    fn a_rule_for_each_class_and_one_for_what_nobody_finished() {
        let config = configuration(&["DEEP_ARCHIVE", "STANDARD_IA"].into());
        let days: Vec<_> = (0..2).map(|n| &config["Rules"][n]["Transitions"][0]["Days"]).collect();
        assert_eq!(days, [&json!(0), &json!(30)]);
        assert_eq!(
            config["Rules"][0]["Filter"],
            json!({ "Tag": { "Key": "videorec-archive", "Value": "DEEP_ARCHIVE" } })
        );
        assert_eq!(config["Rules"][2]["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"], 1);
        assert_eq!(config["Rules"].as_array().unwrap().len(), 3);
    }
}
