//! What leaves by rules.

use domain::{Action, Cold, Facts, Kind, Lane, Leaving, Place, State, Timestamp, What};

use super::{filmed, parse, wish};
use crate::support::*;

/// Noon, and ten in the evening, in the hours of `partner`.
const NOON: Timestamp = Timestamp(ACCEPTED.0 + 12 * HOUR);
const NIGHT: Timestamp = Timestamp(ACCEPTED.0 + 22 * HOUR);

fn waits(facts: &Facts, rules: &str, now: Timestamp) -> Vec<String> {
    let decision = decide(&parse(rules), facts, now);
    assert_eq!(decision.jobs.iter().filter(|j| matches!(j.action, Action::Export(_))).count(), 0, "{rules}");
    decision.waits.iter().map(|w| format!("{} waits for {}", w.verb, w.waits_for)).collect()
}

fn exports(facts: &Facts, rules: &str, now: Timestamp) -> Vec<String> {
    let decision = decide(&parse(rules), facts, now);
    let exports = decision.jobs.iter().filter(|j| matches!(j.action, Action::Export(_)));
    exports.map(|j| j.action.label()).collect()
}

fn explained(facts: &Facts, rules: &str, now: Timestamp) -> String {
    policy::explain(&parse(rules), facts, &Default::default(), now).to_string()
}

fn export_job(facts: &Facts, rules: &str, now: Timestamp) -> domain::JobSpec {
    let decision = decide(&parse(rules), facts, now);
    decision.jobs.into_iter().find(|j| matches!(j.action, Action::Export(_))).expect("an export")
}

fn convert_job(facts: &Facts, preset: &str) -> domain::JobId {
    let preset = parse("").presets()[preset].clone();
    Action::Convert { preset }.job_id(facts.recording.id, &facts.recording.version)
}

#[test]
fn the_source_leaves_at_once_and_once() {
    let rules = "{ name: out, match: { prefix: cam/ }, export: portal }";
    let mut facts = facts(recording(Kind::Recording, "cam/1.mp4"));
    let job = export_job(&facts, rules, NOON);
    let Action::Export(spec) = &job.action else { panic!("{job:?}") };
    assert_eq!((spec.to.as_str(), &spec.what), ("portal", &Leaving::Source));
    assert_eq!((job.lane, job.rule.as_str()), (Lane::Bulk, "out"));
    assert_eq!(job.reason, "Asked for by rule `out` (prefix cam/).");
    assert_eq!(job.id, job.action.job_id(facts.recording.id, &facts.recording.version));
    facts.done.insert(job.id);
    assert_eq!(exports(&facts, rules, NIGHT), [""; 0]);
    assert!(explained(&facts, rules, NIGHT).contains("-> export source to portal: done"));
    // By hand it is the same job: what was sent is not sent again.
    let (spec, _) = policy::export(&parse(""), &facts, &wish(&["portal"], "source"), NOON).unwrap();
    assert!(facts.done.contains(&Action::Export(spec).job_id(facts.recording.id, &facts.recording.version)));
    facts.done.clear();
    facts.parked.insert(job.id, "The disk there is full.".into());
    let decision = decide(&parse(rules), &facts, NOON);
    assert_eq!(labels(&decision), ["probe"]);
    assert!(
        explained(&facts, rules, NOON)
            .contains("-> export source to portal: parked: The disk there is full.")
    );
}

#[test]
fn a_rendition_is_waited_for_and_exported_anew_when_it_is_made_anew() {
    let rules = "{ name: web, match: all, convert: mp4-720p }, \
                 { name: out, match: all, export: { to: portal, rendition: mp4-720p } }";
    let mut facts = probed("cam/1.mp4", good(video_of(1080)));
    assert_eq!(waits(&facts, rules, NOON), ["export waits for mp4-720p to be made"]);
    let made = convert_job(&facts, "mp4-720p");
    facts.done.insert(made);
    let lost = "-> export mp4-720p to portal: cannot be had: making `mp4-720p` is recorded as done, and it is not there";
    assert!(explained(&facts, rules, NOON).contains(lost), "{}", explained(&facts, rules, NOON));
    facts.renditions =
        vec![domain::Rendition { job: made, ..rendition(&facts, "mp4-720p", video_of(720), 9) }];
    let job = export_job(&facts, rules, NOON);
    let Action::Export(spec) = &job.action else { panic!("{job:?}") };
    assert_eq!(spec.what, Leaving::Rendition { name: "mp4-720p".into(), job: made });
    facts.done.insert(job.id);
    let decision = decide(&parse(rules), &facts, NOON);
    assert_eq!((decision.jobs.len(), decision.state, decision.due_at), (0, State::Ready, None));
    assert_eq!(decision.reason, "");

    facts.renditions[0].job = domain::JobId::derive(&[b"anew"]);
    assert_eq!(exports(&facts, rules, NOON), ["export mp4-720p to portal"]);
}

