//! How children begin, speak and end.
// Elsewhere layers are missing; see elsewhere.rs.
#![cfg(target_os = "linux")]
mod common;

use std::time::{Duration, Instant};

use common::*;
use sandbox::{Exit, Stdin};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Exit, output and usage arrive as they were.
#[tokio::test]
async fn the_end_is_told() {
    let room = Room::new().limit(|l| l.processes = 2);
    let output = run(room.sh("echo out; echo err >&2; exit 3")).await;
    assert_eq!((text(&output), &*output.stderr_tail, output.exit), ("out", "err\n", Exit::Code(3)));
    assert!(output.usage.max_rss > 1 << 16 && output.usage.wall > Duration::ZERO, "{:?}", output.usage);
    assert_eq!(run(room.sh("kill -SEGV $$")).await.exit, Exit::Signal(libc::SIGSEGV));
    assert_eq!(run(room.python("import os; os.abort()")).await.exit, Exit::Signal(libc::SIGABRT));
}

/// What computes lets those who tend it go first; and behind a service that was put behind all others it stays behind.
#[tokio::test]
async fn children_are_batch_work() {
    let room = Room::new();
    let policy = "import os, threading\n\
                  thread = threading.Thread(target=lambda: print(os.sched_getscheduler(0), end=' '))\n\
                  thread.start(); thread.join()\n\
                  print(os.SCHED_BATCH, os.SCHED_IDLE)";
    let seen = run(room.python(policy)).await;
    assert_eq!(text(&seen), format!("{0} {0} {1}", libc::SCHED_BATCH, libc::SCHED_IDLE));
    // Threads inherit it, the one that starts the child too.
    let none: libc::sched_param = unsafe { std::mem::zeroed() };
    assert_eq!(unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &none) }, 0);
    let seen = run(room.python(policy)).await;
    assert_eq!(text(&seen), format!("{0} {1} {0}", libc::SCHED_IDLE, libc::SCHED_BATCH));
}

/// Without a stdin the child finds its end at once.
#[tokio::test]
async fn no_stdin() {
    assert_eq!(text(&run(Room::new().python("import sys; print(len(sys.stdin.read()))")).await), "0");
}

/// What is written to the child arrives; closing is the end of file.
#[tokio::test]
async fn piped_stdin() {
    let room = Room::new();
    let mut spec = room.sh("exec cat");
    spec.stdin = Stdin::Piped;
    let mut child = SANDBOX.spawn(spec.clone()).unwrap();
    let (mut stdin, mut stdout) = (child.take_stdin().unwrap(), child.take_stdout().unwrap());
    assert!(child.take_stdin().is_none() && child.take_stdout().is_none());
    stdin.write_all(b"there and back").await.unwrap();
    drop(stdin);
    let mut back = String::new();
    stdout.read_to_string(&mut back).await.unwrap();
    assert_eq!((back.as_str(), child.wait().await.exit), ("there and back", Exit::Code(0)));
    // One that nobody takes does not keep the child waiting.
    assert_eq!(SANDBOX.spawn(spec).unwrap().wait().await.exit, Exit::Code(0));
}

/// A flood on stdout and stderr together neither deadlocks nor is kept in memory.
#[tokio::test]
async fn floods() {
    let room = Room::new();
    let code = "import sys\nfor _ in range(400): sys.stdout.write('o' * 65536); sys.stderr.write('e' * 65536)\nsys.stderr.write('last words')";
    let output = SANDBOX.run(room.python(code), 1 << 20).await.unwrap();
    assert_eq!((output.exit, output.stdout.len(), output.stdout_truncated), (Exit::Code(0), 1 << 20, true));
    assert!(output.stderr_tail.len() < 9 << 10 && output.stderr_tail.ends_with("elast words"));
    // Also when nobody takes the stdout.
    assert_eq!(SANDBOX.spawn(room.python(code)).unwrap().wait().await.exit, Exit::Code(0));
}

/// A child that closes stderr is still waited for, without spinning.
#[tokio::test]
async fn closed_stderr() {
    let output = run(Room::new().python("import os, time; os.close(2); os.close(1); time.sleep(0.5)")).await;
    assert_eq!((output.exit, &*output.stderr_tail), (Exit::Code(0), ""));
}

/// Killing ends the child, and waiting tells it twice alike.
#[tokio::test]
async fn kill() {
    let room = Room::new();
    let mut child = SANDBOX.spawn(room.sh("exec sleep 60")).unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(50), child.wait()).await.is_err());
    child.kill();
    for _ in 0..2 {
        assert_eq!(child.wait().await.exit, Exit::Signal(libc::SIGKILL));
    }
    child.kill();
}

/// Dropping a child ends its whole group and leaves no zombie.
#[tokio::test]
async fn drop_kills_the_group() {
    let room = Room::new().limit(|l| l.processes = 4);
    let child = SANDBOX.spawn(room.sh("sleep 60 & echo $! >grandchild; wait")).unwrap();
    let grandchild = pid_in(&room.path("grandchild")).await;
    let leader = child.id();
    assert!(!gone(leader) && !gone(grandchild));
    drop(child);
    soon("the group is gone", || gone(leader) && gone(grandchild)).await;
    soon("the leader is reaped", || !std::fs::exists(format!("/proc/{leader}")).unwrap()).await;
}

/// Cancelling the task that runs a child ends the child.
#[tokio::test]
async fn cancellation_kills() {
    let room = Room::new();
    let spec = room.sh("echo $$ >pid; exec sleep 60");
    let task = tokio::spawn(SANDBOX.clone().run_owned(spec));
    let pid = pid_in(&room.path("pid")).await;
    task.abort();
    soon("the child is gone", || gone(pid)).await;
}

