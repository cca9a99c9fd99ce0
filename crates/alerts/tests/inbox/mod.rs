//! A mail server that keeps what it takes, and how to send to it.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::OnceLock,
};

use alerts::{
    Email, EmailBuilder, Encryption,
    contract::{Heard, People},
};
use async_trait::async_trait;
use domain::{Alert, Severity, Timestamp};
use serde_json::Value;
use testbed::{Certificates, Smtp, SmtpTls};

/// Must never be seen in what we say.
pub const CANARY: &str = "canary-secret-password";
pub const USER: &str = "videorec";

pub fn certificates() -> Certificates {
    Certificates::of(&["localhost", "127.0.0.1"])
}

pub fn server(tls: SmtpTls) -> Smtp {
    let login = (tls != SmtpTls::None).then_some((USER, CANARY));
    Smtp::start(tls, &certificates(), login)
}

/// Without encryption and login. What it takes goes to whoever asks first: for tests that look at errors only.
pub fn shared() -> &'static Smtp {
    static SHARED: OnceLock<Smtp> = OnceLock::new();
    SHARED.get_or_init(|| server(SmtpTls::None))
}

pub fn by(port: u16) -> EmailBuilder {
    Email::builder("127.0.0.1", "videorec <alerts@example.com>").port(port)
}

pub fn plain(port: u16) -> EmailBuilder {
    by(port).encryption(Encryption::Plain)
}

pub fn encrypted(port: u16, encryption: Encryption) -> EmailBuilder {
    by(port).encryption(encryption).login(USER, CANARY).trust(certificates().authority()).to("a@example.com")
}

pub fn alert(subject: &str) -> Alert {
    Alert {
        key: "recording/1/failed".into(),
        severity: Severity::Critical,
        service: "convert".into(),
        subject: subject.into(),
        cause: "ffmpeg ended with \"Invalid data\"".into(),
        next: "see `videorec show 3kq0`".into(),
        recording: None,
        at: Timestamp(1_790_000_000_000),
    }
}

pub fn mails(server: &Smtp) -> Vec<Value> {
    server.received().iter().map(|mail| serde_json::from_str(mail).unwrap()).collect()
}

pub fn header<'a>(mail: &'a Value, name: &str) -> Vec<&'a str> {
    let headers = mail["headers"].as_array().unwrap().iter();
    headers
        .filter(|h| h[0].as_str().unwrap().eq_ignore_ascii_case(name))
        .map(|h| h[1].as_str().unwrap())
        .collect()
}

pub struct Inbox(pub Smtp);

#[async_trait(?Send)]
impl People for Inbox {
    async fn heard(&mut self) -> Vec<Heard> {
        let read = mails(&self.0).into_iter().map(|mail| {
            let subject = mail["subject"].as_str().unwrap();
            let severity = match subject.split_once(']').unwrap().0 {
                "[info" | "[digest" => Severity::Info,
                "[warning" => Severity::Warning,
                "[critical" => Severity::Critical,
                other => panic!("{other}"),
            };
            // Lines end with CRLF in mail; the parser leaves them as they are.
            let text = mail["text"].as_str().unwrap().replace("\r\n", "\n");
            Heard { severity, text: format!("{subject}\n{text}") }
        });
        read.collect()
    }
}

/// The port of somebody on the way to a server, who adds to its invitation to begin TLS. For one connection.
pub fn on_the_way(server: SocketAddr, adds: &'static str) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut server = TcpStream::connect(server).unwrap();
        let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        std::thread::spawn(move || std::io::copy(&mut from, &mut to));
        let mut bytes = [0; 4096];
        while let Ok(n @ 1..) = server.read(&mut bytes) {
            let mut said = bytes[..n].to_vec();
            if said.starts_with(b"220 Ready to start TLS") {
                said.extend_from_slice(adds.as_bytes());
            }
            if client.write_all(&said).is_err() {
                return;
            }
        }
    });
    port
}
