use std::collections::BTreeSet;

use domain::{Action, Copy, Decision, Facts, JobId, Kind, Rendition, State, Timestamp};
use proptest::{collection::vec, prelude::*, sample::subsequence};

use crate::support::*;

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
    "{ name: everything at once, match: { name: '**', height: '>=720' }, convert: waveform, mix: {}, tag: tall }",
];

fn text_of(rules: &[&str]) -> String {
    rules.iter().map(|rule| format!("\n  - {rule}")).collect()
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

fn any_facts() -> impl Strategy<Value = Facts> {
    let track = prop_oneof![
        1 => Just(None),
        4 => (prop::option::weighted(0.8, any_probe()), any::<bool>()).prop_map(Some),
    ];
    (
        prop_oneof![4 => Just(Kind::Recording), 1 => Just(Kind::Track), 3 => Just(Kind::Session)],
        prop::option::of(any_probe()),
        vec(track, 0..4),
        prop::option::of(-400 * DAY..400 * DAY),
        prop::collection::btree_set(prop_oneof!["early", "middle", "other"], 0..2),
    )
        .prop_map(|(kind, probe, tracks, recorded, tags)| {
            let mut facts = facts(recording(kind, "cam/a.bin"));
            facts.recording.tags = tags;
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
        })
}

fn any_now() -> impl Strategy<Value = Timestamp> {
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
        let (one, other) = (policy(&text_of(&rules)), policy(&text_of(&shuffled)));
        prop_assert_eq!(one.hash(), other.hash());
        let with = |order: &[u8]| {
            let mut facts = facts.clone();
            facts.renditions = order.iter().map(|n| rendition(&facts, *n)).collect();
            facts.copies = order.iter().map(|n| copy(&facts, *n)).collect();
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
        rules in any_rules(),
        facts in any_facts(),
        ends in vec((any::<bool>(), any_probe()), 40),
        now in any_now(),
    ) {
        let policy = policy(&text_of(&rules));
        let (mut facts, mut now, mut ends) = (facts, now.max(ACCEPTED), ends.into_iter().cycle());
        let mut rounds = 0;
        loop {
            let decision = decide(&policy, &facts, now);
            if decision.state.is_terminal() {
                prop_assert_eq!(&decision.jobs, &[]);
                prop_assert!(decision.state == State::Ready || !decision.reason.is_empty());
                break;
            }
            rounds += 1;
            prop_assert!(rounds < 12, "still {:?}: {}", decision.state, decision.reason);
            if decision.jobs.is_empty() {
                // Only tracks are waited for without a job of one's own: they are probed by theirs, or time runs out.
                prop_assert_eq!(facts.recording.kind, Kind::Session);
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
                if !done {
                    facts.parked.insert(job.id, "it gave up".into());
                    continue;
                }
                facts.done.insert(job.id);
                match &job.action {
                    Action::Probe => facts.recording.probe = Some(probe),
                    Action::Tag { add } => facts.recording.tags.extend(add.iter().cloned()),
                    _ => {}
                }
            }
        }
    }

    /// A mix holds tracks that are here and can be used, and never one that has not come.
    #[test]
    fn never_a_job_on_a_missing_track(rules in any_rules(), facts in any_facts(), now in any_now()) {
        for job in decide(&policy(&text_of(&rules)), &facts, now).jobs {
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
        rules in any_rules(),
        facts in any_facts(),
        claim in prop_oneof!["2999-01-01T00:00:00Z", "1970-01-01T00:00:00Z", ".*"],
        now in any_now(),
    ) {
        let policy = policy(&text_of(&rules));
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
        rules in any_rules(), facts in any_facts(), now in any_now(), part in 0.0..1.0f64,
    ) {
        let policy = policy(&text_of(&rules));
        let decision = decide(&policy, &facts, now);
        let until = decision.due_at.map_or(now.0 + 10_000 * DAY, |due| due.0 - 1);
        prop_assert!(until >= now.0);
        let later = now.0 + ((until - now.0) as f64 * part) as i64;
        prop_assert_eq!(&decision, &decide(&policy, &facts, Timestamp(later)));
        prop_assert_eq!(&decision, &decide(&policy, &facts, Timestamp(until)));
    }

    /// `explain` tells what `decide` does: the same state, and a step to do for each job.
    #[test]
    fn explain_and_decide_agree(rules in any_rules(), facts in any_facts(), now in any_now()) {
        let policy = policy(&text_of(&rules));
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

fn rendition(facts: &Facts, n: u8) -> Rendition {
    Rendition {
        recording: facts.recording.id,
        name: format!("r{n}"),
        job: JobId::derive(&[&[n]]),
        files: Vec::new(),
        facts: None,
        choices: Vec::new(),
        partial: None,
        made_at: ACCEPTED,
    }
}

fn copy(facts: &Facts, n: u8) -> Copy {
    Copy {
        recording: facts.recording.id,
        store: if n.is_multiple_of(2) { "replica".into() } else { format!("s{n}") },
        key: "k".into(),
        version: "v1".into(),
        digest: digest(&[n]),
        verified_at: ACCEPTED,
        bad: None,
        until: None,
    }
}
