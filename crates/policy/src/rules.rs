use std::collections::{BTreeMap, BTreeSet};

use domain::{Preset, Speed};

use crate::{
    OwnField, Place, Protect, Store,
    check::{Check, Field},
    condition::{self, Condition, Test},
    contradictions,
    model::{Ask, CUSTODY, INTAKE, Rule, Thaw, WhenCold},
    problem::{clip, nearest},
    said::Said,
    schedule::Schedule,
    units, verbs, watermark,
    when::When,
    yaml::{self, Node, Value},
};

/// Reads `rules:`.
pub(crate) fn read(check: &mut Check<'_>, node: &Node, known: &Known<'_>) -> Vec<Rule> {
    let Value::Seq(items) = &node.value else {
        check.problem(node.at, format!("expected a list of rules, each after a `-`, not {}", node.what()));
        return Vec::new();
    };
    if items.is_empty() {
        check.warning(node.at, "no rules: recordings are looked at, and nothing is made of them");
    }
    let mut rules: Vec<Rule> = Vec::new();
    let mut taken: BTreeMap<&str, yaml::At> = BTreeMap::new();
    for item in items {
        let Some((name, rule)) = read_rule(check, item, known) else { continue };
        if let Some((name, at)) = name {
            match taken.get(name) {
                Some(first) => {
                    let message = format!("a rule `{}` is already on line {}", clip(name), first.line);
                    check.problem(at.at, message);
                }
                None => {
                    taken.insert(name, at.at);
                }
            }
        }
        rules.extend(rule);
    }
    rules.sort_by(|a, b| a.name.cmp(&b.name));
    contradictions::between(check, &rules, &taken);
    rules
}

/// What rules may name.
pub(crate) struct Known<'a> {
    pub(crate) presets: &'a BTreeMap<String, Preset>,
    pub(crate) preset_names: BTreeSet<&'a str>,
    pub(crate) stores: &'a BTreeMap<String, Store>,
    pub(crate) store_names: BTreeSet<&'a str>,
    pub(crate) protect: &'a Protect,
    pub(crate) own: &'a [OwnField],
}

impl Known<'_> {
    /// Whether there is such a store and it can hold copies; told where it is otherwise.
    pub(crate) fn holds(&self, check: &mut Check<'_>, node: &Node, name: &str) -> bool {
        if !self.store(check, node, name) {
            return false;
        }
        let store = self.stores.get(name);
        let holds = store.is_none_or(Store::holds);
        if !holds {
            check.problem(node.at, only_takes_exports(name, store.and_then(|store| store.place.as_ref())));
        }
        holds
    }

    /// Whether there is such a store; told where there is none.
    pub(crate) fn store(&self, check: &mut Check<'_>, node: &Node, name: &str) -> bool {
        let known = self.store_names.contains(name);
        if !known {
            let choices: Vec<&str> = self.store_names.iter().copied().collect();
            check.problem(node.at, format!("unknown store `{}`{}", clip(name), nearest(name, &choices)));
        }
        known
    }
}

const LATER: &[&str] = &["script"];

type Name<'n> = Option<(&'n str, &'n Node)>;

