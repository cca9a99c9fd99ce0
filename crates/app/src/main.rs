//! The one binary, `videorec`.
//!
//! Architecture invariants: nothing depends on this crate; `config` alone reads the environment; `wire` alone
//! chooses backends; a command says what a person sees, and leaves the doing to `worker`.

mod cli;
mod clock;
mod commands;
mod config;
mod destinations;
mod exit;
#[cfg(feature = "cloud")]
mod fleet;
mod lock;
mod logging;
mod reload;
mod secrets;
mod tell;
mod ui;
mod wire;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    storage::keep_buffers();
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        // `--help` and `--version` end here too, with 0.
        Err(e) => {
            if !e.use_stderr() {
                let _ = e.print();
                return exit::Code::Done.into();
            }
            if std::env::args().any(|a| a == "--json") {
                let text = e.render().to_string();
                exit::report(&exit::Coded::error(exit::Code::Usage, text.trim()), true);
            } else {
                let _ = e.print();
            }
            return exit::Code::Usage.into();
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
