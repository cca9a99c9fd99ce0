//! Where a bench works, and the binary that it measures.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::run::target;

/// A folder of this bench's own, empty but for media that earlier runs made. `BENCH_FOLDER` says where: one in memory, with `TMPDIR`
/// there too, keeps out what file systems do of their own. (ext4 looks long for a place where thousands of files went within the
/// minute: whoever comes next pays for whoever came before.)
pub fn folder(name: &str) -> Result<PathBuf, String> {
    let folder =
        std::env::var_os("BENCH_FOLDER").map_or_else(|| target().join("bench"), PathBuf::from).join(name);
    fs::create_dir_all(&folder).map_err(|e| format!("cannot make {}: {e}", folder.display()))?;
    Ok(folder)
}

/// A library that is not there yet, with this policy.
pub fn library(folder: &Path, policy: &str) -> Result<PathBuf, String> {
    let library = folder.join("library");
    let _ = fs::remove_dir_all(&library);
    fs::create_dir_all(&library)
        .and_then(|()| fs::write(library.join("policy.yaml"), policy))
        .map_err(|e| format!("cannot prepare {}: {e}", library.display()))?;
    Ok(library)
}

pub fn videorec(library: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(target().join("release/videorec"));
    command
        .arg("--library")
        .arg(library)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// Wall time of a command that has to succeed.
pub fn timed(command: &mut Command) -> Result<Duration, String> {
    let started = Instant::now();
    let status = command.status().map_err(|e| format!("{command:?} did not start: {e}"))?;
    let took = started.elapsed();
    if status.success() { Ok(took) } else { Err(format!("{command:?} failed: {status}")) }
}

/// The peak resident memory of a process that has to succeed, in MB (10^6 bytes): the kernel's VmHWM, read until the end.
pub fn peak_rss(child: &mut Child) -> Result<f64, String> {
    let mut peak = 0.0f64;
    loop {
        peak = peak.max(status_mb(child.id(), "VmHWM").unwrap_or(0.0));
        match child.try_wait().map_err(|e| e.to_string())? {
            Some(status) if status.success() => return Ok(peak),
            Some(status) => return Err(format!("the measured process failed: {status}")),
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// A line of /proc/PID/status in MB.
pub fn status_mb(pid: u32, field: &str) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix(field)?.strip_prefix(':'))?;
    let kib: f64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024.0 / 1e6)
}
