//! The suite against ProFTPD (plain, explicit, implicit; TLS sessions resumed) and against pyftpdlib as an old server and a new
//! one; then what goes wrong with FTP in particular.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use testbed::{Certificates, Fault, FtpScript, FtpTls, FtpTricks};

use super::{Ftp, Options, Tls, Trust};
use crate::{
    Algorithm, Checked, Destination, ErrorKind, Secret, Verify, collect,
    contract::{Subject, name, pattern, put_of},
};

mod explicit {
    crate::contract!(super::explicit);
}
mod implicit {
    crate::contract!(super::implicit);
}
mod plain {
    crate::contract!(super::plain);
    crate::transfer_contract_cases! { super::plain, a_folder_is_not_replaced }
}
mod script {
    crate::contract!(super::script);
    crate::transfer_contract_cases! { super::script, a_folder_is_not_replaced }
}
mod old {
    crate::contract!(super::old);
}

fn certificates() -> &'static Certificates {
    static MADE: OnceLock<Certificates> = OnceLock::new();
    MADE.get_or_init(|| Certificates::of(&["localhost", "127.0.0.1"]))
}

fn trusted() -> Trust {
    Trust::Pinned(Secret::new(String::from_utf8(certificates().authority()).unwrap()))
}

fn options(port: u16, tls: Tls) -> Options {
    let mut options = Options::new("127.0.0.1", testbed::Ftp::USER, testbed::Ftp::PASSWORD);
    options.port = Some(port);
    options.tls = tls;
    options.trust = trusted();
    options.patience = Duration::from_secs(20);
    options
}

fn proftpd(tls: FtpTls) -> &'static testbed::Ftp {
    static PLAIN: OnceLock<testbed::Ftp> = OnceLock::new();
    static EXPLICIT: OnceLock<testbed::Ftp> = OnceLock::new();
    static IMPLICIT: OnceLock<testbed::Ftp> = OnceLock::new();
    let server = match tls {
        FtpTls::None => &PLAIN,
        FtpTls::Explicit => &EXPLICIT,
        FtpTls::Implicit => &IMPLICIT,
    };
    server.get_or_init(|| testbed::Ftp::start(tls, certificates()))
}

/// Nobody else's folder.
fn own() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("own \"{}\"", COUNT.fetch_add(1, Ordering::Relaxed))
}

async fn subject(options: Options) -> Subject {
    let to = Ftp::new("partner", options).unwrap();
    // What it can do is known from now on.
    to.check().await.unwrap();
    Subject { to: Arc::new(to), keep: Box::new(()) }
}

async fn on_proftpd(server: FtpTls, tls: Tls) -> Subject {
    let server = proftpd(server);
    let root = own();
    server.folder(&root);
    let subject = subject(Options { root, ..options(server.address().port(), tls) }).await;
    let limits = subject.to.limits();
    assert!(
        limits.keeps_times && limits.resumes && limits.hashes.first() == Some(&Algorithm::Sha256),
        "{limits:?}"
    );
    subject
}

async fn plain() -> Subject {
    on_proftpd(FtpTls::None, Tls::None).await
}

async fn explicit() -> Subject {
    on_proftpd(FtpTls::Explicit, Tls::Explicit).await
}

async fn implicit() -> Subject {
    on_proftpd(FtpTls::Implicit, Tls::Implicit).await
}

async fn on_script(server: &'static FtpScript) -> Subject {
    let root = own();
    std::fs::create_dir(server.files().join(&root)).unwrap();
    subject(Options { root: format!("/{root}/"), ..options(server.address().port(), Tls::None) }).await
}

async fn script() -> Subject {
    static SERVER: OnceLock<FtpScript> = OnceLock::new();
    let subject = on_script(SERVER.get_or_init(|| FtpScript::start(&FtpTricks::default()))).await;
    assert!(subject.to.limits().keeps_times);
    subject
}

/// It knows what FTP had in 1985, and `SIZE` and `MDTM`; and it renames nothing onto a file.
async fn old() -> Subject {
    static SERVER: OnceLock<FtpScript> = OnceLock::new();
    let without = vec!["FEAT", "MLST", "MLSD", "MFMT", "EPSV", "EPRT", "OPTS"];
    let tricks = FtpTricks { without, no_rename_over: true, ..FtpTricks::default() };
    let subject = on_script(SERVER.get_or_init(|| FtpScript::start(&tricks))).await;
    assert!(!subject.to.limits().keeps_times && subject.to.limits().hashes.is_empty());
    subject
}

/// A server with faults, and a client for it that has little patience.
fn faulty(tricks: &FtpTricks) -> (FtpScript, Ftp) {
    let server = FtpScript::start(tricks);
    let options = Options { patience: Duration::from_secs(2), ..options(server.address().port(), Tls::None) };
    (server, Ftp::new("partner", options).unwrap())
}

