//! A policy's conditions as a query: which rows [`Screen::passes`].

use domain::{Kind, RowTest, Screen, Timestamp};

use crate::codec;

/// How a database says what the two say differently. `text` is where a bound text stands.
pub(crate) trait Dialect {
    /// The place of the `n`th parameter.
    fn parameter(n: usize) -> String;
    fn starts_with(column: &str, text: &str) -> String;
    /// Whether the JSON array of texts holds one. `quoted` is the text as JSON writes it, and in nearly every row enough to say no.
    fn contains(column: &str, quoted: &str, text: &str) -> String;
    /// Whether the text holds another.
    fn has(column: &str, text: &str) -> String;
    /// The ids of recordings that have a copy which is bad or left over from a move, by their index.
    const SPECIAL: &str;
    /// As custody is written, and as no text within it can be: quotes are escaped there.
    fn custody_has(field: &str) -> String;
}

/// Binds: 1 the cursor, 2 the limit, then the texts.
pub(crate) struct Statement {
    pub sql: String,
    pub texts: Vec<String>,
}

/// Rows in the order in which they lie, which is several times as fast as by their ids.
pub(crate) fn statement<D: Dialect>(screen: &Screen) -> Statement {
    let mut texts = Vec::new();
    let rules = screen.any.iter().map(|all| {
        let tests: Vec<String> = all.iter().map(|test| condition::<D>(test, &mut texts)).collect();
        if tests.is_empty() { "TRUE".to_owned() } else { tests.join(" AND ") }
    });
    let rules: Vec<String> = rules.collect();
    let cares = ["trash", "transition", "cold", "bad"].map(D::custody_has).join(" OR ");
    let sql = format!(
        "SELECT rid, id FROM recording r
         WHERE rid > {} AND state <> 'deleted'
           AND ({} OR state = 'trashed' OR (probe IS NULL AND kind <> 'session')
                OR (custody <> '{{}}' AND ({cares})) OR id IN ({}))
         ORDER BY rid LIMIT {}",
        D::parameter(1),
        any(&rules),
        D::SPECIAL,
        D::parameter(2),
    );
    Statement { sql, texts }
}

/// As a tree of little depth: SQLite takes expressions up to a thousand deep, and `a OR b OR c` is as deep as it is long.
fn any(of: &[String]) -> String {
    match of {
        [] => "FALSE".to_owned(),
        [one] => format!("({one})"),
        many => {
            let (left, right) = many.split_at(many.len() / 2);
            format!("({} OR {})", any(left), any(right))
        }
    }
}

fn condition<D: Dialect>(test: &RowTest, texts: &mut Vec<String>) -> String {
    let mut bind = |text: &str| {
        texts.push(text.to_owned());
        D::parameter(texts.len() + 2)
    };
    match test {
        RowTest::Kind(kinds) => {
            let kinds: Vec<String> = kinds.iter().map(|k: &Kind| format!("'{}'", k.as_str())).collect();
            if kinds.is_empty() { "FALSE".into() } else { format!("kind IN ({})", kinds.join(", ")) }
        }
        RowTest::Size { min, max } => between("size", *min, *max),
        // A probed one without media has none, which is not between anything.
        RowTest::Duration { min, max } => format!("coalesce({}, FALSE)", between("duration_ms", *min, *max)),
        RowTest::Dated { from, before } => within("coalesce(recorded_at, accepted_at)", *from, *before),
        RowTest::Accepted { from, before } => within("accepted_at", *from, *before),
        RowTest::Name(with) => {
            any(&with.iter().map(|w| D::starts_with("name", &bind(w))).collect::<Vec<_>>())
        }
        RowTest::Type(with) => {
            let begins: Vec<_> =
                with.iter().map(|w| D::starts_with("coalesce(media_type, '')", &bind(w))).collect();
            format!("(media_type IS NOT NULL AND {})", any(&begins))
        }
        // As fields are written, and as nothing else within them can be: quotes are escaped there.
        RowTest::Field { name, any: values } => {
            let written = |value: &String| format!("{}:{}", codec::to_json(name), codec::to_json(value));
            any(&values.iter().map(|v| D::has("fields", &bind(&written(v)))).collect::<Vec<_>>())
        }
        RowTest::Tags { has, any: one_of, none } => {
            let mut holds = |tag: &String| {
                let quoted = bind(&codec::to_json(tag));
                D::contains("tags", &quoted, &bind(tag))
            };
            let mut all: Vec<String> = has.iter().map(&mut holds).collect();
            if !one_of.is_empty() {
                all.push(any(&one_of.iter().map(&mut holds).collect::<Vec<_>>()));
            }
            all.extend(none.iter().map(|tag| format!("NOT {}", holds(tag))));
            if all.is_empty() { "TRUE".to_owned() } else { all.join(" AND ") }
        }
    }
}

fn between(column: &str, min: u64, max: u64) -> String {
    format!("{column} BETWEEN {} AND {}", codec::signed(min), codec::signed(max))
}

/// The smallest and the largest time stand for no bound, and `-9223372036854775808` is no literal.
fn within(column: &str, from: Timestamp, before: Timestamp) -> String {
    let from = (from.0 > i64::MIN).then(|| format!("{column} >= {}", from.0));
    let before = match before.0 {
        i64::MAX => None,
        i64::MIN => Some("FALSE".to_owned()),
        before => Some(format!("{column} < {before}")),
    };
    let bounds: Vec<String> = from.into_iter().chain(before).collect();
    if bounds.is_empty() { "TRUE".to_owned() } else { bounds.join(" AND ") }
}
