//! All files of a folder to a server, or back: what `cargo xtask bench transfers` runs beside rclone, sftp, lftp, curl and s5cmd.
//!
//! ```text
//! pile WAY FOLDER sftp   PORT USER KEYFILE FINGERPRINT ROOT
//! pile WAY FOLDER ftp|ftpes PORT USER PASSWORD CA ROOT        CA: a file of PEM
//! pile WAY FOLDER webdav URL USER PASSWORD
//! pile WAY FOLDER http   URL USER PASSWORD
//! pile WAY FOLDER s3     ENDPOINT BUCKET PREFIX
//! pile hash FOLDER                                           FOLDER/.hashes, which `put` reads
//! ```
//!
//! WAY: `put` or `get`, where files are compared by size on arrival, as the peers do; or `put-hashed` or `get-hashed`, as the product
//! does unless it is told otherwise. Sixteen go at once; to S3 sixty-four, as many as a policy may say (s5cmd has 256). The server is
//! on the loopback.

use std::{
    error::Error,
    fmt::Write as _,
    fs,
    io::Read as _,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_smithy_http_client::{Builder, tls};
use aws_types::{SdkConfig, region::Region};
use bytes::Bytes;
use domain::{Digest, Hasher};
use futures::{StreamExt as _, TryStreamExt as _};
use storage::WriteAt;
use transfer::{
    Destination, FileSource, Ftp, How, Http, Name, S3, Secret, Sftp, Source, Verify, WebDav, deliver, fetch,
    ftp, http, sftp, webdav,
};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// As a policy's `connections` would have it.
fn most_at_once(kind: &str) -> usize {
    if kind == "s3" { 64 } else { 16 }
}

/// Up to here a file is read into memory, which is what other programs do too.
const SMALL: u64 = 1 << 20;

fn main() -> Result<()> {
    // As the product does.
    storage::keep_buffers();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [way, folder, with @ ..] = &arguments[..] else { return Err("see the top of this file".into()) };
    let folder = PathBuf::from(folder);
    let [kind, rest @ ..] = with else { return hash(&folder) };
    let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let (to, most) = (open(kind, &rest)?, most_at_once(kind));
        match way.as_str() {
            "put" => put(to, &folder, Verify::Size, most).await,
            "put-hashed" => put(to, &folder, Verify::Hash, most).await,
            "get" => get(to, &folder, Verify::Size, most).await,
            _ => get(to, &folder, Verify::Hash, most).await,
        }
    })
}

fn open(kind: &str, with: &[&str]) -> Result<Arc<dyn Destination>> {
    Ok(match (kind, with) {
        ("sftp", [port, user, key, fingerprint, root]) => {
            let mut options = sftp::Options::new("127.0.0.1", *user);
            options.port = port.parse()?;
            let key = Secret::new(fs::read_to_string(key)?);
            options.auth = vec![sftp::Auth::Key { key, passphrase: None }];
            options.host_keys = vec![(*fingerprint).to_owned()];
            options.root = (*root).to_owned();
            // Peers do not ask for it.
            options.fsync = false;
            Arc::new(Sftp::new("peer", options))
        }
        ("ftp" | "ftpes", [port, user, password, ca, root]) => {
            let mut options = ftp::Options::new("127.0.0.1", *user, *password);
            options.port = Some(port.parse()?);
            options.tls = if kind == "ftp" { ftp::Tls::None } else { ftp::Tls::Explicit };
            options.trust = ftp::Trust::Pinned(fs::read_to_string(ca)?.as_str().into());
            (options.root, options.private) = ((*root).to_owned(), true);
            Arc::new(Ftp::new("peer", options)?)
        }
        ("webdav", [url, user, password]) => {
            let mut options = webdav::Options::new(*url, *user, *password);
            (options.private, options.plain) = (true, true);
            Arc::new(WebDav::new("peer", options)?)
        }
        ("http", [url, user, password]) => {
            let mut options = http::Options::new(*url);
            options.auth = http::Auth::Basic { user: (*user).into(), password: (*password).into() };
            (options.private, options.plain) = (true, true);
            Arc::new(Http::new("peer", options)?)
        }
        ("s3", [endpoint, bucket, prefix]) => {
            let client =
                Builder::new().tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring));
            let sdk = SdkConfig::builder()
                .region(Region::new("us-east-1"))
                .endpoint_url(*endpoint)
                .credentials_provider(SharedCredentialsProvider::new(Credentials::from_keys(
                    "test", "test", None,
                )))
                .http_client(client.build_https())
                .build();
            // As the product does it for partners.
            let options = storage::s3::Options {
                path_style: true,
                part_size: 5 << 20,
                in_flight: 6,
                ..storage::s3::Options::default()
            };
            let place = storage::s3::Place::parse(&format!("s3://{bucket}/{prefix}"))?;
            Arc::new(S3::new(storage::S3::new("peer", &sdk, place, options)))
        }
        _ => return Err(format!("no such kind of place, or not what it needs: {kind} {with:?}").into()),
    })
}

async fn put(to: Arc<dyn Destination>, folder: &Path, verify: Verify, most: usize) -> Result<()> {
    let send = |(name, digest)| send(to.clone(), name, digest, folder.to_owned(), verify);
    at_once(most, hashes(folder)?.into_iter().map(send)).await
}

