//! What a child must not reach: the network, other processes, its parent's environment and descriptors.
// Elsewhere layers are missing; see elsewhere.rs.
#![cfg(target_os = "linux")]
mod common;

use std::net::{TcpListener, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixListener;

use common::*;

/// No child reaches the network over TCP: no connection arrives, none is accepted.
#[tokio::test]
async fn no_tcp() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    refused(&Room::new(), &format!("import socket; socket.create_connection(('127.0.0.1', {port}))")).await;
    listener.set_nonblocking(true).unwrap();
    // The one from outside, and no other.
    assert!(listener.accept().is_ok());
    assert!(listener.accept().is_err());
    refused(&Room::new(), "import socket; socket.create_server(('127.0.0.1', 0))").await;
}

/// No child sends a datagram.
#[tokio::test]
async fn no_udp() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    let port = socket.local_addr().unwrap().port();
    let attack = format!(
        "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', {port}))"
    );
    refused(&Room::new(), &attack).await;
    let mut byte = [0];
    assert!(socket.recv(&mut byte).is_ok());
    assert!(socket.recv(&mut byte).is_err());
}

/// No child reaches a service behind a Unix socket, not even in its own directory.
#[tokio::test]
async fn no_unix_socket() {
    let room = Room::new();
    let path = room.path("socket");
    let _listener = UnixListener::bind(&path).unwrap();
    refused(&room, &format!("import socket; socket.socket(socket.AF_UNIX).connect({path:?})")).await;
    refused(&room, "import socket; socket.socketpair()").await;
}

/// Who may fork has pipes that go both ways to its own children, and of sockets nothing else: no address, no descriptors.
#[tokio::test]
async fn a_pair_is_a_pipe() {
    let room = Room::new().limit(|l| l.processes = 4);
    let talk = "import os, socket\na, b = socket.socketpair()\nif os.fork() == 0: os.write(b.fileno(), b'hello'); os._exit(0)\n\
                print(os.read(a.fileno(), 9).decode())";
    assert_eq!(text(&run(room.python(talk)).await), "hello");
    refused(&room, "import socket; a, b = socket.socketpair(); a.sendmsg([b'x'])").await;
    refused(&room, "import socket; socket.socket(socket.AF_UNIX)").await;
    refused(&room, "import socket; socket.socket(socket.AF_INET)").await;
}

/// No child touches another process: it can neither signal, trace nor limit it.
#[tokio::test]
async fn no_other_process() {
    let room = Room::new();
    let own = std::process::id();
    refused(&room, &format!("import os; os.kill({own}, 0)")).await;
    refused(&room, &format!("print(open('/proc/{own}/status').read())")).await;
    let attack = format!("import resource; resource.prlimit({own}, resource.RLIMIT_CORE, (0, 0))");
    let inside = run(room.python(&attack)).await;
    assert!(inside.stderr_tail.contains("PermissionError"), "{}", inside.stderr_tail);
}

/// No child sheds its group, its limits or its parent-death signal, root or not.
#[tokio::test]
async fn nothing_is_shed() {
    let room = Room::new().limit(|l| l.processes = 8);
    let raises = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 40, 1 << 40))";
    let inside = run(room.python(raises)).await;
    assert!(
        inside.stderr_tail.contains("PermissionError") || inside.stderr_tail.contains("not allowed"),
        "{}",
        inside.stderr_tail
    );
    // In a fork, which leads no group and so may do all of this outside.
    let in_fork = |what: &str| {
        format!(
            "import os, sys, ctypes\nc = ctypes.CDLL(None, use_errno=True)\npid = os.fork()\nif pid == 0:\n  {what}\n  os._exit(0)\n\
         sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))"
        )
    };
    refused(&room, &in_fork("os.setsid()")).await;
    refused(&room, &in_fork("os.setpgid(0, 0)")).await;
    refused(&room, &in_fork("if c.prctl(1, 0): raise OSError(ctypes.get_errno(), 'prctl')")).await;
}

/// The child's environment is four variables; a credential in the parent's is not among them.
#[tokio::test]
async fn no_credential() {
    // SAFETY: libtest has started threads, but nothing in this test binary reads the environment concurrently
    // except std, which locks.
    unsafe { std::env::set_var("SANDBOX_CANARY", "a-secret-canary") };
    let print = "import os; print(*sorted(os.environ))";
    assert!(String::from_utf8(unconfined(print).stdout).unwrap().contains("SANDBOX_CANARY"));
    let output = run(Room::new().python(print)).await;
    // Python coerces its own locale in some builds; nothing else may be there.
    let seen: Vec<_> = text(&output).split(' ').filter(|name| *name != "LC_CTYPE").collect();
    assert_eq!(seen, ["HOME", "LANG", "PATH", "TMPDIR"]);
}

