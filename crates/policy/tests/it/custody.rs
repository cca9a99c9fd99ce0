//! What goes, what stays, and where it lies.

use domain::{Action, Cold, Facts, Hold, Kind, Place, Restoring, Speed, State, Timestamp, Trash, What};
use policy::{Deed, ObjectionKind, Standing};

use crate::support::*;

fn parse(text: &str) -> policy::Policy {
    policy::parse(&format!("version: 1\n{text}")).unwrap_or_else(|problems| panic!("{problems}"))
}

fn after(days: i64) -> Timestamp {
    Timestamp(ACCEPTED.0 + days * DAY)
}

fn hold_by_hand(facts: &mut Facts) {
    let hold = Hold { reason: "case 7".into(), by: "ana".into(), at: ACCEPTED };
    facts.recording.custody.holds.insert("legal".into(), hold);
}

fn trashed(mut facts: Facts, until: Timestamp) -> Facts {
    facts.recording.custody.trash = Some(Trash {
        at: ACCEPTED,
        until,
        rule: "gone".into(),
        reason: "Rule `gone` (age >=365d) deletes it.".into(),
        by: "policy".into(),
        purging: None,
    });
    facts.recording.state = State::Trashed;
    facts
}

fn archived(mut facts: Facts, restore: Option<Restoring>) -> Facts {
    facts.recording.custody.place = Place {
        class: Some("DEEP_ARCHIVE".into()),
        cold: Some(Cold { since: ACCEPTED, restore }),
        ..Place::default()
    };
    facts
}

fn restoring(until: Option<Timestamp>, looks: u32) -> Restoring {
    Restoring { asked_at: after(1), speed: Speed::Bulk, days: 7, until, looks }
}

fn waits(decision: &domain::Decision) -> Vec<String> {
    decision.waits.iter().map(|w| format!("{}: {} waits for {}", w.rule, w.verb, w.waits_for)).collect()
}

fn song() -> Facts {
    probed("song.mp3", good(sound()))
}

const GONE: &str = "rules: [{ name: gone, match: { age: '>=365d' }, delete: {} }]";

#[test]
fn a_deletion_is_offered_on_its_day_and_asks_for_no_job() {
    let policy = parse(GONE);
    let early = decide(&policy, &song(), after(364));
    assert_eq!((early.offers.len(), early.due_at, early.state), (0, Some(after(365)), State::Ready));
    let due = decide(&policy, &song(), after(365));
    assert_eq!((due.jobs.len(), due.due_at, due.state), (0, None, State::Ready));
    let [offer] = due.offers.as_slice() else { panic!("one offer: {:?}", due.offers) };
    assert_eq!((&offer.what, offer.room.as_deref(), offer.bytes), (&What::Delete, None, 5_000_000));
    assert_eq!(offer.trash.as_secs(), 14 * 86_400);
    assert_eq!(offer.reason, "Rule `gone` (age >=365d) deletes it from 2027-06-01T00:00:00Z on.");
    let explained = policy::explain(&policy, &song(), &Default::default(), after(1)).to_string();
    assert!(explained.contains("-> delete: not before 2027-06-01T00:00:00Z"), "{explained}");
}

#[test]
fn of_several_deletions_the_latest_date_wins_whatever_the_order() {
    let policy = parse(
        "
rules:
  - { name: temporary, match: { tags: tmp }, delete: { trash: 1d } }
  - { name: soon, match: { age: '>=30d' }, delete: { trash: 2h } }
  - { name: late, match: { age: '>=60d', size: '>=1MB' }, delete: {} }
  - { name: never for this one, match: { age: '>=90d', size: '>=1TB' }, delete: {} }",
    );
    let mut facts = song();
    facts.recording.tags.insert("tmp".into());
    assert_eq!(decide(&policy, &facts, after(59)).offers, []);
    let offers = decide(&policy, &facts, after(60)).offers;
    assert_eq!(offers.iter().map(|o| &*o.rule).collect::<Vec<_>>(), ["late"]);
    let explained = policy::explain(&policy, &facts, &Default::default(), after(40)).to_string();
    assert!(
        explained.contains("-> delete: nothing to do: rule `late` deletes it later, from 2026-07-31T00:00:00Z, and the latest wins"),
        "{explained}"
    );
}

