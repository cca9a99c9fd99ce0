//! HTTP PUT as a destination: a server that takes files at URLs, or one URL that somebody signed beforehand.
//!
//! - HTTP has no renaming. What takes its place: a server stores what it was sent when it has all of it; and with `verify: hash` our
//!   last bytes stay here until it is known that they are the right ones. So no wrong or partial file shows, as far as the server
//!   keeps to that.
//! - [`Destination::rename`] is a copy through us and a removal.
//! - Any answer of 2xx is a yes. Redirects are not followed.
//! - Every file is sent with its `Content-Digest` (RFC 9530), which a server may compare, and `If-None-Match: *` where nothing is to
//!   be replaced, which a server may heed. What it has is then looked at: by its `Repr-Digest`, else read back.
//! - A cut upload begins anew, and nothing can be listed.

use std::{fmt, ops::Range, sync::Arc, time::Duration};

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use domain::Timestamp;
use futures::StreamExt as _;
use hyper::{
    HeaderMap, Method, StatusCode,
    header::{self, HeaderName, HeaderValue},
};

use crate::{
    Algorithm, Body, Checksum, Destination, Error, ErrorKind, Health, Limits, Listing, Meta, Name, Put,
    Secret, Sent, Source, Verify,
    names::Rules,
    put,
    web::{Address, Allowed, Answer, Settings, Upload, Web, arrived, hashed, unless_there},
};
pub use crate::{tls::Trust, web::Auth};

#[cfg(test)]
mod tests;

/// URLs that take files; see the module.
#[derive(Clone)]
pub struct Http {
    web: Web,
    options: Arc<Options>,
}

/// Where files are put and what the server can do.
#[derive(Debug, Clone)]
pub struct Options {
    /// `https://host/folder`, and perhaps a query, which goes with every request. It may be a secret as a whole.
    pub url: Secret,
    /// The URL is one file's: it was signed for that, and nothing is put behind it.
    pub exact: bool,
    pub auth: Auth,
    /// Sent with every request: what some services ask for.
    pub headers: Vec<(String, Secret)>,
    pub trust: Trust,
    /// Whether the server shows what it has. Where it only takes files, nothing can be verified, nor be known to be there already.
    pub reads: bool,
    pub names: Rules,
    /// Addresses that the internet does not have are allowed too.
    pub private: bool,
    /// Unencrypted to other machines too, passwords included.
    pub plain: bool,
    /// How long the server may be silent while it is asked something, or take nothing.
    pub patience: Duration,
}

impl Options {
    pub fn new(url: impl Into<Secret>) -> Self {
        Self {
            url: url.into(),
            exact: false,
            auth: Auth::None,
            headers: Vec::new(),
            trust: Trust::default(),
            reads: true,
            names: Rules::unix(),
            private: false,
            plain: false,
            patience: Duration::from_secs(60),
        }
    }
}

const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");
const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");
const WANT_REPR_DIGEST: HeaderName = HeaderName::from_static("want-repr-digest");

impl Http {
    /// Connects when it is first asked for something. Errors: `Invalid` for URLs and certificates that are none.
    pub fn new(name: impl Into<String>, options: Options) -> Result<Self, Error> {
        let name: Arc<str> = name.into().into();
        let allowed = Allowed { private: options.private, plain: options.plain };
        let address = Address::parse(&name, options.url.expose(), allowed)?;
        let Options { auth, headers, trust, patience, .. } = &options;
        let web = Web::new(name, address, &Settings { auth, headers, trust, patience: *patience })?;
        Ok(Self { web, options: Arc::new(options) })
    }

