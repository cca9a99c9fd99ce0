//! The suite against WsgiDAV, with TLS and without, and against Apache; then what goes wrong with WebDAV in particular.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Instant,
};

use bytes::Bytes;
use testbed::{Certificates, Fault, Proxy};

use super::*;
use crate::{
    Checked, Verify, collect,
    contract::{Subject, name, pattern, put_of},
};

mod secure {
    crate::contract!(super::on_secure);
}
mod plain {
    crate::contract!(super::on_plain);
    crate::transfer_contract_cases! { super::on_plain, a_folder_is_not_replaced }
}
mod apache {
    crate::contract!(super::on_apache);
    crate::transfer_contract_cases! { super::on_apache, a_folder_is_not_replaced }
}

fn certificates() -> &'static Certificates {
    static MADE: OnceLock<Certificates> = OnceLock::new();
    MADE.get_or_init(|| Certificates::of(&["localhost", "127.0.0.1"]))
}

fn plain() -> &'static testbed::WebDav {
    static SERVER: OnceLock<testbed::WebDav> = OnceLock::new();
    SERVER.get_or_init(|| testbed::WebDav::start(None))
}

fn secure() -> &'static testbed::WebDav {
    static SERVER: OnceLock<testbed::WebDav> = OnceLock::new();
    SERVER.get_or_init(|| testbed::WebDav::start(Some(certificates())))
}

fn options(url: String) -> Options {
    Options {
        trust: Trust::Pinned(Secret::new(String::from_utf8(certificates().authority()).unwrap())),
        patience: Duration::from_secs(30),
        ..Options::new(url, testbed::WebDav::USER, testbed::WebDav::PASSWORD)
    }
}

fn partner(options: Options) -> WebDav {
    WebDav::new("partner", options).unwrap()
}

/// Nobody else's folder.
fn own(server: &testbed::WebDav) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let folder = format!("own ü {}", COUNT.fetch_add(1, Ordering::Relaxed));
    std::fs::create_dir(server.files().join(&folder)).unwrap();
    crate::web::Address::parse("", "http://localhost", Allowed::default())
        .unwrap()
        .path_of(Some(&name(&folder)))
}

async fn on_secure() -> Subject {
    let to = partner(options(format!("{}{}/", secure().url(), own(secure()))));
    Subject { to: Arc::new(to), keep: Box::new(()) }
}

async fn on_apache() -> Subject {
    static SERVER: OnceLock<testbed::Apache> = OnceLock::new();
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let server = SERVER.get_or_init(testbed::Apache::start);
    let folder = format!("own-{}", COUNT.fetch_add(1, Ordering::Relaxed));
    server.folder(&folder);
    let url = format!("{}/{folder}", server.url());
    let to = partner(Options::new(url, testbed::Apache::USER, testbed::Apache::PASSWORD));
    Subject { to: Arc::new(to), keep: Box::new(()) }
}

async fn on_plain() -> Subject {
    let to = partner(options(format!("{}{}", plain().url(), own(plain()))));
    Subject { to: Arc::new(to), keep: Box::new(()) }
}

/// Of that folder on the server, and the proxy before it.
fn proxied(change: impl FnOnce(&mut Options)) -> (WebDav, Proxy) {
    let line = Proxy::before(plain().address());
    let mut options = options(format!("{}/dav{}", line.endpoint(), own(plain())));
    change(&mut options);
    (partner(options), line)
}

#[tokio::test]
async fn a_server_of_another_authority_is_told_nothing() {
    let error =
        partner(Options { trust: Trust::Machine, ..options(secure().url()) }).check().await.unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::HostKeyChanged, false), "{error}");
    assert!(error.to_string().contains("give its authority"), "{error}");
}

#[tokio::test]
async fn a_refused_login_says_what_to_look_at_and_tells_no_secret() {
    let to = partner(Options {
        auth: Auth::Basic { user: "partner".into(), password: "canary-but-wrong".into() },
        ..options(plain().url())
    });
    let error = to.check().await.unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Denied, false), "{error}");
    let said = format!("{error} {error:?} {to:?}");
    assert!(said.contains("check the user and password") && !said.contains("canary"), "{said}");
}

#[tokio::test]
async fn a_missing_root_is_told_of_by_a_check() {
    let error = partner(options(format!("{}/not/there", plain().url()))).check().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    // An ordinary web page, as of a URL that was copied from a browser.
    let error = partner(options(format!("{}/hostile/page", plain().url()))).check().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert!(error.to_string().contains("must be a WebDAV folder's"), "{error}");
}

#[tokio::test]
async fn a_check_tells_the_room() {
    let health = partner(options(plain().url())).check().await.unwrap();
    assert!(health.free.is_some_and(|free| free > 0) && health.capacity >= health.free, "{health:?}");
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let error = partner(options(format!("{}/elsewhere", plain().url()))).stat(&name("a")).await.unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Invalid, false), "{error}");
    assert!(error.to_string().contains("redirects are not followed"), "{error}");
}

#[tokio::test]
async fn hostile_answers_lead_nowhere() {
    for answer in ["laughs", "deep", "endless", "broken", "page"] {
        let to = partner(options(format!("{}/hostile/{answer}", plain().url())));
        let since = Instant::now();
        let error = to.list(None).next().await.unwrap().unwrap_err();
        assert_eq!(
            (error.kind(), error.is_temporary()),
            (ErrorKind::Unsupported, false),
            "{answer}: {error}"
        );
        assert!(since.elapsed() < Duration::from_secs(20), "{answer}: {:?}", since.elapsed());
    }
    let to = partner(options(format!("{}/hostile/leaves", plain().url())));
    let names: Vec<_> =
        to.list(None).map_ok(|meta| meta.name.as_str().to_owned()).try_collect().await.unwrap();
    assert_eq!(names, ["good"]);
}

