//! The schema for editors: no stricter than what is read, and awake to what is mistyped.

use regex_lite::Regex;
use serde_json::{Value, json};

use crate::support::*;

fn as_json(yaml: &str) -> Value {
    serde_saphyr::from_str(yaml).unwrap_or_else(|error| panic!("{error}\n{yaml}"))
}

fn accepts(yaml: &str) -> Result<(), String> {
    let schema = policy::schema();
    validate(&schema, &schema, &as_json(yaml)).map_err(|wrong| format!("{wrong}\n{yaml}"))
}

#[test]
fn the_shipped_policy_and_all_its_examples_are_right() {
    accepts(policy::DEFAULT).unwrap();
    accepts(&without_comments(policy::DEFAULT)).unwrap();
}

/// Each line is read, and so is accepted.
#[test]
fn what_is_read_is_accepted() {
    for rule in [
        "match: all, tag: 2026",
        "match: { height: 1080, copies: '=2' }, tag: [yes, 0x1f]",
        "match: { size: ' >= 1.5 GiB ', age: 1h 30m..2D }, keep: forever",
        "match: { accepted: { before: 2026-01-01 }, tags: { none: [a, b] } }, keep: { for: 7y }",
        "match: { prefix: [a/, b/], last_access: '<20d', kind: track }, hold: litigation",
        "match: { tier: [cold, GLACIER] }, archive: DEEP_ARCHIVE, cold: restore",
        "match: { tier: hot }, archive: { to: recordings }",
        "match: { size: '>=1MB' }, archive: { class: DEEP_ARCHIVE, by: lifecycle }",
        "match: { tier: cold }, convert: mp4-480p, cold: { restore: standard, days: 3 }",
        "match: all, move: { to: recordings, keep: 1d }, schedule: '0 2 * * * UTC'",
        "match: all, delete: { trash: 2h }, unsafe_all: true",
        "match: all, evict: recordings, watermark: { store: recordings, high: 90, low: 80.5%, emergency: 95 %, for: 10m, order: largest }",
        "match: all, notify: warning, when: recording.cold",
        "match: all, notify: { severity: info, text: told }, mix: { layout: audio-only, loudness: -16.5 LUFS, preset: audio-mp3 }",
    ] {
        let text = format!(
            "version: 1\nstores: {{ recordings: {{ capacity: 1TB }} }}\nrules: [{{ name: r, {rule} }}]\n"
        );
        if let Err(problems) = policy::parse(&text) {
            panic!("{problems}");
        }
        accepts(&text).unwrap();
    }
    accepts(
        "version: 1
stores:
  a: { url: 'sftp://u@h/in', secret: x, host_key: ['SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU'], connections: 4 }
  b: { url: 's3://acme', secret: x, endpoint: 'https://m', ca: /x.pem, region: eu-west-1, bandwidth: 20 MB/s, hours: '22:00-06:00 UTC' }
rules: []",
    )
    .unwrap();
    accepts(
        "version: 1
fields: { case: text, court: [north, 7], n: number, d: date }
rules:
  - { name: a, match: { fields: { case: [A, 7], court: { not: north }, n: '>=-2.5', d: { from: 2026-01-01 } } }, tag: x }
  - { name: b, match: { fields: { case: { set: false }, n: 3 } }, tag: x }",
    )
    .unwrap();
    accepts("version: '1'\nprotect: { copies: { min: 2 }, deletion: { max_percent: 0.5, floor: 7, max_bytes: 1TB }, verify: 1%, drills: 1%, trash: 1d }\nrules: []").unwrap();
}