#[test]
fn what_can_never_be_made_is_said() {
    let out = "{ name: out, match: all, export: { to: portal, rendition: mp4-720p } }";
    let web = "{ name: web, match: all, convert: mp4-720p }";
    let both = format!("{web}, {out}");
    let says = |facts: &Facts, rules: &str, part: &str| {
        let text = explained(facts, rules, NOON);
        assert!(text.contains(&format!("-> export mp4-720p to portal: {part}")), "{text}");
    };
    let (song, paper) = (probed("a.mp3", good(sound())), probed("a.pdf", unsupported()));
    says(&song, &both, "nothing to do: there is no `mp4-720p`: there is no video stream");
    says(&song, out, "nothing to do: there is no video stream");
    says(&paper, &both, "nothing to do: there is no `mp4-720p`: it is unsupported: This is a PDF.");
    assert_eq!(decide(&parse(&both), &song, NOON).state, State::Ready);

    let mut film = probed("a.mp4", good(video_of(1080)));
    film.parked.insert(convert_job(&film, "mp4-720p"), "The disk was full.".into());
    says(&film, &both, "cannot be had: there is no `mp4-720p`: making it gave up (The disk was full.)");
    assert_eq!(decide(&parse(&both), &film, NOON).state, State::Failed);
    // Nobody makes it; maybe somebody will by hand.
    says(&film, out, "held back: waits for `mp4-720p`, which no rule has made of it");
    let decision = decide(&parse(out), &film, NOON);
    assert_eq!((decision.state, decision.jobs.len()), (State::Ready, 0));
    let other = format!("{{ name: web, match: {{ tags: x }}, convert: mp4-720p }}, {out}");
    says(&film, &other, "held back: waits for `mp4-720p`, which no rule has made of it");

    let mut new = facts(recording(Kind::Recording, "a.mp4"));
    says(&new, &both, "waits for mp4-720p to be made");
    let probe = Action::Probe.job_id(new.recording.id, &new.recording.version);
    new.parked.insert(probe, "It took too long.".into());
    says(&new, &both, "nothing to do: there is no `mp4-720p`: it could not be probed");
}

#[test]
fn a_session_leaves_as_its_manifest_or_as_its_mix() {
    let rules = "{ name: mixed, match: all, mix: { preset: mp4-480p } }, \
                 { name: list, match: all, export: portal }, \
                 { name: call, match: all, export: { to: portal, rendition: mp4-480p } }, \
                 { name: any, match: all, export: { to: portal, rendition: video/* } }";
    let mut call = session(vec![("ana.webm", Some(good(video_and_sound())))]);
    let decision = decide(&parse(rules), &call, NOON);
    assert_eq!(labels(&decision), ["export source to portal", "mix mp4-480p"]);
    let mix = decision.jobs.iter().find(|j| matches!(j.action, Action::Mix(_))).unwrap().id;
    call.done.insert(mix);
    call.renditions = vec![domain::Rendition { job: mix, ..rendition(&call, "mp4-480p", video_of(480), 9) }];
    // Two rules that come to the same: one job.
    let decision = decide(&parse(rules), &call, NOON);
    assert_eq!(labels(&decision), ["export mp4-480p to portal", "export source to portal"]);
    let job = decision.jobs.iter().find(|j| j.action.label().contains("mp4")).unwrap();
    assert_eq!(job.rule, "any, call");
    assert!(job.reason.ends_with("`mp4-480p` (9B) is the only one that is video/*."), "{}", job.reason);
}

#[test]
fn it_leaves_in_the_hours_of_the_place_it_goes_to() {
    let rules = "{ name: out, match: all, export: { to: partner, as: '{id}.{ext}' } }";
    let facts = filmed();
    let opens = "export waits for 2026-06-01T22:00:00Z, when `partner` takes files (22:00-06:00 UTC)";
    assert_eq!(waits(&facts, rules, NOON), [opens]);
    assert_eq!(decide(&parse(rules), &facts, NOON).due_at, Some(NIGHT));
    assert_eq!(exports(&facts, rules, NIGHT), ["export source to partner"]);
    // What has not begun by their end is decided again.
    let closes = Timestamp(NIGHT.0 + 8 * HOUR);
    assert_eq!(decide(&parse(rules), &facts, NIGHT).due_at, Some(closes));
    assert_eq!(exports(&facts, rules, closes), [""; 0]);
    let scheduled = "{ name: out, match: all, export: partner, schedule: '0 21 * * * UTC' }";
    assert_eq!(
        waits(&facts, scheduled, NOON),
        ["export waits for 2026-06-01T21:00:00Z, by its schedule `0 21 * * * UTC`"]
    );
    assert_eq!(waits(&facts, scheduled, Timestamp(NIGHT.0 - HOUR)), [opens]);
    assert_eq!(exports(&facts, scheduled, NIGHT), ["export source to partner"]);
}