async fn send(
    to: Arc<dyn Destination>,
    name: Name,
    digest: Digest,
    folder: PathBuf,
    verify: Verify,
) -> Result<()> {
    let path = folder.join(name.as_str());
    let source: Box<dyn Source> = if digest.size <= SMALL {
        Box::new(Bytes::from(tokio::fs::read(&path).await?))
    } else {
        Box::new(FileSource::open(&path).await?)
    };
    let how = How { verify, ..How::default() };
    let mut again = Again::default();
    loop {
        match deliver(&*to, &name, &*source, &digest, &how).await {
            Err(e) if again.is_worth_it(&e) => {}
            done => return Ok(done.map(drop)?),
        }
    }
}

async fn get(from: Arc<dyn Destination>, folder: &Path, verify: Verify, most: usize) -> Result<()> {
    // As an import has them from the manifest, and curl from its list.
    let bring = |(name, digest)| bring(from.clone(), name, digest, folder.to_owned(), verify);
    at_once(most, hashes(folder)?.into_iter().map(bring)).await
}

async fn bring(
    from: Arc<dyn Destination>,
    name: Name,
    digest: Digest,
    folder: PathBuf,
    verify: Verify,
) -> Result<()> {
    let path = folder.join(name.as_str());
    fs::create_dir_all(path.parent().unwrap_or(&folder))?;
    let mut again = Again::default();
    loop {
        let done = match verify {
            Verify::Hash => fetch(&*from, &name, &path, None).await.map(drop),
            _ => fetch_unhashed(&*from, &name, &path, digest.size).await,
        };
        match done {
            Err(e) if again.is_worth_it(&e) => {}
            done => return Ok(done?),
        }
    }
}

/// The product never does; the peers do nothing else.
async fn fetch_unhashed(
    from: &dyn Destination,
    name: &Name,
    path: &Path,
    size: u64,
) -> std::result::Result<(), transfer::Error> {
    let here = |e: &dyn Error| transfer::Error::new(transfer::ErrorKind::Other, e.to_string());
    let file = fs::File::create(path).map_err(|e| here(&e))?;
    if size <= SMALL {
        return from.download(name, &AtOnce(file)).await.map(drop);
    }
    let (sender, mut chunks) = tokio::sync::mpsc::channel::<(u64, Bytes)>(4);
    let writing = tokio::task::spawn_blocking(move || {
        while let Some((at, chunk)) = chunks.blocking_recv() {
            file.write_all_at(&chunk, at)?;
        }
        Ok::<_, std::io::Error>(())
    });
    let came = from.download(name, &Meanwhile(sender)).await;
    writing.await.map_err(|e| here(&e))?.map_err(|e| here(&e))?;
    came.map(drop)
}

/// A thread more costs more than what it could do meanwhile.
struct AtOnce(fs::File);

#[async_trait]
impl WriteAt for AtOnce {
    async fn write_at(&self, at: u64, bytes: Bytes) -> std::result::Result<(), storage::Error> {
        let full = |e: std::io::Error| storage::Error::new(storage::ErrorKind::Other, e.to_string());
        self.0.write_all_at(&bytes, at).map_err(full)
    }
}

struct Meanwhile(tokio::sync::mpsc::Sender<(u64, Bytes)>);

#[async_trait]
impl WriteAt for Meanwhile {
    async fn write_at(&self, at: u64, bytes: Bytes) -> std::result::Result<(), storage::Error> {
        let ended = |_| storage::Error::new(storage::ErrorKind::Other, "the disk took no more");
        self.0.send((at, bytes)).await.map_err(ended)
    }
}

/// Each a task of its own, as jobs are.
async fn at_once(
    most: usize,
    all: impl Iterator<Item = impl Future<Output = Result<()>> + Send + 'static>,
) -> Result<()> {
    let tasks = futures::stream::iter(all).map(tokio::spawn).buffer_unordered(most);
    tasks.map(|ended| ended?).try_collect().await
}

/// Whoever calls says when to try again; all peers do so by themselves, at once and a few times.
#[derive(Default)]
struct Again(u32);

impl Again {
    fn is_worth_it(&mut self, error: &transfer::Error) -> bool {
        eprintln!("{error}");
        self.0 += 1;
        error.is_temporary() && self.0 <= 3
    }
}

const HASHES: &str = ".hashes";

/// What the product knows from when a recording came in.
fn hash(folder: &Path) -> Result<()> {
    let (mut lines, mut folders) = (String::new(), vec![folder.to_owned()]);
    while let Some(at) = folders.pop() {
        for entry in fs::read_dir(&at)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if !path.ends_with(HASHES) {
                let Digest { size, sha256, crc64 } = digest(&path)?;
                let name = path.strip_prefix(folder)?.display();
                writeln!(lines, "{size} {sha256} {crc64} {name}")?;
            }
        }
    }
    Ok(fs::write(folder.join(HASHES), lines)?)
}

fn digest(path: &Path) -> Result<Digest> {
    let (mut hasher, mut file, mut block) = (Hasher::new(), fs::File::open(path)?, vec![0; 1 << 20]);
    loop {
        match file.read(&mut block)? {
            0 => return Ok(hasher.finish()),
            n => hasher.update(&block[..n]),
        }
    }
}

fn hashes(folder: &Path) -> Result<Vec<(Name, Digest)>> {
    let text = fs::read_to_string(folder.join(HASHES))?;
    let line = |line: &str| {
        let [size, sha256, crc64, name] = *line.splitn(4, ' ').collect::<Vec<_>>() else {
            return Err("not a line of hashes".into());
        };
        let digest = Digest { size: size.parse()?, sha256: sha256.parse()?, crc64: crc64.parse()? };
        Ok((Name::parse(name)?, digest))
    };
    text.lines().map(line).collect()
}
