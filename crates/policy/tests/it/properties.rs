use std::collections::BTreeSet;

use domain::{
    Action, Cold, Custody, Decision, Facts, Hold, JobId, JobSpec, Kind, Leaving, MixSpec, Offer, Rendition,
    Restoring, Speed, State, Strayed, Timestamp, Transition, Trash, Way, What,
};
use policy::Deed;
use proptest::{
    collection::vec,
    prelude::*,
    sample::{select, subsequence},
};

use crate::support::{self, *};

/// Rules of every verb and every kind of condition; a policy takes some of them.
const RULES: &[&str] = &[
    "{ name: all safe, match: all, backup: replica }",
    "{ name: age, match: { age: '>=30d' }, convert: mp4-480p }",
    "{ name: age range, match: { age: 10d..20d, size: '>=1MB' }, tag: middle }",
    "{ name: accepted ago, match: { accepted: '>=2d' }, tag: settled }",
    "{ name: accepted, match: { accepted: { before: 2026-06-02 } }, tag: early }",
    "{ name: recorded, match: { recorded: { from: 2026-01-01 } }, tag: this year }",
    "{ name: web, match: { type: video/* }, convert: [mp4-720p, audio-m4a, thumbnails] }",
    "{ name: web too, match: { codec: h264, kind: recording }, convert: [mp4-720p, webm-vp9] }",
    "{ name: sound, match: { type: audio/*, duration: '>=1m' }, convert: [audio-m4a, waveform] }",
    "{ name: salvage, match: { state: damaged }, backup: [replica, recordings], tag: damaged }",
    "{ name: tagged, match: { tags: { has: early, none: [middle] } }, tag: chained }",
    "{ name: after tags, match: { tags: { none: settled } }, convert: audio-mp3 }",
    "{ name: calls, match: { kind: session }, mix: { loudness: -16LUFS } }",
    "{ name: calls louder, match: { kind: session }, mix: { loudness: -14LUFS } }",
    "{ name: calls heard, match: { kind: session }, mix: { layout: audio-only } }",
    "{ name: old, match: { age: '>=60d' }, delete: {} }",
    "{ name: older, match: { age: '>=90d', tags: { none: other } }, delete: { trash: 2h } }",
    "{ name: other goes, match: { tags: other }, delete: {} }",
    "{ name: a month, match: { age: 30d..120d, type: video/* }, delete: {} }",
    "{ name: early stays, match: { tags: early }, hold: it was early }",
    "{ name: sounds stay, match: { type: audio/*, age: '<200d' }, hold: { reason: it sounds } }",
    "{ name: kept, match: { tags: { any: [middle, other] } }, keep: 100d }",
    "{ name: kept longer, match: { age: '<400d', kind: session }, keep: { for: 1y } }",
    "{ name: forgotten, match: { last_access: '>=50d', copies: '>=2' }, delete: {} }",
    "{ name: freeze, match: { age: '>=20d', tier: hot }, archive: DEEP_ARCHIVE }",
    "{ name: glacier, match: { age: '>=50d', tags: { any: [middle, other] } }, archive: { class: GLACIER }, cold: restore }",
    "{ name: sink, match: { age: '>=40d', tags: { none: other } }, archive: { class: DEEP_ARCHIVE, by: lifecycle } }",
    "{ name: sink in summer, match: { age: 30d..80d, size: '>=128KiB' }, archive: { class: GLACIER_IR, by: lifecycle } }",
    "{ name: thaw fast, match: { tier: cold }, convert: audio-wav, cold: { restore: expedited, days: 2 } }",
    "{ name: attic, match: { accepted: '>=40d', tags: other }, move: { to: attic, keep: 3d }, cold: restore }",
    "{ name: thaw, match: { tier: cold, tags: early }, convert: audio-wav, backup: attic, cold: restore }",
    "{ name: tell, match: { copies: '<2' }, notify: warning, cold: skip, backup: attic }",
    "{ name: nightly, match: { age: '>=3d' }, tag: nightly, backup: far, schedule: '0 2 * * * Europe/Madrid' }",
    "{ name: on sundays, match: { age: '>=70d' }, archive: GLACIER_IR, schedule: '30 3 * * 0 UTC', cold: restore }",
    "{ name: on mondays, match: { age: '>=70d' }, delete: {}, schedule: '30 3 * * 1 UTC' }",
    "{ name: said, match: all, when: recording.age > duration('36h') && recording.height >= 720, tag: said }",
    "{ name: said to go, match: { age: '>=45d' }, when: '!(\"early\" in recording.tags) || recording.last_access < now', delete: {} }",
    "{ name: no answer, match: { kind: recording }, when: recording.size / (recording.copies - 1) > 0, keep: forever }",
    "{ name: said to stay, match: all, when: now < timestamp('2026-07-15') && recording.cold, hold: summer }",
    "{ name: room, match: { age: '>=5d' }, delete: {}, watermark: { store: recordings, high: 90%, low: 80% } }",
    "{ name: room there, match: { tier: hot }, evict: replica, watermark: { store: replica, high: 90%, low: 80% } }",
    "{ name: room cold, match: all, archive: attic, watermark: { store: recordings, high: 90%, low: 80% } }",
    "{ name: sent, match: { tags: other }, export: portal }",
    "{ name: sent by day, match: { size: '>=1MB' }, export: { to: nas, with: [json, thumbnails] }, cold: restore }",
    "{ name: sent at night, match: all, export: { to: partner, rendition: mp4-720p, on_conflict: skip } }",
    "{ name: sent small, match: { age: '>=1d' }, export: { to: [nas, partner, portal], rendition: 'video/*:480' } }",
    "{ name: sent sound, match: all, export: { to: [partner, nas], rendition: audio/* }, schedule: '0 1 * * * UTC' }",
    "{ name: sent somehow, match: { tags: { none: early } }, export: { to: [nas, partner], verify: size }, cold: skip }",
    "{ name: sent call, match: { kind: session }, export: { to: nas, rendition: audio-m4a } }",
    "{ name: a case stays, match: { fields: { case: A-1 } }, hold: the court has it }",
    "{ name: urgent, match: { fields: { priority: '>=2', case: { not: A-2 } } }, backup: attic, tag: urgent }",
    "{ name: no case, match: { age: '>=50d' }, when: '!has(recording.fields.case) || recording.fields.priority < 2.0', delete: {} }",
    "{ name: everything at once, match: { name: '**', height: '>=720' }, convert: waveform, mix: {}, tag: tall }",
];

