//! The README's commands, run word for word, as its reader would.
#![expect(clippy::disallowed_methods, reason = "the test runs a shell, as the README's reader does")]

mod support;

use std::{fs, path::Path, process::Command, time::Duration};

use support::{Library, Up, browser, call, camera, eventually, said};

/// The text of the README's blocks of one kind, in order.
fn blocks(kind: &str) -> Vec<String> {
    let readme = include_str!("../README.md");
    let fence = format!("```{kind}\n");
    readme.split(&fence).skip(1).map(|rest| rest.split("```").next().expect("closed").to_owned()).collect()
}

#[test]
fn what_the_readme_says_works_in_its_order() {
    let home = Library::new();
    let root = home.home.path();
    camera(&root.join("recordings/lobby.mp4"));
    browser(&root.join("recordings/interview.webm"), 2, 300);
    call(&root.join("weekly-call"));
    for block in blocks("sh") {
        if block.contains("videorec up") {
            let up = start(root, &block);
            eventually(|| root.join("library/inbox").is_dir().then_some(()).ok_or("no inbox".into()));
            std::thread::sleep(Duration::from_secs(1));
            up.stop();
            continue;
        }
        let said = said(shell(root, &block).output().expect("sh starts"));
        assert_eq!(said.code, Some(0), "{block}\n{}\n{}", said.out, said.err);
    }
}

/// The README's policy checks, with its store somewhere that exists.
#[test]
fn the_readmes_policy_checks() {
    let home = Library::new();
    for (n, policy) in blocks("yaml").into_iter().enumerate() {
        let file = home.home.path().join(format!("{n}.yaml"));
        fs::write(&file, policy).expect("written");
        home.ok(&["policy", "check", file.to_str().expect("UTF-8")]);
    }
}

fn shell(home: &Path, script: &str) -> Command {
    let bin = Path::new(env!("CARGO_BIN_EXE_videorec")).parent().expect("a folder");
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").expect("PATH"));
    let mut command = Command::new("sh");
    command.args(["-euc", script]).current_dir(home).env("HOME", home).env("PATH", path);
    command.env("VIDEOREC_LIBRARY", home.join("library"));
    command
}

fn start(home: &Path, script: &str) -> Up {
    let log = home.join("up.log");
    let mut command = shell(home, &format!("exec {}", script.trim()));
    command.stderr(fs::File::create(&log).expect("a log"));
    Up { child: command.spawn().expect("sh starts"), log }
}