/// Without limits all are as fast; what has one takes more time.
#[test]
fn of_several_routes_that_are_open_the_fastest_is_taken() {
    let facts = filmed();
    let text = |to: &str| {
        format!(
            "version: 1
stores:
  slow: {{ url: /slow, bandwidth: 1MB }}
  line: {{ url: /line, bandwidth: 20MB }}
  other: {{ url: /other, bandwidth: 20MB }}
  night: {{ url: /night, hours: '22:00-06:00 UTC' }}
rules:
  - {{ name: out, match: all, export: {{ to: {to} }} }}
"
        )
    };
    for (to, at, taken, why, due) in [
        ("[slow, line, other]", NOON, "line", "`line` is faster than `slow` with its 1.0MB/s.", None),
        ("[other, line, slow]", NOON, "other", "`other` is the first that is open.", None),
        (
            "[line, night]",
            NOON,
            "line",
            "`line` is the first that is open. `night` takes files from 2026-06-01T22:00:00Z on.",
            Some(NIGHT),
        ),
        (
            "[line, night]",
            NIGHT,
            "night",
            "`night` is faster than `line` with its 20.0MB/s.",
            Some(Timestamp(ACCEPTED.0 + 30 * HOUR)),
        ),
    ] {
        let policy = policy::parse(&text(to)).unwrap();
        let decision = decide(&policy, &facts, at);
        let job = decision.jobs.iter().find(|job| job.action.verb() == "export").expect("an export");
        assert_eq!(job.action.label(), format!("export source to {taken}"), "{to}");
        assert!(job.reason.ends_with(why), "{to}: {}", job.reason);
        assert_eq!(decision.due_at, due, "{to}");
    }
}

#[test]
fn of_several_routes_the_first_that_is_open_is_taken_and_nothing_is_sent_twice() {
    let rules = "{ name: out, match: all, export: { to: [nas, partner] } }";
    let mut facts = filmed();
    assert_eq!(exports(&facts, rules, NOON), ["export source to nas"]);
    assert!(export_job(&facts, rules, NOON).reason.ends_with("`nas` is the first that is open."));
    assert_eq!(decide(&parse(rules), &facts, NOON).due_at, Some(Timestamp(ACCEPTED.0 + 18 * HOUR)));
    // Both are closed: the one that opens first is waited for.
    let evening = Timestamp(ACCEPTED.0 + 19 * HOUR);
    assert_eq!(
        waits(&facts, rules, evening),
        ["export waits for 2026-06-01T22:00:00Z, when `partner` takes files (22:00-06:00 UTC)"]
    );
    assert_eq!(decide(&parse(rules), &facts, evening).due_at, Some(NIGHT));
    assert_eq!(exports(&facts, rules, NIGHT), ["export source to partner"]);
    let why = "`nas` takes files from 2026-06-02T08:00:00Z on. `partner` is the first that is open.";
    assert!(
        export_job(&facts, rules, NIGHT).reason.ends_with(why),
        "{}",
        export_job(&facts, rules, NIGHT).reason
    );

    let by_nas = export_job(&facts, rules, NOON).id;
    facts.parked.insert(by_nas, "The disk there is full.".into());
    assert_eq!(waits(&facts, rules, NOON).len(), 1, "the other one is closed");
    let by_partner = export_job(&facts, rules, NIGHT);
    assert_eq!(by_partner.action.label(), "export source to partner");
    facts.parked.insert(by_partner.id, "It does not let us in.".into());
    assert!(
        explained(&facts, rules, NIGHT)
            .contains("-> export source to nas or partner: parked: The disk there is full.")
    );

    facts.parked.clear();
    facts.done.insert(by_nas);
    assert_eq!(exports(&facts, rules, NIGHT), [""; 0]);
    assert!(
        explained(&facts, rules, NIGHT)
            .contains("-> export source to nas or partner: done; it was `source`, to `nas`")
    );
    assert_eq!(decide(&parse(rules), &facts, NIGHT).reason, "", "it is no lack");
}

