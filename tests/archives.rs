//! Two-level storage in a fleet: real workers on the emulator's S3 and SQS and on a real PostgreSQL.
//!
//! The emulator keeps lifecycle rules and never follows them: where S3 would move an object, the test does, and sends the event
//! that S3 would send.
#![expect(clippy::disallowed_methods, reason = "the tests start the binary")]

#[path = "support/cloud.rs"]
mod cloud;
mod support;

use aws_sdk_s3::types::{
    AbortIncompleteMultipartUpload, BucketLifecycleConfiguration, ExpirationStatus, LifecycleRule,
    LifecycleRuleFilter, StorageClass, Tag, TaggingDirective, Transition, TransitionStorageClass,
};
use cloud::{Cloud, Setup};
use serde_json::{Value, json};
use support::{eventually, said};

const POLICY: &str = "version: 1
rules:
  - { name: cold, match: { size: \">=128KiB\" }, archive: { class: DEEP_ARCHIVE, by: lifecycle } }
";

/// What `aws s3api put-bucket-lifecycle-configuration --lifecycle-configuration file://...` makes of the document.
fn configuration(document: &Value) -> BucketLifecycleConfiguration {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let number = |value: &Value| i32::try_from(value.as_i64().expect("a number")).expect("a small one");
    let mut config = BucketLifecycleConfiguration::builder();
    for it in document["Rules"].as_array().expect("rules") {
        let filter = LifecycleRuleFilter::builder();
        let filter = match &it["Filter"]["Tag"] {
            Value::Null => filter.prefix(text(&it["Filter"]["Prefix"])),
            tag => {
                filter.tag(Tag::builder().key(text(&tag["Key"])).value(text(&tag["Value"])).build().unwrap())
            }
        };
        let mut rule = LifecycleRule::builder()
            .id(text(&it["ID"]))
            .status(ExpirationStatus::from(it["Status"].as_str().unwrap()))
            .filter(filter.build());
        for transition in it["Transitions"].as_array().into_iter().flatten() {
            let class = TransitionStorageClass::from(transition["StorageClass"].as_str().unwrap());
            let days = number(&transition["Days"]);
            rule = rule.transitions(Transition::builder().days(days).storage_class(class).build());
        }
        if let Some(abort) = it.get("AbortIncompleteMultipartUpload") {
            let days = number(&abort["DaysAfterInitiation"]);
            rule = rule.abort_incomplete_multipart_upload(
                AbortIncompleteMultipartUpload::builder().days_after_initiation(days).build(),
            );
        }
        config = config.rules(rule.build().expect("a rule"));
    }
    config.build().expect("rules")
}

fn tags(cloud: &Cloud, key: &str) -> Vec<(String, String)> {
    let asked = cloud.s3.get_object_tagging().bucket(&cloud.bucket).key(key);
    let answer = cloud.block_on(asked.send()).expect("tags");
    answer.tag_set().iter().map(|tag| (tag.key().to_owned(), tag.value().to_owned())).collect()
}

/// From the rule that the bucket lacks to what its archived recordings cost to have back.
#[test]
fn what_is_left_to_the_bucket_is_cold_once_the_bucket_has_moved_it() {
    // The version of an object that is moved in place stays what it was, as it does in S3: here, where none are kept.
    let cloud = Cloud::with(Setup { versioned: false, ..Setup::default() });
    let worker = cloud.worker(POLICY, &[], &[]);
    cloud.upload("cam/a.bin", vec![b'x'; 200 << 10]);
    let parked = cloud.until("cam/a.bin", |r| {
        r["reason"].as_str().is_some_and(|reason| reason.contains("no lifecycle rule in force"))
    });
    let id = parked["id"].as_str().unwrap().to_owned();
    let file = cloud.policy(POLICY).display().to_string();
    let wrong = cloud.run(&["--policy", &file, "doctor"]);
    let finding =
        |out: &str| out.lines().find(|l| l.contains("archive inbox DEEP_ARCHIVE")).map(str::to_owned);
    assert!(finding(&wrong.out).is_some_and(|line| line.starts_with("WRONG")), "{}", wrong.out);

    // A person is told the same before anything is ordered.
    let by_hand = ["archive", "cam", "--class", "deep_archive", "--by", "lifecycle"];
    for args in [&[&by_hand[..], &["--plan"]].concat(), &by_hand[..]] {
        let said = cloud.run(&[&["--policy", file.as_str()], args].concat());
        assert!(
            said.out.contains("archive: 0 recordings") && said.code == Some(1),
            "{:?}: {}",
            said.code,
            said.out
        );
        assert!(
            said.out.contains("no lifecycle rule in force") && said.out.contains("policy lifecycle"),
            "{}",
            said.out
        );
    }

    // As the message says.
    let printed =
        said(cloud.command(&["--policy", &file, "policy", "lifecycle"]).output().expect("it starts"));
    assert!(printed.err.contains("replaces all rules"), "{}", printed.err);
    let document: Value = serde_json::from_str(&printed.out).expect("one document");
    let put = cloud.s3.put_bucket_lifecycle_configuration().bucket(&cloud.bucket);
    cloud.block_on(put.lifecycle_configuration(configuration(&document)).send()).expect("S3 takes it");
    let right = cloud.run(&["--policy", &file, "doctor"]);
    assert!(finding(&right.out).is_some_and(|line| line.starts_with("ok")), "{}", right.out);

    let theirs = Tag::builder().key("team").value("red").build().unwrap();
    let tagging = aws_sdk_s3::types::Tagging::builder().tag_set(theirs).build().unwrap();
    let tag = cloud.s3.put_object_tagging().bucket(&cloud.bucket).key("inbox/cam/a.bin").tagging(tagging);
    cloud.block_on(tag.send()).expect("tagged");
    cloud.ok(&["retry", &id]);
    let awaited = cloud.until("cam/a.bin", |r| r["custody"]["place"]["transition"].is_object());
    assert_eq!(awaited["custody"]["place"]["transition"]["class"], "DEEP_ARCHIVE", "{}", worker.log());
    let mut all = tags(&cloud, "inbox/cam/a.bin");
    all.sort();
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(all, [pair("team", "red"), pair("videorec-archive", "DEEP_ARCHIVE")]);
    let again = cloud.ok(&by_hand);
    assert!(again.contains("archive: 0 recordings") && again.contains("1 so already"), "{again}");
    let copies = cloud.ok(&["copies", "cam"]);
    assert!(copies.contains("DEEP_ARCHIVE was asked of its bucket's rules"), "{copies}");
    assert!(cloud.ok(&["policy", "explain", &id[..8]]).contains("left to its bucket's lifecycle rule"));

    // What the bucket does in its time.
    let copy = cloud
        .s3
        .copy_object()
        .bucket(&cloud.bucket)
        .key("inbox/cam/a.bin")
        .copy_source(format!("{}/inbox/cam/a.bin", cloud.bucket))
        .tagging_directive(TaggingDirective::Copy)
        .storage_class(StorageClass::DeepArchive);
    cloud.block_on(copy.send()).expect("moved");
    cloud.send_event(
        &json!({ "Records": [{ "eventVersion": "2.3", "eventSource": "aws:s3", "awsRegion": "us-east-1",
            "eventTime": "2026-03-01T09:00:00.000Z", "eventName": "LifecycleTransition",
            "userIdentity": { "principalId": "s3.amazonaws.com" },
            "requestParameters": { "sourceIPAddress": "s3.amazonaws.com" }, "responseElements": {},
            "s3": { "s3SchemaVersion": "1.0", "configurationId": "c",
                    "bucket": { "name": cloud.bucket, "arn": "a" },
                    "object": { "key": "inbox/cam/a.bin", "sequencer": "05" } } }] })
        .to_string(),
    );
    let cold = cloud.until("cam/a.bin", |r| r["custody"]["place"]["cold"].is_object());
    let place = &cold["custody"]["place"];
    assert_eq!((&place["class"], &place["transition"]), (&json!("DEEP_ARCHIVE"), &Value::Null), "{place}");

    // Somebody wants it: what that would cost is said, and nothing is done.
    let needs = format!(
        "{POLICY}  - {{ name: second, match: all, backup: replica }}\nstores: {{ replica: {{ url: 's3://{}/replica' }} }}\n",
        cloud.bucket
    );
    let file = cloud.policy(&needs).display().to_string();
    let price =
        "in DEEP_ARCHIVE: a restore would cost less than 0.01 USD (bulk, within 48 h, to be read for 7 days)";
    for args in
        [&["plan"][..], &["policy", "explain", &id[..8]], &["backup", "cam", "--to", "replica", "--plan"]]
    {
        let said = cloud.run(&[&["--policy", file.as_str()], args].concat());
        assert!(said.out.contains(price), "{args:?}: {}\n{}", said.out, said.err);
    }
    eventually(|| if cloud.waiting() == 0 { Ok(()) } else { Err(worker.log()) });
    worker.stop();
}
