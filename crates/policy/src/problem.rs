use std::{borrow::Cow, fmt};

/// One thing that is wrong with a policy file, and where.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// What is wrong and what to write instead.
    pub message: String,
    /// The line it is on, as written.
    pub source: String,
}

/// All that is wrong with a policy file, in the file's order. Never empty when it is an error.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Problems(Vec<Problem>);

/// A file with more than this is better read again from the top.
const SHOWN: usize = 40;
/// Characters of a source line worth showing around the caret.
const LINE_WIDTH: usize = 100;

impl Problem {
    /// `policy.yaml:12:7: ...`, the line and a caret.
    pub fn in_file<'a>(&'a self, file: &'a str) -> impl fmt::Display + 'a {
        fmt::from_fn(move |f| {
            write!(f, "{file}:{}:{}: {}", self.line, self.column, self.message)?;
            let (text, caret) = window(&self.source, self.column);
            if text.trim().is_empty() { Ok(()) } else { write!(f, "\n  | {text}\n  | {:caret$}^", "") }
        })
    }
}

impl Problems {
    pub fn as_slice(&self) -> &[Problem] {
        &self.0
    }

    /// Every problem as `policy.yaml:12:7: ...` with its line and a caret.
    pub fn in_file<'a>(&'a self, file: &'a str) -> impl fmt::Display + 'a {
        fmt::from_fn(move |f| {
            for (i, problem) in self.0.iter().take(SHOWN).enumerate() {
                let newline = if i == 0 { "" } else { "\n" };
                write!(f, "{newline}{}", problem.in_file(file))?;
            }
            match self.0.len().saturating_sub(SHOWN) {
                0 => Ok(()),
                more => write!(f, "\n{file}: and {more} more"),
            }
        })
    }
}

impl From<Vec<Problem>> for Problems {
    fn from(mut problems: Vec<Problem>) -> Self {
        problems.sort();
        problems.dedup();
        Self(problems)
    }
}

impl std::ops::Deref for Problems {
    type Target = [Problem];
    fn deref(&self) -> &[Problem] {
        &self.0
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.in_file("policy.yaml").fmt(f)
    }
}
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.in_file("policy.yaml").fmt(f)
    }
}
impl std::error::Error for Problems {}

/// The part of a line around a column, and where the caret goes under it.
fn window(line: &str, column: usize) -> (String, usize) {
    let at = column.saturating_sub(1);
    let from = if at > LINE_WIDTH - 20 { at - LINE_WIDTH / 2 } else { 0 };
    // A control character would move the caret, or a terminal's cursor.
    let text = line.chars().skip(from).take(LINE_WIDTH).map(|c| if c.is_control() { ' ' } else { c });
    (text.collect(), at - from)
}

/// ` (did you mean `duration`?)` when something known is near, else the choices when they are few.
pub(crate) fn nearest(word: &str, known: &[&str]) -> String {
    let word = word.to_lowercase();
    let near = known.iter().map(|k| (strsim::damerau_levenshtein(&word, &k.to_lowercase()), *k)).min();
    match near {
        Some((distance, name)) if distance <= 1 + name.len().min(word.len()) / 4 => {
            format!("; did you mean `{name}`?")
        }
        _ if known.is_empty() => String::new(),
        _ if known.len() > 20 => String::new(),
        _ => format!("; known: {}", known.join(", ")),
    }
}

/// A user's text within a message: one line, of bearable length.
pub(crate) fn clip(text: &str) -> String {
    clip_to(text, 48)
}

pub(crate) fn clip_to(text: &str, length: usize) -> String {
    let text = without_passwords(text);
    let short: String = text.chars().take(length).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(length).is_some() { short + "…" } else { short }
}

/// Where a url has a password in it: in bytes, from its colon to its `@`. A number after the colon is a port.
pub(crate) fn password(url: &str) -> Option<std::ops::Range<usize>> {
    let from = url.find("://")? + 3;
    let rest = &url[from..];
    let end = rest.rfind('@')?;
    let colon = rest[..end].find([':', '/', ' ']).filter(|at| rest[*at..].starts_with(':'))?;
    let port = rest[colon + 1..end].split_once('/').map(|(port, _)| port);
    let is_port = port.is_some_and(|port| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()));
    (!is_port).then_some(from + colon + 1..from + end)
}

/// A text as it may be shown, with a star for each character of a password in a url.
pub(crate) fn without_passwords(text: &str) -> Cow<'_, str> {
    if !(text.contains("://") && text.contains('@')) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::new();
    // A line may hold several values; a quote is where one ends.
    for value in text.split_inclusive(['"', '\'']) {
        match password(value) {
            Some(at) => {
                shown.push_str(&value[..at.start]);
                shown.extend(value[at.clone()].chars().map(|_| '*'));
                shown.push_str(&value[at.end..]);
            }
            None => shown.push_str(value),
        }
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        for (text, shown) in [
            ("a: { url: sftp://u:pw@h/in }", "a: { url: sftp://u:**@h/in }"),
            ("url: \"ftp://u:p@w:x@h\", secret: s@t", "url: \"ftp://u:*****@h\", secret: s@t"),
            ("https://h:8443/a@b", "https://h:8443/a@b"),
            ("https://h:84x/a@b", "https://h:*****@b"),
            ("url: sftp://u@h, hours: 1 # bo@x", "url: sftp://u@h, hours: 1 # bo@x"),
            ("x://u:é@h", "x://u:*@h"),
            ("nothing: to@hide", "nothing: to@hide"),
        ] {
            assert_eq!(without_passwords(text), shown);
            assert!(!clip_to(text, 12).contains("pw"), "{text}");
        }
    }
}
