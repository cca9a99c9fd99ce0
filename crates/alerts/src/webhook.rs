use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use domain::{Alert, Clock};
use http_body_util::Full;
use hyper::{Request, StatusCode, body::Bytes, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use crate::{
    Error, ErrorKind, Notify,
    digest::Digest,
    id::{self, NewsId},
    render, tls,
};
use sign::Secret;
use target::Target;

mod authorities;
mod sign;
mod target;

/// Posts every alert as JSON to a URL, signed as Standard Webhooks asks (`webhook-id`, `webhook-timestamp`,
/// `webhook-signature`), so that whoever gets it can prove that it is ours and new.
///
/// The body is the [`Alert`] itself, as subscribers of a topic get it; a daily digest is a [`Digest`]. Any answer of 2xx
/// is a yes. Redirects are not followed: what a signature was made for goes nowhere else.
pub struct Webhook {
    target: Target,
    secrets: Vec<Secret>,
    tls: Option<TlsConnector>,
    clock: Arc<dyn Clock>,
    patience: Duration,
}

/// For all of one attempt, looking up the name included.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a [`Webhook`] is made of; see [`Webhook::builder`].
pub struct WebhookBuilder {
    url: String,
    secrets: Vec<String>,
    clock: Arc<dyn Clock>,
    patience: Duration,
    authorities: Vec<u8>,
    http: bool,
    private: bool,
}

impl Webhook {
    /// `secret`: `whsec_` and base64. `clock`: receivers refuse signatures of another time.
    pub fn builder(
        url: impl Into<String>,
        secret: impl Into<String>,
        clock: Arc<dyn Clock>,
    ) -> WebhookBuilder {
        WebhookBuilder {
            url: url.into(),
            secrets: vec![secret.into()],
            clock,
            patience: PATIENCE,
            authorities: Vec::new(),
            http: false,
            private: false,
        }
    }

    async fn post(&self, id: NewsId, json: String) -> Result<(), Error> {
        let late = |_| {
            let what = format!("{}: no answer within {:?}", self.target.failed(), self.patience);
            Error::new(ErrorKind::Unavailable, what)
        };
        let status = timeout(self.patience, self.attempt(id, json.into())).await.map_err(late)??;
        answered(&self.target, status)
    }

    async fn attempt(&self, id: NewsId, body: Bytes) -> Result<StatusCode, Error> {
        let mut request = Request::post(&self.target.path)
            .header(header::HOST, self.target.authority())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, concat!("videorec/", env!("CARGO_PKG_VERSION")))
            .header(header::CONNECTION, "close");
        let signed = sign::headers(&self.secrets, &format!("msg_{id}"), self.clock.now(), &body);
        for (name, value) in signed {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(body)).expect("a path that was parsed and names of ours");
        let stream = self.target.connect().await?;
        let Some(tls) = &self.tls else { return self.exchange(stream, request).await };
        let name = ServerName::try_from(self.target.host.clone()).map_err(|_| {
            let what = format!("{}: no certificate could name that host", self.target.failed());
            Error::new(ErrorKind::Invalid, what)
        })?;
        let stream = tls.connect(name, stream).await.map_err(|e| self.broken(&e))?;
        self.exchange(stream, request).await
    }

    async fn exchange<S>(&self, stream: S, request: Request<Full<Bytes>>) -> Result<StatusCode, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (mut post, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|e| self.broken(&e))?;
        // Ends with this call, also when nobody waits for it any more.
        let mut connections = JoinSet::new();
        connections.spawn(connection);
        Ok(post.send_request(request).await.map_err(|e| self.broken(&e))?.status())
    }

    fn broken(&self, error: &(dyn std::error::Error + 'static)) -> Error {
        Error::new(ErrorKind::Unavailable, format!("{}: {}", self.target.failed(), tls::said(error)))
    }
}

/// The answer's words are not repeated: many servers put the path into them, and the path may be the secret.
fn answered(target: &Target, status: StatusCode) -> Result<(), Error> {
    let (kind, advice) = match status.as_u16() {
        200..=299 => return Ok(()),
        401 | 403 | 407 => (ErrorKind::Denied, "check the secret and who may post there"),
        408 | 421 | 425 | 429 | 500..=599 => (ErrorKind::Unavailable, "try again later"),
        300..=399 => (ErrorKind::Invalid, "redirects are not followed; enter the address it leads to"),
        410 => (ErrorKind::Invalid, "nobody wants it any more; remove this webhook"),
        _ => (ErrorKind::Invalid, "check the URL and what it expects"),
    };
    Err(Error::new(kind, format!("{}: it answers {status}; {advice}", target.failed())))
}

impl WebhookBuilder {
    /// While a secret is replaced both sign: receivers may know either.
    pub fn and_secret(mut self, secret: impl Into<String>) -> Self {
        self.secrets.push(secret.into());
        self
    }

    /// For all of one attempt; 10 seconds if not said.
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

    /// Plain HTTP to other machines too: whoever is on the way can read the alerts.
    pub fn allow_http(mut self) -> Self {
        self.http = true;
        self
    }

    /// Addresses that are not of the internet: of a company's network, or of a cloud's metadata service.
    pub fn allow_private(mut self) -> Self {
        self.private = true;
        self
    }

    /// Asks nothing yet.
    pub fn build(self) -> Result<Webhook, Error> {
        let target = Target::parse(&self.url, self.http, self.private)?;
        let secrets = self.secrets.iter().map(|s| Secret::parse(s)).collect::<Result<_, _>>()?;
        let tls =
            target.tls.then(|| authorities::client(&self.authorities)).transpose()?.map(TlsConnector::from);
        Ok(Webhook { target, secrets, tls, clock: self.clock, patience: self.patience })
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Webhook").field(&self.target.name()).finish()
    }
}

/// Before it is parsed nobody knows which part of a URL is a secret.
impl fmt::Debug for WebhookBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookBuilder").finish_non_exhaustive()
    }
}

#[async_trait]
impl Notify for Webhook {
    async fn tell(&self, alert: &Alert) -> Result<(), Error> {
        self.post(id::of(alert), render::json(&render::tame(alert))).await
    }

    async fn digest(&self, digest: &Digest) -> Result<(), Error> {
        self.post(id::of(&digest.as_alert()), digest.json()).await
    }
}
