//! Archiving by a bucket's own lifecycle rule, archiving that did not last, and what is cold.

use domain::{
    Action, Cold, Facts, Hold, Place, Restoring, Speed, State, Strayed, Timestamp, Transition, Trash, Way,
};
use policy::{Applies, Policy, Standing};

use crate::support::*;

const BY_LIFECYCLE: &str = "{ name: cold, match: { age: '>=30d', size: '>=128KiB' }, archive: { class: DEEP_ARCHIVE, by: lifecycle } }";

fn rules(rules: &[&str]) -> Policy {
    policy(&rules.iter().map(|rule| format!("  - {rule}\n")).collect::<String>())
}

fn song() -> Facts {
    probed("cam/1.mp3", good(sound()))
}

fn after(days: i64) -> Timestamp {
    Timestamp(ACCEPTED.0 + days * DAY)
}

fn awaited(looks: u32) -> Facts {
    let mut facts = song();
    let transition = Transition { class: "DEEP_ARCHIVE".into(), asked_at: after(30), looks, by_hand: false };
    facts.recording.custody.place.transition = Some(transition);
    facts
}

fn trash() -> Trash {
    Trash {
        at: after(31),
        until: after(45),
        rule: "by hand".into(),
        reason: "a mistake".into(),
        by: "ana".into(),
        purging: None,
    }
}

fn standings(policy: &Policy, facts: &Facts, now: Timestamp, of: &str) -> Vec<String> {
    let explained = policy::explain(policy, facts, &Default::default(), now);
    let rule = explained.rules.into_iter().find(|rule| rule.rule == of);
    rule.map(|rule| rule.steps.iter().map(|s| format!("{}: {}", s.step, s.standing)).collect())
        .unwrap_or_default()
}

#[test]
fn what_is_left_to_the_bucket_is_asked_for_once_and_waited_for_by_nobody() {
    let policy = rules(&[BY_LIFECYCLE, "{ name: listen, match: { tags: late }, convert: audio-m4a }"]);
    let asked = decide(&policy, &song(), after(30));
    let way = |action: &Action| matches!(action, Action::Archive { by: Way::Lifecycle, again: None, .. });
    assert!(matches!(asked.jobs.as_slice(), [job] if way(&job.action)), "{asked:?}");

    let mut facts = awaited(0);
    all_done(&mut facts, &asked);
    let decision = decide(&policy, &facts, after(30));
    assert_eq!((decision.jobs.len(), decision.state), (0, State::Ready), "{}", decision.reason);
    assert_eq!(
        standings(&policy, &facts, after(30), "cold"),
        [format!(
            "archive DEEP_ARCHIVE by lifecycle: left to its bucket's lifecycle rule, which was asked at {}",
            after(30)
        )]
    );
    // Until it has happened it is as hot as before.
    facts.recording.tags.insert("late".into());
    assert_eq!(labels(&decide(&policy, &facts, after(30))), ["convert audio-m4a"]);
}

#[test]
fn looks_come_with_growing_pauses() {
    let policy = rules(&[BY_LIFECYCLE]);
    for (looks, hours) in [(0, 6), (1, 18), (2, 42)] {
        let at = Timestamp(after(30).0 + hours * HOUR);
        let before = decide(&policy, &awaited(looks), Timestamp(at.0 - 1));
        assert_eq!((before.jobs.len(), before.due_at), (0, Some(at)));
        let due = decide(&policy, &awaited(looks), at);
        assert_eq!(due.jobs.len(), 1);
        assert_eq!(due.jobs[0].action, Action::Look { asked: after(30), look: looks });
    }
}

