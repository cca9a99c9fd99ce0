use std::time::{Duration, UNIX_EPOCH};

use domain::Timestamp;
use lettre::{
    Message,
    message::{
        Mailbox, SinglePart,
        header::{HeaderName, HeaderValue},
    },
};

use crate::{Error, ErrorKind, id::NewsId};

/// In bytes. Mail programs show about half of it, and phones less.
const SUBJECT: usize = 200;
/// The last second that an HTTP-like date can name: 9999-12-31T23:59:59Z.
const LAST: u64 = 253_402_300_799;

/// A mail before it is written.
pub(super) struct Draft<'a> {
    pub from: &'a Mailbox,
    pub to: &'a [Mailbox],
    /// Tame text; one line.
    pub subject: &'a str,
    /// Tame text.
    pub text: String,
    pub at: Timestamp,
    pub id: NewsId,
    /// What it belongs to, if others do too.
    pub thread: Option<NewsId>,
}

impl Draft<'_> {
    /// The same draft is the same mail, byte by byte: what is sent again after trouble has the same `Message-ID`, and
    /// mail programs show one.
    pub(super) fn write(self) -> Result<Vec<u8>, Error> {
        let domain = self.from.email.domain();
        let seconds = u64::try_from(self.at.0 / 1000).unwrap_or(0).min(LAST);
        let mut mail = Message::builder()
            .from(self.from.clone())
            .subject(line(self.subject))
            .date(UNIX_EPOCH + Duration::from_secs(seconds))
            .message_id(Some(format!("<{}@{domain}>", self.id)))
            // RFC 3834: no "out of office" comes back.
            .raw_header(plain("Auto-Submitted", "auto-generated"));
        if let Some(thread) = self.thread {
            mail = mail.references(format!("<{thread}.thread@{domain}>"));
        }
        for to in self.to {
            mail = mail.to(to.clone());
        }
        let mail = mail.singlepart(SinglePart::plain(self.text)).map_err(|e| {
            Error::new(ErrorKind::Invalid, format!("a mail cannot be written: {e}; check the addresses"))
        })?;
        Ok(mail.formatted())
    }
}

/// Cut at a character.
fn line(subject: &str) -> String {
    if subject.len() <= SUBJECT {
        return subject.to_owned();
    }
    format!("{}...", &subject[..subject.floor_char_boundary(SUBJECT - "...".len())])
}

fn plain(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(subject: &str, text: &str, at: i64) -> String {
        let to = ["a@example.com", "\"B, C\" <b@example.net>"].map(|a| a.parse().unwrap());
        let draft = Draft {
            from: &"videorec <alerts@example.com>".parse().unwrap(),
            to: &to,
            subject,
            text: text.to_owned(),
            at: Timestamp(at),
            id: NewsId::derive(&[b"id"]),
            thread: Some(NewsId::derive(&[b"thread"])),
        };
        String::from_utf8(draft.write().unwrap()).unwrap()
    }

    #[test]
    fn a_mail_is_the_same_whenever_it_is_written() {
        let id = NewsId::derive(&[b"id"]);
        let thread = NewsId::derive(&[b"thread"]);
        let expected = format!(
            "From: videorec <alerts@example.com>\r\n\
             Subject: [critical] disk is full\r\n\
             Date: Mon, 21 Sep 2026 14:13:20 +0000\r\n\
             Message-ID: <{id}@example.com>\r\n\
             Auto-Submitted: auto-generated\r\n\
             References: <{thread}.thread@example.com>\r\n\
             To: a@example.com, =?utf-8?b?QiwgQw==?= <b@example.net>\r\n\
             MIME-Version: 1.0\r\n\
             Content-Type: text/plain; charset=utf-8\r\n\
             Content-Transfer-Encoding: 7bit\r\n\r\nfull\r\n\r\n"
        );
        for _ in 0..2 {
            let mail = written("[critical] disk is full", "full\n", 1_790_000_000_123);
            assert_eq!(mail, expected);
        }
    }

    proptest! {
        /// Subjects hold file names of strangers. They are tame when they come here; this holds it also if they were not.
        #[test]
        fn no_subject_makes_a_header_of_its_own(
            subject in "(\r\n|\r|\n|[ -~]|\\PC|:|\u{0}|\u{1b}){0,300}", text in "\\PC*", at: i64,
        ) {
            let mail = written(&subject, &text, at);
            prop_assert!(mail.is_ascii());
            prop_assert!(mail.split("\r\n").all(|line| line.len() <= 998), "RFC 5322, 2.1.1");
            let (head, _) = mail.split_once("\r\n\r\n").unwrap();
            let names: Vec<_> = head
                .split("\r\n")
                .filter(|line| !line.starts_with([' ', '\t']))
                .map(|line| line.split_once(':').unwrap().0)
                .collect();
            prop_assert_eq!(names, [
                "From", "Subject", "Date", "Message-ID", "Auto-Submitted", "References", "To", "MIME-Version",
                "Content-Type", "Content-Transfer-Encoding",
            ]);
        }
    }

    #[test]
    fn a_long_subject_is_cut_at_a_character() {
        let cut = line(&"ü".repeat(5_000));
        assert!(cut.ends_with("ü...") && cut.len() <= SUBJECT);
        assert_eq!(line("short"), "short");
    }
}
