//! Picks the fleet's backends: S3 as stores, SQS as the queue, PostgreSQL as the catalog, SNS to tell people.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result};
use aws_config::BehaviorVersion;
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_smithy_http_client::tls;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_types::SdkConfig;
use catalog::{Catalog, Postgres};
use domain::Clock as _;
use metrics_cloudwatch_embedded::Collector;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use queue::{Addresses, Sqs};
use storage::{Key, S3, Store, s3};
use tokio::sync::OnceCell;
use worker::{Fetched, LIBRARY_STORE, Library, Stores, Watched};

use crate::{
    cli::Work,
    clock,
    config::{Config, Fleet},
    destinations,
    exit::{Code, Coded},
    lock::{self, Lock, Taken},
    reload,
    secrets::{Keys, Secrets},
    tell,
    wire::{self, POLICY_TEXT},
};

/// What one worker works with.
pub struct Shop {
    pub library: Arc<Library>,
    /// As it was read.
    pub policy_text: String,
    pub metrics: Metrics,
    /// Says on this machine that its folder is in use.
    pub _lock: Lock,
}

/// How what is counted gets out.
#[derive(Clone)]
pub enum Metrics {
    /// Asked for by HTTP.
    Prometheus(PrometheusHandle),
    /// Written to standard output once a minute, for CloudWatch.
    Emf(&'static Collector),
}

impl Metrics {
    /// Tells what was counted since the last time, where nobody would ask for it any more.
    pub fn flush(&self) {
        if let Self::Emf(collector) = self
            && let Err(e) = collector.flush(std::io::stdout())
        {
            tracing::warn!(error = %e, "the last metrics are lost");
        }
    }
}

/// The fleet that the environment names.
pub fn fleet_of(config: &Config) -> Result<&Fleet> {
    config.fleet.as_ref().ok_or_else(|| {
        Coded::error(
            Code::Usage,
            "no fleet: VIDEOREC_CATALOG names its catalog, as in postgres://videorec@db.example.com/videorec \
             (see `videorec --help`); --library is for a library on one machine",
        )
    })
}

/// Region, credentials, endpoint and profile as the AWS SDK finds them; nothing of our own.
pub async fn sdk_config() -> SdkConfig {
    static CONFIG: OnceCell<SdkConfig> = OnceCell::const_new();
    let load = || async {
        let provider = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring);
        let http = aws_smithy_http_client::Builder::new().tls_provider(provider).build_https();
        aws_config::defaults(BehaviorVersion::latest()).http_client(http).load().await
    };
    CONFIG.get_or_init(load).await.clone()
}

pub async fn catalog(fleet: &Fleet) -> Result<Arc<dyn Catalog>> {
    let options = catalog::postgres::Options::default();
    let catalog = Postgres::connect(fleet.catalog.expose(), &options).await.context("VIDEOREC_CATALOG")?;
    Ok(Arc::new(catalog))
}

pub async fn queue(fleet: &Fleet) -> Result<Sqs> {
    queue_with(fleet, Sqs::VISIBILITY).await
}

async fn queue_with(fleet: &Fleet, visibility: Duration) -> Result<Sqs> {
    let addresses = Addresses {
        events: named("VIDEOREC_QUEUE_EVENTS", fleet.events.as_ref(), "the URL of the queue for events")?
            .into(),
        interactive: named("VIDEOREC_QUEUE_INTERACTIVE", fleet.interactive.as_ref(), "the URL of a queue")?
            .into(),
        bulk: named("VIDEOREC_QUEUE_BULK", fleet.bulk.as_ref(), "the URL of a queue")?.into(),
    };
    Ok(Sqs::new(&sdk_config().await, addresses, visibility))
}

/// A bucket that the policy names as a store, opened by keys of its own where it has a secret.
pub async fn store_of(name: &str, store: &policy::Store, sdk: &SdkConfig, secrets: &Secrets) -> Result<S3> {
    let keys = match &store.terms.secret {
        Some(secret) => secrets.get(secret).await.map_err(|why| anyhow::anyhow!("store `{name}`: {why}"))?,
        None => Keys::default(),
    };
    bucket(name, store, sdk, &keys, &s3::Options::default()).with_context(|| format!("store `{name}`"))
}

/// The same, opened by keys of its own where it has a secret.
pub fn partner(name: &str, store: &policy::Store, sdk: &SdkConfig, keys: &Keys) -> Result<S3> {
    let options = s3::Options { part_size: PART, in_flight: AT_ONCE, ..s3::Options::default() };
    bucket(name, store, sdk, keys, &options)
}

