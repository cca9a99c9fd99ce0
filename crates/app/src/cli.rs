mod by_hand;
mod describe;

use std::path::PathBuf;

pub use by_hand::{
    Alerts, Apply, Archive, Audit, Backup, Batch, Certificates, Convert, Copies, Delete, Export, Hold,
    Import, Mix, Move, Release, Restore, Undelete, Which,
};
use clap::{Args, Parser, Subcommand};
pub use describe::Describe;
use domain::{JobState, Timestamp};

use crate::exit;

/// Turns a pile of recordings into a library that looks after itself.
///
/// One policy file says what should be true of every recording; videorec makes it true and keeps it true.
#[derive(Parser)]
#[command(name = "videorec", version, after_help = exit::HELP, max_term_width = 110)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Args, Clone)]
pub struct Global {
    /// The library's folder [default: $VIDEOREC_LIBRARY, else the library that the current folder is in]
    #[arg(long, short = 'L', global = true, value_name = "DIR")]
    pub library: Option<PathBuf>,
    /// The policy file [default: DIR/policy.yaml, else the policy last in force, else the shipped one]
    #[arg(long, global = true, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Print JSON: one object a line
    #[arg(long, global = true)]
    pub json: bool,
    /// Sandbox layers to do without, by name (see `videorec doctor`); without this, a missing layer is refused
    #[arg(long, global = true, value_name = "LAYERS", value_delimiter = ',')]
    pub allow_missing: Vec<String>,
}

#[derive(Subcommand)]
pub enum Command {
    /// Run everything in one process: watch the inbox, work, keep what the policy says true; Ctrl-C ends it cleanly
    Up(Up),
    /// Serve a fleet: take events and jobs from the queues, until SIGTERM; any number of these work together
    Work(Work),
    /// Show the fleet: queues, workers, jobs in flight
    Fleet,
    /// Look at messages that nobody could read or do, and send them again or drop them
    #[command(subcommand)]
    Dlq(Dlq),
    /// Bring in files and folders, and do with them what the policy says
    Ingest(Ingest),
    /// List recordings, newest first
    Ls(Ls),
    /// Show all that is known of a recording, and why it is as it is
    Show {
        /// The recording's id, or its first characters
        id: String,
    },
    /// Find recordings: words, "exact phrases", pre*, -without, tag:x, kind:session, state:ready, type:video/*
    Search(Search),
    /// List jobs, newest first: what runs, what waits, what gave up and why
    Jobs(Jobs),
    /// Take up again what gave up: a job, all of a recording's, or everything
    Retry {
        /// Ids of jobs or recordings, or their first characters
        #[arg(required_unless_present = "all")]
        ids: Vec<String>,
        /// Everything that gave up
        #[arg(long, conflicts_with = "ids")]
        all: bool,
    },
    /// Say what would be done and why; nothing is done
    Plan(Plan),
    /// Do what a plan says, as far as nothing has changed since
    Apply(Apply),
    /// Say what recordings are: their title, tags and fields of your own, which rules and searches go by
    Describe(Describe),
    /// Let nothing of them go: no deletion, no eviction, no move, until it is released
    Hold(Hold),
    /// Release a hold that was placed by hand
    Release(Release),
    /// Put recordings into the trash; `undelete` brings them back until they are purged
    Delete(Delete),
    /// Bring recordings back from the trash
    Undelete(Undelete),
    /// Make renditions of recordings: another format, sound alone, thumbnails
    Convert(Convert),
    /// Compose the tracks of sessions
    Mix(Mix),
    /// Make verified copies in another store
    Backup(Backup),
    /// Put recordings where keeping them is cheap: another storage class, or another store
    Archive(Archive),
    /// Make archived recordings readable for a while
    Restore(Restore),
    /// Let another store hold recordings: copied, verified, switched, and only then removed
    Move(Move),
    /// Send recordings to a partner: by SFTP, FTP, WebDAV, HTTP, S3 or into a folder, with proof
    Export(Export),
    /// Bring back what was exported: by its manifest, from a partner or a folder
    ///
    /// Every recording comes in with the bytes that the manifest says, and with the name, title, tags, dates and session that it
    /// had; what is here already is left alone. Into a library on one machine, or, where VIDEOREC_CATALOG names a fleet, into the
    /// fleet's own store (VIDEOREC_STORE, not below a watched prefix), where its workers go on with it.
    Import(Import),
    /// Show where every copy is, and when it was last read back
    Copies(Copies),
    /// Look at the audit log, and verify it
    #[command(subcommand)]
    Audit(Audit),
    /// List the proofs of deletions, newest first
    Certificates(Certificates),
    /// Look at what was ordered, pause it, resume it, cancel it
    #[command(subcommand)]
    Batch(Batch),
    /// Look at what people were told, and acknowledge it
    #[command(subcommand)]
    Alerts(Alerts),
    /// Check ffmpeg, the sandbox, the disk, the stores and the partners' servers; each line says what to do
    Doctor,
    /// Write, check and explain the policy
    #[command(subcommand)]
    Policy(Policy),
    /// Print completions for a shell
    Completions {
        /// bash, zsh, fish, elvish or powershell
        shell: clap_complete::Shell,
    },
}

