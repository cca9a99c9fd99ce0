//! Text as the words to look for, for a database whose own tokenizer would see something else in it: the words
//! that SQLite's `unicode61 remove_diacritics 2` finds, so that a query means the same everywhere.

use unicode_normalization::char::decompose_canonical;

/// Databases have a longest word. Longer ones are none: they are found by their beginning.
const LONGEST: usize = 1_000;

/// Runs of letters and digits, without case and without the accents of Latin letters.
pub(crate) fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric() && !is_accent(c)).filter_map(|run| {
        let mut word = String::with_capacity(run.len());
        for c in run.chars().filter(|c| !is_accent(*c)) {
            let c = without_accents(without_case(c));
            if word.len() + c.len_utf8() > LONGEST {
                break;
            }
            word.push(c);
        }
        (!word.is_empty()).then_some(word)
    })
}

/// As some keyboards and file systems write them: after the letter, as characters of their own.
fn is_accent(c: char) -> bool {
    ('\u{300}'..='\u{36f}').contains(&c)
}

/// Unicode's simple case folding: by way of the capital, so that all small forms of a letter meet.
fn without_case(c: char) -> char {
    // Its capital is `I`, but it is not an `i`.
    if c == 'ı' {
        return c;
    }
    let only = |mut chars: Box<dyn Iterator<Item = char>>| match (chars.next(), chars.next()) {
        (Some(one), None) => Some(one),
        _ => None,
    };
    let capital = only(Box::new(c.to_uppercase())).unwrap_or(c);
    only(Box::new(capital.to_lowercase())).unwrap_or(capital)
}

/// Only of Latin letters: elsewhere a mark makes another letter (й is not и).
fn without_accents(c: char) -> char {
    let mut first = None;
    decompose_canonical(c, |part| {
        first.get_or_insert(part);
    });
    match first {
        Some(letter) if letter.is_ascii_alphabetic() => letter.to_ascii_lowercase(),
        _ => c,
    }
}

#[cfg(test)]
mod tests {
    use sqlx::{Connection as _, SqliteConnection};

    use super::*;

    fn all(text: &str) -> Vec<String> {
        words(text).collect()
    }

    #[test]
    fn words_have_no_case_and_no_accents() {
        assert_eq!(all("cam1/Weekly_Call-v2.MP4"), ["cam1", "weekly", "call", "v2", "mp4"]);
        assert_eq!(all("Café CAFE\u{301} Ängström Ỡ İ"), ["cafe", "cafe", "angstrom", "o", "i"]);
        assert_eq!(all("ΣΊΣΥΦΟΣ σίσυφος Й"), ["σίσυφοσ", "σίσυφοσ", "й"]);
        assert_eq!(all(" \u{301} !*\"' "), [""; 0]);
        assert_eq!(all("日本 1½"), ["日本", "1½"]);
        let long = all(&"é".repeat(5_000));
        assert_eq!((long.len(), long[0].len()), (1, LONGEST));
    }

    /// Every letter and digit of the alphabets that people here write in, and what stands between words, against
    /// the tokenizer of SQLite itself.
    #[tokio::test]
    async fn words_are_those_of_sqlite() {
        let mut sqlite = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        sqlx::raw_sql(
            "CREATE VIRTUAL TABLE text USING fts5 (body, tokenize = 'unicode61 remove_diacritics 2');
             CREATE VIRTUAL TABLE word USING fts5vocab (text, instance);",
        )
        .execute(&mut sqlite)
        .await
        .unwrap();
        let letters = [
            0x80..=0x24f,    // Latin
            0x370..=0x3ff,   // Greek
            0x400..=0x52f,   // Cyrillic
            0x5d0..=0x5ea,   // Hebrew
            0x621..=0x64a,   // Arabic
            0x10d0..=0x10fa, // Georgian
            0x1e00..=0x1fff, // more Latin and Greek
            0x3041..=0x30ff, // Kana
            0x4e00..=0x4fff, // Han
            0xac00..=0xacff, // Hangul
            0xff00..=0xffdc, // full width
        ];
        let between = [0x01..=0x7f, 0x300..=0x304, 0x306..=0x30c, 0x323..=0x328, 0x2000..=0x2064];
        let chars: Vec<char> = letters
            .into_iter()
            .flatten()
            .filter(|n| char::from_u32(*n).is_some_and(char::is_alphanumeric))
            .chain(between.into_iter().flatten())
            .filter_map(char::from_u32)
            // Two that SQLite's table has not quite, and five that are younger than it.
            .filter(|c| !"ǠǡͿԨԪԬԮ".contains(*c))
            .collect();
        assert!(chars.len() > 2_500, "{}", chars.len());
        for c in chars {
            let text = format!("x{c}Y {c}");
            sqlx::query("INSERT INTO text (rowid, body) VALUES (1, ?)")
                .bind(&text)
                .execute(&mut sqlite)
                .await
                .unwrap();
            let theirs: Vec<String> = sqlx::query_scalar("SELECT term FROM word ORDER BY offset")
                .fetch_all(&mut sqlite)
                .await
                .unwrap();
            assert_eq!(all(&text), theirs, "{text:?} {c:?}");
            sqlx::query("DELETE FROM text").execute(&mut sqlite).await.unwrap();
        }
    }
}