#[tokio::test]
async fn a_full_server_says_so_and_keeps_nothing() {
    std::fs::create_dir_all(plain().files().join("full")).unwrap();
    let to = partner(options(format!("{}/full", plain().url())));
    let whole = pattern(8 << 20);
    // Whether the answer comes through while we are still sending is a matter of luck; what is left is not.
    let error = to.put(&name("a"), &whole, &put_of(&whole)).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::NoSpace | ErrorKind::Unavailable), "{error}");
    let little = pattern(100_000);
    let error = to.put(&name("b"), &little, &put_of(&little)).await.unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::NoSpace, true), "{error}");
    assert!(std::fs::read_dir(plain().files().join("full")).unwrap().next().is_none());
}

#[tokio::test]
async fn a_server_that_refuses_to_rename_shows_no_file() {
    std::fs::create_dir_all(plain().files().join("stuck")).unwrap();
    let to = partner(options(format!("{}/stuck", plain().url())));
    let hello = Bytes::from_static(b"hello");
    let error = to.put(&name("a"), &hello, &put_of(&hello)).await.unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Denied, false), "{error}");
    assert_eq!(to.stat(&name("a")).await.unwrap(), None);
    assert_eq!(to.sweep(None, Timestamp(i64::MAX)).await.unwrap(), 1, "its partial file is swept");
}

#[tokio::test]
async fn a_server_that_stores_elsewhere_is_found_out() {
    std::fs::create_dir_all(plain().files().join("astray")).unwrap();
    let to = partner(options(format!("{}/astray", plain().url())));
    let hello = Bytes::from_static(b"hello");
    to.put(&name("a"), &hello, &put_of(&hello)).await.unwrap();
    let error = to.put(&name("b;c"), &hello, &put_of(&hello)).await.unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Invalid, false), "{error}");
    assert!(error.to_string().contains("without `;`"), "{error}");
}

/// Most are asked by `HEAD` whether a name is free and what arrived; here it takes `PROPFIND`.
#[tokio::test]
async fn a_server_without_head_is_asked_otherwise() {
    std::fs::create_dir_all(plain().files().join("headless")).unwrap();
    let to = partner(options(format!("{}/headless", plain().url())));
    let hello = Bytes::from_static(b"hello");
    assert_eq!(to.stat(&name("a")).await.unwrap(), None);
    let put = Put { verify: Verify::Size, ..put_of(&hello) };
    assert_eq!(to.put(&name("a"), &hello, &put).await.unwrap().checked, Checked::Size);
    assert_eq!(to.stat(&name("a")).await.unwrap().map(|meta| meta.size), Some(5));
}

#[tokio::test]
async fn a_cut_line_begins_anew() {
    let (to, line) = proxied(|_| ());
    let whole = pattern(24 << 20);
    line.set(Fault::CutRequest { after: 10 << 20 });
    let error = to.put(&name("a"), &whole, &put_of(&whole)).await.unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Unavailable, true), "{error}");
    line.set(Fault::None);
    assert_eq!(to.stat(&name("a")).await.unwrap(), None);
    let sent = to.put(&name("a"), &whole, &put_of(&whole)).await.unwrap();
    assert_eq!((sent.resumed_from, sent.bytes, sent.checked), (0, whole.len() as u64, Checked::ReadBack));
    assert!(collect(to.get(&name("a"), None).await.unwrap()).await.unwrap() == whole);
    line.set(Fault::CutAnswer { after: 10 << 20 });
    let error = collect(to.get(&name("a"), None).await.unwrap()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
}

#[tokio::test]
async fn what_was_changed_on_the_way_does_not_show() {
    let (to, line) = proxied(|_| ());
    let whole = pattern(1 << 20);
    line.set(Fault::FlipAnswer { at: 500_000 });
    let error = to.put(&name("a"), &whole, &put_of(&whole)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    line.set(Fault::None);
    assert_eq!(to.stat(&name("a")).await.unwrap(), None);
    assert_eq!(to.sweep(None, Timestamp(i64::MAX)).await.unwrap(), 0, "what is worthless does not stay");
}

#[tokio::test]
async fn a_silent_server_does_not_keep_us() {
    let (to, line) = proxied(|options| options.patience = Duration::from_secs(1));
    line.set(Fault::Stall);
    let since = Instant::now();
    let error = to.stat(&name("a")).await.unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Unavailable, true), "{error}");
    assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
}

#[tokio::test]
async fn a_folder_is_never_taken_for_a_file() {
    let (to, _line) = proxied(|_| ());
    let hello = Bytes::from_static(b"hello");
    to.put(&name("folder/file"), &hello, &put_of(&hello)).await.unwrap();
    to.remove(&name("folder")).await.unwrap();
    let put = Put { replace: true, ..put_of(&hello) };
    let error = to.put(&name("folder"), &hello, &put).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exists, "{error}");
    assert_eq!(
        collect(to.get(&name("folder/file"), None).await.unwrap()).await.unwrap(),
        hello,
        "nothing went with it"
    );
}
