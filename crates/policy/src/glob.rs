use serde::{Serialize, Serializer};

use crate::problem::clip;

/// A pattern over a name: `*` is any run of characters but `/`, `**` any run at all, `?` one character but `/`.
///
/// Matching walks all ways at once in one machine word (Baeza-Yates and Gonnet's shift-and with repeats), so its
/// time is the text's length whatever the pattern: no pattern can be made to explode.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Glob {
    written: String,
    tokens: Vec<Token>,
    /// Everything before the first wildcard: most texts differ there.
    literal: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Token {
    Char(char),
    /// `?`
    One,
    /// `*`
    Run,
    /// `**`
    Any,
}

/// States fit a `u128` with the final one.
const MAX_TOKENS: usize = 127;

impl Glob {
    pub(crate) fn new(pattern: &str) -> Result<Self, String> {
        if let Some(c) = pattern.chars().find(|c| "[]{}\\".contains(*c)) {
            return Err(format!(
                "`{c}` is not part of a pattern here; use *, ** and ?, or a list of patterns"
            ));
        }
        let mut tokens = Vec::new();
        let mut chars = pattern.chars().peekable();
        while let Some(c) = chars.next() {
            let token = match c {
                '?' => Token::One,
                '*' if chars.next_if_eq(&'*').is_some() => Token::Any,
                '*' => Token::Run,
                c => Token::Char(c),
            };
            tokens.push(token);
        }
        match tokens.len() {
            0 => return Err("an empty pattern matches nothing".into()),
            n if n > MAX_TOKENS => return Err(format!("a pattern has at most {MAX_TOKENS} characters")),
            _ => {}
        }
        let literal = pattern.chars().take_while(|c| !"*?".contains(*c)).collect();
        Ok(Self { written: pattern.to_owned(), tokens, literal })
    }

    /// A media type, or a pattern of them.
    pub(crate) fn media_type(text: &str) -> Result<Self, String> {
        if text.contains('/') {
            Self::new(&text.to_ascii_lowercase())
        } else {
            Err(format!("`{0}` is not a media type; write it as `{0}/*` or `video/mp4`", clip(text)))
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.written
    }

    /// What every text that matches begins with.
    pub(crate) fn literal(&self) -> &str {
        &self.literal
    }

    pub(crate) fn matches_everything(&self) -> bool {
        self.tokens.iter().all(|t| *t == Token::Any)
    }

    pub(crate) fn matches(&self, text: &str) -> bool {
        let Some(rest) = text.strip_prefix(self.literal.as_str()) else { return false };
        let tokens = &self.tokens[self.literal.chars().count()..];
        let end = 1u128 << tokens.len();
        // Bit i: the text so far can be matched by the first i tokens.
        let mut states = past_runs(1, tokens);
        for c in rest.chars() {
            let mut next = 0;
            for (i, token) in tokens.iter().enumerate().filter(|(i, _)| states & (1 << i) != 0) {
                next |= match token {
                    Token::Char(t) if *t == c => 2 << i,
                    Token::One if c != '/' => 2 << i,
                    Token::Run if c != '/' => 1 << i,
                    Token::Any => 1 << i,
                    _ => 0,
                };
            }
            states = past_runs(next, tokens);
            if states == 0 {
                return false;
            }
        }
        states & end != 0
    }
}

/// A run may also be empty.
fn past_runs(mut states: u128, tokens: &[Token]) -> u128 {
    for (i, token) in tokens.iter().enumerate() {
        if states & (1 << i) != 0 && matches!(token, Token::Run | Token::Any) {
            states |= 2 << i;
        }
    }
    states
}

impl Serialize for Glob {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&self.written)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        Glob::new(pattern).unwrap().matches(text)
    }

    #[test]
    fn wildcards_stop_at_slashes_unless_doubled() {
        assert!(matches("video/*", "video/mp4") && !matches("video/*", "audio/mp4"));
        assert!(matches("cam?/*.mp4", "cam1/a.mp4") && !matches("cam?/*.mp4", "cam1/x/a.mp4"));
        assert!(matches("**.mp4", "cam1/x/a.mp4") && matches("cam1/**", "cam1/x/y") && matches("**", ""));
        assert!(matches("a*b*c", "aXbYc") && !matches("a*b*c", "aXbY") && matches("exact", "exact"));
        assert!(!matches("exact", "exactly") && !matches("?", "") && matches("é?", "éß"));
        assert!(
            Glob::new("").is_err() && Glob::new("{a,b}").is_err() && Glob::new(&"*a".repeat(64)).is_err()
        );
    }

    /// The obvious definition, which may take exponential time.
    fn by_definition(pattern: &[Token], text: &[char]) -> bool {
        match (pattern, text) {
            ([], []) => true,
            ([Token::Run | Token::Any, rest @ ..], _) if by_definition(rest, text) => true,
            ([Token::Any, ..], [_, rest @ ..]) => by_definition(pattern, rest),
            ([Token::Run, ..], [c, rest @ ..]) => *c != '/' && by_definition(pattern, rest),
            ([Token::One, pattern @ ..], [c, text @ ..]) => *c != '/' && by_definition(pattern, text),
            ([Token::Char(p), pattern @ ..], [c, text @ ..]) => p == c && by_definition(pattern, text),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn matches_what_the_definition_matches(pattern in "[ab/*?]{1,8}", text in "[ab/]{0,8}") {
            let glob = Glob::new(&pattern).unwrap();
            let chars: Vec<char> = text.chars().collect();
            prop_assert_eq!(glob.matches(&text), by_definition(&glob.tokens, &chars));
        }
    }
}
