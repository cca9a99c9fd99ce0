use std::{
    ffi::OsStr,
    io::Write as _,
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::Mutex,
    time::Duration,
};

use crate::wait_for;

/// A server that ends with whoever started it.
///
/// Test processes are killed, panic and leave by `exit` without dropping anything, so the guard is not here but in a
/// small parent of the server's: it reads from a pipe whose other end only we hold, and when that closes it kills the
/// server's whole process group.
#[derive(Debug)]
pub struct Guarded {
    parent: Child,
    /// Closing it is what ends the server.
    pipe: Option<ChildStdin>,
}

/// PostgreSQL's processes each lead a group of their own, hence the children one by one; sshd's have children in theirs that
/// go on serving without them.
const PARENT: &str = "\
import os, shutil, signal, subprocess, sys, threading, time
# Ctrl-C and `timeout` mean everybody in the group: this one stays until the pipe closes.
for end in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP): signal.signal(end, lambda *_: None)
server = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, start_new_session=True)
orphaned = False
def look(pid):
    try: state, parent = open(f'/proc/{pid}/stat').read().rpartition(')')[2].split()[:2]
    except OSError: return None
    return None if state == 'Z' else int(parent)
def kill(pid, how):
    try: os.kill(pid, how)
    except ProcessLookupError: pass
def watch():
    global orphaned
    said = b''
    while part := os.read(0, 99): said += part
    orphaned = not said
    kill(server.pid, signal.SIGSTOP)
    family = [int(pid) for pid in os.listdir('/proc') if pid.isdigit() and look(pid) == server.pid]
    for pid in [-server.pid, server.pid, *family, *(-pid for pid in family)]: kill(pid, signal.SIGKILL)
    while any(look(pid) is not None for pid in family): time.sleep(0.005)
watcher = threading.Thread(target=watch, daemon=True)
watcher.start()
code = server.wait()
if code == -signal.SIGKILL: watcher.join()
# Nobody said that this end is meant: then nobody is left to remove what the server wrote.
if orphaned and 'TESTBED_REMOVE' in os.environ:
    for path in os.environ['TESTBED_REMOVE'].split(':'):
        if os.path.isdir(path): shutil.rmtree(path, ignore_errors=True)
        elif os.path.exists(path): os.remove(path)
sys.exit(code & 255)
";

impl Guarded {
    /// Starts `program` with its output in `log`. `TESTBED_REMOVE` in the environment names what it leaves behind
    /// (`PATH:PATH`): that is removed when nobody is left to do it.
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
        Self { parent, pipe }
    }

    /// Waits until the server `answers`; panics with what it `said` when it ends before that. Nothing is locked then: whoever has it
    /// still has to end it.
    pub fn until(server: &Mutex<Self>, name: &str, said: impl Fn() -> String, answers: impl Fn() -> bool) {
        wait_for(&format!("the start of {name}"), Duration::from_secs(60), || {
            let running = server.lock().expect("not poisoned").is_running();
            assert!(running, "{name} ended: {}", said());
            answers()
        });
    }

    pub fn is_running(&mut self) -> bool {
        matches!(self.parent.try_wait(), Ok(None))
    }

    /// Ends the server at once and waits until it is gone.
    pub fn kill(&mut self) {
        if let Some(mut pipe) = self.pipe.take() {
            let _ = pipe.write_all(b"meant");
        }
        let _ = self.parent.wait();
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.kill();
    }
}