const STORES: &str = "
version: 1
fields: { case: [A-1, A-2], priority: number }
stores:
  recordings: { capacity: 1TB, region: house }
  replica: { url: /mnt/replica, capacity: 1TB, region: house }
  attic: { url: /mnt/attic }
  far: { url: 's3://acme-far', region: eu-west-1 }
  nas: { url: /mnt/nas, hours: '08:00-18:00 Europe/Madrid' }
  partner: { url: 'davs://partner.example.com/in', secret: partner, hours: '22:00-06:00 America/New_York' }
  portal: { url: 'davs://portal.example.com', bandwidth: 5MB }
";

/// A policy of these rules that protects so many copies, in so many regions.
fn policy_of(rules: &[&str], copies: u32, regions: u32) -> policy::Policy {
    let rules: String = rules.iter().map(|rule| format!("\n  - {rule}")).collect();
    let protect = format!("protect: {{ copies: {{ min: {copies}, regions: {regions} }} }}");
    let text = format!("{STORES}{protect}\nrules:{rules}");
    policy::parse(&text).unwrap_or_else(|problems| panic!("{problems}"))
}

fn any_policy() -> impl Strategy<Value = policy::Policy> {
    (any_rules(), 1u32..4, 1u32..3)
        .prop_map(|(rules, copies, regions)| policy_of(&rules, copies, regions.min(copies)))
}

/// Of few rules, so that much is left out.
pub(crate) fn any_small_policy() -> impl Strategy<Value = policy::Policy> {
    (subsequence(RULES, 1..=3), 1u32..4).prop_map(|(rules, copies)| policy_of(&rules, copies, 1))
}

fn any_rules() -> impl Strategy<Value = Vec<&'static str>> {
    subsequence(RULES, 1..=RULES.len())
}

fn any_probe() -> impl Strategy<Value = domain::Probe> {
    prop_oneof![
        4 => prop_oneof![Just(video_and_sound()), Just(silent_video()), Just(sound())].prop_map(good),
        1 => Just(damaged(video_and_sound())),
        1 => Just(unsupported()),
    ]
}

