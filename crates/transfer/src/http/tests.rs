//! The suite against nginx, which stores what it is sent when it has all of it; then what goes wrong with HTTP in particular.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Instant,
};

use bytes::Bytes;
use testbed::{Certificates, Fault, Nginx, Proxy};

use super::*;
use crate::{
    Checked, Outcome, collect,
    contract::{Subject, digest, name, pattern, put_of, sources::Held},
    deliver,
};

mod by_password {
    crate::contract!(super::by_password);
}
mod by_token {
    crate::contract!(super::by_token);
}

fn certificates() -> &'static Certificates {
    static MADE: OnceLock<Certificates> = OnceLock::new();
    MADE.get_or_init(|| Certificates::of(&["localhost", "127.0.0.1"]))
}

fn plain() -> &'static Nginx {
    static SERVER: OnceLock<Nginx> = OnceLock::new();
    SERVER.get_or_init(|| Nginx::start(None))
}

fn secure() -> &'static Nginx {
    static SERVER: OnceLock<Nginx> = OnceLock::new();
    SERVER.get_or_init(|| Nginx::start(Some(certificates())))
}

/// Nobody else's folder.
fn own() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("own%20{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

fn options(url: String) -> Options {
    Options {
        auth: Auth::Basic { user: Nginx::USER.into(), password: Nginx::PASSWORD.into() },
        trust: Trust::Pinned(Secret::new(String::from_utf8(certificates().authority()).unwrap())),
        patience: Duration::from_secs(20),
        ..Options::new(Secret::new(url))
    }
}

fn partner(options: Options) -> Http {
    Http::new("partner", options).unwrap()
}

async fn by_password() -> Subject {
    let to = partner(options(secure().url(&format!("/in/{}/", own()))));
    Subject { to: Arc::new(to), keep: Box::new(()) }
}

async fn by_token() -> Subject {
    let options = options(plain().url(&format!("/token/{}?key=canary", own())));
    let to = partner(Options { auth: Auth::Bearer(Nginx::TOKEN.into()), ..options });
    Subject { to: Arc::new(to), keep: Box::new(()) }
}

fn put_sized(bytes: &[u8]) -> Put {
    Put { verify: Verify::Size, ..put_of(bytes) }
}

#[tokio::test]
async fn a_digest_goes_with_every_file() {
    let s = by_password().await;
    s.put("hello", "hello").await;
    let sent = "PUT /in/own%20";
    let requests = secure().requests();
    let ours = requests.lines().filter(|line| line.starts_with(sent) && line.contains("/hello 201"));
    let digests: Vec<&str> = ours.filter_map(|line| line.split('"').nth(1)).collect();
    // openssl dgst -sha256 -binary | base64
    assert!(digests.contains(&"sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:"), "{requests}");
    assert!(requests.contains("\"*\""), "If-None-Match");
}

#[tokio::test]
async fn a_digest_that_a_server_shows_is_read() {
    let of = |header: &str| sha256_of(header).map(|c| c.hex[..8].to_owned());
    let header = "sha-512=:AAAA:, sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:";
    assert_eq!(of(header).as_deref(), Some("2cf24dba"));
    for none in ["", "sha-256=LPJN", "sha-256=:LPJN:", "sha-256=:!:", "md5=:LPJN:"] {
        assert_eq!(of(none), None, "{none}");
    }
}

#[tokio::test]
async fn a_server_of_another_authority_is_told_nothing() {
    let url = secure().url("/in/other");
    let error = partner(Options { trust: Trust::Machine, ..options(url) }).check().await.unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::HostKeyChanged, false), "{error}");
    assert!(error.to_string().contains("give its authority"), "{error}");
    let url = secure().url("/in/other").replace("127.0.0.1", "127.0.0.2");
    let error = partner(options(url)).check().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::HostKeyChanged | ErrorKind::Unavailable), "{error}");
}

#[tokio::test]
async fn a_refused_login_says_what_to_look_at_and_tells_no_secret() {
    for auth in [
        Auth::None,
        Auth::Basic { user: "partner".into(), password: "canary-but-wrong".into() },
        Auth::Bearer("canary".into()),
    ] {
        let to = partner(Options { auth, ..options(plain().url("/in/x?key=canary")) });
        let hello = Bytes::from_static(b"hello");
        for error in
            [to.check().await.unwrap_err(), to.put(&name("a"), &hello, &put_of(&hello)).await.unwrap_err()]
        {
            assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Denied, false), "{error}");
            let said = format!("{error} {error:?} {to:?}");
            assert!(said.contains("check the user and password, or the token"), "{said}");
            assert!(!said.contains("canary"), "{said}");
        }
    }
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let to = partner(options(plain().url("/elsewhere")));
    let hello = Bytes::from_static(b"hello");
    let error = to.put(&name("a"), &hello, &put_of(&hello)).await.unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Invalid, false), "{error}");
    assert!(error.to_string().contains("redirects are not followed"), "{error}");
    assert!(!error.to_string().contains("169.254"), "{error}");
    let error = to.stat(&name("a")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
}

#[tokio::test]
async fn a_full_server_and_a_busy_one_are_told_apart() {
    let whole = pattern(8 << 20);
    for (url, kind) in [("/full", ErrorKind::NoSpace), ("/busy", ErrorKind::Unavailable)] {
        let to = partner(Options { reads: false, ..options(plain().url(url)) });
        let put = Put { verify: Verify::None, replace: true, ..put_of(&whole) };
        let error = to.put(&name("a"), &whole, &put).await.unwrap_err();
        assert_eq!((error.kind(), error.is_temporary()), (kind, true), "{error}");
    }
}

