//! Google Cloud Storage and Azure Blob Storage as destinations, through `object_store`, over this room's own HTTP.
//!
//! - Nothing shows before the request that ends an upload; it takes the place of renaming. What is to be sent is hashed on the
//!   way, and the last part is held back until it is known to be the right one.
//! - A file of one part is never written over another that is not to be replaced; of a larger one that is looked at before it is
//!   sent: [`Limits::refuses_to_replace`] says no.
//! - Neither tells a hash that we could compare: `verify: hash` reads the file back.
//! - An upload that was cut begins anew. What it left goes by itself on Azure, after a week; on Google by a lifecycle rule
//!   (`AbortIncompleteMultipartUpload`).

use std::{fmt, ops::Range, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::BytesMut;
use domain::Timestamp;
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::{
    CopyMode, CopyOptions, GetOptions, GetRange, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt as _, PutMode, PutOptions, RetryConfig, azure::MicrosoftAzureBuilder,
    gcp::GoogleCloudStorageBuilder, path::Path,
};
use tokio::task::{JoinError, JoinSet};

use self::client::Client;
pub use crate::tls::Trust;
use crate::{
    Body, CHUNK, Destination, Error, ErrorKind, Health, Limits, Listing, Meta, Name, Put, Secret, Sent,
    Source, inert,
    names::Rules,
    put,
    web::{Allowed, arrived, hashed, unless_there},
};

mod client;
#[cfg(test)]
mod tests;

/// A bucket or a container as a destination; see the module.
#[derive(Clone)]
pub struct Objects {
    name: Arc<str>,
    store: Arc<dyn ObjectStore>,
    /// What its folder is called; empty or ending in `/`.
    prefix: String,
    /// Bytes of the largest file, and parts of one.
    most: (u64, u64),
}

/// How a service is reached.
#[derive(Debug, Clone, Default)]
pub struct Reach {
    /// Another server than the service's own: an emulator, or a cloud of one's own. With Azure it includes the account.
    pub endpoint: Option<String>,
    pub trust: Trust,
    /// Addresses that the internet does not have are meant.
    pub private: bool,
    /// Unencrypted is meant.
    pub plain: bool,
}

/// What opens an Azure storage account.
#[derive(Debug, Clone)]
pub enum AzureKey {
    /// One of the account's two keys, in base64.
    Account(Secret),
    /// The query of a shared access signature: `sv=...&sig=...`.
    Signature(Secret),
}

/// Who asks a Google bucket.
#[derive(Debug, Clone)]
pub enum GoogleKey {
    /// A service account's key, as the JSON that Google makes of it.
    Account(Secret),
    /// An access token, for as long as it holds.
    Token(Secret),
}

impl Objects {
    /// A container of an Azure storage account. Errors: `Invalid`.
    pub fn azure(
        name: impl Into<Arc<str>>,
        account: &str,
        container: &str,
        prefix: &str,
        key: &AzureKey,
        reach: &Reach,
    ) -> Result<Self, Error> {
        let name = name.into();
        let mut builder = MicrosoftAzureBuilder::new()
            .with_account(account)
            .with_container_name(container)
            .with_allow_http(true)
            .with_retry(once())
            .with_http_connector(client(&name, reach));
        if let Some(endpoint) = &reach.endpoint {
            builder = builder.with_endpoint(endpoint.clone());
        }
        builder = match key {
            AzureKey::Account(key) => builder.with_access_key(key.expose()),
            AzureKey::Signature(query) => builder.with_sas_authorization(pairs(query.expose())),
        };
        let store = builder.build().map_err(|_| unusable(&name, "its account, container or key is none"))?;
        Ok(Self::over(name, Arc::new(store), prefix, (190 << 40, 50_000)))
    }

    /// A bucket of Google Cloud Storage. Errors: `Invalid`.
    pub fn google(
        name: impl Into<Arc<str>>,
        bucket: &str,
        prefix: &str,
        key: &GoogleKey,
        reach: &Reach,
    ) -> Result<Self, Error> {
        let name = name.into();
        let mut builder = GoogleCloudStorageBuilder::new()
            .with_bucket_name(bucket)
            .with_retry(once())
            .with_http_connector(client(&name, reach));
        if let Some(endpoint) = &reach.endpoint {
            builder = builder.with_base_url(endpoint);
        }
        builder = match key {
            GoogleKey::Account(key) => builder.with_service_account_key(key.expose()),
            GoogleKey::Token(token) => builder.with_bearer_token(token.expose()),
        };
        let store = builder
            .build()
            .map_err(|_| unusable(&name, "its bucket, or its service account's key (JSON), is none"))?;
        Ok(Self::over(name, Arc::new(store), prefix, (5 << 40, 10_000)))
    }

    fn over(name: Arc<str>, store: Arc<dyn ObjectStore>, prefix: &str, most: (u64, u64)) -> Self {
        let prefix = prefix.trim_matches('/');
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        Self { name, store, prefix, most }
    }

    fn path(&self, name: &Name) -> Result<Path, Error> {
        Path::parse(format!("{}{}", self.prefix, name.as_str())).map_err(|_| {
            Error::new(
                ErrorKind::Invalid,
                format!("destination `{}`: `{name}` is no object's name there", self.name),
            )
        })
    }

    fn meta(&self, found: &ObjectMeta) -> Option<Meta> {
        let name = Name::parse(found.location.as_ref().strip_prefix(&self.prefix)?).ok()?;
        let modified = Some(Timestamp(found.last_modified.timestamp_millis()));
        Some(Meta { name, size: found.size, modified, hash: None })
    }

    async fn upload(&self, path: &Path, mut body: Body, put: &Put) -> Result<u64, Error> {
        let size = put.expected.size;
        let part = PART.max(size.div_ceil(self.most.1 - 1));
        if size <= part {
            let mut whole = BytesMut::with_capacity(size as usize);
            while let Some(chunk) = body.try_next().await? {
                whole.extend_from_slice(&chunk);
            }
            let mode = if put.replace { PutMode::Overwrite } else { PutMode::Create };
            let options = PutOptions { mode, ..PutOptions::default() };
            return match self.store.put_opts(path, whole.freeze().into(), options).await {
                Ok(_) => Ok(size),
                Err(e) => Err(self.failed("take", path, &e)),
            };
        }
        let mut upload = self.store.put_multipart(path).await.map_err(|e| self.failed("take", path, &e))?;
        match self.parts(path, &mut *upload, &mut body, part as usize).await {
            Ok(()) => match upload.complete().await {
                Ok(_) => Ok(size),
                Err(e) => Err(self.failed("complete", path, &e)),
            },
            Err(e) => {
                // What is left of it goes by the service's own rules.
                if let Err(left) = upload.abort().await {
                    tracing::debug!(destination = &*self.name, error = %left, "an upload was not given up");
                }
                Err(e)
            }
        }
    }

    /// Several parts at once, as far as they fit into memory.
    async fn parts(
        &self,
        path: &Path,
        upload: &mut dyn MultipartUpload,
        body: &mut Body,
        part: usize,
    ) -> Result<(), Error> {
        let at_once = (HELD / part).clamp(1, 4);
        // They end with us, however that is.
        let mut under_way = JoinSet::new();
        let mut held = BytesMut::new();
        let done = |done: Option<Result<object_store::Result<()>, JoinError>>| match done {
            Some(Ok(Err(e))) => Err(self.failed("take", path, &e)),
            Some(Err(e)) => Err(Error::new(ErrorKind::Other, format!("destination `{}`: {e}", self.name))),
            _ => Ok(()),
        };
        while let Some(chunk) = body.try_next().await? {
            held.extend_from_slice(&chunk);
            while held.len() >= part {
                if under_way.len() >= at_once {
                    done(under_way.join_next().await)?;
                }
                under_way.spawn(upload.put_part(held.split_to(part).freeze().into()));
            }
        }
        if !held.is_empty() {
            under_way.spawn(upload.put_part(held.freeze().into()));
        }
        while let Some(part) = under_way.join_next().await {
            done(Some(part))?;
        }
        Ok(())
    }

    /// What the library says, as what a caller can act upon. Its words may hold addresses with signatures in them: none of those
    /// is repeated.
    fn failed(&self, what: &str, whom: impl fmt::Display, error: &object_store::Error) -> Error {
        use object_store::Error as From;
        // Our own HTTP's, on its way through the library.
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
        while let Some(e) = cause {
            if let Some(ours) = e.downcast_ref::<Error>() {
                return ours.clone();
            }
            cause = e.source();
        }
        let whom = whom.to_string();
        let whom = inert(&whom);
        let (kind, hint) = match error {
            From::NotFound { .. } => return Error::not_found(&self.name, whom),
            From::AlreadyExists { .. } | From::Precondition { .. } => return Error::exists(&self.name, whom),
            From::PermissionDenied { .. } => (ErrorKind::Denied, "have its owner allow it"),
            From::Unauthenticated { .. } => (ErrorKind::Denied, "check the account and its key"),
            From::InvalidPath { .. } => (ErrorKind::Invalid, "choose another name"),
            From::NotSupported { .. } | From::NotImplemented { .. } => {
                (ErrorKind::Unsupported, "the service does not do this")
            }
            _ => (ErrorKind::Unavailable, "try again later"),
        };
        let message = format!(
            "destination `{}`: cannot {what} `{whom}`: {}; {hint}",
            self.name,
            without_addresses(&innermost(error))
        );
        Error::new(kind, message)
    }
}

/// Bytes of a part, unless there would be too many.
const PART: u64 = 8 << 20;
/// Bytes of parts in memory at once.
const HELD: usize = 32 << 20;

/// Whoever calls tries again, and knows when.
fn once() -> RetryConfig {
    RetryConfig { max_retries: 0, retry_timeout: Duration::from_secs(300), ..RetryConfig::default() }
}

fn client(name: &Arc<str>, reach: &Reach) -> Client {
    let allowed = Allowed { private: reach.private, plain: reach.plain };
    Client::new(name.clone(), reach.trust.clone(), allowed, Duration::from_secs(60))
}

fn unusable(name: &str, why: &str) -> Error {
    Error::new(ErrorKind::Invalid, format!("destination `{name}`: {why}"))
}

fn pairs(query: &str) -> Vec<(String, String)> {
    let decoded = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
    let pairs = query.trim().trim_start_matches('?').split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(key, value)| (decoded(key), decoded(value))).collect()
}

fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// One line of at most 200 characters, in which no word is a URL.
fn without_addresses(text: &str) -> String {
    let words = text.split_whitespace().filter(|word| !word.contains("://")).collect::<Vec<_>>().join(" ");
    inert(&words.chars().take(200).collect::<String>()).to_string()
}

#[async_trait]
impl Destination for Objects {
    fn name(&self) -> &str {
        &self.name
    }

    fn limits(&self) -> Limits {
        Limits {
            names: Rules::unix(),
            max_size: Some(self.most.0),
            resumes: false,
            lists: true,
            keeps_times: false,
            refuses_to_replace: false,
            hashes: Vec::new(),
        }
    }

    async fn stat(&self, name: &Name) -> Result<Option<Meta>, Error> {
        let path = self.path(name)?;
        match self.store.head(&path).await {
            Ok(found) => Ok(self.meta(&found)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(self.failed("look at", name, &e)),
        }
    }

    async fn put(&self, name: &Name, source: &dyn Source, put: &Put) -> Result<Sent, Error> {
        put::check_source(&self.name, name, source, put)?;
        let path = self.path(name)?;
        unless_there(self, name, put).await?;
        let body = hashed(source.read_from(0).await?, name, put);
        let bytes = self.upload(&path, body, put).await?;
        arrived(self, name, source, put, bytes).await
    }

    async fn get(&self, name: &Name, range: Option<Range<u64>>) -> Result<Body, Error> {
        let path = self.path(name)?;
        let mut options = GetOptions::default();
        if let Some(range) = range {
            let Some(found) = self.stat(name).await? else { return Err(Error::not_found(&self.name, name)) };
            let range = range.start..range.end.min(found.size);
            if range.is_empty() {
                return Ok(futures::stream::empty().boxed());
            }
            options.range = Some(GetRange::Bounded(range));
        }
        let found = self.store.get_opts(&path, options).await.map_err(|e| self.failed("read", name, &e))?;
        let (this, name) = (self.clone(), name.clone());
        let chunks = found.into_stream().map(move |chunk| {
            let mut chunk = chunk.map_err(|e| this.failed("read", &name, &e))?;
            let mut pieces = Vec::with_capacity(1);
            while !chunk.is_empty() {
                pieces.push(Ok(chunk.split_to(chunk.len().min(CHUNK))));
            }
            Ok::<_, Error>(futures::stream::iter(pieces))
        });
        Ok(chunks.try_flatten().boxed())
    }

    fn list<'a>(&'a self, folder: Option<&Name>) -> Listing<'a> {
        let prefix = match folder {
            Some(folder) => self.path(folder),
            None => Path::parse(self.prefix.trim_end_matches('/'))
                .map_err(|_| unusable(&self.name, "its prefix is no object's name")),
        };
        let prefix = match prefix {
            Ok(prefix) => prefix,
            Err(e) => return futures::stream::iter([Err(e)]).boxed(),
        };
        let found = self.store.list(Some(&prefix));
        let metas = found.map_err(|e| self.failed("list", "its files", &e));
        metas.try_filter_map(async |found| Ok(self.meta(&found))).boxed()
    }

    async fn remove(&self, name: &Name) -> Result<(), Error> {
        match self.store.delete(&self.path(name)?).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(e) => Err(self.failed("remove", name, &e)),
        }
    }

    /// There are no folders.
    async fn mkdirs(&self, _: &Name) -> Result<(), Error> {
        Ok(())
    }

    /// A copy, then the removal: neither service renames.
    async fn rename(&self, from: &Name, to: &Name, replace: bool) -> Result<(), Error> {
        let Some(found) = self.stat(from).await? else { return Err(Error::not_found(&self.name, from)) };
        if !replace && self.stat(to).await?.is_some() {
            return Err(Error::exists(&self.name, to));
        }
        let (old, new) = (self.path(from)?, self.path(to)?);
        let mode = if replace { CopyMode::Overwrite } else { CopyMode::Create };
        let options = CopyOptions { mode, ..CopyOptions::default() };
        self.store.copy_opts(&old, &new, options).await.map_err(|e| self.failed("rename", to, &e))?;
        // Azure answers before it has copied.
        if self.stat(to).await?.is_none_or(|copy| copy.size != found.size) {
            return Err(put::vanished(&self.name, to));
        }
        self.remove(from).await
    }

    /// What cut uploads leave cannot be seen; see the module.
    async fn sweep(&self, _: Option<&Name>, _: Timestamp) -> Result<u64, Error> {
        Ok(0)
    }

    /// Whether it can be looked into. That it takes files shows only when it is given one.
    async fn check(&self) -> Result<Health, Error> {
        self.list(None).next().await.transpose()?;
        Ok(Health::default())
    }
}

impl fmt::Debug for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Objects")
            .field("name", &self.name)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}
