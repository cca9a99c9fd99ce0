use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::config::Config;

/// Logs to standard error: what a person runs stays quiet, what serves says what it does.
/// `json`: also where the environment does not ask for it.
pub fn start(config: &Config, quiet: bool, json: bool) {
    // Where no region is set the AWS SDK asks a machine of Amazon's for it, and warns wherever there is none; who needs one says so.
    let usual = if quiet { "error" } else { "info,aws_config=error" };
    let filter = config.log.clone().unwrap_or_else(|| usual.to_owned());
    let builder = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(EnvFilter::builder().parse_lossy(filter))
        .with_ansi(!config.no_color && std::io::stderr().is_terminal());
    if config.log_json || json {
        builder.json().flatten_event(true).init();
    } else {
        builder.with_target(false).init();
    }
}
