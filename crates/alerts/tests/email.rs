//! `alerts::Email` before a real mail server: what arrives, and what is said when it does not.
#![cfg(feature = "email")]

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpListener},
    sync::Arc,
    time::{Duration, Instant},
};

use alerts::{Email, EmailBuilder, Encryption, Error, ErrorKind, Notify as _, contract::Subject};
use domain::{Alert, Timestamp};
use inbox::{
    CANARY, Inbox, USER, alert, by, certificates, encrypted, header, mails, on_the_way, plain, server, shared,
};
use serde_json::Value;
use testbed::{Certificates, Fault, Proxy, Smtp, SmtpTls};

mod inbox;

mod with_tls {
    use super::*;

    async fn subject() -> Subject {
        let server = server(SmtpTls::Implicit);
        let email = encrypted(server.port(), Encryption::Implicit).build().unwrap();
        Subject { notify: Arc::new(email), people: Box::new(Inbox(server)) }
    }
    alerts::contract!(subject);
}

mod with_starttls {
    use super::*;

    async fn subject() -> Subject {
        let server = server(SmtpTls::StartTls);
        let email = encrypted(server.port(), Encryption::StartTls).build().unwrap();
        Subject { notify: Arc::new(email), people: Box::new(Inbox(server)) }
    }
    alerts::contract!(subject);
}

#[tokio::test]
async fn a_mail_is_encrypted_signed_in_and_says_what_it_is() {
    for (tls, encryption) in
        [(SmtpTls::Implicit, Encryption::Implicit), (SmtpTls::StartTls, Encryption::StartTls)]
    {
        let server = server(tls);
        let email = encrypted(server.port(), encryption).to("Bob <b@example.net>").build().unwrap();
        email.tell(&alert("Käse.mp4 failed")).await.unwrap();
        let mail = mails(&server).remove(0);
        assert_eq!((&mail["encrypted"], &mail["login"]), (&Value::Bool(true), &Value::Bool(true)));
        assert_eq!(mail["from"], "alerts@example.com");
        assert_eq!(mail["to"], serde_json::json!(["a@example.com", "b@example.net"]));
        assert_eq!(mail["subject"], "[critical] Käse.mp4 failed");
        assert!(mail["text"].as_str().unwrap().starts_with("Käse.mp4 failed"), "{mail}");
        assert_eq!(header(&mail, "Date"), ["Mon, 21 Sep 2026 14:13:20 +0000"]);
        assert_eq!(header(&mail, "Auto-Submitted"), ["auto-generated"]);
        assert!(!format!("{email:?} {mail}").contains(CANARY));
    }
}

/// Who gets it twice sees that it is one, and what belongs together is together.
#[tokio::test]
async fn the_same_news_has_the_same_id_and_one_cause_is_one_thread() {
    let server = server(SmtpTls::None);
    let still = Alert { at: Timestamp(1_790_000_100_000), ..alert("still: x") };
    for told in [alert("x"), alert("x"), still, Alert { key: "other".into(), ..alert("x") }] {
        // Another process each time: none remembers what another has told.
        plain(server.port()).to("a@example.com").build().unwrap().tell(&told).await.unwrap();
    }
    let mails = mails(&server);
    let of = |name| mails.iter().map(|m| header(m, name).concat()).collect::<Vec<_>>();
    let (ids, threads) = (of("Message-ID"), of("References"));
    assert!(ids[0] == ids[1] && ids[1] != ids[2] && ids[0] != ids[3], "{ids:?}");
    assert!(threads[0] == threads[1] && threads[1] == threads[2] && threads[0] != threads[3], "{threads:?}");
    assert!(ids[0].ends_with("@example.com>"));
}

