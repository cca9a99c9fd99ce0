use futures::StreamExt as _;
use futures::stream::BoxStream;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    time::timeout,
};

use super::{
    Ftp,
    listing::{self, Entry},
    pool::Lease,
    refused::Refused,
    session::{Data, Kind},
};
use crate::{Error, ErrorKind, Meta, Name, partial};

/// Deeper than anybody sorts recordings: links that lead round in a circle end here.
const DEEPEST: usize = 32;
/// Folders that wait to be looked into.
const MOST: usize = 100_000;
/// Bytes of one line: a name and what is said of it.
const LONGEST: u64 = 16 << 10;

/// All files in a folder and below it, partial ones too. One line at a time: a server may list for ever.
pub(super) fn files(at: &Ftp, folder: Option<Name>) -> BoxStream<'static, Result<Meta, Error>> {
    let walk = Walk { at: at.clone(), waiting: vec![folder], open: None };
    futures::stream::try_unfold(walk, |mut walk| async { Ok(walk.next().await?.map(|meta| (meta, walk))) })
        .boxed()
}

struct Walk {
    at: Ftp,
    waiting: Vec<Option<Name>>,
    open: Option<Open>,
}

struct Open {
    session: Lease,
    lines: BufReader<Data>,
    folder: Option<Name>,
    machine: bool,
}

impl Walk {
    async fn next(&mut self) -> Result<Option<Meta>, Error> {
        loop {
            let Some(open) = &mut self.open else {
                let Some(folder) = self.waiting.pop() else { return Ok(None) };
                self.open = open_folder(&self.at, folder).await?;
                continue;
            };
            let shown = shown(open.folder.as_ref());
            let failed = |e| self.at.blame.error("list", &shown, e);
            let Some(line) = line(&mut open.lines, &self.at).await.map_err(failed)? else {
                let Some(Open { session, lines, .. }) = self.open.take() else { return Ok(None) };
                let patience = self.at.blame.options.patience;
                session.finish(lines.into_inner(), patience).await.map_err(failed)?;
                session.release();
                continue;
            };
            let entry = if open.machine { listing::mlsd(&line) } else { listing::list(&line) };
            let Some(entry) = entry else { continue };
            let folder = open.folder.clone();
            if let Some(meta) = self.take(folder.as_ref(), entry)? {
                return Ok(Some(meta));
            }
        }
    }

    fn take(&mut self, folder: Option<&Name>, entry: Entry) -> Result<Option<Meta>, Error> {
        let name = if entry.kind == Kind::File && partial::is_partial(&entry.name) {
            Name::reserved(folder, &entry.name)
        } else {
            match Name::join(folder, &entry.name) {
                Ok(name) => name,
                // No file of ours.
                Err(_) => return Ok(None),
            }
        };
        if entry.kind == Kind::File {
            return Ok(Some(Meta { name, size: entry.size, modified: entry.modified, hash: None }));
        }
        if name.segments().count() < DEEPEST {
            if self.waiting.len() >= MOST {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    format!(
                        "destination `{}` has too many folders to list: list one of them",
                        self.at.blame.name
                    ),
                ));
            }
            self.waiting.push(Some(name));
        }
        Ok(None)
    }
}

fn shown(folder: Option<&Name>) -> String {
    folder.map_or_else(|| "its folder".to_owned(), ToString::to_string)
}

/// `None`: there is no such folder.
async fn open_folder(at: &Ftp, folder: Option<Name>) -> Result<Option<Open>, Error> {
    let mut session = at.session().await?;
    let failed = |e| at.blame.error("list", shown(folder.as_ref()), e);
    let path = folder.as_ref().map_or_else(|| session.home().to_owned(), |folder| session.path(folder));
    // Into the folder first: what a listing's argument means differs, with `*`, `[` and `-` in it above all.
    match session.enter(&path).await {
        Ok(()) => {}
        Err(Refused::Said { code: 450 | 501 | 550 | 553, .. }) if folder.is_some() => {
            session.release();
            return Ok(None);
        }
        Err(e) => return Err(failed(e)),
    }
    let mut refused = Refused::Late;
    // Names that begin with a dot, as those of partial files, show with `-a` only.
    for (command, machine) in [("MLSD", true), ("LIST -a", false), ("LIST", false)] {
        if machine && !session.features.mlst {
            continue;
        }
        match session.open(command, 0).await {
            Ok(data) => return Ok(Some(Open { session, lines: BufReader::new(data), folder, machine })),
            Err(e @ Refused::Said { code: 500.., .. }) => refused = e,
            Err(e) => return Err(failed(e)),
        }
    }
    Err(failed(refused))
}

async fn line(lines: &mut BufReader<Data>, at: &Ftp) -> Result<Option<String>, Refused> {
    let mut line = Vec::new();
    let mut bounded = lines.take(LONGEST);
    match timeout(at.blame.options.patience, bounded.read_until(b'\n', &mut line)).await {
        Err(_) => return Err(Refused::Late),
        Ok(Err(e)) => return Err(Refused::Broken(e.to_string())),
        Ok(Ok(0)) => return Ok(None),
        Ok(Ok(_)) => {}
    }
    if line.len() as u64 == LONGEST {
        return Err(Refused::Broken("it sends a line without end".into()));
    }
    // Names in another script's encoding are no names of ours.
    let line = String::from_utf8(line).unwrap_or_default();
    Ok(Some(line.trim_end_matches(['\r', '\n']).to_owned()))
}
