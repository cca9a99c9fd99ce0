//! What people say of recordings.

use domain::{Fields, RecordingId};

use super::{Fixture, kit::*};
use crate::{Catalog, Change, Changed, Description};

pub(super) fn fields(of: &[(&str, &str)]) -> Fields {
    let mut fields = Fields::default();
    of.iter().for_each(|(name, value)| fields.set(name, value).unwrap());
    fields
}

async fn found(c: &dyn Catalog, query: &str) -> Vec<RecordingId> {
    let page = c.search(&query.parse().unwrap(), 99, None).await.unwrap();
    let mut ids: Vec<_> = page.hits.iter().map(|it| it.id).collect();
    ids.sort();
    ids
}

/// What is said is there at once, whole, decided upon anew and found; what is not named stays as it was.
pub async fn what_is_described_is_found_so(f: &Fixture) {
    let c = &*f.catalog;
    let mut it = recording("cam/a.mp4");
    (it.title, it.tags) = ("Front".into(), tags(&["cctv", "draft"]));
    it.fields = fields(&[("case", "A-17"), ("court", "North \"wing\", 2"), ("old", "1")]);
    let other = recording("cam/b.mp4");
    c.accept(&[it.clone(), other.clone()], T0).await.unwrap();
    assert_eq!(get(c, it.id).await.fields, it.fields);
    settle(c, it.id, decided(domain::State::Ready, vec![]), T0).await;
    let before = get(c, it.id).await;

    let describe = Change::Describe(Description {
        title: Some("Back door".into()),
        tags: tags(&["legal"]),
        untag: tags(&["draft", "none"]),
        fields: fields(&[("case", "B 2"), ("priority", "3")]),
        unset: tags(&["old", "none"]),
    });
    assert_eq!(c.custody(&[it.id], &describe, "ana", later(1)).await.unwrap(), [Changed::Yes]);
    let after = get(c, it.id).await;
    assert_eq!((after.title.as_str(), &after.tags), ("Back door", &tags(&["cctv", "legal"])));
    let expected = fields(&[("case", "B 2"), ("court", "North \"wing\", 2"), ("priority", "3")]);
    assert_eq!(after.fields, expected);
    assert!(after.revision > before.revision, "what was decided on the former is void");
    assert_eq!(c.facts(it.id).await.unwrap().unwrap().recording, after);
    assert_eq!(c.facts_page(None, 9).await.unwrap().iter().filter(|f| f.recording == after).count(), 1);
    assert!(dirty(c, later(1)).await.contains(&it.id));
    assert_eq!(c.custody(&[it.id], &describe, "ana", later(2)).await.unwrap(), [Changed::Already]);
    assert_eq!(get(c, it.id).await.revision, after.revision);

    for (query, hits) in [
        ("field.case:\"b 2\"", 1),
        ("field.case:A-17", 0),
        ("field.case:A-17,\"B 2\"", 1),
        ("field.case:*", 1),
        ("-field.case:*", 1),
        ("field.old:*", 0),
        ("field.court:\"north *\"", 0),
        ("field.priority:3 tag:legal", 1),
        ("-field.priority:3", 1),
        ("wing", 1),
        ("title:back", 1),
        ("front", 0),
        ("tag:draft", 0),
        ("field.nobody:x", 0),
    ] {
        assert_eq!(found(c, query).await.len(), hits, "{query}");
    }
    let story: Vec<_> = c.audit(Some(it.id), 99).await.unwrap();
    let told = story.iter().find(|e| e.what == "describe").expect("an entry");
    assert_eq!((told.actor.as_str(), &told.details["fields"]["case"]), ("ana", &"B 2".into()));

    // Too many fields: nothing at all of it is done.
    let many = (0..Fields::MOST - 1).map(|n| (format!("f{n}"), "x".to_owned())).collect::<Vec<_>>();
    let many: Vec<_> = many.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let much = Description { tags: tags(&["more"]), fields: fields(&many), ..Description::default() };
    let answers = c.custody(&[it.id, other.id], &Change::Describe(much), "ana", later(3)).await.unwrap();
    assert!(matches!(&answers[0], Changed::Refused(why) if why.contains("at most 50")), "{answers:?}");
    assert_eq!(answers[1], Changed::Yes);
    assert_eq!(get(c, it.id).await, after);
}

/// A track has what its session has, unless it says something else itself; and is found by its session's title.
pub async fn a_tracks_fields_are_its_sessions(f: &Fixture) {
    let c = &*f.catalog;
    let mut call = session("call/session.json", &[("call/a.webm", "Ana"), ("call/b.webm", "Bo")]);
    call.fields = fields(&[("case", "A-17"), ("court", "north")]);
    let mut a = recording("call/a.webm");
    a.fields = fields(&[("case", "own")]);
    let b = recording("call/b.webm");
    // One comes before the session, the other after it.
    for it in [&a, &call, &b] {
        c.accept(std::slice::from_ref(it), T0).await.unwrap();
    }
    assert_eq!(get(c, a.id).await.fields, fields(&[("case", "own"), ("court", "north")]));
    assert_eq!(get(c, b.id).await.fields, call.fields);
    let title = Description { title: Some("Hearing".into()), ..Description::default() };
    change(c, call.id, &Change::Describe(title), later(1)).await;
    let mut all = vec![call.id, a.id, b.id];
    all.sort();
    assert_eq!(found(c, "hearing").await, all);
    // A manifest that comes again says what is true of the session now.
    let mut anew = call.clone();
    (anew.version, anew.digest) = ("v2".into(), digest("v2", 7));
    (anew.fields, anew.accepted_at) = (fields(&[("case", "A-18")]), later(2));
    c.accept(&[anew.clone()], later(2)).await.unwrap();
    assert_eq!(get(c, call.id).await.fields, anew.fields);
    assert_eq!(get(c, b.id).await.fields, call.fields);
}