#[tokio::test]
async fn a_hostile_subject_is_one_header_and_nothing_else() {
    let server = server(SmtpTls::None);
    let email = plain(server.port()).to("a@example.com").build().unwrap();
    let hostile = [
        "x\r\nBcc: victim@example.com\r\n\r\nhello",
        "x\nContent-Type: text/html\n\n<script>",
        "x\r\n.\r\nMAIL FROM:<y@example.com>\r\n",
        "\u{1b}[2J\u{1b}]0;title\u{7}\u{202e}gpj.mp4",
        "=?utf-8?b?QmNjOiB4?= <b@example.net>, \"c",
        "日本語のとても長い録画の名前 🎥🎥🎥 \u{0}",
        &"x".repeat(10 << 10),
        &"ü ".repeat(5 << 10),
        "",
    ];
    for (i, subject) in hostile.iter().enumerate() {
        let told = Alert { key: format!("{i}{subject}"), service: (*subject).into(), ..alert(subject) };
        email.tell(&told).await.unwrap();
        let mail = mails(&server).remove(0);
        assert_eq!(mail["to"], serde_json::json!(["a@example.com"]));
        let names: Vec<_> =
            mail["headers"].as_array().unwrap().iter().map(|h| h[0].as_str().unwrap()).collect();
        let expected = [
            "From",
            "Subject",
            "Date",
            "Message-ID",
            "Auto-Submitted",
            "References",
            "To",
            "MIME-Version",
            "Content-Type",
            "Content-Transfer-Encoding",
        ];
        assert_eq!(names.iter().filter(|n| expected.contains(n)).count(), names.len(), "{names:?}");
        let shown = mail["subject"].as_str().unwrap();
        assert!(shown.starts_with("[critical]") && shown.len() <= 200, "{shown}");
        assert!(!shown.contains(|c: char| c.is_control() || c == '\u{202e}'), "{shown:?}");
        assert!(mail["raw"].as_str().unwrap().lines().all(|line| line.len() <= 998));
        assert!(header(&mail, "Content-Type")[0].starts_with("text/plain"));
    }
    assert!(mails(&server).is_empty(), "and no other mail");
}

async fn fails(email: &Email, says: &str) -> Error {
    let failed = email.tell(&alert("x")).await.unwrap_err();
    assert!(failed.to_string().contains(says), "{failed}");
    assert!(!format!("{failed:?} {email:?}").contains(CANARY), "{failed}");
    failed
}

fn kinds(error: &Error) -> (ErrorKind, bool) {
    (error.kind(), error.is_temporary())
}

const TEMPORARY: (ErrorKind, bool) = (ErrorKind::Unavailable, true);

#[tokio::test]
async fn what_the_server_answers_is_temporary_or_not() {
    for (to, says, kind) in [
        ("later", "452 4.2.2 Mailbox full; try again later", TEMPORARY),
        ("busy", "451 4.3.0 Out of space", TEMPORARY),
        ("never", "550 5.1.1 No such user here; check", (ErrorKind::Invalid, false)),
        ("full", "554 5.6.0 Looks like spam\u{fffd}[2J", (ErrorKind::Invalid, false)),
    ] {
        let email = plain(shared().port()).to(format!("{to}@example.com")).build().unwrap();
        assert_eq!(kinds(&fails(&email, says).await), kind, "{to}");
    }
}

#[tokio::test]
async fn a_recipient_that_is_refused_keeps_nobody_from_being_told() {
    let server = server(SmtpTls::None);
    let email = plain(server.port());
    let email = email.to("a@example.com").to("never@example.com").to("grey@example.com").to("b@example.com");
    let email = email.build().unwrap();
    let failed = fails(&email, "2 of 4 recipients get no mail: never@example.com: ").await;
    assert_eq!(kinds(&failed), TEMPORARY, "for one of them it is worth waiting: {failed}");
    assert_eq!(mails(&server)[0]["to"], serde_json::json!(["a@example.com", "b@example.com"]));
    let failed = fails(&email, "1 of 4 recipients").await;
    assert_eq!(kinds(&failed), (ErrorKind::Invalid, false));
    assert_eq!(mails(&server)[0]["to"], serde_json::json!(["grey@example.com"]), "the others were told");
}

