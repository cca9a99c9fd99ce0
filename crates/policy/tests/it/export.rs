//! What leaves: by hand, and by rules.

use domain::{Action, Cold, Facts, Leaving, Place, State, Timestamp, Trash};
use policy::{NoExport, Wish};

use crate::support::*;

mod rules;
mod wrong;

const STORES: &str = "
stores:
  nas: { url: /mnt/nas, hours: '08:00-18:00 UTC' }
  partner: { url: 'davs://partner.example.com/in', secret: partner, hours: '22:00-06:00 UTC' }
  portal: { url: /mnt/portal }
";

fn parse(rules: &str) -> policy::Policy {
    let text = format!("version: 1{STORES}rules: [{rules}]");
    policy::parse(&text).unwrap_or_else(|problems| panic!("{problems}"))
}

/// In the hours of `nas`.
const NOON: Timestamp = Timestamp(ACCEPTED.0 + 12 * HOUR);

fn wish(to: &[&str], rendition: &str) -> Wish {
    let to = to.iter().map(|s| (*s).to_owned()).collect();
    Wish { to, rendition: Wish::rendition(rendition).unwrap(), ..Wish::default() }
}

/// A camera's file of 5 MB and 1080 lines, and what was made of it.
fn filmed() -> Facts {
    let mut facts = probed("cam/1.mp4", good(video_of(1080)));
    facts.renditions = vec![
        rendition(&facts, "mp4-720p", video_of(720), 2_000_000),
        rendition(&facts, "mp4-480p", video_of(480), 1_000_000),
        rendition(&facts, "audio-m4a", sound(), 90_000),
    ];
    facts
}

fn trash() -> Trash {
    Trash {
        at: ACCEPTED,
        until: Timestamp(ACCEPTED.0 + DAY),
        rule: "by hand".into(),
        reason: "a mistake".into(),
        by: "ana".into(),
        purging: None,
    }
}

fn by_hand(facts: &Facts, wish: &Wish) -> Result<(String, Vec<String>), String> {
    let found = policy::export(&parse(""), facts, wish, NOON);
    found.map(|(spec, why)| (Action::Export(spec).label(), why)).map_err(|no| no.to_string())
}

#[test]
fn by_hand_the_source_leaves_and_so_does_what_is_named_or_good_enough() {
    let facts = filmed();
    let at = |to: &[&str], rendition: &str| by_hand(&facts, &wish(to, rendition));
    let plain = |label: &str| Ok((label.to_owned(), vec![]));
    assert_eq!(at(&["partner"], "source"), plain("export source to partner"));
    assert_eq!(at(&["partner"], "mp4-720p"), plain("export mp4-720p to partner"));
    let smallest = "`mp4-480p` (1.0MB) is the smallest of 3 that are video/*".to_owned();
    assert_eq!(at(&["nas"], "video/*"), Ok(("export mp4-480p to nas".to_owned(), vec![smallest])));
    let taller =
        "`mp4-720p` (2.0MB) is the smallest of 2 that are video/*, at least 700 pixels high".to_owned();
    assert_eq!(at(&["nas"], "video/*:700"), Ok(("export mp4-720p to nas".to_owned(), vec![taller])));
    let only = "`source` (5.0MB) is the only one that is video/*, at least 1080 pixels high".to_owned();
    let route = "`nas` is the first that is open".to_owned();
    assert_eq!(
        at(&["nas", "partner"], "video/*:1080"),
        Ok(("export source to nas".to_owned(), vec![only, route]))
    );
    // What is exported is what is there now.
    let (spec, _) = policy::export(&parse(""), &facts, &wish(&["nas"], "mp4-480p"), ACCEPTED).unwrap();
    assert_eq!(spec.what, Leaving::Rendition { name: "mp4-480p".into(), job: facts.renditions[1].job });
    assert_eq!(spec.name, domain::NameTemplate::default());
}

