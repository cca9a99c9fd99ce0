//! The suite against OpenSSH's server and Debian's rsync, all but the smallest files by rsync; then what goes wrong with rsync in
//! particular.

use std::{
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    sync::{Arc, LazyLock},
    time::Instant,
};

use bytes::BytesMut;
use storage::{Disk, Key, Store as _};
use testbed::{Fault, Proxy, Sshd, SshdSettings};

use super::*;
use crate::{
    Checked, How as Wanted, Limited, Outcome, Pace, Stored, Verify,
    contract::{Subject, digest, name, pattern, put_of},
    deliver,
    sftp::Auth,
};

/// Every layer is required.
static SANDBOX: LazyLock<Sandbox> = LazyLock::new(|| Sandbox::new(&[]).unwrap_or_else(|e| panic!("{e}")));

fn ssh(server: &Sshd) -> sftp::Options {
    let mut ssh = sftp::Options::new("127.0.0.1", server.user());
    ssh.port = server.port();
    let key = std::fs::read_to_string(server.key("client")).unwrap();
    ssh.auth = vec![Auth::Key { key: crate::Secret::new(key), passphrase: None }];
    ssh.host_keys = vec![server.fingerprint("ed25519")];
    ssh.names = crate::names::Rules::unix();
    ssh.far = Duration::from_secs(3600);
    ssh
}

struct Partner {
    to: Rsync,
    scratch: tempfile::TempDir,
    /// The folder on the server.
    files: PathBuf,
}

/// A folder of its own on that server.
fn partner_of(server: &Sshd, change: impl FnOnce(&mut Options)) -> Partner {
    let scratch = tempfile::tempdir().unwrap();
    let mut ssh = ssh(server);
    ssh.root = server.new_folder();
    let files = server.files().join(&ssh.root);
    let mut options = Options::new(ssh, scratch.path());
    change(&mut options);
    Partner { to: Rsync::new("partner", options, SANDBOX.clone()), scratch, files }
}

fn partner(change: impl FnOnce(&mut Options)) -> Partner {
    partner_of(Sshd::shared_with_shell(), change)
}

fn proxied(change: impl FnOnce(&mut Options)) -> (Partner, Proxy) {
    let proxy = Proxy::before(Sshd::shared_with_shell().address());
    let partner = partner(|options| {
        options.ssh.port = proxy.port();
        change(options);
    });
    (partner, proxy)
}

async fn make() -> Subject {
    let Partner { to, scratch, .. } = partner(|options| options.small = 0);
    Subject { to: Arc::new(to), keep: Box::new(scratch) }
}

crate::contract!(make);

fn replacing(bytes: &[u8]) -> Put {
    Put { replace: true, ..put_of(bytes) }
}

/// What rsync is for: of a file that is sent anew only what has changed goes over the line, and yet it is whole or not there.
#[tokio::test]
async fn of_a_file_that_is_sent_anew_only_what_differs_goes() {
    let Partner { to, files, scratch } = partner(|_| ());
    let old = pattern(24 << 20);
    let sent = to.put(&name("a/film.mp4"), &old, &put_of(&old)).await.unwrap();
    assert_eq!((sent.bytes, sent.checked), (24 << 20, Checked::ServerHash(Algorithm::Sha256)));
    let mut new = BytesMut::from(&old[..]);
    new[10 << 20..(10 << 20) + 5000].fill(7);
    new.extend_from_slice(b"and some more");
    let new = new.freeze();
    let sent = to.put(&name("a/film.mp4"), &new, &replacing(&new)).await.unwrap();
    assert!((5000..200_000).contains(&sent.bytes), "{sent:?}");
    assert_eq!(sent.checked, Checked::ServerHash(Algorithm::Sha256));
    assert!(std::fs::read(files.join("a/film.mp4")).unwrap() == new);
    assert_eq!(std::fs::read_dir(files.join("a")).unwrap().count(), 1);
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0, "nothing is left here");
}

