//! WebDAV as a destination: Apache, Nextcloud, ownCloud, NAS of all makers.
//!
//! - A file is written under its partial name and moved with `Overwrite: F` where nothing is to be replaced. Servers look and then
//!   move, so a file that comes into being in the same instant may still be lost.
//! - A cut upload begins anew: no server says of itself that it takes parts of files by PUT, and many that take them store them as
//!   the whole. So what was cut is removed as far as the server can still be reached.
//! - Nothing is asked for deeper than one folder (`Depth: 0` or `1`), and no answer is believed about anything but that folder.
//! - XML is read by a parser that expands no entities, and refused when it has a document type, is too large or too deep.
//! - Redirects are not followed, but for the slash at the end of a folder's name.

use std::{fmt, ops::Range, sync::Arc, time::Duration};

use async_trait::async_trait;
use domain::Timestamp;
use futures::{StreamExt as _, TryStreamExt as _};
use hyper::{
    HeaderMap, Method, StatusCode,
    header::{self, HeaderName, HeaderValue},
};

use self::xml::Found;
use crate::{
    Body, Destination, Error, ErrorKind, Files, Health, Limits, Listing, Meta, Name, Put, Secret, Sent,
    Source,
    names::Rules,
    partial, put_by_renaming,
    web::{Address, Allowed, Answer, Settings, Upload, Web},
};
pub use crate::{tls::Trust, web::Auth};

#[cfg(test)]
mod tests;
mod walk;
mod xml;

/// A folder on a WebDAV server; see the module.
#[derive(Clone)]
pub struct WebDav {
    web: Web,
    options: Arc<Options>,
}

/// How to reach a server.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder that names are below: `https://host/remote.php/dav/files/user/in`.
    pub url: String,
    pub auth: Auth,
    /// Sent with every request: what some services ask for.
    pub headers: Vec<(String, Secret)>,
    pub trust: Trust,
    pub names: Rules,
    /// Addresses that the internet does not have are allowed too.
    pub private: bool,
    /// Unencrypted to other machines too, passwords included.
    pub plain: bool,
    /// How long the server may be silent while it is asked something, or take nothing.
    pub patience: Duration,
}

impl Options {
    pub fn new(url: impl Into<String>, user: impl Into<String>, password: impl Into<Secret>) -> Self {
        Self {
            url: url.into(),
            auth: Auth::Basic { user: user.into(), password: password.into() },
            headers: Vec::new(),
            trust: Trust::default(),
            names: Rules::default(),
            private: false,
            plain: false,
            patience: Duration::from_secs(60),
        }
    }
}

/// What `HEAD` says of a name.
enum Glance {
    Nothing,
    Partial(Meta),
    Unclear,
}

const DEPTH: HeaderName = HeaderName::from_static("depth");
const DESTINATION: HeaderName = HeaderName::from_static("destination");
const OVERWRITE: HeaderName = HeaderName::from_static("overwrite");
const ASKED: &str = r#"<?xml version="1.0" encoding="utf-8"?><propfind xmlns="DAV:"><prop><resourcetype/><getcontentlength/><getlastmodified/></prop></propfind>"#;
const ROOM: &str = r#"<?xml version="1.0" encoding="utf-8"?><propfind xmlns="DAV:"><prop><resourcetype/><quota-available-bytes/><quota-used-bytes/></prop></propfind>"#;
/// Bytes of one answer: some forty thousand files in one folder.
const LARGEST: usize = 24 << 20;

