use std::collections::BTreeSet;

use domain::Timestamp;

use crate::support::*;

/// Each field of `match` once where it holds and once where it does not, on one known recording.
#[test]
fn every_condition_holds_where_it_should_and_only_there() {
    let mut facts = probed("cam/front/1.mp4", good(video_and_sound()));
    facts.recording.recorded_at = Some(Timestamp(ACCEPTED.0 - 10 * DAY));
    facts.recording.tags = BTreeSet::from(["call".into(), "spain".into()]);
    facts.recording.custody.last_access = Some(Timestamp(ACCEPTED.0 - DAY));
    facts.copies.push(copy_in(&facts, "replica"));
    let now = Timestamp(ACCEPTED.0 + 2 * DAY);
    for (holds, fails) in [
        ("kind: [recording, track]", "kind: session"),
        // Twelve days since it was recorded, two since it was accepted.
        ("age: '>=12d'", "age: '<12d'"),
        ("age: 11d..12d", "age: 1d..3d"),
        ("accepted: '>=2d'", "accepted: '>2d'"),
        ("accepted: { from: 2026-06-01, before: 2026-06-02 }", "accepted: { before: 2026-06-01 }"),
        ("recorded: { from: 2026-05-22 }", "recorded: { from: 2026-05-22T00:00:01Z }"),
        ("size: 5MB..5MB", "size: '>5MB'"),
        ("duration: '>=10m'", "duration: '<10m'"),
        ("type: [audio/*, video/*]", "type: video/webm"),
        ("codec: aac", "codec: [vp8, opus]"),
        ("height: 1080", "height: '>1080'"),
        ("prefix: [lobby/, cam/]", "prefix: am/"),
        ("name: 'cam/**.mp4'", "name: 'cam/*.mp4'"),
        ("tags: [call, spain]", "tags: [call, france]"),
        ("tags: { any: [spain, france] }", "tags: { any: [france, italy] }"),
        ("tags: { has: call, none: private }", "tags: { has: call, none: [private, spain] }"),
        ("last_access: '>=3d'", "last_access: '>3d'"),
        ("copies: 2", "copies: '<2'"),
        ("tier: hot", "tier: cold"),
        ("tier: [STANDARD, GLACIER]", "tier: [GLACIER, cold]"),
        ("state: good", "state: [damaged, unsupported]"),
    ] {
        for (condition, expected) in [(holds, 1), (fails, 0)] {
            let policy = policy(&format!("\n  - {{ name: r, match: {{ {condition} }}, tag: x }}"));
            assert_eq!(decide(&policy, &facts, now).jobs.len(), expected, "{condition}");
        }
    }
}

/// Promise 9: age comes from the time we accepted, or the trusted recorded-at, never from metadata inside the file.
#[test]
fn a_file_that_claims_to_be_old_is_as_young_as_we_know_it() {
    let policy = policy("\n  - { name: cold, match: { age: '>=1d' }, backup: replica }");
    let mut media = sound();
    media.claimed_created = Some("1970-01-01T00:00:00Z".into());
    let mut facts = probed("a.mp3", good(media));
    assert_eq!(decide(&policy, &facts, ACCEPTED).jobs.len(), 0);
    facts.recording.recorded_at = Some(Timestamp(ACCEPTED.0 - DAY));
    assert_eq!(decide(&policy, &facts, ACCEPTED).jobs.len(), 1);
    // A trusted time that lies ahead makes it new, not old.
    facts.recording.recorded_at = Some(Timestamp(ACCEPTED.0 + DAY));
    let decision = decide(&policy, &facts, ACCEPTED);
    assert_eq!((decision.jobs.len(), decision.due_at), (0, Some(Timestamp(ACCEPTED.0 + 2 * DAY))));
}

/// When it was sent or restored, else when it came; and whoever deletes by it is told what it is not.
#[test]
fn the_last_access_is_the_last_that_was_seen() {
    let policy = self::policy(
        "\n  - { name: idle, match: { last_access: '>=1d' }, tag: x }\n  - { name: busy, match: { last_access: '<1d' }, tag: y }",
    );
    let mut facts = probed("a.mp3", good(sound()));
    let later = Timestamp(ACCEPTED.0 + 400 * DAY);
    assert_eq!(labels(&decide(&policy, &facts, ACCEPTED)), ["tag y"]);
    assert_eq!(labels(&decide(&policy, &facts, later)), ["tag x"]);
    facts.recording.custody.last_access = Some(later);
    assert_eq!(labels(&decide(&policy, &facts, later)), ["tag y"]);
    assert_eq!(labels(&decide(&policy, &facts, Timestamp(later.0 + DAY))), ["tag x"]);
    // Nothing goes for want of an access that nobody could have seen.
    for when in
        ["match: { last_access: '>=1d' }", "match: { age: '>=1d' }, when: 'recording.last_access < now'"]
    {
        let policy = self::policy(&format!("\n  - {{ name: gone, {when}, delete: {{}} }}"));
        facts.recording.custody.last_access = None;
        assert!(decide(&policy, &facts, later).offers.is_empty(), "{when}");
        facts.recording.custody.last_access = Some(ACCEPTED);
        assert_eq!(decide(&policy, &facts, later).offers.len(), 1, "{when}");
    }
    let warned = |verb: &str| {
        let text =
            format!("version: 1\nrules:\n  - {{ name: r, match: {{ last_access: '>=1y' }}, {verb} }}\n");
        policy::parse(&text).unwrap().warnings().iter().any(|w| w.message.contains("who reads the store"))
    };
    assert!(warned("delete: {}") && !warned("archive: GLACIER"));
}

#[test]
fn what_has_to_be_restored_is_cold_also_while_it_is_restored() {
    let policy = policy(
        "\n  - { name: a, match: { tier: cold }, tag: cold }\n  - { name: b, match: { tier: DEEP_ARCHIVE }, tag: deep }",
    );
    let mut facts = probed("a.mp3", good(sound()));
    let place = &mut facts.recording.custody.place;
    place.class = Some("DEEP_ARCHIVE".into());
    place.cold = Some(domain::Cold { since: ACCEPTED, restore: None });
    assert_eq!(labels(&decide(&policy, &facts, ACCEPTED)), ["tag cold", "tag deep"]);
}
