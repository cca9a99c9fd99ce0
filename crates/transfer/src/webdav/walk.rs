use std::collections::VecDeque;

use futures::{StreamExt as _, stream::BoxStream};
use percent_encoding::percent_decode_str;

use super::{ASKED, WebDav, xml::Found};
use crate::{Error, ErrorKind, Meta, Name, partial};

/// Deeper than anybody sorts recordings: links that lead round in a circle end here.
const DEEPEST: usize = 32;
/// Folders that wait to be looked into.
const MOST: usize = 100_000;

/// All files in a folder and below it, partial ones too; one folder at a time.
pub(super) fn files(at: &WebDav, folder: Option<Name>) -> BoxStream<'static, Result<Meta, Error>> {
    let walk = Walk { at: at.clone(), waiting: vec![folder], found: VecDeque::new() };
    futures::stream::try_unfold(walk, |mut walk| async { Ok(walk.next().await?.map(|meta| (meta, walk))) })
        .boxed()
}

struct Walk {
    at: WebDav,
    waiting: Vec<Option<Name>>,
    found: VecDeque<Meta>,
}

impl Walk {
    async fn next(&mut self) -> Result<Option<Meta>, Error> {
        loop {
            if let Some(meta) = self.found.pop_front() {
                return Ok(Some(meta));
            }
            let Some(folder) = self.waiting.pop() else { return Ok(None) };
            for found in self.at.find(folder.as_ref(), "1", ASKED).await?.unwrap_or_default() {
                self.take(folder.as_ref(), &found)?;
            }
        }
    }

    fn take(&mut self, folder: Option<&Name>, found: &Found) -> Result<(), Error> {
        let Some(file) = self.file_in(folder, &found.href) else { return Ok(()) };
        let name = if !found.collection && partial::is_partial(&file) {
            Name::reserved(folder, &file)
        } else {
            match Name::join(folder, &file) {
                Ok(name) => name,
                // No file of ours.
                Err(_) => return Ok(()),
            }
        };
        if !found.collection {
            self.found.extend(found.size.map(|size| Meta {
                name,
                size,
                modified: found.modified,
                hash: None,
            }));
        } else if name.segments().count() < DEEPEST {
            if self.waiting.len() >= MOST {
                let message = format!(
                    "destination `{}` has too many folders to list: list one of them",
                    self.at.web.name
                );
                return Err(Error::new(ErrorKind::Unsupported, message));
            }
            self.waiting.push(Some(name));
        }
        Ok(())
    }

    /// The name of what a link leads to, if that is in this very folder on this very server.
    fn file_in(&self, folder: Option<&Name>, href: &str) -> Option<String> {
        let address = self.at.web.address();
        let path = match href.split_once("://") {
            Some(_) => {
                let rest = href.strip_prefix(&address.origin())?;
                rest.starts_with('/').then_some(rest)?
            }
            None => href,
        };
        // How each encodes it is its own affair.
        let decode = |text: &str| percent_decode_str(text).decode_utf8().ok().map(|text| text.into_owned());
        let (parent, file) = path.trim_end_matches('/').rsplit_once('/')?;
        let ours = address.path_of(folder);
        let file = decode(file)?;
        (decode(parent)? == decode(&ours)? && !file.is_empty() && !file.contains('/')).then_some(file)
    }
}