/// Bytes of a part, and parts of one file on their way to a partner at once: a transfer has 64 MB of memory, and many of the smallest
/// that S3 takes keep a line busier than few larger ones.
const PART: usize = 5 << 20;
const AT_ONCE: usize = 6;

fn bucket(
    name: &str,
    store: &policy::Store,
    sdk: &SdkConfig,
    keys: &Keys,
    options: &s3::Options,
) -> Result<S3> {
    let Some(policy::Place::S3 { bucket, prefix, region, endpoint }) = &store.place else {
        anyhow::bail!("store `{name}` is no bucket");
    };
    let mut sdk = sdk.to_builder();
    if let Some(region) = region {
        sdk.set_region(aws_types::region::Region::new(region.clone()));
    }
    if let Some(endpoint) = endpoint {
        sdk.set_endpoint_url(Some(endpoint.clone()));
    }
    if let Some(path) = &store.terms.ca {
        sdk.set_http_client(Some(trusting(path)?));
    }
    if let (Some(id), Some(key)) = (&keys.access_key_id, &keys.secret_access_key) {
        let own = Credentials::new(id.expose(), key.expose(), None, None, "secret");
        sdk.set_credentials_provider(Some(SharedCredentialsProvider::new(own)));
    } else if store.terms.secret.is_some() {
        anyhow::bail!("its secret has to have `access_key_id` and `secret_access_key`");
    }
    s3_with(name, &sdk.build(), &format!("s3://{bucket}/{prefix}"), options)
}

/// A client for a service whose certificate these alone vouch for.
fn trusting(path: &str) -> Result<SharedHttpClient> {
    let pem = fs::read_to_string(path).with_context(|| format!("cannot read its `ca` {path}"))?;
    anyhow::ensure!(pem.contains("-----BEGIN CERTIFICATE-----"), "its `ca` {path} has no certificate (PEM)");
    let context =
        tls::TlsContext::builder().with_trust_store(tls::TrustStore::empty().with_pem_certificate(pem));
    let context = context.build().map_err(|e| anyhow::anyhow!("its `ca` {path}: {e}"))?;
    let provider = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring);
    Ok(aws_smithy_http_client::Builder::new().tls_provider(provider).tls_context(context).build_https())
}

fn s3_store(name: &str, sdk: &SdkConfig, url: &str) -> Result<S3> {
    s3_with(name, sdk, url, &s3::Options::default())
}

fn s3_with(name: &str, sdk: &SdkConfig, url: &str, options: &s3::Options) -> Result<S3> {
    // An endpoint of one's own is a service that does not answer to `bucket.endpoint`.
    let options = s3::Options { path_style: sdk.endpoint_url().is_some(), ..options.clone() };
    Ok(S3::new(name, sdk, s3::Place::parse(url)?, options))
}

/// Everything that `videorec work` works with.
pub async fn work(config: &Config, args: &Work) -> Result<Shop> {
    let fleet = fleet_of(config)?;
    let metrics = metrics(fleet)?;
    let sdk = sdk_config().await;
    let lease = Duration::from_secs(args.lease);
    let (stores, watched) = places(fleet, &sdk)?;
    let policy = policy(config, &sdk).await?;
    let stores = with_policy(stores, &watched, &policy.policy, &sdk, &config.secrets).await?;
    let worker = worker_name(fleet);
    let (scratch, lock) = scratch(&args.scratch, &worker)?;
    let disk = disk(args)?;
    let media = wire::media(config, wire::threads(&args.machine))?;
    let catalog = catalog(fleet).await?;
    catalog.set_bookmark(POLICY_TEXT, Some(&policy.text)).await?;
    let queue = Arc::new(queue_with(fleet, worker::visibility(lease)).await?);
    let library = Library {
        catalog,
        queue: queue.clone(),
        letters: queue,
        stores,
        destinations: destinations::working_in(&scratch, config, &policy.policy),
        policy: Arc::new(policy.policy),
        outdated: false.into(),
        full: false.into(),
        media,
        clock: Arc::new(clock::System),
        fetched: Arc::new(Fetched::new(scratch.clone(), disk / 4)),
        scratch,
        worker,
        steps: wire::steps(config.crash_at),
        lease,
        watched,
        alerts: tell::channels(config).await?,
    };
    Ok(Shop { library: Arc::new(library), policy_text: policy.text, metrics, _lock: lock })
}