trait RunOwned {
    fn run_owned(self, spec: sandbox::Spec) -> impl Future<Output = ()> + Send + 'static;
}

impl RunOwned for sandbox::Sandbox {
    async fn run_owned(self, spec: sandbox::Spec) {
        self.run(spec, 1 << 10).await.unwrap();
    }
}

/// What a child leaves running ends with it.
#[tokio::test]
async fn leftovers_end_with_the_leader() {
    let room = Room::new().limit(|l| l.processes = 4);
    // The grandchild holds the pipes open: neither the output nor the wait hangs on it.
    let begin = Instant::now();
    let output = run(room.sh("sleep 60 & echo $! >grandchild; exit 0")).await;
    assert_eq!(output.exit, Exit::Code(0));
    assert!(begin.elapsed() < Duration::from_secs(10));
    assert!(gone(pid_in(&room.path("grandchild")).await));
}

/// A child dies when this process is killed with SIGKILL, also after the thread that called for it has ended.
#[tokio::test]
async fn parent_killed() {
    let room = Room::new();
    #[expect(clippy::disallowed_methods, reason = "a parent to kill")]
    let mut parent = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "helper_parent", "--ignored"])
        .env("SANDBOX_TEST_DIR", room.dir.path())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let pid = pid_in(&room.path("pid")).await;
    // Long enough for a parent-death signal that is tied to the wrong thread to strike.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!gone(pid));
    parent.kill().unwrap();
    parent.wait().unwrap();
    soon("the child is gone", || gone(pid)).await;
}

#[test]
#[ignore = "the other process of `parent_killed`"]
fn helper_parent() {
    let Some(dir) = std::env::var_os("SANDBOX_TEST_DIR") else { return };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let room = Room::new();
    let mut spec = room.sh("echo $$ >pid; exec sleep 60");
    spec.dir = dir.into();
    let handle = runtime.handle().clone();
    let child = std::thread::spawn(move || {
        let _inside = handle.enter();
        SANDBOX.spawn(spec).unwrap()
    })
    .join()
    .unwrap();
    std::thread::sleep(Duration::from_secs(30));
    drop(child);
}

/// Children start from many tasks at once.
#[tokio::test(flavor = "multi_thread")]
async fn many_at_once() {
    let tasks: Vec<_> = (0..16)
        .map(|i| {
            tokio::spawn(async move {
                let output = run(Room::new().sh(&format!("echo {i}"))).await;
                assert_eq!(text(&output), i.to_string());
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

/// A hundred children leave no descriptor, thread or zombie behind. (A process of its own: others' would count.)
#[tokio::test]
async fn nothing_leaks() {
    #[expect(clippy::disallowed_methods, reason = "a process to count in")]
    let counted = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "helper_leaks", "--ignored"])
        .env("SANDBOX_TEST_LEAKS", "1")
        .output()
        .unwrap();
    assert!(counted.status.success(), "{}", String::from_utf8_lossy(&counted.stdout));
}

#[tokio::test]
#[ignore = "the other process of `nothing_leaks`"]
async fn helper_leaks() {
    if std::env::var_os("SANDBOX_TEST_LEAKS").is_none() {
        return;
    }
    let count = |what| std::fs::read_dir(format!("/proc/self/{what}")).unwrap().count();
    run(Room::new().sh("true")).await;
    let before = (count("fd"), count("task"));
    for i in 0..100 {
        let room = Room::new().limit(|l| l.processes = 1 + i % 2);
        match i % 4 {
            0 | 1 => drop(run(room.sh("true")).await),
            2 => drop(SANDBOX.spawn(room.sh("exec sleep 60")).unwrap()),
            _ => assert!(SANDBOX.spawn(room.spec(room.dir.path(), &[])).is_err()),
        }
    }
    soon("everything is closed", || (count("fd"), count("task")) <= before).await;
    // SAFETY: asks whether any child is left, dead or alive.
    assert_eq!(unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) }, -1);
}

/// Outside of a runtime the refusal says so instead of panicking.
#[test]
fn outside_of_a_runtime() {
    assert!(matches!(SANDBOX.spawn(Room::new().sh("true")), Err(sandbox::Error::NoRuntime)));
}

/// The programs this is for work inside: threads, encoders, their own libraries, a symlinked input, and no fork.
#[tokio::test]
async fn a_media_tool_works() {
    let elsewhere = tempfile::tempdir().unwrap();
    let make =
        "-v error -f lavfi -i testsrc=s=320x240:d=1 -f lavfi -i sine=d=1 -c:v libx264 -c:a aac -y out.mp4";
    let room = Room::new();
    let program = "ffmpeg".as_ref();
    let output = run(room.spec(program, &make.split(' ').collect::<Vec<_>>())).await;
    assert_eq!((output.exit, &*output.stderr_tail), (Exit::Code(0), ""));

    let source = elsewhere.path().join("source.mp4");
    std::fs::rename(room.path("out.mp4"), &source).unwrap();
    let mut room = Room::new();
    std::os::unix::fs::symlink(&source, room.path("in0")).unwrap();
    room.read.push(source);
    let convert = "-v error -i file:in0 -vf scale=160:-2,drawbox -c:v libvpx-vp9 -c:a libopus -y out.webm";
    let output = run(room.spec(program, &convert.split(' ').collect::<Vec<_>>())).await;
    assert_eq!((output.exit, &*output.stderr_tail), (Exit::Code(0), ""));
    let probe = "-v error -show_entries stream=codec_name -of csv=p=0 file:out.webm";
    let output = run(room.spec("ffprobe".as_ref(), &probe.split(' ').collect::<Vec<_>>())).await;
    assert_eq!(text(&output), "vp9\nopus", "{}", output.stderr_tail);
}
