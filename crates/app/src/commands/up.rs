use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use tokio_util::sync::CancellationToken;
use tracing::info;
use worker::{Inbox, Intake, Library, Options, Runner};

use crate::{
    cli::Up,
    config::{Config, Layout},
    destinations,
    exit::{Code, Coded},
    reload, wire,
};

/// Everything in one process, until Ctrl-C.
pub async fn run(config: &Config, args: &Up) -> Result<Code> {
    // First of all: from here on a signal means a clean end.
    let stop = stop_on_signal();
    let workshop = wire::work(config, &args.machine).await?;
    let Some(_lock) = &workshop.lock else {
        let holder = workshop.holder.map(|pid| format!(", process {pid}")).unwrap_or_default();
        return Err(Coded::error(
            Code::Busy,
            format!(
                "another process works on {}{holder}; `videorec ingest` brings files in all the same",
                workshop.layout.root.display()
            ),
        ));
    };
    let runner = wire::runner(&workshop.library, &args.machine, Duration::from_secs(args.drain));
    let orphans = runner.recover().await?;
    info!(
        library = %workshop.layout.root.display(),
        inbox = %workshop.layout.inbox().display(),
        taken_over = orphans,
        "up; Ctrl-C ends it cleanly"
    );
    let second = async {
        stop.cancelled().await;
        info!(
            seconds = args.drain,
            "stopping: no new work; what runs may finish; Ctrl-C again ends it at once"
        );
        signalled().await;
        runner.abandon();
        std::future::pending::<()>().await
    };
    let file = PolicyOnDisk { config, layout: &workshop.layout };
    let inbox = |library: Arc<Library>, runner: Runner, stop: CancellationToken| {
        let intake = Intake::new(library, Options { remove: true, ..Options::default() });
        Inbox::new(workshop.layout.inbox(), intake, Duration::from_secs(args.stable)).run(runner, stop)
    };
    let (library, text) = (workshop.library.clone(), workshop.policy_text.clone());
    tokio::select! {
        served = reload::serve(&file, runner.clone(), library, text, &stop, inbox) => served?,
        () = second => {}
    }
    info!("stopped; starting again goes on where this left off");
    Ok(Code::Done)
}

struct PolicyOnDisk<'a> {
    config: &'a Config,
    layout: &'a Layout,
}

impl reload::Source for PolicyOnDisk<'_> {
    async fn text(&self) -> Result<String> {
        let path = wire::policy_path(self.config, self.layout);
        let path = path.unwrap_or_else(|| self.layout.policy_in_force());
        tokio::fs::read_to_string(&path).await.with_context(|| format!("reading {}", path.display()))
    }
    fn parse(&self, text: String) -> Result<wire::PolicyFile> {
        let path = wire::policy_path(self.config, self.layout);
        wire::parse_policy(text, &path.unwrap_or_else(|| self.layout.policy_in_force()))
    }
    async fn stores(&self, policy: &policy::Policy) -> Result<worker::Stores> {
        wire::stores(self.layout, policy, &self.config.secrets).await
    }
    fn destinations(&self, policy: &policy::Policy) -> worker::Destinations {
        destinations::of(self.config, policy)
    }
    async fn keep(&self, file: &wire::PolicyFile) -> Result<()> {
        wire::write_whole(&self.layout.policy_in_force(), &file.text)
    }
    fn every(&self) -> Duration {
        Duration::from_secs(2)
    }
}

/// Fires at the first Ctrl-C or SIGTERM.
pub fn stop_on_signal() -> CancellationToken {
    let stop = CancellationToken::new();
    let fired = stop.clone();
    tokio::spawn(async move {
        signalled().await;
        fired.cancel();
    });
    stop
}

pub async fn signalled() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