/// A connection that is cut in mid-file, while little else than the rest is to be sent again.
#[tokio::test]
async fn a_cut_in_mid_file_is_resumed() {
    let (Partner { to, files, scratch: _scratch }, proxy) = proxied(|_| ());
    let whole = pattern(48 << 20);
    proxy.set_for(Fault::CutRequest { after: 30 << 20 }, 1);
    let how = Wanted::default();
    let error = deliver(&to, &name("a/cut.mp4"), &whole, &digest(&whole), &how).await.unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Unavailable, true), "{error}");
    assert_eq!(to.stat(&name("a/cut.mp4")).await.unwrap(), None);
    let done = deliver(&to, &name("a/cut.mp4"), &whole, &digest(&whole), &how).await.unwrap();
    assert_eq!((done.outcome, done.verified), (Outcome::Sent, Checked::ServerHash(Algorithm::Sha256)));
    assert!(done.resumed_from > 8 << 20, "{done:?}");
    assert_eq!(done.resumed_from + done.bytes_sent, whole.len() as u64);
    assert!(std::fs::read(files.join("a/cut.mp4")).unwrap() == whole);
}

/// Cut while the old file's copy is made over: whatever that copy is then, the file becomes what it must be.
#[tokio::test]
async fn a_cut_while_a_file_is_made_over_harms_neither() {
    let (Partner { to, files, scratch: _scratch }, proxy) = proxied(|_| ());
    let (old, new) = (pattern(16 << 20), pattern((16 << 20) + 1).slice(1..));
    to.put(&name("a"), &old, &put_of(&old)).await.unwrap();
    proxy.set_for(Fault::CutRequest { after: 6 << 20 }, 1);
    let mut errors = 0;
    // What is asked first is a connection that has ended with the new fault.
    let sent = loop {
        match to.put(&name("a"), &new, &replacing(&new)).await {
            Err(e) if e.is_temporary() && errors < 5 => {
                errors += 1;
                assert!(std::fs::read(files.join("a")).unwrap() == old);
            }
            sent => break sent.unwrap(),
        }
    };
    assert!(errors > 0 && sent.checked == Checked::ServerHash(Algorithm::Sha256), "{sent:?}");
    assert!(std::fs::read(files.join("a")).unwrap() == new);
    assert_eq!(std::fs::read_dir(&files).unwrap().count(), 1);
}

/// A small one goes by SFTP, whose requests are done in any order: behind a cut there may be holes.
#[tokio::test]
async fn a_small_file_that_was_cut_begins_anew() {
    let Partner { to, files, scratch: _scratch } = partner(|_| ());
    let whole = pattern(600_000);
    let put = Put { verify: Verify::Size, ..put_of(&whole) };
    let broken = crate::contract::sources::Broken::new(whole.clone(), 500_000, ErrorKind::Unavailable);
    to.put(&name("a"), &broken, &put).await.unwrap_err();
    let left = std::fs::read_dir(&files).unwrap().next().unwrap().unwrap().path();
    let size = std::fs::metadata(&left).unwrap().len() as usize;
    assert!(size > 300_000, "{size}");
    std::fs::write(left, vec![0; size]).unwrap();
    to.put(&name("a"), &whole, &put).await.unwrap();
    assert!(std::fs::read(files.join("a")).unwrap() == whole);
}

#[tokio::test]
async fn an_unknown_host_key_is_refused() {
    let Partner { to, files, scratch: _scratch } = partner(|options| options.ssh.host_keys.clear());
    let bytes = pattern(2 << 20);
    let error = to.put(&name("a"), &bytes, &put_of(&bytes)).await.unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::HostKeyChanged, false), "{error}");
    assert_eq!(std::fs::read_dir(files).unwrap().count(), 0);
}

/// A server without rsync, and without `sha256sum`: told with what to install; what is small goes all the same, and is read back.
#[tokio::test]
async fn a_server_without_rsync_is_told_of() {
    let lines = vec!["SetEnv PATH=/nowhere".to_owned()];
    let server = Sshd::start_with(SshdSettings { shell: true, lines, ..SshdSettings::default() });
    let Partner { to, files, scratch: _scratch } = partner_of(&server, |_| ());
    let large = pattern(2 << 20);
    let put = to.put(&name("a"), &large, &put_of(&large)).await.unwrap_err();
    for error in [put, to.check().await.unwrap_err()] {
        assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Unsupported, false), "{error}");
        assert!(error.to_string().contains("the package `rsync`"), "{error}");
    }
    let small = pattern(1000);
    assert_eq!(to.put(&name("b"), &small, &put_of(&small)).await.unwrap().checked, Checked::ReadBack);
    assert_eq!(std::fs::read_dir(files).unwrap().count(), 1);
}