/// The rule is gone, or no longer for it: then it is to stay where it is.
#[test]
fn what_no_rule_wants_any_more_is_taken_back() {
    let withdraw = |policy: &Policy, facts: &Facts, days| {
        let decision = decide(policy, facts, after(days));
        (labels(&decision), decision.jobs.iter().any(|j| j.action == Action::Withdraw { asked: after(30) }))
    };
    let back = (vec!["take back its archiving".to_owned()], true);
    assert_eq!(withdraw(&rules(&["{ name: x, match: { tags: x }, tag: y }"]), &awaited(1), 31), back);
    let window = BY_LIFECYCLE.replace("'>=30d'", "30d..40d");
    assert_eq!(withdraw(&rules(&[&window]), &awaited(1), 40), (vec!["look at its class".to_owned()], false));
    assert_eq!(withdraw(&rules(&[&window]), &awaited(1), 41), back);
    // Another class is another tag in its place, and what is archived now takes the tag along.
    let other = BY_LIFECYCLE.replace("DEEP_ARCHIVE", "GLACIER");
    let asked = vec!["archive GLACIER by lifecycle".to_owned()];
    assert_eq!(withdraw(&rules(&[&other]), &awaited(1), 41), (asked, false));
    let at_once = BY_LIFECYCLE.replace(", by: lifecycle", "");
    assert_eq!(
        withdraw(&rules(&[&at_once]), &awaited(1), 41),
        (vec!["archive DEEP_ARCHIVE".to_owned()], false)
    );
    // Done, and still asked for: nothing is tried for ever.
    let mut facts = awaited(1);
    facts.done.insert(Action::Withdraw { asked: after(30) }.job_id(facts.recording.id, "v1"));
    let decision = decide(&rules(&["{ name: x, match: { tags: x }, tag: y }"]), &facts, after(31));
    assert_eq!((decision.jobs.len(), decision.state), (0, State::Failed), "{}", decision.reason);
}

/// What a person asked for no rule has to want; one that wants it elsewhere does as it says, and so does the trash.
#[test]
fn what_was_asked_for_by_hand_is_waited_for_though_no_rule_wants_it() {
    let mut facts = awaited(1);
    facts.recording.custody.place.transition.as_mut().unwrap().by_hand = true;
    let none = rules(&["{ name: x, match: { tags: x }, tag: y }"]);
    assert_eq!(labels(&decide(&none, &facts, after(31))), ["look at its class"]);
    let other = BY_LIFECYCLE.replace("DEEP_ARCHIVE", "GLACIER");
    assert_eq!(labels(&decide(&rules(&[&other]), &facts, after(31))), ["archive GLACIER by lifecycle"]);
    facts.recording.custody.trash = Some(trash());
    assert_eq!(labels(&decide(&none, &facts, after(31))), ["take back its archiving"]);
}

/// Nothing sinks in the trash; what comes back from it is asked for anew, by another job.
#[test]
fn what_is_in_the_trash_is_taken_back_and_asked_for_when_it_returns() {
    let policy = rules(&[BY_LIFECYCLE]);
    let mut facts = awaited(1);
    let first = decide(&policy, &song(), after(30));
    all_done(&mut facts, &first);
    facts.recording.custody.trash = Some(trash());
    let mut held = facts.clone();
    let hold = Hold { reason: "case 7".into(), by: "ana".into(), at: after(31) };
    held.recording.custody.holds.insert("legal".into(), hold);
    for facts in [&facts, &held] {
        let back = decide(&policy, facts, after(31));
        assert_eq!((labels(&back), back.state), (vec!["take back its archiving".to_owned()], State::Trashed));
        assert!(back.jobs[0].reason.contains("trash") && back.reason.contains("undelete"), "{}", back.reason);
        assert_eq!(back.jobs[0].action, Action::Withdraw { asked: after(30) });
    }
    // What goes now takes its tags along.
    assert_eq!(labels(&decide(&policy, &facts, after(45))), ["purge"]);
    assert_eq!(labels(&decide(&policy, &held, after(45))), ["take back its archiving"]);
    facts.recording.custody.trash = Some(Trash { purging: Some(after(45)), ..trash() });
    assert_eq!(labels(&decide(&policy, &facts, after(46))), ["purge"]);

    let custody = &mut facts.recording.custody;
    (custody.trash, custody.place.transition) = (None, None);
    custody.place.strayed = Some(Strayed { from: "DEEP_ARCHIVE".into(), at: after(32), times: 0 });
    let again = decide(&policy, &facts, after(33));
    assert_eq!(labels(&again), labels(&first));
    assert_ne!(again.jobs[0].id, first.jobs[0].id);
}

/// A hold keeps what there is, and another class of the same store is no loss: as with archiving at once.
#[test]
fn a_hold_does_not_keep_it_from_sinking() {
    let policy = rules(&[BY_LIFECYCLE, "{ name: court, match: all, hold: litigation }"]);
    assert_eq!(labels(&decide(&policy, &song(), after(30))), ["archive DEEP_ARCHIVE by lifecycle"]);
}

