use std::{fmt, time::Duration};

use async_trait::async_trait;
use domain::{Alert, Timestamp};
use lettre::{
    Address,
    message::Mailbox,
    transport::smtp::{
        client::{Certificate, TlsParameters},
        extension::ClientId,
    },
};
use tokio::time::timeout;

use crate::{
    Error, ErrorKind, Notify,
    digest::Digest,
    id::{self, NewsId},
    render,
    told::Told,
};
use message::Draft;
pub use session::Encryption;
use session::{Login, Server};

mod lines;
mod message;
mod session;

/// Sends every alert as a mail in plain text, by an SMTP server.
///
/// A recipient whom the server refuses keeps nobody else from being told, and when it is tried again those who were told
/// get no second mail. The same alert always has the same `Message-ID`, and alerts of one key form a thread.
pub struct Email {
    server: Server,
    from: Mailbox,
    to: Vec<Mailbox>,
    patience: Duration,
    told: Told<(NewsId, Address)>,
}

/// For all of one attempt. Servers that know us little answer slowly on purpose.
const PATIENCE: Duration = Duration::from_secs(30);
/// For more, a mailing list does it better; and of so many `Told` remembers who was told of all that is undelivered.
const RECIPIENTS: usize = 20;

/// What an [`Email`] is made of; see [`Email::builder`].
pub struct EmailBuilder {
    host: String,
    port: Option<u16>,
    encryption: Encryption,
    from: String,
    to: Vec<String>,
    login: Option<Login>,
    hello: Option<String>,
    patience: Duration,
    authorities: Vec<u8>,
}

impl Email {
    /// `host`: the server's name, as its certificate has it. `from`: `alerts@example.com`, or with a name
    /// `videorec <alerts@example.com>`.
    pub fn builder(host: impl Into<String>, from: impl Into<String>) -> EmailBuilder {
        EmailBuilder {
            host: host.into(),
            port: None,
            encryption: Encryption::default(),
            from: from.into(),
            to: Vec::new(),
            login: None,
            hello: None,
            patience: PATIENCE,
            authorities: Vec::new(),
        }
    }

    async fn send(
        &self,
        id: NewsId,
        thread: Option<NewsId>,
        at: Timestamp,
        subject: &str,
        text: String,
    ) -> Result<(), Error> {
        let left: Vec<Address> = self.to.iter().map(|to| to.email.clone()).collect();
        let left: Vec<_> = left.into_iter().filter(|to| !self.told.holds(&(id, to.clone()))).collect();
        if left.is_empty() {
            return Ok(());
        }
        let mail = Draft { from: &self.from, to: &self.to, subject, text, at, id, thread }.write()?;
        let sending = self.server.send(&self.from.email, &left, &mail);
        let outcome = timeout(self.patience, sending).await.map_err(|_| {
            let what = format!("{}: not done within {:?}", self.server.by(), self.patience);
            Error::new(ErrorKind::Unavailable, what)
        })??;
        for to in outcome.taken {
            self.told.add((id, to));
        }
        let Some((_, first)) = outcome.refused.first() else { return Ok(()) };
        // While waiting helps one of them it is worth it: the others are not asked again.
        let kind = outcome.refused.iter().map(|(_, e)| e).find(|e| e.is_temporary()).unwrap_or(first).kind();
        let refused: Vec<_> = outcome.refused.iter().map(|(to, e)| format!("{to}: {e}")).collect();
        let what =
            format!("{} of {} recipients get no mail: {}", refused.len(), self.to.len(), refused.join("; "));
        Err(Error::new(kind, what))
    }
}

impl EmailBuilder {
    /// One more recipient.
    pub fn to(mut self, address: impl Into<String>) -> Self {
        self.to.push(address.into());
        self
    }

    /// [`Encryption::Implicit`] if not said.
    pub fn encryption(mut self, encryption: Encryption) -> Self {
        self.encryption = encryption;
        self
    }

    /// The encryption's own if not said: 465, 587 or 25.
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    pub fn login(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.login = Some(Login { user: user.into(), password: password.into() });
        self
    }

    /// What we call ourselves to the server; some look it up.
    pub fn hello(mut self, name: impl Into<String>) -> Self {
        self.hello = Some(name.into());
        self
    }