/// What somebody wrote down.
fn tells_no_secret(said: &str) {
    assert!(!said.contains(testbed::Ftp::PASSWORD), "{said}");
}

#[tokio::test]
async fn a_file_larger_than_any_buffer_arrives_whole_by_tls() {
    let s = explicit().await;
    let whole = pattern(96 << 20);
    let sent = s.put("large", whole.clone()).await;
    assert_eq!(sent.checked, Checked::ServerHash(Algorithm::Sha256));
    assert!(s.read("large").await == whole);
}

#[tokio::test]
async fn a_server_of_another_authority_gets_no_password() {
    for (server, tls) in [(FtpTls::Explicit, Tls::Explicit), (FtpTls::Implicit, Tls::Implicit)] {
        let port = proftpd(server).address().port();
        let to = Ftp::new("partner", Options { trust: Trust::Machine, ..options(port, tls) }).unwrap();
        let error = to.check().await.unwrap_err();
        assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::HostKeyChanged, false), "{error}");
        assert!(error.to_string().contains("give its authority"), "{error}");
        // The right authority, and a name that the certificate does not have.
        let mut named = options(port, tls);
        named.host = "127.0.0.2".into();
        let error = Ftp::new("partner", named).unwrap().check().await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::HostKeyChanged | ErrorKind::Unavailable), "{error}");
    }
}

#[tokio::test]
async fn nothing_is_said_in_the_clear_unless_that_was_asked_for() {
    // A server that offers no TLS, or somebody on the way who takes the offer out.
    let (server, _) = faulty(&FtpTricks::default());
    let to = Ftp::new("partner", options(server.address().port(), Tls::Explicit)).unwrap();
    let error = to.check().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::Denied), "{error}");
    tells_no_secret(&server.log());
    assert!(!server.log().contains("USER"), "{}", server.log());
    assert_eq!(Tls::of_scheme("ftp"), Some(Tls::None));
    assert_eq!((Tls::of_scheme("ftpes"), Tls::of_scheme("ftps")), (Some(Tls::Explicit), Some(Tls::Implicit)));
    assert_eq!(Options::new("h", "u", "p").tls, Tls::Explicit);
}

#[tokio::test]
async fn a_refused_login_says_what_to_look_at_and_tells_no_secret() {
    for (server, tls) in [(FtpTls::None, Tls::None), (FtpTls::Explicit, Tls::Explicit)] {
        let mut options = options(proftpd(server).address().port(), tls);
        options.password = "canary-but-wrong".into();
        let to = Ftp::new("partner", options).unwrap();
        let error = to.check().await.unwrap_err();
        assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Denied, false), "{error}");
        let said = format!("{error} {error:?} {to:?}");
        assert!(said.contains("check user and password") && !said.contains("canary"), "{said}");
    }
}

#[tokio::test]
async fn a_missing_root_is_told_of_by_a_check() {
    let to =
        Options { root: "not/there".into(), ..options(proftpd(FtpTls::None).address().port(), Tls::None) };
    let error = Ftp::new("partner", to).unwrap().check().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert!(error.to_string().contains("not/there"), "{error}");
}

#[tokio::test]
async fn a_foreign_address_is_not_connected_to() {
    // Nobody is there: whoever followed the answer would wait.
    let foreign = Some("192.0.2.1".parse().unwrap());
    let tricks = FtpTricks { foreign, without: vec!["EPSV"], ..FtpTricks::default() };
    let (_server, to) = faulty(&tricks);
    let whole = pattern(100_000);
    to.put(&name("a"), &whole, &put_of(&whole)).await.unwrap();
    assert!(collect(to.get(&name("a"), None).await.unwrap()).await.unwrap() == whole);
}

#[tokio::test]
async fn what_a_server_has_is_not_sent_again_when_its_word_is_lost() {
    let (server, to) = faulty(&FtpTricks::default());
    let whole = pattern(5 << 20);
    // Lost with the connection; and one that comes long after our patience.
    for folder in ["silent", "late"] {
        to.mkdirs(&name(folder)).await.unwrap();
        let sent = to.put(&name(&format!("{folder}/a")), &whole, &put_of(&whole)).await;
        let sent = sent.unwrap_or_else(|e| panic!("{folder}: {e}"));
        assert_eq!((sent.bytes, sent.resumed_from), (whole.len() as u64, 0), "{folder}");
        assert!(std::fs::read(server.files().join(folder).join("a")).unwrap() == whole);
    }
    // Neither all of it nor a word: an error, and the rest is sent by the next attempt.
    to.mkdirs(&name("short")).await.unwrap();
    let error = to.put(&name("short/a"), &whole, &put_of(&whole)).await.unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Unavailable, true), "{error}");
    assert_eq!(to.stat(&name("short/a")).await.unwrap(), None);
}

