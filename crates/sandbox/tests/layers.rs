//! What happens on a machine that lacks a layer. The machine is this one, with the layer's system call taken away
//! from the thread that asks (and so from what it forks).
#![cfg(target_os = "linux")]
mod common;

use common::*;
use sandbox::{Error, Layer, Sandbox, Status};

/// This machine has every layer, or the tests on it prove nothing.
#[test]
fn every_layer_holds_here() {
    for (layer, status) in sandbox::probe().layers {
        assert_eq!(status, Status::Holds, "{}", layer.name());
    }
}

/// Without Landlock nothing runs unless it is allowed by name; the refusal says what is missing and what to do.
#[test]
fn without_landlock() {
    without(libc::SYS_landlock_create_ruleset, || {
        let refusal = Sandbox::new(&[]).unwrap_err();
        let Error::Missing { layers } = &refusal else { panic!("{refusal}") };
        assert_eq!(layers.iter().map(|(layer, _)| layer.name()).collect::<Vec<_>>(), ["landlock"]);
        let said = refusal.to_string();
        for part in ["CONFIG_SECURITY_LANDLOCK", "any file", "allow by name: landlock"] {
            assert!(said.contains(part), "{said}");
        }
        assert!(Sandbox::new(&[Layer::Seccomp]).is_err());

        // By name it runs, and every other layer still holds: also the signals that Landlock would have kept.
        let sandbox = Sandbox::new(&[Layer::Landlock]).unwrap();
        assert!(!sandbox.report().holds(Layer::Landlock) && sandbox.report().holds(Layer::Seccomp));
        let output = in_runtime(&sandbox, "print(len(open('/etc/passwd').read()) > 0)");
        assert_eq!(text(&output), "True", "{}", output.stderr_tail);
        for attack in [
            "import socket; socket.socket()".into(),
            format!("import os; os.kill({}, 0)", std::process::id()),
        ] {
            let output = in_runtime(&sandbox, &attack);
            assert!(output.stderr_tail.contains("PermissionError"), "{attack}: {}", output.stderr_tail);
        }
    });
}

/// Without seccomp nothing runs unless it is allowed by name; TCP then still meets Landlock.
#[test]
fn without_seccomp() {
    without(libc::SYS_seccomp, || {
        let refusal = Sandbox::new(&[Layer::Landlock]).unwrap_err().to_string();
        assert!(refusal.contains("allow by name: seccomp"), "{refusal}");
        let sandbox = Sandbox::new(&[Layer::Seccomp]).unwrap();
        for attack in ["open('/etc/passwd')", "import socket; socket.create_connection(('127.0.0.1', 1))"] {
            let output = in_runtime(&sandbox, attack);
            assert!(output.stderr_tail.contains("PermissionError"), "{attack}: {}", output.stderr_tail);
        }
    });
}

fn in_runtime(sandbox: &Sandbox, code: &str) -> sandbox::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(sandbox.run(Room::new().python(code), 1 << 16)).unwrap()
}

/// Runs `test` on a thread for which one system call answers "no such call".
fn without(call: i64, test: impl FnOnce() + Send) {
    let step = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let program = [
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, call as u32),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32),
        step(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    std::thread::scope(|scope| {
        let done = scope.spawn(move || {
            let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_ptr().cast_mut() };
            // SAFETY: the kernel copies the program; without TSYNC it binds this thread only.
            unsafe {
                assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
                assert_eq!(libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &program), 0);
            }
            test();
        });
        done.join().unwrap();
    });
}