#[test]
fn by_hand_what_cannot_leave_says_why() {
    let facts = filmed();
    let no = |facts: &Facts, to: &str, rendition: &str| by_hand(facts, &wish(&[to], rendition)).unwrap_err();
    assert_eq!(no(&facts, "partnr", "source"), "unknown store `partnr`; did you mean `partner`?");
    assert_eq!(no(&facts, "mars", "source"), "unknown store `mars`; known: nas, partner, portal");
    let nowhere = by_hand(&facts, &wish(&[], "source")).unwrap_err();
    assert_eq!(nowhere, "unknown store ``; known: nas, partner, portal");
    let own = "`recordings` is the library's own store, where it is already; name a store of `stores:`";
    assert_eq!(no(&facts, "recordings", "source"), own);
    let none = "there is no `webm-vp9` of it; there are source, audio-m4a, mp4-480p, mp4-720p";
    assert_eq!(no(&facts, "nas", "webm-vp9"), none);
    let none = "there is no `image/*` of it; there are source, audio-m4a, mp4-480p, mp4-720p";
    assert_eq!(no(&facts, "nas", "image/*"), none);
    let bare = probed("a.mp3", good(sound()));
    let none = "there is no `mp4-480p` of it, and no rendition at all; `source` is there";
    assert_eq!(no(&bare, "nas", "mp4-480p"), none);

    let mut cold = facts.clone();
    cold.recording.custody.place = Place {
        class: Some("DEEP_ARCHIVE".into()),
        cold: Some(Cold { since: ACCEPTED, restore: None }),
        ..Place::default()
    };
    let archived = "its source is archived in DEEP_ARCHIVE; `videorec restore` brings it back, at a price";
    assert_eq!(no(&cold, "nas", "source"), archived);
    assert!(by_hand(&cold, &wish(&["nas"], "mp4-720p")).is_ok(), "renditions live elsewhere");
    let restore =
        domain::Restoring { asked_at: ACCEPTED, speed: domain::Speed::Bulk, days: 7, until: None, looks: 1 };
    cold.recording.custody.place.cold.as_mut().unwrap().restore = Some(restore);
    let restoring = "its source is being restored from DEEP_ARCHIVE, and cannot be read before that is over";
    assert_eq!(no(&cold, "nas", "source"), restoring);
    let restored = cold.recording.custody.place.cold.as_mut().unwrap().restore.as_mut().unwrap();
    restored.until = Some(Timestamp(ACCEPTED.0 + DAY));
    assert!(by_hand(&cold, &wish(&["nas"], "source")).is_ok());
    cold.recording.custody.place.bad = Some("2 bytes differ".into());
    assert_eq!(no(&cold, "nas", "source"), "its source is bad: 2 bytes differ");

    let mut gone = facts.clone();
    gone.recording.custody.trash = Some(trash());
    assert_eq!(no(&gone, "nas", "source"), "it is in the trash; `videorec undelete` brings it back");
    gone.recording.custody.trash.as_mut().unwrap().purging = Some(ACCEPTED);
    assert_eq!(no(&gone, "nas", "source"), "it is being purged");
    gone.recording.state = State::Deleted;
    let deleted = policy::export(&parse(""), &gone, &wish(&["nas"], "source"), ACCEPTED);
    assert_eq!(deleted, Err(NoExport::Deleted));
}

/// What one route gave up another one takes; what arrived by one is not sent by the next.
#[test]
fn by_hand_a_route_that_gave_up_is_passed_over() {
    let mut facts = filmed();
    let (to_nas, _) = policy::export(&parse(""), &facts, &wish(&["nas"], "source"), ACCEPTED).unwrap();
    let nas = Action::Export(to_nas).job_id(facts.recording.id, &facts.recording.version);
    facts.parked.insert(nas, "The disk is full.".into());
    let (label, why) = by_hand(&facts, &wish(&["nas", "partner"], "source")).unwrap();
    assert_eq!(label, "export source to partner");
    let opens = "`partner` takes files from 2026-06-01T22:00:00Z on";
    assert_eq!(why, ["`nas` gave up: The disk is full.", opens, "`partner` opens first"]);
    assert_eq!(by_hand(&facts, &wish(&["nas"], "source")).unwrap().0, "export source to nas");
    facts.parked.clear();
    facts.done.insert(nas);
    assert_eq!(by_hand(&facts, &wish(&["partner", "nas"], "source")).unwrap().0, "export source to nas");
}