impl WebDav {
    /// Connects when it is first asked for something. Errors: `Invalid` for URLs and certificates that are none.
    pub fn new(name: impl Into<String>, options: Options) -> Result<Self, Error> {
        let name: Arc<str> = name.into().into();
        let allowed = Allowed { private: options.private, plain: options.plain };
        let address = Address::parse(&name, &options.url, allowed)?;
        if !address.query.is_empty() {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!(
                    "destination `{name}`: a WebDAV folder's URL has no query; leave out what follows the question mark"
                ),
            ));
        }
        let Options { auth, headers, trust, patience, .. } = &options;
        let web = Web::new(name, address, &Settings { auth, headers, trust, patience: *patience })?;
        Ok(Self { web, options: Arc::new(options) })
    }

    fn target(&self, name: Option<&Name>) -> String {
        let path = self.web.address().path_of(name);
        if path.is_empty() { "/".into() } else { path }
    }

    async fn ask(&self, method: &str, target: &str, headers: HeaderMap) -> Result<StatusCode, Error> {
        let method = Method::from_bytes(method.as_bytes()).unwrap_or_else(|_| unreachable!("letters"));
        Ok(self.web.ask(method, target, headers, "").await?.done().await)
    }

    /// What the server says of a folder or file, and of what is in it with a `depth` of 1. `None`: there is none.
    async fn find(
        &self,
        name: Option<&Name>,
        depth: &'static str,
        what: &'static str,
    ) -> Result<Option<Vec<Found>>, Error> {
        let mut target = self.target(name);
        if (name.is_none() || depth == "1") && !target.ends_with('/') {
            // Some send us there otherwise.
            target.push('/');
        }
        let mut answer = self.propfind(&target, depth, what).await?;
        // Apache does so for every folder whose name comes without it. Only the slash is taken from there, and no host.
        if !target.ends_with('/') && answer.leads_into_folder(&target) {
            answer.done().await;
            target.push('/');
            answer = self.propfind(&target, depth, what).await?;
        }
        let shown = || name.map_or_else(|| "its folder".to_owned(), ToString::to_string);
        match answer.status() {
            StatusCode::MULTI_STATUS => {}
            StatusCode::NOT_FOUND | StatusCode::GONE => {
                answer.done().await;
                return Ok(None);
            }
            // Below what is a file.
            StatusCode::CONFLICT if name.is_some() => {
                answer.done().await;
                return Ok(None);
            }
            status => {
                answer.done().await;
                // The same in Apache's words.
                if status == StatusCode::BAD_REQUEST
                    && let Some(folder) = name.and_then(Name::folder)
                    && Box::pin(self.look(&folder)).await?.is_none_or(|above| !above.collection)
                {
                    return Ok(None);
                }
                return Err(self.web.refused("look at", shown(), status));
            }
        }
        let bytes = answer.bytes(LARGEST).await?;
        xml::multistatus(&bytes).map(Some).map_err(|why| {
            let message = format!(
                "destination `{}`: what {} says of `{}` cannot be read: {why}; check the URL, it must be a WebDAV folder's",
                self.web.name,
                self.web.server(),
                shown()
            );
            Error::new(ErrorKind::Unsupported, message)
        })
    }

    async fn propfind(&self, target: &str, depth: &'static str, what: &'static str) -> Result<Answer, Error> {
        let mut headers = HeaderMap::new();
        headers.insert(DEPTH, HeaderValue::from_static(depth));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/xml; charset=utf-8"));
        let method = Method::from_bytes(b"PROPFIND").unwrap_or_else(|_| unreachable!("letters"));
        self.web.ask(method, target, headers, what).await
    }

    async fn look(&self, name: &Name) -> Result<Option<Found>, Error> {
        Ok(self.find(Some(name), "0", ASKED).await?.and_then(|found| found.into_iter().next()))
    }

    /// What `HEAD` can say for certain, at a fraction of what `PROPFIND` costs a server: that there is nothing, or how much of a
    /// partial file there is. Of any other name it may be a folder's page that it describes.
    async fn glance(&self, name: &Name) -> Result<Glance, Error> {
        let answer = self.web.ask(Method::HEAD, &self.target(Some(name)), HeaderMap::new(), "").await?;
        let (size, modified) = (answer.length(), answer.modified());
        Ok(match (answer.done().await, size) {
            (StatusCode::NOT_FOUND | StatusCode::GONE, _) => Glance::Nothing,
            (StatusCode::OK, Some(size)) if partial::is_partial(name.file()) => {
                Glance::Partial(Meta { name: name.clone(), size, modified, hash: None })
            }
            _ => Glance::Unclear,
        })
    }

    fn went_astray(&self, name: &Name) -> Error {
        let message = format!(
            "destination `{}`: {} took `{name}` for another name and stored it elsewhere: use names without `;`, `?` and `#`, \
             or have the server updated",
            self.web.name,
            self.web.server()
        );
        Error::new(ErrorKind::Invalid, message)
    }

    /// To a name that nothing has, or nothing but a file.
    async fn give_name(&self, from: &Name, to: &Name, replace: bool) -> Result<(), Error> {
        let mut headers = HeaderMap::new();
        let destination = format!("{}{}", self.web.address().origin(), self.target(Some(to)));
        let destination = HeaderValue::try_from(destination).unwrap_or_else(|_| unreachable!("encoded"));
        headers.insert(DESTINATION, destination);
        headers.insert(OVERWRITE, HeaderValue::from_static(if replace { "T" } else { "F" }));
        match self.ask("MOVE", &self.target(Some(from)), headers).await? {
            status if status.is_success() => {
                // Some take the rest of a name for a query, and move it elsewhere.
                if is_plain(to) || self.stat(to).await?.is_some() {
                    Ok(())
                } else {
                    Err(self.went_astray(to))
                }
            }
            StatusCode::NOT_FOUND => Err(Error::not_found(&self.web.name, from)),
            // Apache sends us to the folder that has the name.
            status
                if status.is_redirection() && self.look(to).await?.is_some_and(|there| there.collection) =>
            {
                Err(Error::exists(&self.web.name, to))
            }
            status => Err(self.web.refused("rename", to, status)),
        }
    }

    async fn delete(&self, name: &Name) -> Result<(), Error> {
        let status = self.ask("DELETE", &self.target(Some(name)), HeaderMap::new()).await?;
        match status {
            StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::CONFLICT => Ok(()),
            status if status.is_success() => Ok(()),
            status => Err(self.web.refused("remove", name, status)),
        }
    }
}

