//! What is said when something is wrong: the kind, whether it may pass, and what to do.

use std::time::Duration;

use testbed::{Fault, Ministack, Proxy};

use super::{
    kit::*,
    tap::{Cue, Tap, edit},
};
use crate::{
    Error, ErrorKind, Put, S3, Store, put_bytes,
    s3::{Options, Place},
};

fn refuse(status: u16, code: &'static str) -> Cue {
    Cue::Refuse { status, code }
}

/// A mistyped bucket must never look like a library whose recordings are all gone.
#[tokio::test]
async fn a_missing_bucket_is_not_a_missing_object() {
    let place = Place::parse("s3://there-is-no-such-bucket").unwrap();
    let s3 = S3::new("cloud", &sdk(&Ministack::shared().endpoint(), &Tap::new(true)), place, options());
    let x = key("x");
    for error in [
        s3.head(&x).await.unwrap_err(),
        s3.get(&x, None, None).await.err().unwrap(),
        s3.get(&x, Some("v1"), None).await.err().unwrap(),
        s3.list("", None, 1).await.unwrap_err(),
        s3.delete(&x, "v1").await.unwrap_err(),
        s3.delete(&x, "etag:1").await.unwrap_err(),
        s3.tags(&x).await.unwrap_err(),
        put_bytes(&s3, &x, "x", Put::default()).await.unwrap_err(),
        s3.copy(&x, None, &key("y"), Put::default()).await.unwrap_err(),
        s3.tier(&x, "v1").await.unwrap_err(),
        s3.check().await.unwrap_err(),
    ] {
        assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Invalid, false), "{error}");
        let text = proper(&error);
        assert!(text.contains("bucket") && text.contains("correct the store's address"), "{text}");
    }
}

#[tokio::test]
async fn what_is_refused_says_what_to_do() {
    let s = Scene::new(Unversioned).await;
    s.put("x", "bytes").await;
    let wrong_region = edit(|response| {
        *response = aws_sdk_s3::config::http::HttpResponse::new(
            301.try_into().unwrap(),
            "<Error><Code>PermanentRedirect</Code><Message>elsewhere</Message></Error>".into(),
        );
        response.headers_mut().insert("x-amz-bucket-region", "eu-west-1");
    });
    for (cue, kind, temporary, says) in [
        (refuse(403, "AccessDenied"), ErrorKind::Denied, false, "allowed s3:GetObject"),
        (refuse(403, "InvalidAccessKeyId"), ErrorKind::Denied, false, "check the credentials"),
        (refuse(400, "ExpiredToken"), ErrorKind::Denied, true, "renew them"),
        (wrong_region, ErrorKind::Invalid, false, "is in eu-west-1: configure that region"),
        (refuse(400, "KeyTooLongError"), ErrorKind::Invalid, false, "shorten the key"),
        (refuse(501, "NotImplemented"), ErrorKind::Invalid, false, "does not know this request"),
    ] {
        s.tap.on("GetObject", 1, cue);
        let error = s.read("x").await.unwrap_err();
        assert_eq!((error.kind(), error.is_temporary()), (kind, temporary), "{error}");
        assert!(proper(&error).contains(says), "{error}");
    }
    // Asked until the attempts are used up.
    for (cue, kind, says) in [
        (refuse(503, "SlowDown"), ErrorKind::Unavailable, "tried again"),
        (refuse(500, "InternalError"), ErrorKind::Unavailable, "tried again"),
        (refuse(403, "RequestTimeTooSkewed"), ErrorKind::Denied, "clock"),
    ] {
        s.tap.forget();
        s.tap.on_next("GetObject", 6, &cue);
        let error = s.read("x").await.unwrap_err();
        assert_eq!((error.kind(), error.is_temporary()), (kind, true), "{error}");
        assert!(proper(&error).contains(says), "{error}");
        assert_eq!(s.tap.count("GetObject"), 6);
    }
    // A HEAD is answered without a text.
    for (status, kind) in [(403, ErrorKind::Denied), (400, ErrorKind::Invalid)] {
        s.tap.on("HeadObject", 1, refuse(status, ""));
        let error = s.s3.head(&key("x")).await.unwrap_err();
        assert_eq!(error.kind(), kind);
        proper(&error);
    }
    s.tap.on_next("PutObject", 1, &refuse(507, "XMinioStorageFull"));
    let error = put_bytes(&s.s3, &key("y"), "y", Put::default()).await.unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::NoSpace, true));
    assert!(proper(&error).contains("free some space"), "{error}");
}

/// Words of a server are a stranger's.
#[tokio::test]
async fn what_a_server_says_is_inert_and_short() {
    let s = Scene::new(Unversioned).await;
    s.put("x", "bytes").await;
    let text = format!(
        "<Error><Code>Evil</Code><Message>a&#10;ERROR all is lost \u{202e}{}</Message></Error>",
        "x".repeat(5000)
    );
    s.tap.on(
        "GetObject",
        1,
        edit(move |response| {
            *response = aws_sdk_s3::config::http::HttpResponse::new(
                400.try_into().unwrap(),
                text.clone().into_bytes().into(),
            );
        }),
    );
    let text = proper(&s.read("x").await.unwrap_err());
    assert!(!text.contains('\u{202e}') && text.len() < 600 && text.contains("Evil"), "{text}");
}