pub(crate) fn any_facts() -> impl Strategy<Value = Facts> {
    let track = prop_oneof![
        1 => Just(None),
        4 => (prop::option::weighted(0.8, any_probe()), any::<bool>()).prop_map(Some),
    ];
    (
        prop_oneof![4 => Just(Kind::Recording), 1 => Just(Kind::Track), 3 => Just(Kind::Session)],
        prop::option::of(any_probe()),
        vec(track, 0..4),
        prop::option::of(-400 * DAY..400 * DAY),
        (
            prop::collection::btree_set(prop_oneof!["early", "middle", "other"], 0..2),
            prop::collection::btree_map(
                select(vec!["case", "priority"]),
                select(vec!["A-1", "A-2", "1.5", "3"]),
                0..3,
            ),
        ),
        any_custody(),
        subsequence(vec!["attic", "far", "recordings", "replica"], 0..4),
        vec((0u8..8, prop::option::weighted(0.3, -10 * DAY..100 * DAY)), 4),
        prop::option::weighted(0.3, vec(any::<u8>(), 1..4)),
    )
        .prop_map(
            |(kind, probe, tracks, recorded, (tags, fields), (custody, home), stores, copies, made)| {
                let mut facts = facts(recording(kind, "cam/a.bin"));
                facts.renditions = made.into_iter().flatten().map(|n| rendition(&facts, n)).collect();
                facts.recording.tags = tags;
                for (name, value) in fields {
                    facts.recording.fields.set(name, value).unwrap();
                }
                facts.recording.store = home.into();
                if custody.trash.is_some() {
                    facts.recording.state = State::Trashed;
                }
                facts.recording.custody = custody;
                for (store, (fate, until)) in stores.into_iter().filter(|s| *s != home).zip(copies) {
                    let mut copy = copy_in(&facts, store);
                    copy.bad = (fate == 0).then(|| "it does not read back".into());
                    copy.until = until.map(|ms| Timestamp(ACCEPTED.0 + ms));
                    if fate == 1 {
                        copy.version = "v0".into();
                    }
                    facts.copies.push(copy);
                }
                facts.recording.recorded_at = recorded.map(|ms| Timestamp(ACCEPTED.0 + ms));
                if kind != Kind::Session {
                    facts.recording.probe = probe;
                    return facts;
                }
                for (i, track) in tracks.into_iter().enumerate() {
                    let name = format!("track{i}.webm");
                    missing(&mut facts, &name);
                    facts.tracks[i].recording = track.map(|(probe, failed)| {
                        let mut recording = recording(Kind::Track, &name);
                        recording.state = if failed { State::Failed } else { State::Processing };
                        recording.probe = probe;
                        recording
                    });
                }
                facts
            },
        )
}

/// How its bytes lie, and the store that holds them.
fn any_custody() -> impl Strategy<Value = (Custody, &'static str)> {
    let at = |range: std::ops::Range<i64>| range.prop_map(|ms| Timestamp(ACCEPTED.0 + ms));
    let restoring = (at(0..60 * DAY), prop::option::of(at(0..90 * DAY)), 0u32..50).prop_map(
        |(asked_at, until, looks)| Restoring { asked_at, speed: Speed::Bulk, days: 7, until, looks },
    );
    let cold =
        (at(0..50 * DAY), prop::option::of(restoring)).prop_map(|(since, restore)| Cold { since, restore });
    let class = prop_oneof![4 => Just(None), 1 => Just(Some("DEEP_ARCHIVE")), 1 => Just(Some("GLACIER"))];
    let trash = (at(0..50 * DAY), prop::option::weighted(0.2, at(50 * DAY..60 * DAY)));
    (
        prop::bool::weighted(0.15),
        prop::option::weighted(0.2, at(0..200 * DAY)),
        prop::option::weighted(0.1, trash),
        class,
        prop::option::weighted(0.2, cold),
        prop::bool::weighted(0.1),
        prop::option::of(at(-50 * DAY..50 * DAY)),
        prop_oneof![6 => Just("recordings"), 1 => Just("attic"), 1 => Just("replica")],
        any_unrest(),
    )
        .prop_map(
            |(held, kept_until, trash, class, cold, bad, last_access, home, (transition, strayed))| {
                let mut custody = Custody { kept_until, last_access, ..Custody::default() };
                if held {
                    let hold = Hold { reason: "case 7".into(), by: "ana".into(), at: ACCEPTED };
                    custody.holds.insert("legal".into(), hold);
                }
                custody.trash = trash.map(|(at, purging)| Trash {
                    at,
                    until: Timestamp(at.0 + 14 * DAY),
                    rule: "old".into(),
                    reason: "it was old".into(),
                    by: "policy".into(),
                    purging,
                });
                custody.place.class = class.map(str::to_owned);
                custody.place.cold = cold;
                custody.place.transition = transition;
                custody.place.strayed = strayed;
                custody.place.bad = bad.then(|| "it does not read back".into());
                (custody, home)
            },
        )
}

/// What is about to lie elsewhere, or did against our will.
fn any_unrest() -> impl Strategy<Value = (Option<Transition>, Option<Strayed>)> {
    let at = |range: std::ops::Range<i64>| range.prop_map(|ms| Timestamp(ACCEPTED.0 + ms));
    let class = || prop_oneof!["DEEP_ARCHIVE", "GLACIER_IR"];
    let transition = (class(), at(0..60 * DAY), 0u32..5, any::<bool>())
        .prop_map(|(class, asked_at, looks, by_hand)| Transition { class, asked_at, looks, by_hand });
    let strayed =
        (class(), at(0..60 * DAY), 1u32..6).prop_map(|(from, at, times)| Strayed { from, at, times });
    (prop::option::weighted(0.2, transition), prop::option::weighted(0.2, strayed))
}

