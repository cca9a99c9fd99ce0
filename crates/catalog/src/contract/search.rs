use domain::{RecordingId, State, Timestamp};

use super::{Fixture, kit::*};
use crate::{
    Query,
    query::{Term, Want},
};

pub async fn queries_find_what_they_say(f: &Fixture) {
    let c = &*f.catalog;
    let new = |name: &str, title: &str, with: &[&str]| {
        let mut it = recording(name);
        (it.title, it.tags) = (title.into(), tags(with));
        it
    };
    let mut call = session("call/session.json", &[("call/ana.webm", "Ana Müller"), ("call/bo.webm", "Bo")]);
    (call.title, call.tags) = ("Weekly Café Call".into(), tags(&["call", "Team A"]));
    let batch = [
        new("cam1/0001.mp4", "Front door", &["cctv"]),
        new("cam1/0002.mp4", "Front door, night", &["cctv", "night"]),
        new("talks/WeeklyReview_final-v2.mov", "Review", &["talk"]),
        new("odd.bin", "AND \"OR\" NOT NEAR(x) * ^ : {all} all ktrack", &[]),
        call,
        new("call/ana.webm", "ana", &[]),
        new("call/bo.webm", "bo", &["call", "own"]),
    ];
    c.accept(&batch, T0).await.unwrap();
    for (name, state) in [("cam1/0001.mp4", State::Ready), ("cam1/0002.mp4", State::Failed)] {
        settle(c, recording(name).id, decided(state, vec![]), T0).await;
    }
    let (_, spec) = with_probe(c, "talks/WeeklyReview_final-v2.mov").await;
    let held = claim(c, &spec, "w", T0).await;
    c.record(&held, &probed("Inner Title"), T0).await.unwrap();

    let (cam1, cam2, talk, odd) =
        ("cam1/0001.mp4", "cam1/0002.mp4", "talks/WeeklyReview_final-v2.mov", "odd.bin");
    let (call, ana, bo) = ("call/session.json", "call/ana.webm", "call/bo.webm");
    let cases: &[(&str, &[&str])] = &[
        ("", &[cam1, cam2, talk, odd, call, ana, bo]),
        ("front door", &[cam1, cam2]),
        ("door front", &[cam1, cam2]),
        ("\"front door\"", &[cam1, cam2]),
        ("\"door front\"", &[]),
        ("front -night", &[cam1]),
        ("-front", &[talk, odd, call, ana, bo]),
        ("-front -weekly -call", &[odd]),
        ("FRONT", &[cam1, cam2]),
        ("cafe", &[call, ana, bo]),
        ("CAFÉ", &[call, ana, bo]),
        ("muller", &[call, ana]),
        ("\"ana müller\"", &[call, ana]),
        ("fro*", &[cam1, cam2]),
        ("f*", &[cam1, cam2, talk]),
        ("\"front do\"*", &[cam1, cam2]),
        ("fro", &[]),
        ("0001", &[cam1]),
        ("cam1/0001.mp4", &[cam1]),
        ("final", &[talk]),
        ("final-v2", &[talk]),
        ("weekly", &[talk, call, ana, bo]),
        ("weeklyreview", &[talk]),
        ("inner", &[talk]),
        ("night OR review", &[cam2, talk]),
        ("front night OR review", &[cam2]),
        ("front OR -call", &[cam1, cam2, talk, odd]),
        ("night OR state:ready", &[cam1, cam2]),
        ("front night OR state:ready", &[cam1, cam2]),
        ("tag:cctv", &[cam1, cam2]),
        ("tag:CCTV", &[cam1, cam2]),
        ("tag:night,talk", &[cam2, talk]),
        ("tag:cctv -tag:night", &[cam1]),
        ("tag:call", &[call, ana, bo]),
        ("tag:\"team a\"", &[call, ana]),
        ("tag:team", &[]),
        ("cctv", &[cam1, cam2]),
        ("kind:session", &[call]),
        ("kind:track,session", &[call, ana, bo]),
        ("-kind:recording", &[call, ana, bo]),
        ("kind:Track tag:own", &[bo]),
        ("state:ready", &[cam1]),
        ("state:ready,failed", &[cam1, cam2]),
        ("state:failed front", &[cam2]),
        ("state:failed state:ready", &[]),
        ("-state:accepted,processing", &[cam1, cam2]),
        ("-state:accepted front", &[cam1, cam2]),
        ("type:video", &[talk]),
        ("type:video/mp4", &[talk]),
        ("type:video/* -inner", &[]),
        ("type:audio,video/mp4", &[talk]),
        ("name:cam1", &[cam1, cam2]),
        ("name:front", &[]),
        ("title:front", &[cam1, cam2]),
        ("name:odd,talks", &[talk, odd]),
        ("name:cam*", &[cam1, cam2]),
        ("nothing here", &[]),
        // Words of the index's own syntax, and its marks, are words to look for.
        ("\"OR\"", &[odd]),
        ("NOT AND", &[odd]),
        ("near(x)", &[odd]),
        ("all", &[odd]),
        ("ktrack", &[odd]),
        ("{all}", &[odd]),
        ("\"AND \"", &[odd]),
        ("title", &[talk]),
    ];
    for (text, expected) in cases {
        let query: Query = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
        let page = c.search(&query, 99, None).await.unwrap_or_else(|e| panic!("{text}: {e}"));
        let mut found: Vec<_> = page.hits.iter().map(|r| r.name.as_str()).collect();
        let mut expected = expected.to_vec();
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected, "{text}");
    }
    let defaulted = c.search(&Query::default(), 99, None).await.unwrap();
    assert_eq!(defaulted.hits.len(), 7, "the default finds everything");
}

