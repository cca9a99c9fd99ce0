//! What an event message says, in whatever shape it comes: straight from S3, wrapped by SNS, from EventBridge, or a tick.
//! Pure. An event is only a hint to look again: what is true is asked of the store, never believed of the message.

use std::{cmp::Ordering, collections::BTreeMap};

use aws_lambda_events::{eventbridge::EventBridgeEvent, s3::S3Event, sns::SnsMessage};
use serde::Deserialize;
use serde_json::Value;

/// One thing that a message tells of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    Object(Object),
    /// Time to compare everything: sent by a schedule.
    Tick,
    /// S3's greeting when notifications are set up.
    Test,
}

/// Something happened to this object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    pub bucket: String,
    /// As it is, decoded.
    pub key: String,
    pub change: Change,
    /// Which bytes the event tells of, where it says so.
    pub version: Option<String>,
    pub sequencer: Option<Sequencer>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Created,
    /// Gone, or hidden by a delete marker.
    Removed,
    /// By a lifecycle rule: into a colder class, or away.
    Transitioned,
    Expired,
    RestoreStarted,
    Restored,
    RestoreEnded,
    /// Anything else (tags, ACLs, replication): nothing of ours depends on it.
    Other,
}

/// Orders the events of one key: hexadecimal numbers that are compared as if the shorter had zeros on its right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sequencer(String);

/// Why a body is no event of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(String);

/// The body that a schedule sends. EventBridge Scheduler is given it as the target's input.
pub const TICK: &str = r#"{"videorec":"tick"}"#;

/// Reads a body. A message may tell of several things, in no order.
pub fn parse(body: &str) -> Result<Vec<Event>, Unreadable> {
    let value: Value =
        serde_json::from_str(body).map_err(|e| Unreadable(format!("the message is not JSON: {e}")))?;
    if value["videorec"] == "tick" {
        return Ok(vec![Event::Tick]);
    }
    if value["Event"] == "s3:TestEvent" {
        return Ok(vec![Event::Test]);
    }
    if value["Type"] == "Notification" {
        let wrapped: SnsMessage = read(value, "an SNS notification")?;
        // Once: nobody wraps twice, and nobody should be able to make us dig.
        return match serde_json::from_str::<Value>(&wrapped.message) {
            Ok(inner) if inner["Type"] == "Notification" => {
                Err(Unreadable("an SNS notification within an SNS notification".into()))
            }
            _ => parse(&wrapped.message),
        };
    }
    if value["detail-type"].is_string() {
        return Ok(vec![bridged(read(value, "an EventBridge event")?)?]);
    }
    if value["Records"].is_array() {
        let event: S3Event = read(value, "an S3 notification")?;
        return event.records.into_iter().map(direct).collect();
    }
    Err(Unreadable("the message is neither an S3 notification nor an EventBridge event nor a tick".into()))
}

/// The last event of each object: duplicates and what was overtaken need no look of their own.
pub fn latest(events: impl IntoIterator<Item = Object>) -> Vec<Object> {
    let mut latest: BTreeMap<(String, String), Object> = BTreeMap::new();
    for event in events {
        let place = (event.bucket.clone(), event.key.clone());
        match latest.get(&place) {
            Some(known) if known.is_after(&event) => {}
            _ => drop(latest.insert(place, event)),
        }
    }
    latest.into_values().collect()
}

impl Object {
    /// Without a sequencer on both sides nobody knows, and the one that came later counts.
    fn is_after(&self, other: &Self) -> bool {
        matches!((&self.sequencer, &other.sequencer), (Some(a), Some(b)) if a.cmp(b) == Ordering::Greater)
    }
}

