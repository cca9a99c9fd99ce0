//! Picks the backends. Embedded mode: folders as stores, SQLite as the catalog, a queue in the process.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result};
use catalog::{Catalog, Sqlite};
use policy::{Place, Policy};
use sandbox::Sandbox;
use storage::{Disk, Store};
use worker::{Fetched, LIBRARY_STORE, Library, Limits, Point, Runner, Steps, Stores};

use crate::{
    cli::Machine,
    clock,
    config::{Config, Layout},
    destinations,
    exit::{Code, Coded},
    lock::{self, Lock, Taken},
    secrets::Secrets,
    tell,
};

/// What looking needs: the catalog; no ffmpeg, and no policy, which may be broken while it is edited.
pub struct View {
    /// Absent: a fleet's catalog.
    pub layout: Option<Layout>,
    pub catalog: Arc<dyn Catalog>,
}

pub struct PolicyFile {
    /// Where it was read; the shipped one has no file.
    pub path: Option<PathBuf>,
    pub text: String,
    pub policy: Policy,
}

/// What working needs, and the lock that makes this process the one that works.
pub struct Workshop {
    pub layout: Layout,
    pub library: Arc<Library>,
    /// As it was read.
    pub policy_text: String,
    /// `None`: another process works on the library.
    pub lock: Option<Lock>,
    pub holder: Option<u32>,
}

pub async fn look(config: &Config) -> Result<View> {
    if let Some(fleet) = &config.fleet {
        return Ok(View { layout: None, catalog: fleet_catalog(fleet).await? });
    }
    let layout = config.existing()?.clone();
    let catalog = Arc::new(open_catalog(&layout).await?);
    Ok(View { layout: Some(layout), catalog })
}

/// The policy that is worked by: for a fleet the one that its workers put in force.
pub async fn policy_of(config: &Config, view: &View) -> Result<PolicyFile> {
    match (&view.layout, &config.policy) {
        (Some(layout), _) => policy(config, layout),
        (None, Some(path)) => read_policy(path),
        (None, None) => {
            let text = view.catalog.bookmark(POLICY_TEXT).await?;
            let text = text.ok_or_else(|| {
                Coded::error(
                    Code::NotFound,
                    "no worker has put a policy in force yet; name a file with --policy",
                )
            })?;
            let policy = policy::parse(&text).map_err(|e| anyhow::anyhow!("the policy in force: {e}"))?;
            Ok(PolicyFile { path: None, text, policy })
        }
    }
}

/// Under which bookmark a fleet's catalog keeps the text of the policy in force.
pub const POLICY_TEXT: &str = "policy-in-force";

#[cfg(feature = "cloud")]
pub async fn fleet_catalog(fleet: &crate::config::Fleet) -> Result<Arc<dyn Catalog>> {
    crate::fleet::engines::catalog(fleet).await
}

#[cfg(not(feature = "cloud"))]
#[expect(clippy::unused_async, reason = "with the feature it connects")]
pub async fn fleet_catalog(_: &crate::config::Fleet) -> Result<Arc<dyn Catalog>> {
    Err(without_cloud())
}

/// What a build without the feature says to whoever asks for a fleet.
#[cfg(not(feature = "cloud"))]
pub fn without_cloud() -> anyhow::Error {
    Coded::error(
        Code::Usage,
        "this videorec was built for one machine; build it with `--features cloud` for S3, SQS and PostgreSQL",
    )
}

