use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use crate::{Certificates, free_port, guard::Guarded, setup};

/// A mail server on a loopback port: aiosmtpd, which keeps what it takes. What a recipient is called says what becomes
/// of mail to it (see `smtp.py`): `never@`, `later@`, `grey@`, `full@`, `busy@`, `slow@`, `echo@`; others are taken.
#[derive(Debug)]
pub struct Smtp {
    port: u16,
    folder: PathBuf,
    server: Mutex<Guarded>,
}

/// How the server is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SmtpTls {
    None,
    StartTls,
    Implicit,
}

const AIOSMTPD: &str = "aiosmtpd==1.4.6";
const SCRIPT: &str = include_str!("smtp.py");

impl Smtp {
    /// With a login, nobody sends without it.
    pub fn start(tls: SmtpTls, certificates: &Certificates, login: Option<(&str, &str)>) -> Self {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let python = setup::python_with(AIOSMTPD);
        let port = free_port();
        let n = STARTED.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("videorec-smtp-{}-{n}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder for mail");
        let tls = match tls {
            SmtpTls::None => "none",
            SmtpTls::StartTls => "starttls",
            SmtpTls::Implicit => "implicit",
        };
        let (user, password) = login.unwrap_or_default();
        let port_text = port.to_string();
        let text = |path: &Path| path.display().to_string();
        let (certificate, key) = (text(&certificates.certificate()), text(&certificates.key()));
        let folder_text = text(&folder);
        let arguments = ["-c", SCRIPT, &port_text, tls, &folder_text, &certificate, &key, user, password];
        let log = folder.join("log");
        let server = Guarded::start(&python, arguments, &[("TESTBED_REMOVE", &folder_text)], &log);
        let this = Self { port, folder, server: Mutex::new(server) };
        Guarded::until(
            &this.server,
            "aiosmtpd",
            || fs::read_to_string(&log).unwrap_or_default(),
            || TcpStream::connect(this.address()).is_ok(),
        );
        this
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// The mails taken since the last call, in the order of their coming, each as JSON.
    pub fn received(&self) -> Vec<String> {
        let files = fs::read_dir(&self.folder).expect("the folder for mail").flatten().map(|e| e.path());
        let mut mails: Vec<PathBuf> = files.filter(|p| p.extension().is_some_and(|e| e == "json")).collect();
        mails.sort();
        let read = mails.into_iter().map(|path| {
            let mail = fs::read_to_string(&path).expect("a mail");
            fs::remove_file(path).expect("ours");
            mail
        });
        read.collect()
    }

    pub fn kill(&self) {
        self.server.lock().expect("not poisoned").kill();
    }
}

impl Drop for Smtp {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(&self.folder);
    }
}