impl Ord for Sequencer {
    fn cmp(&self, other: &Self) -> Ordering {
        let length = self.0.len().max(other.0.len());
        let digits = |s: &Self| format!("{:0<length$}", s.0.to_ascii_uppercase());
        digits(self).cmp(&digits(other))
    }
}
impl PartialOrd for Sequencer {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

fn read<T: serde::de::DeserializeOwned>(value: Value, what: &str) -> Result<T, Unreadable> {
    serde_json::from_value(value).map_err(|e| Unreadable(format!("the message looks like {what}, but {e}")))
}

/// A record as S3 sends it itself, of any `eventVersion`: fields were only ever added.
fn direct(record: aws_lambda_events::s3::S3EventRecord) -> Result<Event, Unreadable> {
    let name = record.event_name.unwrap_or_default();
    let bucket = record.s3.bucket.name.ok_or_else(|| Unreadable("a record names no bucket".into()))?;
    let key = record.s3.object.key.ok_or_else(|| Unreadable("a record names no key".into()))?;
    Ok(Event::Object(Object {
        bucket,
        key: decoded(&key)?,
        change: change(&name),
        version: record.s3.object.version_id,
        sequencer: record.s3.object.sequencer.map(Sequencer),
    }))
}

fn change(name: &str) -> Change {
    let name = name.strip_prefix("s3:").unwrap_or(name);
    match name.split_once(':').unwrap_or((name, "")) {
        ("ObjectCreated", _) => Change::Created,
        ("ObjectRemoved", _) => Change::Removed,
        ("LifecycleTransition", _) => Change::Transitioned,
        ("LifecycleExpiration", _) => Change::Expired,
        ("ObjectRestore", "Post") => Change::RestoreStarted,
        ("ObjectRestore", "Completed") => Change::Restored,
        ("ObjectRestore", "Delete") => Change::RestoreEnded,
        _ => Change::Other,
    }
}

/// Direct notifications write keys as HTML forms do: `+` is a space.
fn decoded(key: &str) -> Result<String, Unreadable> {
    let spaced = key.replace('+', " ");
    percent_encoding::percent_decode_str(&spaced)
        .decode_utf8()
        .map(|k| k.into_owned())
        .map_err(|_| Unreadable("a record's key is not text in UTF-8".into()))
}

#[derive(Default, Clone, Debug, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
struct Detail {
    bucket: Named,
    object: Described,
    #[serde(default)]
    reason: Option<String>,
}

#[derive(Default, Clone, Debug, PartialEq, Eq, Deserialize, serde::Serialize)]
struct Named {
    name: String,
}

#[derive(Default, Clone, Debug, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
struct Described {
    key: String,
    #[serde(default)]
    version_id: Option<String>,
    #[serde(default)]
    sequencer: Option<String>,
}

fn bridged(event: EventBridgeEvent<Value>) -> Result<Event, Unreadable> {
    // A schedule whose target input was left as it is.
    if event.source == "aws.scheduler" || event.detail_type == "Scheduled Event" {
        return Ok(Event::Tick);
    }
    if event.source != "aws.s3" {
        return Err(Unreadable(format!("an EventBridge event from `{}`, not from S3", clip(&event.source))));
    }
    let detail: Detail = read(event.detail, "an EventBridge event from S3")?;
    let by_lifecycle = detail.reason.as_deref().is_some_and(|r| r.starts_with("Lifecycle"));
    let change = match event.detail_type.as_str() {
        "Object Created" => Change::Created,
        "Object Deleted" if by_lifecycle => Change::Expired,
        "Object Deleted" => Change::Removed,
        "Object Storage Class Changed" => Change::Transitioned,
        "Object Restore Initiated" => Change::RestoreStarted,
        "Object Restore Completed" => Change::Restored,
        "Object Restore Expired" => Change::RestoreEnded,
        _ => Change::Other,
    };
    Ok(Event::Object(Object {
        bucket: detail.bucket.name,
        // Plain here, unlike in direct notifications.
        key: detail.object.key,
        change,
        version: detail.object.version_id,
        sequencer: detail.object.sequencer.map(Sequencer),
    }))
}

fn clip(text: &str) -> String {
    text.escape_debug().take(80).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record(version: &str, name: &str, key: &str, sequencer: &str) -> Value {
        json!({
            "eventVersion": version, "eventSource": "aws:s3", "awsRegion": "us-east-1",
            "eventTime": "2026-03-01T09:00:00.000Z", "eventName": name,
            "userIdentity": { "principalId": "AWS:X" },
            "requestParameters": { "sourceIPAddress": "127.0.0.1" },
            "responseElements": { "x-amz-request-id": "C3D1", "x-amz-id-2": "FMy" },
            "s3": { "s3SchemaVersion": "1.0", "configurationId": "c",
                    "bucket": { "name": "acme", "ownerIdentity": { "principalId": "A" }, "arn": "arn:aws:s3:::acme" },
                    "object": { "key": key, "sequencer": sequencer } }
        })
    }

    fn objects(body: &Value) -> Vec<Object> {
        let only = |event| match event {
            Event::Object(object) => object,
            other => panic!("{other:?}"),
        };
        parse(&body.to_string()).unwrap_or_else(|e| panic!("{e}: {body}")).into_iter().map(only).collect()
    }

    /// Any `eventVersion`, with or without `s3:`, keys as forms write them, size, eTag and version missing.
    #[test]
    fn direct_notifications_of_any_version_are_read() {
        for (version, name, change) in [
            ("2.0", "ObjectCreated:Put", Change::Created),
            ("2.1", "s3:ObjectCreated:CompleteMultipartUpload", Change::Created),
            ("2.3", "ObjectRemoved:Delete", Change::Removed),
            ("2.3", "ObjectRemoved:DeleteMarkerCreated", Change::Removed),
            ("2.3", "LifecycleTransition", Change::Transitioned),
            ("2.3", "LifecycleExpiration:DeleteMarkerCreated", Change::Expired),
            ("2.1", "ObjectRestore:Post", Change::RestoreStarted),
            ("9.9", "ObjectRestore:Completed", Change::Restored),
            ("2.3", "ObjectRestore:Delete", Change::RestoreEnded),
            ("2.3", "ObjectTagging:Put", Change::Other),
        ] {
            let key = "cam+1/Caf%C3%A9%2B%2520+%F0%9F%8E%A5.mp4";
            let got = objects(&json!({ "Records": [record(version, name, key, "0A")] }));
            assert_eq!((got[0].bucket.as_str(), got[0].change), ("acme", change), "{name}");
            assert_eq!(got[0].key, "cam 1/Café+%20 🎥.mp4");
        }
    }

    #[test]
    fn a_notification_wrapped_by_sns_is_read_and_not_twice() {
        let inner = json!({ "Records": [record("2.1", "ObjectCreated:Put", "a.mp4", "1")] }).to_string();
        let wrap = |message: &str| {
            json!({ "Type": "Notification", "MessageId": "m", "TopicArn": "arn:aws:sns:us-east-1:1:t",
                    "Subject": "Amazon S3 Notification", "Message": message, "Timestamp": "2026-03-01T09:00:00.000Z",
                    "SignatureVersion": "1", "Signature": "s", "SigningCertURL": "https://x", "UnsubscribeURL": "https://y" })
        };
        assert_eq!(objects(&wrap(&inner))[0].key, "a.mp4");
        let twice = wrap(&wrap(&inner).to_string()).to_string();
        assert!(parse(&twice).unwrap_err().to_string().contains("within"));
    }

    #[test]
    fn eventbridge_events_have_plain_keys() {
        let event = |kind: &str, detail: Value| {
            json!({ "version": "0", "id": "1", "detail-type": kind, "source": "aws.s3", "account": "1",
                    "time": "2026-03-01T09:00:00Z", "region": "eu-west-1", "resources": ["arn:aws:s3:::acme"],
                    "detail": detail })
        };
        let detail = json!({ "version": "0", "bucket": { "name": "acme" },
            "object": { "key": "a+b%20c.mp4", "size": 5, "etag": "e", "version-id": "v", "sequencer": "00A1" },
            "request-id": "r", "requester": "1", "source-ip-address": "1.2.3.4", "reason": "PutObject" });
        let got = objects(&event("Object Created", detail.clone()));
        assert_eq!((got[0].key.as_str(), got[0].version.as_deref()), ("a+b%20c.mp4", Some("v")));
        let mut expired = detail;
        expired["reason"] = "Lifecycle Expiration".into();
        expired["deletion-type"] = "Permanently Deleted".into();
        assert_eq!(objects(&event("Object Deleted", expired))[0].change, Change::Expired);
        let foreign = json!({ "detail-type": "EC2 Instance State-change Notification", "source": "aws.ec2", "detail": {} });
        assert!(parse(&foreign.to_string()).is_err());
    }

    #[test]
    fn ticks_and_greetings_are_known() {
        assert_eq!(parse(TICK), Ok(vec![Event::Tick]));
        let greeting = json!({ "Service": "Amazon S3", "Event": "s3:TestEvent", "Time": "2026-03-01T09:00:00.000Z",
                               "Bucket": "acme", "RequestId": "r", "HostId": "h" });
        assert_eq!(parse(&greeting.to_string()), Ok(vec![Event::Test]));
        let scheduled =
            json!({ "detail-type": "Scheduled Event", "source": "aws.scheduler", "detail": "{}" });
        assert_eq!(parse(&scheduled.to_string()), Ok(vec![Event::Tick]));
    }

    /// An unreadable message says why, and one unreadable record makes the whole message so: none of it is lost.
    #[test]
    fn what_cannot_be_read_says_why() {
        let mut keyless = record("2.1", "ObjectCreated:Put", "x", "1");
        keyless["s3"]["object"] = json!({});
        for (body, why) in [
            ("".to_owned(), "not JSON"),
            ("{\"Records\": [{}]}".to_owned(), "looks like an S3 notification"),
            ("[1, 2]".to_owned(), "neither"),
            ("{\"hello\": \"world\"}".to_owned(), "neither"),
            (
                json!({ "Records": [record("2.1", "ObjectCreated:Put", "a", "1"), keyless] }).to_string(),
                "no key",
            ),
            (json!({ "Records": [record("2.1", "ObjectCreated:Put", "%FF%FE", "1")] }).to_string(), "UTF-8"),
        ] {
            let error = parse(&body).expect_err(&body).to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn sequencers_are_compared_right_padded_and_only_within_a_key() {
        let before = |a: &str, b: &str| Sequencer(a.into()) < Sequencer(b.into());
        assert!(before("0055AED6DCD90281E5", "0055AED6DCD90281E6"));
        assert!(before("0055", "00550001"), "the shorter is filled with zeros");
        assert!(!before("0055", "005500"), "which makes these equal");
        assert!(before("00a", "00B"));

        let event = |key: &str, change, sequencer: Option<&str>| Object {
            bucket: "acme".into(),
            key: key.into(),
            change,
            version: None,
            sequencer: sequencer.map(|s| Sequencer(s.into())),
        };
        let left = latest([
            event("a", Change::Removed, Some("03")),
            event("a", Change::Created, Some("01")),
            event("a", Change::Created, Some("01")),
            event("b", Change::Created, Some("00")),
            event("c", Change::Removed, None),
            event("c", Change::Created, Some("05")),
        ]);
        let left: Vec<_> = left.iter().map(|e| (e.key.as_str(), e.change)).collect();
        assert_eq!(left, [("a", Change::Removed), ("b", Change::Created), ("c", Change::Created)]);
    }

    proptest::proptest! {
        /// No body, however made, does more than be read or refused.
        #[test]
        fn any_body_is_read_or_refused(body in ".{0,400}") {
            let _ = parse(&body);
        }
    }
}
