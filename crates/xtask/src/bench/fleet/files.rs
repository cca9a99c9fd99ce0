use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use crate::run::{cargo, run, target};

const VERSION: &str = "0.14.1";

/// A second S3 for what is large: s3s-fs, a server in Rust that keeps objects as files. The emulator hashes in Python, ten
/// megabytes a second, and takes an upload's whole checksum for that of a part (`testbed`'s pinned version), so that
/// nothing above 8 MiB that is sent as to S3 arrives there. It keeps no versions and tells nobody of objects.
pub struct Files {
    process: Child,
    root: PathBuf,
    pub address: SocketAddr,
}

impl Files {
    /// With an empty bucket.
    pub fn start(folder: &Path, bucket: &str) -> Result<Self, String> {
        let home = target().join("bench/s3s");
        let program = home.join("bin/s3s-fs");
        if !program.exists() {
            let mut install = cargo(&["install", "--locked", "--quiet", "s3s-fs", "--version", VERSION]);
            run(install.args(["--features", "binary", "--root"]).arg(&home))?;
        }
        let root = folder.join("s3");
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(root.join(bucket)).map_err(|e| format!("cannot make {}: {e}", root.display()))?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, testbed::free_port()));
        // Ends with us, however we end.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(&program);
        command.args(["--host", "127.0.0.1", "--port", &address.port().to_string()]);
        command.args(["--access-key", "test", "--secret-key", "test"]).arg(&root);
        let started = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let process = started.map_err(|e| format!("s3s-fs did not start: {e}"))?;
        let this = Self { process, root, address };
        super::wait(
            "s3s-fs to answer",
            |_| Duration::from_millis(20),
            || Ok(TcpStream::connect(address).is_ok()),
        )?;
        Ok(this)
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.root);
    }
}
