//! `alerts::Webhook` before a server of our own: what arrives there, that the standard's own library believes it, and
//! what is said when it does not arrive.
#![cfg(feature = "webhook")]
#![expect(
    clippy::disallowed_methods,
    reason = "signatures are of this moment, and receivers look at their clocks"
)]

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use alerts::{Digest, Error, ErrorKind, Notify as _, Webhook, WebhookBuilder, contract::Subject};
use domain::{Alert, Clock, Severity, Timestamp};
use receiver::{Post, Receiver, YES};
use testbed::{Certificates, Fault, Proxy};

mod receiver;

/// `canary-secret-of-the-webhook`; must never be seen in what we say.
const SECRET: &str = "whsec_Y2FuYXJ5LXNlY3JldC1vZi10aGUtd2ViaG9vaw==";
/// In the path and the query: chat services have their secrets there.
const PATH: &str = "/services/T0/canary?key=canary";

/// Minutes that the clock is wrong by.
struct Machine(i64);

impl Clock for Machine {
    fn now(&self) -> Timestamp {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        Timestamp(now.as_millis() as i64 + self.0 * 60_000)
    }
}

fn certificates() -> Certificates {
    Certificates::of(&["localhost", "127.0.0.1"])
}

fn to(url: String) -> WebhookBuilder {
    Webhook::builder(url, SECRET, Arc::new(Machine(0)))
}

fn plain(port: u16) -> WebhookBuilder {
    to(format!("http://127.0.0.1:{port}{PATH}"))
}

fn alert() -> Alert {
    Alert {
        key: "recording/1/failed".into(),
        severity: Severity::Critical,
        service: "convert".into(),
        subject: "Käse.mp4 failed".into(),
        cause: "ffmpeg ended with \"Invalid data\"".into(),
        next: "see `videorec show 3kq0`".into(),
        recording: None,
        at: Timestamp(1_790_000_000_000),
    }
}

mod by_http {
    use super::*;

    async fn subject() -> Subject {
        let receiver = Receiver::start(None).await;
        let webhook = plain(receiver.port).build().unwrap();
        Subject { notify: Arc::new(webhook), people: Box::new(receiver) }
    }
    alerts::contract!(subject);
}

mod by_https {
    use super::*;

    async fn subject() -> Subject {
        let receiver = Receiver::start(Some(&certificates())).await;
        let url = format!("https://localhost:{}/", receiver.port);
        let webhook = to(url).trust(certificates().authority()).build().unwrap();
        Subject { notify: Arc::new(webhook), people: Box::new(receiver) }
    }
    alerts::contract!(subject);
}

/// What the standard's own library says of a post.
fn verified(post: &Post, secret: &str) -> String {
    const SCRIPT: &str = "\
import sys, standardwebhooks
secret, body, id, timestamp, signature = sys.argv[1:]
headers = {'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': signature}
try:
    print(standardwebhooks.Webhook(secret).verify(body, headers)['subject'])
except standardwebhooks.WebhookVerificationError as error:
    print('refused:', error)
";
    let [id, timestamp, signature] =
        ["webhook-id", "webhook-timestamp", "webhook-signature"].map(|name| post.header(name));
    let arguments = [secret, &post.body, id, timestamp, signature];
    testbed::run_python("standardwebhooks==1.1.0", SCRIPT, &arguments).trim().to_owned()
}

#[tokio::test]
async fn the_standards_own_library_believes_it() {
    let receiver = Receiver::start(None).await;
    let other = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";
    plain(receiver.port).and_secret(other).build().unwrap().tell(&alert()).await.unwrap();
    let post = receiver.posts().remove(0);
    assert_eq!(verified(&post, SECRET), "Käse.mp4 failed");
    assert_eq!(verified(&post, other), "Käse.mp4 failed", "while one is replaced by the other");
    let strange = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYY";
    assert!(verified(&post, strange).starts_with("refused: No matching signature"));
    let forged = Post { body: post.body.replace("critical", "info"), ..post.clone() };
    assert!(verified(&forged, SECRET).starts_with("refused: No matching signature"));
    // The time of the attempt, not of the alert: what is played back later is refused.
    let late =
        Webhook::builder(format!("http://127.0.0.1:{}/", receiver.port), SECRET, Arc::new(Machine(-10)));
    late.build().unwrap().tell(&alert()).await.unwrap();
    assert!(verified(&receiver.posts()[0], SECRET).contains("too old"));
}