#[tokio::test]
async fn greylisting_passes() {
    let server = server(SmtpTls::None);
    let email = plain(server.port()).to("grey@example.com").build().unwrap();
    assert_eq!(kinds(&fails(&email, "451 4.7.1 Greylisted").await), TEMPORARY);
    email.tell(&alert("x")).await.unwrap();
    email.tell(&alert("x")).await.unwrap();
    assert_eq!(mails(&server).len(), 1);
}

#[tokio::test]
async fn a_server_that_is_down_is_said_and_comes_back() {
    let server = server(SmtpTls::None);
    let proxy = Proxy::before(server.address());
    let email = plain(proxy.port()).to("a@example.com").build().unwrap();
    proxy.set(Fault::Down);
    assert_eq!(kinds(&fails(&email, "cannot send mail by 127.0.0.1:").await), TEMPORARY);
    // In the middle of what is said before the mail, and of the mail itself.
    for after in [5, 60, 400] {
        proxy.set(Fault::CutRequest { after });
        assert_eq!(kinds(&fails(&email, "cannot send mail by").await), TEMPORARY, "{after}");
        assert!(mails(&server).is_empty(), "{after}: half a mail is none");
    }
    proxy.set(Fault::CutAnswer { after: 10 });
    assert_eq!(kinds(&fails(&email, "cannot send mail by").await), TEMPORARY);
    proxy.set(Fault::None);
    email.tell(&alert("x")).await.unwrap();
    assert_eq!(mails(&server).len(), 1);
    let nobody = plain(testbed::free_port()).to("a@example.com").build().unwrap();
    assert_eq!(kinds(&fails(&nobody, "refused").await), TEMPORARY);
}

#[tokio::test]
async fn a_server_that_is_slow_is_not_waited_for_for_ever() {
    let patience = Duration::from_millis(500);
    let slow = plain(shared().port()).to("slow@example.com").patience(patience).build().unwrap();
    let proxy = Proxy::before(shared().address());
    proxy.set(Fault::Stall);
    let stalled = plain(proxy.port()).to("a@example.com").patience(patience).build().unwrap();
    for email in [slow, stalled] {
        let began = Instant::now();
        assert_eq!(kinds(&fails(&email, "not done within 500ms").await), TEMPORARY);
        assert!(began.elapsed() < Duration::from_secs(5));
    }
}

/// Nothing is sent, neither mail nor login, where it could be read on the way.
#[tokio::test]
async fn a_server_without_starttls_is_refused() {
    let email = encrypted(shared().port(), Encryption::StartTls).build().unwrap();
    let failed = fails(&email, "STARTTLS is not supported").await;
    assert_eq!(kinds(&failed), (ErrorKind::Invalid, false));
    // And one that speaks TLS from the first byte only, or not at all.
    let email = encrypted(shared().port(), Encryption::Implicit).build().unwrap();
    assert_eq!(kinds(&fails(&email, "TLS").await), TEMPORARY);
}

/// Somebody on the way adds answers of his own to the last one that can be read there, so many that no other is asked for.
#[tokio::test]
async fn answers_from_before_the_encryption_are_not_believed() {
    const INJECTED: &str =
        "250-localhost\r\n250 AUTH PLAIN\r\n235 OK\r\n250 OK\r\n250 OK\r\n354 Go\r\n250 Sent\r\n";
    let server = server(SmtpTls::StartTls);
    let port = on_the_way(server.address(), INJECTED);
    let email = encrypted(port, Encryption::StartTls).build().unwrap();
    assert_eq!(kinds(&fails(&email, "TLS").await), TEMPORARY);
    assert!(mails(&server).is_empty());
}

