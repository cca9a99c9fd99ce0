//! A fleet's stores, for who only looks.

use anyhow::Result;
use policy::Policy;
use worker::{Stores, Watched};

use super::engines;
use crate::config::Config;

/// Those that the environment and the policy name, and the places whose objects are recordings.
pub async fn open(config: &Config, policy: &Policy) -> Result<(Stores, Vec<Watched>)> {
    let sdk = engines::sdk_config().await;
    let (stores, watched) = engines::places(engines::fleet_of(config)?, &sdk)?;
    let stores = engines::with_policy(stores, &watched, policy, &sdk, &config.secrets).await?;
    Ok((stores, watched))
}
