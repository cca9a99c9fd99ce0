use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, OnceLock},
};

use crate::{ftp, guard::Guarded, setup};

/// Microsoft's own emulator of Azure Blob Storage on a loopback port, with one container, [`Azurite::CONTAINER`], in memory.
#[derive(Debug)]
pub struct Azurite {
    port: u16,
    folder: PathBuf,
    server: Mutex<Guarded>,
}

/// The last that runs on Node.js 18 and 20.
const AZURITE: &str = "azurite@3.34.0";

impl Azurite {
    pub const ACCOUNT: &str = "devstoreaccount1";
    /// The same in every emulator, and no secret.
    pub const KEY: &str =
        "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
    pub const CONTAINER: &str = "exports";

    pub fn shared() -> &'static Self {
        static SERVER: OnceLock<Azurite> = OnceLock::new();
        SERVER.get_or_init(Self::start)
    }

    pub fn start() -> Self {
        let node = setup::ensure_node();
        let main = setup::npm(AZURITE).join("node_modules/azurite/dist/src/blob/main.js");
        let port = ftp::port();
        let folder = ftp::folder("azurite");
        let (port_text, at, main) =
            (port.to_string(), folder.display().to_string(), main.display().to_string());
        let arguments = [
            main.as_str(),
            "--silent",
            "--disableTelemetry",
            "--skipApiVersionCheck",
            "--inMemoryPersistence",
            "--blobPort",
            &port_text,
        ];
        let log = folder.join("log");
        let server = Guarded::start(Path::new(&node), arguments, &[("TESTBED_REMOVE", &at)], &log);
        let this = Self { port, folder, server: Mutex::new(server) };
        Guarded::until(
            &this.server,
            "Azurite",
            || fs::read_to_string(&log).unwrap_or_default(),
            || TcpStream::connect(this.address()).is_ok(),
        );
        let script = include_str!("azurite.js");
        let arguments = ["-e", script, &this.endpoint(), Self::ACCOUNT, Self::KEY, Self::CONTAINER];
        let made = Command::new(node).args(arguments).output().expect("node starts");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        this
    }

    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// With the account, as emulators have it.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}/{}", self.port, Self::ACCOUNT)
    }
}

impl Drop for Azurite {
    fn drop(&mut self) {
        self.server.lock().expect("not poisoned").kill();
        let _ = fs::remove_dir_all(&self.folder);
    }
}