#[tokio::test]
async fn a_cut_line_is_gone_on_with() {
    let (server, to) = faulty(&FtpTricks { by_line: true, ..FtpTricks::default() });
    let whole = pattern(24 << 20);
    server.line().set_for(Fault::CutRequest { after: 10 << 20 }, 1);
    let error = to.put(&name("a"), &whole, &put_of(&whole)).await.unwrap_err();
    assert!(error.is_temporary(), "{error}");
    assert_eq!(to.stat(&name("a")).await.unwrap(), None);
    let sent = to.put(&name("a"), &whole, &put_of(&whole)).await.unwrap();
    assert!(sent.resumed_from > 0 && sent.resumed_from + sent.bytes == whole.len() as u64, "{sent:?}");
    assert!(std::fs::read(server.files().join("a")).unwrap() == whole);
    // On the way back it is not taken for the whole.
    server.line().set_for(Fault::CutAnswer { after: 10 << 20 }, 1);
    let error = collect(to.get(&name("a"), None).await.unwrap()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(collect(to.get(&name("a"), None).await.unwrap()).await.unwrap() == whole);
    // A bit that flips on the way out is found by reading back.
    server.line().set_for(Fault::FlipAnswer { at: 7 << 20 }, 1);
    let body = to.get(&name("a"), None).await.unwrap();
    assert!(collect(body).await.unwrap() != whole, "the fault happens at all");
}

#[tokio::test]
async fn a_killed_server_is_gone_on_with() {
    let server = testbed::Ftp::start(FtpTls::Explicit, certificates());
    let options =
        Options { patience: Duration::from_secs(5), ..options(server.address().port(), Tls::Explicit) };
    let to = Ftp::new("partner", options).unwrap();
    let whole = pattern(24 << 20);
    let (source, mut gate) = crate::contract::sources::Held::new(whole.clone(), 20 << 20);
    let put = put_of(&whole);
    let kill = async {
        gate.reached().await;
        server.kill();
        gate.open();
    };
    let target = name("a");
    let (error, ()) = tokio::join!(to.put(&target, &source, &put), kill);
    let error = error.unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Unavailable, true), "{error}");
    assert_eq!(to.stat(&target).await.unwrap_err().kind(), ErrorKind::Unavailable, "nobody is there");
    server.restart();
    let sent = to.put(&target, &whole, &put).await.unwrap();
    assert!(sent.resumed_from > 0, "{sent:?}");
    assert!(std::fs::read(server.files().join("a")).unwrap() == whole);
}

#[tokio::test]
async fn a_full_disk_and_a_quota_are_told_from_other_refusals() {
    let (server, to) = faulty(&FtpTricks::default());
    let whole = pattern(8 << 20);
    for folder in ["full", "quota"] {
        to.mkdirs(&name(folder)).await.unwrap();
        let error = to.put(&name(&format!("{folder}/a")), &whole, &put_of(&whole)).await.unwrap_err();
        assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::NoSpace, true), "{error}");
        assert!(
            std::fs::read_dir(server.files().join(folder)).unwrap().next().is_none(),
            "it stands in the way"
        );
    }
    to.mkdirs(&name("forbidden")).await.unwrap();
    let error = to.put(&name("forbidden/a"), &whole, &put_of(&whole)).await.unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Denied, false), "{error}");
    assert!(error.to_string().contains("550"), "{error}");
}

#[tokio::test]
async fn a_server_that_refuses_to_rename_says_what_to_set() {
    let server = proftpd(FtpTls::None);
    server.folder("stuck");
    let options = Options { root: "stuck".into(), ..options(server.address().port(), Tls::None) };
    let bytes = Bytes::from_static(b"hello");
    let to = Ftp::new("partner", options.clone()).unwrap();
    let error = to.put(&name("a"), &bytes, &put_of(&bytes)).await.unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Denied, false), "{error}");
    assert!(error.to_string().contains("renames: false"), "{error}");
    assert_eq!(to.stat(&name("a")).await.unwrap(), None);
    let to = Ftp::new("partner", Options { renames: false, ..options }).unwrap();
    to.put(&name("a"), &bytes, &put_of(&bytes)).await.unwrap();
    assert_eq!(collect(to.get(&name("a"), None).await.unwrap()).await.unwrap(), bytes);
}

#[tokio::test]
async fn a_wrong_size_is_noticed() {
    let (_server, to) = faulty(&FtpTricks { without: vec!["MLST", "MLSD"], ..FtpTricks::default() });
    to.mkdirs(&name("lies")).await.unwrap();
    let bytes = Bytes::from_static(b"hello");
    let put = crate::Put { verify: Verify::Size, ..put_of(&bytes) };
    let error = to.put(&name("lies/a"), &bytes, &put).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
}