#[tokio::test]
async fn a_post_is_the_alert_and_sent_twice_it_has_one_id() {
    let receiver = Receiver::start(None).await;
    let webhook = plain(receiver.port).build().unwrap();
    for told in [alert(), alert(), Alert { at: Timestamp(1), ..alert() }] {
        webhook.tell(&told).await.unwrap();
    }
    let posts = receiver.posts();
    assert_eq!(posts[0].request, format!("POST {PATH} HTTP/1.1"));
    assert_eq!(posts[0].header("host"), format!("127.0.0.1:{}", receiver.port));
    assert_eq!(posts[0].header("content-type"), "application/json");
    assert!(posts[0].header("user-agent").starts_with("videorec/"));
    assert_eq!(serde_json::from_str::<Alert>(&posts[0].body).unwrap(), alert());
    let ids: Vec<_> = posts.iter().map(|post| post.header("webhook-id")).collect();
    assert!(ids[0] == ids[1] && ids[1] != ids[2] && ids[0].starts_with("msg_"), "{ids:?}");
    let digest = Digest::of(&[alert()], alert().at);
    webhook.digest(&digest).await.unwrap();
    assert_eq!(serde_json::from_str::<Digest>(&receiver.posts()[0].body).unwrap(), digest);
}

async fn fails(webhook: &Webhook, says: &str) -> (ErrorKind, bool) {
    let failed: Error = webhook.tell(&alert()).await.unwrap_err();
    assert!(failed.to_string().contains(says), "{failed}");
    assert!(failed.to_string().starts_with("cannot post to http"), "{failed}");
    assert!(!format!("{failed} {failed:?} {webhook:?}").to_lowercase().contains("canary"), "{failed}");
    (failed.kind(), failed.is_temporary())
}

const TEMPORARY: (ErrorKind, bool) = (ErrorKind::Unavailable, true);
const INVALID: (ErrorKind, bool) = (ErrorKind::Invalid, false);

#[tokio::test]
async fn what_it_answers_is_temporary_or_not() {
    let receiver = Receiver::start(None).await;
    let webhook = plain(receiver.port).build().unwrap();
    for (status, says, kind) in [
        ("500 Oops", "it answers 500 Internal Server Error; try again later", TEMPORARY),
        ("503 Service Unavailable", "503", TEMPORARY),
        ("429 Too Many Requests", "429", TEMPORARY),
        ("408 Request Timeout", "408", TEMPORARY),
        ("400 Bad Request", "check the URL", INVALID),
        ("404 Not Found", "check the URL", INVALID),
        ("410 Gone", "remove this webhook", INVALID),
        ("401 Unauthorized", "check the secret", (ErrorKind::Denied, false)),
        ("403 Forbidden", "check the secret", (ErrorKind::Denied, false)),
    ] {
        // As some frameworks do, it repeats the path, which is a secret.
        receiver.answer(&format!(
            "HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\nCannot POST {PATH}",
            12 + PATH.len()
        ));
        assert_eq!(fails(&webhook, says).await, kind, "{status}");
    }
    for status in ["200 OK", "201 Created", "202 Accepted", "204 No Content"] {
        receiver.answer(&format!("HTTP/1.1 {status}\r\nconnection: close\r\n\r\n"));
        webhook.tell(&alert()).await.unwrap();
    }
    // It says yes before it has said all: it is a yes.
    receiver.answer("HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\nx");
    webhook.tell(&alert()).await.unwrap();
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let (receiver, elsewhere) = (Receiver::start(None).await, Receiver::start(None).await);
    let webhook = plain(receiver.port).build().unwrap();
    for status in [301, 302, 303, 307, 308] {
        let location = format!("http://127.0.0.1:{}{PATH}", elsewhere.port);
        receiver
            .answer(&format!("HTTP/1.1 {status} Moved\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n"));
        assert_eq!(fails(&webhook, "redirects are not followed").await, INVALID);
    }
    assert!(elsewhere.posts().is_empty());
}

#[tokio::test]
async fn a_server_that_is_down_is_said_and_comes_back() {
    let receiver = Receiver::start(None).await;
    let proxy = Proxy::before(([127, 0, 0, 1], receiver.port).into());
    let webhook = plain(proxy.port()).build().unwrap();
    for fault in
        [Fault::Down, Fault::CutRequest { after: 100 }, Fault::CutAnswer { after: 5 }, Fault::LoseAnswer]
    {
        proxy.set(fault);
        assert_eq!(fails(&webhook, "cannot post to").await, TEMPORARY, "{fault:?}");
    }
    proxy.set(Fault::None);
    webhook.tell(&alert()).await.unwrap();
    let nobody = plain(testbed::free_port()).build().unwrap();
    assert_eq!(fails(&nobody, "refused").await, TEMPORARY);
    let unknown = to("https://videorec.invalid/canary".into()).build().unwrap();
    assert_eq!(fails(&unknown, "its name").await, TEMPORARY);
}

