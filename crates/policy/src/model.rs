use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use domain::{Action, Layout, Preset, Speed, Tenths, Way};
use serde::Serialize;

use crate::{
    Hours, OwnField, Problem, Protect, Watermark, Wish, condition::Condition, own, said::Said,
    schedule::Schedule, units::show_duration, when::When,
};

/// A policy that was read and found right: what should be true of every recording.
#[derive(Debug, Clone)]
pub struct Policy {
    pub(crate) hash: String,
    pub(crate) warnings: Vec<Problem>,
    pub(crate) stores: BTreeMap<String, Store>,
    pub(crate) presets: BTreeMap<String, Preset>,
    /// Sorted by name.
    pub(crate) own: Vec<OwnField>,
    pub(crate) protect: Protect,
    /// Sorted by name, so that the file's order cannot matter.
    pub(crate) rules: Vec<Rule>,
}

/// A place for sources and copies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Store {
    pub name: String,
    /// Absent for the library's own store, whose place is not the policy's to say.
    pub place: Option<Place>,
    /// Bytes.
    pub capacity: Option<u64>,
    /// Stores of one region are lost together, as far as `protect` counts regions. Absent: a region of its own.
    pub region: Option<String>,
    /// It is ours although a secret opens it: it may hold recordings and copies, and not only be sent files.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub copies: bool,
    pub terms: Terms,
}

/// On which terms a place is used that is not ours: what a partner and we have agreed on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Terms {
    /// The name under which the machine keeps what opens it.
    pub secret: Option<String>,
    /// `SHA256:...`: the server has one of these keys, or it is another server.
    pub host_key: Vec<String>,
    /// A file with the certificates that its own is to be signed by, instead of the machine's.
    pub ca: Option<String>,
    /// Transfers at once.
    pub connections: Option<u32>,
    /// Bytes a second, all of them together.
    pub bandwidth: Option<u64>,
    pub hours: Option<Hours>,
    /// Its name may lead to an address that the internet does not have.
    pub private: bool,
    /// The server lets no file be renamed.
    pub refuses_renames: bool,
}

/// Where a store is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// As written, without `file:`.
    Folder(String),
    S3 {
        bucket: String,
        /// Without slashes at its ends; empty: the whole bucket.
        prefix: String,
        /// Absent: the one that the machine is set up for.
        region: Option<String>,
        /// A service that speaks S3 elsewhere.
        endpoint: Option<String>,
    },
    Remote(Remote),
    Cloud(Cloud),
}

/// A bucket of another cloud than Amazon's. Exports are sent there, and nothing there counts as a copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cloud {
    pub service: Service,
    /// A bucket, or a container.
    pub bucket: String,
    /// Without slashes at its ends; empty: all of it.
    pub prefix: String,
    /// Another server than the service's own.
    pub endpoint: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Service {
    /// `gs://bucket/prefix`
    Google,
    /// `az://account/container/prefix`
    Azure { account: String },
}

/// A server that files are brought to and fetched from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Remote {
    pub protocol: Protocol,
    /// A name or an address; of version 6 without its brackets.
    pub host: String,
    /// Absent: the protocol's own.
    pub port: Option<u16>,
    pub user: Option<String>,
    /// Decoded; the folder below which everything goes, from where the server lets us in: `in` for `sftp://host/in`, `/srv/in` for
    /// `sftp://host//srv/in`, which is from the server's root. Without a slash at its end; empty: where the server lets us in.
    pub path: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// `sftp:`
    Sftp,
    /// `ftp:`, in the clear.
    Ftp,
    /// `ftpes:`, encrypted by `AUTH TLS` before anything is told.
    FtpExplicit,
    /// `ftps:`, encrypted from the first byte.
    FtpImplicit,
    /// `dav:`, in the clear.
    Dav,
    /// `davs:`
    Davs,
    /// `http:`, PUT in the clear.
    Http,
    /// `https:`, PUT.
    Https,
    /// `rsync:`, over SSH; the daemon of that name, which encrypts nothing, is not meant.
    Rsync,
}

impl Store {
    /// Whether it can hold copies, and not only be sent files: what opens it is the machine's own, or it is said to be ours.
    pub fn holds(&self) -> bool {
        match &self.place {
            None | Some(Place::Folder(_)) => true,
            Some(Place::S3 { .. }) => self.copies || self.terms.secret.is_none(),
            Some(Place::Remote(_) | Place::Cloud(_)) => false,
        }
    }
}

