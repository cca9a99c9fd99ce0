//! What the servers need, installed where it is missing: a Python environment below `target`, and PostgreSQL's
//! binaries by the system's package manager.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Pinned: what the emulator gets wrong is written down for this version.
const MINISTACK: &str = "ministack==1.5.33";
const BOTO3: &str = "boto3==1.43.106";

/// Below the workspace's target folder, and kept from run to run.
pub(crate) fn folder() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"), PathBuf::from);
    let folder = target.join("testbed");
    fs::create_dir_all(&folder).unwrap_or_else(|e| panic!("cannot make {}: {e}", folder.display()));
    folder.canonicalize().expect("just made")
}

/// One installer at a time, also among processes.
pub(crate) fn locked<T>(name: &str, install: impl FnOnce() -> T) -> T {
    let path = folder().join(format!("{name}.lock"));
    let lock = File::create(&path).unwrap_or_else(|e| panic!("cannot make {}: {e}", path.display()));
    lock.lock().expect("the lock is ours in the end");
    install()
}

/// The emulator's program, installed into a Python environment of our own if need be.
pub fn ensure_ministack() -> PathBuf {
    python_with(MINISTACK).with_file_name("ministack")
}

/// Python with the AWS SDK for it: what the field's usual worker is written with.
pub fn ensure_boto3() -> PathBuf {
    python_with(BOTO3)
}

/// The interpreter of an environment of our own that has this package.
pub fn python_with(package: &str) -> PathBuf {
    locked("venv", || {
        let venv = folder().join("venv");
        let stamp = venv.join(package);
        if !stamp.exists() {
            eprintln!("installing {package} into {}", venv.display());
            if !venv.join("bin/pip").exists() {
                run(Command::new("python3").args(["-m", "venv"]).arg(&venv));
            }
            let mut pip = Command::new(venv.join("bin/pip"));
            run(pip.args(["install", "--quiet", "--disable-pip-version-check", package]));
            fs::write(&stamp, "").expect("a stamp");
        }
        venv.join("bin/python")
    })
}

/// Node.js, where the system has none by its package manager.
pub(crate) fn ensure_node() -> PathBuf {
    let there = |name: &str| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).map(|folder| folder.join(name)).find(|p| p.exists())
    };
    locked("node", || {
        if there("node").is_none() || there("npm").is_none() {
            let how = "Node.js is missing: install the packages `nodejs` and `npm` and run this again";
            assert!(Path::new("/usr/bin/apt-get").exists(), "{how}");
            eprintln!("installing nodejs with apt-get");
            update_lists();
            run(&mut apt(&["install", "-y", "-qq", "--no-install-recommends", "nodejs", "npm"]));
        }
        there("node").expect("the package brings node")
    })
}

/// The folder that has this package of npm, installed if need be.
pub(crate) fn npm(package: &str) -> PathBuf {
    ensure_node();
    locked("npm", || {
        let folder = folder().join("npm").join(package);
        let stamp = folder.join("complete");
        if !stamp.exists() {
            eprintln!("installing {package} into {}", folder.display());
            fs::create_dir_all(&folder).expect("a folder");
            let mut npm = Command::new("npm");
            npm.args([
                "install",
                "--silent",
                "--no-audit",
                "--no-fund",
                "--omit=optional",
                "--ignore-scripts",
                "--prefix",
            ]);
            run(npm.arg(&folder).arg(package));
            fs::write(&stamp, "").expect("a stamp");
        }
        folder
    })
}