#[derive(Args)]
pub struct Plan {
    /// Show every recording, not just the first of each rule
    #[arg(long)]
    pub all: bool,
    /// Write a plan that `videorec apply` takes: frozen, so that what has changed since is skipped
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// What storage costs, as YAML [default: S3's list prices; see --print-prices]
    #[arg(long, value_name = "FILE")]
    pub prices: Option<PathBuf>,
    /// Print the shipped table of prices, to be changed and given as --prices
    #[arg(long, exclusive = true)]
    pub print_prices: bool,
}

#[derive(Args)]
pub struct Up {
    /// Seconds that running jobs may take to finish after Ctrl-C; a second Ctrl-C ends them at once
    #[arg(long, default_value_t = 20, value_name = "SECONDS")]
    pub drain: u64,
    /// Seconds for which a file in the inbox must not change before it is taken
    #[arg(long, default_value_t = 2, value_name = "SECONDS")]
    pub stable: u64,
    #[command(flatten)]
    pub machine: Machine,
}

#[derive(Args)]
pub struct Work {
    /// Where jobs have their private directories
    #[arg(long, default_value = "/scratch", value_name = "DIR")]
    pub scratch: PathBuf,
    /// Megabytes of it that jobs may fill [default: nine tenths of what is free]
    #[arg(long, value_name = "MB")]
    pub disk: Option<u64>,
    /// Where to answer /healthz, /readyz and /metrics
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    pub listen: std::net::SocketAddr,
    /// Seconds that running jobs may take to finish after SIGTERM; then they are handed back. ECS kills after its
    /// stopTimeout, which is to be longer
    #[arg(long, default_value_t = 90, value_name = "SECONDS")]
    pub drain: u64,
    /// Seconds for which a worker may be silent before its jobs are another's
    #[arg(long, default_value_t = worker::LEASE.as_secs(), value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(3..=3600))]
    pub lease: u64,
    /// Minutes between two comparisons of the watched buckets with the catalog; 0: only when a schedule sends a tick
    #[arg(long, default_value_t = 60, value_name = "MINUTES")]
    pub walk_every: u64,
    #[command(flatten)]
    pub machine: Machine,
}

#[derive(Subcommand)]
pub enum Dlq {
    /// List them, with the reason where there is one
    Ls {
        /// Messages of each lane at most
        #[arg(long, default_value_t = 20, value_name = "N")]
        limit: usize,
    },
    /// Show one whole
    Show {
        /// Its id, or its first characters
        id: String,
    },
    /// Send them to their lane again
    Redrive(Letters),
    /// Remove them for good
    Drop(Letters),
}

#[derive(Args)]
pub struct Letters {
    /// Its id, or its first characters
    #[arg(required_unless_present = "all")]
    pub id: Option<String>,
    /// All of a lane: events, interactive or bulk
    #[arg(long, value_name = "LANE", conflicts_with = "id", value_parser = lane)]
    pub all: Option<queue::Lane>,
}

