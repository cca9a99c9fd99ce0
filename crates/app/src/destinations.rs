//! Places that are not ours, as the policy describes them: what connects to each, and what opens it.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use policy::{Cloud, Place, Policy, Protocol, Remote, Service, Store, Terms};
use sandbox::{Layer, Sandbox};
use transfer::{
    Destination, Error, ErrorKind, Folder, Ftp, Http, Objects, Presence, Rsync, Sftp, WebDav, ftp, http,
    objects::{AzureKey, GoogleKey, Reach},
    rsync, sftp, webdav,
};
use worker::Destinations;

use crate::{
    config::{Config, Layout},
    secrets::{Keys, Secrets},
};

/// Every store of the policy but the library's own. Nothing is connected to, and no secret read, before somebody needs it.
pub fn of(config: &Config, policy: &Policy) -> Destinations {
    let work = config.layout.as_ref().map(Layout::work).filter(|work| work.is_dir());
    working_in(&work.unwrap_or_else(std::env::temp_dir), config, policy)
}

/// The same for a worker that has a folder of its own for what it makes on the way.
pub fn working_in(scratch: &Path, config: &Config, policy: &Policy) -> Destinations {
    let mut all = Destinations::default();
    let machine = Machine {
        secrets: config.secrets.clone(),
        scratch: scratch.to_owned(),
        allow_missing: config.allow_missing.clone(),
    };
    for (name, store) in policy.stores().iter().filter(|(_, store)| store.place.is_some()) {
        let (machine, store) = (machine.clone(), store.clone());
        let open = move || -> futures::future::BoxFuture<'static, _> {
            let (machine, store) = (machine.clone(), store.clone());
            Box::pin(async move { open(&machine, &store).await })
        };
        all.add(name, &store_terms(policy, name), Box::new(open));
    }
    all
}

/// What this machine has to do with it.
#[derive(Clone)]
struct Machine {
    secrets: Secrets,
    scratch: PathBuf,
    allow_missing: Vec<Layer>,
}

fn store_terms(policy: &Policy, name: &str) -> Terms {
    policy.stores().get(name).map(|store| store.terms.clone()).unwrap_or_default()
}

async fn open(machine: &Machine, store: &Store) -> Result<Arc<dyn Destination>, Error> {
    let (name, terms) = (store.name.as_str(), &store.terms);
    let keys = match &terms.secret {
        Some(secret) => machine.secrets.get(secret).await.map_err(|why| invalid(name, &why))?,
        None => Keys::default(),
    };
    match &store.place {
        None => Err(invalid(name, "it is the library's own")),
        // A share that is not mounted is not to become a folder on our own disk.
        Some(Place::Folder(path)) => Ok(Arc::new(Folder::new(name, path, Presence::Exists))),
        Some(Place::S3 { .. }) => bucket(store, &keys).await,
        Some(Place::Cloud(cloud)) => objects(name, terms, cloud, &keys),
        Some(Place::Remote(remote)) => Opening { name, terms, remote, keys, machine }.open(),
    }
}

fn invalid(name: &str, why: &str) -> Error {
    Error::new(ErrorKind::Invalid, format!("destination `{name}`: {why}; then `videorec retry`"))
}

#[cfg(feature = "cloud")]
async fn bucket(store: &Store, keys: &Keys) -> Result<Arc<dyn Destination>, Error> {
    use crate::fleet::engines;
    let sdk = engines::sdk_config().await;
    let found = engines::partner(&store.name, store, &sdk, keys);
    let found = found.map_err(|e| invalid(&store.name, &format!("{e:#}")))?;
    Ok(Arc::new(transfer::S3::new(found)))
}

#[cfg(not(feature = "cloud"))]
#[expect(clippy::unused_async, reason = "with the feature it connects")]
async fn bucket(store: &Store, _: &Keys) -> Result<Arc<dyn Destination>, Error> {
    Err(invalid(&store.name, &format!("it is a bucket: {}", crate::wire::without_cloud())))
}

/// A bucket of Google's or a container of Azure's.
fn objects(name: &str, terms: &Terms, cloud: &Cloud, keys: &Keys) -> Result<Arc<dyn Destination>, Error> {
    let reach = Reach {
        endpoint: match (&cloud.endpoint, &cloud.service) {
            // Azure's own servers are called by the account; one that is not has it in its paths.
            (Some(url), Service::Azure { account }) if !url.contains(&format!("//{account}.")) => {
                Some(format!("{url}/{account}"))
            }
            (endpoint, _) => endpoint.clone(),
        },
        trust: trust(name, terms)?,
        // An address of one's own is meant, wherever it leads.
        private: cloud.endpoint.is_some(),
        plain: cloud.endpoint.as_ref().is_some_and(|url| url.starts_with("http:")),
    };
    let (bucket, prefix) = (&cloud.bucket, &cloud.prefix);
    let opened = match &cloud.service {
        Service::Google => {
            let key = keys.service_account.clone().map(GoogleKey::Account);
            let key = key.or_else(|| keys.password.clone().map(GoogleKey::Token));
            let key = key.ok_or_else(|| invalid(name, "its secret is no service account's key (JSON)"))?;
            Objects::google(name, bucket, prefix, &key, &reach)?
        }
        Service::Azure { account } => {
            let key = keys.password.clone();
            let key = key.ok_or_else(|| invalid(name, "its secret is no key of a storage account"))?;
            // `sig` is what makes a query a shared access signature.
            let signed = key.expose().contains("sig=");
            let key = if signed { AzureKey::Signature(key) } else { AzureKey::Account(key) };
            Objects::azure(name, account, bucket, prefix, &key, &reach)?
        }
    };
    Ok(Arc::new(opened))
}

