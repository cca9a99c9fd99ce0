//! What whoever runs the fleet asks a worker: is it alive, can it work, what has it done.

use std::{fmt::Display, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use worker::Library;

use super::engines::Metrics;

/// A store that does not answer in this time is as good as away.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub struct Served {
    pub library: Arc<Library>,
    pub metrics: Metrics,
    /// No new work is taken from here on.
    pub stop: CancellationToken,
}

/// Listens until dropped. The address is logged: port 0 takes a free one.
pub async fn listen(address: SocketAddr, served: Served) -> Result<tokio::task::JoinHandle<()>> {
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}: choose another with --listen"))?;
    tracing::info!(address = %listener.local_addr()?, "health and metrics");
    let router = Router::new()
        .route("/healthz", get(alive))
        .route("/readyz", get(ready))
        .route("/metrics", get(measured))
        .with_state(served);
    Ok(tokio::spawn(async move {
        let _ = axum::serve(listener, router).await;
    }))
}

/// Alive is whoever answers: restarting helps against a hang and against nothing else, so that a database that is away
/// must not have the whole fleet restarted.
async fn alive(State(served): State<Served>) -> Response {
    let state = if served.stop.is_cancelled() { "draining" } else { "working" };
    Json(json!({ "state": state, "worker": served.library.worker })).into_response()
}

/// Ready is whoever could take a job now; the answer says what is missing.
async fn ready(State(served): State<Served>) -> Response {
    let library = &served.library;
    let (catalog, queue) =
        tokio::join!(trouble(library.catalog.bookmark("ready")), trouble(library.queue.depth()));
    let draining = served.stop.is_cancelled();
    let all_well = !draining && catalog.is_none() && queue.is_none();
    let status = if all_well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({ "ready": all_well, "draining": draining, "catalog": catalog, "queue": queue })))
        .into_response()
}

async fn trouble<T, E: Display>(asked: impl Future<Output = Result<T, E>>) -> Option<String> {
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Ok(_)) => None,
        Ok(Err(e)) => Some(e.to_string()),
        Err(_) => Some("no answer".to_owned()),
    }
}

/// In Prometheus' text format.
async fn measured(State(served): State<Served>) -> Response {
    match &served.metrics {
        Metrics::Prometheus(metrics) => {
            ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], metrics.render()).into_response()
        }
        Metrics::Emf(_) => {
            (StatusCode::NOT_FOUND, "metrics go to standard output as CloudWatch EMF here\n").into_response()
        }
    }
}
