use domain::{Timestamp, Usage};

use crate::support::*;

#[test]
fn an_explanation_names_each_condition_with_the_value_it_saw() {
    let policy = policy(
        "
  - { name: cold, match: { age: \">=30d\", size: \">=1MB\" }, backup: replica }
  - { name: home, match: { prefix: cam/ }, backup: recordings }
  - { name: nothing to see, match: { type: audio/* }, convert: audio-m4a }
  - { name: web, match: { type: video/*, height: \">=720\" }, convert: [mp4-720p, audio-m4a, thumbnails], tag: web }
  - { name: calls, match: all, mix: {} }",
    );
    let mut facts = probed("cam/1.mp4", good(silent_video()));
    let jobs = decide(&policy, &facts, ACCEPTED).jobs;
    let done = jobs.iter().find(|j| j.action.label() == "convert mp4-720p").unwrap();
    let parked = jobs.iter().find(|j| j.action.label() == "convert thumbnails").unwrap();
    facts.done.insert(done.id);
    facts.parked.insert(parked.id, "The disk was full three times.".into());
    let now = Timestamp(ACCEPTED.0 + 12 * DAY + 3 * HOUR);
    insta::assert_snapshot!(policy::explain(&policy, &facts, &Usage::default(), now));
}

#[test]
fn before_probing_it_says_what_cannot_be_said_yet() {
    let facts = facts(recording(domain::Kind::Recording, "new.mp4"));
    insta::assert_snapshot!(policy::explain(&default_policy(), &facts, &Usage::default(), ACCEPTED));
}

#[test]
fn a_session_says_whom_it_waits_for_and_then_who_is_missing() {
    let mut facts = session(vec![("ana.webm", Some(good(sound()))), ("cy.webm", Some(unsupported()))]);
    missing(&mut facts, "bo.webm");
    let policy = default_policy();
    let at = |ms| policy::explain(&policy, &facts, &Usage::default(), Timestamp(ACCEPTED.0 + ms)).to_string();
    insta::assert_snapshot!(format!("{}\n\n=== a day later\n\n{}", at(HOUR), at(DAY)));
}