/// Opens a library for work, making it if it is not there yet.
pub async fn work(config: &Config, machine: &Machine) -> Result<Workshop> {
    let layout = config.layout()?.clone();
    for folder in [layout.state(), layout.work(), layout.inbox()] {
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let (lock, holder) = match lock::take(&layout.lock()).context("cannot lock the library")? {
        Taken::Ours(lock) => (Some(lock), None),
        Taken::Theirs(holder) => (None, holder),
    };
    // Who only brings files in while another process works must decide as that process does.
    let policy = match &lock {
        Some(_) => policy(config, &layout)?,
        None => in_force(&layout).await?,
    };
    let media = media(config, threads(machine))?;
    let catalog = Arc::new(open_catalog(&layout).await?);
    let stores = stores(&layout, &policy.policy, &config.secrets).await?;
    if lock.is_some() {
        write_whole(&layout.policy_in_force(), &policy.text)?;
        clear(&layout.work())?;
    }
    let queue = Arc::new(queue::Embedded::new(queue::Config::default()));
    let library = Library {
        catalog,
        queue: queue.clone(),
        letters: queue,
        stores,
        destinations: destinations::of(config, &policy.policy),
        policy: Arc::new(policy.policy),
        media,
        clock: Arc::new(clock::System),
        scratch: layout.work(),
        // Its stores are folders: nothing has to be fetched.
        fetched: Arc::new(Fetched::new(layout.work(), 0)),
        worker: format!("embedded-{}", std::process::id()),
        steps: steps(config.crash_at),
        lease: worker::LEASE,
        outdated: false.into(),
        full: false.into(),
        watched: Vec::new(),
        alerts: tell::channels(config).await?,
    };
    Ok(Workshop { layout, library: Arc::new(library), policy_text: policy.text, lock, holder })
}

/// The policy that the process works by which has the lock. In a new library it takes a moment to put one in force.
async fn in_force(layout: &Layout) -> Result<PolicyFile> {
    let path = layout.policy_in_force();
    let mut looks = STARTING.as_millis() / LOOK.as_millis();
    while looks > 0 && !path.is_file() {
        tokio::time::sleep(LOOK).await;
        looks -= 1;
    }
    read_policy(&path)
}

/// The most that a process takes from its lock to its policy; and between two looks for it.
const STARTING: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(100);

pub fn runner(library: &Arc<Library>, machine: &Machine, drain: Duration) -> Runner {
    let memory = memory(machine);
    let limits = Limits {
        threads: threads(machine),
        memory,
        // The library's own disk is also where its jobs work: there is no other to keep free.
        disk: u64::MAX,
        drain,
        backlog: Some(BACKLOG),
        walk_every: None,
    };
    Runner::new(library.clone(), limits)
}

/// Messages in the process's own queue at a time; the rest wait in the ledger, where they cost no memory.
const BACKLOG: u64 = 256;

/// The policy that would be used: the one named, else the library's own file, else the one last in force, else
/// the shipped one.
pub fn policy(config: &Config, layout: &Layout) -> Result<PolicyFile> {
    if let Some(path) = policy_path(config, layout) {
        return read_policy(&path);
    }
    let text = policy::DEFAULT.to_owned();
    let policy =
        policy::parse(&text).map_err(|e| anyhow::anyhow!("the shipped policy does not check: {e}"))?;
    Ok(PolicyFile { path: None, text, policy })
}

/// Its file; none where it would be the shipped one.
pub fn policy_path(config: &Config, layout: &Layout) -> Option<PathBuf> {
    let named = config.policy.clone();
    named.or_else(|| [layout.policy(), layout.policy_in_force()].into_iter().find(|path| path.is_file()))
}

pub fn read_policy(path: &Path) -> Result<PolicyFile> {
    let wrong = |why: String| Coded::error(Code::Usage, why);
    let bytes =
        fs::read(path).map_err(|e| wrong(format!("cannot read the policy {}: {e}", path.display())))?;
    let text =
        String::from_utf8(bytes).map_err(|_| wrong(format!("{} is not text in UTF-8", path.display())))?;
    parse_policy(text, path)
}

pub fn parse_policy(text: String, path: &Path) -> Result<PolicyFile> {
    match policy::parse(&text) {
        Ok(policy) => Ok(PolicyFile { path: Some(path.to_owned()), text, policy }),
        Err(problems) => Err(Coded::error(
            Code::Usage,
            format!(
                "the policy does not check; nothing was done\n{}",
                problems.in_file(&path.display().to_string())
            ),
        )),
    }
}

pub fn media(config: &Config, threads: u32) -> Result<media::Tools> {
    let sandbox = Sandbox::new(&config.allow_missing).map_err(|e| {
        Coded::error(
            Code::Machine,
            format!("{e}\n`videorec doctor` shows every layer; --allow-missing LAYER does without one"),
        )
    })?;
    let tools =
        media::Tools::new(sandbox, config.ffmpeg.clone(), config.ffprobe.clone(), config.path.as_deref())?;
    Ok(tools.with_threads(threads))
}

/// The library's own store and those of the policy, each in a folder of its own: a "second copy" that is the first one
/// under another name, or that lies where new files are taken from, would be worse than none.
pub async fn stores(layout: &Layout, policy: &Policy, secrets: &Secrets) -> Result<Stores> {
    let mut stores = Stores::default();
    stores.add(Arc::new(Disk::open(LIBRARY_STORE, layout.recordings())?));
    // Canonical, so that links and other spellings of one folder are one folder.
    let mut taken = vec![("the library".to_owned(), fs::canonicalize(&layout.root)?)];
    for (name, store) in policy.stores() {
        let path = match &store.place {
            None => continue,
            Some(Place::Folder(path)) => path,
            _ if !store.holds() => continue,
            Some(Place::Remote(_) | Place::Cloud(_)) => continue,
            Some(Place::S3 { .. }) => {
                stores.add(bucket(name, store, secrets).await?);
                continue;
            }
        };
        // Looked at before it is opened: opening makes folders.
        let place = canonical(Path::new(path));
        if let Some((other, _)) = taken.iter().find(|(_, t)| place.starts_with(t) || t.starts_with(&place)) {
            return Err(Coded::error(
                Code::Usage,
                format!(
                    "store `{name}` ({}) shares its folder with {other}: a copy there would be no second copy; \
                     give it a folder of its own, best on another disk",
                    place.display()
                ),
            ));
        }
        // A partner's share that is not mounted is not to become a folder on our own disk.
        if !policy.sends_to(name) || place.is_dir() {
            stores.add(Arc::new(Disk::open(name, path)?));
        }
        taken.push((format!("store `{name}`"), place));
    }
    Ok(stores)
}

#[cfg(feature = "cloud")]
async fn bucket(name: &str, store: &policy::Store, secrets: &Secrets) -> Result<Arc<dyn Store>> {
    let config = crate::fleet::engines::sdk_config().await;
    Ok(Arc::new(crate::fleet::engines::store_of(name, store, &config, secrets).await?))
}

#[cfg(not(feature = "cloud"))]
#[expect(clippy::unused_async, reason = "with the feature it connects")]
async fn bucket(name: &str, _: &policy::Store, _: &Secrets) -> Result<Arc<dyn Store>> {
    Err(without_cloud().context(format!("store `{name}` is a bucket")))
}

/// The path with links followed as far as it exists.
fn canonical(path: &Path) -> PathBuf {
    let existing = path.ancestors().find_map(|a| Some((a, fs::canonicalize(a).ok()?)));
    match existing {
        Some((ancestor, real)) => real.join(path.strip_prefix(ancestor).unwrap_or(Path::new(""))),
        None => path.to_owned(),
    }
}

pub async fn open_catalog(layout: &Layout) -> Result<Sqlite> {
    Ok(Sqlite::open(&layout.catalog()).await?)
}

pub fn threads(machine: &Machine) -> u32 {
    let all = std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1));
    machine.threads.unwrap_or(all).max(1)
}

