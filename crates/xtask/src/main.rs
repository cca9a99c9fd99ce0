//! The project's own chores: `cargo xtask demo | test | ci | bench`. Only std (and the
//! testbed, which is only std too), so that it builds in a moment.
#![expect(
    clippy::disallowed_methods,
    reason = "xtask drives cargo and package managers; it is not part of the product"
)]

mod around;
mod bench;
mod ci;
mod demo;
mod run;
mod setup;

use std::process::ExitCode;

const HELP: &str = "\
cargo xtask demo [PATH...]   set up, build, and turn a few recordings (yours, if given) into a library
cargo xtask demo --cloud     the same as a fleet, wholly on this machine: an emulator of AWS, PostgreSQL, a worker
cargo xtask test [ARGS...]   set up and run all tests (ARGS go to `cargo test`)
cargo xtask ci               what CI runs: fmt, clippy, deny, docs, test, and both demos
cargo xtask bench [NAME...]  paired measurements against bare ffmpeg and plain tools; prints ratios; --small only shows
                             that the fleet's benches work
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let rest = args.get(1..).unwrap_or_default();
    let result = match args.first().map(String::as_str) {
        Some("demo") => demo::run(rest),
        Some("test") => ci::test(rest),
        Some("ci") => ci::all(),
        Some("bench") => bench::run(rest),
        Some("help" | "--help" | "-h") | None => {
            print!("{HELP}");
            Ok(())
        }
        Some(other) => Err(format!("`{other}` is not a task\n\n{HELP}")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}
