//! What a person does to recordings of their choice.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand};
use domain::{Companion, Conflict, Layout, NameTemplate, Speed, Tenths, Verify, Way};
use worker::lifecycle::STANDARD;

/// Which recordings: an id or its first characters, or a query as `videorec search` takes it.
#[derive(Args)]
pub struct Which {
    /// Recordings: ids (or their first 6 characters and more), or a query: 'tag:legal recorded:2025'
    #[arg(required_unless_present = "everything")]
    pub which: Vec<String>,
    /// All recordings of the library
    #[arg(long, conflicts_with = "which")]
    pub everything: bool,
}

#[derive(Args)]
pub struct Hold {
    #[command(flatten)]
    pub which: Which,
    /// Why nothing of them may go
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// What the hold is called, so that several can lie on one recording
    #[arg(long, value_name = "NAME", default_value = "by-hand")]
    pub name: String,
    /// Only say what would be done
    #[arg(long)]
    pub plan: bool,
}

#[derive(Args)]
pub struct Release {
    #[command(flatten)]
    pub which: Which,
    /// The hold to release
    #[arg(long, value_name = "NAME", default_value = "by-hand", conflicts_with = "all_holds")]
    pub name: String,
    /// All holds that were placed by hand
    #[arg(long)]
    pub all_holds: bool,
    /// Only say what would be done
    #[arg(long)]
    pub plan: bool,
}

#[derive(Args)]
pub struct Convert {
    #[command(flatten)]
    pub which: Which,
    /// What to make: a shipped preset, or one of the policy's
    #[arg(long, value_name = "PRESET")]
    pub to: String,
    /// Make it anew where it is there already
    #[arg(long)]
    pub anew: bool,
    /// Only say what would be done
    #[arg(long)]
    pub plan: bool,
}

#[derive(Args)]
pub struct Mix {
    #[command(flatten)]
    pub which: Which,
    /// grid (everybody in tiles) or audio-only
    #[arg(long, value_name = "LAYOUT", default_value = "grid", value_parser = layout)]
    pub layout: Layout,
    /// Make everybody equally loud, as in -16LUFS [default: levels stay as they are]
    #[arg(long, value_name = "LUFS", allow_hyphen_values = true, value_parser = policy::loudness)]
    pub loudness: Option<Tenths>,
    /// What to make: a shipped preset, or one of the policy's [default: mp4-720p; audio-m4a where it is audio-only]
    #[arg(long, value_name = "PRESET")]
    pub to: Option<String>,
    /// Make it anew where it is there already
    #[arg(long)]
    pub anew: bool,
    /// Only say what would be done
    #[arg(long)]
    pub plan: bool,
}

#[derive(Args)]
pub struct Delete {
    #[command(flatten)]
    pub which: Which,
    /// Why: it is written into the audit log and on the deletion certificates
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// How long they stay in the trash, an hour at least [default: as the policy protects]
    #[arg(long, value_name = "TIME", value_parser = trash)]
    pub trash: Option<Duration>,
    /// Only say what would be done
    #[arg(long)]
    pub plan: bool,
}

#[derive(Args)]
pub struct Undelete {
    #[command(flatten)]
    pub which: Which,
    /// How long no rule may delete them again [default: as long as the policy keeps things in the trash]
    #[arg(long, value_name = "TIME", value_parser = span)]
    pub keep: Option<Duration>,
    /// Only say what would be done
    #[arg(long)]
    pub plan: bool,
}

#[derive(Args)]
pub struct Backup {
    #[command(flatten)]
    pub which: Which,
    /// The store to copy them to
    #[arg(long, value_name = "STORE")]
    pub to: String,
    /// Only say what would be done
    #[arg(long)]
    pub plan: bool,
}

