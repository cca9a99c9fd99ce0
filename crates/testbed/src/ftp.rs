use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use crate::{Certificates, guard::Guarded, unpacked::Unpacked};

/// ProFTPD on a loopback port, with a folder of its own and one user, [`Ftp::USER`]. It insists on TLS sessions being reused
/// by data connections, has nothing but TLS 1.3 where that begins at once, refuses to rename in a folder `stuck`, and knows `HASH`.
#[derive(Debug)]
pub struct Ftp {
    port: u16,
    folder: PathBuf,
    program: Unpacked,
    server: Mutex<Guarded>,
}

/// How the server is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FtpTls {
    None,
    Explicit,
    Implicit,
}

impl Ftp {
    pub const USER: &str = "partner";
    pub const PASSWORD: &str = "canary-of-ftp";
    /// `PASSWORD`, as crypt(3) has it.
    const HASH: &str = "$1$testbed$YRTwWab2FYea3irS/UNAQ/";

    pub fn start(tls: FtpTls, certificates: &Certificates) -> Self {
        let program = Unpacked::of(&["proftpd-core", "proftpd-mod-crypto"]);
        let port = port();
        let folder = folder("ftp");
        let user = User::of_the_server();
        user.owns(&folder.join("files"));
        let home = folder.join("files").display().to_string();
        let passwd = format!("{}:{}:{}:{}::{home}:/bin/sh\n", Self::USER, Self::HASH, user.id, user.group);
        write(&folder.join("passwd"), &passwd, 0o600);
        write(&folder.join("conf"), &configuration(&program, port, &folder, &user, tls, certificates), 0o600);
        let server = Mutex::new(Self::spawn(&program, &folder));
        let this = Self { port, folder, program, server };
        this.wait();
        this
    }

    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// What the user sees as its folder.
    pub fn files(&self) -> PathBuf {
        self.folder.join("files")
    }

    /// The same folder as the server knows it, for one test alone.
    pub fn folder(&self, name: &str) -> PathBuf {
        let folder = self.files().join(name);
        User::of_the_server().owns(&folder);
        folder
    }

    /// What it says of itself.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Ends the server as a crash would, with all of its sessions.
    pub fn kill(&self) {
        self.server.lock().expect("not poisoned").kill();
    }

    pub fn restart(&self) {
        self.kill();
        *self.server.lock().expect("not poisoned") = Self::spawn(&self.program, &self.folder);
        self.wait();
    }

    fn spawn(program: &Unpacked, folder: &Path) -> Guarded {
        let conf = folder.join("conf").display().to_string();
        let remove = folder.display().to_string();
        let libraries = program.libraries();
        let environment = [("LD_LIBRARY_PATH", libraries.as_str()), ("TESTBED_REMOVE", &remove)];
        let server = program.path("usr/sbin/proftpd");
        Guarded::start(
            &server,
            ["--nodaemon", "--quiet", "--config", &conf],
            &environment,
            &folder.join("log"),
        )
    }

    fn wait(&self) {
        Guarded::until(&self.server, "ProFTPD", || self.log(), || TcpStream::connect(self.address()).is_ok());
    }
}

impl Drop for Ftp {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn configuration(
    program: &Unpacked,
    port: u16,
    folder: &Path,
    user: &User,
    tls: FtpTls,
    certificates: &Certificates,
) -> String {
    let modules = program.path("usr/lib/proftpd");
    let (modules, at) = (modules.display(), folder.display());
    let mut conf = format!(
        "ModulePath {modules}\nLoadModule mod_digest.c\nLoadModule mod_tls.c\nServerType standalone\n\
         DefaultAddress 127.0.0.1\nPort {port}\nUseIPv6 off\nUser {}\nGroup {}\nAuthOrder mod_auth_file.c\n\
         AuthUserFile {at}/passwd\nRequireValidShell off\nUseReverseDNS off\nDelayEngine off\nWtmpLog off\n\
         TransferLog none\nSystemLog {at}/log\nScoreboardFile {at}/scoreboard\nPidFile {at}/pid\nMaxInstances none\n\
         AllowOverwrite on\nAllowStoreRestart on\nTimeoutLinger 2\nDefaultRoot ~\nUMask 022\n\
         DigestEngine on\nDigestCache off\n\
         <Directory ~/stuck>\n  <Limit RNFR RNTO>\n    DenyAll\n  </Limit>\n</Directory>\n",
        user.name, user.group_name,
    );
    if tls != FtpTls::None {
        conf += &format!(
            "TLSEngine on\nTLSRequired on\nTLSLog {at}/log\nTLSProtocol {}\nTLSRSACertificateFile {}\n\
             TLSRSACertificateKeyFile {at}/key\n",
            if tls == FtpTls::Implicit { "TLSv1.3" } else { "TLSv1.2 TLSv1.3" },
            certificates.certificate().display()
        );
        // It does not take a key that others may read.
        let key = fs::read_to_string(certificates.key()).expect("made by trustme");
        write(&folder.join("key"), &key, 0o600);
    }
    if tls == FtpTls::Implicit {
        conf += "TLSOptions UseImplicitSSL\n";
    }
    conf
}

/// Whom the server runs as: it lets nobody in as root.
pub(crate) struct User {
    id: u32,
    group: u32,
    pub(crate) name: String,
    pub(crate) group_name: String,
    root: bool,
}

impl User {
    pub(crate) fn of_the_server() -> Self {
        use std::os::unix::fs::MetadataExt as _;
        let us = fs::metadata("/proc/self").expect("Linux");
        if us.uid() == 0 {
            // As Debian has them.
            let (name, group_name) = ("nobody".into(), "nogroup".into());
            return Self { id: 65534, group: 65534, name, group_name, root: true };
        }
        let id = |what| {
            let out = Command::new("id").arg(what).output().expect("id starts");
            String::from_utf8_lossy(&out.stdout).trim().to_owned()
        };
        Self { id: us.uid(), group: us.gid(), name: id("-un"), group_name: id("-gn"), root: false }
    }

    pub(crate) fn owns(&self, folder: &Path) {
        fs::create_dir_all(folder).expect("a folder for files");
        if self.root {
            std::os::unix::fs::chown(folder, Some(self.id), Some(self.group)).expect("we are root");
        }
    }
}

fn write(path: &Path, text: &str, mode: u32) {
    fs::write(path, text).expect("room for a file");
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("ours");
}

/// For servers that take a while to open theirs: none that the system gives to whoever asks for any, and then to somebody else
/// who does.
pub(crate) fn port() -> u16 {
    static ASKED: AtomicU32 = AtomicU32::new(0);
    loop {
        let n = std::process::id().wrapping_mul(61).wrapping_add(ASKED.fetch_add(1, Ordering::Relaxed));
        // Linux gives from 32768 on.
        let port = 10_000 + (n % 22_000) as u16;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

/// A new one below the system's folder for temporary files.
pub(crate) fn folder(what: &str) -> PathBuf {
    static STARTED: AtomicU32 = AtomicU32::new(0);
    let n = STARTED.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("videorec-{what}-{}-{n}", std::process::id()));
    fs::create_dir_all(&folder).unwrap_or_else(|e| panic!("cannot make {}: {e}", folder.display()));
    folder
}
