use domain::Timestamp;
use serde::{Deserialize, Serialize};

/// How many, since when, and a few of them by name: no larger for a million than for five.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tally {
    pub count: u64,
    /// Of the one for which it has been so for longest.
    pub since: Option<Timestamp>,
    pub examples: Vec<String>,
}

impl Tally {
    /// What a person looks at before looking for a pattern.
    const EXAMPLES: usize = 5;

    pub fn add(&mut self, name: impl Into<String>, since: Timestamp) {
        self.count += 1;
        self.since = Some(self.since.map_or(since, |longest| longest.min(since)));
        if self.examples.len() < Self::EXAMPLES {
            self.examples.push(name.into());
        }
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// `a, b, c, d, e and 7 more`.
    pub(crate) fn named(&self) -> String {
        let named = self.examples.join(", ");
        match self.count - self.examples.len() as u64 {
            0 => named,
            more => format!("{named} and {more} more"),
        }
    }

    /// `1 recording`, `3 recordings`.
    pub(crate) fn of(&self, what: &str) -> String {
        format!("{} {what}{}", self.count, if self.count == 1 { "" } else { "s" })
    }

    /// `2027-01-02T03:04:05Z`.
    pub(crate) fn longest(&self) -> String {
        self.since.map_or_else(|| "an unknown time".to_owned(), |since| since.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_does_not_grow_with_what_is_counted() {
        let mut tally = Tally::default();
        for n in 0..12 {
            tally.add(format!("{n}.mp4"), Timestamp(100 - n));
        }
        assert_eq!((tally.of("recording").as_str(), tally.since), ("12 recordings", Some(Timestamp(89))));
        assert_eq!(tally.named(), "0.mp4, 1.mp4, 2.mp4, 3.mp4, 4.mp4 and 7 more");
        let kept: Tally = serde_json::from_str(&serde_json::to_string(&tally).unwrap()).unwrap();
        assert_eq!(kept, tally);
        assert_eq!(Tally { count: 1, ..Tally::default() }.of("object"), "1 object");
    }
}
