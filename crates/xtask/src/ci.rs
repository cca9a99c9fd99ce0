//! What CI runs; a developer runs the same.

use crate::{
    demo,
    run::{cargo, root, run},
    setup,
};

pub fn test(args: &[String]) -> Result<(), String> {
    setup::ffmpeg()?;
    testbed::ensure_ministack();
    testbed::ensure_postgres();
    let mut test = cargo(&["test", "--locked", "--workspace", "--all-features"]);
    setup::without_layers(&mut test);
    run(test.args(args))
}

pub fn all() -> Result<(), String> {
    run(&mut cargo(&["fmt", "--all", "--check"]))?;
    run(&mut cargo(&[
        "clippy",
        "--locked",
        "--workspace",
        "--all-targets",
        "--all-features",
        "--",
        "-D",
        "warnings",
    ]))?;
    // One machine's build, without the cloud's SDKs: what the first has and this one lacks must not be needed here.
    run(&mut cargo(&["clippy", "--locked", "--package", "app", "--", "-D", "warnings"]))?;
    run(cargo(&["doc", "--locked", "--workspace", "--no-deps", "--all-features"])
        .env("RUSTDOCFLAGS", "-D warnings"))?;
    deny()?;
    test(&[])?;
    // What the README tells a stranger to run first.
    demo::run(&[])?;
    demo::run(&["--cloud".to_owned()])
}

/// Licences, bans and sources from the lock file alone. Advisories need RustSec's database from the network:
/// the workflow in .github runs them where there is one.
fn deny() -> Result<(), String> {
    let installed = cargo(&["deny", "--version"]).output().is_ok_and(|o| o.status.success());
    if !installed {
        run(cargo(&["install", "--locked", "--quiet", "cargo-deny", "--version", "0.20.2"])
            .current_dir(root()))?;
    }
    run(&mut cargo(&["deny", "--locked", "check", "bans", "licenses", "sources"]))
}