/// Runs a script with this package at hand and gives back what it writes; panics when it fails.
pub fn run_python(package: &str, script: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(python_with(package));
    let out = command.arg("-c").arg(script).args(arguments).stdin(Stdio::null()).output();
    let out = out.unwrap_or_else(|e| panic!("python did not start: {e}"));
    assert!(out.status.success(), "the script failed: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

/// The folder with `initdb` and `postgres`.
pub fn ensure_postgres() -> PathBuf {
    if let Some(found) = postgres_bin() {
        return found;
    }
    locked("postgres", || {
        if postgres_bin().is_none() {
            let how = "PostgreSQL's server is missing: install the package `postgresql` and run this again";
            assert!(Path::new("/usr/bin/apt-get").exists(), "{how}");
            eprintln!("installing postgresql with apt-get");
            // Without this, Debian's package starts a server of its own, which nobody asked for.
            let config = Path::new("/etc/postgresql-common/createcluster.conf");
            if !config.exists() {
                let _ = fs::create_dir_all("/etc/postgresql-common");
                let _ = fs::write(config, "create_main_cluster = false\n");
            }
            update_lists();
            run(&mut apt(&[
                "install",
                "-y",
                "-qq",
                "--no-install-recommends",
                "-o",
                "Dpkg::Options::=--force-confold",
                "postgresql",
            ]));
        }
        postgres_bin().expect("the package brings initdb")
    })
}

/// All in one folder: some systems have links to a few of them elsewhere.
const POSTGRES: [&str; 4] = ["initdb", "postgres", "psql", "pg_isready"];

fn postgres_bin() -> Option<PathBuf> {
    let debian =
        fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|e| e.path().join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut found: Vec<PathBuf> = std::env::split_paths(&path)
        .chain(debian)
        .filter(|p| POSTGRES.iter().all(|it| p.join(it).exists()))
        .collect();
    found.sort();
    found.pop()
}

/// What packages there are; without the network what was known stays.
pub(crate) fn update_lists() {
    let _ = quiet(&mut apt(&["update", "-qq"])).status();
}

/// OpenSSH's server, `/usr/sbin/sshd` and `sftp-server`. Where its package starts one by itself, that one stays out of our way: ours
/// has a port and a configuration of its own.
pub fn ensure_sshd() {
    let there = || ["/usr/sbin/sshd", "/usr/lib/openssh/sftp-server"].iter().all(|p| Path::new(p).exists());
    if there() {
        return;
    }
    locked("sshd", || {
        if !there() {
            let how = "OpenSSH's server is missing: install the package `openssh-server` and run this again";
            assert!(Path::new("/usr/bin/apt-get").exists(), "{how}");
            eprintln!("installing openssh-server with apt-get");
            let _ = quiet(&mut apt(&["update", "-qq"])).status();
            let packages = ["openssh-server", "openssh-sftp-server"];
            run(apt(&["install", "-y", "-qq", "--no-install-recommends"]).args(packages));
        }
        assert!(there(), "the package brings sshd");
    });
}

/// `rsync`, on both ends of its connections.
pub fn ensure_rsync() {
    let there = || Path::new("/usr/bin/rsync").exists();
    if there() {
        return;
    }
    locked("rsync", || {
        if !there() {
            let how = "rsync is missing: install the package `rsync` and run this again";
            assert!(Path::new("/usr/bin/apt-get").exists(), "{how}");
            eprintln!("installing rsync with apt-get");
            update_lists();
            run(&mut apt(&["install", "-y", "-qq", "--no-install-recommends", "rsync"]));
        }
        assert!(there(), "the package brings rsync");
    });
}

fn apt(arguments: &[&str]) -> Command {
    let root = Command::new("id").arg("-u").output().is_ok_and(|o| o.stdout.trim_ascii() == b"0");
    let mut command = Command::new(if root { "apt-get" } else { "sudo" });
    if !root {
        command.args(["-n", "apt-get"]);
    }
    command.env("DEBIAN_FRONTEND", "noninteractive").args(arguments).stdout(Stdio::null());
    command
}

fn quiet(command: &mut Command) -> &mut Command {
    command.stdout(Stdio::null()).stderr(Stdio::null())
}

fn run(command: &mut Command) {
    let status = command.status().unwrap_or_else(|e| panic!("{command:?} did not start: {e}"));
    assert!(status.success(), "{command:?} failed: {status}; run it yourself, then this again");
}