#[derive(Args)]
pub struct Archive {
    #[command(flatten)]
    pub which: Which,
    /// The storage class, e.g. GLACIER or DEEP_ARCHIVE; STANDARD takes it back
    #[arg(long, value_name = "CLASS", required_unless_present = "to", conflicts_with = "to", value_parser = class)]
    pub class: Option<String>,
    /// now: at once, by a copy onto itself; lifecycle: within days, by a rule of their bucket, which is cheaper
    #[arg(long, value_name = "WAY", default_value = "now", value_parser = way, conflicts_with = "to")]
    pub by: Way,
    /// The store that is to hold them from then on: another disk, a NAS
    #[arg(long, value_name = "STORE")]
    pub to: Option<String>,
    /// Only say what would be done, and what it costs
    #[arg(long)]
    pub plan: bool,
}

#[derive(Args)]
pub struct Restore {
    #[command(flatten)]
    pub which: Which,
    /// expedited (minutes), standard (hours) or bulk (half a day, cheapest)
    #[arg(long, visible_alias = "tier", value_name = "SPEED", default_value = "standard", value_parser = speed)]
    pub speed: Speed,
    /// For how many days they are to be readable
    #[arg(long, value_name = "DAYS", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=365))]
    pub days: u32,
    /// Only say what would be done, and what it costs
    #[arg(long)]
    pub plan: bool,
}

#[derive(Args)]
pub struct Move {
    #[command(flatten)]
    pub which: Which,
    /// The store that is to hold them from then on
    #[arg(long, value_name = "STORE")]
    pub to: String,
    /// How long the place they come from keeps its copy: until then the way back costs nothing
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = span)]
    pub keep: Duration,
    /// Only say what would be done
    #[arg(long)]
    pub plan: bool,
}

#[derive(Args)]
pub struct Export {
    #[command(flatten)]
    pub which: Which,
    /// Where to: a store of the policy. Of several the fastest by its bandwidth whose hours are open, of equals
    /// the first; else the one that opens first
    #[arg(long, value_name = "PARTNER", required = true, value_delimiter = ',')]
    pub to: Vec<String>,
    /// Which file: source, a preset's name, or a media type (video/*, video/*:480) for the smallest that is of it
    #[arg(long, value_name = "RENDITION", default_value = "source")]
    pub rendition: String,
    /// The files' names there [default: {recorded:%Y/%m/%d}/{title}-{id}.{ext}]
    #[arg(long, value_name = "TEMPLATE")]
    pub r#as: Option<NameTemplate>,
    /// What travels along: json, dublin-core, thumbnails
    #[arg(long, value_name = "COMPANIONS", value_delimiter = ',', value_parser = companion)]
    pub with: Vec<Companion>,
    /// What happens when another file has the name: rename (ours becomes `name (2)`), skip or replace
    #[arg(long, value_name = "WHAT", default_value = "rename", value_parser = conflict)]
    pub on_conflict: Conflict,
    /// How it is made sure that all arrived: hash (the server's, else read back), size or none
    #[arg(long, value_name = "HOW", default_value = "hash", value_parser = verify)]
    pub verify: Verify,
    /// Have what is archived restored first: expedited, standard or bulk
    #[arg(long, value_name = "SPEED", value_parser = speed)]
    pub restore: Option<Speed>,
    /// For how many days what is restored is to be readable
    #[arg(long, value_name = "DAYS", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=365))]
    pub days: u32,
    /// Deliver no manifest when all is done
    #[arg(long)]
    pub no_manifest: bool,
    /// Only say what would be done: which files, by which route and why, names that would meet
    #[arg(long)]
    pub plan: bool,
}

#[derive(Args)]
pub struct Import {
    /// A store of the policy, or a folder
    #[arg(value_name = "PARTNER|FOLDER")]
    pub from: String,
    /// The manifest's name there [default: the only one that there is]
    #[arg(long, value_name = "NAME")]
    pub manifest: Option<String>,
    /// Only say what would be done
    #[arg(long)]
    pub plan: bool,
    /// Where each file is kept while it is brought into a fleet; a library on one machine has its own place for that
    #[arg(long, value_name = "DIR", default_value = "/var/tmp")]
    pub scratch: PathBuf,
}

