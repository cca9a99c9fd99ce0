//! What a person sees.

pub mod progress;
pub mod table;
pub mod text;

use std::io::Write as _;

/// Prints a line to standard output; a reader that has gone (`| head`) ends the program quietly.
pub fn line(text: &str) {
    if writeln!(std::io::stdout().lock(), "{text}").is_err() {
        std::process::exit(0);
    }
}

/// What is good to know beside the answer: on standard error.
pub fn hint(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// One object a line, for programs.
pub fn json(value: &impl serde::Serialize) {
    line(&serde_json::to_string(value).expect("our nouns are plain data"));
}
