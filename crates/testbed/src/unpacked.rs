use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::setup;

/// Debian packages that are unpacked below the test folder and not installed: nothing starts by itself, no two of them are in
/// each other's way, and nobody has to be root.
#[derive(Debug, Clone)]
pub(crate) struct Unpacked {
    root: PathBuf,
}

impl Unpacked {
    /// With all that they need and this system lacks.
    pub(crate) fn of(packages: &[&str]) -> Self {
        let folder = setup::folder().join("unpacked").join(packages.join("+"));
        setup::locked(&packages.join("+"), || {
            let root = folder.join("root");
            if !root.exists() {
                let archives = folder.join("archives");
                fs::create_dir_all(archives.join("partial")).expect("a folder for packages");
                eprintln!("fetching {packages:?} into {}", folder.display());
                if !fetch(packages, &archives) {
                    setup::update_lists();
                    assert!(fetch(packages, &archives), "apt-get cannot fetch {packages:?}: see above");
                }
                let unpacking = folder.join("unpacking");
                let _ = fs::remove_dir_all(&unpacking);
                for package in fs::read_dir(&archives).expect("just made").flatten().map(|e| e.path()) {
                    if package.extension().is_some_and(|e| e == "deb") {
                        let mut unpack = Command::new("dpkg-deb");
                        let done = unpack.arg("-x").arg(&package).arg(&unpacking).status();
                        assert!(done.expect("dpkg-deb starts").success(), "{} is damaged", package.display());
                    }
                }
                fs::rename(unpacking, &root).expect("a folder beside it");
            }
            Self { root }
        })
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// Where their libraries are, for `LD_LIBRARY_PATH`.
    pub(crate) fn libraries(&self) -> String {
        let triple = format!("usr/lib/{}-linux-gnu", std::env::consts::ARCH);
        self.path(&triple).display().to_string()
    }
}

fn fetch(packages: &[&str], archives: &Path) -> bool {
    let mut apt = Command::new("apt-get");
    apt.args([
        "install",
        "-y",
        "-qq",
        "--download-only",
        "--no-install-recommends",
        "-o",
        "Debug::NoLocking=1",
        "-o",
    ])
    .arg(format!("Dir::Cache::archives={}", archives.display()))
    .args(packages)
    .stdout(Stdio::null());
    apt.status().expect("apt-get starts: these tests need Debian or one of its kin").success()
}
