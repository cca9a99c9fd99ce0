//! Over which channels people are told.

use std::sync::Arc;

use alerts::{All, Email, Encryption, Log, Notify, Once, Webhook};
use anyhow::{Context as _, Result};

use crate::{
    clock,
    config::{Config, Secret},
    exit::{Code, Coded},
};

/// Besides the log, and a fleet's topic.
#[derive(Debug, Clone, Default)]
pub struct Channels {
    pub webhook: Option<Secret>,
    pub webhook_secret: Option<Secret>,
    /// `smtps://host`, `smtp://host` (STARTTLS) or `smtp+plain://localhost`; with `user@` and `:port`.
    pub smtp: Option<String>,
    pub smtp_password: Option<Secret>,
    pub mail_from: Option<String>,
    /// Several with commas.
    pub mail_to: Option<String>,
}

/// Every channel that is set up. One that fails keeps the others from nothing, and nobody is told twice for it.
pub async fn channels(config: &Config) -> Result<Arc<dyn Notify>> {
    let mut all: Vec<Arc<dyn Notify>> = vec![Arc::new(Log)];
    if let Some(topic) = topic(config).await {
        all.push(topic);
    }
    let channels = &config.channels;
    if let Some(url) = &channels.webhook {
        let secret = channels.webhook_secret.as_ref().ok_or_else(|| {
            missing("VIDEOREC_WEBHOOK needs VIDEOREC_WEBHOOK_SECRET: `whsec_` and base64 of 24 bytes or more")
        })?;
        let webhook = Webhook::builder(url.expose(), secret.expose(), Arc::new(clock::System));
        all.push(Arc::new(Once::new(webhook.build().context("VIDEOREC_WEBHOOK")?)));
    }
    if let Some(server) = &channels.smtp {
        all.push(Arc::new(Once::new(email(server, channels)?)));
    }
    Ok(Arc::new(All(all)))
}

#[cfg(feature = "cloud")]
async fn topic(config: &Config) -> Option<Arc<dyn Notify>> {
    let topic = config.fleet.as_ref()?.topic.clone()?;
    let sdk = crate::fleet::engines::sdk_config().await;
    Some(Arc::new(Once::new(alerts::Sns::new(&sdk, topic))))
}

#[cfg(not(feature = "cloud"))]
#[expect(clippy::unused_async, reason = "with the feature it connects")]
async fn topic(_: &Config) -> Option<Arc<dyn Notify>> {
    None
}

fn email(server: &str, channels: &Channels) -> Result<Email> {
    let usage =
        "VIDEOREC_SMTP: write smtps://user@host, smtp://user@host (STARTTLS) or smtp+plain://localhost";
    let (scheme, rest) = server.split_once("://").ok_or_else(|| missing(usage))?;
    let encryption = match scheme {
        "smtps" => Encryption::Implicit,
        "smtp" => Encryption::StartTls,
        "smtp+plain" => Encryption::Plain,
        _ => return Err(missing(usage)),
    };
    let (user, host) = match rest.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, rest),
    };
    let (host, port) = match host.rsplit_once(':') {
        Some((host, port)) => (host, Some(port.parse::<u16>().map_err(|_| missing(usage))?)),
        None => (host, None),
    };
    let from =
        channels.mail_from.as_ref().ok_or_else(|| missing("VIDEOREC_SMTP needs VIDEOREC_MAIL_FROM"))?;
    let to = channels.mail_to.as_ref().ok_or_else(|| missing("VIDEOREC_SMTP needs VIDEOREC_MAIL_TO"))?;
    let mut builder = Email::builder(host, from).encryption(encryption);
    for to in to.split(',').map(str::trim).filter(|to| !to.is_empty()) {
        builder = builder.to(to);
    }
    if let Some(port) = port {
        builder = builder.port(port);
    }
    if let Some(user) = user {
        let password = channels.smtp_password.as_ref();
        let password =
            password.ok_or_else(|| missing("VIDEOREC_SMTP names a user and needs VIDEOREC_SMTP_PASSWORD"))?;
        builder = builder.login(user, password.expose());
    }
    builder.build().context("VIDEOREC_SMTP")
}

fn missing(what: &str) -> anyhow::Error {
    Coded::error(Code::Usage, what)
}
