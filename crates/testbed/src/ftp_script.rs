use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::PathBuf,
    sync::Mutex,
};

use crate::{Ftp, Proxy, ftp, guard::Guarded, setup};

/// pyftpdlib on a loopback port, which misbehaves as real servers were seen to. What becomes of an upload says the folder it
/// goes to (see `ftp.py`): `full`, `quota`, `forbidden`, `stuck` (no renaming), `lies` (about sizes), `late` and `silent` (no
/// 226), `short` (half of it is lost, and no 226).
#[derive(Debug)]
pub struct FtpScript {
    port: u16,
    line: Proxy,
    folder: PathBuf,
    server: Mutex<Guarded>,
}

/// What kind of server it is.
#[derive(Debug, Clone, Default)]
pub struct FtpTricks {
    /// Commands that it has never heard of.
    pub without: Vec<&'static str>,
    /// It can neither append nor restart.
    pub no_resume: bool,
    /// It renames nothing onto a file that is there, as Windows does.
    pub no_rename_over: bool,
    /// The address that its answer to PASV names.
    pub foreign: Option<Ipv4Addr>,
    /// Its data connections go through [`FtpScript::line`].
    pub by_line: bool,
}

const PYFTPDLIB: &str = "pyftpdlib==2.2.0";
const SCRIPT: &str = include_str!("ftp.py");

impl FtpScript {
    /// Its user is [`Ftp::USER`].
    pub fn start(tricks: &FtpTricks) -> Self {
        let python = setup::python_with(PYFTPDLIB);
        let (port, data) = (ftp::port(), ftp::port());
        let folder = ftp::folder("ftp-script");
        let files = folder.join("files");
        fs::create_dir_all(&files).expect("a folder for files");
        let (port_text, files) = (port.to_string(), files.display().to_string());
        let line = Proxy::before((Ipv4Addr::LOCALHOST, data).into());
        let tricks = tricks.json(data, line.port());
        let arguments = ["-c", SCRIPT, &port_text, &files, Ftp::USER, Ftp::PASSWORD, &tricks];
        let (log, remove) = (folder.join("log"), folder.display().to_string());
        let server = Guarded::start(&python, arguments, &[("TESTBED_REMOVE", &remove)], &log);
        let this = Self { port, line, folder, server: Mutex::new(server) };
        Guarded::until(
            &this.server,
            "pyftpdlib",
            || fs::read_to_string(&log).unwrap_or_default(),
            || TcpStream::connect(this.address()).is_ok(),
        );
        this
    }

    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// What data connections go through, where that was asked for.
    pub fn line(&self) -> &Proxy {
        &self.line
    }

    pub fn files(&self) -> PathBuf {
        self.folder.join("files")
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

impl Drop for FtpScript {
    fn drop(&mut self) {
        self.server.lock().expect("not poisoned").kill();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl FtpTricks {
    fn json(&self, data: u16, line: u16) -> String {
        let mut all = vec![format!("\"without\": {:?}", self.without)];
        let flags = [(self.no_resume, "noresume"), (self.no_rename_over, "norenameover")];
        all.extend(flags.iter().filter(|(on, _)| *on).map(|(_, name)| format!("{name:?}: true")));
        all.extend(self.foreign.map(|address| format!("\"foreign\": \"{address}\"")));
        if self.by_line {
            all.push(format!("\"data\": {data}, \"announce\": {line}"));
        }
        format!("{{{}}}", all.join(", "))
    }
}