pub(crate) fn any_now() -> impl Strategy<Value = Timestamp> {
    prop_oneof![(-DAY..60 * DAY), (-500 * DAY..800 * DAY)].prop_map(|ms| Timestamp(ACCEPTED.0 + ms))
}

fn ids(decision: &Decision) -> Vec<JobId> {
    decision.jobs.iter().map(|j| j.id).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(250))]

    /// The same facts give the same decision, whatever the order of rules in the file and of events in the past.
    #[test]
    fn order_leaves_no_trace(
        (rules, shuffled) in any_rules().prop_flat_map(|r| (Just(r.clone()), Just(r).prop_shuffle())),
        facts in any_facts(),
        (made, remade) in vec(any::<u8>(), 0..5).prop_flat_map(|v| (Just(v.clone()), Just(v).prop_shuffle())),
        now in any_now(),
    ) {
        let (one, other) = (policy_of(&rules, 2, 1), policy_of(&shuffled, 2, 1));
        prop_assert_eq!(one.hash(), other.hash());
        let with = |order: &[u8]| {
            let mut facts = facts.clone();
            facts.renditions = order.iter().map(|n| rendition(&facts, *n)).collect();
            // The same places in another order.
            let by = order.first().copied().unwrap_or_default();
            facts.copies.sort_by_key(|c| c.store.bytes().fold(by, |sum, b| sum.wrapping_mul(31).wrapping_add(b)));
            facts
        };
        let first = decide(&one, &with(&made), now);
        prop_assert_eq!(&first, &decide(&one, &with(&made), now));
        prop_assert_eq!(&first, &decide(&other, &with(&remade), now));
        let sorted: BTreeSet<JobId> = ids(&first).into_iter().collect();
        prop_assert_eq!(ids(&first), sorted.into_iter().collect::<Vec<_>>(), "sorted, and none twice");
    }

    /// Promise 3, its pure half: every accepted recording reaches one terminal state in bounded time. Whatever
    /// jobs end in, done or parked, after a few rounds nothing is asked for and the state is terminal.
    #[test]
    fn whatever_the_jobs_end_in_a_terminal_state_is_reached(
        policy in any_policy(),
        facts in any_facts(),
        ends in vec((any::<bool>(), any_probe()), 40),
        now in any_now(),
    ) {
        let (mut facts, mut now, mut ends) = (facts, now.max(ACCEPTED), ends.into_iter().cycle());
        let mut rounds = 0;
        loop {
            let decision = decide(&policy, &facts, now);
            if decision.state.is_terminal() && decision.jobs.is_empty() {
                prop_assert!(decision.state == State::Ready || !decision.reason.is_empty());
                break;
            }
            prop_assert!(!decision.state.is_terminal() || decision.state == State::Trashed);
            rounds += 1;
            // A restore may have been asked for up to 60 days ahead, and an expression looks at the time once a day.
            prop_assert!(rounds < 150, "still {:?}: {}", decision.state, decision.reason);
            if decision.jobs.is_empty() {
                // Without a job of one's own, tracks are waited for, which are probed by theirs, or time.
                prop_assert!(facts.recording.kind == Kind::Session || decision.due_at.is_some());
                for track in facts.tracks.iter_mut().filter_map(|t| t.recording.as_mut()) {
                    let (done, probe) = ends.next().unwrap();
                    if track.probe.is_none() && done {
                        track.probe = Some(probe);
                    } else if track.probe.is_none() {
                        track.state = State::Failed;
                    }
                }
                now = decision.due_at.unwrap_or(now);
            }
            for job in &decision.jobs {
                let (done, probe) = ends.next().unwrap();
                if done {
                    facts.done.insert(job.id);
                    happen(&mut facts, job, probe, now);
                } else {
                    facts.parked.insert(job.id, "it gave up".into());
                }
            }
        }
    }

    /// Promise 2, its half here: a hold is absolute. What is held is not deleted, purged, evicted or moved, and nobody is
    /// offered it; only what lost bytes already is purged to its end.
    #[test]
    fn what_is_held_stays(policy in any_policy(), facts in any_facts(), now in any_now()) {
        let mut facts = facts;
        if facts.recording.custody.holds.is_empty() {
            let hold = Hold { reason: "case 7".into(), by: "ana".into(), at: ACCEPTED };
            facts.recording.custody.holds.insert("legal".into(), hold);
        }
        let purging = facts.recording.custody.trash.as_ref().is_some_and(|t| t.purging.is_some());
        let decision = decide(&policy, &facts, now);
        for job in &decision.jobs {
            let harms = matches!(job.action, Action::Purge { .. } | Action::Evict { .. } | Action::Move { .. });
            prop_assert!(!harms || purging, "{:?}", job.action);
        }
        for offer in &decision.offers {
            // Another class in the same store is no loss.
            let class = matches!(&offer.what, What::Archive { class } if class != "attic");
            prop_assert!(class, "{:?}", offer);
        }
        for deed in [Deed::Delete, Deed::Evict { store: "replica" }, Deed::Move] {
            prop_assert!(policy::objection(&policy, &facts, deed, now).is_some());
        }
    }

    /// The latest date wins: a deletion that is due, is due by every delete rule that is for this recording.
    #[test]
    fn the_latest_date_wins(
        ages in vec((0i64..40, prop::option::of(1i64..40), any::<bool>()), 1..6),
        day in 0i64..90,
    ) {
        let rules: Vec<String> = ages.iter().enumerate().map(|(i, (from, length, mine))| {
            let size = if *mine { "<1GB" } else { ">1GB" };
            let age = length.map_or(format!(">={from}d"), |length| format!("{from}d..{}d", from + length));
            format!("{{ name: r{i}, match: {{ age: {age:?}, size: {size:?} }}, delete: {{}} }}")
        }).collect();
        let policy = policy_of(&rules.iter().map(String::as_str).collect::<Vec<_>>(), 1, 1);
        let now = Timestamp(ACCEPTED.0 + day * DAY);
        let open = ages.iter().filter(|(from, length, mine)| *mine && length.is_none_or(|length| day <= from + length));
        let dates: Vec<i64> = open.map(|(from, ..)| *from).collect();
        let due = dates.iter().max().is_some_and(|latest| *latest <= day);
        let facts = probed("a.mp3", good(sound()));
        let offers = decide(&policy, &facts, now).offers;
        prop_assert_eq!(offers.len(), usize::from(due), "{:?} on day {}", dates, day);
    }

    /// Promise 1, its half here: the last verified copies never go. What is deleted has as many as the policy protects,
    /// and what is evicted leaves as many.
    #[test]
    fn no_fewer_copies_than_protected(policy in any_policy(), facts in any_facts(), now in any_now()) {
        let decision = decide(&policy, &facts, now);
        let enough = |without: Option<&str>| {
            let r = &facts.recording;
            let mut good: BTreeSet<&str> =
                facts.copies.iter().filter(|c| c.bad.is_none() && c.version == r.version).map(|c| &*c.store).collect();
            if r.custody.place.bad.is_none() {
                good.insert(&r.store);
            }
            good.retain(|store| Some(*store) != without);
            let regions: BTreeSet<&str> =
                good.iter().map(|s| if matches!(*s, "recordings" | "replica") { "house" } else { s }).collect();
            let protect = policy.protect();
            good.len() >= protect.copies_min as usize && regions.len() >= protect.regions_min as usize
        };
        for Offer { what, .. } in &decision.offers {
            match what {
                What::Delete => prop_assert!(enough(None)),
                What::Evict { store } => {
                    prop_assert!(enough(Some(store)));
                    prop_assert!(*store != facts.recording.store);
                }
                What::Archive { .. } => prop_assert!(policy.protect().copies_min == 1 || enough(None)),
            }
        }
        let evicted: Vec<&str> = decision.jobs.iter().filter_map(|j| match &j.action {
            Action::Evict { store, .. } => Some(store.as_str()),
            _ => None,
        }).collect();
        prop_assert!(evicted.len() <= 1, "one after the other");
        for store in evicted {
            prop_assert!(enough(Some(store)) && store != facts.recording.store);
        }
        let archives = decision.jobs.iter().any(|j| matches!(j.action, Action::Archive { .. }));
        prop_assert!(!archives || policy.protect().copies_min == 1 || enough(None));
    }

    /// What is in the trash is asked for nothing but its purge and not to sink, what is deleted for nothing at all; and nothing that is in
    /// use goes, nor what just came back.
    #[test]
    fn on_the_way_out_and_back(policy in any_policy(), facts in any_facts(), now in any_now()) {
        let decision = decide(&policy, &facts, now);
        let custody = &facts.recording.custody;
        if let Some(trash) = &custody.trash {
            prop_assert_eq!((decision.state, &decision.offers), (State::Trashed, &vec![]));
            let goes = trash.purging.is_some() || now >= trash.until;
            for job in &decision.jobs {
                match &custody.place.transition {
                    Some(transition) if job.action == Action::Withdraw { asked: transition.asked_at } => {}
                    _ => prop_assert_eq!((&job.action, goes), (&Action::Purge { life: custody.lives }, true)),
                }
            }
            prop_assert!(trash.purging.is_none() || labels(&decision) == ["purge"]);
            prop_assert!(decision.jobs.len() <= 1, "what goes takes its tag along");
        } else if !decision.state.is_terminal() || custody.kept_until.is_some_and(|until| now < until) {
            prop_assert!(decision.offers.iter().all(|o| o.what != What::Delete), "{:?}", decision.offers);
        }
        if !decision.state.is_terminal() {
            prop_assert_eq!(&decision.offers, &vec![], "in use");
        }
        let mut gone = facts.clone();
        gone.recording.state = State::Deleted;
        let decision = decide(&policy, &gone, now);
        prop_assert_eq!((decision.state, decision.due_at), (State::Deleted, None));
        prop_assert!(decision.jobs.is_empty() && decision.offers.is_empty() && decision.waits.is_empty());
    }

    /// What is asked of oneself in the instant of doing it, is what was decided.
    #[test]
    fn what_is_offered_meets_no_objection(policy in any_policy(), facts in any_facts(), now in any_now()) {
        let decision = decide(&policy, &facts, now);
        let meets = |deed| policy::objection(&policy, &facts, deed, now);
        for offer in &decision.offers {
            match &offer.what {
                What::Delete => prop_assert_eq!(meets(Deed::Delete), None),
                What::Evict { store } => prop_assert_eq!(meets(Deed::Evict { store }), None),
                What::Archive { class } if class == "attic" => prop_assert_eq!(meets(Deed::Move), None),
                What::Archive { .. } => prop_assert_eq!(meets(Deed::Archive), None),
            }
        }
        for job in &decision.jobs {
            match &job.action {
                Action::Evict { store, .. } => prop_assert_eq!(meets(Deed::Evict { store }), None),
                Action::Move { .. } => prop_assert_eq!(meets(Deed::Move), None),
                _ => {}
            }
        }
    }

    /// What leaves is there and can be read, and will not be made anew; it leaves in the hours of where it goes to.
    #[test]
    fn what_leaves_is_there_and_welcome(policy in any_policy(), facts in any_facts(), now in any_now()) {
        let decision = decide(&policy, &facts, now);
        for job in &decision.jobs {
            let Action::Export(spec) = &job.action else { continue };
            prop_assert!(facts.recording.custody.trash.is_none());
            let store = &policy.stores()[&spec.to];
            prop_assert!(store.terms.hours.as_ref().is_none_or(|hours| hours.opens(now).is_none()), "{}", spec.to);
            let custody = &facts.recording.custody;
            match &spec.what {
                Leaving::Source => prop_assert!(custody.place.bad.is_none() && custody.is_readable(now)),
                Leaving::Rendition { name, job } => {
                    prop_assert!(facts.renditions.iter().any(|r| r.name == *name && r.job == *job));
                    let made = |j: &JobSpec| matches!(&j.action, Action::Convert { preset } if preset.name == *name);
                    prop_assert!(!decision.jobs.iter().any(made), "{} is being made", name);
                }
            }
        }
    }

    /// Each rule's wish leaves once: hours that pass and routes that open send nothing a second time.
    #[test]
    fn nothing_leaves_twice(policy in any_policy(), facts in any_facts(), now in any_now(), later in vec(0..40 * DAY, 1..4)) {
        let mut facts = facts;
        let sent = |decision: &Decision| {
            let exports = decision.jobs.iter().filter(|j| matches!(j.action, Action::Export(_)));
            exports.map(|j| (j.id, j.rule.clone())).collect::<Vec<_>>()
        };
        let mut by = BTreeSet::new();
        for ms in std::iter::once(0).chain(later) {
            for (job, rules) in sent(&decide(&policy, &facts, Timestamp(now.0 + ms))) {
                for rule in rules.split(", ") {
                    prop_assert!(by.insert(rule.to_owned()), "`{}` sends it twice", rule);
                }
                facts.done.insert(job);
            }
        }
    }

    /// By hand leaves what is there, or it is said why not.
    #[test]
    fn what_is_exported_by_hand_is_there(policy in any_policy(), facts in any_facts(), now in any_now(), n in 0usize..30) {
        let wanted = ["source", "mp4-720p", "audio-m4a", "video/*:480", "*/*", "no-such"][n % 6];
        let to: &[&str] = [&["nas"][..], &["partner", "portal"], &["nas", "partner"], &["nowhere"], &["recordings"]][n / 6];
        let to = to.iter().map(|s| (*s).to_owned()).collect();
        let wish = policy::Wish { to, rendition: policy::Wish::rendition(wanted).unwrap(), ..Default::default() };
        match policy::export(&policy, &facts, &wish, now) {
            Ok((spec, _)) => {
                prop_assert!(wish.to.contains(&spec.to) && policy.stores().contains_key(&spec.to));
                prop_assert!(facts.recording.custody.trash.is_none());
                match &spec.what {
                    Leaving::Source => prop_assert!(facts.recording.custody.is_readable(now)),
                    Leaving::Rendition { name, job } => {
                        prop_assert!(facts.renditions.iter().any(|r| r.name == *name && r.job == *job));
                    }
                }
            }
            Err(no) => prop_assert!(!no.to_string().is_empty()),
        }
    }

    /// A mix holds tracks that are here and can be used, and never one that has not come.
    #[test]
    fn never_a_job_on_a_missing_track(policy in any_policy(), facts in any_facts(), now in any_now()) {
        for job in decide(&policy, &facts, now).jobs {
            prop_assert_eq!(job.recording, facts.recording.id);
            prop_assert_eq!(job.id, job.action.job_id(facts.recording.id, &facts.recording.version));
            let Action::Mix(spec) = job.action else { continue };
            prop_assert!(!spec.tracks.is_empty());
            for mixed in spec.tracks {
                let here = facts.tracks.iter().filter_map(|t| t.recording.as_ref());
                let track = here.into_iter().find(|r| r.id == mixed.recording);
                prop_assert!(track.is_some_and(|t| t.media().is_some_and(|m| !m.streams.is_empty())));
            }
        }
    }

    /// Promise 9: age comes from the time we accepted, or the trusted recorded-at, never from metadata inside the
    /// file. A file that claims the year 2999 or 1970 changes nothing.
    #[test]
    fn what_a_file_claims_of_its_age_changes_nothing(
        policy in any_policy(),
        facts in any_facts(),
        claim in prop_oneof!["2999-01-01T00:00:00Z", "1970-01-01T00:00:00Z", ".*"],
        now in any_now(),
    ) {
        let honest = decide(&policy, &facts, now);
        let mut claiming = facts.clone();
        if let Some(media) = claiming.recording.probe.as_mut().and_then(|p| p.facts.as_mut()) {
            media.claimed_created = Some(claim.clone());
            media.claimed_title = Some(claim);
        }
        prop_assert_eq!(honest, decide(&policy, &claiming, now));
    }

    /// `due_at` is when time alone changes the decision: up to then it stays, and without one it stays for ever.
    #[test]
    fn nothing_changes_before_it_is_due(
        policy in any_policy(), facts in any_facts(), now in any_now(), part in 0.0..1.0f64,
    ) {
        let decision = decide(&policy, &facts, now);
        let until = decision.due_at.map_or(now.0 + 10_000 * DAY, |due| due.0 - 1);
        prop_assert!(until >= now.0);
        let later = now.0 + ((until - now.0) as f64 * part) as i64;
        prop_assert_eq!(&decision, &decide(&policy, &facts, Timestamp(later)));
        prop_assert_eq!(&decision, &decide(&policy, &facts, Timestamp(until)));
    }

    /// `explain` tells what `decide` does: the same state, and a step to do for each job.
    #[test]
    fn explain_and_decide_agree(policy in any_policy(), facts in any_facts(), now in any_now()) {
        let decision = decide(&policy, &facts, now);
        let explained = policy::explain(&policy, &facts, &Default::default(), now);
        prop_assert_eq!((decision.state, &decision.reason, decision.due_at), (explained.state, &explained.reason, explained.due_at));
        let told: BTreeSet<JobId> = explained
            .rules
            .iter()
            .flat_map(|r| &r.steps)
            .filter(|s| s.standing == policy::Standing::ToDo)
            .filter_map(|s| s.job)
            .collect();
        prop_assert_eq!(ids(&decision), told.into_iter().collect::<Vec<_>>());
        for rule in &explained.rules {
            let all = rule.conditions.iter().all(|c| c.holds == policy::Applies::Yes);
            prop_assert_eq!(rule.applies == policy::Applies::Yes, all);
        }
        prop_assert!(!explained.to_string().is_empty());
    }

    #[test]
    fn no_text_makes_parsing_panic(text in ".*") {
        drop(policy::parse(&text));
    }

    /// Nearly right texts reach deeper: words of the language and of YAML in any order.
    #[test]
    fn no_heap_of_words_makes_parsing_panic(
        words in vec(prop_oneof![
            prop::sample::select(vec![
                "version: 1", "rules:", "stores:", "presets:", "name:", "match:", "all", "age:", "'>=30d'", "size:",
                "1GB..", "convert:", "mix:", "backup:", "tag:", "kind:", "video", "- ", "{", "}", "[", "]", ",", ":",
                "\n", "\n  ", "\n    ", "\n  - ", "&a", "*a", "<<: *a", "!!int", "!!binary", "|", ">", "'", "\"", "#",
                "~", "...", "---", "% ", "\t", "\u{feff}", "é🔑", "-16LUFS", "recorded:", "from:", "9999999999999y",
            ]).prop_map(str::to_owned),
            "[ -~\n]{0,6}",
        ], 0..60),
        between in prop_oneof![Just(""), Just(" ")],
    ) {
        let text = words.join(between);
        if let Err(problems) = policy::parse(&text) {
            prop_assert!(!problems.is_empty());
            drop(problems.to_string());
        }
        drop(policy::parse(&format!("version: 1\nrules:\n  - {text}")));
    }

    /// A default policy with one character exchanged is still read, or told what is wrong.
    #[test]
    fn a_typing_error_in_the_default_is_told_and_not_fatal(at in any::<prop::sample::Index>(), c in any::<char>()) {
        let mut chars: Vec<char> = policy::DEFAULT.chars().collect();
        let at = at.index(chars.len());
        chars[at] = c;
        if let Err(problems) = policy::parse(&chars.into_iter().collect::<String>()) {
            prop_assert!(!problems.to_string().is_empty());
        }
    }
}

