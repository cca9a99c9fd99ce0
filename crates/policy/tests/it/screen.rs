use domain::{RowTest, Screen, State, Usage};
use proptest::prelude::*;

use crate::{
    properties::{any_facts, any_now, any_small_policy},
    support::*,
};

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is left out by its row has nothing in a plan.
    #[test]
    fn what_is_screened_out_is_of_no_concern(policy in any_small_policy(), facts in any_facts(), now in any_now()) {
        if !policy.screen(now).passes(&facts) {
            let decision = policy::decide(&policy, &facts, &Usage::default(), now);
            prop_assert!(decision.jobs.is_empty() && decision.waits.is_empty() && decision.offers.is_empty(),
                "{:?}", decision);
        }
    }
}

/// Each with something that a row tells, and something that it does not.
const WHENS: &[&str] = &[
    "recording.size > 39 && recording.copies >= 1",
    "recording.size / (recording.copies - 1) > 0 && 40 >= recording.size",
    "recording.name.startsWith('cam/') && !recording.name.startsWith('cam/b')",
    "recording.name.startsWith('calls/') || recording.cold",
    "'early' in recording.tags && recording.height >= 720",
    "recording.age > duration('24h') && recording.age <= duration('960h')",
    "duration('48h') > recording.age",
    "recording.recorded >= timestamp('2026-07-15') && recording.accepted < now",
    "timestamp('2026-01-01') > recording.accepted",
    "recording.kind == 'session' && recording.title != 'x'",
    "recording.kind != 'track' && recording.size >= 0",
    "recording.type.startsWith('video/') && recording.duration < duration('1h')",
    "recording.duration == duration('10s') && recording.codecs.exists(c, c == 'h264')",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// The same of what an expression asks of a row.
    #[test]
    fn what_an_expression_screens_out_is_of_no_concern(
        when in prop::sample::select(WHENS), facts in any_facts(), now in any_now(), deletes in any::<bool>(),
    ) {
        let verb = if deletes { "delete: {}, unsafe_all: true" } else { "tag: x" };
        let policy = policy(&format!("- {{ name: a, match: all, when: \"{when}\", {verb} }}"));
        if !policy.screen(now).passes(&facts) {
            let decision = policy::decide(&policy, &facts, &Usage::default(), now);
            prop_assert!(decision.jobs.is_empty() && decision.waits.is_empty() && decision.offers.is_empty(),
                "{:?}", decision);
        }
    }
}

#[test]
fn expressions_become_tests_of_rows() {
    let screens: Vec<usize> = WHENS
        .iter()
        .map(|when| {
            let policy = policy(&format!("- {{ name: a, match: all, when: \"{when}\", tag: x }}"));
            policy.screen(ACCEPTED).any[0].len()
        })
        .collect();
    assert_eq!(screens, [1, 1, 1, 0, 1, 2, 1, 1, 1, 1, 1, 2, 1]);
}

#[test]
fn a_policy_whose_every_rule_leaves_something_out_screens() {
    let screens = |rules: &str| !policy(rules).screen(ACCEPTED).is_everything();
    assert!(screens("- { name: a, match: { prefix: cam/, codec: h264 }, tag: x }"));
    assert!(screens("- { name: a, match: { type: video/* }, tag: x }"));
    assert!(screens(
        "- { name: a, match: { age: '>=30d' }, tag: x }\n- { name: b, match: all, hold: for ever }"
    ));
    assert!(!screens("- { name: a, match: { prefix: cam/ }, tag: x }\n- { name: b, match: all, tag: y }"));
    assert!(!screens("- { name: a, match: { codec: h264 }, tag: x }"));
    assert!(!screens("- { name: a, match: { name: '**/a.mp4' }, tag: x }"));
}

#[test]
fn conditions_become_tests_of_rows() {
    let now = ACCEPTED;
    let rules = "- { name: a, match: { prefix: cam/, size: '>=1MB', codec: h264, age: '>=1d' }, tag: x }\n\
                 - { name: b, match: { name: 'calls/*.webm', type: [video/*, audio/mp4], tags: { none: [x] } }, tag: y }";
    let screen = policy(rules).screen(now);
    let texts = |texts: &[&str]| texts.iter().map(|t| (*t).to_owned()).collect();
    let day_ago = domain::Timestamp(now.0 - 86_400_000 + 1);
    let mut expected = Screen {
        any: vec![
            vec![
                RowTest::Size { min: 1_000_000, max: u64::MAX },
                RowTest::Name(texts(&["cam/"])),
                RowTest::Dated { from: domain::Timestamp(i64::MIN), before: day_ago },
            ],
            vec![
                RowTest::Tags { has: texts(&[]), any: texts(&[]), none: texts(&["x"]) },
                RowTest::Name(texts(&["calls/"])),
                RowTest::Type(texts(&["audio/mp4", "video/"])),
            ],
        ],
    };
    assert_eq!(screen, expected);

    let mut it = probed("cam/a.mp4", good(sound()));
    (it.recording.state, it.recording.digest.size) = (State::Ready, 2_000_000);
    expected.any.truncate(1);
    expected.any[0].truncate(2);
    let passes = |change: &dyn Fn(&mut domain::Facts)| {
        let mut it = it.clone();
        change(&mut it);
        expected.passes(&it)
    };
    assert!(passes(&|_| ()), "its codec is not in its row");
    assert!(!passes(&|it| it.recording.digest.size = 5));
    assert!(!passes(&|it| it.recording.name = "other/a.mp4".into()));
    let small = |it: &mut domain::Facts| it.recording.digest.size = 5;
    assert!(passes(&|it| (small(it), it.recording.probe = None).1), "nobody knows yet what it is");
    assert!(passes(&|it| (small(it), it.recording.state = State::Trashed).1));
    assert!(!passes(&|it| it.recording.state = State::Deleted));
}
