use super::{
    Blame,
    shell::{NO_FOLDER, NO_PROGRAM},
};
use crate::{Error, ErrorKind, inert, sftp::Said};

/// How a run of rsync ended, where it did not end well.
#[derive(Debug, Default)]
pub(super) struct Ended {
    /// rsync's own; `None`: it was killed.
    pub code: Option<i32>,
    /// What rsync complained of, here and from there.
    pub complaint: String,
    /// Of what ran there.
    pub said: Said,
    /// The first that came from there: where it is not rsync that answers, it says so.
    pub first: Vec<u8>,
}

impl Blame {
    /// What that means to whoever wanted `whom` sent.
    pub(super) fn ended(&self, whom: &str, ended: &Ended) -> Error {
        let (name, server, whom) = (&*self.name, &self.server, inert(whom));
        let said = said(ended);
        if ended.said.refused {
            let message = format!(
                "destination `{name}`: {server} runs no command for us, and rsync wants one; have the account allowed to run \
                 `rsync`, or use `sftp:` for this server"
            );
            return Error::new(ErrorKind::Unsupported, message);
        }
        match ended.said.status {
            Some(NO_FOLDER) => return Error::not_found(name, whom),
            Some(status) if NO_PROGRAM.contains(&status) => return self.lacks_rsync(),
            _ => {}
        }
        if tells(&said, &["No space left on device", "Disk quota exceeded", "Disc quota exceeded"]) {
            return Error::no_space(name, whom);
        }
        let failed = |kind, hint: &str| {
            Error::new(
                kind,
                format!("destination `{name}`: rsync cannot send `{whom}`: {}{hint}", inert(&said)),
            )
        };
        if tells(&said, &["Permission denied", "Read-only file system", "Operation not permitted"]) {
            return failed(ErrorKind::Denied, "; have the server's operator give our user access to it");
        }
        // <https://download.samba.org/pub/rsync/rsync.1#EXIT_VALUES>
        match ended.code {
            // Whoever answers does not speak the protocol: a greeting of the shell's, or another program altogether.
            Some(2) => {
                let first = String::from_utf8_lossy(&ended.first[..ended.first.len().min(100)]).into_owned();
                failed(
                    ErrorKind::Unsupported,
                    &format!(
                        "; the server answered `{}`: its shell must say nothing when a command is run, and rsync there must not \
                         be far older than here",
                        inert(&first)
                    ),
                )
            }
            Some(1 | 4) => failed(ErrorKind::Unsupported, "; have rsync updated there, or use `sftp:`"),
            Some(24) => failed(ErrorKind::Source, ""),
            Some(10 | 12 | 30 | 35) | None => failed(ErrorKind::Unavailable, ""),
            Some(_) => failed(ErrorKind::Other, "").temporary(true),
        }
    }

    /// Trouble on this machine.
    pub(super) fn not_here(&self, why: &dyn std::fmt::Display) -> Error {
        let message = format!("destination `{}`: rsync cannot be run on this machine: {why}", self.name);
        Error::new(ErrorKind::Invalid, message)
    }

    pub(super) fn lacks_rsync(&self) -> Error {
        let (name, server) = (&self.name, &self.server);
        let message = format!(
            "destination `{name}`: {server} has no `rsync`; have the package `rsync` installed there, or use `sftp:` for this \
             server"
        );
        Error::new(ErrorKind::Unsupported, message)
    }
}

/// All that was complained of, in one line.
fn said(ended: &Ended) -> String {
    let lines = ended.complaint.lines().chain(ended.said.complaint.lines());
    let mut lines: Vec<&str> = lines.map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.dedup();
    match (lines.is_empty(), ended.code) {
        (false, _) => lines.join("; "),
        (true, Some(code)) => format!("it ended with code {code} and no word"),
        (true, None) => "it was killed".into(),
    }
}

fn tells(said: &str, of: &[&str]) -> bool {
    of.iter().any(|text| said.contains(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rsync_says_is_told_with_what_to_do() {
        let blame = Blame { name: "partner".into(), server: "the server `h:22`".into() };
        let by = |code, complaint: &str, status| {
            let said = Said { status, ..Said::default() };
            let ended =
                Ended { code: Some(code), complaint: complaint.into(), said, first: b"Welcome!\n".to_vec() };
            blame.ended("a.mp4", &ended)
        };
        for (error, kind, temporary, says) in [
            (by(12, "", Some(NO_FOLDER)), ErrorKind::NotFound, false, "a.mp4"),
            (by(12, "", Some(127)), ErrorKind::Unsupported, false, "the package `rsync`"),
            (
                by(11, "write failed: No space left on device (28)", Some(11)),
                ErrorKind::NoSpace,
                true,
                "full",
            ),
            (by(23, "mkstemp failed: Permission denied (13)", Some(23)), ErrorKind::Denied, false, "access"),
            (by(2, "protocol version mismatch", None), ErrorKind::Unsupported, false, "Welcome!"),
            (by(12, "connection unexpectedly closed", None), ErrorKind::Unavailable, true, "closed"),
            (by(5, "", None), ErrorKind::Other, true, "code 5"),
        ] {
            let message = error.to_string();
            assert_eq!((error.kind(), error.is_temporary()), (kind, temporary), "{message}");
            assert!(message.contains("`partner`") && message.contains(says), "{message}");
        }
        let ended = Ended { said: Said { refused: true, ..Said::default() }, ..Ended::default() };
        assert_eq!(blame.ended("a", &ended).kind(), ErrorKind::Unsupported);
    }
}
