use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::PathBuf,
    sync::Mutex,
};

use crate::{Certificates, ftp, guard::Guarded, unpacked::Unpacked};

/// nginx on a loopback port, which takes PUT and DELETE below `/in/` from one user, [`Nginx::USER`], or from anybody who has
/// [`Nginx::TOKEN`] below `/token/`. Below `/elsewhere/` it sends people to another host, at `/full/` it has no room, below
/// `/blind/` it takes files and shows none, and below `/lies/` it says that it has taken them and keeps what it had.
#[derive(Debug)]
pub struct Nginx {
    port: u16,
    tls: bool,
    folder: PathBuf,
    server: Mutex<Guarded>,
}

impl Nginx {
    pub const USER: &str = "partner";
    pub const PASSWORD: &str = "canary-of-nginx";
    pub const TOKEN: &str = "canary-of-token";

    pub fn start(certificates: Option<&Certificates>) -> Self {
        let program = Unpacked::of(&["nginx-light"]);
        let port = ftp::port();
        let folder = ftp::folder("nginx");
        for made in ["files/in", "files/token", "files/blind", "files/lies", "temporary"] {
            fs::create_dir_all(folder.join(made)).expect("a folder for files");
        }
        fs::write(folder.join("users"), format!("{}:{{PLAIN}}{}\n", Self::USER, Self::PASSWORD))
            .expect("room");
        fs::write(folder.join("conf"), configuration(port, &folder, certificates)).expect("room");
        let at = folder.display().to_string();
        let arguments = [
            "-p".to_owned(),
            at.clone(),
            "-c".into(),
            format!("{at}/conf"),
            "-e".into(),
            format!("{at}/error"),
        ];
        let libraries = program.libraries();
        let environment = [("LD_LIBRARY_PATH", libraries.as_str()), ("TESTBED_REMOVE", &at)];
        let log = folder.join("log");
        let server = Guarded::start(&program.path("usr/sbin/nginx"), arguments, &environment, &log);
        let this = Self { port, tls: certificates.is_some(), folder, server: Mutex::new(server) };
        Guarded::until(
            &this.server,
            "nginx",
            || format!("{} {}", fs::read_to_string(&log).unwrap_or_default(), this.log()),
            || TcpStream::connect(this.address()).is_ok(),
        );
        this
    }

    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Of `/in`, `/token` and so on.
    pub fn url(&self, path: &str) -> String {
        format!("{}://127.0.0.1:{}{path}", if self.tls { "https" } else { "http" }, self.port)
    }

    pub fn files(&self) -> PathBuf {
        self.folder.join("files")
    }

    /// A line a request, with the `Content-Digest` that came with it.
    pub fn requests(&self) -> String {
        fs::read_to_string(self.folder.join("access")).unwrap_or_default()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("error")).unwrap_or_default()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        self.server.lock().expect("not poisoned").kill();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn configuration(port: u16, folder: &std::path::Path, certificates: Option<&Certificates>) -> String {
    let at = folder.display();
    let tls = certificates.map(|c| {
        let (certificate, key) = (c.certificate(), c.key());
        format!("ssl_certificate {}; ssl_certificate_key {};", certificate.display(), key.display())
    });
    let ssl = if tls.is_some() { "ssl" } else { "" };
    let dav = "dav_methods PUT DELETE; create_full_put_path on; dav_access all:rw;";
    format!(
        // Several processes, as packages have it, and no more than tests need; who is root makes files as root.
        "daemon off; worker_processes 2; user root; pid {at}/pid; error_log {at}/error;
events {{ worker_connections 512; }}
http {{
  log_format ours '$request_method $request_uri $status \"$http_content_digest\" \"$http_if_none_match\"';
  access_log {at}/access ours;
  client_body_temp_path {at}/temporary; proxy_temp_path {at}/temporary; fastcgi_temp_path {at}/temporary;
  uwsgi_temp_path {at}/temporary; scgi_temp_path {at}/temporary;
  client_max_body_size 0;
  default_type application/octet-stream;
  server {{
    listen 127.0.0.1:{port} {ssl};
    {tls}
    root {at}/files;
    location /in/ {{ {dav} auth_basic here; auth_basic_user_file {at}/users; }}
    location /token/ {{
      if ($http_authorization != \"Bearer {token}\") {{ return 401; }}
      {dav}
    }}
    location /blind/ {{
      limit_except PUT {{ deny all; }}
      {dav}
    }}
    location /elsewhere/ {{ return 307 http://169.254.169.254$request_uri; }}
    location /lies/ {{ if ($request_method = PUT) {{ return 201; }} }}
    location /full/ {{ return 507; }}
    location /busy/ {{ return 503; }}
  }}
}}
",
        tls = tls.unwrap_or_default(),
        token = Nginx::TOKEN,
    )
}