/// Bytes for jobs.
pub fn memory(machine: &Machine) -> u64 {
    machine.memory.map_or_else(|| physical_memory() / 4 * 3, |mb| mb.saturating_mul(1_000_000))
}

fn physical_memory() -> u64 {
    // SAFETY: sysconf takes no pointers.
    let (pages, size) = unsafe { (libc::sysconf(libc::_SC_PHYS_PAGES), libc::sysconf(libc::_SC_PAGESIZE)) };
    u64::try_from(pages).unwrap_or(0).saturating_mul(u64::try_from(size).unwrap_or(0)).max(1 << 30)
}

pub fn write_whole(path: &Path, text: &str) -> Result<()> {
    let new = path.with_extension("new");
    fs::write(&new, text)
        .and_then(|()| fs::rename(&new, path))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// What jobs of a process that died have left behind.
fn clear(work: &Path) -> Result<()> {
    for entry in fs::read_dir(work)? {
        let entry = entry?;
        let path = entry.path();
        let removed = match entry.file_type()?.is_dir() {
            true => fs::remove_dir_all(&path),
            false => fs::remove_file(&path),
        };
        removed.with_context(|| format!("cannot clear {}", path.display()))?;
    }
    Ok(())
}

/// Dies as if the power failed, where a test asked for it.
pub fn steps(crash_at: Option<(Point, u32)>) -> Steps {
    let Some((point, n)) = crash_at else { return Steps::default() };
    let left = AtomicU32::new(n);
    Steps::new(move |at| {
        if at == point && left.fetch_sub(1, Ordering::SeqCst) == 1 {
            // SAFETY: raise takes no pointers.
            unsafe { libc::raise(libc::SIGKILL) };
        }
    })
}
