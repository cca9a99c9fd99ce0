//! What people send files with, each with the flags that make it fast.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::{Made, Pile, Put, Way, grounds::ROOT};
use crate::bench::fleet::{RCLONE, S5CMD};

/// Files that are sent at the same time, by everybody who can.
const AT_ONCE: &str = "16";

pub struct Ssh {
    pub port: u16,
    pub user: String,
    pub key: PathBuf,
}

pub struct FtpServer {
    pub port: u16,
    pub user: &'static str,
    pub password: &'static str,
    pub ca: PathBuf,
    pub is_open: bool,
}

fn way(
    name: &str,
    put: impl Fn(&Pile) -> Made + 'static,
    get: impl Fn(&Pile, &Path) -> Made + 'static,
) -> Way {
    Way { name: name.to_owned(), put: Box::new(put), get: Box::new(get) }
}

fn tool(package: &str, program: &str) -> Command {
    Command::new(testbed::python_with(package).with_file_name(program))
}

pub fn openssh(with: &Ssh) -> Way {
    let mut command = vec!["-q".to_owned()];
    let options =
        ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "Ciphers=aes128-gcm@openssh.com"];
    command.extend(options.iter().flat_map(|o| ["-o".to_owned(), (*o).to_owned()]));
    command.extend(["-P".into(), with.port.to_string(), "-i".into(), with.key.display().to_string()]);
    let whom = format!("{}@127.0.0.1", with.user);
    let call = move |pile: &Pile, line: String| {
        let batch = pile.folder.with_extension("batch");
        fs::write(&batch, line).map_err(|e| e.to_string())?;
        let mut sftp = Command::new("sftp");
        sftp.args(&command).arg("-b").arg(batch).arg(&whom);
        Ok(sftp)
    };
    let again = call.clone();
    let put = move |pile: &Pile| {
        let from = pile.folder.display();
        let line = if pile.names.len() == 1 {
            format!("put {from}/{0} {ROOT}/{0}\n", pile.names[0])
        } else {
            format!("put -r {from}/many {ROOT}/\n")
        };
        call(pile, line)
    };
    let get = move |pile: &Pile, back: &Path| {
        let back = back.display();
        let line = if pile.names.len() == 1 {
            format!("get {ROOT}/{0} {back}/{0}\n", pile.names[0])
        } else {
            format!("get -r {ROOT}/many {back}/\n")
        };
        again(pile, line)
    };
    way("OpenSSH sftp, aes128-gcm", put, get)
}

/// `remote`: the place, as rclone writes one that is in no file of its.
fn rclone(remote: String, flags: &'static [&'static str]) -> Way {
    let call = move |from: &str, to: &str| {
        let mut rclone = tool(RCLONE, "rclone");
        rclone.args(["copy", "--config=", "--ignore-checksum", "--no-update-dir-modtime", "--exclude=.*"]);
        rclone.args(["--transfers", AT_ONCE, "--checkers", AT_ONCE]).args(flags).args([from, to]);
        rclone
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_REGION", "us-east-1");
        Ok(rclone)
    };
    let (again, there) = (call, remote.clone());
    way(
        &format!("rclone {}", flags.join(" ")),
        move |pile| call(&pile.folder.display().to_string(), &remote),
        move |_, back| again(&there, &back.display().to_string()),
    )
}

pub fn rclone_sftp(with: &Ssh) -> Way {
    let remote = format!(
        ":sftp,host=127.0.0.1,port={},user={},key_file={},shell_type=none,concurrency=64,chunk_size=255k,\
         ciphers=aes128-gcm@openssh.com:{ROOT}",
        with.port,
        with.user,
        with.key.display()
    );
    rclone(remote, &[])
}

pub fn rclone_ftp(with: &FtpServer) -> Result<Way, String> {
    let tls = if with.is_open { "" } else { ",explicit_tls=true,no_check_certificate=true" };
    let password = obscured(with.password)?;
    Ok(rclone(
        format!(":ftp,host=127.0.0.1,port={},user={},pass={password}{tls}:{ROOT}", with.port, with.user),
        &[],
    ))
}