#[tokio::test]
async fn a_server_that_cannot_go_on_begins_anew() {
    let (server, to) = faulty(&FtpTricks { no_resume: true, by_line: true, ..FtpTricks::default() });
    assert!(to.limits().resumes, "as far as is known");
    let whole = pattern(16 << 20);
    server.line().set_for(Fault::CutRequest { after: 2 << 20 }, 1);
    to.put(&name("a"), &whole, &put_of(&whole)).await.unwrap_err();
    let error = to.put(&name("a"), &whole, &put_of(&whole)).await.unwrap_err();
    assert!(error.is_temporary() && error.to_string().contains("begins anew"), "{error}");
    assert!(!to.limits().resumes);
    let sent = to.put(&name("a"), &whole, &put_of(&whole)).await.unwrap();
    assert_eq!((sent.resumed_from, sent.bytes), (0, whole.len() as u64));
}

#[tokio::test]
async fn a_silent_server_does_not_keep_us() {
    let server = proftpd(FtpTls::None);
    let line = testbed::Proxy::before(server.address());
    let mut options = options(line.port(), Tls::None);
    options.patience = Duration::from_secs(1);
    let to = Ftp::new("partner", options).unwrap();
    line.set(Fault::Stall);
    let since = Instant::now();
    let error = to.stat(&name("a")).await.unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Unavailable, true), "{error}");
    assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
    // A connection that died while nobody used it is not given to anybody.
    line.set(Fault::None);
    to.stat(&name("a")).await.unwrap();
    let before = line.connections();
    line.set(Fault::None);
    let _ = to.stat(&name("a")).await;
    to.stat(&name("a")).await.unwrap();
    assert_eq!(line.connections(), before + 1);
}

/// A server that says how large a file is when it begins to send it is not asked for that first; what it says of a name is not
/// taken for a size.
#[tokio::test]
async fn a_size_that_is_told_anyway_is_not_asked_for() {
    let server = proftpd(FtpTls::None);
    let to = Ftp::new("partner", options(server.address().port(), Tls::None)).unwrap();
    let root = own();
    server.folder(&root);
    let at = |file: &str| name(&format!("{root}/{file}"));
    let hello = Bytes::from_static(b"hello");
    for (file, bytes) in [("a", &hello), ("empty", &Bytes::new()), ("of (3 bytes)", &hello)] {
        to.put(&at(file), bytes, &put_of(bytes)).await.unwrap();
    }
    to.mkdirs(&at("folder")).await.unwrap();
    assert!(!to.pool.learned().tells_sizes, "as far as is known");
    for _ in 0..2 {
        assert_eq!(collect(to.get(&at("a"), None).await.unwrap()).await.unwrap(), hello);
        assert!(to.pool.learned().tells_sizes);
        assert_eq!(collect(to.get(&at("empty"), None).await.unwrap()).await.unwrap(), "");
        assert_eq!(collect(to.get(&at("of (3 bytes)"), None).await.unwrap()).await.unwrap(), hello);
        for none in ["folder", "missing"] {
            let error = to.get(&at(none), None).await.err().unwrap();
            assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        }
    }
    assert_eq!(to.pool.kept(), 1, "one connection did all of it");
}

#[tokio::test]
async fn connections_are_used_again() {
    let server = proftpd(FtpTls::None);
    let line = testbed::Proxy::before(server.address());
    let to = Ftp::new("partner", options(line.port(), Tls::None)).unwrap();
    let root = own();
    server.folder(&root);
    for i in 0..10 {
        let bytes = Bytes::from(format!("file {i}"));
        to.put(&name(&format!("{root}/{i}")), &bytes, &put_of(&bytes)).await.unwrap();
    }
    assert_eq!(line.connections(), 1);
}

/// Sixteen files at once need as many connections; an hour later nobody else's are taken up by them.
#[tokio::test]
async fn connections_that_nobody_needs_go() {
    let server = proftpd(FtpTls::None);
    let to = Ftp::new("partner", options(server.address().port(), Tls::None)).unwrap();
    let target = name("missing");
    let looks = (0..8).map(|_| to.stat(&target));
    futures::future::try_join_all(looks).await.unwrap();
    assert_eq!(to.pool.kept(), 8);
    let since = Instant::now();
    while to.pool.kept() > 4 {
        assert!(since.elapsed() < Duration::from_secs(60), "{} are still open", to.pool.kept());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn an_address_of_the_house_is_allowed_by_name_only() {
    let mut options = options(1, Tls::None);
    options.host = "10.0.0.1".into();
    let error = Ftp::new("partner", options).unwrap().check().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
}