#[test]
fn what_lifecycle_rules_leave_alone_is_left_alone_and_said_why() {
    let policy = rules(&[&BY_LIFECYCLE.replace(", size: '>=128KiB'", "")]);
    let warnings: Vec<_> = policy.warnings().iter().map(|w| w.message.clone()).collect();
    assert!(
        matches!(&warnings[..], [one] if one.contains("under 128 KiB") && one.contains("size:")),
        "{warnings:?}"
    );
    let mut facts = song();
    facts.recording.digest.size = (128 << 10) - 1;
    assert_eq!(decide(&policy, &facts, after(31)).jobs, []);
    let [said] = standings(&policy, &facts, after(31), "cold").try_into().unwrap();
    assert!(said.contains("under 128 KiB") && said.contains("`by: lifecycle`"), "{said}");
    facts.recording.digest.size += 1;
    assert_eq!(decide(&policy, &facts, after(31)).jobs.len(), 1);
    assert_eq!(rules(&[BY_LIFECYCLE]).warnings(), []);
}

#[test]
fn what_is_wrong_with_an_archive_says_what_is_right() {
    for (rule, says) in [
        ("archive: { class: DEEP_ARCHIVE, by: magic }", "unknown way `magic`"),
        ("archive: { to: replica, by: lifecycle }", "leave it out"),
        ("archive: { by: lifecycle }", "`archive` names one place"),
        ("archive: { class: GLACIER, to: replica }", "`archive` names one place"),
        (
            "archive: { class: GLACIER, by: lifecycle }, watermark: { store: recordings, high: 90%, low: 80% }",
            "take days to make room",
        ),
        ("convert: audio-m4a, cold: { days: 3 }", "cold: { restore: bulk, days: 7 }"),
        ("convert: audio-m4a, cold: { restore: quick }", "unknown speed `quick`"),
        ("convert: audio-m4a, cold: { restore: bulk, days: 0 }", "between 1 and 365"),
        ("tag: x, cold: { restore: bulk }", "this rule has none"),
    ] {
        let text = format!(
            "version: 1\nstores: {{ replica: {{ url: /r }}, recordings: {{ capacity: 1TB }} }}\nrules: [{{ name: r, match: all, {rule} }}]\n"
        );
        let problems = policy::parse(&text).expect_err(rule).to_string();
        assert!(problems.contains(says), "{rule}: {problems}");
    }
}

/// What was archived and lies elsewhere is archived again: a day later, two, four, and then no more.
#[test]
fn what_did_not_stay_is_archived_again_a_few_times() {
    for rule in [BY_LIFECYCLE.to_owned(), BY_LIFECYCLE.replace(", by: lifecycle", "")] {
        let policy = rules(&[&rule]);
        let mut facts = song();
        let first = decide(&policy, &facts, after(30));
        all_done(&mut facts, &first);
        for (times, days) in [(0, 0), (1, 1), (2, 2), (3, 4)] {
            let strayed = Strayed { from: "DEEP_ARCHIVE".into(), at: after(40), times };
            let class = Some("STANDARD".into());
            facts.recording.custody.place = Place { class, strayed: Some(strayed), ..Place::default() };
            let early = decide(&policy, &facts, Timestamp(after(40 + days).0 - 1));
            assert_eq!((early.jobs.len(), early.due_at), (0, Some(after(40 + days))), "{rule}");
            let again = decide(&policy, &facts, after(40 + days));
            assert_eq!(labels(&again), labels(&first));
            assert!(!facts.done.contains(&again.jobs[0].id), "it is another job");
        }
        let place = &mut facts.recording.custody.place;
        place.strayed.as_mut().unwrap().times = 4;
        let given_up = decide(&policy, &facts, after(100));
        assert_eq!((given_up.jobs.len(), given_up.state), (0, State::Failed));
        assert!(
            given_up.reason.contains("4 times") && given_up.reason.contains("STANDARD"),
            "{}",
            given_up.reason
        );
    }
}

