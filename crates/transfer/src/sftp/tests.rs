use std::{path::Path, sync::Arc};

use testbed::{Fault, Proxy, Sshd, SshdSettings};

use super::*;
use crate::{
    Checked, Conflict, How, Outcome, Verify,
    contract::{Subject, digest, name, pattern, put_of},
    deliver, fetch,
};

mod doors;

fn secret(path: &Path) -> Secret {
    Secret::new(std::fs::read_to_string(path).unwrap())
}

/// What a user of this server would configure.
fn options(server: &Sshd) -> Options {
    let mut options = Options::new("127.0.0.1", server.user());
    options.port = server.port();
    options.auth = vec![Auth::Key { key: secret(&server.key("client")), passphrase: None }];
    options.host_keys = vec![server.fingerprint("ed25519")];
    options.names = Rules::unix();
    // Whether it takes several connections must not depend on how busy this machine is.
    options.far = Duration::from_secs(3600);
    options
}

/// A folder of its own on the shared server.
fn sftp(change: impl FnOnce(&mut Options)) -> (Sftp, PathBuf) {
    let server = Sshd::shared();
    let mut options = options(server);
    options.root = server.new_folder();
    let files = server.files().join(&options.root);
    change(&mut options);
    (Sftp::new("partner", options), files)
}

fn proxied(server: &Sshd, change: impl FnOnce(&mut Options)) -> (Sftp, Proxy) {
    let proxy = Proxy::before(server.address());
    let mut options = options(server);
    options.root = server.new_folder();
    options.port = proxy.port();
    change(&mut options);
    (Sftp::new("partner", options), proxy)
}

async fn make() -> Subject {
    let (to, _) = sftp(|_| ());
    Subject { to: Arc::new(to), keep: Box::new(()) }
}

/// As a destination for a server that can do little.
async fn make_careful() -> Subject {
    let (to, _) = sftp(|options| {
        options.serial_writes = true;
        options.serial_reads = true;
        options.fstat = false;
        options.times = false;
        options.fsync = false;
        options.connections = 1;
    });
    Subject { to: Arc::new(to), keep: Box::new(()) }
}

mod openssh {
    crate::contract!(super::make);
    crate::transfer_contract_cases! { super::make, a_folder_is_not_replaced }
}

mod careful {
    crate::contract!(super::make_careful);
}

#[tokio::test]
async fn keys_of_every_kind_and_with_a_passphrase_are_let_in() {
    let server = Sshd::shared();
    for (key, passphrase) in [("client_rsa", None), ("client_locked", Some(Secret::from(Sshd::PASSPHRASE)))] {
        let (to, _) = sftp(|o| o.auth = vec![Auth::Key { key: secret(&server.key(key)), passphrase }]);
        to.check().await.unwrap_or_else(|e| panic!("{key}: {e}"));
    }
}

/// Another kind of key than the server would show first.
#[tokio::test]
async fn any_of_the_servers_keys_may_be_pinned() {
    let (to, _) = sftp(|o| o.host_keys = vec![Sshd::shared().fingerprint("ecdsa")]);
    to.check().await.unwrap();
}

/// SFTP host key unknown or changed: refused, with both fingerprints, and nothing is sent.
#[tokio::test]
async fn an_unknown_or_changed_host_key_is_refused() {
    let server = Sshd::start();
    let bytes = pattern(10);
    let mut unknown = options(&server);
    unknown.host_keys.clear();
    let error = Sftp::new("partner", unknown).put(&name("a"), &bytes, &put_of(&bytes)).await.unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::HostKeyChanged, false));
    let message = error.to_string();
    assert!(
        message.contains("is not known") && message.contains(&server.fingerprint("ed25519")),
        "{message}"
    );

    let (pinned, old) = (options(&server), server.fingerprint("ed25519"));
    let to = Sftp::new("partner", pinned);
    to.put(&name("a"), &bytes, &put_of(&bytes)).await.unwrap();
    server.change_host_keys();
    // The connection that was there is gone with the server; how that is noticed is a matter of time.
    let error = loop {
        match to.put(&name("b"), &bytes, &put_of(&bytes)).await.unwrap_err() {
            e if e.kind() == ErrorKind::Unavailable => tokio::time::sleep(Duration::from_millis(20)).await,
            e => break e,
        }
    };
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::HostKeyChanged, false));
    let message = error.to_string();
    assert!(message.contains(&old) && message.contains(&server.fingerprint("ed25519")), "{message}");
    assert!(!server.files().join("b").exists());
}

