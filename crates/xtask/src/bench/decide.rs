use super::Size;
use crate::run::{cargo, run as execute};

/// The rooms measure themselves, in tests that are ignored otherwise.
pub fn run(size: Size) -> Result<(), String> {
    println!("wanted: 500,000 decisions a second without an expression, 150,000 with one");
    let measure = |package: &str, test: &str, only: &str| {
        let mut command =
            cargo(&["test", "--locked", "--release", "--quiet", "--package", package, "--test", test]);
        command.args(["--", "--ignored", "--nocapture", only]);
        command
    };
    execute(&mut measure("policy", "it", "rate"))?;
    println!("wanted: at most 0.5 s for a sweep where nothing is due");
    let many = size.of("1000000", "20000");
    execute(measure("catalog", "pages", "pages").env("RECORDINGS", many))
}
