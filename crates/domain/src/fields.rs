use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize, de};

/// What people know of a recording and no file tells, by name: `case` is `A-17`.
///
/// A value is the text that it was written as. What it is, a number, a date or one of a few words, is the policy's to say: then
/// a policy that says something else tomorrow finds what it needs, and loses nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Fields(BTreeMap<String, String>);

impl Fields {
    /// Of one recording.
    pub const MOST: usize = 50;
    /// Characters of a name.
    pub const LONGEST_NAME: usize = 40;
    /// Characters of a value.
    pub const LONGEST_VALUE: usize = 500;

    /// Whether fields can be called so: a lower-case letter, then letters, digits and `_`.
    pub fn is_name(name: &str) -> bool {
        (1..=Self::LONGEST_NAME).contains(&name.len())
            && name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    }

    /// Errors: a sentence that says what to write instead.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        if !Self::is_name(name) {
            return Err(format!(
                "`{}` is no field's name: it has up to {} small letters, digits and `_`, a letter first, as in `case` or \
                 `closed_on`",
                shown(name),
                Self::LONGEST_NAME
            ));
        }
        let right = value.chars().count() <= Self::LONGEST_VALUE
            && value.trim() == value
            && !value.is_empty()
            && !value.contains(char::is_control);
        if !right {
            return Err(format!(
                "`{}` is no value of the field `{name}`: it is one line of 1 to {} characters, without spaces around it",
                shown(value),
                Self::LONGEST_VALUE
            ));
        }
        if self.0.len() >= Self::MOST && !self.0.contains_key(name) {
            return Err(format!("a recording has at most {} fields", Self::MOST));
        }
        self.0.insert(name.to_owned(), value.to_owned());
        Ok(())
    }

    /// Whether there was one.
    pub fn remove(&mut self, name: &str) -> bool {
        self.0.remove(name).is_some()
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// By name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Those of others that it has not itself, as far as there is room for them.
    pub fn fill_up(&mut self, others: &Self) {
        for (name, value) in &others.0 {
            if self.0.len() >= Self::MOST {
                return;
            }
            self.0.entry(name.clone()).or_insert_with(|| value.clone());
        }
    }
}

fn shown(text: &str) -> String {
    text.chars().take(60).collect::<String>().escape_debug().to_string()
}

/// `case A-17, court north`
impl fmt::Display for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (name, value)) in self.0.iter().enumerate() {
            write!(f, "{}{name} {value}", if n > 0 { ", " } else { "" })?;
        }
        Ok(())
    }
}

/// Also of numbers and of true and false, which are the text that they are written as.
impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a field's value is a text, a number, or true or false")]
        enum Value {
            Text(String),
            Whole(i64),
            Number(f64),
            Bool(bool),
        }
        let mut fields = Self::default();
        for (name, value) in BTreeMap::<String, Value>::deserialize(d)? {
            let value = match value {
                Value::Text(text) => text,
                Value::Whole(number) => number.to_string(),
                Value::Number(number) => number.to_string(),
                Value::Bool(bool) => bool.to_string(),
            };
            fields.set(&name, &value).map_err(de::Error::custom)?;
        }
        Ok(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_texts_by_name() {
        let text = r#"{"case":"A-17","paid":true,"priority":3,"share":0.5}"#;
        let mut fields: Fields = serde_json::from_str(text).unwrap();
        assert_eq!(fields.to_string(), "case A-17, paid true, priority 3, share 0.5");
        let written = serde_json::to_string(&fields).unwrap();
        assert_eq!(written, r#"{"case":"A-17","paid":"true","priority":"3","share":"0.5"}"#);
        assert_eq!(serde_json::from_str::<Fields>(&written).unwrap(), fields);
        let mut others = Fields::default();
        others.set("case", "B").unwrap();
        others.set("court", "north").unwrap();
        fields.fill_up(&others);
        assert_eq!((fields.get("case"), fields.get("court")), (Some("A-17"), Some("north")));
        assert!(fields.remove("court") && !fields.remove("court"));
    }

    #[test]
    fn what_is_no_field_says_what_is_one() {
        let long = "x".repeat(501);
        for (name, value, says) in [
            ("Case", "a", "small letters"),
            ("", "a", "small letters"),
            ("1st", "a", "a letter first"),
            ("a-b", "a", "small letters"),
            ("case", "", "1 to 500"),
            ("case", " a", "without spaces"),
            ("case", "a\nb", "one line"),
            ("case", &long, "1 to 500"),
        ] {
            let message = Fields::default().set(name, value).expect_err(name);
            assert!(message.contains(says), "{name} {value}: {message}");
        }
        let mut full = Fields::default();
        (0..Fields::MOST).for_each(|n| full.set(&format!("f{n}"), "x").unwrap());
        assert!(full.set("f0", "y").is_ok() && full.set("more", "y").unwrap_err().contains("at most 50"));
        let unreadable = serde_json::from_str::<Fields>(r#"{"case":["a"]}"#).unwrap_err().to_string();
        assert!(unreadable.contains("a text, a number"), "{unreadable}");
    }
}
