// Elsewhere layers are missing; see elsewhere.rs.
#![cfg(target_os = "linux")]
mod common;

use std::os::unix::fs::{PermissionsExt, symlink};

use common::*;
use sandbox::{Error, Exit};

/// No child reads a file outside its list.
#[tokio::test]
async fn a_file_outside_the_list_is_not_read() {
    let elsewhere = tempfile::tempdir().unwrap();
    let secret = elsewhere.path().join("secret");
    std::fs::write(&secret, "another tenant's").unwrap();
    let room = Room::new();
    refused(&room, &format!("print(open({secret:?}).read())")).await;
    refused(&room, "print(open('/etc/passwd').read())").await;
    refused(&room, "print(open('/proc/self/environ').read())").await;
    refused(&room, &format!("import os; print(os.listdir({:?}))", elsewhere.path())).await;
}

/// A child reads every file on its list, and can neither write nor empty it.
#[tokio::test]
async fn a_listed_file_is_read_only() {
    let elsewhere = tempfile::tempdir().unwrap();
    let listed = elsewhere.path().join("listed");
    std::fs::write(&listed, "mine").unwrap();
    let mut room = Room::new();
    room.read.push(listed.clone());
    assert_eq!(text(&run(room.python(&format!("print(open({listed:?}).read())"))).await), "mine");
    for attack in [
        format!("open({listed:?}, 'a').write('x')"),
        format!("import os; os.open({listed:?}, os.O_RDONLY | os.O_TRUNC)"),
        format!("import os; os.truncate({listed:?}, 0)"),
        format!("import os; os.chmod({listed:?}, 0o666)"),
        format!("import os; os.utime({listed:?}, (1, 1))"),
        format!("import os; os.rename({listed:?}, {:?})", room.path("stolen")),
        format!("import os; os.link({listed:?}, {:?})", room.path("link")),
        format!("import os; os.remove({listed:?})"),
    ] {
        let output = run(room.python(&attack)).await;
        assert!(
            output.stderr_tail.contains("PermissionError") || output.stderr_tail.contains("cross-device"),
            "{attack}: {} {}",
            output.exit,
            output.stderr_tail
        );
        assert_eq!(std::fs::read_to_string(&listed).unwrap(), "mine", "{attack}");
    }
}

/// A listed directory is readable with everything below it.
#[tokio::test]
async fn a_listed_directory_is_readable() {
    let elsewhere = tempfile::tempdir().unwrap();
    std::fs::create_dir(elsewhere.path().join("deep")).unwrap();
    std::fs::write(elsewhere.path().join("deep/file"), "below").unwrap();
    let mut room = Room::new();
    room.read.push(elsewhere.path().to_owned());
    let code = format!(
        "import os; os.chdir({:?}); print(os.listdir('.'), open('deep/file').read())",
        elsewhere.path()
    );
    assert_eq!(text(&run(room.python(&code)).await), "['deep'] below");
}

/// A symlink in the private directory opens exactly what is listed: it grants nothing by itself.
#[tokio::test]
async fn a_symlink_opens_only_a_listed_target() {
    let elsewhere = tempfile::tempdir().unwrap();
    let target = elsewhere.path().join("target");
    std::fs::write(&target, "target").unwrap();
    let mut room = Room::new();
    symlink(&target, room.path("in0")).unwrap();
    let unlisted = run(room.python("print(open('in0').read())")).await;
    assert!(unlisted.stderr_tail.contains("PermissionError"), "{}", unlisted.stderr_tail);
    // One the child makes itself opens no more.
    let made =
        run(room.python("import os; os.symlink('/etc/passwd', 'mine'); print(open('mine').read())")).await;
    assert!(made.stderr_tail.contains("PermissionError"), "{}", made.stderr_tail);
    room.read.push(target);
    assert_eq!(text(&run(room.python("print(open('in0').read())")).await), "target");
}

/// The private directory is the child's to write in, and no other user's to look into.
#[tokio::test]
async fn the_directory_is_private_and_writable() {
    let room = Room::new();
    std::fs::set_permissions(room.dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let code = "import os; os.mkdir('d'); open('d/f', 'w').write('x'); os.rename('d/f', 'f'); \
                print(os.getcwd(), os.environ['HOME'], os.environ['TMPDIR'])";
    let output = run(room.python(code)).await;
    let dir = room.dir.path().canonicalize().unwrap();
    let dir = dir.to_str().unwrap();
    assert_eq!(text(&output), format!("{dir} {dir} {dir}"), "{}", output.stderr_tail);
    let mode = |path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(room.dir.path().to_owned()), mode(room.path("f"))), (0o700, 0o600));
}

/// No child starts what it wrote itself.
#[tokio::test]
async fn a_written_program_is_not_started() {
    let room = Room::new();
    std::fs::copy("/bin/true", room.path("copy")).unwrap();
    let attack = format!("import os; os.execv({0:?}, [{0:?}])", room.path("copy"));
    assert!(unconfined(&attack).status.success());
    let inside = run(room.python(&attack)).await;
    assert!(inside.stderr_tail.contains("PermissionError"), "{}", inside.stderr_tail);
}

/// No child writes outside its directory.
#[tokio::test]
async fn nothing_is_written_elsewhere() {
    let elsewhere = tempfile::tempdir().unwrap();
    let room = Room::new();
    refused(&room, &format!("open({:?}, 'w').write('x')", elsewhere.path().join("new"))).await;
    refused(&room, "import tempfile; tempfile.TemporaryFile(dir='/tmp')").await;
    refused(&room, "open('/dev/shm/sandbox-test', 'w')").await;
    let _ = std::fs::remove_file("/dev/shm/sandbox-test");
}

/// An unusable spec is refused before anything runs, and the refusal names what is wrong.
#[tokio::test]
async fn a_wrong_spec_is_refused() {
    let room = Room::new();
    let mut spec = room.sh("true");
    spec.read.push("/no/such/file".into());
    assert!(matches!(SANDBOX.spawn(spec), Err(Error::Path { path, .. }) if path == *"/no/such/file"));
    let mut spec = room.sh("true");
    spec.dir = room.path("missing");
    assert!(matches!(SANDBOX.spawn(spec), Err(Error::Dir { .. })));
    for program in ["no-such-program", "/no/such/program", "../sh", "./sh", ".."] {
        let spec = room.spec(program.as_ref(), &[]);
        assert!(matches!(SANDBOX.spawn(spec), Err(Error::Program { .. })), "{program}");
    }
    std::fs::write(room.path("text"), "not a program").unwrap();
    let spec = room.spec(&room.path("text"), &[]);
    assert!(matches!(SANDBOX.spawn(spec), Err(Error::Start { .. })));
}

/// A program elsewhere than under /usr starts, and so does one called by its bare name.
#[tokio::test]
async fn programs_start_from_elsewhere_and_by_name() {
    let elsewhere = tempfile::tempdir().unwrap();
    let program = elsewhere.path().join("own");
    std::fs::copy("/bin/echo", &program).unwrap();
    let room = Room::new();
    assert_eq!(text(&run(room.spec(&program, &["hello"])).await), "hello");
    let output = run(room.spec("echo".as_ref(), &["hello"])).await;
    assert_eq!((text(&output), output.exit), ("hello", Exit::Code(0)));
}
