//! `fields`: what people say of their recordings themselves.

use domain::{Facts, Timestamp};
use policy::{Policy, parse};

use crate::support::*;

const FIELDS: &str = "version: 1
fields: { case: text, court: [north, south], priority: number, closed_on: date, note: text }
rules:";

fn film() -> Facts {
    let mut facts = probed("cam/1.mp4", good(video_and_sound()));
    for (name, value) in [
        ("case", "A-17"),
        ("court", "north"),
        ("priority", "2.5"),
        ("closed_on", "2026-03-01T09:00:00Z"),
        // Neither a number nor declared.
        ("note", "see 12"),
        ("stray", "x"),
    ] {
        facts.recording.fields.set(name, value).unwrap();
    }
    facts
}

fn with(rule: &str) -> Policy {
    let text = format!("{FIELDS}\n  - {{ name: r, {rule}, tag: x }}\n");
    parse(&text).unwrap_or_else(|problems| panic!("{problems}"))
}

/// Each way to ask once where it holds and once where it does not.
#[test]
fn a_rule_is_for_what_has_such_fields() {
    for (holds, fails) in [
        ("{ case: A-17 }", "{ case: a-17 }"),
        ("{ case: [B-1, A-17] }", "{ case: [A-1, A-1717] }"),
        ("{ case: { not: [B-1, B-2] } }", "{ case: { not: A-17 } }"),
        ("{ case: { set: true } }", "{ case: { set: false } }"),
        ("{ court: north }", "{ court: south }"),
        ("{ priority: 2.50 }", "{ priority: 2 }"),
        ("{ priority: '>=2.5' }", "{ priority: '>2.5' }"),
        ("{ priority: -3..2.5 }", "{ priority: '<-3' }"),
        ("{ closed_on: { from: 2026-03-01 } }", "{ closed_on: { before: 2026-03-01 } }"),
        (
            "{ closed_on: { from: 2026-03-01, before: 2026-03-02 } }",
            "{ closed_on: { from: 2026-03-01T09:00:01Z } }",
        ),
        ("{ case: A-17, court: [north, south] }", "{ case: A-17, court: south }"),
    ] {
        for (fields, expected) in [(holds, 1), (fails, 0)] {
            let policy = with(&format!("match: {{ fields: {fields} }}"));
            assert_eq!(decide(&policy, &film(), ACCEPTED).jobs.len(), expected, "{fields}");
        }
    }
}

#[test]
fn what_it_does_not_have_it_does_not_match() {
    let bare = probed("cam/1.mp4", good(video_and_sound()));
    for (fields, expected) in [
        ("{ case: A-17 }", 0),
        ("{ priority: '<3' }", 0),
        ("{ closed_on: { before: 2030-01-01 } }", 0),
        ("{ case: { not: A-17 } }", 1),
        ("{ case: { set: false } }", 1),
    ] {
        let policy = with(&format!("match: {{ fields: {fields} }}"));
        assert_eq!(decide(&policy, &bare, ACCEPTED).jobs.len(), expected, "{fields}");
    }
    // A value that is not of its kind, such as one that was there before the policy said what it is.
    let mut odd = film();
    odd.recording.fields.set("priority", "high").unwrap();
    odd.recording.fields.set("closed_on", "in spring").unwrap();
    for fields in ["{ priority: '>-9' }", "{ closed_on: { before: 2030-01-01 } }"] {
        let policy = with(&format!("match: {{ fields: {fields} }}"));
        assert_eq!(decide(&policy, &odd, ACCEPTED).jobs.len(), 0, "{fields}");
    }
}