    /// For all of one attempt; 30 seconds if not said.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Certificate authorities (PEM) to believe besides the machine's.
    pub fn trust(mut self, pem: impl AsRef<[u8]>) -> Self {
        self.authorities.extend_from_slice(pem.as_ref());
        self.authorities.push(b'\n');
        self
    }

    /// Asks nothing yet.
    pub fn build(self) -> Result<Email, Error> {
        let bad = |what: String| Error::new(ErrorKind::Invalid, what);
        let plain = self.encryption == Encryption::Plain;
        if plain && !is_loopback(&self.host) {
            return Err(bad(format!(
                "mail by {} would not be encrypted: use STARTTLS or implicit TLS",
                render::short(&self.host, 100)
            )));
        }
        let name = |text: &str| !text.is_empty() && !text.contains(|c: char| c.is_control() || c == ' ');
        if !name(&self.host) || self.hello.as_ref().is_some_and(|hello| !name(hello)) {
            return Err(bad("the mail server's name or ours to it is none".to_owned()));
        }
        if self.to.is_empty() || self.to.len() > RECIPIENTS {
            return Err(bad(format!(
                "mail goes to 1 to {RECIPIENTS} recipients; use a mailing list for more"
            )));
        }
        let tls = (!plain).then(|| tls(&self.host, &self.authorities)).transpose()?;
        let port = self.port.unwrap_or(match self.encryption {
            Encryption::Implicit => 465,
            Encryption::StartTls => 587,
            Encryption::Plain => 25,
        });
        let hello = self.hello.map_or_else(ClientId::default, ClientId::Domain);
        let server =
            Server { host: self.host, port, encryption: self.encryption, tls, login: self.login, hello };
        let to = self.to.iter().map(|to| mailbox(to)).collect::<Result<_, _>>()?;
        Ok(Email { server, from: mailbox(&self.from)?, to, patience: self.patience, told: Told::default() })
    }
}

fn mailbox(text: &str) -> Result<Mailbox, Error> {
    let bad = |what: &str| {
        Error::new(ErrorKind::Invalid, format!("`{}` is no mail address{what}", render::short(text, 100)))
    };
    if text.contains(char::is_control) {
        return Err(bad(""));
    }
    let mailbox: Mailbox = text.trim().parse().map_err(|_| bad(""))?;
    // Few servers take others (SMTPUTF8), and those that do not say so only when it is urgent.
    if !mailbox.email.to_string().is_ascii() {
        return Err(bad(" that every server takes: write its domain in the form xn--..."));
    }
    Ok(mailbox)
}

fn tls(host: &str, authorities: &[u8]) -> Result<TlsParameters, Error> {
    let bad = |what: String| Error::new(ErrorKind::Invalid, what);
    let mut parameters = TlsParameters::builder(host.to_owned());
    if !authorities.trim_ascii().is_empty() {
        let trusted = Certificate::from_pem(authorities)
            .map_err(|_| bad("the certificates to trust are not PEM".to_owned()))?;
        parameters = parameters.add_root_certificate(trusted);
    }
    parameters.build().map_err(|e| bad(format!("TLS to {host}: {e}")))
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|a| a.is_loopback())
}

impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let to: Vec<_> = self.to.iter().map(|to| to.email.to_string()).collect();
        f.debug_struct("Email")
            .field("server", &format_args!("{}:{}", self.server.host, self.server.port))
            .field("encryption", &self.server.encryption)
            .field("to", &to)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for EmailBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmailBuilder").field("host", &self.host).field("to", &self.to).finish_non_exhaustive()
    }
}

#[async_trait]
impl Notify for Email {
    async fn tell(&self, alert: &Alert) -> Result<(), Error> {
        let (id, thread) = (id::of(alert), id::thread(alert));
        let alert = render::tame(alert);
        let subject = format!("[{}] {}", alert.severity.as_str(), alert.subject);
        self.send(id, Some(thread), alert.at, &subject, render::text(&alert)).await
    }

    async fn digest(&self, digest: &Digest) -> Result<(), Error> {
        let news = digest.as_alert();
        self.send(id::of(&news), None, digest.until, &digest.subject(), digest.text()).await
    }
}
