use std::collections::BTreeSet;

use crate::{
    Problem, Problems,
    problem::{clip, nearest, without_passwords},
    yaml::{At, Node, Value},
};

/// Walks a tree and collects what is wrong with it: each reader asks for what it expects and gets nothing
/// where the file holds something else, so that one run tells every problem.
pub(crate) struct Check<'t> {
    lines: Vec<&'t str>,
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
    /// Lines that are not shown, since a secret may be on them.
    hidden: BTreeSet<usize>,
}

/// A field of a mapping: its name, the place of the name, and its value.
pub(crate) struct Field<'n> {
    pub(crate) name: &'n str,
    pub(crate) at: At,
    pub(crate) value: &'n Node,
}

impl<'t> Check<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        let lines = text.lines().collect();
        Self { lines, problems: Vec::new(), warnings: Vec::new(), hidden: BTreeSet::new() }
    }

    /// The warnings, or else everything that is wrong.
    pub(crate) fn finish(self) -> Result<Vec<Problem>, Problems> {
        let Self { mut problems, mut warnings, hidden, .. } = self;
        for problem in problems.iter_mut().chain(&mut warnings).filter(|p| hidden.contains(&p.line)) {
            problem.source.clear();
        }
        if problems.is_empty() {
            warnings.sort();
            Ok(warnings)
        } else {
            Err(problems.into())
        }
    }

    /// Has no message show a line of the file.
    pub(crate) fn hide(&mut self, at: At) {
        self.hidden.insert(at.line);
    }

    pub(crate) fn problem(&mut self, at: At, message: impl Into<String>) {
        let problem = self.positioned(at, message.into());
        self.problems.push(problem);
    }
    /// A problem at a character of a value that has a language of its own.
    pub(crate) fn problem_within(&mut self, node: &Node, offset: usize, message: impl Into<String>) {
        let at = self.place_within(node, offset).unwrap_or(node.at);
        self.problem(at, message);
    }

    /// Where a character of a value is in the file: on its line, or in a block after `|`; nothing where YAML folds lines.
    fn place_within(&self, node: &Node, offset: usize) -> Option<At> {
        let Value::Scalar(text) = &node.value else { return None };
        let line = self.lines.get(node.at.line - 1)?;
        let quote = line.chars().nth(node.at.column - 1)?;
        let before = || text.chars().take(offset);
        let below = before().filter(|c| *c == '\n').count();
        if below > 0 && !matches!(quote, '\'' | '"') {
            // A block's place is that of its first character: all its lines begin there.
            let within = before().collect::<String>().rsplit('\n').next().map_or(0, |l| l.chars().count());
            return Some(At { line: node.at.line + below, column: node.at.column + within });
        }
        let mut column = node.at.column + usize::from(matches!(quote, '\'' | '"'));
        for c in before() {
            // A quote within quotes is written as two characters.
            column += match (quote, c) {
                ('\'', '\'') | ('"', '"' | '\\' | '\n' | '\t') => 2,
                _ => 1,
            };
        }
        (column <= line.chars().count() + 1).then_some(At { line: node.at.line, column })
    }

    pub(crate) fn warning(&mut self, at: At, message: impl Into<String>) {
        let warning = self.positioned(at, message.into());
        self.warnings.push(warning);
    }

    /// A mapping's fields that are known. `later` are words of the language that this release does not act on:
    /// to skip them silently would promise what nobody keeps.
    pub(crate) fn fields<'n>(
        &mut self,
        node: &'n Node,
        what: &str,
        known: &[&str],
        later: &[&str],
    ) -> Option<Vec<Field<'n>>> {
        let mut fields = self.entries(node, what)?;
        fields.retain(|field| {
            if known.contains(&field.name) {
                return true;
            }
            let name = clip(field.name);
            self.problem(
                field.at,
                if later.contains(&field.name) {
                    format!(
                        "`{name}` is part of the policy language but not of this release; take it out: \
                         nothing would act on it"
                    )
                } else {
                    format!("unknown field `{name}` in {what}{}", nearest(field.name, known))
                },
            );
            false
        });
        Some(fields)
    }

    /// A mapping whose keys are the user's own words.
    pub(crate) fn entries<'n>(&mut self, node: &'n Node, what: &str) -> Option<Vec<Field<'n>>> {
        let Value::Map(entries) = &node.value else {
            self.problem(node.at, format!("expected a mapping for {what}, not {}", node.what()));
            return None;
        };
        let mut fields: Vec<Field<'n>> = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            let Value::Scalar(text) = &key.value else {
                self.problem(key.at, format!("expected a name in {what}, not {}", key.what()));
                continue;
            };
            match fields.iter().find(|f| f.name == text.as_str()) {
                Some(first) => {
                    let line = first.at.line;
                    self.problem(key.at, format!("`{}` is already given on line {line}", clip(text)));
                }
                None => fields.push(Field { name: text, at: key.at, value }),
            }
        }
        Some(fields)
    }

    /// A single value, as written.
    pub(crate) fn text<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n str> {
        match &node.value {
            Value::Scalar(text) if !text.is_empty() => Some(text),
            Value::Scalar(_) => {
                self.problem(node.at, format!("{what} is empty"));
                None
            }
            _ => {
                self.problem(node.at, format!("expected a value for {what}, not {}", node.what()));
                None
            }
        }
    }

    /// A value read by one of `units`' functions.
    pub(crate) fn value<T>(
        &mut self,
        node: &Node,
        what: &str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = self.text(node, what)?;
        match read(text) {
            Ok(value) => Some(value),
            Err(message) => {
                self.problem(node.at, format!("{what}: {message}"));
                None
            }
        }
    }

    /// One value or a list of them, never empty.
    pub(crate) fn values<'n>(&mut self, node: &'n Node, what: &str) -> Vec<(&'n Node, &'n str)> {
        match &node.value {
            Value::Seq(items) if items.is_empty() => {
                self.problem(node.at, format!("{what} is an empty list"));
                Vec::new()
            }
            Value::Seq(items) => {
                items.iter().filter_map(|i| self.text(i, what).map(|text| (i, text))).collect()
            }
            _ => self.text(node, what).map(|text| (node, text)).into_iter().collect(),
        }
    }

    /// One of a few words.
    pub(crate) fn choice<T: Copy>(
        &mut self,
        at: At,
        text: &str,
        what: &str,
        choices: &[(&str, T)],
    ) -> Option<T> {
        let found = choices.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
        if found.is_none() {
            let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            self.problem(at, format!("unknown {what} `{}`{}", clip(text), nearest(text, &names)));
        }
        found
    }

    fn positioned(&self, at: At, message: String) -> Problem {
        let source = self.lines.get(at.line - 1).copied().unwrap_or_default();
        let source = without_passwords(source).into_owned();
        Problem { line: at.line, column: at.column, message, source }
    }
}

/// Names that become part of keys: stores and presets.
pub(crate) fn name_is_plain(name: &str) -> bool {
    (1..=40).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}
