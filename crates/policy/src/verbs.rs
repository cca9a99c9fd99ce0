use std::collections::BTreeSet;

use domain::{Action, Layout, Preset, Severity, Way};

use crate::{
    check::{Check, Field},
    condition,
    making::{fits, usual_preset},
    model::Ask,
    problem::{clip, nearest},
    protect,
    rules::Known,
    units,
    yaml::{Node, Value},
};

pub(crate) mod export;

pub(crate) const NAMES: &[&str] = &[
    "convert", "mix", "backup", "archive", "move", "delete", "evict", "export", "tag", "notify", "hold",
    "keep",
];

/// Reads one verb of a rule.
pub(crate) fn read(check: &mut Check<'_>, verb: &Field<'_>, rule: &str, known: &Known<'_>) -> Vec<Ask> {
    match verb.name {
        "convert" => {
            let names = check.values(verb.value, "`convert`");
            let presets = names.into_iter().filter_map(|(node, name)| preset(check, node, name, known));
            presets.map(|preset| Ask::Action(Action::Convert { preset })).collect()
        }
        "backup" => {
            let names = check.values(verb.value, "`backup`");
            let known = names.into_iter().filter(|(node, name)| known.holds(check, node, name));
            let backup = |(_, name): (_, &str)| Ask::Action(Action::Backup { store: name.to_owned() });
            known.map(backup).collect()
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
        "mix" => mix(check, verb, known).into_iter().collect(),
        "archive" => archive(check, verb, known).into_iter().collect(),
        "move" => move_to(check, verb, known).into_iter().collect(),
        "delete" => delete(check, verb, known).into_iter().collect(),
        "evict" => evict(check, verb, known).into_iter().collect(),
        "export" => export::export(check, verb, known).into_iter().collect(),
        "hold" => hold(check, verb).into_iter().collect(),
        "keep" => keep(check, verb).into_iter().collect(),
        _ => notify(check, verb, rule).into_iter().collect(),
    }
}

/// A storage class, or a store where the cold ones live.
fn archive(check: &mut Check<'_>, verb: &Field<'_>, known: &Known<'_>) -> Option<Ask> {
    let to_class =
        |class: &str, by: Way| Ask::Action(Action::Archive { class: class.to_owned(), by, again: None });
    let to_store = |store: &str| Ask::Move { to: store.to_owned(), keep_ms: 0, archive: true };
    if let Value::Scalar(word) = &verb.value.value {
        if CLASSES.contains(&word.as_str()) {
            return Some(to_class(word, Way::Now));
        }
        if known.store_names.contains(word.as_str()) {
            return known.holds(check, verb.value, word).then(|| to_store(word));
        }
        let names: Vec<&str> = known.store_names.iter().copied().chain(CLASSES.iter().copied()).collect();
        let message =
            format!("`{}` is neither a store nor a storage class{}", clip(word), nearest(word, &names));
        check.problem(verb.value.at, message);
        return None;
    }
    let fields = check.fields(verb.value, "`archive`", ARCHIVE_FIELDS, &[])?;
    let part = |name: &str| fields.iter().find(|f| f.name == name);
    match (part("class"), part("to"), part("by")) {
        (Some(field), None, by) => {
            let by = by.map_or(Some(Way::Now), |by| {
                let word = check.text(by.value, "`by`")?;
                check.choice(by.value.at, word, "way", &Way::ALL.map(|way| (way.as_str(), way)))
            });
            let class = check.text(field.value, "`class`")?;
            match storage_class(class) {
                Ok(class) => Some(to_class(&class, by?)),
                Err(why) => {
                    check.problem(field.value.at, why);
                    None
                }
            }
        }
        (None, Some(_), Some(by)) => {
            let message = "`by` says how an object gets into another class of its bucket; into another store it is always \
                           copied: leave it out";
            check.problem(by.at, message);
            None
        }
        (None, Some(field), None) => {
            let store = check.text(field.value, "`to`")?;
            known.holds(check, field.value, store).then(|| to_store(store))
        }
        _ => {
            let message =
                "`archive` names one place: `{ class: DEEP_ARCHIVE }` in a store of S3, or `{ to: STORE }`";
            check.problem(verb.at, message);
            None
        }
    }
}

pub(crate) const ARCHIVE_FIELDS: &[&str] = &["by", "class", "to"];

/// What S3 calls its classes that cost less to keep; `STANDARD` is what archiving leaves.
/// A class that something can be archived in, as S3 names it.
///
/// Errors: a clause that names the nearest one.
pub fn storage_class(word: &str) -> Result<String, String> {
    match CLASSES.contains(&word) {
        true => Ok(word.to_owned()),
        false => Err(format!("unknown storage class `{}`{}", clip(word), nearest(word, CLASSES))),
    }
}

pub(crate) const CLASSES: &[&str] =
    &["DEEP_ARCHIVE", "GLACIER", "GLACIER_IR", "INTELLIGENT_TIERING", "ONEZONE_IA", "STANDARD_IA"];

fn move_to(check: &mut Check<'_>, verb: &Field<'_>, known: &Known<'_>) -> Option<Ask> {
    let (to, keep) = match &verb.value.value {
        Value::Scalar(_) => (verb.value, None),
        _ => {
            let fields = check.fields(verb.value, "`move`", &["keep", "to"], &[])?;
            let part = |name: &str| fields.iter().find(|f| f.name == name).map(|f| f.value);
            let Some(to) = part("to") else {
                check.problem(verb.at, "`move` has no `to`: move: { to: STORE, keep: 7d }");
                return None;
            };
            (to, part("keep"))
        }
    };
    let store = check.text(to, "`to`")?;
    let keep = match keep {
        Some(keep) => check.value(keep, "`keep`", units::duration)?,
        None => MOVED_KEPT,
    };
    known.holds(check, to, store).then(|| Ask::Move { to: store.to_owned(), keep_ms: keep, archive: false })
}

/// A week in which a move can be undone without carrying anything.
const MOVED_KEPT: u64 = 7 * 24 * 3_600_000;

fn delete(check: &mut Check<'_>, verb: &Field<'_>, known: &Known<'_>) -> Option<Ask> {
    let mut trash = known.protect.trash;
    if let Value::Null = verb.value.value {
        check.problem(verb.at, "`delete` is empty; `delete: {}` is how one says it");
        return None;
    }
    for field in check.fields(verb.value, "`delete`", &["trash"], &[])? {
        trash = check.value(field.value, "`trash`", protect::trash)?;
    }
    Some(Ask::Delete { trash })
}

fn evict(check: &mut Check<'_>, verb: &Field<'_>, known: &Known<'_>) -> Option<Ask> {
    let node = match &verb.value.value {
        Value::Scalar(_) => verb.value,
        _ => {
            let fields = check.fields(verb.value, "`evict`", &["store"], &[])?;
            let Some(field) = fields.first() else {
                check.problem(verb.at, "`evict` has no `store`: evict: { store: replica }");
                return None;
            };
            field.value
        }
    };
    let store = check.text(node, "`store`")?;
    known.holds(check, node, store).then(|| Ask::Evict { store: store.to_owned() })
}

fn hold(check: &mut Check<'_>, verb: &Field<'_>) -> Option<Ask> {
    let node = match &verb.value.value {
        Value::Scalar(_) => verb.value,
        _ => {
            let fields = check.fields(verb.value, "`hold`", &["reason"], &[])?;
            let Some(field) = fields.first() else {
                check.problem(verb.at, "`hold` has no `reason`; years later nobody knows it any more");
                return None;
            };
            field.value
        }
    };
    Some(Ask::Hold { reason: line(check, node, "`reason`")? })
}

fn keep(check: &mut Check<'_>, verb: &Field<'_>) -> Option<Ask> {
    let node = match &verb.value.value {
        Value::Scalar(_) => verb.value,
        _ => {
            let fields = check.fields(verb.value, "`keep`", &["for"], &[])?;
            let Some(field) = fields.first() else {
                check.problem(verb.at, "`keep` has no `for`: keep: { for: 7y }, or keep: forever");
                return None;
            };
            field.value
        }
    };
    let for_ms = check.value(node, "`keep`", |text| match text {
        "forever" => Ok(None),
        text => units::duration(text).map(Some),
    })?;
    Some(Ask::Keep { for_ms })
}

fn notify(check: &mut Check<'_>, verb: &Field<'_>, rule: &str) -> Option<Ask> {
    let (mut severity, mut text) = (Severity::Info, None);
    let choices: Vec<(&str, Severity)> =
        [Severity::Info, Severity::Warning, Severity::Critical].map(|s| (s.as_str(), s)).to_vec();
    if let Value::Scalar(word) = &verb.value.value {
        severity = check.choice(verb.value.at, word, "severity", &choices)?;
    } else {
        for field in check.fields(verb.value, "`notify`", &["severity", "text"], &[])? {
            if field.name == "severity" {
                let word = check.text(field.value, "`severity`")?;
                severity = check.choice(field.value.at, word, "severity", &choices)?;
            } else {
                text = Some(line(check, field.value, "`text`")?);
            }
        }
    }
    let subject = text.unwrap_or_else(|| format!("Rule `{rule}` applies"));
    Some(Ask::Action(Action::Notify { rule: rule.to_owned(), severity, subject }))
}

/// One line for people.
fn line(check: &mut Check<'_>, node: &Node, what: &str) -> Option<String> {
    check.value(node, what, |text| {
        if text.chars().count() <= 200 && !text.contains(char::is_control) {
            Ok(text.trim().to_owned())
        } else {
            Err("one line of at most 200 characters, please".into())
        }
    })
}

fn mix(check: &mut Check<'_>, verb: &Field<'_>, known: &Known<'_>) -> Option<Ask> {
    let fields = check.fields(verb.value, "`mix`", &["layout", "loudness", "preset"], &[])?;
    let part = |name: &str| fields.iter().find(|f| f.name == name).map(|f| f.value);
    // Each part is read before any is missed, so that one run tells all that is wrong.
    let layout = part("layout").map_or(Some(Layout::Grid), |node| {
        let text = check.text(node, "`layout`")?;
        check.choice(node.at, text, "layout", &Layout::ALL.map(|layout| (layout.as_str(), layout)))
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
    let preset = match named {
        Some(preset) => preset?,
        None => known.presets[usual_preset(layout)].clone(),
    };
    if let Err(message) = fits(layout, &preset) {
        check.problem(part("preset").map_or(verb.at, |n| n.at), message);
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