#[tokio::test]
async fn who_is_not_let_in_is_told_and_no_secret_shows() {
    let canary = "canary-7f3a";
    let server = Sshd::shared();
    let (wrong, _) = sftp(|o| o.auth = vec![Auth::Password(canary.into())]);
    let (broken, _) =
        sftp(|o| o.auth = vec![Auth::Key { key: canary.into(), passphrase: Some(canary.into()) }]);
    let locked = secret(&server.key("client_locked"));
    let (closed, _) =
        sftp(|o| o.auth = vec![Auth::Key { key: locked.clone(), passphrase: Some(canary.into()) }]);
    let (nobody, _) = sftp(|o| o.auth.clear());
    for (to, kind) in [
        (&wrong, ErrorKind::Denied),
        (&broken, ErrorKind::Invalid),
        (&closed, ErrorKind::Invalid),
        (&nobody, ErrorKind::Denied),
    ] {
        let error = to.check().await.unwrap_err();
        assert_eq!((error.kind(), error.is_temporary()), (kind, false), "{error}");
        let shown = format!("{error} {error:?} {to:?} {:?}", to.options());
        assert!(!shown.contains(canary) && !shown.contains("PRIVATE KEY"), "{shown}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_worth_another_try() {
    let (to, _) = sftp(|o| o.port = testbed::free_port());
    let error = to.check().await.unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Unavailable, true), "{error}");
    let (to, proxy) = proxied(Sshd::shared(), |o| o.connect_within = Duration::from_millis(300));
    proxy.set(Fault::Stall);
    let error = to.check().await.unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Unavailable, true), "{error}");
    assert!(error.to_string().contains("127.0.0.1"), "{error}");
}

/// A connection that is cut in mid-file: what had arrived is not sent again.
#[tokio::test]
async fn a_cut_in_mid_file_is_resumed() {
    let (to, proxy) = proxied(Sshd::shared(), |_| ());
    let whole = pattern(48 << 20);
    proxy.set_for(Fault::CutRequest { after: 30 << 20 }, 1);
    let how = How::default();
    let error = deliver(&to, &name("a/cut.mp4"), &whole, &digest(&whole), &how).await.unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Unavailable, true), "{error}");
    assert_eq!(to.stat(&name("a/cut.mp4")).await.unwrap(), None);
    let done = deliver(&to, &name("a/cut.mp4"), &whole, &digest(&whole), &how).await.unwrap();
    assert_eq!((done.outcome, done.verified), (Outcome::Sent, Checked::ReadBack));
    assert!(done.resumed_from > 15 << 20, "{done:?}");
    assert_eq!(done.resumed_from + done.bytes_sent, whole.len() as u64);
    let again = deliver(&to, &name("a/cut.mp4"), &whole, &digest(&whole), &how).await.unwrap();
    assert!(again.already() && again.bytes_sent == 0);
}

#[tokio::test]
async fn a_get_that_is_cut_leaves_nothing_here() {
    let (to, proxy) = proxied(Sshd::shared(), |_| ());
    let whole = pattern(8 << 20);
    to.put(&name("a"), &whole, &put_of(&whole)).await.unwrap();
    proxy.set_for(Fault::CutAnswer { after: 3 << 20 }, 1);
    let dir = tempfile::tempdir().unwrap();
    let here = dir.path().join("a");
    let error = loop {
        // The connection from before ends with the new fault, and may be what is asked first.
        match fetch(&to, &name("a"), &here, None).await {
            Err(e) if proxy.connections() < 2 => drop(e),
            fetched => break fetched.unwrap_err(),
        }
    };
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Unavailable, true), "{error}");
    assert!(!here.exists());
    assert_eq!(fetch(&to, &name("a"), &here, Some(&digest(&whole))).await.unwrap(), digest(&whole));
}

/// A server that says nothing any more, with the connection open.
#[tokio::test]
async fn silence_ends_a_transfer_after_patience() {
    let (to, proxy) = proxied(Sshd::shared(), |o| o.patience = Duration::from_millis(1500));
    let whole = pattern(8 << 20);
    to.put(&name("a"), &whole, &put_of(&whole)).await.unwrap();
    proxy.set_for(Fault::StallAnswer { after: 3 << 20 }, 1);
    let mut failed = 0;
    let error = loop {
        let read = async { crate::collect(to.get(&name("a"), None).await?).await };
        match tokio::time::timeout(Duration::from_secs(30), read).await.expect("patience has an end") {
            Err(_) if proxy.connections() < 2 && failed < 100 => failed += 1,
            read => break read.unwrap_err(),
        }
    };
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Unavailable, true), "{error}");
    assert!(crate::collect(to.get(&name("a"), None).await.unwrap()).await.unwrap() == whole);
}

