//! What the command line and the environment ask for. The sole reader of the environment.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
};

use anyhow::Result;
use sandbox::Layer;
use worker::Point;

use crate::{
    cli::Global,
    exit::{Code, Coded},
    secrets::{Folder, Secrets},
    tell::Channels,
};

pub struct Config {
    pub layout: Option<Layout>,
    pub policy: Option<PathBuf>,
    pub ffmpeg: Option<PathBuf>,
    pub ffprobe: Option<PathBuf>,
    pub path: Option<OsString>,
    pub allow_missing: Vec<Layer>,
    /// For tests: the process kills itself with SIGKILL when it comes to this point for the n-th time.
    pub crash_at: Option<(Point, u32)>,
    pub log: Option<String>,
    pub log_json: bool,
    pub no_color: bool,
    pub json: bool,
    /// Who is at the keyboard, for the audit log.
    pub actor: String,
    /// How people are told, besides the log.
    pub channels: Channels,
    /// What opens the doors of those that files are sent to.
    pub secrets: Secrets,
    /// Absent: embedded mode.
    pub fleet: Option<Fleet>,
}

/// Where the fleet's engines are. Credentials, region and endpoints are the AWS SDK's ordinary chain's business, and
/// are read by it alone.
#[derive(Debug, Clone)]
#[cfg_attr(
    not(feature = "cloud"),
    expect(dead_code, reason = "one machine's build only says that it has no cloud")
)]
pub struct Fleet {
    /// `postgres://...`
    pub catalog: Secret,
    /// `s3://bucket/prefix`: the library's own store.
    pub store: Option<String>,
    /// `s3://bucket/prefix`, several with commas: objects that appear there are recordings.
    pub watch: Option<String>,
    /// URLs of the queues.
    pub events: Option<String>,
    pub interactive: Option<String>,
    pub bulk: Option<String>,
    /// The ARN of the topic that alerts go to.
    pub topic: Option<String>,
    pub cluster: Option<String>,
    pub service: Option<String>,
    /// What ECS tells a task about its agent.
    pub agent: Option<String>,
    pub hostname: Option<String>,
    pub metrics_emf: bool,
}

/// Never shown, not even by accident.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(secret)")
    }
}

/// Where things are in a library's folder.
#[derive(Debug, Clone)]
pub struct Layout {
    pub root: PathBuf,
}

impl Config {
    pub fn read(global: &Global) -> Result<Self> {
        let path_of = |name: &str| env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let text_of = |name: &str| env::var(name).ok().filter(|v| !v.is_empty());
        let root = match global.library.clone().or_else(|| path_of("VIDEOREC_LIBRARY")) {
            Some(root) => Some(std::path::absolute(root)?),
            None => env::current_dir().ok().and_then(|here| Layout::around(&here)),
        };
        let mut allow_missing = Vec::new();
        let named = text_of("VIDEOREC_ALLOW_MISSING").unwrap_or_default();
        for name in named.split(',').chain(global.allow_missing.iter().map(String::as_str)) {
            if !name.is_empty() {
                allow_missing.push(layer(name.trim())?);
            }
        }
        if let Some(seconds) = text_of("VIDEOREC_CLOCK_AHEAD") {
            let wrong = |_| Coded::error(Code::Usage, "VIDEOREC_CLOCK_AHEAD: a number of seconds, for tests");
            crate::clock::live_ahead(seconds.parse().map_err(wrong)?);
        }
        let layout = root.map(|root| Layout { root });
        Ok(Self {
            secrets: secrets(layout.as_ref(), path_of("VIDEOREC_SECRETS"), path_of("CREDENTIALS_DIRECTORY")),
            layout,
            policy: global.policy.clone(),
            ffmpeg: path_of("VIDEOREC_FFMPEG"),
            ffprobe: path_of("VIDEOREC_FFPROBE"),
            path: env::var_os("PATH"),
            allow_missing,
            crash_at: text_of("VIDEOREC_CRASH_AT").map(|text| crash_at(&text)).transpose()?,
            log: text_of("VIDEOREC_LOG"),
            log_json: text_of("VIDEOREC_LOG_FORMAT").is_some_and(|f| f == "json"),
            no_color: env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty()),
            json: global.json,
            actor: text_of("USER").or_else(|| text_of("LOGNAME")).unwrap_or_else(|| "user".into()),
            channels: Channels {
                webhook: text_of("VIDEOREC_WEBHOOK").map(Secret),
                webhook_secret: text_of("VIDEOREC_WEBHOOK_SECRET").map(Secret),
                smtp: text_of("VIDEOREC_SMTP"),
                smtp_password: text_of("VIDEOREC_SMTP_PASSWORD").map(Secret),
                mail_from: text_of("VIDEOREC_MAIL_FROM"),
                mail_to: text_of("VIDEOREC_MAIL_TO"),
            },
            // A library that is named is meant, whatever the environment says of a fleet.
            fleet: text_of("VIDEOREC_CATALOG").filter(|_| global.library.is_none()).map(|catalog| Fleet {
                catalog: Secret(catalog),
                store: text_of("VIDEOREC_STORE"),
                watch: text_of("VIDEOREC_WATCH"),
                events: text_of("VIDEOREC_QUEUE_EVENTS"),
                interactive: text_of("VIDEOREC_QUEUE_INTERACTIVE"),
                bulk: text_of("VIDEOREC_QUEUE_BULK"),
                topic: text_of("VIDEOREC_TOPIC"),
                cluster: text_of("VIDEOREC_ECS_CLUSTER"),
                service: text_of("VIDEOREC_ECS_SERVICE"),
                agent: text_of("ECS_AGENT_URI"),
                hostname: text_of("HOSTNAME"),
                metrics_emf: text_of("VIDEOREC_METRICS").is_some_and(|m| m == "emf"),
            }),
        })
    }

    /// The library that was named or that the current folder is in, existing or not.
    pub fn layout(&self) -> Result<&Layout> {
        self.layout.as_ref().ok_or_else(|| {
            Coded::error(
                Code::NotFound,
                "no library: name its folder with --library DIR or VIDEOREC_LIBRARY, or run this inside of one \
                 (`videorec up --library DIR` makes a new one)",
            )
        })
    }

    /// The library, which must be there.
    pub fn existing(&self) -> Result<&Layout> {
        let layout = self.layout()?;
        if layout.catalog().is_file() {
            return Ok(layout);
        }
        Err(Coded::error(
            Code::NotFound,
            format!(
                "{} is not a library yet: `videorec up` or `videorec ingest` with --library {} makes it one",
                layout.root.display(),
                layout.root.display()
            ),
        ))
    }
}

