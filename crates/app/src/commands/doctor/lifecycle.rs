use policy::Policy;
use storage::{ErrorKind, Key, Store};
use worker::{LIBRARY_STORE, Stores, lifecycle};

use super::Finding;
use crate::{
    config::Config,
    wire::{self, View},
};

/// Whether the buckets that hold recordings have the rules that `archive` with `by: lifecycle` relies on. Where they have not,
/// nothing would ever be archived.
pub async fn rules(config: &Config) -> Vec<Finding> {
    let view = wire::look(config).await;
    // What is wrong with the library or its policy was said.
    let Ok(view) = view else { return Vec::new() };
    let Ok(policy) = wire::policy_of(config, &view).await.map(|file| file.policy) else { return Vec::new() };
    let classes = policy.lifecycle_classes();
    if classes.is_empty() {
        return Vec::new();
    }
    let (stores, homes) = match stores(config, &view, &policy).await {
        Ok(found) => found,
        Err(e) => return vec![Finding { what: "archive".into(), ok: false, says: format!("{e:#}") }],
    };
    let mut findings = Vec::new();
    for store in
        stores.iter().filter(|s| homes.iter().any(|home| home == s.name()) || policy.moves_to(s.name()))
    {
        for class in &classes {
            findings.push(rule(store, class).await);
        }
    }
    findings
}

async fn rule(store: &dyn Store, class: &str) -> Finding {
    let what = format!("archive {} {class}", store.name());
    let any = Key::parse("x").expect("a key");
    match lifecycle::provides(store, &any, ANY_SIZE, class).await {
        Ok(true) => Finding { what, ok: true, says: "a lifecycle rule of its bucket does it".into() },
        Ok(false) => Finding { what, ok: false, says: lifecycle::missing(store, class) },
        Err(e) if e.kind() == ErrorKind::Invalid => {
            Finding { what, ok: false, says: format!("{e}; {}", lifecycle::ELSEWHERE) }
        }
        Err(e) => Finding { what, ok: false, says: e.to_string() },
    }
}

/// A recording's.
const ANY_SIZE: u64 = 1 << 30;

/// All stores, and those that recordings come to lie in.
async fn stores(config: &Config, view: &View, policy: &Policy) -> anyhow::Result<(Stores, Vec<String>)> {
    if let Some(layout) = &view.layout {
        return Ok((wire::stores(layout, policy).await?, vec![LIBRARY_STORE.to_owned()]));
    }
    #[cfg(feature = "cloud")]
    {
        let (stores, watched) = crate::fleet::stores::open(config, policy).await?;
        Ok((stores, watched.into_iter().map(|place| place.store).collect()))
    }
    #[cfg(not(feature = "cloud"))]
    {
        let _ = config;
        anyhow::bail!("this build knows no fleet")
    }
}