/// No descriptor of the parent reaches the child, not even one that is marked to be inherited.
#[tokio::test]
async fn no_descriptor() {
    let secret = tempfile::tempfile().unwrap();
    let fd = secret.as_raw_fd();
    // SAFETY: clears close-on-exec on a descriptor this test owns.
    unsafe { libc::fcntl(fd, libc::F_SETFD, 0) };
    let look = format!("import os; os.fstat({fd})");
    assert!(unconfined(&look).status.success());
    let output = run(Room::new().python(
        "import os\nopen_ = []\nfor fd in range(1024):\n  try: os.fstat(fd); open_.append(fd)\n  except OSError: pass\nprint(open_)",
    ))
    .await;
    assert_eq!(text(&output), "[0, 1, 2]", "{}", output.stderr_tail);
}

/// The dangerous corners of the kernel answer EPERM (clone3 and openat2: ENOSYS, so that libraries fall back).
#[tokio::test]
async fn system_calls_are_refused() {
    let calls = [
        ("ptrace", libc::SYS_ptrace),
        ("process_vm_readv", libc::SYS_process_vm_readv),
        ("mount", libc::SYS_mount),
        ("umount2", libc::SYS_umount2),
        ("pivot_root", libc::SYS_pivot_root),
        ("chroot", libc::SYS_chroot),
        ("setns", libc::SYS_setns),
        ("unshare", libc::SYS_unshare),
        ("bpf", libc::SYS_bpf),
        ("perf_event_open", libc::SYS_perf_event_open),
        ("keyctl", libc::SYS_keyctl),
        ("userfaultfd", libc::SYS_userfaultfd),
        ("io_uring_setup", libc::SYS_io_uring_setup),
        ("open_by_handle_at", libc::SYS_open_by_handle_at),
        ("personality", libc::SYS_personality),
        ("memfd_create", libc::SYS_memfd_create),
        ("shmget", libc::SYS_shmget),
        ("pidfd_open", libc::SYS_pidfd_open),
        ("clone3", libc::SYS_clone3),
        ("openat2", libc::SYS_openat2),
        #[cfg(target_arch = "x86_64")]
        ("x32 getpid", libc::SYS_getpid | 0x4000_0000),
    ];
    let numbers = calls.map(|(_, number)| number.to_string()).join(",");
    let code = format!(
        "import ctypes\nc = ctypes.CDLL(None, use_errno=True)\nfor n in [{numbers}]:\n  \
         r = c.syscall(ctypes.c_long(n), 0, 0, 0, 0, 0, 0); print(r, ctypes.get_errno())"
    );
    let output = run(Room::new().python(&code)).await;
    let answers: Vec<_> = text(&output).lines().collect();
    assert_eq!(answers.len(), calls.len(), "{}", output.stderr_tail);
    for ((name, _), answer) in calls.iter().zip(answers) {
        let errno = if matches!(*name, "clone3" | "openat2") { libc::ENOSYS } else { libc::EPERM };
        assert_eq!(answer, format!("-1 {errno}"), "{name}");
    }
}

/// No child makes a namespace, also not through clone's flags.
#[tokio::test]
async fn no_namespace_through_clone() {
    let room = Room::new().limit(|l| l.processes = 8);
    let code = format!(
        "import ctypes, os\nc = ctypes.CDLL(None, use_errno=True)\nfor flag in [{}]:\n  \
         r = c.syscall({}, ctypes.c_ulong(flag | 17), 0, 0, 0, 0)\n  if r == 0: os._exit(0)\n  print(r, ctypes.get_errno())",
        [libc::CLONE_NEWNS, libc::CLONE_NEWUSER, libc::CLONE_NEWNET, libc::CLONE_NEWPID, libc::CLONE_PARENT]
            .map(|flag| flag.to_string())
            .join(","),
        libc::SYS_clone,
    );
    let output = run(room.python(&code)).await;
    assert_eq!(text(&output), ["-1 1"; 5].join("\n"), "{}", output.stderr_tail);
}