#[test]
fn what_passes_by_is_no_date() {
    let policy = parse("rules: [{ name: window, match: { age: 10d..20d }, delete: {} }]");
    assert_eq!(decide(&policy, &song(), after(15)).offers.len(), 1);
    assert_eq!(decide(&policy, &song(), after(15)).due_at, Some(Timestamp(after(20).0 + 1)));
    assert_eq!(decide(&policy, &song(), after(21)).offers.len(), 0);
}

#[test]
fn what_is_held_does_not_go_and_is_ready_all_the_same() {
    let policy = parse(
        "
rules:
  - { name: court, match: { tags: case }, hold: { reason: litigation } }
  - { name: gone, match: { age: '>=365d' }, delete: {} }",
    );
    let mut facts = song();
    facts.recording.tags.insert("case".into());
    let decision = decide(&policy, &facts, after(400));
    assert_eq!((decision.offers.len(), decision.state, decision.due_at), (0, State::Ready, None));
    assert_eq!(waits(&decision), ["gone: delete waits for an end of the hold by rule `court` (litigation)"]);
    hold_by_hand(&mut facts);
    let decision = decide(&policy, &facts, after(400));
    assert_eq!(waits(&decision), ["gone: delete waits for the release of the hold `legal` (case 7)"]);
    assert_eq!(decision.reason, "Delete waits for the release of the hold `legal` (case 7).");
    let objection = policy::objection(&policy, &facts, Deed::Delete, after(1)).unwrap();
    assert_eq!(objection.kind, ObjectionKind::Hold);
}

#[test]
fn what_objects_to_a_deletion_comes_in_the_order_of_strength() {
    let policy = parse(
        "
stores: { replica: { url: /mnt/replica } }
protect: { copies: { min: 2 } }
rules:
  - { name: safe, match: { tags: safe }, backup: replica }
  - { name: seven years, match: { tags: tax }, keep: 7y }
  - { name: two years, match: { tags: tax }, keep: { for: 2y } }
  - { name: gone, match: { age: '>=365d' }, delete: {} }",
    );
    let mut facts = song();
    for (tag, kind) in [("safe", ObjectionKind::InUse), ("tax", ObjectionKind::InUse)] {
        facts.recording.tags.insert(tag.into());
        assert_eq!(policy::objection(&policy, &facts, Deed::Delete, after(400)).unwrap().kind, kind, "{tag}");
    }
    let decision = decide(&policy, &facts, after(400));
    assert_eq!(waits(&decision), ["gone: delete waits for backup replica to be finished"]);
    facts.recording.custody.kept_until = Some(after(3000));
    let of = |facts: &Facts, now| policy::objection(&policy, facts, Deed::Delete, now);
    hold_by_hand(&mut facts);
    assert_eq!(of(&facts, after(400)).unwrap().kind, ObjectionKind::Hold);
    facts.recording.custody.holds.clear();
    facts.parked.insert(decision.jobs[0].id, "the replica is full".into());
    let kept = of(&facts, after(400)).unwrap();
    assert_eq!((kept.kind, kept.until), (ObjectionKind::Keep, Some(after(7 * 365))));
    assert_eq!(kept.waits_for, "2033-05-30T00:00:00Z: rule `seven years` keeps it until then");
    assert_eq!(decide(&policy, &facts, after(400)).due_at, Some(after(7 * 365)));
    let grace = of(&facts, after(7 * 365)).unwrap();
    assert_eq!((grace.kind, grace.until), (ObjectionKind::Grace, Some(after(3000))));
    let copies = of(&facts, after(3000)).unwrap();
    assert_eq!((copies.kind, &*copies.waits_for), (ObjectionKind::Copies, "2 verified copies; there is 1"));
    facts.copies.push(copy_in(&facts, "replica"));
    assert_eq!(of(&facts, after(3000)), None);
    assert_eq!(decide(&policy, &facts, after(3000)).offers.len(), 1);
    // A copy that was found bad, or is of what the source was before, counts as none.
    facts.copies[0].bad = Some("three bytes differ".into());
    assert_eq!(of(&facts, after(3000)).unwrap().kind, ObjectionKind::InUse, "its repair");
    facts.copies[0].bad = None;
    facts.copies[0].version = "v0".into();
    assert_eq!(of(&facts, after(3000)).unwrap().kind, ObjectionKind::Copies);
}

