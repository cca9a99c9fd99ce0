//! Second sites: a bucket of ours that a secret opens, in another account or at another service, for one machine's library and for a fleet.
#![expect(clippy::disallowed_methods, reason = "the tests start the binary")]

#[path = "support/cloud.rs"]
mod cloud;
#[path = "support/exports.rs"]
mod exports;
mod support;

use std::time::Duration;

use cloud::{Cloud, sdk};
use exports::{keep_secret, library, policy, write_policy};
use serde_json::Value;
use support::eventually;
use testbed::Ministack;

const KEYS: &str = r#"{ "access_key_id": "test", "secret_access_key": "canary-of-keys" }"#;

/// An empty bucket elsewhere, and the store that it is.
struct Site {
    s3: aws_sdk_s3::Client,
    bucket: String,
    store: String,
    runtime: tokio::runtime::Runtime,
}

impl Site {
    fn new() -> Self {
        let endpoint = Ministack::shared().endpoint();
        let config = aws_sdk_s3::config::Builder::from(&sdk(&endpoint)).force_path_style(true).build();
        let s3 = aws_sdk_s3::Client::from_conf(config);
        let bucket = format!("site-{:x}", support::fastrand());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(s3.create_bucket().bucket(&bucket).send()).expect("a bucket");
        let store = format!(
            "offsite: {{ url: \"s3://{bucket}/videorec\", endpoint: \"{endpoint}\", secret: offsite, copies: true, region: us-east-1 }}"
        );
        Self { s3, bucket, store, runtime }
    }

    fn keys(&self) -> Vec<String> {
        let listed = self.runtime.block_on(self.s3.list_objects_v2().bucket(&self.bucket).send());
        listed.expect("a list").contents().iter().filter_map(|o| o.key().map(str::to_owned)).collect()
    }

    fn policy(&self) -> String {
        policy(&self.store, "[{ name: far, match: all, backup: offsite }]")
    }
}

/// Where the only recording lives, and in which stores its copies are.
fn places(copies: &[Value]) -> (String, Vec<String>) {
    let store = |it: &Value| it["store"].as_str().unwrap_or_default().to_owned();
    let Some(it) = copies.first() else { return Default::default() };
    (store(it), it["copies"].as_array().into_iter().flatten().map(store).collect())
}

/// For copies, and for the recordings themselves, there and back. Nothing but its secret opens it, and without that `doctor` says so.
#[test]
fn one_machines_library_has_a_second_site() {
    let site = Site::new();
    let library = library("version: 1\nrules: []\n", &[("a.txt", b"first")]);
    write_policy(&library, &site.policy());
    let said = library.run(&["doctor"]);
    assert_eq!(said.code, Some(1), "{}", said.out);
    for part in ["store `offsite`", "VIDEOREC_SECRET_OFFSITE"] {
        assert!(said.out.contains(part), "{part}: {}", said.out);
    }
    keep_secret(&library, "offsite", KEYS);

    let up = library.up(&[], &[]);
    let lies = |home: &str, copy: &str| {
        eventually(|| {
            let found = places(&library.json(&["copies", "--everything"]));
            let wanted = (home.to_owned(), vec![copy.to_owned()]);
            if found == wanted { Ok(()) } else { Err(format!("{found:?}\n{}", up.log())) }
        });
    };
    lies("recordings", "offsite");
    assert_eq!(site.keys().len(), 1);
    library.ok(&["move", "--everything", "--to", "offsite"]);
    lies("offsite", "recordings");
    library.ok(&["move", "--everything", "--to", "recordings"]);
    lies("recordings", "offsite");
    assert!(!up.log().contains("canary-of-keys"));
    up.stop();
}

/// A worker that cannot open it says what it lacks and does not begin: what it would do else is to give up every copy.
#[test]
fn a_fleet_has_a_second_site() {
    let (cloud, site) = (Cloud::new(), Site::new());
    let mut lacking = cloud.worker(&site.policy(), &[], &[]);
    let ended = lacking.ended(Duration::from_secs(60)).expect("nothing to work with");
    assert!(!ended.success() && lacking.log().contains("VIDEOREC_SECRET_OFFSITE"), "{}", lacking.log());

    let worker = cloud.worker(&site.policy(), &[], &[("VIDEOREC_SECRET_OFFSITE", KEYS)]);
    cloud.upload("cam/a.txt", b"first".to_vec());
    eventually(|| {
        let (_, copies) = places(&cloud.json(&["copies", "--everything"]));
        if copies == ["offsite"] { Ok(()) } else { Err(format!("{copies:?}\n{}", worker.log())) }
    });
    assert_eq!(site.keys().len(), 1);
    assert!(!worker.stop().contains("canary-of-keys"));
}