pub async fn every_page_once_and_newest_first(f: &Fixture) {
    let c = &*f.catalog;
    let batch: Vec<_> = (0..60)
        .map(|n| {
            let mut it = recording(&format!("{n} clip.mp4"));
            it.tags = tags(if n % 3 == 0 { &["third"] } else { &[] });
            // Not in the order in which they were accepted, and some at the same time.
            let long_before_1970 = if n % 5 == 0 { 2 * T0.0 } else { 0 };
            it.recorded_at = Some(Timestamp(T0.0 - long_before_1970 - (n * 37 % 60) / 2 * 1_000));
            it
        })
        .collect();
    c.accept(&batch, T0).await.unwrap();
    for it in &batch[..30] {
        settle(c, it.id, decided(if it.tags.is_empty() { State::Ready } else { State::Damaged }, vec![]), T0)
            .await;
    }
    for (text, expected) in
        [("", 60), ("clip", 60), ("tag:third", 20), ("state:ready,damaged", 30), ("-tag:third", 40)]
    {
        let (mut seen, mut after): (Vec<(Timestamp, RecordingId)>, _) = (Vec::new(), None);
        loop {
            let page = c.search(&text.parse().unwrap(), 7, after).await.unwrap();
            assert!(page.hits.len() <= 7);
            seen.extend(page.hits.iter().map(|r| (r.dated(), r.id)));
            match page.next {
                // Written and read, as an API would.
                Some(next) => after = Some(next.to_string().parse().unwrap()),
                None => break,
            }
        }
        assert_eq!(seen.len(), expected, "{text}");
        assert!(seen.is_sorted_by(|a, b| a.0 >= b.0), "{text}");
        let once: std::collections::BTreeSet<_> = seen.iter().map(|s| s.1).collect();
        assert_eq!(once.len(), expected, "{text}");
    }
}

pub async fn what_changes_is_found_as_it_is_now(f: &Fixture) {
    let c = &*f.catalog;
    let mut first = session("s.json", &[("a.webm", "Ana")]);
    (first.title, first.recorded_at) = ("Monday".into(), Some(Timestamp(T0.0 - 5_000)));
    c.accept(&[recording("a.webm"), first.clone()], T0).await.unwrap();
    let found = async |text: &str| -> Vec<String> {
        let page = c.search(&text.parse().unwrap(), 99, None).await.unwrap();
        page.hits.into_iter().map(|r| r.name).collect()
    };
    assert_eq!(found("monday").await, ["a.webm", "s.json"]);
    // Another manifest under the same name: another title, another participant, and one track less.
    let mut second = session("s.json", &[("a.webm", "Anna"), ("b.webm", "Bo")]);
    (second.title, second.version, second.accepted_at) = ("Tuesday".into(), "v2".into(), later(1));
    second.digest = digest("v2", 1_000);
    c.accept(&[second], later(1)).await.unwrap();
    assert_eq!(found("monday").await, [""; 0]);
    assert_eq!(found("tuesday kind:track").await, ["a.webm"]);
    assert_eq!(found("anna").await.len(), 2);
    assert_eq!(found("ana").await, [""; 0]);
    let mut third = session("s.json", &[("b.webm", "Bo")]);
    (third.title, third.version, third.accepted_at) = ("Tuesday".into(), "v3".into(), later(2));
    third.digest = digest("v3", 1_000);
    c.accept(&[third], later(2)).await.unwrap();
    assert_eq!(found("tuesday").await, ["s.json"]);
    assert_eq!(found("kind:recording").await, ["a.webm"], "no session names it any more");
}

