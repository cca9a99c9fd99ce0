use domain::{Facts, Outline, Usage};
use proptest::prelude::*;

use crate::{
    properties::{any_facts, any_now, any_small_policy},
    support::*,
};

fn outline(facts: &Facts) -> Outline {
    let r = &facts.recording;
    let place = &r.custody.place;
    Outline {
        id: r.id,
        kind: r.kind,
        name: r.name.clone(),
        size: r.digest.size,
        accepted_at: r.accepted_at,
        recorded_at: r.recorded_at,
        tags: r.tags.clone(),
        probed: r.probe.is_some(),
        state: r.state,
        special: r.custody.trash.is_some()
            || place.cold.is_some()
            || place.bad.is_some()
            || facts.copies.iter().any(|c| c.bad.is_some() || c.until.is_some()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is left out by its row has nothing in a plan.
    #[test]
    fn what_is_screened_out_is_of_no_concern(policy in any_small_policy(), facts in any_facts(), now in any_now()) {
        if !policy.may_concern(&outline(&facts), now) {
            let decision = policy::decide(&policy, &facts, &Usage::default(), now);
            prop_assert!(decision.jobs.is_empty() && decision.waits.is_empty() && decision.offers.is_empty(),
                "{:?}", decision);
        }
    }
}

#[test]
fn a_policy_whose_every_rule_leaves_something_out_screens() {
    let screens = |rules: &str| policy(rules).screens();
    assert!(screens("- { name: a, match: { prefix: cam/, type: video/* }, tag: x }"));
    assert!(screens(
        "- { name: a, match: { age: '>=30d' }, tag: x }\n- { name: b, match: all, hold: for ever }"
    ));
    assert!(!screens("- { name: a, match: { prefix: cam/ }, tag: x }\n- { name: b, match: all, tag: y }"));
    assert!(!screens("- { name: a, match: { type: video/* }, tag: x }"));
}

#[test]
fn rows_tell_what_they_can() {
    let policy = policy("- { name: a, match: { prefix: cam/, size: '>=1MB', type: video/* }, tag: x }");
    let now = ACCEPTED;
    let mut it = outline(&probed("cam/a.mp4", good(sound())));
    it.state = domain::State::Ready;
    it.size = 2_000_000;
    assert!(policy.may_concern(&it, now), "its type is not in its row");
    assert!(!policy.may_concern(&Outline { size: 5, ..it.clone() }, now));
    assert!(!policy.may_concern(&Outline { name: "other/a.mp4".into(), ..it.clone() }, now));
    assert!(policy.may_concern(&Outline { size: 5, probed: false, ..it.clone() }, now));
    assert!(policy.may_concern(&Outline { size: 5, special: true, ..it.clone() }, now));
    assert!(!policy.may_concern(&Outline { state: domain::State::Deleted, ..it }, now));
}
