//! ECS's agent: told over HTTP, inside the task, whether this task may be ended to scale in.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request, Uri};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use worker::Protection;

/// Longer than anything between two renewals (an hour), and over within a shift when a worker forgets.
const MINUTES: u32 = 180;
const PATIENCE: Duration = Duration::from_secs(5);

/// `$ECS_AGENT_URI/task-protection/v1/state`
#[derive(Debug)]
pub struct Agent {
    state: Uri,
}

impl Agent {
    /// `uri`: what ECS says in `ECS_AGENT_URI`.
    pub fn new(uri: &str) -> Result<Self> {
        let state = format!("{}/task-protection/v1/state", uri.trim_end_matches('/'));
        Ok(Self { state: state.parse().with_context(|| format!("ECS_AGENT_URI is no address: {uri}"))? })
    }
}

#[async_trait]
impl Protection for Agent {
    async fn set(&self, on: bool) -> Result<()> {
        let body = match on {
            true => serde_json::json!({ "ProtectionEnabled": true, "ExpiresInMinutes": MINUTES }),
            false => serde_json::json!({ "ProtectionEnabled": false }),
        };
        let request = Request::builder()
            .method(Method::PUT)
            .uri(&self.state)
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body.to_string())))?;
        let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
        let answered = async {
            let response = client.request(request).await.context("the ECS agent does not answer")?;
            let status = response.status();
            let text = response.into_body().collect().await.map(|b| b.to_bytes()).unwrap_or_default();
            anyhow::Ok((status, String::from_utf8_lossy(&text).into_owned()))
        };
        let (status, text) =
            tokio::time::timeout(PATIENCE, answered).await.context("the ECS agent does not answer")??;
        // A refusal may come with 200: `failure` says so.
        let answer: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        if !status.is_success()
            || answer.get("failure").is_some_and(|f| !f.is_null())
            || answer.get("error").is_some()
        {
            bail!("the ECS agent refuses: {status} {}", text.chars().take(200).collect::<String>());
        }
        Ok(())
    }
}