/// A folder of this worker's own, beside those of others on this machine. What dead ones have left goes: whoever lives
/// holds the lock next to its folder.
pub(super) fn scratch(root: &Path, worker: &str) -> Result<(PathBuf, Lock)> {
    let failed = || {
        format!(
            "cannot work in {}: mount a writable disk there, or name another with --scratch",
            root.display()
        )
    };
    fs::create_dir_all(root).with_context(failed)?;
    for entry in fs::read_dir(root).with_context(failed)? {
        let path = entry.with_context(failed)?.path();
        if path.extension().is_some_and(|e| e == "lock")
            && let Ok(Taken::Ours(_)) = lock::take(&path)
        {
            let _ = fs::remove_dir_all(path.with_extension(""));
            let _ = fs::remove_file(&path);
        }
    }
    let folder = root.join(worker);
    let lock = match lock::take(&root.join(format!("{worker}.lock"))).with_context(failed)? {
        Taken::Ours(lock) => lock,
        Taken::Theirs(_) => {
            anyhow::bail!("another worker is called {worker} and works in {}", root.display())
        }
    };
    fs::create_dir_all(&folder).with_context(failed)?;
    Ok((folder, lock))
}

/// The library's own store, and the places whose objects are recordings.
pub(super) fn places(fleet: &Fleet, sdk: &SdkConfig) -> Result<(Stores, Vec<Watched>)> {
    let mut stores = Stores::default();
    let own = named("VIDEOREC_STORE", fleet.store.as_ref(), "s3://bucket/prefix for what is made")?;
    stores.add(Arc::new(s3_store(LIBRARY_STORE, sdk, own).context("VIDEOREC_STORE")?));
    let mut watched: Vec<Watched> = Vec::new();
    for (n, url) in fleet.watch.iter().flat_map(|w| w.split(',')).map(str::trim).enumerate() {
        let name = if n == 0 { "inbox".to_owned() } else { format!("inbox-{}", n + 1) };
        let place = s3::Place::parse(url).context("VIDEOREC_WATCH")?;
        let prefix = match place.prefix() {
            "" => String::new(),
            prefix => format!("{prefix}/"),
        };
        stores.add(Arc::new(s3_store(&name, sdk, url)?));
        watched.push(Watched { bucket: place.bucket().to_owned(), prefix, store: name });
    }
    apart("VIDEOREC_STORE", &s3::Place::parse(own)?, &watched)?;
    for (n, one) in watched.iter().enumerate() {
        let place = s3::Place::parse(&format!("s3://{}/{}", one.bucket, one.prefix))?;
        apart("VIDEOREC_WATCH", &place, &watched[..n])?;
    }
    Ok((stores, watched))
}

/// Promise 7: our own outputs never re-enter as inputs. What is written below a watched prefix would come back as an
/// event.
fn apart(what: &str, place: &s3::Place, watched: &[Watched]) -> Result<()> {
    let prefix = if place.prefix().is_empty() { String::new() } else { format!("{}/", place.prefix()) };
    let clash = |w: &&Watched| {
        w.bucket == place.bucket() && (prefix.starts_with(&w.prefix) || w.prefix.starts_with(&prefix))
    };
    match watched.iter().find(clash) {
        None => Ok(()),
        Some(w) => Err(Coded::error(
            Code::Usage,
            format!(
                "{what}: s3://{}/{prefix} overlaps with the watched s3://{}/{}: what is made there would come in \
                 as a recording; give each a prefix of its own, such as library/ and inbox/",
                place.bucket(),
                w.bucket,
                w.prefix
            ),
        )),
    }
}

/// What is sent to others does not lie among what is the library's own: it would be nobody's there, and could take the place of
/// what is somebody's.
fn apart_from_own(name: &str, place: &s3::Place, own: &dyn Store) -> Result<()> {
    let Some(origin) = own.origin(&Key::parse("x")?) else { return Ok(()) };
    let theirs = if place.prefix().is_empty() { String::new() } else { format!("{}/", place.prefix()) };
    let own = origin.object.strip_suffix('x').unwrap_or_default();
    if origin.bucket != place.bucket() || !(theirs.starts_with(own) || own.starts_with(&theirs)) {
        return Ok(());
    }
    Err(Coded::error(
        Code::Usage,
        format!(
            "store `{name}`: s3://{}/{theirs} overlaps with the library's own s3://{}/{own}: what is sent there would lie among \
             what is made here; give it a prefix of its own, such as exports/",
            place.bucket(),
            origin.bucket
        ),
    ))
}

