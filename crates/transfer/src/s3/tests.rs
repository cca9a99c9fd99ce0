use std::{
    io::{Read as _, Write as _},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_smithy_http_client::{Builder, tls};
use aws_types::{SdkConfig, region::Region};
use bytes::Bytes;
use storage::s3::{Checksums, Options, Place};
use testbed::Ministack;

use super::*;
use crate::{
    Conflict, How, Outcome, Stored,
    contract::{Subject, digest, name, pattern},
    deliver,
};

const CANARY: &str = "canary0secret0canary";

/// A new bucket, as `name` in errors.
fn bucket(name: &str) -> storage::S3 {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let bucket = format!("transfer-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let emulator = Ministack::shared();
    let mut stream = std::net::TcpStream::connect(emulator.address()).unwrap();
    write!(stream, "PUT /{bucket} HTTP/1.0\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains(" 200 "), "{answer}");
    let client = Builder::new().tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring));
    let sdk = SdkConfig::builder()
        .region(Region::new("us-east-1"))
        .endpoint_url(emulator.endpoint())
        .credentials_provider(SharedCredentialsProvider::new(Credentials::from_keys("test", CANARY, None)))
        .http_client(client.build_https())
        .build();
    // The emulator refuses its own checksums of objects in parts; `storage` has tests of those.
    let options = Options { path_style: true, checksums: Checksums::WhenRequired, ..Options::default() };
    storage::S3::new(name, &sdk, Place::parse(&format!("s3://{bucket}/exports")).unwrap(), options)
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