#[tokio::test]
async fn a_certificate_that_is_not_believed_is_refused() {
    let server = server(SmtpTls::Implicit);
    let nobodys = by(server.port()).login(USER, CANARY).to("a@example.com").build().unwrap();
    assert_eq!(kinds(&fails(&nobodys, "its certificate is not believed (UnknownIssuer)").await), TEMPORARY);
    let others = Certificates::of(&["mail.example.com"]);
    let server = Smtp::start(SmtpTls::StartTls, &others, None);
    let email =
        by(server.port()).encryption(Encryption::StartTls).trust(others.authority()).to("a@example.com");
    fails(&email.build().unwrap(), "its certificate is not believed (NotValidForName").await;
    assert!(mails(&server).is_empty());
}

#[tokio::test]
async fn a_login_that_is_wrong_is_said_and_never_repeated() {
    let server = server(SmtpTls::StartTls);
    let wrong =
        encrypted(server.port(), Encryption::StartTls).login(USER, format!("{CANARY}!")).build().unwrap();
    assert_eq!(kinds(&fails(&wrong, "check the login").await), (ErrorKind::Denied, false));
    // Some servers repeat it to us.
    let echo = encrypted(server.port(), Encryption::StartTls).to("echo@example.com").build().unwrap();
    let failed = fails(&echo, "550 (words that repeat the login)").await;
    let encoded = "AHZpZGVvcmVjAGNhbmFyeS1zZWNyZXQtcGFzc3dvcmQ=";
    assert!(!failed.to_string().contains(encoded), "{failed}");
    // And some want one that we do not have.
    let none = by(server.port()).encryption(Encryption::StartTls).trust(certificates().authority());
    let none = none.to("a@example.com").build().unwrap();
    assert_eq!(kinds(&fails(&none, "530 5.7.0 Authentication required").await), (ErrorKind::Denied, false));
}

/// A server that says nonsense, or much of it.
#[tokio::test]
async fn nonsense_is_an_error() {
    let long = "250-".to_owned() + &"x".repeat(1 << 20);
    for said in ["\r\n", "HTTP/1.1 400 Bad Request\r\n\r\n", "\u{1b}]0;x\u{7}\r\n", &long, "220"] {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let said = said.to_owned();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.write_all(said.as_bytes());
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let _ = stream.read_to_end(&mut Vec::new());
        });
        let email = plain(port).to("a@example.com").patience(Duration::from_secs(5)).build().unwrap();
        let failed = fails(&email, "cannot send mail by").await;
        assert!(failed.is_temporary() && failed.to_string().len() < 1_000, "{failed}");
        assert!(!failed.to_string().contains(char::is_control), "{failed:?}");
    }
}

#[test]
fn what_cannot_be_right_is_refused_at_once() {
    let refused = |builder: EmailBuilder, says: &str| {
        let refused = builder.build().unwrap_err();
        assert!(refused.to_string().contains(says), "{refused}");
        assert_eq!(kinds(&refused), (ErrorKind::Invalid, false));
    };
    let to = |to: &str| Email::builder("smtp.example.com", "a@example.com").to(to);
    refused(Email::builder("smtp.example.com", "a@example.com"), "1 to 20 recipients");
    refused(to("b@example.com").encryption(Encryption::Plain), "not be encrypted");
    refused(to("nobody"), "`nobody` is no mail address");
    refused(to("b@example.com\r\nBcc: c@example.com"), "is no mail address");
    refused(to("x\r\nBcc: y <b@example.com>"), "is no mail address");
    refused(to("b@bücher.example"), "xn--");
    refused(Email::builder("smtp.example.com", "").to("b@example.com"), "is no mail address");
    refused(Email::builder("smtp example com", "a@example.com").to("b@example.com"), "none");
    refused(to("b@example.com").hello("x\r\nDATA"), "none");
    refused(
        to("b@example.com").trust("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----"),
        "not PEM",
    );
    let builder = to("b@example.com").login(USER, CANARY);
    assert!(!format!("{builder:?}").contains(CANARY));
}
