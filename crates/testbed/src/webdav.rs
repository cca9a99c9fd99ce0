use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::PathBuf,
    sync::Mutex,
};

use crate::{Certificates, ftp, guard::Guarded, setup};

/// WsgiDAV on a loopback port, its files below `/dav`, with one user, [`WebDav::USER`]. What becomes of some requests says the
/// folder they are about (see `webdav.py`): `full`, `stuck` (no renaming), `astray` (renames to other names), `hostile`,
/// `elsewhere`, `headless` (no `HEAD`).
#[derive(Debug)]
pub struct WebDav {
    port: u16,
    tls: bool,
    folder: PathBuf,
    server: Mutex<Guarded>,
}

const WSGIDAV: &str = "wsgidav==4.4.0";
const CHEROOT: &str = "cheroot==11.1.2";
const SCRIPT: &str = include_str!("webdav.py");

impl WebDav {
    pub const USER: &str = "partner";
    pub const PASSWORD: &str = "canary-of-webdav";

    pub fn start(certificates: Option<&Certificates>) -> Self {
        setup::python_with(CHEROOT);
        let python = setup::python_with(WSGIDAV);
        let port = ftp::port();
        let folder = ftp::folder("webdav");
        let files = folder.join("files");
        fs::create_dir_all(&files).expect("a folder for files");
        let (port_text, files) = (port.to_string(), files.display().to_string());
        let text = |path: PathBuf| path.display().to_string();
        let certificate = certificates.map(|c| text(c.certificate())).unwrap_or_default();
        let key = certificates.map(|c| text(c.key())).unwrap_or_default();
        let arguments = ["-c", SCRIPT, &port_text, &files, Self::USER, Self::PASSWORD, &certificate, &key];
        let (log, remove) = (folder.join("log"), folder.display().to_string());
        let server = Guarded::start(&python, arguments, &[("TESTBED_REMOVE", &remove)], &log);
        let this = Self { port, tls: certificates.is_some(), folder, server: Mutex::new(server) };
        Guarded::until(
            &this.server,
            "WsgiDAV",
            || fs::read_to_string(&log).unwrap_or_default(),
            || TcpStream::connect(this.address()).is_ok(),
        );
        this
    }

    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    pub fn url(&self) -> String {
        format!("{}://127.0.0.1:{}/dav", if self.tls { "https" } else { "http" }, self.port)
    }

    pub fn files(&self) -> PathBuf {
        self.folder.join("files")
    }
}

impl Drop for WebDav {
    fn drop(&mut self) {
        self.server.lock().expect("not poisoned").kill();
        let _ = fs::remove_dir_all(&self.folder);
    }
}
