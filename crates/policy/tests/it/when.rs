//! `when`: what it says of recordings, what it says of mistakes, and that nothing makes it explode.

use std::{collections::BTreeSet, time::Instant};

use domain::{Facts, Kind, State, Timestamp};
use policy::Standing;
use proptest::{collection::vec, prelude::*};

use crate::support::*;

fn with(when: &str) -> Result<policy::Policy, policy::Problems> {
    let quoted = when.replace('\'', "''");
    policy::parse(&format!(
        "version: 1\nfields: {{ seen: date }}\nrules:\n  - {{ name: r, match: all, when: '{quoted}', tag: x }}\n"
    ))
}

fn holds(when: &str, facts: &Facts, now: Timestamp) -> bool {
    let policy = with(when).unwrap_or_else(|problems| panic!("{problems}"));
    labels(&decide(&policy, facts, now)) == ["tag x"]
}

fn film() -> Facts {
    let mut facts = probed("cam/front/Übersicht 1.mp4", good(video_and_sound()));
    facts.recording.tags = BTreeSet::from(["case-7".into(), "call".into()]);
    facts
}

#[test]
fn what_holds_and_what_does_not() {
    let now = Timestamp(ACCEPTED.0 + 40 * DAY + 5 * HOUR);
    for (when, expected) in [
        ("true", true),
        ("!!!true", false),
        ("!recording.cold && recording.class == 'STANDARD'", true),
        ("recording.size >= 5000000 && recording.size < 5 * 1000 * 1000 + 1", true),
        ("recording.size / 1000000 == 5 && recording.size % 7 == 5", true),
        ("recording.size > 4999999.5", true),
        ("0.5 + 0.25 == 0.75 && -1 < 0 && - -1 == 1", true),
        ("recording.age > duration(\"40d\")", false),
        // What time it is, is looked at by days: it is still the last midnight.
        ("recording.age == duration('40d')", true),
        ("recording.age >= duration('959h') && recording.age < duration('6w')", true),
        ("now - recording.accepted == duration('40d')", true),
        ("recording.accepted + duration('1d') > timestamp('2026-06-01T23:59:59Z')", true),
        ("recording.recorded == timestamp('2026-06-01')", true),
        ("recording.recorded.getFullYear() == 2026 && recording.recorded.getMonth() == 5", true),
        ("recording.recorded.getDate() == 1 && recording.recorded.getDayOfWeek() == 1", true),
        ("recording.recorded.getHours() == 0", true),
        ("'call' in recording.tags && !('private' in recording.tags)", true),
        ("recording.tags.exists(t, t.startsWith('case-'))", true),
        (
            "recording.tags.all(t, t.contains('c')) && recording.tags.size() == 2 && size(recording.tags) == 2",
            true,
        ),
        ("recording.tags.all(t, t.startsWith('case-'))", false),
        ("recording.tags.exists(t, recording.codecs.exists(c, c == t))", false),
        ("['a', 'b'].exists(x, ['b', 'c'].exists(y, x == y))", true),
        ("recording.kind in ['recording', 'track'] && recording.height in [720, 1080]", true),
        ("recording.height in [720, 2160]", false),
        ("'h264' in recording.codecs && recording.duration >= duration('10m')", true),
        (
            "recording.source == 'cam' && recording.name.endsWith('.mp4') && recording.title.size() == 25",
            true,
        ),
        ("recording.name.matches('front/.*[0-9]+[.]mp4$')", true),
        ("recording.name.matches(r'^\\d')", false),
        ("recording.type == 'video/mp4' && recording.state == 'good' && recording.store != 'attic'", true),
        ("recording.copies < 2 ? recording.size > 1 : false", true),
        ("recording.copies >= 2 ? true : recording.size < 1", false),
        // What is not there is neither early nor late.
        ("recording.fields.seen < now", false),
        ("!(recording.fields.seen < now)", false),
        ("!has(recording.fields.seen) && has(recording.height)", true),
        ("has(recording.fields.seen) && recording.fields.seen < now", false),
        // One side that decides is enough, whichever it is.
        ("recording.fields.seen < now || recording.size > 0", true),
        ("recording.size > 0 || 1 / 0 == 1", true),
        ("1 / 0 == 1 || recording.size > 0", true),
        ("1 / 0 == 1 && recording.size == 0", false),
        ("[1, 1 / 0].exists(n, n == 1) && 1 in [1 / 0, 1]", true),
    ] {
        assert_eq!(holds(when, &film(), now), expected, "{when}");
    }
}

