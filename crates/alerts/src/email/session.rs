//! One mail to one server: connect, encrypt, log in, send, part. Over `lettre`'s connection and not its transport, since
//! that gives up on everybody when one recipient is refused.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use lettre::{
    Address,
    transport::smtp::{
        self,
        authentication::{Credentials, Mechanism},
        client::{AsyncSmtpConnection, TlsParameters},
        commands::{Data, Mail, Rcpt},
        extension::ClientId,
    },
};

use tokio::net::TcpStream;

use super::lines::Lines;
use crate::{Error, ErrorKind, render, tls};

/// How to get to the server.
pub(super) struct Server {
    pub host: String,
    pub port: u16,
    pub encryption: Encryption,
    pub tls: Option<TlsParameters>,
    pub login: Option<Login>,
    pub hello: ClientId,
}

/// How the way to the server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encryption {
    /// TLS from the first byte, port 465: what RFC 8314 asks for.
    #[default]
    Implicit,
    /// `STARTTLS` on port 587; a server that does not offer it is refused.
    StartTls,
    /// None, port 25; only to this machine.
    Plain,
}

/// Never shown.
pub(super) struct Login {
    pub user: String,
    pub password: String,
}

/// Characters of the server's words that an error repeats.
const REPEATED: usize = 200;
/// Parting is a courtesy: the mail is the server's by then.
const PARTING: Duration = Duration::from_secs(1);

/// Those whom the server took the mail for, and those whom it refused with its reason.
#[derive(Default)]
pub(super) struct Outcome {
    pub taken: Vec<Address>,
    pub refused: Vec<(Address, Error)>,
}

impl Server {
    pub(super) async fn send(&self, from: &Address, to: &[Address], mail: &[u8]) -> Result<Outcome, Error> {
        let mut connection = self.open().await?;
        let outcome = self.transact(&mut connection, from, to, mail).await.map_err(|e| self.failed(&e));
        let _ = tokio::time::timeout(PARTING, connection.abort()).await;
        outcome
    }

    async fn open(&self) -> Result<AsyncSmtpConnection, Error> {
        let address = (self.host.as_str(), self.port);
        if self.encryption == Encryption::StartTls {
            let stream = TcpStream::connect(address).await;
            let stream =
                stream.map_err(|e| Error::new(ErrorKind::Unavailable, format!("{}: {e}", self.by())))?;
            let lines = Box::new(Lines::new(stream));
            return self.enter(AsyncSmtpConnection::connect_with_transport(lines, &self.hello).await).await;
        }
        // The caller's patience covers all of it.
        let tls = self.tls.clone();
        self.enter(AsyncSmtpConnection::connect_tokio1(address, None, &self.hello, tls, None).await).await
    }

    async fn enter(
        &self,
        connection: Result<AsyncSmtpConnection, smtp::Error>,
    ) -> Result<AsyncSmtpConnection, Error> {
        let entered = async {
            let mut connection = connection?;
            if let (Encryption::StartTls, Some(tls)) = (self.encryption, &self.tls) {
                connection.starttls(tls.clone(), &self.hello).await?;
            }
            if let Some(Login { user, password }) = &self.login {
                let credentials = Credentials::new(user.clone(), password.clone());
                connection.auth(&[Mechanism::Plain, Mechanism::Login], &credentials).await?;
            }
            Ok(connection)
        };
        entered.await.map_err(|e| self.failed(&e))
    }

    async fn transact(
        &self,
        connection: &mut AsyncSmtpConnection,
        from: &Address,
        to: &[Address],
        mail: &[u8],
    ) -> Result<Outcome, smtp::Error> {
        connection.command(Mail::new(Some(from.clone()), Vec::new())).await?;
        let mut outcome = Outcome::default();
        for to in to {
            match connection.command(Rcpt::new(to.clone(), Vec::new())).await {
                Ok(_) => outcome.taken.push(to.clone()),
                Err(e) if e.status().is_some() => outcome.refused.push((to.clone(), self.failed(&e))),
                Err(e) => return Err(e),
            }
        }
        if !outcome.taken.is_empty() {
            connection.command(Data).await?;
            connection.message(mail).await?;
        }
        Ok(outcome)
    }

    /// The beginning of every error.
    pub(super) fn by(&self) -> String {
        format!("cannot send mail by {}:{}", self.host, self.port)
    }

    fn failed(&self, error: &smtp::Error) -> Error {
        let by = self.by();
        let Some(code) = error.status() else {
            let (kind, advice) = if error.is_client() {
                (ErrorKind::Invalid, "; check the server's encryption and login")
            } else {
                (ErrorKind::Unavailable, "")
            };
            let what = self.without_secrets(tls::said(error));
            return Error::new(kind, format!("{by}: {what}{advice}"));
        };
        let said = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
        let said = self.without_secrets(said);
        let (kind, advice) = match u16::from(code) {
            // RFC 5321, 4.2.1: the same may succeed later. Greylisting is 450 or 451.
            400..=499 => (ErrorKind::Unavailable, "try again later"),
            // RFC 4954, 6, and 530 also where STARTTLS is asked for.
            530 | 534 | 535 | 538 => (ErrorKind::Denied, "check the login and the encryption"),
            _ => (ErrorKind::Invalid, "check the addresses and what the server lets us send"),
        };
        Error::new(kind, format!("{by}: it answers {code} {said}; {advice}"))
    }

    /// Some servers repeat what they were sent.
    fn without_secrets(&self, said: String) -> String {
        let said = render::short(&said, REPEATED);
        let Some(Login { user, password }) = &self.login else { return said };
        let plain = STANDARD.encode(format!("\0{user}\0{password}"));
        let secrets = [password.as_str(), &STANDARD.encode(password), &plain];
        // An answer that was shortened may end within one.
        let told = secrets.iter().any(|s| {
            let start = &s[..s.floor_char_boundary(s.len().min(8))];
            !start.is_empty() && said.contains(start)
        });
        if told { "(words that repeat the login)".to_owned() } else { said }
    }
}