/// A server that runs no commands, as most that are for SFTP only.
#[tokio::test]
async fn a_server_that_runs_no_commands_is_told_of() {
    // Its user has no shell.
    let Partner { to, scratch: _scratch, .. } = partner_of(Sshd::shared(), |_| ());
    let error = to.check().await.unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Unsupported, false), "{error}");
}

#[tokio::test]
async fn a_full_disk_is_told_from_other_failures() {
    use rustix::mount::{MountFlags, UnmountFlags};
    let Partner { to, files, scratch: _scratch } = partner(|_| ());
    if rustix::mount::mount("tmpfs", &files, "tmpfs", MountFlags::empty(), c"size=8m,mode=777").is_err() {
        eprintln!("not allowed to mount a tmpfs: nothing was tried");
        return;
    }
    let (large, small) = (pattern(16 << 20), pattern(2 << 20));
    let refused = to.put(&name("large"), &large, &put_of(&large)).await.unwrap_err();
    let left = std::fs::read_dir(&files).unwrap().count();
    let taken = to.put(&name("small"), &small, &put_of(&small)).await;
    // Not room enough for the old and the new one at once, of which the one is a copy of the other.
    let (bytes, other) = (pattern(5 << 20), pattern((5 << 20) + 1).slice(1..));
    to.put(&name("small"), &bytes, &replacing(&bytes)).await.unwrap();
    let full = to.put(&name("small"), &other, &replacing(&other)).await.unwrap_err();
    let after = std::fs::read_dir(&files).unwrap().count();
    drop(to);
    rustix::mount::unmount(&files, UnmountFlags::DETACH).unwrap();
    for error in [refused, full] {
        assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::NoSpace, true), "{error}");
    }
    assert_eq!((left, after), (0, 1), "a full disk is not left fuller");
    taken.unwrap();
}

/// No name of the server's or of ours is anything but a name to a shell or to rsync.
#[tokio::test]
async fn folders_of_any_name_are_found() {
    for root in ["it's $(touch x) `y`", "-rf *", "Köln 東京:[a]?{b}", "a\\b;c&d|e"] {
        let server = Sshd::shared_with_shell();
        let Partner { to, files, scratch: _scratch } = partner_of(server, |options| {
            let folder = server.files().join(&options.ssh.root).join(root);
            std::fs::create_dir(&folder).unwrap();
            options.ssh.root = format!("{}/{root}", options.ssh.root);
            options.small = 0;
        });
        let whole = pattern(300_000);
        let to_name = name("-in/it's.mp4");
        to.put(&to_name, &whole, &put_of(&whole)).await.unwrap_or_else(|e| panic!("{root}: {e}"));
        let sent = to.put(&to_name, &whole, &replacing(&whole)).await.unwrap();
        assert_eq!(sent.bytes, 0, "{root}: nothing differs");
        assert!(std::fs::read(files.join(root).join("-in/it's.mp4")).unwrap() == whole, "{root}");
        assert_eq!(std::fs::read_dir(&files).unwrap().count(), 1, "{root}");
    }
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_told_as_such() {
    let Partner { to, scratch: _scratch, .. } = partner(|options| options.ssh.root.push_str("/missing"));
    let bytes = pattern(2 << 20);
    for file in ["a", "b/c"] {
        let error = to.put(&name(file), &bytes, &put_of(&bytes)).await.unwrap_err();
        assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Invalid, false), "{error}");
        assert!(error.to_string().contains("/missing` is not there"), "{error}");
    }
}