#[async_trait]
impl Destination for WebDav {
    fn name(&self) -> &str {
        &self.web.name
    }

    fn limits(&self) -> Limits {
        Limits {
            names: self.options.names.clone(),
            max_size: None,
            resumes: false,
            lists: true,
            keeps_times: false,
            refuses_to_replace: false,
            hashes: Vec::new(),
        }
    }

    async fn stat(&self, name: &Name) -> Result<Option<Meta>, Error> {
        match self.glance(name).await? {
            Glance::Nothing => return Ok(None),
            Glance::Partial(meta) => return Ok(Some(meta)),
            Glance::Unclear => {}
        }
        let Some(found) = self.look(name).await?.filter(|found| !found.collection) else { return Ok(None) };
        let Some(size) = found.size else {
            return Err(Error::unsupported(
                &self.web.name,
                &format!("tell the size of `{name}`; use another protocol"),
            ));
        };
        Ok(Some(Meta { name: name.clone(), size, modified: found.modified, hash: None }))
    }

    async fn put(&self, name: &Name, source: &dyn Source, put: &Put) -> Result<Sent, Error> {
        put_by_renaming(self, name, source, put).await
    }

    async fn get(&self, name: &Name, range: Option<Range<u64>>) -> Result<Body, Error> {
        self.web.get(&self.target(Some(name)), name, range).await
    }