fn trust(name: &str, terms: &Terms) -> Result<ftp::Trust, Error> {
    let Some(path) = &terms.ca else { return Ok(ftp::Trust::Machine) };
    let pem = fs::read_to_string(path);
    let pem = pem.map_err(|e| invalid(name, &format!("cannot read its `ca` {path}: {e}")))?;
    Ok(ftp::Trust::Pinned(pem.as_str().into()))
}

struct Opening<'a> {
    name: &'a str,
    terms: &'a Terms,
    remote: &'a Remote,
    keys: Keys,
    machine: &'a Machine,
}

impl Opening<'_> {
    fn open(self) -> Result<Arc<dyn Destination>, Error> {
        Ok(match self.remote.protocol {
            Protocol::Sftp => Arc::new(Sftp::new(self.name, self.sftp()?)),
            Protocol::Ftp => Arc::new(Ftp::new(self.name, self.ftp(ftp::Tls::None)?)?),
            Protocol::FtpExplicit => Arc::new(Ftp::new(self.name, self.ftp(ftp::Tls::Explicit)?)?),
            Protocol::FtpImplicit => Arc::new(Ftp::new(self.name, self.ftp(ftp::Tls::Implicit)?)?),
            Protocol::Dav | Protocol::Davs => Arc::new(WebDav::new(self.name, self.webdav()?)?),
            Protocol::Http | Protocol::Https => Arc::new(Http::new(self.name, self.http()?)?),
            Protocol::Rsync => {
                let sandbox = Sandbox::new(&self.machine.allow_missing);
                let sandbox =
                    sandbox.map_err(|e| invalid(self.name, &format!("rsync runs in a sandbox, and {e}")))?;
                let options = rsync::Options::new(self.sftp()?, &self.machine.scratch);
                Arc::new(Rsync::new(self.name, options, sandbox))
            }
        })
    }

    fn sftp(&self) -> Result<sftp::Options, Error> {
        let mut options = sftp::Options::new(self.remote.host.clone(), self.user()?);
        options.port = self.remote.port.unwrap_or(options.port);
        options.root = self.remote.path.clone();
        options.host_keys = self.terms.host_key.clone();
        options.connections = self.connections().unwrap_or(options.connections);
        options.renames = !self.terms.refuses_renames;
        if let Some(key) = &self.keys.private_key {
            options.auth.push(sftp::Auth::Key { key: key.clone(), passphrase: self.keys.passphrase.clone() });
        }
        if let Some(password) = &self.keys.password {
            options.auth.push(sftp::Auth::Password(password.clone()));
        }
        Ok(options)
    }

    fn ftp(&self, tls: ftp::Tls) -> Result<ftp::Options, Error> {
        let password = self.keys.password.clone();
        let password = password.ok_or_else(|| {
            invalid(
                self.name,
                "FTP wants a password: name one with `secret`, and what it says has a `password`",
            )
        })?;
        let mut options = ftp::Options::new(self.remote.host.clone(), self.user()?, password);
        (options.port, options.tls, options.trust) = (self.remote.port, tls, self.trust()?);
        options.root = self.remote.path.clone();
        (options.private, options.renames) = (self.is_private(), !self.terms.refuses_renames);
        Ok(options)
    }

    fn webdav(&self) -> Result<webdav::Options, Error> {
        let mut options = webdav::Options::new(self.url(), "", "");
        (options.auth, options.trust) = (self.auth(), self.trust()?);
        (options.private, options.plain) = (self.is_private(), self.remote.protocol.is_open());
        Ok(options)
    }

    fn http(&self) -> Result<http::Options, Error> {
        let mut options = http::Options::new(self.url().as_str());
        (options.auth, options.trust) = (self.auth(), self.trust()?);
        (options.private, options.plain) = (self.is_private(), self.remote.protocol.is_open());
        Ok(options)
    }

    fn user(&self) -> Result<String, Error> {
        self.remote.user.clone().or_else(|| self.keys.username.clone()).ok_or_else(|| {
            let scheme = self.remote.protocol.scheme();
            invalid(
                self.name,
                &format!(
                    "it has no user: write {scheme}://USER@{}, or give its secret a `username`",
                    self.remote.host
                ),
            )
        })
    }

    /// With a user a password, else a token.
    fn auth(&self) -> http::Auth {
        let user = self.remote.user.clone().or_else(|| self.keys.username.clone());
        match (user, self.keys.password.clone()) {
            (Some(user), password) => {
                http::Auth::Basic { user, password: password.unwrap_or_else(|| "".into()) }
            }
            (None, Some(token)) => http::Auth::Bearer(token),
            (None, None) => http::Auth::None,
        }
    }

    fn trust(&self) -> Result<ftp::Trust, Error> {
        trust(self.name, self.terms)
    }

    fn connections(&self) -> Option<usize> {
        self.terms.connections.map(|n| n as usize)
    }

    /// A server that is written down by its address is meant, wherever that is; a name is to lead to the internet.
    fn is_private(&self) -> bool {
        self.terms.private || self.remote.host.parse::<std::net::IpAddr>().is_ok()
    }

    fn url(&self) -> String {
        let Remote { host, port, path, .. } = self.remote;
        let scheme = if self.remote.protocol.is_open() { "http" } else { "https" };
        let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        let path = path.split('/').filter(|part| !part.is_empty());
        let path: String = path.map(|part| format!("/{}", utf8_percent_encode(part, ENCODED))).collect();
        format!("{scheme}://{host}{port}{path}")
    }
}

/// What needs no encoding anywhere (RFC 3986).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
