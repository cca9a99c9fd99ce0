//! PostgreSQL keeps the contract, and what is PostgreSQL's own.
#![cfg(feature = "postgres")]

use std::sync::Arc;

use catalog::{Catalog, Postgres, contract::Fixture, postgres::Options};

use testbed::Postgres as Server;

async fn open(url: &str) -> Postgres {
    Postgres::connect(url, &Options { connections: 4, ..Options::default() }).await.unwrap()
}

async fn fresh() -> Fixture {
    let url = Server::shared().database();
    let catalog: Arc<dyn Catalog> = Arc::new(open(&url).await);
    let again = Box::new(move || -> futures::future::BoxFuture<'static, Arc<dyn Catalog>> {
        let url = url.clone();
        Box::pin(async move { Arc::new(open(&url).await) as Arc<dyn Catalog> })
    });
    Fixture { catalog, again, keep: Box::new(()) }
}

catalog::contract_suite!(fresh);