#[test]
fn an_expression_reads_them_as_what_they_are() {
    let bare = probed("cam/1.mp4", good(video_and_sound()));
    for (when, of_film, of_bare) in [
        ("recording.fields.case == \"A-17\"", true, false),
        ("recording.fields.case != \"A-17\"", false, false),
        ("!has(recording.fields.case) || recording.fields.case != \"A-17\"", false, true),
        ("recording.fields.case in [\"A-17\", \"B-1\"]", true, false),
        ("recording.fields.case.startsWith(\"A-\")", true, false),
        ("recording.fields.court == \"north\" && recording.fields.priority >= 2.5", true, false),
        ("recording.fields.priority * 2.0 == 5.0", true, false),
        ("recording.fields.closed_on < timestamp(\"2026-03-02\")", true, false),
        ("recording.fields.closed_on.getHours() == 9", true, false),
        ("now - recording.fields.closed_on > duration(\"30d\")", true, false),
    ] {
        let policy = with(&format!("match: all, when: '{when}'"));
        for (facts, expected) in [(&film(), of_film), (&bare, of_bare)] {
            let found = decide(&policy, facts, ACCEPTED).jobs.len() == 1;
            assert_eq!(found, expected, "{when}: {}", facts.recording.fields);
        }
    }
}

/// What a database is asked for leaves out nothing that a rule is for, and is worth asking.
#[test]
fn what_can_be_asked_of_a_row_is() {
    let bare = probed("cam/1.mp4", good(video_and_sound()));
    for rule in [
        "match: { fields: { case: A-17 } }",
        "match: { fields: { court: [north] } }",
        "match: all, when: '\"A-17\" == recording.fields.case'",
        "match: all, when: 'recording.fields.case in [\"A-17\", \"B\"] && recording.size > 0'",
    ] {
        let screen = with(rule).screen(ACCEPTED);
        assert!(screen.passes(&film()) && !screen.passes(&bare), "{rule}");
    }
    for rule in ["match: { fields: { case: { not: x } } }", "match: { fields: { priority: '>1' } }"] {
        assert!(with(rule).screen(ACCEPTED).passes(&film()), "{rule}");
    }
}

#[test]
fn it_is_said_what_was_seen() {
    let mut facts = film();
    facts.recording.fields.set("priority", "high").unwrap();
    facts.recording.fields.remove("case");
    let text = format!(
        "{FIELDS}
  - {{ name: a, match: {{ fields: {{ court: [south, west], priority: '>=3', case: {{ not: B-1 }} }} }}, tag: x }}
  - {{ name: b, match: all, when: recording.fields.priority > 1.0 || recording.fields.case == 'x', tag: y }}
"
    );
    // One of its words is none.
    let problems = parse(&text).unwrap_err().to_string();
    assert!(problems.contains("`west` is none of its values"), "{problems}");
    let policy = parse(&text.replace("[south, west]", "south")).unwrap();
    let explained = policy::explain(&policy, &facts, &Default::default(), ACCEPTED);
    let said: Vec<String> = explained
        .rules
        .iter()
        .flat_map(|rule| &rule.conditions)
        .map(|c| format!("{}: {}", c.condition, c.saw))
        .collect();
    let expected = [
        "field case not B-1: it has no field case",
        "field court south: court is north",
        "field priority >=3: priority is high, and it is no number",
    ];
    assert!(expected.iter().all(|line| said.iter().any(|s| s == line)), "{said:#?}");
    let when = said.iter().find(|s| s.contains("fields.priority > 1.0")).expect("the expression");
    assert!(when.contains("fields.case: there is no such field"), "{when}");
    assert!(when.contains("fields.priority: it is no number"), "{when}");
}