#[test]
fn regions_are_counted_by_what_the_stores_say() {
    let policy = parse(
        "
stores:
  recordings: { region: house }
  nas: { url: /mnt/nas, region: house }
  far: { url: 's3://acme-far', region: eu-west-1 }
protect: { copies: { min: 2, regions: 2 } }
rules: [{ name: gone, match: { age: '>=1d' }, delete: {} }]",
    );
    let mut facts = song();
    facts.copies.push(copy_in(&facts, "nas"));
    let objection = policy::objection(&policy, &facts, Deed::Delete, after(2)).unwrap();
    assert_eq!(objection.waits_for, "verified copies in 2 regions; the 2 that there are are in 1");
    facts.copies.push(copy_in(&facts, "far"));
    assert_eq!(policy::objection(&policy, &facts, Deed::Delete, after(2)), None);
    // Without the far one the regions are too few, without the near one they are enough.
    let evict = |store| policy::objection(&policy, &facts, Deed::Evict { store }, after(2));
    assert_eq!(evict("far").unwrap().kind, ObjectionKind::Copies);
    assert_eq!(evict("nas"), None);
    assert!(evict("recordings").is_some());
}

#[test]
fn what_cannot_be_probed_is_kept_where_probing_would_tell_that_it_is_held() {
    let policy = parse(
        "
rules:
  - { name: films stay, match: { type: video/* }, hold: films }
  - { name: gone, match: { age: '>=1d' }, delete: {} }",
    );
    let mut facts = facts(recording(Kind::Recording, "a.mp4"));
    let probe = decide(&policy, &facts, after(2)).jobs[0].id;
    facts.parked.insert(probe, "it took too long".into());
    let decision = decide(&policy, &facts, after(2));
    assert_eq!((decision.offers.len(), decision.state), (0, State::Failed));
    assert_eq!(
        policy::objection(&policy, &facts, Deed::Delete, after(2)).unwrap().kind,
        ObjectionKind::Unsure
    );
    facts.recording.probe = Some(good(sound()));
    assert_eq!(decide(&policy, &facts, after(2)).offers.len(), 1);
}

#[test]
fn what_is_in_the_trash_waits_for_its_purge_and_for_nothing_else() {
    let policy = parse(
        "
stores: { replica: { url: /mnt/replica } }
rules:
  - { name: all of it, match: all, convert: [mp4-720p, audio-m4a], backup: replica, tag: x }
  - { name: court, match: { tags: case }, hold: litigation }
  - { name: gone, match: { age: '>=365d' }, delete: {} }",
    );
    let mut facts = trashed(probed("a.mp4", good(video_and_sound())), after(14));
    facts.recording.custody.lives = 3;
    let early = decide(&policy, &facts, after(13));
    assert_eq!((early.jobs.len(), early.offers.len(), early.waits.len()), (0, 0, 0));
    assert_eq!((early.state, early.due_at), (State::Trashed, Some(after(14))));
    let id = facts.recording.id;
    assert_eq!(
        early.reason,
        format!(
            "Deleted at 2026-06-01T00:00:00Z by rule `gone` (Rule `gone` (age >=365d) deletes it). In the trash until \
             2026-06-15T00:00:00Z; until then `videorec undelete {id}` brings it back."
        )
    );
    let due = decide(&policy, &facts, after(14));
    assert_eq!((due.state, due.due_at, due.jobs.len()), (State::Trashed, None, 1));
    assert_eq!((&due.jobs[0].action, &*due.jobs[0].rule), (&Action::Purge { life: 3 }, "gone"));

    let mut held = facts.clone();
    hold_by_hand(&mut held);
    let decision = decide(&policy, &held, after(20));
    assert_eq!((decision.jobs.len(), decision.state), (0, State::Trashed));
    assert_eq!(waits(&decision), ["custody: purge waits for the release of the hold `legal` (case 7)"]);
    held.recording.custody.holds.clear();
    held.recording.tags.insert("case".into());
    assert_eq!(decide(&policy, &held, after(20)).jobs, []);
    // Once bytes are gone there is no way back, and a hold comes too late.
    held.recording.custody.trash.as_mut().unwrap().purging = Some(after(14));
    assert_eq!(decide(&policy, &held, after(1)).jobs.len(), 1);

    let mut parked = facts.clone();
    parked.parked.insert(due.jobs[0].id, "the disk does not answer".into());
    let decision = decide(&policy, &parked, after(20));
    assert_eq!((decision.jobs.len(), decision.state), (0, State::Trashed));
    assert!(decision.reason.contains("Its purge gave up: The disk does not answer."), "{}", decision.reason);
}

#[test]
fn of_what_is_deleted_nothing_is_asked_ever() {
    let policy =
        parse("rules: [{ name: all, match: all, convert: audio-m4a, delete: {}, unsafe_all: true }]");
    let mut facts = trashed(song(), after(14));
    facts.recording.state = State::Deleted;
    let decision = decide(&policy, &facts, after(400));
    assert_eq!((decision.jobs.len(), decision.offers.len(), decision.waits.len()), (0, 0, 0));
    assert_eq!((decision.state, decision.due_at), (State::Deleted, None));
    assert_eq!(
        policy::objection(&policy, &facts, Deed::Delete, after(400)).unwrap().kind,
        ObjectionKind::Gone
    );
}

#[test]
fn what_came_back_from_the_trash_has_its_grace() {
    let policy = parse(GONE);
    let mut facts = song();
    facts.recording.custody.kept_until = Some(after(500));
    let decision = decide(&policy, &facts, after(400));
    assert_eq!((decision.offers.len(), decision.due_at), (0, Some(after(500))));
    assert_eq!(decide(&policy, &facts, after(500)).offers.len(), 1);
}

#[test]
fn an_archive_waits_for_what_reads_it_and_for_its_copies() {
    let policy = parse(
        "
stores: { replica: { url: /mnt/replica } }
protect: { copies: { min: 2 } }
rules:
  - { name: listen, match: all, convert: audio-m4a }
  - { name: cold, match: { age: '>=30d' }, archive: { class: DEEP_ARCHIVE } }
  - { name: safe, match: { tags: safe }, backup: replica }",
    );
    let mut facts = song();
    let decision = decide(&policy, &facts, after(30));
    assert_eq!(labels(&decision), ["convert audio-m4a"]);
    assert_eq!(waits(&decision), ["cold: archive waits for convert audio-m4a to be finished"]);
    all_done(&mut facts, &decision);
    // Nothing will ever make a second copy: the recording is ready, and says what it lacks.
    let decision = decide(&policy, &facts, after(30));
    assert_eq!((decision.jobs.len(), decision.state), (0, State::Ready));
    assert_eq!(decision.reason, "Archive DEEP_ARCHIVE waits for 2 verified copies; there is 1.");
    facts.copies.push(copy_in(&facts, "replica"));
    let decision = decide(&policy, &facts, after(30));
    assert_eq!(labels(&decision), ["archive DEEP_ARCHIVE"]);
    // Done is what lies there, and what was done once and undone by hand.
    let mut there = archived(facts.clone(), None);
    assert_eq!(decide(&policy, &there, after(31)).jobs, []);
    there.recording.custody.place = Place { class: Some("STANDARD".into()), ..Place::default() };
    assert_eq!(labels(&decide(&policy, &there, after(31))), ["archive DEEP_ARCHIVE"]);
    all_done(&mut there, &decision);
    assert_eq!(decide(&policy, &there, after(31)).jobs, []);
}

#[test]
fn a_cold_source_is_refused_restored_or_skipped_as_the_rule_says() {
    let rule = |cold: &str| {
        parse(&format!("rules: [{{ name: listen, match: all, convert: [audio-m4a, waveform], {cold} }}]"))
    };
    let facts = archived(song(), None);
    let id = facts.recording.id;
    let refused = decide(&rule("cold: refuse"), &facts, after(1));
    assert_eq!((refused.jobs.len(), refused.state, refused.due_at), (0, State::Ready, None));
    let asks = format!(
        "listen: convert waits for its restore from DEEP_ARCHIVE; `videorec restore {id}` asks for it"
    );
    assert_eq!(waits(&refused), [asks]);
    assert_eq!(decide(&rule("tag: x"), &facts, after(1)).waits, refused.waits, "refusing is the default");
    let skipped = decide(&rule("cold: skip"), &facts, after(1));
    assert_eq!((skipped.jobs.len(), skipped.waits.len(), skipped.state), (0, 0, State::Ready));
    let restored = decide(&rule("cold: restore"), &facts, after(1));
    assert_eq!(labels(&restored), ["restore bulk for 7d"]);
    assert_eq!((restored.state, waits(&restored).len()), (State::Processing, 1));
    assert_eq!(
        (&*restored.jobs[0].rule, &restored.jobs[0].action),
        ("listen", &Action::Restore { speed: Speed::Bulk, days: 7, asked: ACCEPTED })
    );

    // Asked for: it is looked at once an hour, and nothing else happens.
    let policy = rule("cold: restore");
    let waiting = archived(song(), Some(restoring(None, 2)));
    let decision = decide(&policy, &waiting, after(1));
    assert_eq!((decision.jobs.len(), decision.due_at), (0, Some(Timestamp(after(1).0 + 3 * HOUR))));
    let look = decide(&policy, &waiting, Timestamp(after(1).0 + 3 * HOUR));
    assert_eq!(look.jobs[0].action, Action::Awaken { asked: after(1), look: 2 });
    assert_eq!((look.jobs.len(), look.state), (1, State::Processing));
    // Restored: it is read, until then; and asked for again afterwards, which is another restore.
    let readable = archived(song(), Some(restoring(Some(after(9)), 3)));
    let decision = decide(&policy, &readable, after(8));
    assert_eq!(
        (labels(&decision), decision.due_at),
        (vec!["convert audio-m4a".into(), "convert waveform".into()], Some(after(9)))
    );
    let again = decide(&policy, &readable, after(9));
    assert_eq!(again.jobs[0].action, Action::Restore { speed: Speed::Bulk, days: 7, asked: after(9) });
    // It is gone where nothing reads it: no restore for what is made already.
    let mut done = archived(song(), None);
    all_done(&mut done, &decision);
    assert_eq!(
        (decide(&policy, &done, after(9)).jobs.len(), decide(&policy, &done, after(9)).state),
        (0, State::Ready)
    );
    // Giving up is terminal.
    let mut parked = archived(song(), None);
    parked.parked.insert(restored.jobs[0].id, "no such class".into());
    let decision = decide(&policy, &parked, after(1));
    assert_eq!((decision.jobs.len(), decision.state), (0, State::Failed));
}

#[test]
fn a_move_is_done_when_it_lies_there_and_what_it_left_goes_when_there_is_enough() {
    let policy = parse(
        "
stores: { attic: { url: /mnt/attic }, cellar: { url: /mnt/cellar } }
rules:
  - { name: up, match: { age: '>=30d' }, move: { to: attic, keep: 3d } }
  - { name: up too, match: { age: '>=40d' }, move: { to: attic, keep: 3d } }
  - { name: x down, match: { age: '>=50d' }, archive: cellar }",
    );
    assert_eq!(policy.warnings().len(), 2, "{:?}", policy.warnings());
    let mut facts = song();
    let decision = decide(&policy, &facts, after(60));
    assert_eq!(decision.jobs.len(), 1, "{decision:?}");
    let action = Action::Move { store: "attic".into(), from: "recordings".into(), keep_ms: 3 * DAY as u64 };
    assert_eq!((&decision.jobs[0].action, &*decision.jobs[0].rule), (&action, "up, up too"));
    let explained = policy::explain(&policy, &facts, &Default::default(), after(60)).to_string();
    assert!(
        explained
            .contains("nothing to do: rule `up` wants it elsewhere (move attic), and comes first by name"),
        "{explained}"
    );
    let mut held = facts.clone();
    hold_by_hand(&mut held);
    let barred = decide(&policy, &held, after(60));
    assert_eq!((barred.jobs.len(), barred.state), (0, State::Ready));
    assert_eq!(policy::objection(&policy, &held, Deed::Move, after(1)).unwrap().kind, ObjectionKind::Hold);

    let mut left = copy_in(&facts, "recordings");
    left.until = Some(after(63));
    facts.recording.store = "attic".into();
    facts.copies.push(left);
    let decision = decide(&policy, &facts, after(62));
    assert_eq!((decision.jobs.len(), decision.due_at), (0, Some(after(63))));
    let decision = decide(&policy, &facts, after(63));
    assert_eq!(decision.jobs[0].action, Action::Evict { store: "recordings".into(), made: ACCEPTED });
    // The job asks the same of itself in the instant of doing it.
    assert_eq!(policy::objection(&policy, &facts, Deed::Evict { store: "recordings" }, after(63)), None);
    hold_by_hand(&mut facts);
    assert_eq!(decide(&policy, &facts, after(63)).jobs, []);
    facts.recording.custody.holds.clear();
    // Promise 1: the last verified copy never goes.
    facts.recording.custody.place.bad = Some("it does not read back".into());
    let decision = decide(&policy, &facts, after(63));
    assert_eq!(labels(&decision), ["repair attic"]);
    assert_eq!(
        policy::objection(&policy, &facts, Deed::Evict { store: "recordings" }, after(63)).unwrap().kind,
        ObjectionKind::InUse
    );
    facts.parked.insert(decision.jobs[0].id, "no".into());
    let decision = decide(&policy, &facts, after(63));
    assert_eq!((decision.jobs.len(), decision.state), (0, State::Failed));
    assert!(
        decision.reason.contains("Evict recordings waits for 1 verified copy; there is none."),
        "{}",
        decision.reason
    );
}

#[test]
fn two_leftovers_go_one_after_the_other() {
    let policy = parse(
        "stores: { a: { url: /mnt/a }, b: { url: /mnt/b } }\nprotect: { copies: { min: 2 } }\nrules: []",
    );
    let mut facts = song();
    for store in ["a", "b"] {
        let mut copy = copy_in(&facts, store);
        copy.until = Some(after(1));
        facts.copies.push(copy);
    }
    assert_eq!(labels(&decide(&policy, &facts, after(1))), ["evict a"]);
    facts.copies.remove(0);
    let decision = decide(&policy, &facts, after(1));
    assert_eq!(waits(&decision), ["custody: evict waits for 2 verified copies; there is 1"]);
}

/// A bad copy may turn out to be beyond repair: until that is known, no other one goes.
#[test]
fn a_leftover_stays_while_a_copy_is_repaired() {
    let policy = parse("stores: { a: { url: /mnt/a }, b: { url: /mnt/b } }\nrules: []");
    let mut facts = song();
    for store in ["a", "b"] {
        facts.copies.push(copy_in(&facts, store));
    }
    facts.copies[0].until = Some(after(1));
    facts.copies[1].bad = Some("a byte differs".into());
    let decision = decide(&policy, &facts, after(1));
    assert_eq!(labels(&decision), ["repair b"]);
    assert_eq!(waits(&decision), ["custody: evict waits for repair b to be finished"]);
}

#[test]
fn bad_bytes_are_replaced_by_good_ones_before_anything_reads_them() {
    let policy = parse(
        "
stores: { replica: { url: /mnt/replica } }
rules: [{ name: all, match: all, convert: audio-m4a, backup: replica }]",
    );
    let mut facts = song();
    facts.copies.push(copy_in(&facts, "replica"));
    facts.copies[0].bad = Some("a byte differs".into());
    let decision = decide(&policy, &facts, after(1));
    assert_eq!(labels(&decision), ["convert audio-m4a", "repair replica"]);
    let repair = decision.jobs.iter().find(|j| j.action.verb() == "repair").unwrap();
    assert_eq!(repair.reason, "What is in replica is bad: a byte differs.");
    assert_eq!(repair.action, Action::Repair { store: "replica".into(), found: ACCEPTED });

    facts.recording.custody.place.bad = Some("it is empty".into());
    let lost = decide(&policy, &facts, after(1));
    assert_eq!((lost.jobs.len(), lost.state), (0, State::Failed));
    assert_eq!(lost.reason, "No good copy is left: a byte differs. No good copy is left: it is empty.");

    facts.copies[0].bad = None;
    facts.recording.custody.place.verified_at = Some(after(1));
    let decision = decide(&policy, &facts, after(2));
    assert_eq!(labels(&decision), ["repair recordings"]);
    assert_eq!(decision.jobs[0].action, Action::Repair { store: "recordings".into(), found: after(1) });
    assert_eq!(waits(&decision), ["all: convert waits for the repair of its bytes"]);
    // Repaired and bad again is said, not tried for ever.
    facts.done.insert(decision.jobs[0].id);
    let decision = decide(&policy, &facts, after(2));
    assert_eq!((decision.jobs.len(), decision.state), (0, State::Failed));
}

#[test]
fn a_copy_is_repaired_only_from_what_can_be_read() {
    let policy = parse("stores: { replica: { url: /mnt/replica } }\nrules: []");
    let mut facts = archived(song(), None);
    facts.copies.push(copy_in(&facts, "replica"));
    facts.copies[0].bad = Some("a byte differs".into());
    let decision = decide(&policy, &facts, after(1));
    assert_eq!((decision.jobs.len(), decision.state, decision.waits.len()), (0, State::Ready, 1));
    facts = archived(facts, Some(restoring(Some(after(3)), 0)));
    let decision = decide(&policy, &facts, after(1));
    assert_eq!((labels(&decision), decision.due_at), (vec!["repair replica".to_owned()], Some(after(3))));
}

#[test]
fn a_rule_is_told_of_once_a_recording() {
    let policy = parse(
        "rules: [{ name: big, match: { size: '>=1MB' }, notify: { severity: warning, text: A large one } }]",
    );
    let mut facts = song();
    let decision = decide(&policy, &facts, ACCEPTED);
    let expected = Action::Notify {
        rule: "big".into(),
        severity: domain::Severity::Warning,
        subject: "A large one".into(),
    };
    assert_eq!(decision.jobs[0].action, expected);
    all_done(&mut facts, &decision);
    assert_eq!(decide(&policy, &facts, ACCEPTED).jobs, []);
}

#[test]
fn a_schedule_puts_off_and_is_not_lost_when_nobody_was_awake() {
    let policy = parse(
        "
stores: { attic: { url: /mnt/attic } }
rules:
  - { name: nightly, match: { size: '>=1MB' }, convert: audio-m4a, schedule: '0 2 * * * Europe/Madrid' }
  - { name: on mondays, match: { age: '>=8d' }, delete: {}, schedule: '0 0 * * 1 UTC' }
  - { name: up, match: { age: '>=2d' }, move: attic, schedule: '30 12 * * * UTC' }",
    );
    let mut facts = song();
    facts.recording.accepted_at = Timestamp(ACCEPTED.0 + HOUR);
    let asleep = decide(&policy, &facts, Timestamp(ACCEPTED.0 + HOUR));
    let two = Timestamp(ACCEPTED.0 + DAY);
    assert_eq!((asleep.jobs.len(), asleep.state, asleep.due_at), (0, State::Processing, Some(two)));
    assert_eq!(asleep.reason, "Waits for 2026-06-02T00:00:00Z, by its schedule `0 2 * * * Europe/Madrid`.");
    assert_eq!(labels(&decide(&policy, &facts, two)), ["convert audio-m4a"]);
    assert_eq!(labels(&decide(&policy, &facts, after(5))), ["convert audio-m4a"]);
    let done = decide(&policy, &facts, two);
    all_done(&mut facts, &done);
    // It begins to match on the third at one o'clock and moves at half past twelve.
    assert_eq!(labels(&decide(&policy, &facts, Timestamp(after(2).0 + 12 * HOUR))), Vec::<String>::new());
    let moves = decide(&policy, &facts, Timestamp(after(2).0 + 12 * HOUR + HOUR / 2));
    assert_eq!(labels(&moves), ["move attic"]);
    facts.recording.store = "attic".into();
    // Old enough on a Tuesday: it goes on the Monday after.
    let decision = decide(&policy, &facts, after(9));
    assert_eq!((decision.offers.len(), decision.due_at), (0, Some(after(14))));
    assert_eq!(decide(&policy, &facts, after(14)).offers.len(), 1);
}

const ROOM: &str = "
stores:
  recordings: { capacity: 1TB }
  replica: { url: /mnt/replica, capacity: 100GB }
protect: { copies: { min: 1 } }
rules:
  - { name: a, match: { prefix: cam/ }, delete: { trash: 1d }, watermark: { store: recordings, high: 85%, low: 75%, emergency: 95%, for: 10m, order: [archived, oldest] } }
  - { name: b, match: all, evict: replica, watermark: { store: replica, high: 90%, low: 50% } }
  - { name: c, match: { age: '>=1d' }, archive: DEEP_ARCHIVE, watermark: { store: recordings, high: 80%, low: 75% } }";

#[test]
fn rules_with_a_watermark_offer_what_they_match_and_do_nothing() {
    let policy = parse(ROOM);
    let mut facts = probed("cam/1.mp4", good(video_and_sound()));
    facts.copies.push(copy_in(&facts, "replica"));
    let decision = decide(&policy, &facts, after(1));
    assert_eq!((decision.jobs.len(), decision.state), (0, State::Ready));
    let offers: Vec<_> =
        decision.offers.iter().map(|o| (&*o.rule, o.what.clone(), o.room.as_deref(), o.bytes)).collect();
    assert_eq!(
        offers,
        [
            ("a", What::Delete, Some("recordings"), 5_000_000),
            ("b", What::Evict { store: "replica".into() }, Some("replica"), 5_000_000),
            ("c", What::Archive { class: "DEEP_ARCHIVE".into() }, Some("recordings"), 5_000_000),
        ]
    );
    hold_by_hand(&mut facts);
    let decision = decide(&policy, &facts, after(1));
    let rules: Vec<_> = decision.offers.iter().map(|o| &*o.rule).collect();
    assert_eq!((rules, decision.waits.len()), (vec!["c"], 0), "a class is no loss; the rest is held");
    // The last verified copy is no offer.
    facts.recording.custody.holds.clear();
    facts.recording.custody.place.bad = Some("gone".into());
    facts.parked.extend(decide(&policy, &facts, after(1)).jobs.iter().map(|j| (j.id, "no".to_owned())));
    let rules: Vec<_> = decide(&policy, &facts, after(1)).offers.into_iter().map(|o| o.rule).collect();
    assert_eq!(rules, ["a"], "deleting is no eviction: one verified copy is what this policy asks for");
    let steps = policy::explain(&policy, &facts, &Default::default(), after(1));
    let standing = |rule: &str| &steps.rules.iter().find(|r| r.rule == rule).unwrap().steps[0].standing;
    assert_eq!(*standing("a"), Standing::Offered("when `recordings` needs room".into()));
    assert!(
        matches!(standing("b"), Standing::NotApplicable(why) if why.contains("1 verified copy; there is none"))
    );
}