#[derive(Args)]
pub struct Ingest {
    /// Files and folders
    #[arg(required = true)]
    pub paths: Vec<PathBuf>,
    /// Only take them in; the work is left to `videorec up` or a later command
    #[arg(long)]
    pub no_wait: bool,
    /// Tags to give them
    #[arg(long, value_name = "TAGS", value_delimiter = ',', value_parser = policy::tag)]
    pub tag: Vec<String>,
    /// A field of your own, as in case=A-17; once for each
    #[arg(long, value_name = "NAME=VALUE", value_parser = describe::field)]
    pub field: Vec<(String, String)>,
    /// When they were recorded, e.g. 2026-03-01T09:00:00Z; age counts from it
    #[arg(long, value_name = "TIME")]
    pub recorded_at: Option<Timestamp>,
    #[command(flatten)]
    pub machine: Machine,
}

/// What this machine gives to jobs.
#[derive(Args)]
pub struct Machine {
    /// Threads for jobs [default: all]
    #[arg(long, value_name = "N")]
    pub threads: Option<u32>,
    /// Megabytes of memory for jobs [default: three quarters of the machine's]
    #[arg(long, value_name = "MB")]
    pub memory: Option<u64>,
}

#[derive(Args)]
pub struct Ls {
    /// Recordings at most
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
    /// Go on after a page: the cursor that it ended with (with --json: {"next": CURSOR} on standard error)
    #[arg(long)]
    pub after: Option<catalog::Cursor>,
    /// Also show what was made of each
    #[arg(long)]
    pub renditions: bool,
}

#[derive(Args)]
pub struct Search {
    /// What to look for; everything must hold. Options come before it
    #[arg(required = true, allow_hyphen_values = true, value_parser = word)]
    pub words: Vec<String>,
    /// Hits at most
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
    /// Go on after a page: the cursor that it ended with (with --json: {"next": CURSOR} on standard error)
    #[arg(long)]
    pub after: Option<catalog::Cursor>,
}

#[derive(Args)]
pub struct Jobs {
    /// Only those in this state: pending, running, done, parked, cancelled
    #[arg(long, value_delimiter = ',', value_parser = job_state)]
    pub state: Vec<JobState>,
    /// Only those of this recording
    #[arg(long, value_name = "ID")]
    pub recording: Option<String>,
    /// Jobs at most
    #[arg(long, default_value_t = 50)]
    pub limit: u32,
}

#[derive(Subcommand)]
pub enum Policy {
    /// Write the commented default policy: the reference of the language
    Init {
        /// Where to [default: DIR/policy.yaml]
        file: Option<PathBuf>,
    },
    /// Check a policy file; nothing is done
    Check {
        /// [default: the policy that would be used]
        file: Option<PathBuf>,
    },
    /// Say for one recording which rules apply, which do not and why, and what it waits for
    Explain {
        /// The recording's id, or its first characters
        id: String,
    },
    /// Print the policy that would be used
    Show,
    /// Print the lifecycle rules that `archive` with `by: lifecycle` needs of a bucket, for `aws s3api
    /// put-bucket-lifecycle-configuration`
    Lifecycle,
    /// Print a JSON Schema of the language, for editors
    Schema,
}

fn lane(text: &str) -> Result<queue::Lane, String> {
    queue::Lane::ALL.into_iter().find(|l| l.as_str() == text).ok_or_else(|| {
        let known: Vec<_> = queue::Lane::ALL.iter().map(|l| l.as_str()).collect();
        format!("not a lane; the lanes are {}", known.join(", "))
    })
}

/// After the first word clap takes whatever follows for another, because words may begin with a dash (`-without`).
fn word(text: &str) -> Result<String, String> {
    match text {
        "-L" | "-h" | "-V" => {}
        text if text.starts_with("--") => {}
        text => return Ok(text.to_owned()),
    }
    Err("options come before the words: `videorec search --limit 5 lobby`".to_owned())
}

fn job_state(text: &str) -> Result<JobState, String> {
    JobState::ALL.into_iter().find(|s| s.as_str() == text).ok_or_else(|| {
        let known: Vec<_> = JobState::ALL.iter().map(|s| s.as_str()).collect();
        format!("not a state; the states are {}", known.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_well_formed() {
        super::Cli::command().debug_assert();
    }
}
