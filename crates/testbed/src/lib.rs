//! The real servers that tests talk to: the AWS emulator `ministack`, PostgreSQL, servers of mail, SSH, FTP, WebDAV and HTTP,
//! and a TCP proxy that breaks connections on cue. Each is started on a free loopback port or a private socket, by whoever
//! needs it, and ends with the process that started it, however that ends. What is missing is installed first.
//!
//! Architecture invariant: knows none of the product's rooms, and only tests, `xtask demo` and benches know it. Only std,
//! so that `xtask` builds in a moment.
#![expect(
    clippy::disallowed_methods,
    reason = "this room starts servers for tests; it is not part of the product"
)]

mod apache;
mod azurite;
mod certificates;
mod ftp;
mod ftp_script;
mod guard;
mod ministack;
mod nginx;
mod postgres;
mod proxy;
mod setup;
mod smtp;
mod sshd;
mod unpacked;
mod webdav;

pub use apache::Apache;
pub use azurite::Azurite;
pub use certificates::Certificates;
pub use ftp::{Ftp, FtpTls};
pub use ftp_script::{FtpScript, FtpTricks};
pub use ministack::Ministack;
pub use nginx::Nginx;
pub use postgres::Postgres;
pub use proxy::{Fault, Proxy};
pub use setup::{
    ensure_boto3, ensure_ministack, ensure_postgres, ensure_rsync, ensure_sshd, python_with, run_python,
};
pub use smtp::{Smtp, SmtpTls};
pub use sshd::{SshAgent, Sshd, SshdSettings};
pub use webdav::WebDav;

use std::{
    net::{Ipv4Addr, TcpListener},
    time::{Duration, Instant},
};

/// A program of a Debian package that is unpacked for tests and not installed, such as `usr/bin/lftp`.
pub fn program(package: &str, path: &str) -> std::process::Command {
    let unpacked = unpacked::Unpacked::of(&[package]);
    let mut command = std::process::Command::new(unpacked.path(path));
    command.env("LD_LIBRARY_PATH", unpacked.libraries());
    command
}

/// A loopback port that was free a moment ago.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port");
    listener.local_addr().expect("bound").port()
}

/// Polls until it holds; panics with `what` when it does not in time.
pub(crate) fn wait_for(what: &str, patience: Duration, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + patience;
    while !holds() {
        assert!(Instant::now() < until, "{what} did not happen within {patience:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
