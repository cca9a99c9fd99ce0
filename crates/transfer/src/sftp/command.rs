//! Commands that run on the server, over the connections that SFTP has: the same keys, the same user.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use russh::{ChannelMsg, ChannelReadHalf, ChannelWriteHalf, client::Msg};
use tokio::{runtime::Handle, time::timeout};

use super::{
    Sftp,
    session::{Lost, Session},
};
use crate::{Error, Name};

/// A command under way: what it says, and where it is told something.
pub(crate) struct Command {
    pub reading: Reading,
    pub writing: Writing,
}

pub(crate) struct Reading {
    from: ChannelReadHalf,
    pub said: Said,
}

/// Dropped, the command is hung up on.
pub(crate) struct Writing {
    to: Option<ChannelWriteHalf<Msg>>,
    session: Arc<Session>,
}

/// What a command said besides what it was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Said {
    /// As a shell has it; `None`: it was killed, or the connection broke.
    pub status: Option<u32>,
    /// The end of what it complained of.
    pub complaint: String,
    /// The server runs no command for us.
    pub refused: bool,
}

/// Bytes of a complaint.
const COMPLAINT: usize = 4 << 10;
/// Bytes that a command may answer.
const ANSWER: usize = 64 << 10;

impl Sftp {
    /// Has the user's shell on the server run a line.
    pub(crate) async fn run(&self, line: &str) -> Result<Command, Error> {
        let server = self.server().await?;
        let lost = |why: String| self.blame.lost(&Lost(why));
        let channel = server.session.channel().await.map_err(|e| lost(e.0))?;
        channel.exec(true, line).await.map_err(|e| lost(e.to_string()))?;
        let (from, to) = channel.split();
        let reading = Reading { from, said: Said::default() };
        Ok(Command { reading, writing: Writing { to: Some(to), session: server.session } })
    }

    /// Runs a line to its end; what it answers, at most [`ANSWER`]. Errors: it takes longer than `within`.
    pub(crate) async fn ask_shell(&self, line: &str, within: Duration) -> Result<(Vec<u8>, Said), Error> {
        let Command { mut reading, writing } = self.run(line).await?;
        let talk = async {
            writing.is_all().await;
            let mut answer = Vec::new();
            while let Some(data) = reading.next().await {
                let room = ANSWER - answer.len();
                answer.extend_from_slice(&data[..data.len().min(room)]);
            }
            answer
        };
        match timeout(within, talk).await {
            Ok(answer) => Ok((answer, reading.said)),
            Err(_) => Err(self.blame.lost(&Lost(format!("a command did not end within {within:?}")))),
        }
    }

    /// Where that is from the server's root on, which commands know as well as SFTP.
    pub(crate) async fn real_root(&self) -> Result<String, Error> {
        let server = self.server().await?;
        self.root_is_there(&server).await?;
        server.real_path(self.root()).await
    }

    /// Whether there is such a folder; `None` is the root.
    pub(crate) async fn has_folder(&self, folder: Option<&Name>) -> Result<bool, Error> {
        let path = folder.map_or_else(|| self.root().to_owned(), |folder| self.path(folder));
        Ok(self.server().await?.stat(&path).await?.is_some_and(|found| found.is_folder()))
    }

    /// Has the server write to its disk what others have written to that file, where it can.
    pub(crate) async fn make_durable(&self, name: &Name) -> Result<(), Error> {
        let (server, path) = (self.server().await?, self.path(name));
        let file = server.open(&path, super::wire::open::WRITE).await?;
        server.finish(file, &path).await
    }

    /// Speaks of the server in errors.
    pub(crate) fn address(&self) -> String {
        self.options().server()
    }
}

impl Reading {
    /// What it writes next; `None` when it has ended.
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        loop {
            match self.from.wait().await? {
                ChannelMsg::Data { data } => return Some(data),
                ChannelMsg::ExtendedData { data, .. } => self.said.complain(&data),
                ChannelMsg::ExitStatus { exit_status } => self.said.status = Some(exit_status),
                ChannelMsg::Failure => {
                    self.said.refused = true;
                    return None;
                }
                ChannelMsg::Close => return None,
                // How it ended comes behind the last byte.
                _ => {}
            }
        }
    }
}

impl Writing {
    /// Errors: it takes no more.
    pub(crate) async fn write(&self, data: Bytes) -> Result<(), russh::Error> {
        match &self.to {
            Some(to) => to.data_bytes(data).await,
            None => Ok(()),
        }
    }

    /// Tells it that nothing more comes.
    async fn is_all(&self) {
        if let Some(to) = &self.to {
            // One that has ended needs no telling.
            let _ = to.eof().await;
        }
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        if let (Some(to), Ok(runtime)) = (self.to.take(), Handle::try_current()) {
            let session = self.session.clone();
            runtime.spawn(async move {
                let _ = to.close().await;
                drop(session);
            });
        }
    }
}

impl Said {
    fn complain(&mut self, said: &[u8]) {
        self.complaint.push_str(&String::from_utf8_lossy(said));
        if self.complaint.len() > COMPLAINT {
            let cut = self.complaint.len() - COMPLAINT;
            let cut = (cut..).find(|at| self.complaint.is_char_boundary(*at)).unwrap_or(cut);
            self.complaint.drain(..cut);
        }
    }
}
