use std::collections::BTreeSet;

use domain::{Action, Kind, Lane, State, Timestamp};

use crate::support::*;

#[test]
fn a_backup_does_not_wait_for_probing() {
    let policy = policy(
        "
  - { name: safe, match: all, backup: replica }
  - { name: mark, match: { prefix: cam/ }, tag: cam }
  - { name: web, match: { type: video/* }, convert: mp4-720p }",
    );
    let facts = facts(recording(Kind::Recording, "cam/1.mp4"));
    let decision = decide(&policy, &facts, ACCEPTED);
    assert_eq!(labels(&decision), ["backup replica", "probe", "tag cam"]);
    assert_eq!(decision.state, State::Accepted);
    let waits: Vec<_> = decision.waits.iter().map(|w| (&*w.rule, &*w.verb, &*w.waits_for)).collect();
    assert_eq!(waits, [("web", "convert", "probing")]);
    let probe = decision.jobs.iter().find(|j| j.action == Action::Probe).unwrap();
    assert_eq!((probe.lane, probe.rule.as_str()), (Lane::Interactive, "intake"));
}

#[test]
fn a_recording_that_cannot_be_probed_is_failed_with_the_reason_once_the_rest_is_done() {
    let policy = policy(
        "
  - { name: safe, match: all, backup: replica, convert: mp4-720p }
  - { name: web, match: { type: video/* }, convert: thumbnails }",
    );
    let mut facts = facts(recording(Kind::Recording, "a.mp4"));
    let decision = decide(&policy, &facts, ACCEPTED);
    for job in &decision.jobs {
        match job.action {
            Action::Probe => drop(facts.parked.insert(job.id, "ffprobe ran into its time limit.".into())),
            _ => drop(facts.done.insert(job.id)),
        }
    }
    let decision = decide(&policy, &facts, ACCEPTED);
    assert_eq!((decision.jobs.len(), decision.waits.len(), decision.state), (0, 0, State::Failed));
    assert_eq!(decision.reason, "Probe gave up: ffprobe ran into its time limit.");
}

#[test]
fn unsupported_is_kept_and_backed_up_and_not_converted() {
    let policy = policy(
        "
  - { name: all of it, match: all, backup: replica, convert: [mp4-720p, audio-m4a] }",
    );
    let mut facts = probed("paper.pdf", unsupported());
    let decision = decide(&policy, &facts, ACCEPTED);
    assert_eq!(labels(&decision), ["backup replica"]);
    assert_eq!(decision.state, State::Processing);
    all_done(&mut facts, &decision);
    let decision = decide(&policy, &facts, ACCEPTED);
    assert_eq!((decision.state, decision.reason.as_str()), (State::Unsupported, "This is a PDF."));
}

#[test]
fn damaged_is_salvaged_and_stays_damaged() {
    let policy = policy(
        "
  - { name: web, match: all, convert: [mp4-720p, thumbnails, waveform] }",
    );
    let mut facts = probed("cut.mp4", damaged(silent_video()));
    let decision = decide(&policy, &facts, ACCEPTED);
    assert_eq!(labels(&decision), ["convert mp4-720p", "convert thumbnails"]);
    all_done(&mut facts, &decision);
    let decision = decide(&policy, &facts, ACCEPTED);
    assert_eq!((decision.jobs.len(), decision.state), (0, State::Damaged));
    assert_eq!(decision.reason, "It stops after 4 of 10 minutes.");
}

#[test]
fn one_job_for_two_rules_that_ask_for_the_same() {
    let policy = policy(
        "
  - { name: zebra, match: all, convert: mp4-720p }
  - { name: ant, match: { kind: recording }, convert: [mp4-720p] }",
    );
    let decision = decide(&policy, &probed("a.mp4", good(silent_video())), ACCEPTED);
    assert_eq!(decision.jobs.len(), 1);
    assert_eq!(decision.jobs[0].rule, "ant, zebra");
    assert_eq!(decision.jobs[0].reason, "Asked for by rule `ant` (kind recording) and rule `zebra` (all).");
}

#[test]
fn an_old_rule_acts_on_its_day_and_says_which_day_that_is() {
    let policy = policy(
        "
  - { name: cold, match: { age: \">=30d\" }, backup: replica }
  - { name: not mine, match: { age: \">=1d\", kind: session }, tag: x }",
    );
    let facts = probed("a.mp4", good(sound()));
    let due = Timestamp(ACCEPTED.0 + 30 * DAY);
    let decision = decide(&policy, &facts, ACCEPTED);
    assert_eq!((decision.jobs.len(), decision.state, decision.due_at), (0, State::Ready, Some(due)));
    assert_eq!(decide(&policy, &facts, Timestamp(due.0 - 1)).jobs.len(), 0);
    let decision = decide(&policy, &facts, due);
    assert_eq!((labels(&decision), decision.due_at), (vec!["backup replica".to_owned()], None));
}

#[test]
fn tags_that_are_there_are_not_added_again() {
    let policy = policy(
        "
  - { name: mark, match: all, tag: [a, b] }",
    );
    let mut facts = probed("a.mp4", good(sound()));
    assert_eq!(labels(&decide(&policy, &facts, ACCEPTED)), ["tag a,b"]);
    facts.recording.tags = BTreeSet::from(["a".into(), "b".into(), "c".into()]);
    assert_eq!(decide(&policy, &facts, ACCEPTED).jobs, []);
}

#[test]
fn a_session_waits_a_day_for_a_track_and_mixes_anew_when_it_comes_later() {
    let policy = default_policy();
    let mut facts = session(vec![("ana.webm", Some(good(video_and_sound())))]);
    missing(&mut facts, "bo.webm");
    let patience_ends = Timestamp(ACCEPTED.0 + DAY);
    let decision = decide(&policy, &facts, ACCEPTED);
    assert_eq!(
        (decision.jobs.len(), decision.state, decision.due_at),
        (0, State::Processing, Some(patience_ends))
    );
    assert_eq!(decision.reason, "Waits for track bo.webm of the session to arrive.");

    let decision = decide(&policy, &facts, patience_ends);
    assert_eq!((labels(&decision), decision.due_at), (vec!["mix mp4-720p".to_owned()], None));
    assert!(decision.jobs[0].reason.contains("Track bo.webm did not arrive within 24 hours."));
    all_done(&mut facts, &decision);
    let ready = decide(&policy, &facts, patience_ends);
    assert_eq!(ready.state, State::Ready);
    assert_eq!(ready.reason, "Track bo.webm did not arrive within 24 hours.");

    let mut bo = recording(Kind::Track, "bo.webm");
    facts.tracks[1].recording = Some(bo.clone());
    let decision = decide(&policy, &facts, patience_ends);
    assert_eq!(decision.reason, "Waits for track bo.webm to be probed.");
    bo.probe = Some(good(sound()));
    facts.tracks[1].recording = Some(bo);
    let decision = decide(&policy, &facts, patience_ends);
    assert_eq!(labels(&decision), ["mix mp4-720p"]);
    let Action::Mix(spec) = &decision.jobs[0].action else { panic!("a mix") };
    assert_eq!(spec.tracks.len(), 2);
}

#[test]
fn a_session_of_which_nothing_can_be_used_has_failed() {
    let policy = default_policy();
    let mut facts = session(vec![("ana.webm", Some(unsupported())), ("bo.webm", None)]);
    let bo = facts.tracks[1].recording.as_mut().unwrap();
    bo.state = State::Failed;
    bo.reason = "probe gave up".into();
    let decision = decide(&policy, &facts, ACCEPTED);
    assert_eq!((decision.jobs.len(), decision.state), (0, State::Failed));
    assert_eq!(
        decision.reason,
        "No track of the session can be mixed: track ana.webm is left out: it is unsupported (This is a PDF.); \
         track bo.webm is left out: it could not be probed (probe gave up)."
    );
}

#[test]
fn a_mix_of_sound_alone_leaves_out_who_has_none() {
    let policy = policy(
        "
  - { name: podcast, match: { kind: session }, mix: { layout: audio-only, loudness: -16LUFS } }",
    );
    let facts = session(vec![("ana.webm", Some(good(sound()))), ("screen.webm", Some(good(silent_video())))]);
    let decision = decide(&policy, &facts, ACCEPTED);
    let Action::Mix(spec) = &decision.jobs[0].action else { panic!("a mix") };
    assert_eq!((spec.tracks.len(), spec.preset.name.as_str()), (1, "audio-m4a"));
    assert!(decision.jobs[0].reason.contains("Track screen.webm is left out: it has no sound."));
}

#[test]
fn of_two_mixes_into_one_rendition_the_first_rule_by_name_wins() {
    let rules = "
  - { name: quiet, match: { kind: session }, mix: { loudness: -23LUFS } }
  - { name: loud, match: { kind: session }, mix: { loudness: -16LUFS } }
  - { name: as loud, match: { kind: session }, mix: { loudness: -16.0LUFS } }";
    let policy = policy(rules);
    assert_eq!(policy.warnings().len(), 2, "{:?}", policy.warnings());
    let decision = decide(&policy, &session(vec![("ana.webm", Some(good(sound())))]), ACCEPTED);
    assert_eq!(decision.jobs.len(), 1);
    assert_eq!(decision.jobs[0].rule, "as loud, loud");
}

#[test]
fn sessions_are_not_converted_and_recordings_are_not_mixed() {
    let policy = policy(
        "
  - { name: both, match: all, convert: mp4-720p, mix: { preset: mp4-480p } }",
    );
    let call = session(vec![("ana.webm", Some(good(sound())))]);
    assert_eq!(labels(&decide(&policy, &call, ACCEPTED)), ["mix mp4-480p"]);
    let file = probed("a.mp4", good(video_and_sound()));
    assert_eq!(labels(&decide(&policy, &file, ACCEPTED)), ["convert mp4-720p"]);
}

#[test]
fn the_hash_is_of_the_meaning() {
    let a = policy(
        "
  - { name: a, match: { age: \">=1w\", type: [video/*, audio/*] }, convert: [mp4-720p, thumbnails] }
  - { name: b, match: all, backup: replica }",
    );
    let same = policy(
        "
  # a comment
  - name: b
    match: all
    backup: [replica]
  - name: a
    convert: [thumbnails, mp4-720p]
    match: { type: [audio/*, VIDEO/*], age: \">=168h\" }",
    );
    let other = policy(
        "
  - { name: a, match: { age: \">=8d\", type: [video/*, audio/*] }, convert: [mp4-720p, thumbnails] }
  - { name: b, match: all, backup: replica }",
    );
    assert_eq!(a.hash(), same.hash());
    assert_ne!(a.hash(), other.hash());
    assert_eq!(a.hash().len(), 64);
}
