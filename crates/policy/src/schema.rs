use domain::{Companion, Conflict, NameTemplate, Speed, Verify, Way};
use serde_json::{Map, Value, json};

use crate::{
    condition,
    model::LIBRARY,
    presets, rules, stores,
    verbs::{self, CLASSES},
    watermark,
};

/// The language as a JSON Schema (draft 2020-12), so that an editor completes and underlines. It accepts everything that
/// [`parse`](crate::parse) does and refuses what can be seen word by word; names of stores and presets, and what rules say
/// against one another, only `parse` can tell.
pub fn schema() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "videorec policy",
        "description": "What should be true of every recording.",
        "type": "object",
        "additionalProperties": false,
        "required": ["version", "rules"],
        "properties": {
            "version": { "description": "1", "enum": [1, "1"] },
            "stores": stores(),
            "fields": own_fields(),
            "protect": protect(),
            "presets": own_presets(),
            "rules": { "type": "array", "items": { "$ref": "#/$defs/rule" } },
        },
        "$defs": {
            "rule": rule(),
            "match": matching(),
            "text": { "type": ["string", "number", "boolean"] },
            "texts": {
                "anyOf": [
                    { "$ref": "#/$defs/text" },
                    { "type": "array", "minItems": 1, "items": { "$ref": "#/$defs/text" } },
                ],
            },
            "size": pattern("A size: 1MB, 1MiB, 40TB", &format!("^ *{SIZE} *$")),
            "duration": pattern("A duration: 30d, 12h, 1h 30m; a year is 365 days", &format!("^ *{DURATIONS} *$")),
            "percent": {
                "description": "A percentage: 5%, 0.3%",
                "anyOf": [
                    { "type": "string", "pattern": "^ *[0-9]{1,3}([.][0-9])? *%* *$" },
                    { "type": "number", "minimum": 0, "maximum": 100 },
                ],
            },
            "count": {
                "description": "A whole number",
                "anyOf": [{ "type": "integer", "minimum": 0 }, { "type": "string", "pattern": "^[+]?[0-9]+$" }],
            },
            "sizes": range("Sizes: \">=1MB\", \"<40TB\", 1MB..5GB", SIZE),
            "durations": range("Durations: \">=30d\", \"<1h 30m\", 10d..20d", DURATIONS),
            "counts": {
                "description": "Numbers: 1080, \">=720\", 2..4",
                "anyOf": [
                    { "type": "integer", "minimum": 0 },
                    { "type": "string", "pattern": format!("^ *({}|=*{COUNT}) *$", range_of(COUNT)) },
                ],
            },
            "between": {
                "description": "From an instant on, and before another: 2026-01-01 or 2026-01-01T12:00:00Z",
                "type": "object",
                "additionalProperties": false,
                "minProperties": 1,
                "properties": { "from": { "$ref": "#/$defs/text" }, "before": { "$ref": "#/$defs/text" } },
            },
        },
    })
}

const NUMBER: &str = "[0-9]+([.][0-9]{1,3})?";
const SIZE: &str = "[0-9]+([.][0-9]{1,3})? *([kKmMgGtTpP][iI]?)?[bB]";
const DURATIONS: &str = "([0-9]+([.][0-9]{1,3})? *[smhdwySMHDWY] *)+";
const COUNT: &str = "[+]?[0-9]+";

fn pattern(description: &str, pattern: &str) -> Value {
    debug_assert!(pattern.contains(NUMBER) || pattern.contains(COUNT));
    json!({ "description": description, "type": "string", "pattern": pattern })
}

fn range_of(unit: &str) -> String {
    format!("((>=|<=|>|<) *{unit}|{unit} *[.][.] *=*{unit})")
}

fn range(description: &str, unit: &str) -> Value {
    pattern(description, &format!("^ *{} *$", range_of(unit)))
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/$defs/{name}") })
}