#[tokio::test]
async fn a_server_that_is_down_is_named_in_all_requests() {
    let proxy = Proxy::before(Ministack::shared().address());
    let s = Scene::at(&proxy.endpoint(), Versioned, Options { attempts: 2, ..options() }).await;
    proxy.set(Fault::Down);
    let x = key("x");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "kept").unwrap();
    for error in [
        s.s3.head(&x).await.unwrap_err(),
        s.s3.get(&x, None, None).await.err().unwrap(),
        s.s3.list("", None, 1).await.unwrap_err(),
        s.s3.delete(&x, "v1").await.unwrap_err(),
        s.s3.tags(&x).await.unwrap_err(),
        s.s3.set_tags(&x, &Default::default()).await.unwrap_err(),
        put_bytes(&s.s3, &x, "x", absent()).await.unwrap_err(),
        s.s3.copy(&x, None, &key("y"), absent()).await.unwrap_err(),
        s.s3.adopt(&x, &file, absent()).await.unwrap_err(),
        s.s3.check().await.unwrap_err(),
        s.s3.sweep_uploads(domain::Timestamp(0)).await.unwrap_err(),
    ] {
        assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Unavailable, true), "{error}");
        assert!(proper(&error).contains("tried again"), "{error}");
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "kept");
    proxy.set(Fault::None);
    s.s3.check().await.unwrap();
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up() {
    let proxy = Proxy::before(Ministack::shared().address());
    let brief = Options { attempts: 2, patience: Duration::from_millis(150), ..options() };
    let s = Scene::at(&proxy.endpoint(), Versioned, brief).await;
    proxy.set(Fault::Stall);
    let error = s.s3.head(&key("x")).await.unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Unavailable, true));
    assert!(proper(&error).contains("no answer for"), "{error}");
}

#[tokio::test]
async fn nobody_at_that_address_is_said() {
    let place = Place::parse("s3://acme").unwrap();
    let endpoint = format!("http://127.0.0.1:{}", testbed::free_port());
    let s3 = S3::new("cloud", &sdk(&endpoint, &Tap::new(true)), place, Options { attempts: 1, ..options() });
    let error = s3.head(&key("x")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(proper(&error).contains("refused"), "{error}");
}

/// Something that answers in another language.
#[tokio::test]
async fn an_answer_that_is_not_s3s_is_unreadable() {
    let s = Scene::new(Unversioned).await;
    let html = edit(|response| *response.body_mut() = "<html>Welcome to the proxy".into());
    s.tap.on_next("GetBucketVersioning", 6, &html);
    let error = s.s3.list("", None, 1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(proper(&error).contains("speaks S3"), "{error}");
}

#[tokio::test]
async fn without_credentials_it_says_which_to_give() {
    let sdk = sdk(&Ministack::shared().endpoint(), &Tap::new(true)).into_builder();
    let nobody = aws_credential_types::provider::SharedCredentialsProvider::new(Nobody);
    let sdk = sdk.credentials_provider(nobody).build();
    let s3 = S3::new("cloud", &sdk, Place::parse("s3://acme").unwrap(), options());
    let error = s3.head(&key("x")).await.unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Denied, false));
    assert!(proper(&error).contains("AWS_ACCESS_KEY_ID"), "{error}");
}

#[derive(Debug)]
struct Nobody;

impl aws_credential_types::provider::ProvideCredentials for Nobody {
    fn provide_credentials<'a>(&'a self) -> aws_credential_types::provider::future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        use aws_credential_types::provider::{error::CredentialsError, future};
        future::ProvideCredentials::ready(Err(CredentialsError::not_loaded("nobody is configured")))
    }
}

#[tokio::test]
async fn a_check_finds_what_is_not_allowed_and_leaves_nothing() {
    let s = Scene::new(Versioned).await;
    for (op, permission) in [
        ("PutObject", "s3:PutObject"),
        ("GetObject", "s3:GetObject"),
        ("DeleteObject", "s3:DeleteObjectVersion"),
    ] {
        s.tap.on(op, 1, refuse(403, "AccessDenied"));
        let error = s.s3.check().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied, "{op}");
        assert!(proper(&error).contains(permission), "{error}");
        let left = s.raw.list_object_versions().bucket(&s.bucket).send().await.unwrap();
        assert_eq!(left.versions().len(), usize::from(op == "DeleteObject"));
    }
}

#[tokio::test]
async fn a_check_finds_a_service_that_keeps_something_else() {
    let s =
        Scene::with(Versioned, Options { checksums: crate::s3::Checksums::WhenRequired, ..options() }).await;
    s.tap.on("GetObject", 1, Cue::FlipAnswer { at: 100 });
    let error: Error = s.s3.check().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(proper(&error).contains("reads back differently"), "{error}");
}

#[tokio::test]
async fn a_key_that_is_too_long_with_the_prefix_is_refused() {
    let s = Scene::new(Versioned).await;
    let long = key(&"x".repeat(1020));
    for error in [
        s.s3.head(&long).await.unwrap_err(),
        s.s3.get(&long, None, None).await.err().unwrap(),
        s.s3.create(&long, Put::default()).await.err().unwrap(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains("1026 bytes"), "{error}");
    }
    assert!(s.tap.ops().is_empty());
    assert_eq!(s.s3.local_path(&key("x")), None);
    assert!(!format!("{:?}", s.s3).contains(CANARY));
}
