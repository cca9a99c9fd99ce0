use std::collections::VecDeque;

use futures::Stream;

use super::{
    Sftp,
    files::{Open, Server},
    wire::{Attributes, Entry},
};
use crate::{Error, ErrorKind, Name};

/// A file as a listing shows it.
pub(super) struct Found {
    pub folder: Option<Name>,
    pub file: String,
    pub attributes: Attributes,
}

struct Walk<'a> {
    at: &'a Sftp,
    folders: Vec<Option<Name>>,
    open: Option<(Server, Open, Option<Name>, String)>,
    page: VecDeque<Entry>,
}

/// All files in a folder and below it. Links are not followed: they may lead in circles, or elsewhere.
pub(super) fn files(at: &Sftp, folder: Option<Name>) -> impl Stream<Item = Result<Found, Error>> + Send + '_ {
    let top = folder.clone();
    let walk = Walk { at, folders: vec![folder], open: None, page: VecDeque::new() };
    futures::stream::try_unfold((walk, top), |(mut walk, top)| async move {
        let found = walk.next(top.as_ref()).await?;
        Ok(found.map(|found| (found, (walk, top))))
    })
}

impl Walk<'_> {
    async fn next(&mut self, top: Option<&Name>) -> Result<Option<Found>, Error> {
        loop {
            while let Some(entry) = self.page.pop_front() {
                let Some((.., folder, _)) = &self.open else { break };
                // What is no UTF-8 cannot be named by us.
                let Ok(file) = String::from_utf8(entry.name.to_vec()) else { continue };
                if file == "." || file == ".." || file.contains('/') {
                    continue;
                }
                if entry.attributes.is_folder() {
                    self.folders.extend(Name::join(folder.as_ref(), &file).ok().map(Some));
                } else if entry.attributes.is_file() {
                    return Ok(Some(Found { folder: folder.clone(), file, attributes: entry.attributes }));
                }
            }
            if let Some((server, open, _, path)) = &self.open
                && let Some(page) = server.entries(open, path).await?
            {
                self.page = page.into();
                continue;
            }
            self.open = None;
            let Some(folder) = self.folders.pop() else { return Ok(None) };
            let path =
                folder.as_ref().map_or_else(|| self.at.root().to_owned(), |folder| self.at.path(folder));
            let server = self.at.server().await?;
            match server.open_folder(&path).await {
                Ok(open) => self.open = Some((server, open, folder, path)),
                // One that is gone, or was never there, has no files; the root has to be there.
                Err(e) if e.kind() == ErrorKind::NotFound && folder.is_some() => {}
                // Some servers only say that it failed.
                Err(e)
                    if folder.is_some() && folder.as_ref() == top && server.stat(&path).await?.is_none() =>
                {
                    drop(e)
                }
                Err(e) => {
                    if folder.is_none() {
                        self.at.root_is_there(&server).await?;
                    }
                    return Err(e);
                }
            }
        }
    }
}
