use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::PathBuf,
    sync::{Mutex, OnceLock},
    time::Duration,
};

use crate::{free_port, guard::Guarded, setup};

/// The AWS emulator on a loopback port: S3, SQS, SNS and ECS in one process, state in memory.
#[derive(Debug)]
pub struct Ministack {
    port: u16,
    server: Mutex<Guarded>,
    log: PathBuf,
}

impl Ministack {
    pub fn start() -> Self {
        let program = setup::ensure_ministack();
        let port = free_port();
        let log = std::env::temp_dir().join(format!("ministack-{}-{port}.log", std::process::id()));
        let server = Mutex::new(Self::spawn(&program, port, &log));
        let this = Self { port, server, log };
        this.wait();
        this
    }

    /// One for the whole test process, started by whoever asks first. Tests keep apart by the names they use.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Ministack> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Ends the server as a crash would; its state is gone.
    pub fn kill(&self) {
        self.server.lock().expect("not poisoned").kill();
    }

    fn spawn(program: &std::path::Path, port: u16, log: &std::path::Path) -> Guarded {
        let port = port.to_string();
        let environment = [
            ("GATEWAY_PORT", port.as_str()),
            ("BIND_HOST", "127.0.0.1"),
            ("IOT_MTLS_ENABLED", "0"),
            ("LOG_LEVEL", "WARNING"),
        ];
        Guarded::start(program, std::iter::empty::<&str>(), &environment, log)
    }

    fn wait(&self) {
        Guarded::until(
            &self.server,
            "ministack",
            || std::fs::read_to_string(&self.log).unwrap_or_default(),
            || self.answers(),
        );
    }

    fn answers(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(self.address()) else { return false };
        let _ = stream.set_read_timeout(Some(Duration::from_secs(2)));
        let asked = stream.write_all(b"GET /_ministack/health HTTP/1.0\r\nhost: localhost\r\n\r\n");
        let mut answer = [0; 5];
        asked.is_ok() && stream.read_exact(&mut answer).is_ok() && &answer == b"HTTP/"
    }
}