#[derive(Args)]
pub struct Copies {
    #[command(flatten)]
    pub which: Which,
    /// Recordings at most
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
    /// Have all of them read back now: what reads as it was accepted is good again, whatever was found before
    #[arg(long, conflicts_with = "limit")]
    pub verify: bool,
}

#[derive(Args)]
pub struct Apply {
    /// What `videorec plan --out` wrote
    pub plan: PathBuf,
}

#[derive(Subcommand)]
pub enum Audit {
    /// Show what was done, newest first
    Ls {
        /// Only of this recording
        id: Option<String>,
        /// Entries at most
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// Recompute the chain of hashes: whether the log is as it was written
    Verify,
}

#[derive(Args)]
pub struct Certificates {
    /// Only of this recording
    pub id: Option<String>,
    /// Certificates at most
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
}

#[derive(Subcommand)]
pub enum Batch {
    /// List what was ordered by hand or by a round, newest first, with its progress
    Ls {
        /// Batches at most
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// Show how far one is: bytes, the time that is left, what is under way, what gave up and why
    Show { id: String },
    /// Hand out no more of its jobs; what runs goes on
    Pause { id: String },
    /// Go on
    Resume { id: String },
    /// Do no more of it, but for what a rule asks for as well
    Cancel { id: String },
}

#[derive(Subcommand)]
pub enum Alerts {
    /// List what people were told, newest first
    Ls {
        /// Alerts at most
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
        /// Only those that nobody has acknowledged
        #[arg(long)]
        open: bool,
    },
    /// Say that somebody looks after it: it is not told again
    Ack {
        /// Its key, as `videorec alerts ls` shows it
        key: String,
    },
    /// Tell a test alert, now, over every channel that is set up
    Test,
}

/// As a policy writes it: 30d, 12h, 10m, 45s.
fn span(text: &str) -> Result<Duration, String> {
    policy::duration(text)
}

/// Deletions never happen without a trash that somebody can notice, by hand either.
fn trash(text: &str) -> Result<Duration, String> {
    let trash = span(text)?;
    match trash < policy::Protect::SHORTEST_TRASH {
        true => Err("too short: what is deleted stays in the trash for 1h at least".into()),
        false => Ok(trash),
    }
}

fn speed(text: &str) -> Result<Speed, String> {
    Speed::ALL.into_iter().find(|s| s.as_str() == text).ok_or_else(|| {
        let known: Vec<_> = Speed::ALL.iter().map(|s| s.as_str()).collect();
        format!("not a speed; the speeds are {}", known.join(", "))
    })
}

fn class(text: &str) -> Result<String, String> {
    match text.to_ascii_uppercase() {
        standard if standard == STANDARD => Ok(standard),
        word => policy::storage_class(&word),
    }
}

fn way(text: &str) -> Result<Way, String> {
    word(text, "way", &Way::ALL, Way::as_str)
}

fn layout(text: &str) -> Result<Layout, String> {
    word(text, "layout", &Layout::ALL, Layout::as_str)
}

fn companion(text: &str) -> Result<Companion, String> {
    word(text, "companion", &Companion::ALL, Companion::as_str)
}

fn conflict(text: &str) -> Result<Conflict, String> {
    word(text, "way out", &Conflict::ALL, Conflict::as_str)
}

fn verify(text: &str) -> Result<Verify, String> {
    word(text, "way to verify", &Verify::ALL, Verify::as_str)
}

fn word<T: Copy>(text: &str, what: &str, all: &[T], name: fn(T) -> &'static str) -> Result<T, String> {
    all.iter().copied().find(|one| name(*one) == text).ok_or_else(|| {
        let known: Vec<_> = all.iter().map(|one| name(*one)).collect();
        format!("not a {what}; there are {}", known.join(", "))
    })
}
