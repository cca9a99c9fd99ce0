//! The one binary, `videorec`.
//!
//! Architecture invariants: nothing depends on this crate; `config` alone reads the environment; `wire` alone
//! chooses backends; a command says what a person sees, and leaves the doing to `worker`.

mod cli;
mod clock;
mod commands;
mod config;
mod exit;
mod lock;
mod logging;
mod ui;
mod wire;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        // `--help` and `--version` end here too, with 0.
        Err(e) => {
            let code = if e.use_stderr() { exit::Code::Usage } else { exit::Code::Done };
            let _ = e.print();
            return code.into();
        }
    };
    let json = cli.global.json;
    match commands::run(cli) {
        Ok(code) => code.into(),
        Err(e) => {
            exit::report(&e, json);
            exit::Code::of(&e).into()
        }
    }
}