/// What the policy says of fields is told where it is wrong, with what to write instead.
#[test]
fn mistakes_are_told_where_they_are() {
    for (text, says) in [
        ("fields: { Case: text }\nrules: []", "3:11"),
        ("fields: { case: string }\nrules: []", "text, number, date or a list"),
        ("fields: { case: [] }\nrules: []", "empty list"),
        ("rules:\n  - { name: r, match: { fields: { case: x } }, tag: y }", "`fields: { case: text }`"),
        ("fields: { case: text }\nrules:\n  - { name: r, match: { fields: { cas: x } }, tag: y }", "`case`"),
        (
            "fields: { n: number }\nrules:\n  - { name: r, match: { fields: { n: high } }, tag: y }",
            "not a number",
        ),
        (
            "fields: { n: number }\nrules:\n  - { name: r, match: { fields: { n: { not: 3 } } }, tag: y }",
            "takes no `not`",
        ),
        (
            "fields: { d: date }\nrules:\n  - { name: r, match: { fields: { d: 2026-01-01 } }, tag: y }",
            "expected a mapping",
        ),
        (
            "fields: { c: text }\nrules:\n  - { name: r, match: { fields: { c: { not: a, set: true } } }, tag: y }",
            "either",
        ),
        (
            "fields: { c: text }\nrules:\n  - { name: r, match: { fields: { c: { set: maybe } } }, tag: y }",
            "unknown answer",
        ),
        ("rules:\n  - { name: r, match: { fields: {} }, tag: y }", "`fields` is empty"),
        ("rules:\n  - { name: r, match: { tags: { case: court } }, tag: y }", "`fields: { case: ... }`"),
        (
            "fields: { camera: text }\nrules:\n  - { name: r, match: all, when: recording.camera != 'x', tag: y }",
            "`recording.fields.camera`",
        ),
        (
            "fields: { n: number }\nrules:\n  - { name: r, match: all, when: recording.fields.n > 'x', tag: y }",
            "a number is compared with a text",
        ),
        (
            "rules:\n  - { name: r, match: all, when: recording.fields.n > 1, tag: y }",
            "`fields: { n: text }`",
        ),
        (
            "stores: { nas: { url: /nas } }\nrules:\n  - { name: r, match: all, export: { to: nas, as: '{field.case}/{id}' } }",
            "`fields: { case: text }`",
        ),
    ] {
        let problems = parse(&format!("version: 1\n\n{text}\n")).expect_err(text).to_string();
        assert!(problems.contains(says), "{text}\n{problems}");
    }
}

#[test]
fn a_value_is_checked_before_it_is_given() {
    let policy = with("match: all");
    for (name, value, says) in [
        ("case", "A-17", None),
        ("court", "south", None),
        ("court", "soth", Some("`south`")),
        ("priority", "three", Some("not a number")),
        ("closed_on", "2026-13-01", Some("2026-03-01")),
        ("cse", "A", Some("`case`")),
    ] {
        match (policy.takes_field(name, value), says) {
            (Ok(()), None) => {}
            (Err(message), Some(says)) => assert!(message.contains(says), "{message}"),
            (found, says) => panic!("{name}={value}: {found:?}, {says:?}"),
        }
    }
}

/// Rules that no recording matches both of may want different things.
#[test]
fn rules_for_different_values_do_not_contradict_one_another() {
    let text = |one: &str, other: &str| {
        format!(
            "version: 1\nfields: {{ c: text, n: number }}\nstores: {{ a: {{ url: /a }}, b: {{ url: /b }} }}\nrules:
  - {{ name: r, match: {{ fields: {one} }}, move: a }}
  - {{ name: s, match: {{ fields: {other} }}, move: b }}\n"
        )
    };
    for (one, other) in [
        ("{ c: x }", "{ c: [y, z] }"),
        ("{ c: x }", "{ c: { not: [x, y] } }"),
        ("{ c: { set: false } }", "{ c: x }"),
        ("{ n: '<3' }", "{ n: '>=3' }"),
    ] {
        assert!(parse(&text(one, other)).unwrap().warnings().is_empty(), "{one} {other}");
    }
    for (one, other) in
        [("{ c: x }", "{ c: [x, y] }"), ("{ n: '<=3' }", "{ n: '>=3' }"), ("{ c: x }", "{ n: 1 }")]
    {
        let found = parse(&text(one, other));
        assert!(found.is_err() || !found.unwrap().warnings().is_empty(), "{one} {other}");
    }
}

/// The hash says what a policy means: of one that names no fields it is what it was before there were any.
#[test]
fn what_fields_are_is_part_of_what_a_policy_means() {
    let hash = |fields: &str| parse(&format!("version: 1\n{fields}rules: []\n")).unwrap().hash().to_owned();
    assert_eq!(hash(""), hash("fields: {}\n"));
    assert_ne!(hash(""), hash("fields: { case: text }\n"));
    assert_ne!(hash("fields: { case: number }\n"), hash("fields: { case: text }\n"));
    let at = Timestamp(0);
    assert!(parse("version: 1\nrules: []\n").unwrap().screen(at).any.is_empty());
}
