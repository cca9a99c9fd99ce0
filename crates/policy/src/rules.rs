use std::collections::{BTreeMap, BTreeSet};

use domain::{Action, Layout, Output, Preset};

use crate::{
    check::{Check, Field},
    condition,
    model::{Ask, INTAKE, Rule},
    problem::{clip, nearest},
    units,
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
    let mut taken: BTreeMap<&str, usize> = BTreeMap::new();
    for item in items {
        let Some((name, rule)) = read_rule(check, item, known) else { continue };
        if let Some((name, at)) = name {
            match taken.get(name) {
                Some(line) => {
                    let message = format!("a rule `{}` is already on line {line}", clip(name));
                    check.problem(at.at, message);
                }
                None => {
                    taken.insert(name, at.at.line);
                }
            }
        }
        rules.extend(rule);
    }
    rules.sort_by(|a, b| a.name.cmp(&b.name));
    warn_of_rivals(check, node, &rules, &taken);
    rules
}

/// What rules may name.
pub(crate) struct Known<'a> {
    pub(crate) presets: &'a BTreeMap<String, Preset>,
    pub(crate) preset_names: BTreeSet<&'a str>,
    pub(crate) store_names: BTreeSet<&'a str>,
}

const LATER: &[&str] = &[
    "archive",
    "delete",
    "evict",
    "export",
    "hold",
    "keep",
    "move",
    "notify",
    "schedule",
    "script",
    "unsafe_all",
    "watermark",
    "when",
];

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
        Some(field) => condition::read(check, field.value),
        None => {
            check.problem(node.at, "the rule has no `match`; `match: all` is how one says everything");
            None
        }
    };
    let verbs: Vec<&Field<'_>> = fields.iter().filter(|f| VERBS.contains(&f.name)).collect();
    // A rule whose only verb belongs to a later release has been told so already.
    let later = |node: &Node| yaml::names(Some(node)).iter().any(|n| LATER.contains(n));
    if verbs.is_empty() && !later(node) {
        check.problem(node.at, format!("the rule asks for nothing; verbs: {}", VERBS.join(", ")));
    }
    let mut asks: Vec<Ask> = verbs.into_iter().flat_map(|verb| read_verb(check, verb, known)).collect();
    asks.sort();
    asks.dedup();
    let rule =
        name.zip(conditions).map(|((name, _), conditions)| Rule { name: name.to_owned(), conditions, asks });
    Some((name, rule))
}

const RULE_FIELDS: &[&str] = &["backup", "convert", "match", "mix", "name", "tag"];
const VERBS: &[&str] = &["convert", "mix", "backup", "tag"];

fn read_verb(check: &mut Check<'_>, verb: &Field<'_>, known: &Known<'_>) -> Vec<Ask> {
    match verb.name {
        "convert" => {
            let names = check.values(verb.value, "`convert`");
            let presets = names.into_iter().filter_map(|(node, name)| preset(check, node, name, known));
            presets.map(|preset| Ask::Action(Action::Convert { preset })).collect()
        }
        "backup" => {
            let names = check.values(verb.value, "`backup`");
            let mut asks = Vec::new();
            for (node, name) in names {
                if known.store_names.contains(name) {
                    asks.push(Ask::Action(Action::Backup { store: name.to_owned() }));
                } else {
                    let choices: Vec<&str> = known.store_names.iter().copied().collect();
                    let message = format!("unknown store `{}`{}", clip(name), nearest(name, &choices));
                    check.problem(node.at, message);
                }
            }
            asks
        }
        "tag" => {
            let mut add = BTreeSet::new();
            for (node, text) in check.values(verb.value, "`tag`") {
                match condition::tag(text) {
                    Ok(tag) => {
                        add.insert(tag);
                    }
                    Err(message) => check.problem(node.at, message),
                }
            }
            if add.is_empty() { Vec::new() } else { vec![Ask::Action(Action::Tag { add })] }
        }
        _ => mix(check, verb, known).into_iter().collect(),
    }
}

fn mix(check: &mut Check<'_>, verb: &Field<'_>, known: &Known<'_>) -> Option<Ask> {
    let fields = check.fields(verb.value, "`mix`", &["layout", "loudness", "preset"], &[])?;
    let part = |name: &str| fields.iter().find(|f| f.name == name).map(|f| f.value);
    // Each part is read before any is missed, so that one run tells all that is wrong.
    let layout = part("layout").map_or(Some(Layout::Grid), |node| {
        let text = check.text(node, "`layout`")?;
        check.choice(node.at, text, "layout", &[("grid", Layout::Grid), ("audio-only", Layout::AudioOnly)])
    });
    let loudness = part("loudness").map(|node| check.value(node, "`loudness`", units::loudness));
    let named = part("preset").map(|node| {
        let name = check.text(node, "`preset`")?;
        preset(check, node, name, known)
    });
    let layout = layout?;
    let loudness = match loudness {
        Some(loudness) => Some(loudness?),
        None => None,
    };
    let (default, wanted) = match layout {
        Layout::Grid => ("mp4-720p", "grid` needs a video preset with audio, such as mp4-720p"),
        Layout::AudioOnly => ("audio-m4a", "audio-only` needs an audio preset, such as audio-m4a"),
    };
    let preset = match named {
        Some(preset) => preset?,
        None => known.presets[default].clone(),
    };
    let fits = match layout {
        Layout::Grid => matches!(preset.output, Output::Video { audio: Some(_), .. }),
        Layout::AudioOnly => matches!(preset.output, Output::Audio { .. }),
    };
    if !fits {
        let at = part("preset").map_or(verb.at, |n| n.at);
        check.problem(at, format!("layout `{wanted}, and `{}` is none", preset.name));
        return None;
    }
    Some(Ask::Mix { preset, layout, loudness })
}

fn preset(check: &mut Check<'_>, node: &Node, name: &str, known: &Known<'_>) -> Option<Preset> {
    if !known.preset_names.contains(name) {
        let choices: Vec<&str> = known.preset_names.iter().copied().collect();
        let message = format!("unknown preset `{}`{}", clip(name), nearest(name, &choices));
        check.problem(node.at, message);
    }
    known.presets.get(name).cloned()
}

/// Two mixes of one session into one rendition cannot both be had. Whether two rules ever meet on a session
/// cannot be told from here, so this is a warning and the alphabetically first rule wins where they do meet.
fn warn_of_rivals(check: &mut Check<'_>, node: &Node, rules: &[Rule], lines: &BTreeMap<&str, usize>) {
    let mixes: Vec<(&Rule, &Ask)> = rules
        .iter()
        .flat_map(|rule| rule.asks.iter().map(move |ask| (rule, ask)))
        .filter(|(_, ask)| matches!(ask, Ask::Mix { .. }))
        .collect();
    for (i, (rule, ask)) in mixes.iter().enumerate() {
        for (other, rival) in &mixes[i + 1..] {
            if let (Ask::Mix { preset, .. }, Ask::Mix { preset: other_preset, .. }) = (ask, rival)
                && preset == other_preset
                && ask != rival
            {
                let line = lines.get(other.name.as_str()).copied().unwrap_or(node.at.line);
                let at = yaml::At { line, column: 1 };
                let message = format!(
                    "rules `{}` and `{}` mix into `{}` in different ways; where both match a session, `{}` wins as \
                     the first by name. Give one of them another preset, or matches that exclude one another",
                    rule.name, other.name, preset.name, rule.name
                );
                check.warning(at, message);
            }
        }
    }
}
