//! Finds ffmpeg, or installs it with the system's own package manager, saying what it does.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::run::run;

struct Manager {
    program: &'static str,
    /// Run before the install; a failure is not final (an old index may still serve).
    refresh: &'static [&'static str],
    install: &'static [&'static str],
    needs_root: bool,
}

const MANAGERS: &[Manager] = &[
    Manager {
        program: "apt-get",
        refresh: &["update", "-qq"],
        install: &["install", "-y", "-qq", "--no-install-recommends", "ffmpeg"],
        needs_root: true,
    },
    Manager { program: "dnf", refresh: &[], install: &["install", "-y", "ffmpeg-free"], needs_root: true },
    Manager {
        program: "pacman",
        refresh: &[],
        install: &["-S", "--noconfirm", "--needed", "ffmpeg"],
        needs_root: true,
    },
    Manager { program: "zypper", refresh: &[], install: &["install", "-y", "ffmpeg"], needs_root: true },
    Manager { program: "apk", refresh: &[], install: &["add", "ffmpeg"], needs_root: true },
    Manager { program: "brew", refresh: &[], install: &["install", "ffmpeg"], needs_root: false },
];

/// ffmpeg and ffprobe are there when this returns.
pub fn ffmpeg() -> Result<(), String> {
    if which("ffmpeg").is_some() && which("ffprobe").is_some() {
        return Ok(());
    }
    let Some(manager) = MANAGERS.iter().find(|m| which(m.program).is_some()) else {
        return Err(
            "ffmpeg is missing and no package manager that I know is here (apt-get, dnf, pacman, zypper, \
                    apk, brew). Install ffmpeg and ffprobe, put them on PATH, and run this again."
                .into(),
        );
    };
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|o| o.stdout.trim_ascii() == b"0");
    let command = |args: &[&str]| {
        let mut c = if manager.needs_root && !is_root {
            let mut c = Command::new("sudo");
            c.arg("-n").arg(manager.program);
            c
        } else {
            Command::new(manager.program)
        };
        c.env("DEBIAN_FRONTEND", "noninteractive").args(args).stdout(Stdio::null());
        c
    };
    eprintln!("ffmpeg is missing; installing it with {}:", manager.program);
    if !manager.refresh.is_empty() {
        let _ = run(&mut command(manager.refresh));
    }
    run(&mut command(manager.install)).map_err(|e| {
        format!(
            "{e}\nI may not install ffmpeg here. Run this yourself, then again what you just ran:\n  {}{} {}",
            if manager.needs_root { "sudo " } else { "" },
            manager.program,
            manager.install.join(" ")
        )
    })?;
    match (which("ffmpeg"), which("ffprobe")) {
        (Some(_), Some(_)) => Ok(()),
        _ => Err("the install succeeded, but ffmpeg and ffprobe are still not on PATH".into()),
    }
}

/// macOS has none of Linux's sandbox layers. What the demo and the tests feed to ffmpeg there they made themselves, so
/// they may name the layers to do without; `videorec` itself never does so by itself.
pub fn without_layers(command: &mut Command) {
    if cfg!(target_os = "macos") {
        command.env("VIDEOREC_ALLOW_MISSING", "landlock,landlock-net,seccomp,parent-death");
    }
}

pub fn which(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|dir| dir.join(program))
        .find(|path| is_executable(path))
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}