#[test]
fn what_is_mistyped_is_refused() {
    let default = policy::DEFAULT;
    for (right, wrong) in [
        ("version: 1", "version: 2"),
        ("rules:", "ruls:"),
        ("convert: [mp4", "convrt: [mp4"),
        ("match: { kind: recording, type: video/* }", "match: { kind: recordings, type: video/* }"),
        ("match: { kind: session }", "match: everything"),
        ("match: { kind: session }", "match: {}"),
        ("loudness: -16LUFS", "loudness: -16"),
        ("layout: grid", "layout: gird"),
        ("  - name: web copies\n", "  - nam: web copies\n"),
    ] {
        assert!(default.contains(right), "{right}");
        accepts(&default.replacen(right, wrong, 1)).expect_err(wrong);
    }
    for rule in [
        "match: all",
        "tag: x",
        "match: { size: 5 }, tag: x",
        "match: { size: '>=5 megabytes' }, tag: x",
        "match: { age: '>=30 days' }, tag: x",
        "match: { age: 30d }, tag: x",
        "match: { height: tall }, tag: x",
        "match: { accepted: {} }, tag: x",
        "match: { tags: { some: x } }, tag: x",
        "match: { tier: frozen }, tag: x",
        "match: all, tag: []",
        "match: all, keep: 7",
        "match: all, hold: {}",
        "match: all, archive: { class: deep_archive }",
        "match: all, archive: { class: GLACIER, to: x }",
        "match: all, move: { keep: 1d }",
        "match: all, delete: { trash: 2 weeks }",
        "match: all, delete: { after: 2w }",
        "match: all, evict: x",
        "match: all, tag: x, unsafe_all: true",
        "match: all, delete: {}, watermark: { store: x, high: 90% }",
        "match: all, delete: {}, watermark: { store: x, high: 90%, low: 1TB }",
        "match: all, delete: {}, watermark: { store: x, high: 90%, low: 80%, order: [newest] }",
        "match: all, notify: loud",
        "match: all, convert: x, cold: thaw",
        "match: all, script: x.py",
    ] {
        accepts(&format!("version: 1\nrules: [{{ name: r, {rule} }}]\n")).expect_err(rule);
    }
    for part in [
        "stores: { a: { capacity: 1TB } }",
        "stores: { recordings: { url: /mnt/x } }",
        "stores: { recordings: { hours: '22:00-06:00 UTC' } }",
        "stores: { a: { url: 'sftp://h', host_key: 'MD5:16:27' } }",
        "stores: { a: { url: 'sftp://h', host_key: [] } }",
        "stores: { a: { url: /mnt/a, connections: 65 } }",
        "stores: { a: { url: /mnt/a, bandwidth: 20Mbit } }",
        "fields: { Case: text }",
        "fields: { case: string }",
        "protect: { trash: 14 }",
        "protect: { copies: { max: 2 } }",
        "protect: { deletion: { max_percent: 101 } }",
        "presets: { a: { kind: movie } }",
        "presets: { a: { kind: waveform, width: 100, height: 100, colour: red } }",
        "presets: { a: { kind: audio, container: mp4, audio: { codec: aac, kbps: 96 } } }",
        "presets: { a: { kind: audio, container: mp3, audio: { codec: mp3, kbps: 9600 } } }",
    ] {
        accepts(&format!("version: 1\nrules: []\n{part}\n")).expect_err(part);
    }
}

/// JSON Schema as far as ours uses it; a word that it does not know makes it panic, so that none is passed over.
fn validate(root: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    let at = |what: &str, wrong: String| format!("{what}: {wrong}");
    for (word, wanted) in schema.as_object().unwrap() {
        let holds = match word.as_str() {
            "$schema" | "title" | "description" | "$defs" => true,
            "$ref" => {
                let pointer = wanted.as_str().unwrap().strip_prefix('#').unwrap();
                validate(root, root.pointer(pointer).unwrap_or_else(|| panic!("{pointer}")), value)?;
                true
            }
            "type" => match wanted {
                Value::Array(some) => some.iter().any(|of| is(of, value)),
                one => is(one, value),
            },
            "enum" => wanted.as_array().unwrap().contains(value),
            "const" => wanted == value,
            "pattern" => {
                value.as_str().is_none_or(|text| Regex::new(wanted.as_str().unwrap()).unwrap().is_match(text))
            }
            "minimum" => value.as_f64().is_none_or(|n| n >= wanted.as_f64().unwrap()),
            "maximum" => value.as_f64().is_none_or(|n| n <= wanted.as_f64().unwrap()),
            "minItems" => value.as_array().is_none_or(|items| items.len() as u64 >= wanted.as_u64().unwrap()),
            "minProperties" => value.as_object().is_none_or(|of| of.len() as u64 >= wanted.as_u64().unwrap()),
            "propertyNames" => {
                for name in value.as_object().into_iter().flatten().map(|(name, _)| name) {
                    validate(root, wanted, &json!(name)).map_err(|wrong| at(name, wrong))?;
                }
                true
            }
            "items" => {
                for item in value.as_array().into_iter().flatten() {
                    validate(root, wanted, item)?;
                }
                true
            }
            "anyOf" => wanted.as_array().unwrap().iter().any(|way| validate(root, way, value).is_ok()),
            "required" => value.as_object().is_none_or(|of| {
                wanted.as_array().unwrap().iter().all(|n| of.contains_key(n.as_str().unwrap()))
            }),
            "dependentRequired" => value.as_object().is_none_or(|of| {
                let present = wanted.as_object().unwrap().iter().filter(|(name, _)| of.contains_key(*name));
                present
                    .flat_map(|(_, needs)| needs.as_array().unwrap())
                    .all(|n| of.contains_key(n.as_str().unwrap()))
            }),
            "properties" => {
                for (name, of) in wanted.as_object().unwrap() {
                    if let Some(field) = value.get(name) {
                        validate(root, of, field).map_err(|wrong| at(name, wrong))?;
                    }
                }
                true
            }
            "additionalProperties" => {
                let known = schema.get("properties").cloned().unwrap_or_else(|| json!({}));
                for (name, field) in
                    value.as_object().into_iter().flatten().filter(|(n, _)| known.get(n).is_none())
                {
                    match wanted {
                        Value::Bool(false) => return Err(format!("unknown `{name}`")),
                        of => validate(root, of, field).map_err(|wrong| at(name, wrong))?,
                    }
                }
                true
            }
            other => panic!("the schema has the word `{other}`, which this test does not know"),
        };
        if !holds {
            return Err(format!("{value} is not {word} {wanted}"));
        }
    }
    Ok(())
}

fn is(of: &Value, value: &Value) -> bool {
    match of.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        other => panic!("type {other}"),
    }
}