impl Protocol {
    pub const ALL: [Protocol; 9] = [
        Self::Sftp,
        Self::Ftp,
        Self::FtpExplicit,
        Self::FtpImplicit,
        Self::Dav,
        Self::Davs,
        Self::Http,
        Self::Https,
        Self::Rsync,
    ];
    /// As a URL begins.
    pub fn scheme(self) -> &'static str {
        match self {
            Self::Sftp => "sftp",
            Self::Ftp => "ftp",
            Self::FtpExplicit => "ftpes",
            Self::FtpImplicit => "ftps",
            Self::Dav => "dav",
            Self::Davs => "davs",
            Self::Http => "http",
            Self::Https => "https",
            Self::Rsync => "rsync",
        }
    }
    /// The port that it has where nothing else is said.
    pub fn port(self) -> u16 {
        match self {
            Self::Sftp | Self::Rsync => 22,
            Self::Ftp | Self::FtpExplicit => 21,
            Self::FtpImplicit => 990,
            Self::Dav | Self::Http => 80,
            Self::Davs | Self::Https => 443,
        }
    }
    /// Whether servers are known by a key of their own.
    pub fn is_ssh(self) -> bool {
        matches!(self, Self::Sftp | Self::Rsync)
    }
    /// Whether servers show a certificate.
    pub fn is_tls(self) -> bool {
        matches!(self, Self::FtpExplicit | Self::FtpImplicit | Self::Davs | Self::Https)
    }
    /// Whether others on the way can read what is sent, passwords among it.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Ftp | Self::Dav | Self::Http)
    }
}

/// What should be true of the recordings that match.
#[derive(Debug, Clone, Serialize)]
pub struct Rule {
    pub name: String,
    /// All must hold; none at all is `match: all`.
    pub(crate) conditions: Vec<Condition>,
    /// What the conditions cannot say.
    pub(crate) when: Option<When>,
    pub(crate) asks: Vec<Ask>,
    /// Of each of them.
    #[serde(skip)]
    pub(crate) said: Vec<Said>,
    /// It asks from the first firing after it began to match.
    pub(crate) schedule: Option<Schedule>,
    pub(crate) cold: WhenCold,
    /// How, where it restores.
    #[serde(skip_serializing_if = "Thaw::is_usual")]
    pub(crate) thaw: Thaw,
    /// It acts when room is needed there, and else not at all.
    pub(crate) watermark: Option<Watermark>,
}

/// What becomes of a step that reads a source which has to be restored first: restoring costs money.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum WhenCold {
    /// A person decides.
    #[default]
    Refuse,
    Restore,
    Skip,
}

/// How fast what is cold comes back for a rule's sake, and for how long it can be read then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Thaw {
    pub(crate) speed: Speed,
    pub(crate) days: u32,
}

impl Default for Thaw {
    /// The cheapest; and the queue of those who read it may be long.
    fn default() -> Self {
        Self { speed: Speed::Bulk, days: 7 }
    }
}

impl Thaw {
    fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

/// One verb with its parameters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) enum Ask {
    /// Complete as it stands: convert, backup, tag, notify, archive by storage class, and export of the source to one store.
    Action(Action),
    /// Becomes an action with a session's tracks.
    Mix {
        preset: Preset,
        layout: Layout,
        loudness: Option<Tenths>,
    },
    /// Becomes an action with the store that it is moved from.
    Move {
        to: String,
        /// How long what was moved stays where it was.
        keep_ms: u64,
        /// Whether it is `archive` that names a store.
        archive: bool,
    },
    Delete {
        trash: Duration,
    },
    /// Becomes an action with the file that is good enough and the route that can be used.
    Export(Wish),
    /// Give up the copy in that store, to make room there.
    Evict {
        store: String,
    },
    Hold {
        reason: String,
    },
    /// Absent: for ever.
    Keep {
        for_ms: Option<u64>,
    },
}

/// The library's own store.
pub const LIBRARY: &str = "recordings";

/// Bytes. Of what is smaller, S3's lifecycle rules do nothing unless they are told to:
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/lifecycle-transition-general-considerations.html>
pub const LIFECYCLE_LEAST: u64 = 128 << 10;

/// The names under which probing, and care for bytes that no rule has to ask for, is asked for and explained.
pub(crate) const INTAKE: &str = "intake";
pub(crate) const CUSTODY: &str = "custody";