#[test]
fn before_probing_it_cannot_be_said_unless_it_can() {
    let facts = facts(recording(Kind::Recording, "a.mp4"));
    let waits = |when: &str| {
        let decision = decide(&with(when).unwrap(), &facts, ACCEPTED);
        (decision.waits.len(), labels(&decision).contains(&"tag x".to_owned()))
    };
    assert_eq!(waits("recording.height > 720"), (1, false));
    assert_eq!(waits("recording.height > 720 && recording.size > 0"), (1, false));
    assert_eq!(waits("recording.height > 720 && recording.size == 0"), (0, false));
    assert_eq!(waits("recording.size > 0 || recording.height > 720"), (0, true));
    let session = session(vec![("a.webm", Some(good(sound())))]);
    assert!(!holds("recording.height > 720 || !(recording.height > 720)", &session, ACCEPTED));
}

#[test]
fn what_has_no_answer_destroys_nothing_and_is_said() {
    let policy = policy::parse(
        "version: 1
rules:
  - { name: gone, match: { age: '>=1d' }, when: recording.size / (recording.copies - 1) > 7, delete: {} }
  - { name: gone too, match: { age: '>=1d' }, delete: {} }
",
    )
    .unwrap();
    let facts = probed("a.mp3", good(sound()));
    let decision = decide(&policy, &facts, Timestamp(ACCEPTED.0 + 2 * DAY));
    let rules: Vec<&str> = decision.offers.iter().map(|o| &*o.rule).collect();
    assert_eq!((rules, decision.state), (vec!["gone too"], State::Ready));
    let waits: Vec<&str> = decision.waits.iter().map(|w| &*w.waits_for).collect();
    assert_eq!(waits, ["an answer to the `when` of rule `gone`: it divides by zero"]);

    let stays = policy::parse(
        "version: 1
rules:
  - { name: held, match: all, when: recording.size / (recording.copies - 1) > 7, hold: case 7 }
  - { name: web, match: all, when: recording.size * recording.size * recording.size > 7, tag: x }
  - { name: gone too, match: { age: '>=1d' }, delete: {} }
",
    )
    .unwrap();
    let now = Timestamp(ACCEPTED.0 + 2 * DAY);
    let decision = decide(&stays, &facts, now);
    assert_eq!((decision.offers.len(), decision.jobs.len(), decision.state), (0, 0, State::Failed));
    assert!(
        decision.reason.contains("The `when` of rule `web` has no answer: a number becomes too large."),
        "{}",
        decision.reason
    );
    let explained = policy::explain(&stays, &facts, &Default::default(), now);
    let web = explained.rules.iter().find(|r| r.rule == "web").unwrap();
    assert_eq!(
        (web.applies, &*web.conditions[0].saw),
        (policy::Applies::Broken, "it has no answer: a number becomes too large, size is 5.0MB")
    );
    assert!(matches!(web.steps[0].standing, Standing::Impossible(_)));
}

/// What time it is changes an answer at midnight only, so that the recording is looked at again once a day and not
/// all the time.
#[test]
fn time_is_looked_at_by_days() {
    let policy = with("recording.age >= duration('36h')").unwrap();
    let facts = probed("a.mp3", good(sound()));
    let at = |hours: i64| decide(&policy, &facts, Timestamp(ACCEPTED.0 + hours * HOUR));
    assert_eq!((at(37).jobs.len(), at(37).due_at), (0, Some(Timestamp(ACCEPTED.0 + 2 * DAY))));
    assert_eq!(at(48).jobs.len(), 1);
    // Not looked at before its day.
    let later = policy::parse(
        "version: 1\nrules: [{ name: r, match: { age: '>=30d' }, when: \"now > timestamp('2020-01-01')\", tag: x }]",
    )
    .unwrap();
    assert_eq!(decide(&later, &facts, ACCEPTED).due_at, Some(Timestamp(ACCEPTED.0 + 30 * DAY)));
}