/// A mapping of these fields and no others.
fn fields<'f>(fields: impl IntoIterator<Item = (&'f str, Value)>) -> Value {
    let properties: Map<String, Value> = fields.into_iter().map(|(name, of)| (name.to_owned(), of)).collect();
    json!({ "type": "object", "additionalProperties": false, "properties": properties })
}

/// One of several ways to write a value.
fn any(ways: &[Value]) -> Value {
    json!({ "anyOf": ways })
}

fn with(mut value: Value, name: &str, more: Value) -> Value {
    value[name] = more;
    value
}

fn one_or_more(words: &[&str]) -> Value {
    any(&[json!({ "enum": words }), json!({ "type": "array", "minItems": 1, "items": { "enum": words } })])
}

fn stores() -> Value {
    let field = |name: &str| match name {
        "url" => json!({
            "description": "An absolute folder, a file: URL, or s3://bucket/prefix; for exports also sftp:, rsync:, ftp:, ftpes:, \
                            ftps:, dav:, davs:, http: and https:, as in sftp://user@host:port/in",
            "type": "string",
        }),
        "capacity" => reference("size"),
        "region" => json!({ "description": "Stores of one region are lost together", "type": "string" }),
        "copies" => {
            json!({ "description": "A bucket that a secret opens is yours: it may hold copies", "type": "boolean" })
        }
        "secret" => {
            json!({ "description": "The name under which the machine keeps what opens it", "type": "string" })
        }
        "host_key" => {
            let key = json!({ "description": "As ssh-keygen -lf prints it", "type": "string", "pattern": HOST_KEY });
            any(&[key.clone(), json!({ "type": "array", "minItems": 1, "items": key })])
        }
        "ca" => {
            json!({ "description": "A file with the certificates that its own is signed by", "type": "string" })
        }
        "connections" => json!({ "type": ["integer", "string"], "minimum": 1, "maximum": 64 }),
        "bandwidth" => {
            pattern("Bytes a second, of all transfers together: 20MB", &format!("^ *{SIZE} *(/s)? *$"))
        }
        "hours" => json!({ "description": "22:00-06:00 Europe/Madrid", "type": "string" }),
        "private" => {
            json!({ "description": "Its name may lead to an address of a private network", "type": "boolean" })
        }
        "rename" => {
            json!({ "description": "`refused`: the server lets no file be renamed", "enum": ["refused", "allowed"] })
        }
        "endpoint" => {
            json!({ "description": "A service that speaks S3 elsewhere: https://minio.local:9000", "type": "string" })
        }
        other => {
            unreachable!("`{other}` is a field of stores that the schema does not know; a test asks for all")
        }
    };
    let own = ["capacity", "region"].map(|name| (name, field(name)));
    let store = with(fields(stores::FIELDS.map(|name| (name, field(name)))), "required", json!(["url"]));
    json!({
        "description": format!("Places for sources, copies and exports; `{LIBRARY}` is the library's own"),
        "type": "object",
        "properties": { LIBRARY: fields(own) },
        "additionalProperties": store,
    })
}

const HOST_KEY: &str = "^ *SHA256:[A-Za-z0-9+/]{43}=? *$";

const FIELD: &str = "^[a-z][a-z0-9_]{0,39}$";

fn own_fields() -> Value {
    let kinds = [
        json!({ "enum": ["text", "number", "date"] }),
        json!({
            "description": "The words that it may be",
            "type": "array",
            "minItems": 1,
            "items": { "$ref": "#/$defs/text" },
        }),
    ];
    json!({
        "description": "Fields of your own: what people say of recordings",
        "type": "object",
        "propertyNames": { "pattern": FIELD },
        "additionalProperties": any(&kinds),
    })
}

fn protect() -> Value {
    let deletion = fields([
        ("max_percent", reference("percent")),
        ("floor", reference("count")),
        ("max_bytes", reference("size")),
    ]);
    let protect = fields([
        ("copies", fields([("min", reference("count")), ("regions", reference("count"))])),
        ("trash", reference("duration")),
        ("deletion", deletion),
        ("verify", reference("percent")),
        ("drills", reference("percent")),
    ]);
    with(protect, "description", json!("What no rule can break"))
}

