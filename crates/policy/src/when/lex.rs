use super::parse::Wrong;

/// A word of an expression, and the character that it begins at.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) at: usize,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Name(String),
    Text(String),
    Int(i64),
    Double(f64),
    /// An operator or a bracket.
    Sign(&'static str),
    End,
}

pub(super) const MAX_CHARS: usize = 2_000;
pub(super) const MAX_TOKENS: usize = 400;

const SIGNS: &[&str] = &[
    "&&", "||", "==", "!=", "<=", ">=", "<", ">", "!", "+", "-", "*", "/", "%", "?", ":", "(", ")", "[", "]",
    ",", ".",
];

/// Cuts a text into words, the last of which is the end.
pub(super) fn lex(text: &str) -> Result<Vec<Token>, Wrong> {
    let chars: Vec<char> = text.chars().collect();
    if chars.len() > MAX_CHARS {
        return Err(Wrong::at(0, format!("{} characters are too many; at most {MAX_CHARS}", chars.len())));
    }
    let (mut tokens, mut at) = (Vec::new(), 0);
    while at < chars.len() {
        let c = chars[at];
        if c.is_whitespace() {
            at += 1;
            continue;
        }
        let raw = (c == 'r' || c == 'R') && matches!(chars.get(at + 1), Some('\'' | '"'));
        let (kind, end) = if c == '\'' || c == '"' || raw {
            quoted(&chars, at, raw)?
        } else if c.is_ascii_digit() || c == '.' && chars.get(at + 1).is_some_and(char::is_ascii_digit) {
            number(&chars, at)?
        } else if c.is_alphabetic() || c == '_' {
            let end = (at..chars.len()).find(|i| !chars[*i].is_alphanumeric() && chars[*i] != '_');
            let end = end.unwrap_or(chars.len());
            (Kind::Name(chars[at..end].iter().collect()), end)
        } else {
            let here = |sign: &&&str| sign.chars().eq(chars[at..].iter().take(sign.len()).copied());
            let Some(sign) = SIGNS.iter().find(here) else { return Err(Wrong::at(at, unknown_sign(c))) };
            (Kind::Sign(sign), at + sign.len())
        };
        tokens.push(Token { at, kind });
        if tokens.len() > MAX_TOKENS {
            return Err(Wrong::at(at, format!("an expression has at most {MAX_TOKENS} words")));
        }
        at = end;
    }
    tokens.push(Token { at: chars.len(), kind: Kind::End });
    Ok(tokens)
}

fn unknown_sign(c: char) -> String {
    match c {
        '=' => "`=` compares nothing; write `==`".into(),
        '&' => "write `&&` for `and`".into(),
        '|' => "write `||` for `or`".into(),
        c if c.is_control() => "a control character".into(),
        c => format!("`{c}` is no part of an expression"),
    }
}

fn quoted(chars: &[char], start: usize, raw: bool) -> Result<(Kind, usize), Wrong> {
    let open = start + usize::from(raw);
    let quote = chars[open];
    let (mut text, mut at) = (String::new(), open + 1);
    loop {
        match chars.get(at) {
            None => {
                return Err(Wrong::at(
                    start,
                    format!("a text that begins here has no end: {quote} is missing"),
                ));
            }
            Some(c) if *c == quote => return Ok((Kind::Text(text), at + 1)),
            Some('\\') if !raw => {
                let escaped = match chars.get(at + 1) {
                    Some('n') => '\n',
                    Some('t') => '\t',
                    Some(c @ ('\\' | '\'' | '"' | '`' | '?')) => *c,
                    _ => {
                        return Err(Wrong::at(
                            at,
                            r#"only \n \t \\ \' and \" may follow a backslash; r'..' takes it as it is"#,
                        ));
                    }
                };
                text.push(escaped);
                at += 2;
            }
            Some(c) => {
                text.push(*c);
                at += 1;
            }
        }
    }
}

fn number(chars: &[char], start: usize) -> Result<(Kind, usize), Wrong> {
    let digits =
        |from: usize| (from..chars.len()).find(|i| !chars[*i].is_ascii_digit()).unwrap_or(chars.len());
    let mut end = digits(start);
    let mut double = false;
    if chars.get(end) == Some(&'.') && chars.get(end + 1).is_some_and(char::is_ascii_digit) {
        double = true;
        end = digits(end + 1);
    }
    let text: String = chars[start..end].iter().collect();
    if chars.get(end).is_some_and(|c| c.is_alphabetic() || *c == '_') {
        let rest: String = chars[start..].iter().take_while(|c| c.is_alphanumeric()).collect();
        return Err(Wrong::at(
            start,
            format!(
                "`{rest}` is no number; a time is written duration(\"30d\"), a size in bytes: 1000000 * 5"
            ),
        ));
    }
    let kind = if double {
        Kind::Double(text.parse().map_err(|_| Wrong::at(start, "no number"))?)
    } else {
        let number = text
            .parse()
            .map_err(|_| Wrong::at(start, format!("{} is too large", crate::problem::clip(&text))))?;
        Kind::Int(number)
    };
    Ok((kind, end))
}