    fn list<'a>(&'a self, folder: Option<&Name>) -> Listing<'a> {
        let files = walk::files(self, folder.cloned());
        files.try_filter(|meta| std::future::ready(!partial::is_partial(meta.name.file()))).boxed()
    }

    async fn remove(&self, name: &Name) -> Result<(), Error> {
        // `DELETE` of a folder takes all that is in it.
        match self.look(name).await? {
            Some(found) if !found.collection => self.delete(name).await,
            _ => Ok(()),
        }
    }

    async fn mkdirs(&self, folder: &Name) -> Result<(), Error> {
        if self.look(folder).await?.is_some_and(|found| found.collection) {
            return Ok(());
        }
        let mut made: Option<Name> = None;
        for segment in folder.segments() {
            let next =
                Name::join(made.as_ref(), segment).unwrap_or_else(|_| unreachable!("a name's beginning"));
            // Refused, when there is one already: only the last answer counts.
            let mut path = self.target(Some(&next));
            path.push('/');
            let status = self.ask("MKCOL", &path, HeaderMap::new()).await?;
            let there = status.is_success() || status == StatusCode::METHOD_NOT_ALLOWED;
            if !there && &next == folder && !self.look(folder).await?.is_some_and(|found| found.collection) {
                return Err(self.web.refused("make the folder", folder, status));
            }
            made = Some(next);
        }
        Ok(())
    }

    async fn rename(&self, from: &Name, to: &Name, replace: bool) -> Result<(), Error> {
        // Replacing a folder would take all that is in it.
        if self.look(to).await?.is_some_and(|there| there.collection || !replace) {
            return Err(Error::exists(&self.web.name, to));
        }
        self.give_name(from, to, replace).await
    }

    async fn sweep(&self, folder: Option<&Name>, before: Timestamp) -> Result<u64, Error> {
        let mut partials = walk::files(self, folder.cloned())
            .try_filter(|meta| std::future::ready(partial::is_partial(meta.name.file())));
        let mut swept = 0;
        while let Some(meta) = partials.try_next().await? {
            if meta.modified.is_some_and(|modified| modified < before) {
                self.delete(&meta.name).await?;
                swept += 1;
            }
        }
        Ok(swept)
    }

    async fn check(&self) -> Result<Health, Error> {
        let Some(found) = self.find(None, "0", ROOM).await? else {
            return Err(Error::new(
                ErrorKind::NotFound,
                format!(
                    "destination `{}`: there is no folder at its URL: make it there, or correct the URL",
                    self.web.name
                ),
            ));
        };
        // Several may look at once.
        let token = format!("probe {} {:?}", std::process::id(), std::thread::current().id());
        let probe = Name::reserved(None, partial::of(&Name::reserved(None, "probe"), &token).file());
        let wrote = self.append(&probe, 0, &bytes::Bytes::from_static(b"videorec")).await;
        let removed = self.delete(&probe).await;
        wrote.and(removed)?;
        let room = found.into_iter().next().unwrap_or_default();
        let capacity =
            room.available.zip(room.used).and_then(|(available, used)| available.checked_add(used));
        Ok(Health { free: room.available, capacity })
    }
}

#[async_trait]
impl Files for WebDav {
    async fn append(&self, partial: &Name, from: u64, source: &dyn Source) -> Result<u64, Error> {
        if from > 0 {
            return Err(Error::unsupported(&self.web.name, "go on in the middle of a file"));
        }
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        let (body, upload) = Upload::of(source.read_from(0).await?, source.size(), partial);
        let sent =
            self.web.send(&self.target(Some(partial)), headers, source.size(), (body, upload.clone())).await;
        let answer = match sent {
            Ok(answer) => answer,
            Err(e) => {
                // Some keep what they have of it, which is of no use to anybody.
                if let Err(left) = self.delete(partial).await {
                    tracing::debug!(destination = self.name(), %partial, error = %left, "a cut file may stay");
                }
                return Err(e);
            }
        };
        match answer.done().await {
            status if status.is_success() => Ok(upload.sent()),
            // That a folder is missing, said in either way.
            StatusCode::CONFLICT | StatusCode::NOT_FOUND => Err(Error::not_found(&self.web.name, partial)),
            status => Err(self.web.refused("take", partial, status)),
        }
    }

    async fn settle(&self, partial: &Name, name: &Name, put: &Put) -> Result<(), Error> {
        // With `Overwrite: F` the server looks itself.
        if !put.replace && put.is_absent() {
            return self.give_name(partial, name, false).await;
        }
        self.rename(partial, name, put.replace).await
    }
}

/// Whether every server reads a name alike: nothing of it is encoded.
fn is_plain(name: &Name) -> bool {
    name.as_str().bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~/".contains(&b))
}

impl fmt::Debug for WebDav {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebDav").field("web", &self.web).field("options", &self.options).finish()
    }
}
