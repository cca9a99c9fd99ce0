use crate::{Error, ErrorKind, MAX_BODY};

/// What every backend takes: 1 to [`MAX_BODY`] bytes of text that XML 1.0 can carry, which is SQS's rule.
pub(crate) fn check(body: &str) -> Result<(), Error> {
    let refuse = |why| Err(Error::new(ErrorKind::Invalid, why));
    if body.is_empty() || body.len() > MAX_BODY {
        return refuse(format!(
            "a message has 1 to {MAX_BODY} bytes, this one {}: send a key, not the bytes",
            body.len()
        ));
    }
    match body.char_indices().find(|&(_, c)| !is_carried(c)) {
        Some((at, c)) => refuse(format!(
            "a message has no control characters, this one has U+{:04X} at byte {at}: encode it, as JSON does",
            u32::from(c)
        )),
        None => Ok(()),
    }
}

pub(crate) fn is_carried(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_where_and_what_to_do() {
        assert_eq!(
            check("käse\u{7}").unwrap_err().to_string(),
            "a message has no control characters, this one has U+0007 at byte 5: encode it, as JSON does"
        );
        check("\t\r\n \u{7f}\u{d7ff}\u{e000}\u{fffd}\u{10000}\u{10ffff}").unwrap();
    }
}
