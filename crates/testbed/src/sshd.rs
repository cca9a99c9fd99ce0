use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use crate::{free_port, guard::Guarded, setup, wait_for};

/// An OpenSSH server of our own on a loopback port: its own configuration, host keys and users' keys, and no more rights than
/// an ordinary user has (but for [`SshdSettings::wrong_sizes`] and [`SshdSettings::shell`] when root runs the tests). It serves SFTP below [`Sshd::files`], which is where a user lands.
#[derive(Debug)]
pub struct Sshd {
    folder: PathBuf,
    port: u16,
    settings: SshdSettings,
    server: Mutex<Guarded>,
    folders: AtomicU32,
}

/// An SSH agent; it ends with this.
#[derive(Debug)]
pub struct SshAgent {
    socket: PathBuf,
    _agent: Guarded,
}

impl SshAgent {
    pub fn socket(&self) -> PathBuf {
        self.socket.clone()
    }
}

/// What is out of the ordinary with it.
#[derive(Debug, Clone, Default)]
pub struct SshdSettings {
    /// Arguments of `sftp-server`: `-P posix-rename,rename` refuses these requests.
    pub sftp: Vec<String>,
    /// Further lines of `sshd_config`.
    pub lines: Vec<String>,
    /// Its user has a shell to run commands by, rsync among them.
    pub shell: bool,
    /// The server says that every file has a byte more than it has.
    pub wrong_sizes: bool,
}

/// Stands between sshd and the real `sftp-server`, and adds one to every size in an answer to a look at a file.
const LIAR: &str = r#"
import os, struct, subprocess, sys, threading
server = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
def requests():
    while part := os.read(0, 65536):
        server.stdin.write(part); server.stdin.flush()
    server.stdin.close()
threading.Thread(target=requests, daemon=True).start()
while head := server.stdout.read(4):
    body = bytearray(server.stdout.read(struct.unpack('>I', head)[0]))
    if body[0] == 105 and struct.unpack('>I', body[5:9])[0] & 1:
        body[9:17] = struct.pack('>Q', struct.unpack('>Q', body[9:17])[0] + 1)
    sys.stdout.buffer.write(head + body); sys.stdout.buffer.flush()
"#;

impl Sshd {
    pub fn start() -> Self {
        Self::start_with(SshdSettings::default())
    }

