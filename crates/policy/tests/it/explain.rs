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

#[test]
fn what_goes_and_what_stays_is_explained_from_the_rule_to_the_day() {
    let policy = policy::parse(
        "version: 1
stores: { recordings: { capacity: 1TB }, attic: { url: /mnt/attic } }
protect: { copies: { min: 2 } }
rules:
  - { name: books stay, match: { tags: finance }, keep: 7y }
  - { name: cold, match: { age: '>=30d', tier: hot }, archive: DEEP_ARCHIVE }
  - { name: court cases stay, match: { tags: court }, hold: litigation }
  - { name: gone, match: { age: '>=365d', copies: '>=1' }, delete: { trash: 1d } }
  - { name: gone later, match: { age: '>=2y' }, when: recording.source != \"lobby\", delete: {} }
  - { name: make room, match: { last_access: '>=20d' }, delete: {}, watermark: { store: recordings, high: 85%, low: 75% } }
  - { name: nightly, match: { size: '>=1MB' }, tag: seen, schedule: '0 2 * * * Europe/Madrid' }
  - { name: up, match: { tags: finance }, move: attic }
",
    )
    .unwrap_or_else(|problems| panic!("{problems}"));
    let mut facts = probed("cam/1.mp3", good(sound()));
    facts.recording.tags = ["finance", "court"].map(str::to_owned).into();
    facts.recording.custody.last_access = Some(ACCEPTED);
    let at = |facts: &domain::Facts, days: i64| {
        let now = Timestamp(ACCEPTED.0 + days * DAY + HOUR);
        policy::explain(&policy, facts, &Usage::default(), now).to_string()
    };
    let alive = format!("{}\n\n=== after three years\n\n{}", at(&facts, 0), at(&facts, 3 * 365));
    let trash = domain::Trash {
        at: ACCEPTED,
        until: Timestamp(ACCEPTED.0 + 14 * DAY),
        rule: "by hand".into(),
        reason: "a mistake".into(),
        by: "ana".into(),
        purging: None,
    };
    facts.recording.tags.clear();
    facts.recording.custody.trash = Some(trash);
    facts.recording.state = domain::State::Trashed;
    insta::assert_snapshot!(format!("{alive}\n\n=== in the trash\n\n{}", at(&facts, 1)));
}
