use std::{sync::Arc, time::Duration};

use anyhow::Result;
use tracing::{error, info};
use worker::{Limits, Protection, Runner};

use super::up;
use crate::{
    cli::Work,
    config::Config,
    exit::Code,
    fleet::{agent::Agent, engines, serve},
    reload, wire,
};

/// One worker of a fleet, until SIGTERM.
pub async fn run(config: &Config, args: &Work) -> Result<Code> {
    // First of all: from here on a signal means a clean end.
    let stop = up::stop_on_signal();
    let engines::Shop { library, policy_text, metrics, _lock } = engines::work(config, args).await?;
    let limits = Limits {
        threads: wire::threads(&args.machine),
        memory: wire::memory(&args.machine),
        disk: engines::disk(args)?,
        drain: Duration::from_secs(args.drain),
        // A queue that holds all that is to be done is what the fleet is scaled by.
        backlog: None,
        walk_every: (args.walk_every > 0).then(|| Duration::from_secs(args.walk_every * 60)),
    };
    let agent = config.fleet.as_ref().and_then(|f| f.agent.as_deref());
    let protection = agent.map(Agent::new).transpose()?.map(|agent| Arc::new(agent) as Arc<dyn Protection>);
    let runner = Runner::protected(library.clone(), limits, protection);
    let served = serve::Served { library: library.clone(), metrics: metrics.clone(), stop: stop.clone() };
    let server = serve::listen(args.listen, served).await?;
    runner.begin().await?;
    info!(worker = library.worker, threads = limits.threads, "working; SIGTERM ends it cleanly");
    let second = async {
        stop.cancelled().await;
        info!(seconds = args.drain, "draining: no new work; what runs may finish, then it is handed back");
        up::signalled().await;
        runner.abandon();
        std::future::pending::<()>().await
    };
    let (catalog, scratch) = (library.catalog.clone(), library.scratch.clone());
    let source = engines::PolicyOfFleet { config, catalog, scratch };
    let alone = |_, _, _| std::future::ready(());
    tokio::select! {
        served = reload::serve(&source, runner.clone(), library.clone(), policy_text, &stop, alone) => served?,
        () = second => {}
    }
    // A poll that was under way may still bring a message: it is given back, or it would be invisible for minutes.
    if let Err(e) = library.queue.close().await {
        error!(error = %e, "the last polls were not given back; their messages come again by themselves");
    }
    server.abort();
    metrics.flush();
    info!("stopped");
    Ok(Code::Done)
}
