//! The suite against Azurite, Microsoft's emulator; and for Google, of which the registries have no emulator that speaks its XML
//! API, against one of S3, which that API is modelled on: what is Google's own in it (tokens, preconditions) is not tried here.

use std::{
    io::{Read as _, Write as _},
    sync::atomic::{AtomicU32, Ordering},
};

use bytes::Bytes;
use testbed::{Azurite, Fault, Ministack, Proxy};

use super::*;
use crate::{
    collect,
    contract::{Subject, name, pattern, put_of},
};

mod azure {
    crate::contract!(super::on_azure);
}
mod google {
    // The emulator does not know the header by which Google copies.
    crate::contract!(super::on_google, no renames);
}

fn number() -> u32 {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    COUNT.fetch_add(1, Ordering::Relaxed)
}

fn at(endpoint: String) -> Reach {
    Reach { endpoint: Some(endpoint), ..Reach::default() }
}

/// A folder of its own in the emulator's container.
fn azurite(prefix: &str, key: &AzureKey, endpoint: String) -> Objects {
    Objects::azure("partner", Azurite::ACCOUNT, Azurite::CONTAINER, prefix, key, &at(endpoint)).unwrap()
}

fn account_key() -> AzureKey {
    AzureKey::Account(Azurite::KEY.into())
}

async fn on_azure() -> Subject {
    let prefix = format!("own/{}", number());
    Subject {
        to: Arc::new(azurite(&prefix, &account_key(), Azurite::shared().endpoint())),
        keep: Box::new(()),
    }
}

async fn on_google() -> Subject {
    let bucket = format!("google-{}-{}", std::process::id(), number());
    let emulator = Ministack::shared();
    let mut stream = std::net::TcpStream::connect(emulator.address()).unwrap();
    write!(stream, "PUT /{bucket} HTTP/1.0\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains(" 200 "), "{answer}");
    let to = Objects::google(
        "partner",
        &bucket,
        "exports",
        &GoogleKey::Token("any".into()),
        &at(emulator.endpoint()),
    )
    .unwrap();
    Subject { to: Arc::new(to), keep: Box::new(()) }
}

/// Of one part, the service itself refuses: whoever looks at the same time as another sees nothing yet.
#[tokio::test]
async fn a_file_of_one_part_is_never_written_over_another() {
    let s = on_azure().await;
    let contents: Vec<Bytes> = (0..8_u8).map(|i| Bytes::from(vec![i; 100_000])).collect();
    let puts = contents.iter().map(|bytes| {
        let (to, put) = (&s.to, put_of(bytes));
        async move { to.put(&name("one"), bytes, &put).await }
    });
    let done = futures::future::join_all(puts).await;
    let won: Vec<_> = (0..8).filter(|i| done[*i].is_ok()).collect();
    assert_eq!(won.len(), 1, "{done:?}");
    assert!(done.iter().flat_map(|d| d.as_ref().err()).all(|e| e.kind() == ErrorKind::Exists), "{done:?}");
    assert!(s.read("one").await == contents[won[0]]);
}

#[tokio::test]
async fn a_wrong_key_is_told_and_not_shown() {
    const CANARY: &str = "Y2FuYXJ5MGNhbmFyeTBjYW5hcnkwY2FuYXJ5MA==";
    let endpoint = Azurite::shared().endpoint();
    let to = azurite("x", &AzureKey::Account(CANARY.into()), endpoint.clone());
    let error = to.stat(&name("a")).await.unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Denied, false), "{error}");
    let signature = format!("sv=2021-08-06&se=2020-01-01&sr=c&sp=r&sig={CANARY}");
    let to = azurite("x", &AzureKey::Signature(signature.as_str().into()), endpoint);
    let put = put_of(&Bytes::from_static(b"x"));
    let error = to.put(&name("a"), &Bytes::from_static(b"x"), &put).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    let shown = format!("{error} {error:?} {to:?} {:?}", AzureKey::Signature(signature.as_str().into()));
    assert!(shown.contains("partner") && !shown.contains("Y2FuYXJ5"), "{shown}");
}

#[tokio::test]
async fn what_cannot_be_opened_is_told_at_once() {
    let key = AzureKey::Account("no base64!".into());
    let error = Objects::azure("partner", "acme", "in", "", &key, &Reach::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    let error = Objects::google("partner", "acme", "", &GoogleKey::Account("{}".into()), &Reach::default())
        .unwrap_err();
    assert!(error.to_string().contains("service account's key"), "{error}");
}

/// A line that breaks in the middle of a part leaves nothing, and the next attempt is whole.
#[tokio::test]
async fn a_cut_line_leaves_nothing() {
    let proxy = Proxy::before(Azurite::shared().address());
    let endpoint = format!("{}/{}", proxy.endpoint(), Azurite::ACCOUNT);
    let to = azurite(&format!("cut/{}", number()), &account_key(), endpoint);
    let whole = pattern(20 << 20);
    proxy.set(Fault::CutRequest { after: 5 << 20 });
    let error = to.put(&name("a"), &whole, &put_of(&whole)).await.unwrap_err();
    assert!(error.is_temporary(), "{error}");
    proxy.set(Fault::None);
    assert_eq!(to.stat(&name("a")).await.unwrap(), None);
    to.put(&name("a"), &whole, &put_of(&whole)).await.unwrap();
    assert!(collect(to.get(&name("a"), None).await.unwrap()).await.unwrap() == whole);
}