#[tokio::test]
async fn a_cut_line_leaves_nothing_and_begins_anew() {
    let line = Proxy::before(plain().address());
    let folder = own();
    let to = partner(options(format!("{}/in/{folder}", line.endpoint())));
    let whole = pattern(24 << 20);
    line.set_for(Fault::None, 0);
    to.check().await.unwrap();
    line.set(Fault::CutRequest { after: 10 << 20 });
    let error = to.put(&name("a"), &whole, &put_sized(&whole)).await.unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Unavailable, true), "{error}");
    line.set(Fault::None);
    assert_eq!(to.stat(&name("a")).await.unwrap(), None);
    let sent = to.put(&name("a"), &whole, &put_of(&whole)).await.unwrap();
    assert_eq!((sent.resumed_from, sent.bytes, sent.checked), (0, whole.len() as u64, Checked::ReadBack));
    // An answer that got lost is harmless.
    line.set(Fault::LoseAnswer);
    let how = crate::How::default();
    let error = deliver(&to, &name("b"), &whole, &digest(&whole), &how).await.unwrap_err();
    assert!(error.is_temporary(), "{error}");
    line.set(Fault::None);
    let again = deliver(&to, &name("a"), &whole, &digest(&whole), &how).await.unwrap();
    assert_eq!(again.outcome, Outcome::Already);
    // On the way back it is not taken for the whole.
    line.set(Fault::CutAnswer { after: 10 << 20 });
    let error = collect(to.get(&name("a"), None).await.unwrap()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
}

#[tokio::test]
async fn what_was_changed_on_the_way_does_not_stay() {
    // The way back is where our proxy can flip a bit: to us it looks as if the server had stored something else.
    let line = Proxy::before(plain().address());
    let to = partner(options(format!("{}/in/{}", line.endpoint(), own())));
    let whole = pattern(1 << 20);
    line.set(Fault::FlipAnswer { at: 500_000 });
    let error = to.put(&name("a"), &whole, &put_of(&whole)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    line.set(Fault::None);
    assert_eq!(to.stat(&name("a")).await.unwrap(), None, "nobody takes it for ours");
}

#[tokio::test]
async fn a_silent_server_does_not_keep_us_and_a_slow_source_may() {
    let line = Proxy::before(plain().address());
    let options = options(format!("{}/in/{}", line.endpoint(), own()));
    let to = partner(Options { patience: Duration::from_secs(1), ..options });
    line.set(Fault::Stall);
    let whole = pattern(32 << 20);
    let since = Instant::now();
    let error = to.put(&name("a"), &whole, &Put { replace: true, ..put_sized(&whole) }).await.unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Unavailable, true), "{error}");
    assert!(error.to_string().contains("silent") && since.elapsed() < Duration::from_secs(10), "{error}");
    line.set(Fault::None);
    // Three times our patience, and the server is not to blame.
    let (source, mut gate) = Held::new(whole.clone(), 2 << 20);
    let (target, put) = (name("b"), put_sized(&whole));
    let wait = async {
        gate.reached().await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        gate.open();
    };
    let (sent, ()) = tokio::join!(to.put(&target, &source, &put), wait);
    assert_eq!(sent.unwrap().bytes, whole.len() as u64);
}

#[tokio::test]
async fn a_server_that_only_takes_files_is_asked_for_nothing_more() {
    let to = partner(Options { reads: false, ..options(plain().url("/blind")) });
    let hello = Bytes::from_static(b"hello");
    let error = to.put(&name("a"), &hello, &put_of(&hello)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert!(error.to_string().contains("verify: none"), "{error}");
    assert!(!plain().files().join("blind/a").exists(), "nothing is sent that cannot be verified as asked");
    let put = Put { verify: Verify::None, ..put_of(&hello) };
    assert_eq!(to.put(&name("a"), &hello, &put).await.unwrap().checked, Checked::None);
    assert_eq!(std::fs::read(plain().files().join("blind/a")).unwrap(), b"hello");
    to.check().await.unwrap();
}

#[tokio::test]
async fn a_signed_url_is_for_one_file() {
    let url = plain().url("/in/signed/the%20file.mp4?signature=canary");
    let to = partner(Options { exact: true, ..options(url) });
    let hello = Bytes::from_static(b"hello");
    let error = to.put(&name("other.mp4"), &hello, &put_of(&hello)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert!(!format!("{error} {to:?}").contains("canary"), "{error}");
    to.put(&name("the file.mp4"), &hello, &put_of(&hello)).await.unwrap();
    assert_eq!(std::fs::read(plain().files().join("in/signed/the file.mp4")).unwrap(), b"hello");
    to.check().await.unwrap();
}

#[tokio::test]
async fn connections_are_used_again() {
    let line = Proxy::before(plain().address());
    let to = partner(options(format!("{}/in/{}", line.endpoint(), own())));
    for i in 0..10 {
        let bytes = Bytes::from(format!("file {i}"));
        to.put(&name(&i.to_string()), &bytes, &put_of(&bytes)).await.unwrap();
    }
    assert_eq!(line.connections(), 1);
}

#[tokio::test]
async fn nothing_can_be_listed_and_that_is_said() {
    let to = partner(options(plain().url("/in")));
    let error = to.list(None).next().await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
}