#[tokio::test]
async fn a_server_that_says_nothing_is_not_waited_for_for_ever() {
    let receiver = Receiver::start(None).await;
    receiver.answer("");
    let silent = plain(receiver.port);
    let proxy = Proxy::before(([127, 0, 0, 1], receiver.port).into());
    proxy.set(Fault::Stall);
    let stalled = plain(proxy.port());
    let handshake = to(format!("https://127.0.0.1:{}/", proxy.port()));
    for webhook in [silent, stalled, handshake] {
        let webhook = webhook.patience(Duration::from_millis(300)).build().unwrap();
        let began = Instant::now();
        assert_eq!(fails(&webhook, "no answer within 300ms").await, TEMPORARY);
        assert!(began.elapsed() < Duration::from_secs(5));
    }
}

#[tokio::test]
async fn nonsense_is_an_error() {
    let receiver = Receiver::start(None).await;
    let webhook = plain(receiver.port).build().unwrap();
    let endless = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(4 << 20));
    for said in [
        "220 smtp.example.com ESMTP\r\n",
        "\r\n\r\n",
        "HTTP/1.1 2\u{1b}[2J\r\n\r\n",
        "HTTP/1.1 200",
        &endless,
    ] {
        receiver.answer(said);
        assert_eq!(fails(&webhook, "cannot post to").await, TEMPORARY, "{}", said.len());
    }
    receiver.answer(YES);
    webhook.tell(&alert()).await.unwrap();
}

#[tokio::test]
async fn a_certificate_that_is_not_believed_is_refused() {
    let receiver = Receiver::start(Some(&certificates())).await;
    let url = format!("https://127.0.0.1:{}{PATH}", receiver.port);
    let nobodys = to(url.clone()).build().unwrap();
    assert_eq!(fails(&nobodys, "its certificate is not believed (UnknownIssuer)").await, TEMPORARY);
    let others = Certificates::of(&["mail.example.com"]);
    let other = Receiver::start(Some(&others)).await;
    let wrong = to(format!("https://localhost:{}/", other.port)).trust(others.authority()).build().unwrap();
    fails(&wrong, "its certificate is not believed (NotValidForName").await;
    let plain = Receiver::start(None).await;
    let none = to(format!("https://localhost:{}/", plain.port)).build().unwrap();
    fails(&none, "tls handshake eof").await;
    assert!([&receiver, &other, &plain].iter().all(|r| r.posts().is_empty()));
    to(url).trust(certificates().authority()).build().unwrap().tell(&alert()).await.unwrap();
}

/// A name that leads to this machine, or to what only this machine reaches, without saying so.
#[tokio::test]
async fn an_address_that_the_internet_does_not_have_is_refused() {
    let receiver = Receiver::start(None).await;
    for host in ["127.1", "0.0.0.0", "[::ffff:127.0.0.1]", "2130706433"] {
        let url = format!("http://{host}:{}{PATH}", receiver.port);
        let webhook = to(url.clone()).allow_http().build().unwrap();
        assert_eq!(fails(&webhook, "allow private addresses").await, (ErrorKind::Denied, false), "{host}");
        assert!(receiver.posts().is_empty(), "{host}");
        to(url).allow_http().allow_private().build().unwrap().tell(&alert()).await.unwrap();
        assert_eq!(receiver.posts().len(), 1, "{host}");
    }
    for metadata in ["169.254.169.254", "[fd00:ec2::254]"] {
        let webhook = to(format!("http://{metadata}/latest/api/token")).allow_http().build().unwrap();
        assert_eq!(fails(&webhook, "allow private addresses").await, (ErrorKind::Denied, false));
    }
}

#[test]
fn what_cannot_be_right_is_refused_at_once() {
    let url = "https://example.com/canary";
    let clock = || Arc::new(Machine(0));
    for builder in [
        Webhook::builder("http://example.com/canary", SECRET, clock()),
        Webhook::builder("https://canary@example.com/", SECRET, clock()),
        Webhook::builder(url, "canary", clock()),
        Webhook::builder(url, SECRET, clock()).and_secret("whsec_Y2FuYXJ5"),
        Webhook::builder(url, SECRET, clock())
            .trust("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----"),
    ] {
        let said = format!("{builder:?}");
        let refused = builder.build().unwrap_err();
        assert_eq!((refused.kind(), refused.is_temporary()), INVALID);
        let said = format!("{said} {refused} {refused:?}");
        assert!(!said.contains("canary") && !said.contains("Y2FuYXJ5"), "{said}");
    }
}
