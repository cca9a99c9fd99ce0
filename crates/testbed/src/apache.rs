use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    sync::Mutex,
};

use crate::{ftp, guard::Guarded, unpacked::Unpacked};

/// Apache with `mod_dav` on a loopback port: WebDAV as most partners have it. Its files are below `/dav`, for one user,
/// [`Apache::USER`].
#[derive(Debug)]
pub struct Apache {
    port: u16,
    folder: PathBuf,
    server: Mutex<Guarded>,
}

const MODULES: [&str; 9] = [
    "mpm_event",
    "authn_core",
    "authn_file",
    "authz_core",
    "authz_user",
    "auth_basic",
    "dav",
    "dav_fs",
    "dir",
];

impl Apache {
    pub const USER: &str = "partner";
    pub const PASSWORD: &str = "canary-of-apache";
    /// `PASSWORD`, as htpasswd(1) writes it with `-m`.
    const HASH: &str = "$apr1$testbed$wIQBy5vN7v1z2h7M18syZ0";

    pub fn start() -> Self {
        let program = Unpacked::of(&["apache2-bin"]);
        let (port, folder) = (ftp::port(), ftp::folder("apache"));
        let user = ftp::User::of_the_server();
        for made in ["files/dav", "locks"] {
            user.owns(&folder.join(made));
        }
        let write = |name: &str, text: String| fs::write(folder.join(name), text).expect("room");
        write("users", format!("{}:{}\n", Self::USER, Self::HASH));
        write("conf", configuration(&program, port, &folder, &user));
        let at = folder.display().to_string();
        let arguments = ["-d", &at, "-f", &format!("{at}/conf"), "-D", "FOREGROUND"];
        let libraries = program.libraries();
        let environment = [("LD_LIBRARY_PATH", libraries.as_str()), ("TESTBED_REMOVE", &at)];
        let log = folder.join("log");
        let server = Guarded::start(&program.path("usr/sbin/apache2"), arguments, &environment, &log);
        let this = Self { port, folder, server: Mutex::new(server) };
        Guarded::until(
            &this.server,
            "Apache",
            || format!("{} {}", fs::read_to_string(&log).unwrap_or_default(), this.log()),
            || TcpStream::connect(this.address()).is_ok(),
        );
        this
    }

    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/dav", self.port)
    }

    /// Below `/dav`.
    pub fn files(&self) -> PathBuf {
        self.folder.join("files/dav")
    }

    /// A folder there, for one test alone.
    pub fn folder(&self, name: &str) -> PathBuf {
        let folder = self.files().join(name);
        ftp::User::of_the_server().owns(&folder);
        folder
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("error")).unwrap_or_default()
    }
}

impl Drop for Apache {
    fn drop(&mut self) {
        self.server.lock().expect("not poisoned").kill();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn configuration(program: &Unpacked, port: u16, folder: &Path, user: &ftp::User) -> String {
    let modules = program.path("usr/lib/apache2/modules");
    let load: String = MODULES
        .iter()
        .map(|name| format!("LoadModule {name}_module {}/mod_{name}.so\n", modules.display()))
        .collect();
    let at = folder.display();
    format!(
        "{load}ServerName localhost\nListen 127.0.0.1:{port}\nUser {}\nGroup {}\nPidFile {at}/pid\n\
         DefaultRuntimeDir {at}\nErrorLog {at}/error\nDocumentRoot {at}/files\n\
         DavLockDB {at}/locks/db\nKeepAlive on\nMaxKeepAliveRequests 0\nKeepAliveTimeout 30\nTimeout 60\n\
         LimitRequestBody 0\nEnableSendfile on\n\
         <Directory {at}/files>\n  Require all denied\n</Directory>\n\
         <Directory {at}/files/dav>\n  Dav on\n  DirectoryIndex disabled\n  AuthType Basic\n  AuthName here\n\
         \x20 AuthUserFile {at}/users\n  Require valid-user\n</Directory>\n",
        user.name, user.group_name,
    )
}