#[test]
fn mistakes_are_told_with_their_place() {
    let text = r#"version: 1
rules:
  - { name: a, match: all, tag: x, when: 'recording.sise > 5 && true' }
  - { name: b, match: all, tag: x, when: "recording.tags.exists(t, t == \"a\") && recording.size" }
  - { name: c, match: all, tag: x, when: recording.size > "1GB" }
  - name: d
    match: all
    tag: x
    when: |
      recording.size > 1 &&
        recording.age > 30
  - { name: e, match: all, tag: x, when: 'size > 5' }
  - { name: f, match: all, tag: x, when: 'recording.size = 5' }
  - { name: g, match: all, tag: x, when: 'recording.size > 5MB' }
  - { name: h, match: all, tag: x, when: 'recording.name.startWith("a")' }
  - { name: i, match: all, tag: x, when: 'recording.age > duration("30 days")' }
  - { name: j, match: all, tag: x, when: 'recording.name == ''it''s'' && recording.nam == ""' }
  - { name: k, match: all, tag: x, when: '(true' }
  - { name: l, match: all, tag: x, when: 'true)' }
  - { name: m, match: all, tag: x, when: '' }
  - { name: n, match: all, tag: x, when: 'recording.name' }
  - { name: o, match: all, tag: x, when: '1 < recording.size < 5' }
  - { name: p, match: all, tag: x, when: 'recording.name.matches("(")' }
  - { name: q, match: all, tag: x, when: 'recording.tags[0] == "a"' }
  - { name: r, match: all, tag: x, when: 'recording.tags.exists(now, true)' }
  - { name: s, match: all, tag: x, when: 'recording.name == null' }
  - { name: t, match: all, tag: x, when: 'recording.name == "never' }
  - { name: u, match: all, tag: x, when: '"a" in "abc" || 1 in ["a"] || [] == []' }
  - { name: v, match: all, tag: x, when: '5 in recording.tags' }
  - { name: w, match: all, tag: x, when: 'recording.size + 1.5 > 2' }
  - { name: x, match: all, tag: x, when: 'recording.name + "a" == "b"' }
  - { name: y, match: all, tag: x, when: 'true ? 1 : "a"' }
  - { name: z, match: all, tag: x, when: '99999999999999999999 > 1' }
  - { name: zz, match: all, tag: x, when: [recording.cold] }
"#;
    let problems = policy::parse(text).unwrap_err();
    insta::assert_snapshot!(problems.in_file("policy.yaml"));
}

/// 125 bytes took the usual parser 1.1 GB (cel-rust #306), and nesting its stack (#212).
#[test]
fn nothing_makes_it_explode() {
    let motif = "!!(!!!!!!(!!!!(((((!!(!!(!!!!((";
    let many = |text: &str, n| text.repeat(n);
    for text in [
        format!("{}1", many(motif, 4)),
        format!("{}true", many("!", 390)),
        format!("{}true{}", many("(", 199), many(")", 199)),
        format!("{}1{}", many("[", 199), many("]", 199)),
        format!("true{}", many(" && true", 199)),
        format!("true{}", many(" ? true : true", 99)),
        format!("{}true{}", many("true ? ", 99), many(" : true", 99)),
        many("recording.", 190),
        format!("\"{}", many("a", 1_990)),
        many("x", 10_000),
        format!("recording.name.matches(\"{}\")", many("(a*)*{9}", 200)),
        format!("recording.name.matches(\"{}\")", many("(", 1000)),
        format!("recording.name.matches(\"{}\")", many("a{1000}", 100)),
    ] {
        let started = Instant::now();
        if let Err(problems) = with(&text) {
            assert!(problems.to_string().len() < 2_000);
        }
        assert!(started.elapsed().as_millis() < 500, "{text:.60} took {:?}", started.elapsed());
    }
    // Slow by definition, and given up in time.
    let mut facts = film();
    facts.recording.tags = (0..100).map(|i| format!("t{i}")).collect();
    facts.recording.name = "a".repeat(1000);
    for text in [
        "recording.tags.all(a, recording.tags.all(b, recording.tags.all(c, recording.tags.all(d, a + b != \"\"))))",
        "recording.tags.all(a, recording.tags.all(b, recording.tags.all(c, recording.tags.all(d, a != \"\"))))",
        "recording.name.matches(\"(a*)*(a*)*(a*)*b\")",
    ] {
        let Ok(policy) = with(text) else { continue };
        let started = Instant::now();
        assert_eq!(decide(&policy, &facts, ACCEPTED).jobs.len(), 0, "{text}");
        assert!(started.elapsed().as_millis() < 500, "{text} took {:?}", started.elapsed());
    }
}