pub fn rclone_webdav(url: &str, user: &str, password: &str) -> Result<Way, String> {
    let password = obscured(password)?;
    // Else it makes no more than a hundred requests a second.
    let flags = &["--webdav-pacer-min-sleep=0"];
    Ok(rclone(format!(":webdav,url=\"{url}\",vendor=other,user={user},pass={password}:"), flags))
}

pub fn rclone_s3(endpoint: &str, bucket: &str) -> Way {
    let remote = format!(
        ":s3,provider=Other,env_auth=true,force_path_style=true,no_check_bucket=true,list_version=2,endpoint=\"{endpoint}\":{bucket}/{ROOT}/"
    );
    rclone(remote, &["--s3-upload-concurrency=8", "--s3-chunk-size=16M", "--multi-thread-streams=8"])
}

/// As rclone wants passwords.
fn obscured(password: &str) -> Result<String, String> {
    let out = tool(RCLONE, "rclone").args(["obscure", password]).output().map_err(|e| e.to_string())?;
    Ok(String::from_utf8_lossy(&out.stdout).trim().to_owned())
}

pub fn s5cmd(endpoint: &str, bucket: &str) -> Way {
    let there = format!("s3://{bucket}/{ROOT}/");
    let endpoint = endpoint.to_owned();
    let call = move |from: &str, to: &str| {
        let mut s5cmd = tool(S5CMD, "s5cmd");
        s5cmd.args(["--endpoint-url", &endpoint, "cp", "--exclude", ".hashes", from, to]);
        s5cmd
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_REGION", "us-east-1");
        Ok(s5cmd)
    };
    let (again, from) = (call.clone(), format!("{there}*"));
    way(
        "s5cmd cp",
        move |pile| call(&format!("{}/", pile.folder.display()), &there),
        move |_, back| again(&from, &format!("{}/", back.display())),
    )
}

pub fn curl_ftp(with: &FtpServer) -> Way {
    curl(&with.url(), &with.curl())
}

pub fn curl_http(url: &str, user: &str, password: &str) -> Way {
    curl(url, &login(user, password))
}

/// A look at the name, another one at what arrived, and a rename.
pub fn curl_ftp_as_ours(with: &FtpServer) -> Box<Put> {
    let (url, mut flags) = (with.url(), with.curl());
    // A leading `*` allows it to be refused, `-` is for afterwards. Names are from where it is let in.
    flags.extend(["--ftp-method".into(), "nocwd".into()]);
    Box::new(move |pile| {
        let mut lines = String::new();
        for name in &pile.names {
            let (file, partial) = (pile.folder.join(name), partial(name));
            let _ = write!(
                lines,
                "upload-file = \"{}\"\nurl = \"{url}/{partial}\"\nquote = \"*MLST {ROOT}/{name}\"\n\
                 quote = \"-MLST {ROOT}/{partial}\"\nquote = \"-RNFR {ROOT}/{partial}\"\n\
                 quote = \"-RNTO {ROOT}/{name}\"\nnext\n",
                file.display()
            );
        }
        sections(pile, &lines, &flags)
    })
}

/// A look at the name, and another one at what arrived. They are on their way at the same time, in this order.
pub fn curl_http_as_ours(url: &str, user: &str, password: &str) -> Box<Put> {
    let (url, flags) = (url.to_owned(), login(user, password));
    Box::new(move |pile| {
        let mut lines = String::new();
        for name in &pile.names {
            let (file, url) = (pile.folder.join(name), format!("{url}/{name}"));
            let look = format!("head\nurl = \"{url}\"\nnext\n");
            let _ =
                write!(lines, "{look}upload-file = \"{}\"\nurl = \"{url}\"\nnext\n{look}", file.display());
        }
        sections(pile, &lines, &flags)
    })
}

