use std::{
    any::Any,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use testbed::{Apache, Certificates, Ftp, FtpTls, Nginx, Sshd};

use super::{OURS, Put, Way, peers, program};
use crate::bench::fleet::files::Files;

/// A server, and who sends to it.
pub struct Ground {
    /// Ours first, [`OURS`] of them.
    pub ways: Vec<Way>,
    /// The requests that ours makes for each file, by a peer that makes fewer when it is left to itself.
    pub alike: Option<Box<Put>>,
    /// Where what was sent lies.
    pub served: PathBuf,
    pub empty: Box<dyn Fn() -> Result<(), String>>,
    /// The server, for as long as it is needed.
    _server: Box<dyn Any>,
}

type Start = fn(&Path) -> Result<Ground, String>;

pub const ALL: [(&str, Start); 6] = [
    ("sftp (OpenSSH)", sftp),
    ("ftp (ProFTPD)", ftp),
    ("ftpes (ProFTPD)", ftpes),
    ("s3 (s3s-fs)", s3),
    ("dav (Apache)", webdav),
    ("http (nginx)", http),
];

/// The folder on the server.
pub const ROOT: &str = "in";

fn sftp(_: &Path) -> Result<Ground, String> {
    let server = Sshd::start();
    let with = peers::Ssh { port: server.port(), user: server.user(), key: server.key("client") };
    let known = server.fingerprint("ed25519");
    let (port, key) = (with.port.to_string(), with.key.display().to_string());
    let ours = ours(["sftp", &port, &with.user, &key, &known, ROOT]);
    let peers = vec![peers::openssh(&with), peers::rclone_sftp(&with)];
    Ok(Ground::of(ours, peers, server.files().join(ROOT), server))
}

fn ftp(home: &Path) -> Result<Ground, String> {
    by_ftp(home, FtpTls::None)
}

fn ftpes(home: &Path) -> Result<Ground, String> {
    by_ftp(home, FtpTls::Explicit)
}

fn by_ftp(home: &Path, tls: FtpTls) -> Result<Ground, String> {
    let certificates = Certificates::of(&["127.0.0.1", "localhost"]);
    let ca = home.join("ca.pem");
    fs::write(&ca, certificates.authority()).map_err(|e| e.to_string())?;
    let server = Ftp::start(tls, &certificates);
    let port = server.address().port();
    let is_open = tls == FtpTls::None;
    let kind = if is_open { "ftp" } else { "ftpes" };
    let ours = ours([kind, &port.to_string(), Ftp::USER, Ftp::PASSWORD, &ca.display().to_string(), ROOT]);
    let with = peers::FtpServer { port, user: Ftp::USER, password: Ftp::PASSWORD, ca, is_open };
    let peers = vec![peers::curl_ftp(&with), peers::lftp(&with), peers::rclone_ftp(&with)?];
    let served = server.folder(ROOT);
    let mut ground = Ground::of(ours, peers, served.clone(), certificates);
    // By TLS curl loses a few of many: 425.
    if is_open {
        let (alike, many) = (peers::curl_ftp_as_ours(&with), served.join("many"));
        ground.alike = Some(Box::new(move |pile| {
            // It makes no folders when it is told to rename.
            open_to_all(&many)?;
            alike(pile)
        }));
    }
    ground.empty = Box::new(move || {
        fs::remove_dir_all(&served).map_err(|e| e.to_string())?;
        server.folder(ROOT);
        Ok(())
    });
    Ok(ground)
}

fn s3(home: &Path) -> Result<Ground, String> {
    const BUCKET: &str = "bench";
    let server = Files::start(home, BUCKET)?;
    let endpoint = format!("http://{}", server.address);
    let ours = ours(["s3", &endpoint, BUCKET, ROOT]);
    let peers = vec![peers::s5cmd(&endpoint, BUCKET), peers::rclone_s3(&endpoint, BUCKET)];
    let root = home.join("s3");
    let mut ground = Ground::of(ours, peers, root.join(BUCKET).join(ROOT), server);
    // Its notes on objects lie beside the bucket.
    ground.empty = Box::new(move || {
        let io = |e: std::io::Error| format!("{}: {e}", root.display());
        for entry in fs::read_dir(&root).map_err(io)?.flatten() {
            let path = entry.path();
            if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.map_err(io)?;
        }
        fs::create_dir_all(root.join(BUCKET)).map_err(io)
    });
    Ok(ground)
}

fn webdav(_: &Path) -> Result<Ground, String> {
    let server = Apache::start();
    let (user, password) = (Apache::USER, Apache::PASSWORD);
    let url = format!("{}/{ROOT}", server.url());
    let ours = ours(["webdav", &url, user, password]);
    let peers = vec![peers::curl_http(&url, user, password), peers::rclone_webdav(&url, user, password)?];
    Ok(Ground::of(ours, peers, server.files().join(ROOT), server))
}

/// Nothing but curl puts by plain HTTP.
fn http(_: &Path) -> Result<Ground, String> {
    let server = Nginx::start(None);
    let (user, password) = (Nginx::USER, Nginx::PASSWORD);
    let url = server.url("/in");
    let ours = ours(["http", &url, user, password]);
    let peers = vec![peers::curl_http(&url, user, password)];
    let mut ground = Ground::of(ours, peers, server.files().join(ROOT), server);
    ground.alike = Some(peers::curl_http_as_ours(&url, user, password));
    Ok(ground)
}

/// As the peers do it, and as the product does unless it is told otherwise.
fn ours<const N: usize>(with: [&str; N]) -> [Way; OURS] {
    let with: Vec<String> = with.map(str::to_owned).into();
    let call = |way: &str, folder: &Path, with: &[String]| {
        let mut command: Command = program();
        command.arg(way).arg(folder).args(with);
        command
    };
    [("sizes", ""), ("hashes", "-hashed")].map(|(what, how)| {
        let (put, get) = (with.clone(), with.clone());
        Way {
            name: format!("videorec's transfer, by {what}"),
            put: Box::new(move |pile| Ok(call(&format!("put{how}"), &pile.folder, &put))),
            get: Box::new(move |pile, back| {
                let hashes = pile.folder.join(".hashes");
                fs::copy(hashes, back.join(".hashes")).map_err(|e| e.to_string())?;
                Ok(call(&format!("get{how}"), back, &get))
            }),
        }
    })
}

impl Ground {
    fn of(ours: [Way; OURS], peers: Vec<Way>, served: PathBuf, server: impl Any) -> Self {
        let ways = ours.into_iter().chain(peers).collect();
        let folder = served.clone();
        let empty = move || {
            let _ = fs::remove_dir_all(&folder);
            open_to_all(&folder)?;
            open_to_all(&folder.join("many"))
        };
        Self { ways, alike: None, served, empty: Box::new(empty), _server: Box::new(server) }
    }
}

/// Makes a folder; whoever the server is, it may write there.
fn open_to_all(folder: &Path) -> Result<(), String> {
    fs::create_dir_all(folder)
        .and_then(|()| fs::set_permissions(folder, fs::Permissions::from_mode(0o777)))
        .map_err(|e| format!("{}: {e}", folder.display()))
}
