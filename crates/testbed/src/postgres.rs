use std::{
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use crate::{free_port, guard::Guarded, setup, wait_for};

/// A PostgreSQL server of our own: a fresh cluster in a temporary folder, a private socket in it, and a loopback port
/// for tests that put a proxy in between.
#[derive(Debug)]
pub struct Postgres {
    bin: PathBuf,
    folder: PathBuf,
    port: u16,
    server: Mutex<Guarded>,
    databases: AtomicU32,
}

impl Postgres {
    pub fn start() -> Self {
        let bin = setup::ensure_postgres();
        let port = free_port();
        let folder = std::env::temp_dir().join(format!("videorec-pg-{}-{port}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder for the cluster");
        // The server refuses to run as root: then it runs as the user that its package made.
        if as_postgres() {
            run(Command::new("chown").arg("postgres").arg(&folder));
        }
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).expect("ours");
        let data = folder.join("data");
        let mut init = user_command(&bin.join("initdb"));
        init.args([
            "--username=videorec",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--no-sync",
            "-D",
        ]);
        run(init.arg(&data));
        // A process that is killed loses nothing that it gave to the system; whoever measures turns it on again.
        let mut settings =
            fs::OpenOptions::new().append(true).open(data.join("postgresql.conf")).expect("made by initdb");
        settings.write_all(b"fsync = off\n").expect("room for a line");
        let server = Mutex::new(Self::spawn(&bin, &folder, port));
        let this = Self { bin, folder, port, server, databases: AtomicU32::new(0) };
        this.wait();
        this
    }

    /// One for the whole test process; every test has its own database in it.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// A new, empty database. Its URL goes by the private socket.
    pub fn database(&self) -> String {
        let name = format!("t{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.psql("postgres", &format!("CREATE DATABASE {name} TEMPLATE template0"));
        self.url(&name)
    }

    /// `postgres://videorec@/NAME?host=SOCKET&port=PORT`
    pub fn url(&self, name: &str) -> String {
        let socket = self.folder.display().to_string().replace('/', "%2F");
        format!("postgres://videorec@{socket}:{}/{name}", self.port)
    }

    /// The same database by TCP, through `port`: a proxy's, or the server's own [`port`](Self::port).
    pub fn url_by_tcp(&self, url: &str, port: u16) -> String {
        let name = url.rsplit('/').next().expect("a name");
        format!("postgres://videorec@127.0.0.1:{port}/{name}")
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Runs SQL as the administrator.
    pub fn psql(&self, database: &str, sql: &str) -> String {
        let mut psql = Command::new(self.bin.join("psql"));
        psql.args([
            "-X",
            "-q",
            "-A",
            "-t",
            "-v",
            "ON_ERROR_STOP=1",
            "-U",
            "videorec",
            "-d",
            database,
            "-c",
            sql,
        ]);
        psql.arg("-h").arg(&self.folder).arg("-p").arg(self.port.to_string());
        let out = psql.output().expect("psql starts");
        assert!(out.status.success(), "{sql}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout).trim().to_owned()
    }

    /// Ends the server as a crash would; what it has committed stays.
    pub fn kill(&self) {
        self.server.lock().expect("not poisoned").kill();
    }

    pub fn restart(&self) {
        let mut server = self.server.lock().expect("not poisoned");
        server.kill();
        *server = Self::spawn(&self.bin, &self.folder, self.port);
        drop(server);
        self.wait();
    }

    fn spawn(bin: &Path, folder: &Path, port: u16) -> Guarded {
        let command = user_command(&bin.join("postgres"));
        let settings = [
            format!("unix_socket_directories={}", folder.display()),
            format!("port={port}"),
            "listen_addresses=127.0.0.1".into(),
            "max_connections=200".into(),
            "shared_buffers=64MB".into(),
            // In its own folder, which goes with it: killed, it would leave what lies in `/dev/shm`.
            "dynamic_shared_memory_type=mmap".into(),
        ];
        let mut arguments: Vec<String> =
            command.get_args().map(|a| a.to_string_lossy().into_owned()).collect();
        arguments.extend(["-D".into(), folder.join("data").display().to_string()]);
        arguments.extend(settings.into_iter().flat_map(|s| ["-c".into(), s]));
        let log = folder.with_extension("log");
        let remove = format!("{}:{}", folder.display(), log.display());
        Guarded::start(Path::new(command.get_program()), arguments, &[("TESTBED_REMOVE", &remove)], &log)
    }

    fn wait(&self) {
        wait_for("the start of PostgreSQL", Duration::from_secs(60), || {
            let running = self.server.lock().expect("not poisoned").is_running();
            let log = self.folder.with_extension("log");
            assert!(running, "PostgreSQL ended: {}", fs::read_to_string(log).unwrap_or_default());
            let mut ready = Command::new(self.bin.join("pg_isready"));
            ready.arg("-h").arg(&self.folder).args(["-p", &self.port.to_string(), "-q"]);
            ready.status().is_ok_and(|s| s.success())
        });
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.kill();
        let _ = (fs::remove_dir_all(&self.folder), fs::remove_file(self.folder.with_extension("log")));
    }
}

fn as_postgres() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|o| o.stdout.trim_ascii() == b"0")
}

fn user_command(program: &Path) -> Command {
    if as_postgres() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).arg(program);
        command
    } else {
        Command::new(program)
    }
}

fn run(command: &mut Command) {
    let out =
        command.stdin(Stdio::null()).output().unwrap_or_else(|e| panic!("{command:?} did not start: {e}"));
    assert!(out.status.success(), "{command:?} failed: {}", String::from_utf8_lossy(&out.stderr));
}