/// A slow line is not a dead one: 1 MiB takes four times as long as patience lasts.
#[tokio::test]
async fn a_slow_server_is_waited_for() {
    let (to, proxy) = proxied(Sshd::shared(), |o| o.patience = Duration::from_secs(1));
    let whole = pattern(1 << 20);
    to.put(&name("a"), &whole, &put_of(&whole)).await.unwrap();
    proxy.set(Fault::Slow { bytes_per_second: 256 << 10 });
    let fetched = loop {
        let read = async { crate::collect(to.get(&name("a"), None).await?).await };
        match read.await {
            Err(e) if proxy.connections() < 2 => drop(e),
            read => break read,
        }
    };
    assert!(fetched.unwrap() == whole);
}

#[tokio::test]
async fn a_restarted_server_is_found_again() {
    let server = Sshd::start();
    let to = Sftp::new("partner", options(&server));
    let bytes = pattern(1000);
    to.put(&name("a"), &bytes, &put_of(&bytes)).await.unwrap();
    server.kill();
    let error = loop {
        match to.stat(&name("a")).await {
            Ok(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            Err(e) => break e,
        }
    };
    assert!(error.is_temporary(), "{error}");
    server.restart();
    assert_eq!(to.stat(&name("a")).await.unwrap().unwrap().size, 1000);
}

/// OpenSSH only says "failure"; the file system's own figures tell why.
#[tokio::test]
async fn a_full_disk_is_told_from_other_failures() {
    use rustix::mount::{MountFlags, UnmountFlags};
    let (to, files) = sftp(|_| ());
    if rustix::mount::mount("tmpfs", &files, "tmpfs", MountFlags::empty(), c"size=8m,mode=777").is_err() {
        eprintln!("not allowed to mount a tmpfs: nothing was tried");
        return;
    }
    let (large, small) = (pattern(16 << 20), pattern(1 << 20));
    let refused = to.put(&name("large"), &large, &put_of(&large)).await.unwrap_err();
    let left = std::fs::read_dir(&files).unwrap().count();
    let taken = to.put(&name("small"), &small, &put_of(&small)).await;
    drop(to);
    rustix::mount::unmount(&files, UnmountFlags::DETACH).unwrap();
    assert_eq!((refused.kind(), refused.is_temporary()), (ErrorKind::NoSpace, true), "{refused}");
    assert_eq!(left, 0, "a full disk is not left fuller");
    taken.unwrap();
}

#[tokio::test]
async fn a_folder_that_is_not_ours_is_denied() {
    use std::os::unix::fs::PermissionsExt as _;
    let (to, files) = sftp(|_| ());
    std::fs::set_permissions(&files, std::fs::Permissions::from_mode(0o555)).unwrap();
    let bytes = pattern(10);
    let error = to.put(&name("a"), &bytes, &put_of(&bytes)).await.unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Denied, false), "{error}");
}

/// Our folder there is the partner's to make; a missing one is not told as a missing file, and not made.
#[tokio::test]
async fn a_root_that_is_not_there_is_told_as_such() {
    let (to, files) = sftp(|options| options.root.push_str("/missing"));
    let bytes = pattern(10);
    let mut errors = vec![to.check().await.unwrap_err()];
    for file in ["a", "b/c"] {
        errors.push(to.put(&name(file), &bytes, &put_of(&bytes)).await.unwrap_err());
    }
    errors.push(to.list(None).try_collect::<Vec<_>>().await.unwrap_err());
    for error in errors {
        assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Invalid, false), "{error}");
        assert!(error.to_string().contains("/missing` is not there on"), "{error}");
    }
    assert!(!files.join("missing").exists());
}

/// A server that has no `posix-rename`, as most that are not OpenSSH: what is there is still replaced.
#[tokio::test]
async fn a_plain_rename_replaces_in_two_steps() {
    let settings = SshdSettings { sftp: vec!["-P".into(), "posix-rename".into()], ..SshdSettings::default() };
    let server = Sshd::start_with(settings);
    let to = Sftp::new("partner", options(&server));
    let (old, new) = (pattern(10), pattern(2000));
    to.put(&name("a"), &old, &put_of(&old)).await.unwrap();
    assert_eq!(to.put(&name("a"), &new, &put_of(&new)).await.unwrap_err().kind(), ErrorKind::Exists);
    let mut put = put_of(&new);
    put.replace = true;
    to.put(&name("a"), &new, &put).await.unwrap();
    assert!(std::fs::read(server.files().join("a")).unwrap() == new);
    assert_eq!(std::fs::read_dir(server.files()).unwrap().count(), 1);
}

