use std::{io::Write as _, sync::Arc};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use domain::{Digest, Hasher};

use super::{temporary::Temporary, tree::Tree};
use crate::{CHUNK, Error, ErrorKind, Key, Meta, Put, Upload, off_thread::off_thread};

/// A write under way. Bytes are gathered into big steps, so that a small object costs one hop to a blocking thread
/// for everything from creating to syncing.
pub(super) struct Writing {
    tree: Arc<Tree>,
    key: Key,
    options: Put,
    gathered: BytesMut,
    state: State,
}

enum State {
    Fresh,
    Begun(Box<Begun>),
    /// A step failed or its future was dropped: what the file holds is unknown.
    Lost,
}

struct Begun {
    temporary: Temporary,
    hasher: Hasher,
}

impl Writing {
    pub fn new(tree: Arc<Tree>, key: Key, options: Put) -> Self {
        Self { tree, key, options, gathered: BytesMut::new(), state: State::Fresh }
    }

    async fn append(&mut self, bytes: Bytes) -> Result<(), Error> {
        let state = std::mem::replace(&mut self.state, State::Lost);
        let (tree, key) = (self.tree.clone(), self.key.clone());
        let begun = off_thread(move || append(&tree, &key, state, &bytes)).await?;
        self.state = State::Begun(begun);
        Ok(())
    }
}

#[async_trait]
impl Upload for Writing {
    async fn write(&mut self, bytes: Bytes) -> Result<(), Error> {
        if self.gathered.is_empty() && bytes.len() >= CHUNK {
            return self.append(bytes).await;
        }
        self.gathered.extend_from_slice(&bytes);
        if self.gathered.len() >= CHUNK {
            let bytes = self.gathered.split().freeze();
            self.append(bytes).await?;
        }
        Ok(())
    }

    async fn commit(self: Box<Self>) -> Result<(Meta, Digest), Error> {
        let Self { tree, key, options, gathered, state } = *self;
        off_thread(move || {
            let Begun { temporary, hasher } = *append(&tree, &key, state, &gathered)?;
            let digest = hasher.finish();
            crate::store::check_expected(&tree.name, &key, &options, &digest)?;
            Ok((temporary.publish(&key, &options)?, digest))
        })
        .await
    }

    async fn abort(self: Box<Self>) -> Result<(), Error> {
        // Freeing the blocks of a large file takes a while.
        off_thread(move || drop(self.state)).await;
        Ok(())
    }
}

fn append(tree: &Arc<Tree>, key: &Key, state: State, bytes: &[u8]) -> Result<Box<Begun>, Error> {
    let mut begun = match state {
        State::Begun(begun) => begun,
        State::Fresh => {
            let temporary = Temporary::create(tree)
                .map_err(|e| Error::io(&tree.name, "make a temporary file for", key, &e.into()))?;
            Box::new(Begun { temporary, hasher: Hasher::new() })
        }
        State::Lost => {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!("store `{}`: the upload of `{key}` has failed before; begin a new one", tree.name),
            ));
        }
    };
    begun.temporary.file.write_all(bytes).map_err(|e| Error::io(&tree.name, "write", key, &e))?;
    begun.hasher.update(bytes);
    Ok(begun)
}