fn without_slash(url: &str) -> &str {
    url.strip_suffix('/').unwrap_or(url)
}

pub(super) async fn with_policy(
    mut stores: Stores,
    watched: &[Watched],
    policy: &policy::Policy,
    sdk: &SdkConfig,
    secrets: &Secrets,
) -> Result<Stores> {
    for (name, store) in policy.stores() {
        match &store.place {
            Some(policy::Place::S3 { bucket, prefix, endpoint, .. }) => {
                let place = s3::Place::parse(&format!("s3://{bucket}/{prefix}"))?;
                // Elsewhere a bucket of that name is another one.
                if endpoint.as_deref().is_none_or(|at| Some(at) == sdk.endpoint_url().map(without_slash)) {
                    apart(&format!("store `{name}`"), &place, watched)?;
                    if !store.holds() {
                        apart_from_own(name, &place, stores.get(LIBRARY_STORE)?)?;
                    }
                }
                if store.holds() {
                    stores.add(Arc::new(store_of(name, store, sdk, secrets).await?));
                }
            }
            _ if !store.holds() => {}
            None | Some(policy::Place::Remote(_) | policy::Place::Cloud(_)) => {}
            // As on one machine: a share that is not mounted is not made.
            Some(policy::Place::Folder(path)) if policy.sends_to(name) && !Path::new(path).is_dir() => {}
            // A mount that every worker has.
            Some(policy::Place::Folder(path)) => stores.add(Arc::new(storage::Disk::open(name, path)?)),
        }
    }
    Ok(stores)
}

/// From `--policy`, a file or an object, else the shipped one.
pub(super) async fn policy(config: &Config, sdk: &SdkConfig) -> Result<wire::PolicyFile> {
    let text = policy_text(config, sdk).await?;
    wire::parse_policy(text, &policy_name(config))
}

fn policy_name(config: &Config) -> PathBuf {
    config.policy.clone().unwrap_or_else(|| "the shipped policy".into())
}

/// Of the file or object that was named, or the shipped one.
async fn policy_text(config: &Config, sdk: &SdkConfig) -> Result<String> {
    let Some(path) = &config.policy else { return Ok(policy::DEFAULT.to_owned()) };
    let shown = path.display().to_string();
    let Some((folder, name)) = shown.strip_prefix("s3://").and_then(|p| p.rsplit_once('/')) else {
        return fs::read_to_string(path).map_err(|e| {
            Coded::error(Code::Usage, format!("cannot read the policy {}: {e}", path.display()))
        });
    };
    let store = s3_store("policy", sdk, &format!("s3://{folder}"))?;
    let bytes = storage::read_all(&store, &storage::Key::parse(name)?, 1 << 20)
        .await
        .context("reading the policy")?;
    String::from_utf8(bytes.to_vec()).context("the policy is not text in UTF-8")
}

/// The policy that all workers of a fleet read, looked at again and again.
pub struct PolicyOfFleet<'a> {
    pub config: &'a Config,
    pub catalog: Arc<dyn Catalog>,
    pub scratch: PathBuf,
}

impl reload::Source for PolicyOfFleet<'_> {
    async fn text(&self) -> Result<String> {
        policy_text(self.config, &sdk_config().await).await
    }
    fn parse(&self, text: String) -> Result<wire::PolicyFile> {
        wire::parse_policy(text, &policy_name(self.config))
    }
    async fn stores(&self, policy: &policy::Policy) -> Result<Stores> {
        let sdk = sdk_config().await;
        let (stores, watched) = places(fleet_of(self.config)?, &sdk)?;
        with_policy(stores, &watched, policy, &sdk, &self.config.secrets).await
    }
    fn destinations(&self, policy: &policy::Policy) -> worker::Destinations {
        destinations::working_in(&self.scratch, self.config, policy)
    }
    async fn keep(&self, file: &wire::PolicyFile) -> Result<()> {
        Ok(self.catalog.set_bookmark(POLICY_TEXT, Some(&file.text)).await?)
    }
    fn every(&self) -> Duration {
        Duration::from_secs(30)
    }
}

