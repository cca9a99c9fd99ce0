//! One run of rsync: the program in its sandbox, the command on the server, and the bytes between them.

use std::{ffi::OsString, path::Path, time::Duration};

use bytes::BytesMut;
use sandbox::{ChildStdout, Exit, Finished, Limits, Spec, Stdin};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};

use super::{
    Rsync,
    failure::Ended,
    pipes::{Pipes, RELAY},
    shell,
};
use crate::{
    Error, Name, Source,
    sftp::{Command, Said},
};

/// What is sent where.
pub(super) struct Run<'a> {
    /// A file on this machine.
    pub local: &'a Path,
    /// The file that it becomes, in a folder that is there. Its own name has nothing in it that a shell or rsync could mistake.
    pub partial: &'a Name,
    pub how: How,
    /// Who counts and paces what goes over the line.
    pub source: &'a dyn Source,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// What is there is right as far as it goes: only what is behind it.
    Behind(u64),
    /// What is there, if anything is, may be anything: only what differs.
    Differing,
}

/// Bytes that are passed on at once. Small, so that at the slowest pace there is, no side takes the other for dead.
const PIECE: usize = 32 << 10;
/// Bytes of rsync's own account, and of the first that comes from the server.
const ACCOUNT: u64 = 16 << 10;
const FIRST: usize = 128;
/// How long the other side may take to end, once one has.
const GRACE: Duration = Duration::from_secs(5);
/// rsync, the relay and its two directions, and one more while they come to be.
const PROCESSES: u32 = 6;

impl Rsync {
    /// Bytes of the file that went over the line.
    pub(super) async fn send(&self, run: &Run<'_>) -> Result<u64, Error> {
        let here = |e: &dyn std::fmt::Display| self.blame.not_here(e);
        let folder = tempfile::Builder::new().prefix("rsync-").tempdir_in(&self.options.scratch);
        let folder = folder.map_err(|e| here(&e))?;
        let pipes = Pipes::make(folder.path()).map_err(|e| here(&e))?;
        let mut child = self.sandbox.spawn(self.spec(run, folder.path())).map_err(|e| here(&e))?;
        let out = child.take_stdout();
        let mut talk = std::pin::pin!(self.talk(run, pipes));
        let (finished, talked) = tokio::select! {
            finished = child.wait() => (finished, timeout(GRACE, &mut talk).await),
            talked = &mut talk => {
                // rsync's pipe has ended with it, and rsync is to end as well.
                let finished = match timeout(GRACE, child.wait()).await {
                    Ok(finished) => finished,
                    Err(_) => {
                        child.kill();
                        child.wait().await
                    }
                };
                (finished, Ok(talked))
            }
        };
        let Talked { said, first } = match talked {
            Ok(talked) => talked?,
            Err(_) => Talked::default(),
        };
        if finished.exit == Exit::Code(0) {
            let account = match out {
                Some(out) => account(out).await,
                None => String::new(),
            };
            return literal(&account)
                .ok_or_else(|| here(&"it gives no account of what it sent; have it updated"));
        }
        let Finished { exit, stderr_tail: complaint, .. } = finished;
        let code = match exit {
            Exit::Code(code) => Some(code),
            Exit::Signal(_) | Exit::Budget(_) => None,
        };
        Err(self.blame.ended(run.partial.as_str(), &Ended { code, complaint, said, first }))
    }

    /// The program without a network: what it would tell a remote shell it tells the relay.
    fn spec(&self, run: &Run<'_>, folder: &Path) -> Spec {
        let silence = self.options.ssh.patience.as_secs().max(1);
        let how = match run.how {
            How::Behind(_) => "--append",
            How::Differing => "--inplace",
        };
        // Without the last one rsync gives the file the rights of our copy, which is nobody's to read but ours.
        let options = [how, "--ignore-times", "--stats", "--no-human-readable", "--chmod=ugo=rwX"];
        let mut args: Vec<OsString> = options.map(Into::into).into();
        args.extend([format!("--timeout={silence}"), format!("--rsh={RELAY}"), "--".into()].map(Into::into));
        args.extend([run.local.into(), format!("there:{}", run.partial.file()).into()]);
        Spec {
            program: "rsync".into(),
            args,
            dir: folder.to_owned(),
            read: vec![run.local.to_owned()],
            limits: LIMITS,
            stdin: Stdin::Null,
        }
    }

    /// Runs on the server what rsync wants to, and passes on what the two say to each other, until the server's side ends.
    async fn talk(&self, run: &Run<'_>, mut pipes: Pipes) -> Result<Talked, Error> {
        let command = pipes.command().await.map_err(|e| self.blame.not_here(&e))?;
        let folder = self.folder(run.partial).await?;
        let Command { mut reading, writing } = self.files.run(&shell::in_folder(&folder, &command)).await?;
        let Pipes { mut up, mut down } = pipes;
        let there = async {
            let mut at = match run.how {
                How::Behind(from) => from,
                How::Differing => 0,
            };
            let mut piece = BytesMut::new();
            loop {
                piece.reserve(PIECE);
                let read = (&mut up).take(PIECE as u64).read_buf(&mut piece).await;
                let bytes = read.unwrap_or(0);
                if bytes == 0 {
                    break;
                }
                run.source.passing(at, bytes).await;
                at += bytes as u64;
                if writing.write(piece.split().freeze()).await.is_err() {
                    break;
                }
            }
            // Why it takes no more, the other direction says.
            std::future::pending::<()>().await;
        };
        let mut first = Vec::new();
        let back = async {
            while let Some(data) = reading.next().await {
                if first.len() < FIRST {
                    first.extend_from_slice(&data[..data.len().min(FIRST)]);
                }
                if down.write_all(&data).await.is_err() {
                    break;
                }
            }
        };
        tokio::select! {
            () = there => {}
            () = back => {}
        }
        Ok(Talked { said: reading.said, first })
    }
}

#[derive(Default)]
struct Talked {
    said: Said,
    first: Vec<u8>,
}

/// Budgets against a program that has gone wrong; what is slow is not wrong.
const LIMITS: Limits = Limits {
    wall: Duration::from_secs(7 * 24 * 60 * 60),
    cpu: Duration::from_secs(2 * 24 * 60 * 60),
    // The table of a large file's blocks is all that it holds.
    memory: 1 << 30,
    // It writes to pipes only.
    file_size: 1 << 20,
    disk: 1 << 20,
    processes: PROCESSES,
};

/// What rsync has said of its run, at its end: it fits into the pipe that it was written to.
async fn account(out: ChildStdout) -> String {
    let mut account = Vec::new();
    // One that breaks off is no account.
    let _ = out.take(ACCOUNT).read_to_end(&mut account).await;
    String::from_utf8_lossy(&account).into_owned()
}

/// Bytes that were sent because they were not there.
fn literal(account: &str) -> Option<u64> {
    let line = account.lines().find_map(|line| line.trim().strip_prefix("Literal data:"))?;
    line.trim().strip_suffix("bytes")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_account_is_read() {
        let account =
            "\nNumber of files: 1 (reg: 1)\nLiteral data: 4194304 bytes\nMatched data: 20971520 bytes\n";
        assert_eq!(literal(account), Some(4_194_304));
        assert_eq!(literal("Literal data: 4.19M bytes"), None);
        assert_eq!(literal(""), None);
    }
}
