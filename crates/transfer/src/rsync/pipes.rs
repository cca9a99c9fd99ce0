use std::{fs, io, os::unix::fs::OpenOptionsExt as _, path::Path};

use rustix::fs::OFlags;
use tokio::{
    io::AsyncReadExt as _,
    net::unix::pipe::{Receiver, Sender},
};

/// The two named pipes between rsync in its sandbox, which has no network, and us, who have the connection.
pub(super) struct Pipes {
    /// What rsync says to the server.
    pub up: Receiver,
    /// What the server says. Dropped, that is all.
    pub down: Sender,
}

/// rsync starts it, with what it wants to run on the server.
pub(super) const RELAY: &str = "/bin/sh relay";
const SCRIPT: &str = include_str!("relay.sh");

/// Bytes of the command that is to run.
const COMMAND: usize = 64 << 10;

impl Pipes {
    /// In rsync's own folder.
    pub(super) fn make(folder: &Path) -> io::Result<Self> {
        fs::write(folder.join("relay"), SCRIPT)?;
        let open = |name: &str| {
            let path = folder.join(name);
            make(&path)?;
            // For both, so that nobody waits for the other end to be opened, and nothing ends before it has begun.
            let flags = OFlags::NONBLOCK.bits().cast_signed();
            fs::OpenOptions::new().read(true).write(true).custom_flags(flags).open(&path)
        };
        Ok(Self { up: Receiver::from_file(open("up")?)?, down: Sender::from_file(open("down")?)? })
    }

    /// What rsync wants to run on the server.
    pub(super) async fn command(&mut self) -> io::Result<Vec<String>> {
        let mut parts = Vec::new();
        let mut part = Vec::new();
        let mut bytes = 0;
        loop {
            let byte = self.up.read_u8().await?;
            bytes += 1;
            match byte {
                0 if part.is_empty() => break,
                0 => parts.push(String::from_utf8_lossy(&std::mem::take(&mut part)).into_owned()),
                _ if bytes > COMMAND => return Err(io::ErrorKind::InvalidData.into()),
                byte => part.push(byte),
            }
        }
        // Before it is the name of the server, which is of no interest.
        if parts.is_empty() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        parts.remove(0);
        Ok(parts)
    }
}

#[cfg(target_os = "linux")]
fn make(path: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, Mode, mkfifoat};
    Ok(mkfifoat(CWD, path, Mode::RUSR | Mode::WUSR)?)
}

#[cfg(not(target_os = "linux"))]
fn make(_: &Path) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "it is for Linux only; use `sftp:`"))
}
