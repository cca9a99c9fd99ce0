use std::io;
use std::path::PathBuf;

use crate::Layer;

/// Why a child was not started. None of these ran anything.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("this machine cannot confine child processes:{}", list(.layers))]
    Missing {
        /// Each missing layer with what was observed.
        layers: Vec<(Layer, String)>,
    },
    #[error("no program `{}`: install it, or give its absolute path (bare names are looked up in {})", .program.display(), crate::PATH)]
    Program { program: PathBuf },
    #[error("cannot grant the child `{}`: {source}. List only files and directories that exist and this user can open", .path.display())]
    Path { path: PathBuf, source: io::Error },
    #[error("`{}` cannot be a private directory: {source}. Create a directory owned by this user for each child", .dir.display())]
    Dir { dir: PathBuf, source: io::Error },
    #[error("cannot start `{}`: {source}. Check that it is executable, that its interpreter is under /usr, and that processes and memory are not exhausted", .program.display())]
    Start { program: PathBuf, source: io::Error },
    #[error("cannot prepare the confinement ({what}): {reason}")]
    Prepare { what: &'static str, reason: String },
    #[error("a child can only be started inside a tokio runtime: call this from an async task")]
    NoRuntime,
}

fn list(layers: &[(Layer, String)]) -> String {
    let mut text = String::new();
    for (layer, reason) in layers {
        text += &format!(
            "\n  - {}: {reason}. Without it, {}. {}.",
            layer.name(),
            layer.unprotected(),
            layer.remedy()
        );
    }
    let names: Vec<_> = layers.iter().map(|(layer, _)| layer.name()).collect();
    text += &format!(
        "\nTo run untrusted input without this protection all the same, allow by name: {}",
        names.join(", ")
    );
    text
}