fn rule() -> Value {
    let text = || reference("text");
    let by_hand = |name: &str| match name {
        "name" => {
            json!({ "description": "Explanations and logs name it", "type": ["string", "number", "boolean"] })
        }
        "match" => reference("match"),
        "when" => {
            json!({ "description": "A CEL expression over `recording` and `now`", "type": ["string", "boolean"] })
        }
        "schedule" => {
            json!({ "description": "Five fields of cron and a time zone: 0 2 * * * Europe/Madrid", "type": "string" })
        }
        "cold" => {
            let speeds = json!({ "enum": Speed::ALL.map(Speed::as_str) });
            let restore =
                fields([("restore", speeds), ("days", any(&[reference("count"), reference("duration")]))]);
            any(&[
                json!({
                    "description": "What to do when the source has to be restored first",
                    "enum": rules::COLD.iter().map(|(word, _)| *word).collect::<Vec<_>>(),
                }),
                with(restore, "required", json!(["restore"])),
            ])
        }
        "unsafe_all" => {
            json!({ "description": "This rule may delete everything", "enum": [true, false, "true", "false"] })
        }
        "watermark" => with(
            fields([
                ("store", text()),
                ("high", reference("percent")),
                ("low", reference("percent")),
                ("emergency", reference("percent")),
                ("for", reference("duration")),
                ("order", one_or_more(&watermark::ORDERS.map(|(word, _)| word))),
            ]),
            "required",
            json!(["store", "high", "low"]),
        ),
        "convert" | "backup" | "tag" => reference("texts"),
        "mix" => fields([
            ("layout", json!({ "enum": ["grid", "audio-only"] })),
            (
                "loudness",
                json!({ "type": "string", "pattern": "^ *-[0-9]{1,3}([.][0-9])? *[lL][uU][fF][sS] *$" }),
            ),
            ("preset", text()),
        ]),
        "archive" => any(&[
            json!({ "description": "A storage class or a store", "type": "string" }),
            with(
                fields([
                    ("class", json!({ "enum": CLASSES })),
                    (
                        "by",
                        json!({
                            "description": "lifecycle: by the bucket's own lifecycle rule, which takes up to days",
                            "enum": Way::ALL.map(Way::as_str),
                        }),
                    ),
                ]),
                "required",
                json!(["class"]),
            ),
            with(fields([("to", text())]), "required", json!(["to"])),
        ]),
        "move" => any(&[
            json!({ "description": "A store", "type": "string" }),
            with(fields([("to", text()), ("keep", reference("duration"))]), "required", json!(["to"])),
        ]),
        "delete" => fields([("trash", reference("duration"))]),
        "evict" => any(&[
            json!({ "type": "string" }),
            with(fields([("store", text())]), "required", json!(["store"])),
        ]),
        "export" => {
            let smallest = || fields([("type", reference("texts")), ("min_height", reference("count"))]);
            let by_name = |name: &str| match name {
                "to" => reference("texts"),
                "rendition" => any(&[
                    json!({ "description": "source, a preset, or video/*:480", "type": "string" }),
                    with(smallest(), "required", json!(["type"])),
                ]),
                "as" => json!({
                    "description": format!("The name it gets there, of {{{}}}", NameTemplate::fields().collect::<Vec<_>>().join("} {")),
                    "type": "string",
                }),
                "with" => one_or_more(&Companion::ALL.map(Companion::as_str)),
                "on_conflict" => json!({ "enum": Conflict::ALL.map(Conflict::as_str) }),
                "verify" => json!({ "enum": Verify::ALL.map(Verify::as_str) }),
                other => unreachable!("`{other}` is a field of exports that the schema does not know"),
            };
            let export = fields(verbs::export::FIELDS.map(|name| (name, by_name(name))));
            any(&[
                json!({ "description": "A store", "type": "string" }),
                with(export, "required", json!(["to"])),
            ])
        }
        "notify" => any(&[
            json!({ "enum": ["info", "warning", "critical"] }),
            fields([("severity", json!({ "enum": ["info", "warning", "critical"] })), ("text", text())]),
        ]),
        "hold" => any(&[text(), with(fields([("reason", text())]), "required", json!(["reason"]))]),
        "keep" => {
            let how_long = any(&[json!({ "const": "forever" }), reference("duration")]);
            any(&[how_long.clone(), with(fields([("for", how_long)]), "required", json!(["for"]))])
        }
        other => {
            unreachable!("`{other}` is a field of rules that the schema does not know; a test asks for all")
        }
    };
    let mut rule = fields(rules::RULE_FIELDS.iter().map(|name| (*name, by_hand(name))));
    rule["required"] = json!(["name", "match"]);
    rule["anyOf"] = verbs::NAMES.iter().map(|verb| json!({ "required": [verb] })).collect();
    rule["dependentRequired"] = json!({ "evict": ["watermark"], "unsafe_all": ["delete"] });
    rule
}