fn any_expression() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "true",
        "false",
        "recording.cold",
        "recording.size > 5",
        "recording.height >= 720",
        "1 / 0 == 1",
        "recording.age > duration('1d')",
        "now > recording.accepted",
        "recording.fields.seen < now",
        "'call' in recording.tags",
        "recording.tags.exists(t, t.startsWith('c'))",
        "recording.copies - 1 in [0, 1]",
        "recording.name.matches('mp4$')",
        "has(recording.height)",
        "recording.recorded.getMonth() == 5",
    ]);
    leaf.prop_map(str::to_owned).prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) && ({b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) || ({b})")),
            inner.clone().prop_map(|a| format!("!({a})")),
            (inner.clone(), inner.clone(), inner).prop_map(|(a, b, c)| format!("({a}) ? ({b}) : ({c})")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// What decides does so from either side, and doubled negations are none.
    #[test]
    fn either_side_decides(a in any_expression(), b in any_expression(), hours in 0i64..1000) {
        let now = Timestamp(ACCEPTED.0 + hours * HOUR);
        let facts = film();
        let applies = |when: &str| {
            let policy = with(when).unwrap_or_else(|problems| panic!("{problems}"));
            policy::explain(&policy, &facts, &Default::default(), now).rules.last().unwrap().applies
        };
        prop_assert_eq!(applies(&format!("({a}) && ({b})")), applies(&format!("({b}) && ({a})")));
        prop_assert_eq!(applies(&format!("({a}) || ({b})")), applies(&format!("({b}) || ({a})")));
        prop_assert_eq!(applies(&format!("!!({a})")), applies(&a));
        prop_assert_eq!(applies(&format!("!(({a}) && ({b}))")), applies(&format!("!({a}) || !({b})")));
    }

    /// As for every rule: nothing changes before it is due.
    #[test]
    fn nothing_changes_before_midnight(when in any_expression(), hours in 0i64..1000, part in 0.0..1.0f64) {
        let policy = with(&when).unwrap_or_else(|problems| panic!("{problems}"));
        let now = Timestamp(ACCEPTED.0 + hours * HOUR);
        let decision = decide(&policy, &film(), now);
        let until = decision.due_at.map_or(now.0 + 10_000 * DAY, |due| due.0 - 1);
        let later = Timestamp(now.0 + ((until - now.0) as f64 * part) as i64);
        prop_assert_eq!(decision, decide(&policy, &film(), later));
    }

    #[test]
    fn no_heap_of_words_makes_it_panic(
        words in vec(prop_oneof![
            prop::sample::select(vec![
                "recording", ".", "size", "tags", "name", "exists", "all", "(", ")", "[", "]", ",", "t", "&&", "||", "!", "-",
                "==", "<", "+", "*", "/", "%", "?", ":", "in", "1", "1.5", "'a'", "\"b\"", "r'x", "true", "now", "has", "duration",
                "'30d'", "timestamp", "matches", "age", "\\", "é", "9223372036854775807", "- 9223372036854775808",
            ]).prop_map(str::to_owned),
            "[ -~]{0,4}",
        ], 0..40),
        between in prop_oneof![Just(""), Just(" ")],
    ) {
        if let Ok(policy) = with(&words.join(between)) {
            decide(&policy, &film(), ACCEPTED);
        }
    }
}
