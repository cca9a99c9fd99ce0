//! HTTP/1.1 to one server, for the destinations that speak it.
//!
//! On hyper alone: one server, no redirects, no proxies, no cookies, and a few connections that are used again. Redirects are not
//! followed: what we know of a server, and its password, is for that server only.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, combinators::UnsyncBoxBody};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::Incoming,
    client::conn::http1,
    header::{self, HeaderName, HeaderValue},
};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::JoinSet,
    time::{Instant, timeout},
};
use tokio_rustls::TlsConnector;

pub(crate) use self::{
    address::{Address, Allowed},
    answer::Answer,
    upload::Upload,
    whole::{arrived, hashed, unless_there},
};
use crate::{Error, ErrorKind, Secret, tls};

mod address;
pub(crate) mod answer;
mod get;
mod upload;
mod whole;

/// How we say who we are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Auth {
    #[default]
    None,
    Basic {
        user: String,
        password: Secret,
    },
    Bearer(Secret),
}

/// A server, and connections to it.
#[derive(Clone)]
pub(crate) struct Web {
    pub(crate) name: Arc<str>,
    address: Arc<Address>,
    tls: Option<TlsConnector>,
    headers: HeaderMap,
    patience: Duration,
    idle: Arc<Mutex<Vec<(Connection, Instant)>>>,
}

/// What makes a [`Web`].
pub(crate) struct Settings<'a> {
    pub auth: &'a Auth,
    pub headers: &'a [(String, Secret)],
    pub trust: &'a tls::Trust,
    pub patience: Duration,
}

pub(crate) type Outgoing = UnsyncBoxBody<Bytes, Error>;

struct Connection {
    sender: http1::SendRequest<Outgoing>,
    /// Ends with us.
    _task: JoinSet<()>,
}

/// Shorter than any server keeps a connection that nobody uses.
const FRESH: Duration = Duration::from_secs(4);
/// As many as one machine sends at once: the server ends them when nobody uses them.
const KEPT: usize = 32;

impl Web {
    pub(crate) fn new(name: Arc<str>, address: Address, settings: &Settings<'_>) -> Result<Self, Error> {
        let bad = |what: &str| Error::new(ErrorKind::Invalid, format!("destination `{name}`: {what}"));
        let tls = if address.tls {
            let versions = [&rustls::version::TLS13, &rustls::version::TLS12];
            let mut client = tls::client(&name, settings.trust, &versions)?;
            client.alpn_protocols = vec![b"http/1.1".to_vec()];
            Some(tls::connector(client))
        } else {
            None
        };
        let mut headers = HeaderMap::new();
        for (key, value) in settings.headers {
            let key = HeaderName::try_from(key).map_err(|_| bad("a header's name is none"))?;
            headers.insert(key, secret_value(value.expose()).ok_or_else(|| bad("a header's value is none"))?);
        }
        if let Some(says) = authorization(settings.auth) {
            let value = secret_value(&says).ok_or_else(|| bad("user, password or token cannot be sent"))?;
            headers.insert(header::AUTHORIZATION, value);
        }
        let host = HeaderValue::try_from(address.host_header()).map_err(|_| bad("its host is none"))?;
        headers.insert(header::HOST, host);
        headers.insert(
            header::USER_AGENT,
            HeaderValue::from_static(concat!("videorec/", env!("CARGO_PKG_VERSION"))),
        );
        // The bytes as they are, or they could not be compared.
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let (address, idle) = (Arc::new(address), Arc::default());
        Ok(Self { name, address, tls, headers, patience: settings.patience, idle })
    }

    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// For people.
    pub(crate) fn server(&self) -> String {
        self.address.server.shown()
    }

    /// Asks with no body, or with a few bytes.
    pub(crate) async fn ask(
        &self,
        method: Method,
        target: &str,
        headers: HeaderMap,
        body: &'static str,
    ) -> Result<Answer, Error> {
        let mut headers = headers;
        if !body.is_empty() {
            headers.insert(header::CONTENT_LENGTH, body.len().into());
        }
        let bytes = || Full::new(Bytes::from_static(body.as_bytes())).map_err(|e| match e {}).boxed_unsync();
        let (connection, used) = self.connection().await?;
        let asked = self.exchange(connection, method.clone(), target, headers.clone(), bytes(), None).await;
        match asked {
            // The server was about to end it when we asked. What was moved twice would not be found.
            Err(Failure::Broken(_)) if used && method.as_str() != "MOVE" => {
                let connection = self.connect().await?;
                Ok(self.exchange(connection, method, target, headers, bytes(), None).await?)
            }
            done => Ok(done?),
        }
    }

    /// Sends a file. An error of its source is that error.
    pub(crate) async fn send(
        &self,
        target: &str,
        headers: HeaderMap,
        size: u64,
        body: (Outgoing, Upload),
    ) -> Result<Answer, Error> {
        self.call(Method::PUT, target, headers, size, body).await
    }

    /// What somebody else's client wants, as it stands; `size` of `body`.
    pub(crate) async fn call(
        &self,
        method: Method,
        target: &str,
        mut headers: HeaderMap,
        size: u64,
        (body, upload): (Outgoing, Upload),
    ) -> Result<Answer, Error> {
        headers.insert(header::CONTENT_LENGTH, size.into());
        let (connection, _) = self.connection().await?;
        let done = self.exchange(connection, method, target, headers, body, Some(&upload)).await;
        done.map_err(|e| upload.failure().unwrap_or(e.into()))
    }