/// A restore costs money: the rule says whether, how fast and for how long.
#[test]
fn a_rule_says_how_what_it_reads_is_restored() {
    let rule = |cold: &str| rules(&[&format!("{{ name: listen, match: all, convert: audio-m4a, {cold} }}")]);
    let mut facts = song();
    let restores = |policy: &Policy, facts: &Facts| {
        let jobs = decide(policy, facts, after(2)).jobs;
        jobs.into_iter().map(|j| j.action).collect::<Vec<_>>()
    };
    for (class, cold, speed, days) in [
        ("DEEP_ARCHIVE", "cold: restore", Speed::Bulk, 7),
        ("DEEP_ARCHIVE", "cold: { restore: standard, days: 3 }", Speed::Standard, 3),
        ("GLACIER", "cold: { restore: expedited }", Speed::Expedited, 7),
        ("DEEP_ARCHIVE", "cold: { restore: expedited, days: 30d }", Speed::Standard, 30),
    ] {
        let cold_since = Some(Cold { since: after(1), restore: None });
        facts.recording.custody.place =
            Place { class: Some(class.into()), cold: cold_since, ..Place::default() };
        assert_eq!(
            restores(&rule(cold), &facts),
            [Action::Restore { speed, days, asked: after(1) }],
            "{class} {cold}"
        );
    }
    // The usual way said at length is the same policy.
    assert_eq!(rule("cold: restore").hash(), rule("cold: { restore: bulk, days: 7 }").hash());
    let refused = decide(&rule("cold: refuse"), &facts, after(2));
    assert!(refused.waits.iter().all(|wait| wait.restore) && refused.waits.len() == 1);
    let explained = policy::explain(&rule("cold: refuse"), &facts, &Default::default(), after(2));
    let rule = explained.rules.iter().find(|r| r.rule == "listen").unwrap();
    assert_eq!(rule.applies, Applies::Yes);
    assert!(matches!(rule.steps[0].standing, Standing::Cold(_)));
}

/// A bucket's rules may take it before anybody has probed it. Nothing can be read of it then, and who needs the probe says whether
/// that is worth a restore.
#[test]
fn what_went_into_an_archive_unprobed_is_probed_when_it_is_restored() {
    let convert =
        |cold: &str| rules(&[&format!("{{ name: listen, match: all, convert: audio-m4a, cold: {cold} }}")]);
    let mut facts = song();
    facts.recording.probe = None;
    let cold = |restore| Some(Cold { since: after(1), restore });
    facts.recording.custody.place =
        Place { class: Some("DEEP_ARCHIVE".into()), cold: cold(None), ..Place::default() };
    let refused = decide(&convert("refuse"), &facts, after(2));
    assert_eq!((refused.jobs.len(), refused.state.is_terminal()), (0, true), "{}", refused.reason);
    assert!(refused.reason.contains("Probe waits for its restore from DEEP_ARCHIVE"), "{}", refused.reason);
    assert_eq!(decide(&convert("skip"), &facts, after(2)).jobs, []);
    let restores = decide(&convert("restore"), &facts, after(2));
    assert_eq!(labels(&restores), ["restore bulk for 7d"]);

    let asked = Restoring { asked_at: after(2), speed: Speed::Bulk, days: 7, until: None, looks: 0 };
    facts.recording.custody.place.cold = cold(Some(asked.clone()));
    let waits = decide(&convert("restore"), &facts, after(2));
    assert_eq!((waits.jobs.len(), waits.state), (0, State::Accepted), "{}", waits.reason);
    facts.recording.custody.place.cold = cold(Some(Restoring { until: Some(after(10)), ..asked }));
    assert_eq!(labels(&decide(&convert("restore"), &facts, after(3))), ["probe"]);
}

/// A source that is readable for a while is looked at again when that is over, also by what no rule asks for.
#[test]
fn a_probe_has_the_time_that_its_restore_lasts() {
    let policy = rules(&["{ name: loud, match: { size: '>=1GB' }, tag: large }"]);
    let mut facts = facts(recording(domain::Kind::Recording, "cam/1.mp3"));
    let restore =
        Restoring { asked_at: after(1), speed: Speed::Bulk, days: 7, until: Some(after(9)), looks: 1 };
    facts.recording.custody.place.cold = Some(Cold { since: after(0), restore: Some(restore) });
    let decision = decide(&policy, &facts, after(2));
    assert_eq!((labels(&decision), decision.due_at), (vec!["probe".to_owned()], Some(after(9))));
    let over = decide(&policy, &facts, after(9));
    assert!(over.jobs.is_empty() && over.waits[0].restore, "{over:?}");
}
