use std::{
    collections::HashMap,
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use http_body_util::BodyExt as _;
use hyper::body::{Body as HttpBody, Frame};
use object_store::{
    ClientOptions,
    client::{
        HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody,
        HttpService,
    },
};

use crate::{
    Body, Error, ErrorKind, Name,
    tls::Trust,
    web::{Address, Allowed, Auth, Settings, Upload, Web},
};

/// The HTTP of this room for the library's requests: the same trust, the same addresses, the same patience. A service may have
/// its tokens from another server than its objects, hence several.
#[derive(Clone)]
pub(super) struct Client {
    name: Arc<str>,
    trust: Trust,
    allowed: Allowed,
    patience: Duration,
    servers: Arc<Mutex<HashMap<String, Web>>>,
}

impl Client {
    pub(super) fn new(name: Arc<str>, trust: Trust, allowed: Allowed, patience: Duration) -> Self {
        Self { name, trust, allowed, patience, servers: Arc::default() }
    }

    fn server(&self, origin: &str) -> Result<Web, Error> {
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(web) = servers.get(origin) {
            return Ok(web.clone());
        }
        let address = Address::parse(&self.name, origin, self.allowed)?;
        let settings =
            Settings { auth: &Auth::None, headers: &[], trust: &self.trust, patience: self.patience };
        let web = Web::new(self.name.clone(), address, &settings)?;
        servers.insert(origin.to_owned(), web.clone());
        Ok(web)
    }

    async fn exchange(&self, request: HttpRequest) -> Result<HttpResponse, Error> {
        let (parts, body) = request.into_parts();
        let origin = match (parts.uri.scheme_str(), parts.uri.authority()) {
            (Some(scheme), Some(authority)) => format!("{scheme}://{authority}"),
            _ => String::new(),
        };
        let web = self.server(&origin)?;
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
        let size = body.content_length() as u64;
        let own = |e: HttpError| Error::new(ErrorKind::Other, e.to_string());
        let chunks = body.into_data_stream().map_err(own).boxed();
        let body = Upload::of(chunks, size, &Name::parse("object").unwrap_or_else(|e| unreachable!("{e}")));
        let answer = web.call(parts.method, target, parts.headers, size, body).await?;
        let mut response = hyper::Response::new(());
        *response.status_mut() = answer.status();
        response.headers_mut().clone_from(answer.headers());
        let body = HttpResponseBody::new(Answered(Mutex::new(answer.body(0, u64::MAX))));
        Ok(response.map(|()| body))
    }
}

#[async_trait]
impl HttpService for Client {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        self.exchange(request).await.map_err(failed)
    }
}

impl HttpConnector for Client {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Client").field(&self.name).finish()
    }
}

fn failed(error: Error) -> HttpError {
    HttpError::new(HttpErrorKind::Request, error)
}

/// An answer's bytes. What is never shared needs no lock; the library asks that it could be.
struct Answered(Mutex<Body>);

impl HttpBody for Answered {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let body = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        body.poll_next_unpin(cx).map(|next| next.map(|chunk| chunk.map(Frame::data).map_err(failed)))
    }
}