    fn target(&self, name: &Name) -> Result<String, Error> {
        let address = self.web.address();
        if !self.options.exact {
            return Ok(address.target_of(name));
        }
        let last = address.path.rsplit('/').next().unwrap_or_default();
        let last = percent_encoding::percent_decode_str(last).decode_utf8_lossy();
        if last != name.file() {
            let message = format!(
                "destination `{}`: its URL was signed for another file than `{name}`: have one signed for this",
                self.web.name
            );
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        Ok(format!("{}{}", address.path, address.query))
    }

    fn blind(&self, what: &str) -> Error {
        Error::unsupported(
            &self.web.name,
            &format!("{what}: it only takes files; set `reads: true` if it shows them, or `verify: none`"),
        )
    }

    /// `None`: there is no such file.
    async fn head(&self, name: &Name, headers: HeaderMap) -> Result<Option<Answer>, Error> {
        if !self.options.reads {
            return Ok(None);
        }
        let target = self.target(name)?;
        let answer = self.web.ask(Method::HEAD, &target, headers, "").await?;
        match answer.status() {
            StatusCode::OK | StatusCode::NO_CONTENT => Ok(Some(answer)),
            StatusCode::NOT_FOUND | StatusCode::GONE => {
                answer.done().await;
                Ok(None)
            }
            _ if answer.leads_into_folder(&target) => {
                answer.done().await;
                Ok(None)
            }
            _ => Err(self.web.refused("look at", name, answer.done().await)),
        }
    }

    async fn upload(&self, name: &Name, body: Body, put: &Put) -> Result<u64, Error> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        headers.insert(CONTENT_DIGEST, digest_header(put));
        if !put.replace {
            headers.insert(header::IF_NONE_MATCH, HeaderValue::from_static("*"));
        }
        let size = put.expected.size;
        let (body, upload) = Upload::of(body, size, name);
        let answer = self.web.send(&self.target(name)?, headers, size, (body, upload.clone())).await?;
        let status = answer.done().await;
        if status.is_success() { Ok(upload.sent()) } else { Err(self.web.refused("take", name, status)) }
    }
}

fn digest_header(put: &Put) -> HeaderValue {
    let hex = put.expected.sha256.to_string();
    let bytes: Vec<u8> =
        (0..hex.len()).step_by(2).filter_map(|i| u8::from_str_radix(hex.get(i..i + 2)?, 16).ok()).collect();
    let text = format!("sha-256=:{}:", STANDARD.encode(bytes));
    HeaderValue::try_from(text).unwrap_or_else(|_| unreachable!("base64"))
}

/// The SHA-256 in a digest header of RFC 9530: `sha-512=:…:, sha-256=:…:`.
fn sha256_of(header: &str) -> Option<Checksum> {
    let value =
        header.split(',').find_map(|part| part.trim().strip_prefix("sha-256=:")?.strip_suffix(':'))?;
    let hex: String = STANDARD.decode(value).ok()?.iter().map(|b| format!("{b:02x}")).collect();
    Checksum::parse(Algorithm::Sha256, &hex)
}

#[async_trait]
impl Destination for Http {
    fn name(&self) -> &str {
        &self.web.name
    }

    fn limits(&self) -> Limits {
        Limits {
            names: self.options.names.clone(),
            max_size: None,
            resumes: false,
            lists: false,
            keeps_times: false,
            refuses_to_replace: false,
            hashes: if self.options.reads { vec![Algorithm::Sha256] } else { Vec::new() },
        }
    }

    async fn stat(&self, name: &Name) -> Result<Option<Meta>, Error> {
        let Some(answer) = self.head(name, HeaderMap::new()).await? else { return Ok(None) };
        let modified = answer.modified();
        let Some(size) = answer.length() else {
            return Err(Error::unsupported(
                &self.web.name,
                "tell a file's size: set `reads: false` for this destination, and `verify: none`",
            ));
        };
        answer.done().await;
        Ok(Some(Meta { name: name.clone(), size, modified, hash: None }))
    }

