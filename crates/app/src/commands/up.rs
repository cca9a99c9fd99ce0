use std::time::Duration;

use anyhow::Result;
use tokio_util::sync::CancellationToken;
use tracing::info;
use worker::{Inbox, Intake, Options};

use crate::{
    cli::Up,
    config::Config,
    exit::{Code, Coded},
    wire,
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
    let intake = Intake::new(workshop.library.clone(), Options { remove: true, ..Options::default() });
    let inbox = Inbox::new(workshop.layout.inbox(), intake, Duration::from_secs(args.stable));
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
    tokio::select! {
        _ = async { tokio::join!(runner.run(stop.clone()), inbox.run(runner.clone(), stop.clone())) } => {}
        () = second => {}
    }
    info!("stopped; starting again goes on where this left off");
    Ok(Code::Done)
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