/// A server that refuses every rename (rclone #7271): refused with what to set; with that set, written in place.
#[tokio::test]
async fn a_server_that_refuses_to_rename_is_written_to_in_place_when_told_so() {
    let settings = SshdSettings {
        sftp: vec!["-P".into(), "posix-rename,rename,setstat".into()],
        ..SshdSettings::default()
    };
    let server = Sshd::start_with(settings);
    let bytes = pattern(300_000);
    let strict = Sftp::new("partner", options(&server));
    let error = strict.put(&name("a"), &bytes, &put_of(&bytes)).await.unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Denied, false), "{error}");
    assert!(error.to_string().contains("rename: refused"), "{error}");
    assert_eq!(strict.stat(&name("a")).await.unwrap(), None);
    strict.sweep(None, Timestamp(i64::MAX)).await.unwrap();

    let mut in_place = options(&server);
    in_place.renames = false;
    in_place.fstat = false;
    let to = Sftp::new("partner", in_place);
    let how = How { conflict: Conflict::Replace, ..How::default() };
    let done = deliver(&to, &name("x/a"), &bytes, &digest(&bytes), &how).await.unwrap();
    assert_eq!((done.outcome, done.verified), (Outcome::Sent, Checked::ReadBack));
    assert!(deliver(&to, &name("x/a"), &bytes, &digest(&bytes), &how).await.unwrap().already());
    // What is not whole does not stay, where the server can be reached.
    let broken = crate::contract::sources::Broken::new(bytes.clone(), 100_000, ErrorKind::Source);
    to.put(&name("x/b"), &broken, &put_of(&bytes)).await.unwrap_err();
    assert_eq!(to.stat(&name("x/b")).await.unwrap(), None);
}

#[tokio::test]
async fn a_size_that_is_not_the_sent_one_is_no_success() {
    let server = Sshd::start_with(SshdSettings { wrong_sizes: true, ..SshdSettings::default() });
    let to = Sftp::new("partner", options(&server));
    let bytes = pattern(300_000);
    for verify in [Verify::Size, Verify::Hash] {
        let mut put = put_of(&bytes);
        put.verify = verify;
        let error = to.put(&name("a"), &bytes, &put).await.unwrap_err();
        assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Corrupt, true), "{error}");
    }
    assert_eq!(std::fs::read_dir(server.files()).unwrap().count(), 0);
    // And a file that ends before its size is no whole file.
    std::fs::write(server.files().join("b"), &bytes).unwrap();
    let error = crate::collect(to.get(&name("b"), None).await.unwrap()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
}

/// Whoever else has an account there cannot lead us elsewhere, and a name that is no text stops nobody.
#[tokio::test]
async fn strange_entries_are_not_listed() {
    use std::os::unix::{ffi::OsStrExt as _, fs::symlink};
    let (to, files) = sftp(|_| ());
    symlink("/etc/passwd", files.join("link")).unwrap();
    symlink(".", files.join("circle")).unwrap();
    std::fs::write(files.join(std::ffi::OsStr::from_bytes(b"latin\xe9")), "x").unwrap();
    std::fs::write(files.join("line\nbreak"), "x").unwrap();
    std::fs::write(files.join("file"), "x").unwrap();
    let found: Vec<Meta> = to.list(None).try_collect().await.unwrap();
    assert_eq!(found.iter().map(|m| m.name.as_str()).collect::<Vec<_>>(), ["file"]);
}

/// Several connections carry pieces of one file, where the server is far away.
#[tokio::test]
async fn a_large_file_goes_over_several_connections() {
    let (to, proxy) = proxied(Sshd::shared(), |o| {
        o.far = Duration::ZERO;
        o.streams = 3;
    });
    let whole = pattern(40 << 20);
    let sent = to.put(&name("far"), &whole, &put_of(&whole)).await.unwrap();
    assert_eq!((sent.bytes, sent.checked), (whole.len() as u64, Checked::ReadBack));
    assert_eq!(proxy.connections(), 3);
    proxy.set_for(Fault::CutRequest { after: 8 << 20 }, 3);
    let mut put = put_of(&whole);
    put.replace = true;
    // What is asked first may be a connection of which nobody has heard yet that it is gone.
    let mut errors = 0;
    let sent = loop {
        match to.put(&name("far"), &whole, &put).await {
            Err(e) if e.is_temporary() && errors < 10 => errors += 1,
            sent => break sent.unwrap(),
        }
    };
    assert!(errors > 0 && sent.resumed_from > 0 && sent.checked == Checked::ReadBack, "{sent:?}");
}