/// What a job that is done makes true.
fn happen(facts: &mut Facts, job: &JobSpec, probe: domain::Probe, now: Timestamp) {
    if let Action::Convert { preset } | Action::Mix(MixSpec { preset, .. }) = &job.action {
        let media = if preset.name.contains("audio") { sound() } else { video_of(480) };
        let made = support::rendition(facts, &preset.name, media, 1_000);
        facts.renditions.retain(|r| r.name != preset.name);
        facts.renditions.push(Rendition { job: job.id, ..made });
        return;
    }
    let r = &mut facts.recording;
    let place = &mut r.custody.place;
    match &job.action {
        Action::Probe => r.probe = Some(probe),
        Action::Tag { add } => r.tags.extend(add.iter().cloned()),
        Action::Archive { class, by: Way::Lifecycle, .. } => {
            place.transition =
                Some(Transition { class: class.clone(), asked_at: now, looks: 0, by_hand: false });
        }
        Action::Look { look, .. } => {
            let mut transition = place.transition.take().unwrap();
            if *look >= 2 {
                place.class = Some(transition.class);
                place.cold = Some(Cold { since: now, restore: None });
            } else {
                transition.looks += 1;
                place.transition = Some(transition);
            }
        }
        Action::Withdraw { .. } => {
            let from = place.transition.take().unwrap().class;
            place.strayed = Some(Strayed { from, at: now, times: 0 });
        }
        Action::Archive { class, .. } => {
            *place = domain::Place {
                class: Some(class.clone()),
                cold: Some(Cold { since: now, restore: None }),
                transition: None,
                ..place.clone()
            };
        }
        Action::Restore { .. } => {
            let restore = Restoring { asked_at: now, speed: Speed::Bulk, days: 7, until: None, looks: 0 };
            place.cold.as_mut().unwrap().restore = Some(restore);
        }
        Action::Awaken { look, .. } => {
            let restore = place.cold.as_mut().unwrap().restore.as_mut().unwrap();
            restore.looks += 1;
            restore.until = (*look >= 2).then(|| Timestamp(now.0 + 7 * DAY));
        }
        Action::Move { store, from, keep_ms } => {
            *place = domain::Place { verified_at: Some(now), ..domain::Place::default() };
            r.store = store.clone();
            facts.copies.retain(|c| c.store != *store);
            let left =
                domain::Copy { until: Some(Timestamp(now.0 + *keep_ms as i64)), ..copy_in(facts, from) };
            facts.copies.push(left);
        }
        Action::Backup { store } => {
            let copy = copy_in(facts, store);
            facts.copies.retain(|c| c.store != *store);
            facts.copies.push(copy);
        }
        Action::Evict { store, .. } => facts.copies.retain(|c| c.store != *store),
        Action::Repair { store, .. } if *store == r.store => {
            *place = domain::Place { bad: None, verified_at: Some(now), ..place.clone() };
        }
        Action::Repair { store, .. } => {
            let copy = facts.copies.iter_mut().find(|c| c.store == *store).unwrap();
            (copy.bad, copy.verified_at) = (None, now);
        }
        Action::Purge { .. } => r.state = State::Deleted,
        Action::Convert { .. }
        | Action::Mix(_)
        | Action::Verify { .. }
        | Action::Export(_)
        | Action::Drill { .. }
        | Action::Seek { .. }
        | Action::Notify { .. } => {}
    }
}

/// One of few, of one of few sizes.
fn rendition(facts: &Facts, n: u8) -> Rendition {
    let names = ["mp4-720p", "mp4-480p", "audio-m4a", "webm-vp9", "r4"];
    let name = names[usize::from(n) % names.len()];
    let media = if name == "audio-m4a" { sound() } else { video_of(400 + 40 * u32::from(n % 9)) };
    let made = support::rendition(facts, name, media, 100_000 * u64::from(n % 7));
    Rendition { job: JobId::derive(&[&[n]]), ..made }
}