fn read_rule<'n>(
    check: &mut Check<'_>,
    node: &'n Node,
    known: &Known<'_>,
) -> Option<(Name<'n>, Option<Rule>)> {
    let fields = check.fields(node, "the rule", RULE_FIELDS, LATER)?;
    let part = |name: &str| fields.iter().find(|f| f.name == name);
    let name = match part("name") {
        Some(field) => {
            let right = |text: &str| -> Result<(), String> {
                if text == INTAKE {
                    Err(format!("`{INTAKE}` is what probing is called; choose another name"))
                } else if text == CUSTODY {
                    Err(format!("`{CUSTODY}` is what care for bytes is called; choose another name"))
                } else if text.chars().count() > 80 || text.contains(|c: char| c.is_control() || c == ',') {
                    Err("a rule's name has at most 80 characters, no commas and no line breaks".into())
                } else {
                    Ok(())
                }
            };
            let fits = check.value(field.value, "`name`", right).is_some();
            if fits { check.text(field.value, "`name`").map(|text| (text, field.value)) } else { None }
        }
        None => {
            check.problem(node.at, "the rule has no `name`; explanations and logs need one");
            None
        }
    };
    let conditions = match part("match") {
        Some(field) => condition::read(check, field.value, known.own),
        None => {
            check.problem(node.at, "the rule has no `match`; `match: all` is how one says everything");
            None
        }
    };
    let asked: Vec<&Field<'_>> = fields.iter().filter(|f| verbs::NAMES.contains(&f.name)).collect();
    // A rule whose only verb belongs to a later release has been told so already.
    let later = |node: &Node| yaml::names(Some(node)).iter().any(|n| LATER.contains(n));
    if asked.is_empty() && !later(node) {
        check.problem(node.at, format!("the rule asks for nothing; verbs: {}", verbs::NAMES.join(", ")));
    }
    let rule_name = name.map_or("", |(name, _)| name);
    let mut asks: Vec<Ask> =
        asked.into_iter().flat_map(|verb| verbs::read(check, verb, rule_name, known)).collect();
    asks.sort();
    asks.dedup();
    let watermark = part("watermark").map(|field| watermark::read(check, field, rule_name, known));
    let cold = part("cold").and_then(|field| cold(check, field)).unwrap_or_default();
    let schedule = part("schedule").map(|field| check.value(field.value, "`schedule`", Schedule::new));
    let mut when = part("when").and_then(|field| When::read(check, field.value, known.own));
    let mut conditions = conditions?;
    if asks.iter().any(|ask| matches!(ask, Ask::Delete { .. } | Ask::Evict { .. })) {
        only_what_was_seen(&mut conditions, when.as_mut());
    }
    let mut rule = Rule {
        name: rule_name.to_owned(),
        conditions,
        when,
        asks,
        schedule: schedule.flatten(),
        cold: cold.0,
        thaw: cold.1,
        watermark: watermark.flatten(),
        said: Vec::new(),
    };
    rule.said = rule.asks.iter().map(|ask| Said::of(&rule, ask)).collect();
    contradictions::within(check, &fields, &rule);
    Some((name, name.map(|_| rule)))
}

/// Nothing goes for want of an access that nobody could have seen.
fn only_what_was_seen(conditions: &mut [Condition], when: Option<&mut When>) {
    for condition in conditions {
        if let Test::LastAccess(range) = condition.test {
            condition.test = Test::LastSeen(range);
        }
    }
    if let Some(when) = when {
        when.only_seen = true;
    }
}

/// Why a store holds no recordings and no copies, and what to do.
pub fn only_takes_exports(name: &str, place: Option<&Place>) -> String {
    let ours = match place {
        Some(Place::S3 { .. }) => "; where the bucket is yours, say so: `copies: true`",
        _ => "",
    };
    format!(
        "store `{}` only takes exports: what is there is not ours to keep and to find again; `export` sends to it{ours}",
        clip(name)
    )
}

/// `refuse`, `restore`, `skip`, or `{ restore: SPEED, days: N }`.
fn cold(check: &mut Check<'_>, field: &Field<'_>) -> Option<(WhenCold, Thaw)> {
    if let Value::Scalar(word) = &field.value.value {
        return Some((check.choice(field.value.at, word, "`cold`", COLD)?, Thaw::default()));
    }
    let fields = check.fields(field.value, "`cold`", &["days", "restore"], &[])?;
    let part = |name: &str| fields.iter().find(|f| f.name == name).map(|f| f.value);
    let Some(speed) = part("restore") else {
        check.problem(field.at, "`cold` has no `restore`: cold: { restore: bulk, days: 7 }");
        return None;
    };
    let days = part("days").map(|node| check.value(node, "`days`", days));
    let word = check.text(speed, "`restore`")?;
    let speed = check.choice(speed.at, word, "speed", &Speed::ALL.map(|speed| (speed.as_str(), speed)))?;
    let days = match days {
        Some(days) => days?,
        None => Thaw::default().days,
    };
    Some((WhenCold::Restore, Thaw { speed, days }))
}

/// How long what was restored can be read.
fn days(text: &str) -> Result<u32, String> {
    let text = text.trim();
    match units::count(text.strip_suffix('d').unwrap_or(text))? {
        n @ 1..=365 => Ok(n as u32),
        n => Err(format!("{n} is no number of days between 1 and 365")),
    }
}

pub(crate) const RULE_FIELDS: &[&str] = &[
    "archive",
    "backup",
    "cold",
    "convert",
    "delete",
    "evict",
    "export",
    "hold",
    "keep",
    "match",
    "mix",
    "move",
    "name",
    "notify",
    "schedule",
    "tag",
    "unsafe_all",
    "watermark",
    "when",
];
pub(crate) const COLD: &[(&str, WhenCold)] =
    &[("refuse", WhenCold::Refuse), ("restore", WhenCold::Restore), ("skip", WhenCold::Skip)];
