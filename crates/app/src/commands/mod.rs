//! One command a file: what a person sees of what the rooms do.

mod alerts;
mod apply;
mod audit;
mod batch;
mod by_hand;
mod copies;
mod custody;
#[cfg(feature = "cloud")]
mod dlq;
mod doctor;
mod export;
#[cfg(feature = "cloud")]
mod fleet;
mod import;
mod ingest;
mod jobs;
mod lifecycle;
mod ls;
mod plan;
mod policy;
mod retry;
mod show;
mod up;
mod which;
#[cfg(feature = "cloud")]
mod work;

use anyhow::Result;
use clap::CommandFactory as _;
use domain::RecordingId;

use crate::{
    cli::{Cli, Command},
    config::Config,
    exit::{Code, Coded},
    logging, ui,
    wire::View,
};

pub fn run(cli: Cli) -> Result<Code> {
    if let Command::Completions { shell } = cli.command {
        // Gathered first: the generator panics when its reader (`| head`) has gone.
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "videorec", &mut script);
        ui::line(String::from_utf8_lossy(&script).trim_end());
        return Ok(Code::Done);
    }
    let config = Config::read(&cli.global)?;
    let serves = matches!(cli.command, Command::Up(_) | Command::Work(_));
    logging::start(&config, !serves, serves && config.json);
    // Two threads: the heavy work is done by children, and each thread costs memory.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(dispatch(cli.command, &config))
}

async fn dispatch(command: Command, config: &Config) -> Result<Code> {
    match command {
        Command::Up(args) => up::run(config, &args).await,
        #[cfg(feature = "cloud")]
        Command::Work(args) => work::run(config, &args).await,
        #[cfg(feature = "cloud")]
        Command::Fleet => fleet::run(config).await,
        #[cfg(feature = "cloud")]
        Command::Dlq(args) => dlq::run(config, &args).await,
        #[cfg(not(feature = "cloud"))]
        Command::Work(_) | Command::Fleet | Command::Dlq(_) => Err(crate::wire::without_cloud()),
        Command::Ingest(args) => ingest::run(config, &args).await,
        Command::Ls(args) => ls::list(config, &args).await,
        Command::Show { id } => show::run(config, &id).await,
        Command::Search(args) => ls::search(config, &args).await,
        Command::Jobs(args) => jobs::run(config, &args).await,
        Command::Retry { ids, all } => retry::run(config, &ids, all).await,
        Command::Plan(args) => plan::run(config, &args).await,
        Command::Apply(args) => apply::run(config, &args).await,
        Command::Describe(args) => custody::describe(config, &args).await,
        Command::Hold(args) => custody::hold(config, &args).await,
        Command::Release(args) => custody::release(config, &args).await,
        Command::Undelete(args) => custody::undelete(config, &args).await,
        Command::Delete(args) => by_hand::delete(config, &args).await,
        Command::Convert(args) => by_hand::convert(config, &args).await,
        Command::Mix(args) => by_hand::mix(config, &args).await,
        Command::Backup(args) => by_hand::backup(config, &args).await,
        Command::Archive(args) => by_hand::archive(config, &args).await,
        Command::Restore(args) => by_hand::restore(config, &args).await,
        Command::Move(args) => by_hand::relocate(config, &args).await,
        Command::Export(args) => export::run(config, &args).await,
        Command::Import(args) => import::run(config, &args).await,
        Command::Copies(args) => copies::run(config, &args).await,
        Command::Audit(args) => audit::run(config, &args).await,
        Command::Certificates(args) => audit::certificates(config, &args).await,
        Command::Batch(args) => batch::run(config, &args).await,
        Command::Alerts(args) => alerts::run(config, &args).await,
        Command::Doctor => doctor::run(config).await,
        Command::Policy(args) => policy::run(config, &args).await,
        Command::Completions { .. } => unreachable!("handled before there is a runtime"),
    }
}

/// The one recording whose id begins like this.
async fn one(view: &View, prefix: &str) -> Result<RecordingId> {
    match view.catalog.resolve(&prefix.to_lowercase()).await?.as_slice() {
        [] => Err(Coded::error(
            Code::NotFound,
            format!("no recording's id begins with `{}`; see `videorec ls`", ui::text::inert(prefix)),
        )),
        [id] => Ok(*id),
        several => {
            let ids: Vec<_> = several.iter().map(ToString::to_string).collect();
            Err(Coded::error(Code::NotFound, format!("`{prefix}` begins several ids: {}", ids.join(", "))))
        }
    }
}
