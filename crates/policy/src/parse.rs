use std::collections::BTreeMap;

use domain::{Hasher, Preset};
use serde::Serialize;

use crate::{
    OwnField, Policy, Problems, Protect, Store,
    check::Check,
    model::{LIBRARY, Rule},
    own, presets,
    problem::clip,
    protect, rules, stores,
    yaml::{self, Node, Value},
};

/// Reads a policy. The text is UTF-8: a caller that has bytes checks that first.
pub fn parse(text: &str) -> Result<Policy, Problems> {
    // Editors on Windows write a byte order mark; it would be part of the first key.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let root = yaml::read(text).map_err(|problem| Problems::from(vec![problem]))?;
    let mut check = Check::new(text);
    let policy = policy(&mut check, &root);
    let warnings = check.finish()?;
    let Parts { stores, presets, own, protect, rules } = policy;
    let hash = hash(&stores, &presets, &own, &protect, &rules);
    Ok(Policy { hash, warnings, stores, presets, own, protect, rules })
}

type Stores = BTreeMap<String, Store>;
type Presets = BTreeMap<String, Preset>;

#[derive(Default)]
struct Parts {
    stores: Stores,
    presets: Presets,
    own: Vec<OwnField>,
    protect: Protect,
    rules: Vec<Rule>,
}

fn policy(check: &mut Check<'_>, root: &Node) -> Parts {
    let mut presets = presets::shipped().clone();
    let mut stores = Stores::new();
    let mut protect = Protect::default();
    if matches!(root.value, Value::Null) {
        check.problem(
            yaml::At { line: 1, column: 1 },
            "the file is empty; a policy begins with `version: 1`, then `rules:`",
        );
        return Parts { stores, presets, protect, ..Parts::default() };
    }
    let known = ["fields", "presets", "protect", "rules", "stores", "version"];
    let fields = check.fields(root, "the policy", &known, &[]).unwrap_or_default();
    let part = |name: &str| fields.iter().find(|f| f.name == name).map(|f| f.value);
    match (part("version"), matches!(root.value, Value::Map(_))) {
        (Some(version), _) => {
            check.value(version, "`version`", |text| match text {
                "1" => Ok(()),
                other => Err(format!("`{}` is not known to this release; it reads version 1", clip(other))),
            });
        }
        (None, true) => check.problem(root.at, "`version: 1` is missing"),
        (None, false) => {}
    }
    if let Some(node) = part("stores") {
        stores = stores::read(check, node);
    }
    if let Some(node) = part("presets") {
        presets.extend(presets::read(check, node));
    }
    let own = part("fields").map(|node| own::read(check, node)).unwrap_or_default();
    if let Some(field) = fields.iter().find(|f| f.name == "protect") {
        protect = protect::read(check, field.value);
        protect::warn_of_the_unreachable(check, field.at, &protect, stores.values());
    }
    // What a wrong entry of `stores` or `presets` would have been called is known all the same: one mistake, one
    // problem.
    let named = |name: &str| yaml::names(part(name));
    let mut all_presets = named("presets");
    all_presets.extend(presets.keys().map(String::as_str));
    let mut all_stores = named("stores");
    all_stores.insert(LIBRARY);
    let known = rules::Known {
        presets: &presets,
        preset_names: all_presets,
        stores: &stores,
        store_names: all_stores,
        protect: &protect,
        own: &own,
    };
    let rules = match part("rules") {
        Some(node) => rules::read(check, node, &known),
        None => {
            if matches!(root.value, Value::Map(_)) {
                check.problem(root.at, "`rules` is missing; `rules: []` says that nothing is to be done");
            }
            Vec::new()
        }
    };
    Parts { stores, presets, own, protect, rules }
}

/// Of the meaning: what was read, in canonical order, and not how it was written.
fn hash(stores: &Stores, presets: &Presets, own: &[OwnField], protect: &Protect, rules: &[Rule]) -> String {
    #[derive(Serialize)]
    struct Meaning<'a> {
        version: u32,
        stores: &'a Stores,
        presets: &'a Presets,
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        fields: &'a [OwnField],
        protect: &'a Protect,
        rules: &'a [Rule],
    }
    let meaning = serde_json::to_vec(&Meaning { version: 1, stores, presets, fields: own, protect, rules });
    let mut hasher = Hasher::new();
    hasher.update(&meaning.expect("a policy is plain data"));
    hasher.finish().sha256.to_string()
}
