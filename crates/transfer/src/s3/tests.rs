use std::{
    io::{Read as _, Write as _},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_smithy_http_client::{Builder, tls};
use aws_types::{SdkConfig, region::Region};
use bytes::Bytes;
use storage::s3::{Checksums, Options, Place};
use testbed::{Fault, Ministack, Proxy};

use super::*;
use crate::{
    Conflict, How, Outcome, Stored,
    contract::{Subject, digest, name, pattern, sources::Held},
    deliver,
};

const CANARY: &str = "canary0secret0canary";

/// A new bucket, as `name` in errors.
fn bucket(name: &str) -> storage::S3 {
    bucket_by(name, &Ministack::shared().endpoint())
}

fn bucket_by(name: &str, endpoint: &str) -> storage::S3 {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let bucket = format!("transfer-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let answer = ask("PUT", &format!("/{bucket}"));
    assert!(answer.contains(" 200 "), "{answer}");
    let client = Builder::new().tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring));
    let sdk = SdkConfig::builder()
        .region(Region::new("us-east-1"))
        .endpoint_url(endpoint)
        .credentials_provider(SharedCredentialsProvider::new(Credentials::from_keys("test", CANARY, None)))
        .http_client(client.build_https())
        .build();
    // The emulator refuses its own checksums of objects in parts; `storage` has tests of those.
    let options = Options {
        path_style: true,
        checksums: Checksums::WhenRequired,
        attempts: 2,
        backoff: Duration::from_millis(50),
        ..Options::default()
    };
    storage::S3::new(name, &sdk, Place::parse(&format!("s3://{bucket}/exports")).unwrap(), options)
}

/// The emulator itself, which asks nobody who he is.
fn ask(method: &str, target: &str) -> String {
    let mut stream = std::net::TcpStream::connect(Ministack::shared().address()).unwrap();
    write!(stream, "{method} {target} HTTP/1.0\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

async fn make() -> Subject {
    Subject { to: Arc::new(S3::new(bucket("partner"))), keep: Box::new(()) }
}

crate::contract!(make);

/// Both ends in one service: the service copies, and nothing passes through us.
#[tokio::test]
async fn from_bucket_to_bucket_the_service_copies() {
    let (library, partner) = (bucket("library"), S3::new(bucket("partner")));
    let whole = pattern(2 << 20);
    let key = Key::parse("3k/source.webm").unwrap();
    let (stored, _) =
        storage::put_bytes(&library, &key, whole.clone(), storage::Put::default()).await.unwrap();
    let source = Stored { store: Arc::new(library), key, version: Some(stored.version), size: stored.size };
    let done = deliver(&partner, &name("a/b.webm"), &source, &digest(&whole), &How::default()).await.unwrap();
    assert_eq!((done.outcome, done.bytes_sent, done.verified), (Outcome::Sent, 0, Checked::OnArrival));
    assert!(crate::collect(partner.get(&name("a/b.webm"), None).await.unwrap()).await.unwrap() == whole);
    let how = How { conflict: Conflict::Replace, ..How::default() };
    assert!(deliver(&partner, &name("a/b.webm"), &source, &digest(&whole), &how).await.unwrap().already());
}

/// The line is gone at half: the second attempt, which remembers nothing, sends only the rest.
#[tokio::test]
async fn after_a_cut_only_the_rest_is_sent() {
    let proxy = Proxy::before(Ministack::shared().address());
    let to = S3::new(bucket_by("partner", &proxy.endpoint()));
    let whole = pattern(48 << 20);
    let (source, mut gate) = Held::new(whole.clone(), 24 << 20);
    let (target, expected, how) = (name("a/cut.mp4"), digest(&whole), How::default());
    let cut = async {
        gate.reached().await;
        // Of the 24 MiB two parts of 8 may go before it is known that they are not the last.
        tokio::time::timeout(Duration::from_secs(20), async {
            while parts(&to, "a/cut.mp4") < 2 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await
        .expect("two parts are there");
        proxy.set(Fault::Down);
        gate.open();
    };
    let (sent, ()) = tokio::join!(deliver(&to, &target, &source, &expected, &how), cut);
    let error = sent.unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Unavailable, true), "{error}");
    proxy.set(Fault::None);
    assert_eq!(to.stat(&target).await.unwrap(), None);
    // Other bytes under the same name are not taken for these.
    let other = pattern((48 << 20) + 1).slice(1..);
    let done = deliver(&to, &target, &other, &digest(&other), &how).await.unwrap();
    assert_eq!((done.resumed_from, done.bytes_sent), (0, 48 << 20));
    to.remove(&target).await.unwrap();
    let done = deliver(&to, &target, &whole, &expected, &how).await.unwrap();
    assert!(done.resumed_from >= 16 << 20, "{done:?}");
    assert_eq!(done.resumed_from + done.bytes_sent, 48 << 20);
    assert_eq!((done.outcome, done.verified), (Outcome::Sent, Checked::OnArrival));
    assert!(crate::collect(to.get(&target, None).await.unwrap()).await.unwrap() == whole);
    assert_eq!(to.sweep(None, Timestamp(i64::MAX)).await.unwrap(), 0, "no upload is left");
}

/// Parts of the one upload that is under way.
fn parts(to: &S3, key: &str) -> usize {
    let shown = format!("{to:?}");
    let bucket = shown.split_once("s3://").and_then(|(_, rest)| rest.split_once('/')).expect("a bucket").0;
    let uploads = ask("GET", &format!("/{bucket}?uploads"));
    let Some((_, rest)) = uploads.split_once("<UploadId>") else { return 0 };
    let id = rest.split('<').next().unwrap_or_default();
    ask("GET", &format!("/{bucket}/exports/{key}?uploadId={id}")).matches("<PartNumber>").count()
}

#[tokio::test]
async fn an_error_names_the_destination_and_no_secret() {
    let to = S3::new(bucket("partner"));
    let error = to.get(&name("missing"), None).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let shown = format!("{error} {error:?} {to:?}");
    assert!(shown.contains("partner") && !shown.contains(CANARY), "{shown}");
    // What belongs to the store itself is nobody's file.
    let bytes = Bytes::from_static(b"x");
    let own = name(".videorec/x");
    let error = to.put(&own, &bytes, &crate::contract::put_of(&bytes)).await.unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Invalid, false), "{error}");
}