/// Case and accents do not matter where they are Latin's; in other scripts a mark makes another letter.
pub async fn words_are_found_in_many_scripts(f: &Fixture) {
    let c = &*f.catalog;
    let titles = [
        "Grüße aus Ängelholm",
        "Tiếng Việt: cà phê sữa đá",
        "İstanbul'da ısı",
        "Русский язык, Йод",
        "ΣΊΣΥΦΟΣ",
        "日本語 テスト",
        "한국어 시험",
        "עברית שלום",
        "مرحبا بالعالم",
        "१२३ हिन्दी",
        "Cafe\u{301} decomposed",
        "ﬁn 2½ Ⅳ ＦＵＬＬ",
    ];
    let batch = titles.map(|title| {
        let mut it = recording(&format!("{}.mp4", sha256(title)));
        it.title = title.into();
        it
    });
    c.accept(&batch, T0).await.unwrap();
    let cases = [
        ("gruße", 0),
        ("GRUSSE", usize::MAX),
        ("angelholm", 0),
        ("tieng viet", 1),
        ("\"ca phe\"", 1),
        ("sua đa", 1),
        ("istanbul", 2),
        ("ısı", 2),
        ("isi", usize::MAX),
        ("РУССКИЙ", 3),
        ("йод", 3),
        ("иод", usize::MAX),
        ("σίσυφος", 4),
        ("日本語", 5),
        ("テ*", 5),
        ("한국어", 6),
        ("שלום", 7),
        ("مرحبا", 8),
        ("हिन्दी", 9),
        ("१२३", 9),
        ("café", 10),
        ("CAFE\u{301}", 10),
        ("ﬁn", 11),
        ("2½", 11),
        ("ｆｕｌｌ", 11),
    ];
    for (text, expected) in cases {
        let page = c.search(&text.parse().unwrap(), 99, None).await.unwrap();
        let found: Vec<_> = page.hits.iter().map(|r| r.title.as_str()).collect();
        let expected: Vec<_> = titles.get(expected).into_iter().copied().collect();
        assert_eq!(found, expected, "{text}");
    }
}

/// What strangers name their files must never make a recording unacceptable.
pub async fn no_text_is_too_odd_to_be_accepted(f: &Fixture) {
    let c = &*f.catalog;
    let noise: String = (0..400).map(|n| sha256(&n.to_string()).to_string()).collect();
    let odd = |name: &str, title: &str| {
        let mut it = recording(name);
        it.title = title.into();
        it
    };
    let mut tagged = odd("tagged.mp4", "tagged");
    tagged.tags =
        (0..1_500).map(|n| format!("tag {n}")).chain([noise.clone(), format!("{noise}!")]).collect();
    let mut call =
        session("nul/\0.json", &[("nul/a\0b.webm", "Nemo\0Nobody"), ("nul/\\'\".webm", "'; DROP TABLE")]);
    call.title = "Nul\0Session".into();
    let batch = [
        odd(&format!("long/{noise}.mp4"), "unbounded"),
        odd("book.mp4", &format!("book {}", "word and ".repeat(200_000))),
        odd("one.mp4", &format!("monolith {}", "x".repeat(3_000_000))),
        odd("nul/a\0b.webm", "a\0b"),
        odd("nul/\\'\".webm", "\\'\":*A & !b | <-> c"),
        tagged,
        call,
    ];
    let accepted = c.accept(&batch, T0).await.unwrap();
    assert!(accepted.iter().all(|a| a.new));
    assert!(c.accept(&batch, T0).await.unwrap().iter().all(|a| !a.new), "the same the second time");
    for (text, expected) in [
        ("unbounded", 1),
        ("\"book word and word\"", 1),
        ("monolith", 1),
        ("xxx*", 1),
        ("nemo", 2),
        ("kind:track", 2),
        ("\"nul session\"", 3),
        ("tag:\"tag 7\"", 1),
        ("drop", 2),
    ] {
        assert_eq!(c.search(&text.parse().unwrap(), 99, None).await.unwrap().hits.len(), expected, "{text}");
    }
    let mut long = Query::default();
    for (tag, expected) in [(noise.clone(), 1), (format!("{noise}!"), 1), (format!("{noise}?"), 0)] {
        long.groups = vec![vec![Term { negated: false, want: Want::Tag(vec![tag]) }]];
        assert_eq!(c.search(&long, 99, None).await.unwrap().hits.len(), expected);
    }
    assert!(facts(c, batch[6].id).await.tracks.iter().all(|t| t.recording.is_some()));
}

