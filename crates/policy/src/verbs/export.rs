use domain::{Action, Companion, Conflict, Leaving, NameTemplate, Verify};

use crate::{
    check::{Check, Field},
    glob::Glob,
    model::{Ask, LIBRARY},
    own,
    problem::{clip, nearest},
    rules::Known,
    wish::{Smallest, Wanted, Wish, pixels},
    yaml::{Node, Value},
};

pub(crate) const FIELDS: [&str; 6] = ["as", "on_conflict", "rendition", "to", "verify", "with"];

/// Reads `export: partner`, or `{ to, rendition, as, with, on_conflict, verify }`.
pub(super) fn export(check: &mut Check<'_>, verb: &Field<'_>, known: &Known<'_>) -> Option<Ask> {
    let mut wish = Wish { name: Some(NameTemplate::default()), ..Wish::default() };
    let fields = match &verb.value.value {
        Value::Scalar(_) => {
            wish.to = routes(check, verb.value, known)?;
            Vec::new()
        }
        Value::Seq(_) => {
            let message = "one place or several in turn? `export: { to: [nas, partner] }` sends to the first that can be used; to \
                           send to each of them, write a rule for each";
            check.problem(verb.value.at, message);
            return None;
        }
        _ => {
            let fields = check.fields(verb.value, "`export`", &FIELDS, &[])?;
            if !fields.iter().any(|f| f.name == "to") {
                check.problem(verb.at, "`export` has no `to`: export: { to: partner, rendition: mp4-720p }");
            }
            fields
        }
    };
    // All that is wrong is told in one run.
    let mut right = true;
    let mut name_at = None;
    for field in &fields {
        right &= match field.name {
            "to" => routes(check, field.value, known).map(|to| wish.to = to).is_some(),
            "rendition" => rendition(check, field.value, known).map(|it| wish.rendition = it).is_some(),
            "as" => {
                name_at = Some(field.value.at);
                let name = check.value(field.value, "`as`", |text| {
                    let name = text.parse::<NameTemplate>()?;
                    let unknown = name.own_fields().find(|field| own::find(known.own, field).is_none());
                    unknown.map_or(Ok(()), |field| Err(own::unknown(known.own, field)))?;
                    Ok(name)
                });
                name.map(|name| wish.name = Some(name)).is_some()
            }
            "with" => {
                let words = check.values(field.value, "`with`");
                let choices = Companion::ALL.map(|c| (c.as_str(), c));
                let with =
                    words.iter().filter_map(|(at, word)| check.choice(at.at, word, "companion", &choices));
                wish.with = with.collect();
                wish.with.len() == words.len()
            }
            "on_conflict" => {
                let choices = Conflict::ALL.map(|c| (c.as_str(), c));
                word(check, field, &choices).map(|it| wish.on_conflict = it).is_some()
            }
            _ => {
                let choices = Verify::ALL.map(|v| (v.as_str(), v));
                word(check, field, &choices).map(|it| wish.verify = it).is_some()
            }
        };
    }
    if !right || wish.to.is_empty() {
        return None;
    }
    if let (Some(at), Some(name)) = (name_at, &wish.name) {
        names_that_meet(check, at, name, wish.on_conflict);
    }
    Some(match (wish.to.as_slice(), &wish.rendition) {
        // Complete as it stands: nothing has to be chosen for each recording.
        ([to], Wanted::Source) => Ask::Action(Action::Export(wish.spec(to, Leaving::Source))),
        _ => Ask::Export(wish),
    })
}

/// The stores that are tried in turn.
fn routes(check: &mut Check<'_>, node: &Node, known: &Known<'_>) -> Option<Vec<String>> {
    let mut to: Vec<String> = Vec::new();
    let mut right = true;
    let names = check.values(node, "`to`");
    for (node, name) in &names {
        let wrong = if *name == LIBRARY {
            Some(format!(
                "`{LIBRARY}` is the library's own store, where it is already; an export leaves the library"
            ))
        } else if !known.store_names.contains(name) {
            let choices: Vec<&str> =
                known.store_names.iter().copied().filter(|name| *name != LIBRARY).collect();
            Some(format!("unknown store `{}`{}", clip(name), nearest(name, &choices)))
        } else if to.iter().any(|other| other == name) {
            Some(format!("`{}` is named twice", clip(name)))
        } else {
            None
        };
        match wrong {
            Some(message) => {
                check.problem(node.at, message);
                right = false;
            }
            None => to.push((*name).to_owned()),
        }
    }
    (right && !names.is_empty()).then_some(to)
}

/// `source`, a preset's name, or `{ type: video/*, min_height: 480 }`.
fn rendition(check: &mut Check<'_>, node: &Node, known: &Known<'_>) -> Option<Wanted> {
    if let Value::Map(_) = &node.value {
        let fields = check.fields(node, "`rendition`", &["min_height", "type"], &[])?;
        let part = |name: &str| fields.iter().find(|f| f.name == name).map(|f| f.value);
        let height = part("min_height").map(|node| check.value(node, "`min_height`", pixels));
        let Some(types) = part("type") else {
            check
                .problem(node.at, "`rendition` has no `type`: rendition: { type: video/*, min_height: 480 }");
            return None;
        };
        let texts = check.values(types, "`type`");
        let mut globs = Vec::new();
        for (node, text) in &texts {
            match Glob::media_type(text) {
                Ok(glob) => globs.push(glob),
                Err(message) => check.problem(node.at, format!("`type`: {message}")),
            }
        }
        let height = match height {
            Some(height) => Some(height?),
            None => None,
        };
        let right = !globs.is_empty() && globs.len() == texts.len();
        return right.then(|| Wanted::Smallest(Smallest::new(globs, height)));
    }
    let wanted = check.value(node, "`rendition`", Wish::rendition)?;
    if let Wanted::Rendition(name) = &wanted
        && !known.preset_names.contains(name.as_str())
    {
        let choices: Vec<&str> = known.preset_names.iter().copied().chain(["source"]).collect();
        check.problem(node.at, format!("unknown preset `{}`{}", clip(name), nearest(name, &choices)));
        return None;
    }
    Some(wanted)
}

fn word<T: Copy>(check: &mut Check<'_>, field: &Field<'_>, choices: &[(&str, T)]) -> Option<T> {
    let what = format!("`{}`", field.name);
    let text = check.text(field.value, &what)?;
    check.choice(field.value.at, text, &what, choices)
}

/// What is right and goes wrong once two files are to have one name.
fn names_that_meet(check: &mut Check<'_>, at: crate::yaml::At, name: &NameTemplate, on_conflict: Conflict) {
    if !name.is_unique() {
        let then = match on_conflict {
            Conflict::Skip => "with `on_conflict: skip` only the first of them is sent",
            Conflict::Replace => "with `on_conflict: replace` the last of them is what is left",
            Conflict::Rename => "with `on_conflict: rename` the others get a number",
        };
        let message =
            format!("two recordings may get one name by this, and {then}; `{{id}}` tells them apart");
        check.warning(at, message);
    }
    // Doubled braces are text.
    if !name.as_str().replace("{{", "").contains("{ext}") {
        let message = "files get no ending by this (.mp4), and where a rendition has several files these get one name; `{ext}` is it";
        check.warning(at, message);
    }
}
