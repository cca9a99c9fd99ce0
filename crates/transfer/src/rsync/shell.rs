//! Lines for the shell of the user on the server, in which no name means anything but itself.

/// Within single quotes nothing has a meaning but the quote that ends them. <https://pubs.opengroup.org/onlinepubs/9799919799/utilities/V3_chap02.html#tag_19_02_02>
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// What a shell says where the folder of [`in_folder`] is not there.
pub(super) const NO_FOLDER: u32 = 97;
/// What a shell says of a program that it does not find, or may not start.
pub(super) const NO_PROGRAM: [u32; 2] = [127, 126];

/// Runs a command in a folder that is named from the root on. So the command itself is told no name of anybody's: what a program
/// makes of wildcards, dashes and colons in its arguments is its own affair.
pub(super) fn in_folder(folder: &str, command: &[String]) -> String {
    let command: Vec<String> = command.iter().map(|part| quoted(part)).collect();
    format!("cd {} || exit {NO_FOLDER}; exec {}", quoted(folder), command.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By the shell itself: what is quoted arrives as it was.
    #[test]
    #[expect(clippy::disallowed_methods, reason = "asks a shell, outside of the sandbox")]
    fn what_is_quoted_arrives_as_it_was() {
        for text in ["", "a b", "it's", "''", "$(x)`y`;&|<>\\", "-rf", "*?[a]!{b}~", "Köln 東京", "\\'\"\t"]
        {
            let line = format!("printf %s {}", quoted(text));
            let said = std::process::Command::new("/bin/sh").args(["-c", &line]).output().unwrap();
            assert_eq!(String::from_utf8(said.stdout).unwrap(), text);
        }
    }

    #[test]
    fn a_command_runs_in_its_folder_or_not_at_all() {
        let command = ["rsync".to_owned(), "--server".into(), ".x".into()];
        assert_eq!(
            in_folder("/in/it's", &command),
            r"cd '/in/it'\''s' || exit 97; exec 'rsync' '--server' '.x'"
        );
    }
}