    pub fn start_with(settings: SshdSettings) -> Self {
        setup::ensure_sshd();
        if settings.shell {
            setup::ensure_rsync();
        }
        let port = free_port();
        let folder = std::env::temp_dir().join(format!("videorec-sshd-{}-{port}", std::process::id()));
        fs::create_dir_all(folder.join("files")).expect("a folder for the server");
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).expect("ours");
        for (key, kind) in [("client", "ed25519"), ("client_rsa", "rsa")] {
            keygen(&folder.join(key), kind, "");
        }
        keygen(&folder.join("client_locked"), "ed25519", Self::PASSPHRASE);
        let authorized: String = ["client", "client_rsa", "client_locked"]
            .map(|key| fs::read_to_string(folder.join(key).with_extension("pub")).expect("made"))
            .concat();
        fs::write(folder.join("authorized_keys"), authorized).expect("room for a line");
        make_host_keys(&folder);
        fs::write(folder.join("liar.py"), LIAR).expect("room for a script");
        let server = Mutex::new(Self::spawn(&folder, port, &settings));
        let this = Self { folder, port, settings, server, folders: AtomicU32::new(0) };
        this.wait();
        this
    }

    /// Of the key `client_locked`.
    pub const PASSPHRASE: &str = "correct horse";

    /// One for the whole test process, started by whoever asks first; [`Sshd::new_folder`] keeps its users apart.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Sshd> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// The same with a shell.
    pub fn shared_with_shell() -> &'static Self {
        static SHARED: OnceLock<Sshd> = OnceLock::new();
        SHARED.get_or_init(|| Self::start_with(SshdSettings { shell: true, ..SshdSettings::default() }))
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Who the server is run by, and the only one that it lets in.
    pub fn user(&self) -> String {
        if self.settings.as_nobody() {
            return "nobody".into();
        }
        let out = Command::new("id").arg("-un").output().expect("id starts");
        String::from_utf8_lossy(&out.stdout).trim().to_owned()
    }

    /// A private key that the server lets in, by its file: `client` (Ed25519), `client_rsa`, `client_locked` (with a passphrase).
    pub fn key(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Where a user lands.
    pub fn files(&self) -> PathBuf {
        self.folder.join("files")
    }

    /// A new folder below [`Sshd::files`], by its name there.
    pub fn new_folder(&self) -> String {
        let name = format!("f{}", self.folders.fetch_add(1, Ordering::Relaxed));
        let path = self.files().join(&name);
        fs::create_dir(&path).expect("a new folder");
        give(&path);
        name
    }

    /// `SHA256:…` of the server's `ed25519` or `ecdsa` key.
    pub fn fingerprint(&self, kind: &str) -> String {
        let key = self.folder.join(format!("host_{kind}.pub"));
        let out = Command::new("ssh-keygen").arg("-lf").arg(key).output().expect("ssh-keygen starts");
        let shown = String::from_utf8_lossy(&out.stdout).into_owned();
        shown.split_whitespace().nth(1).expect("a fingerprint").to_owned()
    }

    /// An agent that holds the key `client_rsa`.
    pub fn agent(&self) -> SshAgent {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let socket = self.folder.join(format!("agent{}", COUNT.fetch_add(1, Ordering::Relaxed)));
        let arguments = ["-D".into(), "-a".into(), socket.clone().into_os_string()];
        let agent = Guarded::start(Path::new("ssh-agent"), arguments, &[], &socket.with_extension("log"));
        wait_for("the start of ssh-agent", Duration::from_secs(30), || socket.exists());
        let mut add = Command::new("ssh-add");
        add.arg("-q").arg(self.key("client_rsa")).env("SSH_AUTH_SOCK", &socket);
        assert!(add.status().expect("ssh-add starts").success(), "ssh-add failed");
        SshAgent { socket, _agent: agent }
    }

    /// What a reinstalled server does, and what somebody in between does.
    pub fn change_host_keys(&self) {
        let mut server = self.server.lock().expect("not poisoned");
        server.kill();
        make_host_keys(&self.folder);
        *server = Self::spawn(&self.folder, self.port, &self.settings);
        drop(server);
        self.wait();
    }

    /// Ends the server as a crash would.
    pub fn kill(&self) {
        self.server.lock().expect("not poisoned").kill();
    }

    pub fn restart(&self) {
        let mut server = self.server.lock().expect("not poisoned");
        server.kill();
        *server = Self::spawn(&self.folder, self.port, &self.settings);
        drop(server);
        self.wait();
    }

    fn spawn(folder: &Path, port: u16, settings: &SshdSettings) -> Guarded {
        give(&folder.join("files"));
        let shown = |file: &str| folder.join(file).display().to_string();
        // Within sshd, because any other program would be started by the user's shell, and `nobody` has none.
        let mut sftp = vec!["internal-sftp".to_owned()];
        if settings.wrong_sizes {
            sftp = vec!["python3".into(), shown("liar.py"), SFTP_SERVER.into()];
        }
        sftp.extend(["-d".into(), shown("files")]);
        sftp.extend(settings.sftp.iter().cloned());
        let config = format!(
            "ListenAddress 127.0.0.1:{port}\nHostKey {}\nHostKey {}\nPidFile none\nAuthorizedKeysFile {}\nStrictModes no\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\nMaxStartups 200\nMaxSessions 200\n\
             PrintMotd no\nUseDNS no\nPermitRootLogin yes\nSubsystem sftp {}\nUsePAM {}\n{}\n",
            shown("host_ed25519"),
            shown("host_ecdsa"),
            shown("authorized_keys"),
            sftp.join(" "),
            // Without it sshd asks by itself whether the account is locked, as `nobody`'s is.
            if settings.as_nobody() { "yes" } else { "no" },
            settings.lines.join("\n"),
        );
        fs::write(folder.join("sshd_config"), config).expect("room for a configuration");
        let log = folder.with_extension("log");
        let remove = format!("{}:{}", folder.display(), log.display());
        let arguments = ["-D".to_owned(), "-e".into(), "-f".into(), shown("sshd_config")];
        let environment = [("TESTBED_REMOVE", remove.as_str())];
        if is_root() && !settings.as_nobody() {
            // Root's sshd wants it, and its package makes it only when it starts one by itself.
            fs::create_dir_all("/run/sshd").expect("we are root");
        }
        if settings.as_nobody() {
            // Who may do everything is never refused anything; a server that is tried must be able to refuse.
            let as_nobody =
                [format!("--reuid={NOBODY}"), format!("--regid={NOBODY}"), "--clear-groups".into()];
            let arguments = as_nobody.into_iter().chain(["--".into(), SSHD.into()]).chain(arguments);
            Guarded::start(Path::new("setpriv"), arguments, &environment, &log)
        } else {
            Guarded::start(Path::new(SSHD), arguments, &environment, &log)
        }
    }

    fn wait(&self) {
        wait_for("the start of sshd", Duration::from_secs(30), || {
            let running = self.server.lock().expect("not poisoned").is_running();
            let log = self.folder.with_extension("log");
            assert!(running, "sshd ended: {}", fs::read_to_string(log).unwrap_or_default());
            TcpStream::connect(self.address()).is_ok()
        });
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.kill();
        let _ = (fs::remove_dir_all(&self.folder), fs::remove_file(self.folder.with_extension("log")));
    }
}

const SSHD: &str = "/usr/sbin/sshd";
const SFTP_SERVER: &str = "/usr/lib/openssh/sftp-server";
/// Debian's `nobody`, by number: the user and its group have different names.
const NOBODY: u32 = 65534;

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|o| o.stdout.trim_ascii() == b"0")
}

impl SshdSettings {
    fn as_nobody(&self) -> bool {
        is_root() && !self.wrong_sizes && !self.shell
    }
}

/// To the user that the server is run by.
fn give(path: &Path) {
    if is_root() {
        std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).expect("we are root");
    }
}

fn make_host_keys(folder: &Path) {
    for kind in ["ed25519", "ecdsa"] {
        let key = folder.join(format!("host_{kind}"));
        let _ = (fs::remove_file(&key), fs::remove_file(key.with_extension("pub")));
        keygen(&key, kind, "");
        give(&key);
    }
}

fn keygen(file: &Path, kind: &str, passphrase: &str) {
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-t", kind, "-N", passphrase, "-C", "testbed", "-f"]).arg(file);
    if kind == "rsa" {
        command.args(["-b", "2048"]);
    }
    assert!(command.status().expect("ssh-keygen starts").success(), "ssh-keygen failed");
}
