//! A policy that is edited while the system runs: taken over when it checks, and only then.

use std::{future::Future, sync::Arc, time::Duration};

use anyhow::Result;
use domain::{Alert, Hasher, Severity};
use policy::Policy;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use worker::{Destinations, Library, Runner, Stores};

use crate::wire::PolicyFile;

/// Where the policy is read, and what its stores are.
pub trait Source {
    /// The text as it is now.
    fn text(&self) -> impl Future<Output = Result<String>> + Send;
    fn parse(&self, text: String) -> Result<PolicyFile>;
    fn stores(&self, policy: &Policy) -> impl Future<Output = Result<Stores>> + Send;
    fn destinations(&self, policy: &Policy) -> Destinations;
    /// Remembered as the policy in force.
    fn keep(&self, file: &PolicyFile) -> impl Future<Output = Result<()>> + Send;
    fn every(&self) -> Duration;
}

/// Works until `stop` by the policy as it is edited, `beside` with each: what takes work in for it.
pub async fn serve<B: Future<Output = ()>>(
    source: &impl Source,
    mut runner: Runner,
    mut library: Arc<Library>,
    mut text: String,
    stop: &CancellationToken,
    beside: impl Fn(Arc<Library>, Runner, CancellationToken) -> B,
) -> Result<()> {
    loop {
        let turn = stop.child_token();
        let working = async {
            let beside = beside(library.clone(), runner.clone(), turn.clone());
            tokio::join!(runner.serve(turn.clone()), beside)
        };
        let edited = async {
            let next = tokio::select! {
                next = changed(source, &library, &mut text) => Some(next),
                () = stop.cancelled() => None,
            };
            turn.cancel();
            next
        };
        let (_, next) = tokio::join!(working, edited);
        let Some(next) = next else { break };
        library = Arc::new(next);
        runner = runner.succeed(library.clone()).await?;
    }
    runner.drain().await;
    Ok(())
}

/// Waits for another policy that checks, and answers with the library under it. One that does not check changes nothing:
/// the old one stays in force, and people are told.
async fn changed(source: &impl Source, library: &Library, current: &mut String) -> Library {
    loop {
        tokio::time::sleep(source.every()).await;
        let text = match source.text().await {
            Ok(text) if text == *current => continue,
            // An editor may be half-way through: half a policy may check, and hold nothing of what the other half holds.
            Ok(text) => {
                tokio::time::sleep(source.every()).await;
                match source.text().await {
                    Ok(again) if again == text => text,
                    _ => continue,
                }
            }
            // Its disk is away: the next look tells.
            Err(e) => {
                warn!(error = format!("{e:#}"), "the policy cannot be read; the old one stays in force");
                continue;
            }
        };
        current.clone_from(&text);
        match take_over(source, library, text).await {
            Ok(Some(next)) => return next,
            Ok(None) => {}
            Err(e) => {
                let why = format!("{e:#}");
                error!(error = why, "the edited policy is not taken over; the old one stays in force");
                if let Err(e) = library.catalog.raise(&[broken(library, current, &why)]).await {
                    error!(error = %e, "and nobody could be told");
                }
            }
        }
    }
}

/// Nothing when it means the same as the old one.
async fn take_over(source: &impl Source, library: &Library, text: String) -> Result<Option<Library>> {
    let file = source.parse(text)?;
    if file.policy.hash() == library.policy.hash() {
        return Ok(None);
    }
    let stores = source.stores(&file.policy).await?;
    let destinations = source.destinations(&file.policy);
    source.keep(&file).await?;
    info!(policy = file.policy.hash(), "another policy checks and is taken over");
    Ok(Some(library.under(file.policy, stores, destinations)))
}

fn broken(library: &Library, text: &str, why: &str) -> Alert {
    // The same mistake is the same news.
    let mut hasher = Hasher::new();
    hasher.update(text.as_bytes());
    let sha256 = hasher.finish().sha256.to_string();
    Alert {
        key: format!("policy-broken/{}", &sha256[..12]),
        severity: Severity::Warning,
        service: "policy".into(),
        subject: "the edited policy is not taken over; the old one stays in force".into(),
        cause: why.to_owned(),
        next: "Mend it: `videorec policy check` shows every problem with its line.".into(),
        recording: None,
        at: library.now(),
    }
}