/// What a person says by hand: old ones, big ones, those of one store, those that are held.
pub async fn recordings_are_found_by_what_they_are(f: &Fixture) {
    let c = &*f.catalog;
    let day = |text: &str| text.parse::<Timestamp>().unwrap();
    let new = [
        ("a", "2025-12-31T23:59:59Z", Some("2024-02-29T12:00:00Z"), 1_000, "library"),
        ("b", "2026-01-01T00:00:00Z", None, 5_000_000, "library"),
        ("c", "2026-03-31T23:59:59Z", None, 2_000_000_000, "nas-2"),
        ("d", "2026-04-01T00:00:00Z", Some("2026-01-01T00:00:00Z"), 2_000, "library"),
        ("e", "2026-05-01T00:00:00Z", Some("1969-07-20T20:17:00Z"), 0, "library"),
    ];
    let batch = new.map(|(name, accepted, recorded, size, store)| {
        let mut it = recording(&format!("cam/{name}.mp4"));
        (it.accepted_at, it.recorded_at) = (day(accepted), recorded.map(day));
        (it.digest.size, it.store) = (size, store.into());
        it
    });
    c.accept(&batch, T0).await.unwrap();
    change(c, batch[1].id, &hold("case", "a \"holds\":{ b"), T0).await;
    let noted = hold("x", "y");
    change(c, batch[2].id, &noted, T0).await;
    change(c, batch[2].id, &crate::Change::Release { name: None }, T0).await;
    let cases = [
        ("recorded:2026", "bcd"),
        ("recorded:2026-01", "bd"),
        ("recorded:2026-01-01", "bd"),
        ("recorded:2026-01..2026-03", "bcd"),
        ("recorded:2024..2025", "a"),
        ("recorded:..2024", "ae"),
        ("recorded:2026-02.. cam", "c"),
        ("recorded:2024,2026-03", "ac"),
        ("-recorded:2026", "ae"),
        ("recorded:2026 recorded:..2026-02", "bd"),
        ("accepted:2025", "a"),
        ("accepted:2026-04..", "de"),
        ("accepted:2026 -accepted:2026-05-01", "bcd"),
        ("size:>1MB", "bc"),
        ("size:1kB..5MB", "abd"),
        ("size:<=0B", "e"),
        ("-size:>0B", "e"),
        ("store:nas-2", "c"),
        ("store:library size:>2kB", "b"),
        ("store:nas-2,library", "abcde"),
        ("store:other", ""),
        ("hold:yes", "b"),
        ("hold:no", "acde"),
        ("hold:yes OR size:>1GB", "bc"),
        ("hold:yes OR state:failed", "b"),
        ("hold:yes OR name:e", "be"),
        ("-hold:yes OR name:b", "abcde"),
        ("name:cam hold:yes OR a", "ab"),
        ("size:>1MB kind:recording -c", "b"),
    ];
    let found = async |text: &str| -> String {
        let (mut names, mut after) = (Vec::new(), None);
        loop {
            let page =
                c.search(&text.parse().unwrap(), 2, after).await.unwrap_or_else(|e| panic!("{text}: {e}"));
            names.extend(page.hits.iter().map(|r| r.name.as_bytes()[4] as char));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        names.sort_unstable();
        names.into_iter().collect()
    };
    for (text, expected) in cases {
        assert_eq!(found(text).await, expected, "{text}");
    }
    // What is gone is not in the way, unless it is asked for.
    trash_all(c, &[get(c, batch[2].id).await, get(c, batch[3].id).await], &ANY, T0).await;
    let cases = [
        ("", "abe"),
        ("cam", "abe"),
        ("-state:accepted", ""),
        ("state:trashed", "cd"),
        ("state:trashed,accepted", "abcde"),
        ("cam state:trashed size:>1GB", "c"),
        ("state:trashed OR name:a", "acd"),
        ("-state:trashed", "abe"),
        ("state:deleted", ""),
        ("size:>1kB", "b"),
    ];
    for (text, expected) in cases {
        assert_eq!(found(text).await, expected, "{text}");
    }
}