impl Policy {
    /// SHA-256 of what the policy means: the same for another order of rules, other comments or other
    /// spellings of a unit.
    pub fn hash(&self) -> &str {
        &self.hash
    }
    pub fn warnings(&self) -> &[Problem] {
        &self.warnings
    }
    /// The policy's own, by name; the library's own only when the policy says something of it.
    pub fn stores(&self) -> &BTreeMap<String, Store> {
        &self.stores
    }
    /// The shipped ones and the policy's own, by name.
    pub fn presets(&self) -> &BTreeMap<String, Preset> {
        &self.presets
    }
    /// What people may say of recordings, and rules look at; by name.
    pub fn own_fields(&self) -> &[OwnField] {
        &self.own
    }
    /// Whether a field is one of those; a policy that says nothing of fields knows any. Errors: what to write instead.
    pub fn knows_field(&self, name: &str) -> Result<(), String> {
        let known = self.own.is_empty() || own::find(&self.own, name).is_some();
        if known { Ok(()) } else { Err(own::unknown(&self.own, name)) }
    }
    /// Whether it has such values, too.
    pub fn takes_field(&self, name: &str, value: &str) -> Result<(), String> {
        self.knows_field(name)?;
        let Some(field) = own::find(&self.own, name) else { return Ok(()) };
        field.kind.read(value).map(|_| ()).map_err(|message| format!("`{name}`: {message}"))
    }
    /// What no rule can break.
    pub fn protect(&self) -> &Protect {
        &self.protect
    }
    /// Bytes, where the policy says how many there may be.
    pub fn capacity(&self, store: &str) -> Option<u64> {
        self.stores.get(store)?.capacity
    }
    /// The rules' demands for room.
    pub fn watermarks(&self) -> impl Iterator<Item = &Watermark> {
        self.rules.iter().filter_map(|r| r.watermark.as_ref())
    }
    /// Whether any rule deletes or evicts: whether there is anything to see in a plan before it is let loose.
    pub fn deletes(&self) -> bool {
        let deletes = |ask: &Ask| matches!(ask, Ask::Delete { .. } | Ask::Evict { .. });
        self.rules.iter().any(|r| r.asks.iter().any(deletes))
    }
    /// Whether a rule sends files there. What lies there besides copies is then its owner's.
    pub fn sends_to(&self, store: &str) -> bool {
        self.rules.iter().flat_map(|r| &r.asks).any(|ask| ask.destinations().iter().any(|to| to == store))
    }
    /// Whether a rule lets that store hold recordings.
    pub fn moves_to(&self, store: &str) -> bool {
        let moves = |ask: &Ask| matches!(ask, Ask::Move { to, .. } if to == store);
        self.rules.iter().any(|rule| rule.asks.iter().any(moves))
    }
    /// The classes that rules leave to buckets' own lifecycle rules.
    pub fn lifecycle_classes(&self) -> BTreeSet<&str> {
        let asks = self.rules.iter().flat_map(|rule| &rule.asks);
        asks.filter_map(|ask| match ask {
            Ask::Action(Action::Archive { class, by: Way::Lifecycle, .. }) => Some(class.as_str()),
            _ => None,
        })
        .collect()
    }
    /// Stores of one region are lost together; a store whose region is not said is one of its own.
    pub fn region<'a>(&'a self, store: &'a str) -> &'a str {
        self.stores.get(store).and_then(|s| s.region.as_deref()).unwrap_or(store)
    }
    /// Sorted by name.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }
}

impl Rule {
    /// What it looks for, as written: `type video/*, size >=1MB`; `all` when it looks for nothing.
    pub fn looks_for(&self) -> String {
        let when = self.when.as_ref().map(|w| format!("when {}", w.written));
        let written: Vec<&str> =
            self.conditions.iter().map(|c| c.written.as_str()).chain(when.as_deref()).collect();
        if written.is_empty() { "all".into() } else { written.join(", ") }
    }
    /// Whether it deletes by date, and not for room.
    pub(crate) fn deletes(&self) -> bool {
        self.watermark.is_none() && self.asks.iter().any(|ask| matches!(ask, Ask::Delete { .. }))
    }
    /// What it asks for: `convert mp4-720p`, `backup replica`.
    pub fn asks_for(&self) -> impl Iterator<Item = String> {
        self.asks.iter().map(Ask::label)
    }
}

impl Ask {
    /// Where it sends files to.
    pub(crate) fn destinations(&self) -> &[String] {
        match self {
            Self::Action(Action::Export(spec)) => std::slice::from_ref(&spec.to),
            Self::Export(wish) => &wish.to,
            _ => &[],
        }
    }
    pub(crate) fn label(&self) -> String {
        match self {
            Self::Action(Action::Notify { severity, .. }) => format!("notify {}", severity.as_str()),
            Self::Action(action) => action.label(),
            Self::Mix { preset, .. } => format!("mix {}", preset.name),
            Self::Move { to, .. } => format!("{} {to}", self.verb()),
            Self::Delete { .. } => "delete".into(),
            Self::Evict { store } => format!("evict {store}"),
            Self::Export(wish) => wish.label(),
            Self::Hold { reason } => format!("hold ({reason})"),
            Self::Keep { for_ms: Some(ms) } => format!("keep {}", show_duration(*ms)),
            Self::Keep { for_ms: None } => "keep for ever".into(),
        }
    }
    pub(crate) fn verb(&self) -> &'static str {
        match self {
            Self::Action(action) => action.verb(),
            Self::Mix { .. } => "mix",
            Self::Move { archive: true, .. } => "archive",
            Self::Move { archive: false, .. } => "move",
            Self::Delete { .. } => "delete",
            Self::Evict { .. } => "evict",
            Self::Export(_) => "export",
            Self::Hold { .. } => "hold",
            Self::Keep { .. } => "keep",
        }
    }
}