fn metrics(fleet: &Fleet) -> Result<Metrics> {
    if fleet.metrics_emf {
        let emf = metrics_cloudwatch_embedded::Builder::new()
            .cloudwatch_namespace("videorec")
            .with_auto_flush_interval(Duration::from_secs(60));
        let collector = emf.init().map_err(|e| anyhow::anyhow!("cannot set up CloudWatch metrics: {e}"))?;
        return Ok(Metrics::Emf(collector));
    }
    let recorder = PrometheusBuilder::new().install_recorder().context("cannot set up metrics")?;
    Ok(Metrics::Prometheus(recorder))
}

/// Differs between any two workers that ever ran: host, process, and when it started.
pub(super) fn worker_name(fleet: &Fleet) -> String {
    let host = fleet.hostname.as_deref().unwrap_or("worker");
    format!("{host}-{}-{:x}", std::process::id(), clock::System.now().as_millis())
}

fn named<'a>(variable: &str, value: Option<&'a String>, what: &str) -> Result<&'a str> {
    value
        .map(String::as_str)
        .ok_or_else(|| Coded::error(Code::Usage, format!("{variable} is not set: {what}")))
}

/// Bytes of the scratch disk for jobs.
pub fn disk(args: &Work) -> Result<u64> {
    if let Some(mb) = args.disk {
        return Ok(mb.saturating_mul(1_000_000));
    }
    let there = args.scratch.ancestors().find(|a| a.exists()).unwrap_or(Path::new("/"));
    let at = rustix::fs::statvfs(there)
        .with_context(|| format!("cannot see how much is free in {}", there.display()))?;
    Ok(at.f_bavail.saturating_mul(at.f_frsize) / 10 * 9)
}

/// An SDK's error with what is behind it: its own text says only "service error".
pub fn sdk_error(error: &dyn std::error::Error) -> anyhow::Error {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(e) = source {
        let _ = write!(text, ": {e}");
        source = e.source();
    }
    anyhow::anyhow!(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Also where files are sent to by keys of a partner's own: neither where recordings come in, nor among our own.
    #[tokio::test]
    async fn what_is_sent_is_never_among_what_is_ours() {
        let sdk = SdkConfig::builder().endpoint_url("https://minio.local:9000/").build();
        let watched = [Watched { bucket: "acme".into(), prefix: "inbox/".into(), store: "inbox".into() }];
        let ask = async |url: &str, further: &str| {
            let mut stores = Stores::default();
            stores.add(Arc::new(s3_store(LIBRARY_STORE, &sdk, "s3://acme/library")?));
            let store = format!("out: {{ url: \"{url}\", secret: keys{further} }}");
            let policy = policy::parse(&format!("version: 1\nstores: {{ {store} }}\nrules: []\n"));
            let policy = policy.map_err(|e| anyhow::anyhow!("{e}"))?;
            with_policy(stores, &watched, &policy, &sdk, &Secrets::default()).await.map(drop)
        };
        for (url, further) in [
            ("s3://acme/exports", ""),
            ("s3://acme/library2", ""),
            ("s3://other/inbox", ""),
            ("s3://acme/inbox", ", endpoint: \"https://s3.partner.example\""),
        ] {
            ask(url, further).await.unwrap_or_else(|e| panic!("{url}: {e:#}"));
        }
        for (url, further, says) in [
            ("s3://acme/inbox/out", "", "overlaps with the watched"),
            ("s3://acme", "", "overlaps with the watched"),
            ("s3://acme/library/out", "", "overlaps with the library's own"),
            (
                "s3://acme/library",
                ", endpoint: \"https://minio.local:9000\"",
                "overlaps with the library's own",
            ),
        ] {
            let error = ask(url, further).await.expect_err(url).to_string();
            assert!(error.contains(says) && error.contains("prefix of its own"), "{url}: {error}");
        }
    }

    /// Promise 7: our own outputs never re-enter as inputs.
    #[test]
    fn what_is_written_is_never_below_what_is_watched() {
        let watched = [Watched { bucket: "acme".into(), prefix: "inbox/".into(), store: "inbox".into() }];
        let ask = |url: &str| apart("X", &s3::Place::parse(url).unwrap(), &watched);
        for fine in ["s3://acme/library", "s3://other/inbox", "s3://acme/inbox2", "s3://acme/in"] {
            ask(fine).unwrap_or_else(|e| panic!("{fine}: {e}"));
        }
        for clash in ["s3://acme", "s3://acme/inbox", "s3://acme/inbox/made"] {
            assert!(ask(clash).unwrap_err().to_string().contains("overlaps"), "{clash}");
        }
    }
}
