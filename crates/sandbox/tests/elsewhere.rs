//! Where the operating system has neither Landlock nor seccomp.
#![cfg(not(target_os = "linux"))]
mod common;

use common::*;
use sandbox::{Exit, Layer, Sandbox};

/// Nothing runs unconfined in silence; by name it runs, with the layers that every Unix has.
#[tokio::test]
async fn nothing_runs_unless_allowed_by_name() {
    let refusal = Sandbox::new(&[]).unwrap_err().to_string();
    for layer in ["landlock", "seccomp", "parent-death"] {
        assert!(refusal.contains(layer), "{refusal}");
    }
    let allowed =
        [Layer::NoNewPrivs, Layer::ParentDeath, Layer::Landlock, Layer::LandlockNet, Layer::Seccomp];
    let sandbox = Sandbox::new(&allowed).unwrap();
    for layer in [Layer::ProcessGroup, Layer::Rlimits, Layer::PrivateDir, Layer::CleanEnv] {
        assert!(sandbox.report().holds(layer), "{}", layer.name());
    }
    let output = sandbox.run(Room::new().sh("echo $HOME; exit 3"), 1 << 10).await.unwrap();
    assert_eq!(output.exit, Exit::Code(3));
    assert!(!output.stdout.is_empty());
}
