use std::{
    ffi::OsStr,
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
};

/// A server that ends with whoever started it.
///
/// Test processes are killed, panic and leave by `exit` without dropping anything, so the guard is not here but in a
/// small parent of the server's: it reads from a pipe whose other end only we hold, and when that closes it kills the
/// server's whole process group.
#[derive(Debug)]
pub struct Guarded {
    parent: Child,
    /// Closing it is what ends the server.
    _pipe: Option<ChildStdin>,
}

const PARENT: &str = "\
import os, signal, subprocess, sys, threading
server = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, start_new_session=True)
def watch():
    sys.stdin.buffer.read()
    try: os.killpg(server.pid, signal.SIGKILL)
    except ProcessLookupError: pass
threading.Thread(target=watch, daemon=True).start()
sys.exit(server.wait() & 255)
";

impl Guarded {
    /// Starts `program` with its output in `log`.
    pub fn start<S: AsRef<OsStr>>(
        program: &Path,
        arguments: impl IntoIterator<Item = S>,
        environment: &[(&str, &str)],
        log: &Path,
    ) -> Self {
        let out = std::fs::File::create(log).expect("a log file");
        let mut command = Command::new("python3");
        command
            .args(["-c", PARENT])
            .arg(program)
            .args(arguments)
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(out.try_clone().expect("a second handle"))
            .stderr(out);
        let mut parent = command.spawn().unwrap_or_else(|e| panic!("python3 did not start: {e}"));
        let pipe = parent.stdin.take();
        Self { parent, _pipe: pipe }
    }

    pub fn is_running(&mut self) -> bool {
        matches!(self.parent.try_wait(), Ok(None))
    }

    /// Ends the server at once and waits until it is gone.
    pub fn kill(&mut self) {
        self._pipe = None;
        let _ = self.parent.wait();
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.kill();
    }
}