impl Layout {
    /// The library that `here` is in.
    fn around(here: &Path) -> Option<PathBuf> {
        let is_library = |p: &&Path| Self { root: p.to_path_buf() }.catalog().is_file();
        here.ancestors().find(is_library).map(Path::to_path_buf)
    }
    /// Files dropped here are taken in while `up` runs.
    pub fn inbox(&self) -> PathBuf {
        self.root.join("inbox")
    }
    /// The library's own store: sources and renditions.
    pub fn recordings(&self) -> PathBuf {
        self.root.join("recordings")
    }
    pub fn policy(&self) -> PathBuf {
        self.root.join("policy.yaml")
    }
    /// What is not a person's to touch.
    pub fn state(&self) -> PathBuf {
        self.root.join(".videorec")
    }
    pub fn catalog(&self) -> PathBuf {
        self.state().join("catalog.db")
    }
    pub fn lock(&self) -> PathBuf {
        self.state().join("lock")
    }
    /// A file for each secret, by its name.
    pub fn secrets(&self) -> PathBuf {
        self.state().join("secrets")
    }
    /// Jobs' private directories; on the store's filesystem, so that outputs move instead of being copied.
    pub fn work(&self) -> PathBuf {
        self.state().join("work")
    }
    /// The policy that was last worked by, so that a command without one does not fall back to another.
    pub fn policy_in_force(&self) -> PathBuf {
        self.state().join("policy-in-force.yaml")
    }
}

fn secrets(layout: Option<&Layout>, named: Option<PathBuf>, of_systemd: Option<PathBuf>) -> Secrets {
    let variables = env::vars_os().filter_map(|(variable, value)| {
        let name = variable.to_str()?.strip_prefix(Secrets::VARIABLE)?.to_owned();
        Some((name, value.into_string().ok()?.as_str().into()))
    });
    let folder = |path: PathBuf, of_systemd: bool| Folder { path, of_systemd };
    let folders = named.map(|path| folder(path, false)).into_iter();
    let folders = folders.chain(of_systemd.map(|path| folder(path, true)));
    let folders = folders.chain(layout.map(|layout| folder(layout.secrets(), false)));
    Secrets { variables: variables.collect(), folders: folders.collect() }
}

fn layer(name: &str) -> Result<Layer> {
    Layer::from_name(name).ok_or_else(|| {
        let known: Vec<_> = Layer::ALL.iter().map(|l| l.name()).collect();
        Coded::error(
            Code::Usage,
            format!("`{name}` is not a sandbox layer; the layers are {}", known.join(", ")),
        )
    })
}

/// `job-claimed` or `job-claimed:3`.
fn crash_at(text: &str) -> Result<(Point, u32)> {
    let (name, n) = text.split_once(':').unwrap_or((text, "1"));
    let point = Point::ALL.into_iter().find(|p| p.name() == name);
    match (point, n.parse()) {
        (Some(point), Ok(n)) => Ok((point, n)),
        _ => Err(Coded::error(Code::Usage, format!("VIDEOREC_CRASH_AT: `{text}` is not POINT or POINT:N"))),
    }
}
