use storage::{Key, Store};
use worker::lifecycle;

use super::Finding;
use crate::{commands::lifecycle::stores, config::Config, wire};

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
        Err(e) => Finding { what, ok: false, says: lifecycle::unasked(&e) },
    }
}

/// A recording's.
const ANY_SIZE: u64 = 1 << 30;