    async fn exchange(
        &self,
        mut connection: Connection,
        method: Method,
        target: &str,
        headers: HeaderMap,
        body: Outgoing,
        upload: Option<&Upload>,
    ) -> Result<Answer, Failure> {
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = target.parse().map_err(|_| {
            let message = format!("destination `{}`: its URL and this name make none", self.name);
            Failure::Other(Error::new(ErrorKind::Invalid, message))
        })?;
        request.headers_mut().clone_from(&self.headers);
        request.headers_mut().extend(headers);
        let answered = connection.sender.send_request(request);
        let response = match upload {
            Some(upload) => tokio::select! {
                response = answered => response.map_err(|e| Failure::Broken(self.broken(&e))),
                () = upload.stalls(self.patience) => Err(Failure::Other(self.late())),
            },
            None => match timeout(self.patience, answered).await {
                Ok(response) => response.map_err(|e| Failure::Broken(self.broken(&e))),
                Err(_) => Err(Failure::Other(self.late())),
            },
        };
        Ok(Answer::new(self.clone(), response?, connection))
    }

    /// One that was used before, if there is one; and whether it was.
    async fn connection(&self) -> Result<(Connection, bool), Error> {
        while let Some((connection, since)) = self.pop() {
            if since.elapsed() < FRESH && !connection.sender.is_closed() && connection.sender.is_ready() {
                return Ok((connection, true));
            }
        }
        Ok((self.connect().await?, false))
    }

    async fn connect(&self) -> Result<Connection, Error> {
        let stream = self.address.server.connect(&self.name, self.patience).await?;
        let Some(tls) = &self.tls else { return self.begin(stream).await };
        let name = ServerName::try_from(self.address.server.host.clone()).map_err(|_| {
            let message = format!("destination `{}`: no certificate could name its host", self.name);
            Error::new(ErrorKind::Invalid, message)
        })?;
        let stream = timeout(self.patience, tls.connect(name, stream)).await.map_err(|_| self.late())?;
        self.begin(stream.map_err(|e| tls::failed(&self.name, &self.server(), &e))?).await
    }

    async fn begin<S>(&self, stream: S) -> Result<Connection, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|e| self.broken(&e))?;
        let mut task = JoinSet::new();
        task.spawn(async move {
            // Whoever uses it hears of it.
            let _ = connection.await;
        });
        Ok(Connection { sender, _task: task })
    }

    fn pop(&self) -> Option<(Connection, Instant)> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn keep(&self, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < KEPT && !connection.sender.is_closed() {
            idle.push((connection, Instant::now()));
        }
    }

    fn broken(&self, error: &(dyn std::error::Error + 'static)) -> Error {
        tls::failed(&self.name, &self.server(), error)
    }

    fn late(&self) -> Error {
        self.address.server.unavailable(&self.name, &format!("was silent for {:?}", self.patience))
    }

    /// What an answer that is no yes means. Its words are not repeated: they may hold what nobody is to know.
    pub(crate) fn refused(&self, what: &str, whom: impl fmt::Display, status: StatusCode) -> Error {
        let (kind, hint) = match status.as_u16() {
            401 | 407 => (ErrorKind::Denied, "check the user and password, or the token"),
            403 => (ErrorKind::Denied, "have the partner allow it, or choose another folder"),
            404 | 410 => return Error::not_found(&self.name, whom),
            405 | 501 => {
                (ErrorKind::Unsupported, "the server does not do this: check the URL and what it expects")
            }
            409 => (ErrorKind::Denied, "a part of its path is a file, or a folder is missing: make it there"),
            412 => return Error::exists(&self.name, whom),
            413 => (
                ErrorKind::Denied,
                "it takes no file of this size: have its limit raised, or send a smaller rendition",
            ),
            414 => (ErrorKind::Invalid, "the name is too long for it"),
            507 => return Error::no_space(&self.name, whom),
            300..=399 => (ErrorKind::Invalid, "redirects are not followed: enter the address it leads to"),
            408 | 421 | 423 | 425 | 429 | 500..=599 => (ErrorKind::Unavailable, "try again later"),
            _ => (ErrorKind::Invalid, "check the URL and what it expects"),
        };
        let message = format!(
            "destination `{}`: cannot {what} `{whom}`: {} answers {}; {hint}",
            self.name,
            self.server(),
            status.as_u16()
        );
        Error::new(kind, message)
    }
}

impl fmt::Debug for Web {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Web").field(&self.name).field(&self.server()).finish()
    }
}

enum Failure {
    /// The connection ended before an answer came.
    Broken(Error),
    Other(Error),
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let (Failure::Broken(error) | Failure::Other(error)) = failure;
        error
    }
}

/// A response to a request on a connection of its own.
type Reply = Response<Incoming>;

fn authorization(auth: &Auth) -> Option<String> {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    match auth {
        Auth::None => None,
        Auth::Basic { user, password } => {
            Some(format!("Basic {}", STANDARD.encode(format!("{user}:{}", password.expose()))))
        }
        Auth::Bearer(token) => Some(format!("Bearer {}", token.expose())),
    }
}

fn secret_value(value: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(value).ok()?;
    value.set_sensitive(true);
    Some(value)
}