    async fn put(&self, name: &Name, source: &dyn Source, put: &Put) -> Result<Sent, Error> {
        put::check_source(&self.web.name, name, source, put)?;
        if !self.options.reads && put.verify != Verify::None {
            return Err(self.blind("be asked what arrived"));
        }
        unless_there(self, name, put).await?;
        let mut body = source.read_from(0).await?;
        // Where nobody asks for it, the size has to do: a request that lacks bytes is none.
        if put.verify == Verify::Hash {
            body = hashed(body, name, put);
        }
        let bytes = self.upload(name, body, put).await?;
        arrived(self, name, source, put, bytes).await
    }

    async fn get(&self, name: &Name, range: Option<Range<u64>>) -> Result<Body, Error> {
        if !self.options.reads {
            return Err(self.blind("be read from"));
        }
        self.web.get(&self.target(name)?, name, range).await
    }

    fn list<'a>(&'a self, _: Option<&Name>) -> Listing<'a> {
        let error = Error::unsupported(
            &self.web.name,
            "list its files: HTTP has no listing; use WebDAV if it has that",
        );
        futures::stream::iter([Err(error)]).boxed()
    }

    async fn remove(&self, name: &Name) -> Result<(), Error> {
        let target = self.target(name)?;
        let status = self.web.ask(Method::DELETE, &target, HeaderMap::new(), "").await?.done().await;
        match status {
            StatusCode::NOT_FOUND | StatusCode::GONE => Ok(()),
            // Below what is a file.
            StatusCode::CONFLICT if self.options.reads && self.stat(name).await?.is_none() => Ok(()),
            status if status.is_success() => Ok(()),
            status => Err(self.web.refused("remove", name, status)),
        }
    }

    /// Servers make folders when something is put into them, or have none.
    async fn mkdirs(&self, _: &Name) -> Result<(), Error> {
        Ok(())
    }

    async fn rename(&self, from: &Name, to: &Name, replace: bool) -> Result<(), Error> {
        let Some(found) = self.stat(from).await? else { return Err(Error::not_found(&self.web.name, from)) };
        if !replace && self.stat(to).await?.is_some() {
            return Err(Error::exists(&self.web.name, to));
        }
        let (body, upload) = Upload::of(self.get(from, None).await?, found.size, from);
        let target = self.target(to)?;
        let status = self.web.send(&target, HeaderMap::new(), found.size, (body, upload)).await?.done().await;
        if !status.is_success() {
            return Err(self.web.refused("rename", to, status));
        }
        if self.stat(to).await?.is_none_or(|copy| copy.size != found.size) {
            return Err(put::vanished(&self.web.name, to));
        }
        self.remove(from).await
    }

    async fn hash(&self, name: &Name) -> Result<Option<Checksum>, Error> {
        let mut headers = HeaderMap::new();
        headers.insert(WANT_REPR_DIGEST, HeaderValue::from_static("sha-256=10"));
        let Some(answer) = self.head(name, headers).await? else { return Ok(None) };
        let found = answer.text(REPR_DIGEST).and_then(sha256_of);
        answer.done().await;
        Ok(found)
    }

    /// There are no partial files.
    async fn sweep(&self, _: Option<&Name>, _: Timestamp) -> Result<u64, Error> {
        Ok(0)
    }

    /// Whether the server can be reached and knows us. That it takes files shows only when it is given one: HTTP has no way to try.
    async fn check(&self) -> Result<Health, Error> {
        let address = self.web.address();
        let target =
            format!("{}{}{}", address.path, if self.options.exact { "" } else { "/" }, address.query);
        let status = self.web.ask(Method::HEAD, &target, HeaderMap::new(), "").await?.done().await;
        match status.as_u16() {
            // A URL for PUT alone answers anything else to anything else.
            401 | 407 | 408 | 421 | 429 | 500..=599 => Err(self.web.refused("look at", "its folder", status)),
            403 if self.options.reads => Ok(Health::default()),
            300..=399 => Err(self.web.refused("look at", "its folder", status)),
            _ => Ok(Health::default()),
        }
    }
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").field("web", &self.web).field("options", &self.options).finish()
    }
}
