use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Stdio},
    time::Duration,
};

use crate::{around::Around, bench::load::Usage, run::root};

/// The Python program next to us (`peer.py`), for as long as a bench takes.
pub struct Peer {
    process: Child,
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Peer {
    pub fn start(around: &Around, bucket: &str, scratch: &Path) -> Result<Self, String> {
        let mut command = around.command(&around.python);
        command.arg(root().join("crates/xtask/src/bench/fleet/peer.py")).arg(bucket).arg(scratch);
        let started = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut process = started.map_err(|e| format!("python did not start: {e}"))?;
        let (asks, answers) = process.stdin.take().zip(process.stdout.take()).expect("both are piped");
        Ok(Self { process, asks, answers: BufReader::new(answers) })
    }

    /// Has it do a task; how long that took.
    pub fn ask(&mut self, words: &[&str]) -> Result<Duration, String> {
        let failed = |why: &str| format!("peer.py could not `{}`: {why}", words[0]);
        writeln!(self.asks, "{}", words.join("\t")).map_err(|e| failed(&e.to_string()))?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer).map_err(|e| failed(&e.to_string()))?;
        let seconds = answer.trim().parse().map_err(|_| failed("see what it said above"))?;
        Ok(Duration::from_secs_f64(seconds))
    }

    pub fn usage(&self) -> Usage {
        Usage::of(self.process.id())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