/// Our copy is nobody's to read but ours; what the partner gets is the partner's.
#[tokio::test]
async fn what_arrives_has_the_rights_that_the_server_gives() {
    let Partner { to, files, scratch: _scratch } = partner(|_| ());
    let bytes = pattern(2 << 20);
    let mut put = put_of(&bytes);
    put.modified = Some(Timestamp(1_700_000_000_000));
    to.put(&name("a"), &bytes, &put).await.unwrap();
    let found = std::fs::metadata(files.join("a")).unwrap();
    std::fs::write(files.join("usual"), "x").unwrap();
    let usual = std::fs::metadata(files.join("usual")).unwrap();
    assert_eq!(found.permissions().mode(), usual.permissions().mode());
    assert_eq!(found.mtime(), 1_700_000_000);
}

/// What lies in a folder of this machine is sent from there, while it is what is meant.
#[tokio::test]
async fn what_lies_here_is_not_copied_first() {
    let Partner { to, scratch, files } = partner(|_| ());
    let dir = tempfile::tempdir().unwrap();
    let store = Disk::open("library", dir.path()).unwrap();
    let (key, whole) = (Key::parse("3k/source.webm").unwrap(), pattern(2 << 20));
    let (meta, _) = storage::put_bytes(&store, &key, whole.clone(), storage::Put::default()).await.unwrap();
    let path = store.local_path(&key).unwrap();
    let stored = |version: &str| Stored {
        store: Arc::new(store.clone()),
        key: key.clone(),
        version: Some(version.to_owned()),
        size: whole.len() as u64,
    };
    let source = stored(&meta.version);
    let staged = Staged::of(&source, 0, scratch.path()).await.unwrap();
    assert_eq!((staged.path(), staged.end), (&*path, whole.len() as u64));
    to.put(&name("a"), &source, &put_of(&whole)).await.unwrap();
    assert!(std::fs::read(files.join("a")).unwrap() == whole);
    let other = Staged::of(&stored("another"), 0, scratch.path()).await;
    assert!(
        other.is_err() || other.is_ok_and(|staged| staged.broken.is_some()),
        "another version is not this one"
    );
    let copied = Staged::of(&whole, 1 << 20, scratch.path()).await.unwrap();
    assert_eq!(std::fs::metadata(copied.path()).unwrap().len(), whole.len() as u64);
    assert!(
        std::fs::metadata(copied.path()).unwrap().blocks() * 512 < (3 << 20) / 2,
        "what is there already is a hole"
    );
    drop(copied);
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
}

/// What goes over the line is paced, and not what is copied here before.
#[tokio::test]
async fn the_line_keeps_its_pace() {
    let Partner { to, scratch: _scratch, .. } = partner(|_| ());
    let limited = Limited::new(to, 4, Some(Arc::new(Pace::new(1_000_000))));
    let whole = pattern(2_000_000);
    let start = Instant::now();
    let mut put = put_of(&whole);
    put.verify = Verify::Size;
    let sent = limited.put(&name("a"), &whole, &put).await.unwrap();
    let took = start.elapsed();
    assert_eq!(sent.bytes, 2_000_000);
    assert!((Duration::from_millis(1800)..Duration::from_secs(8)).contains(&took), "{took:?}");
}

/// Whoever gives up leaves nobody running, neither here nor there.
#[tokio::test]
async fn who_gives_up_leaves_nobody_running() {
    let (Partner { to, scratch, .. }, proxy) = proxied(|_| ());
    proxy.set(Fault::Slow { bytes_per_second: 1 << 20 });
    let whole = pattern(32 << 20);
    let partial = partial::of(&name("a"), &put::token(&put_of(&whole)));
    let limited = Limited::new(to, 4, Some(Arc::new(Pace::new(2_000_000))));
    let (here, there) = (scratch.path().display().to_string(), partial.file().to_owned());
    let put = put_of(&whole);
    let target = name("a");
    let sending = limited.put(&target, &whole, &put);
    let (here_too, there_too) = (here.clone(), there.clone());
    tokio::select! {
        done = sending => panic!("{done:?}"),
        () = until(move || running(&here_too) > 0 && running(&there_too) > 1) => {}
    }
    until(move || running(&here) == 0 && running(&there) == 0).await;
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
}

async fn until(holds: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < end, "not in time");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Processes that have this in their command.
fn running(what: &str) -> usize {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let commands = all.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    commands.filter(|command| String::from_utf8_lossy(command).contains(what)).count()
}