impl FtpServer {
    fn url(&self) -> String {
        format!("ftp://127.0.0.1:{}/{ROOT}", self.port)
    }

    fn curl(&self) -> Vec<String> {
        let mut flags = login(self.user, self.password);
        flags.push("--ftp-create-dirs".into());
        if !self.is_open {
            flags.extend(["--ssl-reqd".into(), "--cacert".into(), self.ca.display().to_string()]);
        }
        flags
    }
}

fn login(user: &str, password: &str) -> Vec<String> {
    vec!["--user".into(), format!("{user}:{password}")]
}

/// As ours is named: beside the file.
fn partial(name: &str) -> String {
    let (folder, file) = name.rsplit_once('/').unwrap_or(("", name));
    format!("{folder}/.{file}.part")
}

/// Lines of a configuration whose sections end in `next`, which every section's flags have to follow: they hold for one.
fn sections(pile: &Pile, lines: &str, flags: &[String]) -> Made {
    let mut each = String::new();
    let mut flags = flags.iter().peekable();
    while let Some(flag) = flags.next() {
        let value = flags.next_if(|v| !v.starts_with("--")).map(|v| format!(" = \"{v}\""));
        let _ = writeln!(each, "{}{}", flag.trim_start_matches('-'), value.unwrap_or_default());
    }
    let lines = lines.trim_end().trim_end_matches("next").replace("\nnext\n", &format!("\nnext\n{each}"));
    let list = pile.folder.with_extension("curl");
    fs::write(&list, format!("{each}{lines}")).map_err(|e| e.to_string())?;
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--parallel", "--parallel-max", AT_ONCE, "--config"]).arg(list);
    Ok(curl)
}

fn curl(url: &str, flags: &[String]) -> Way {
    let flags = flags.to_owned();
    let call = move |list: &Path, lines: String| {
        fs::write(list, lines).map_err(|e| e.to_string())?;
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--fail", "--parallel", "--parallel-max", AT_ONCE]);
        curl.args(&flags).arg("--config").arg(list);
        Ok(curl)
    };
    let (again, there, url) = (call.clone(), url.to_owned(), url.to_owned());
    let put = move |pile: &Pile| {
        let mut lines = String::new();
        for name in &pile.names {
            let file = pile.folder.join(name);
            let _ = writeln!(lines, "upload-file = \"{}\"\nurl = \"{url}/{name}\"", file.display());
        }
        call(&pile.folder.with_extension("curl"), lines)
    };
    let get = move |pile: &Pile, back: &Path| {
        let mut lines = String::from("create-dirs\n");
        for name in &pile.names {
            let file = back.join(name);
            let _ = writeln!(lines, "url = \"{there}/{name}\"\noutput = \"{}\"", file.display());
        }
        again(&pile.folder.with_extension("curl"), lines)
    };
    way("curl --parallel", put, get)
}

pub fn lftp(with: &FtpServer) -> Way {
    let tls = if with.is_open { "off" } else { "on" };
    let open = format!(
        "set ftp:ssl-allow {tls}; set ftp:ssl-force {tls}; set ftp:ssl-protect-data {tls}; set ssl:ca-file {}; \
         set ssl:check-hostname off; set net:max-retries 1; set net:timeout 30; set net:connection-limit {AT_ONCE}; \
         open -u {},{} ftp://127.0.0.1:{}",
        with.ca.display(),
        with.user,
        with.password,
        with.port
    );
    let again = open.clone();
    let call = |script: String| {
        let mut lftp = testbed::program("lftp", "usr/bin/lftp");
        lftp.args(["--norc", "-c", &script]);
        Ok(lftp)
    };
    way(
        "lftp mirror --parallel=16",
        move |pile| {
            call(format!("{open}; mirror -R -P {AT_ONCE} -x '^\\.' {} {ROOT}", pile.folder.display()))
        },
        move |_, back| call(format!("{again}; mirror -P {AT_ONCE} --use-pget-n=4 {ROOT} {}", back.display())),
    )
}