fn matching() -> Value {
    let field = |name: &str| match name {
        "age" | "duration" | "last_access" => reference("durations"),
        "accepted" => any(&[reference("durations"), reference("between")]),
        "recorded" => reference("between"),
        "size" => reference("sizes"),
        "height" | "copies" => reference("counts"),
        "kind" => one_or_more(&condition::KINDS.map(|(word, _)| word)),
        "state" => one_or_more(&condition::FOUND.map(|(word, _)| word)),
        "tier" => one_or_more(
            &["hot", "cold", "STANDARD"].into_iter().chain(CLASSES.iter().copied()).collect::<Vec<_>>(),
        ),
        "fields" => {
            let ways = [
                reference("texts"),
                reference("between"),
                with(fields([("not", reference("texts"))]), "required", json!(["not"])),
                with(
                    fields([("set", json!({ "enum": [true, false, "true", "false"] }))]),
                    "required",
                    json!(["set"]),
                ),
            ];
            json!({
                "description": "Fields of your own, and what they are",
                "type": "object",
                "minProperties": 1,
                "propertyNames": { "pattern": FIELD },
                "additionalProperties": any(&ways),
            })
        }
        "tags" => {
            let set = || reference("texts");
            any(&[
                set(),
                with(fields([("has", set()), ("any", set()), ("none", set())]), "minProperties", json!(1)),
            ])
        }
        _ => reference("texts"),
    };
    let all = json!({ "description": "Everything", "const": "all" });
    let some = fields(condition::FIELDS.iter().map(|name| (*name, field(name))));
    any(&[all, with(some, "minProperties", json!(1))])
}

fn own_presets() -> Value {
    let limits = |of: presets::Fields| {
        fields(of.iter().map(|(name, limits)| match limits {
            None => (*name, reference("text")),
            Some((min, max)) => {
                (*name, json!({ "type": ["integer", "string"], "minimum": min, "maximum": max }))
            }
        }))
    };
    let kinds: Vec<Value> = presets::KINDS
        .iter()
        .map(|(kind, known)| {
            let field = |name: &str| match name {
                "kind" => json!({ "const": kind }),
                "container" if *kind == "video" => {
                    json!({ "enum": presets::VIDEO_CONTAINERS.map(|(word, _)| word) })
                }
                "container" => json!({ "enum": presets::AUDIO_CONTAINERS.map(|(word, _)| word) }),
                "video" => limits(presets::VIDEO),
                "audio" => limits(presets::AUDIO),
                "sprite" => limits(presets::SPRITE),
                _ => reference("count"),
            };
            with(fields(known.iter().map(|name| (*name, field(name)))), "required", json!(["kind"]))
        })
        .collect();
    json!({
        "description": "Your own outputs beside the shipped ones",
        "type": "object",
        "additionalProperties": any(&kinds),
    })
}