#[test]
fn the_smallest_that_is_good_enough_is_chosen_once_all_have_come() {
    let rules = "{ name: web, match: all, convert: [mp4-720p, mp4-480p, audio-m4a, thumbnails] }, \
                 { name: out, match: all, export: { to: portal, rendition: { type: video/*, min_height: 700 } } }";
    let mut facts = probed("cam/1.mp4", good(video_of(1080)));
    assert_eq!(waits(&facts, rules, NOON), ["export waits for mp4-720p to be made"]);
    let jobs = ["mp4-720p", "mp4-480p"].map(|name| convert_job(&facts, name));
    facts.done.insert(jobs[0]);
    facts.renditions = vec![rendition(&facts, "mp4-720p", video_of(720), 2_000_000)];
    // What is still to come is too low, or no video.
    assert_eq!(exports(&facts, rules, NOON), ["export mp4-720p to portal"]);
    let why = "`mp4-720p` (2.0MB) is the smallest of 2 that are video/*, at least 700 pixels high.";
    let job = export_job(&facts, rules, NOON);
    assert!(job.reason.ends_with(why), "{}", job.reason);
    facts.done.insert(job.id);
    // Something smaller that comes later is no reason to send anything again.
    facts.renditions.push(rendition(&facts, "webm-vp9", video_of(720), 1_000));
    assert_eq!(exports(&facts, rules, NOON), [""; 0]);

    let any = "{ name: web, match: all, convert: [mp4-720p, mp4-480p] }, \
               { name: out, match: all, export: { to: portal, rendition: video/* } }";
    let mut facts = probed("cam/1.mp4", good(video_of(1080)));
    facts.done.insert(jobs[0]);
    facts.renditions = vec![rendition(&facts, "mp4-720p", video_of(720), 2_000_000)];
    assert_eq!(waits(&facts, any, NOON), ["export waits for mp4-480p to be made"]);
    facts.parked.insert(jobs[1], "It gave up.".into());
    assert_eq!(exports(&facts, any, NOON), ["export mp4-720p to portal"]);
    // Nothing else does.
    let song = probed("a.mp3", good(sound()));
    assert!(
        explained(&song, any, NOON)
            .contains("-> export video/* to portal: nothing to do: nothing of it is video/*")
    );
    let new = super::facts(recording(Kind::Recording, "a.mp4"));
    let alone = "{ name: out, match: all, export: { to: portal, rendition: video/* } }";
    assert_eq!(waits(&new, alone, NOON), ["export waits for probing"]);
    assert_eq!(exports(&probed("a.mp4", good(video_of(1080))), alone, NOON), ["export source to portal"]);
}

/// Upright pictures: their height is the long side.
#[test]
fn what_may_still_be_good_enough_is_judged_by_the_height_it_will_have() {
    let rules = "{ name: web, match: all, convert: mp4-480p }, \
                 { name: out, match: all, export: { to: portal, rendition: 'video/*:800' } }";
    let mut upright = probed("phone.mp4", good(video_of(1080)));
    let media = upright.recording.probe.as_mut().unwrap().facts.as_mut().unwrap();
    media.streams[0].video.as_mut().unwrap().rotation = 90;
    assert_eq!(waits(&upright, rules, NOON), ["export waits for mp4-480p to be made"]);
    let lying = probed("phone.mp4", good(video_of(1080)));
    assert_eq!(exports(&lying, rules, NOON), ["export source to portal"]);
}

#[test]
fn thumbnails_that_travel_along_are_waited_for_and_not_for_ever() {
    let rules = "{ name: web, match: all, convert: thumbnails }, \
                 { name: out, match: all, export: { to: portal, with: [json, thumbnails] } }, \
                 { name: bare, match: all, export: { to: portal, with: json } }";
    let mut facts = probed("cam/1.mp4", good(video_of(1080)));
    let decision = decide(&parse(rules), &facts, NOON);
    assert_eq!(labels(&decision), ["convert thumbnails", "export source to portal"]);
    let waits: Vec<_> = decision.waits.iter().map(|w| (&*w.rule, &*w.waits_for)).collect();
    assert_eq!(waits, [("out", "thumbnails to be made, which travel along")]);
    facts.parked.insert(convert_job(&facts, "thumbnails"), "It gave up.".into());
    assert_eq!(exports(&facts, rules, NOON).len(), 2);
}

