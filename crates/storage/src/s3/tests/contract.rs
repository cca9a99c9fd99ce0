//! The suite that every backend passes, for the three ways to set a bucket up.

use super::kit::*;
use crate::{
    contract::Subject,
    s3::{Checksums, Options},
};

async fn subject(kind: Kind, options: Options) -> Subject {
    let scene = Scene::with(kind, options).await;
    let dir = tempfile::tempdir().unwrap();
    Subject { store: shared(&scene.s3), near: dir.path().to_owned(), far: None, keep: Box::new(dir) }
}

mod versioned {
    async fn subject() -> super::Subject {
        super::subject(super::Versioned, super::options()).await
    }
    crate::contract!(subject);
}

mod unversioned_in_small_parts {
    async fn subject() -> super::Subject {
        super::subject(super::Unversioned, super::small_parts()).await
    }
    crate::contract!(subject);
}

mod without_checksums {
    use super::*;

    async fn subject() -> Subject {
        let options = Options { checksums: Checksums::WhenRequired, part_size: 512 << 10, ..options() };
        super::subject(Versioned, options).await
    }
    crate::contract!(subject);
}