#[test]
fn a_cold_source_is_no_matter_to_what_is_made_of_it() {
    let mut facts = filmed();
    facts.recording.custody.place = Place {
        class: Some("DEEP_ARCHIVE".into()),
        cold: Some(Cold { since: ACCEPTED, restore: None }),
        ..Place::default()
    };
    let rendition = "{ name: out, match: all, export: { to: portal, rendition: mp4-720p } }";
    assert_eq!(exports(&facts, rendition, NOON), ["export mp4-720p to portal"]);
    let source = |cold: &str| format!("{{ name: out, match: all, export: portal{cold} }}");
    let refused = format!(
        "export waits for its restore from DEEP_ARCHIVE; `videorec restore {}` asks for it",
        facts.recording.id
    );
    assert_eq!(waits(&facts, &source(""), NOON), [refused]);
    assert_eq!(
        waits(&facts, &source(", cold: restore"), NOON),
        ["export waits for its restore from DEEP_ARCHIVE"]
    );
    assert_eq!(labels(&decide(&parse(&source(", cold: restore")), &facts, NOON)), ["restore bulk for 7d"]);
    assert!(explained(&facts, &source(", cold: skip"), NOON).contains("the rule skips what is cold"));
    // A restore takes longer than it takes to open.
    let hours = "{ name: out, match: all, export: partner, cold: restore }";
    assert_eq!(labels(&decide(&parse(hours), &facts, NOON)), ["restore bulk for 7d"]);
}

/// What would have the source go or lie elsewhere comes after what is to leave.
#[test]
fn nothing_overtakes_an_export() {
    let away = "{ name: away, match: all, archive: DEEP_ARCHIVE }, \
                { name: gone, match: { age: '>=1h' }, delete: {} }, \
                { name: out, match: all, export: partner }";
    let mut facts = filmed();
    let decision = decide(&parse(away), &facts, NOON);
    assert_eq!((labels(&decision).len(), decision.offers.len()), (0, 0));
    let told = explained(&facts, away, NOON);
    assert!(
        told.contains("-> archive DEEP_ARCHIVE: waits for export source to partner to be finished"),
        "{told}"
    );
    // The archiving is under way too, and comes first by name.
    assert!(told.contains("-> delete: held back: waits for archive DEEP_ARCHIVE to be finished"), "{told}");
    assert_eq!(labels(&decide(&parse(away), &facts, NIGHT)), ["export source to partner"]);
    let job = export_job(&facts, away, NIGHT).id;
    facts.parked.insert(job, "It gave up.".into());
    assert_eq!(labels(&decide(&parse(away), &facts, NIGHT)), ["archive DEEP_ARCHIVE"]);
    facts.parked.clear();
    facts.done.insert(job);
    facts.recording.custody.place.class = Some("DEEP_ARCHIVE".into());
    let decision = decide(&parse(away), &facts, NIGHT);
    assert_eq!((decision.jobs.len(), &decision.offers[0].what), (0, &What::Delete));
}

#[test]
fn what_is_in_the_trash_stays_there() {
    let mut facts = filmed();
    facts.recording.state = State::Trashed;
    facts.recording.custody.trash = Some(super::trash());
    assert_eq!(exports(&facts, "{ name: out, match: all, export: portal }", NOON), [""; 0]);
}

#[test]
fn two_exports_of_one_thing_under_two_names_are_two() {
    let rules = "{ name: a, match: all, export: { to: portal, as: 'a/{id}.{ext}' } }, \
                 { name: b, match: all, export: { to: portal, as: 'b/{id}.{ext}' } }, \
                 { name: c, match: { kind: recording }, export: { to: [portal], as: 'b/{id}.{ext}', verify: hash } }";
    let decision = decide(&parse(rules), &filmed(), NOON);
    let by: Vec<_> = decision.jobs.iter().map(|j| j.rule.as_str()).collect();
    assert_eq!(std::collections::BTreeSet::from_iter(by), ["a", "b, c"].into());
    assert_eq!(parse(rules).warnings(), []);
}

#[test]
fn which_file_by_which_way_is_explained() {
    let rules = "{ name: web, match: all, convert: [mp4-720p, mp4-480p, thumbnails] }, \
                 { name: a source, match: all, export: partner }, \
                 { name: b named, match: all, export: { to: portal, rendition: mp4-720p, with: thumbnails } }, \
                 { name: c smallest, match: all, export: { to: [partner, nas], rendition: { type: [video/*, audio/*] } } }, \
                 { name: d sound, match: all, export: { to: portal, rendition: audio-m4a } }";
    let mut facts = filmed();
    let before = explained(&facts, rules, NOON);
    for preset in ["mp4-720p", "mp4-480p", "thumbnails"] {
        facts.done.insert(convert_job(&facts, preset));
    }
    insta::assert_snapshot!(format!(
        "{before}\n\n=== once all is made\n\n{}",
        explained(&facts, rules, NOON)
    ));
}
