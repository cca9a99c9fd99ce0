use domain::State;

use crate::support::*;

/// A new library deletes nothing, gives up nothing and moves nothing.
#[test]
fn the_default_policy_deletes_nothing() {
    let policy = default_policy();
    assert!(!policy.deletes());
    assert_eq!(policy.watermarks().count(), 0);
    let harmless = |asks: String| asks.starts_with("convert") || asks.starts_with("mix");
    assert!(policy.rules().iter().all(|r| r.asks_for().all(harmless)));
}

#[test]
fn the_default_policy_is_right_and_warns_of_nothing() {
    let policy = default_policy();
    assert_eq!(policy.warnings(), []);
    let names: Vec<&str> = policy.rules().iter().map(|r| r.name.as_str()).collect();
    assert_eq!(names, ["compose calls", "listening copies", "web copies"]);
}

/// The default policy is the language's reference, so what it shows in comments must work once taken in.
#[test]
fn the_commented_examples_are_right_too() {
    let text = without_comments(policy::DEFAULT);
    let policy = policy::parse(&text).unwrap_or_else(|problems| panic!("{problems}\n{text}"));
    assert_eq!(policy.warnings(), []);
    assert_eq!(policy.rules().len(), 23);
    assert_eq!(policy.stores().len(), 10);
    assert_eq!(policy.presets().len(), 9 + 4);
    for word in [
        "kind",
        "age",
        "recorded",
        "accepted",
        "size",
        "duration",
        "type",
        "codec",
        "height",
        "prefix",
        "name",
        "tags",
        "field case",
        "field priority",
        "state",
        "copies",
        "tier",
        "last_access",
        "when",
    ] {
        assert!(policy.rules().iter().any(|r| r.looks_for().contains(word)), "{word} is not shown");
    }
    for verb in [
        "convert", "mix", "backup", "archive", "move", "delete", "evict", "export", "tag", "notify", "hold",
        "keep",
    ] {
        let shown = |asks: String| asks.split(' ').next() == Some(verb);
        assert!(policy.rules().iter().any(|r| r.asks_for().any(shown)), "{verb} is not shown");
    }
    assert_eq!(policy.watermarks().count(), 2);
    // What the comments say holds where nothing is said.
    let (said, unsaid) = (policy.protect(), default_policy().protect().clone());
    assert_eq!(policy::Protect { copies_min: 1, regions_min: 1, ..said.clone() }, unsaid);
    // Sized, dated, tagged and named as the comments say: the reference cannot drift from what is read.
    insta::assert_snapshot!(describe(&policy));
}

#[test]
fn a_camera_file_a_song_and_a_call_become_what_the_default_says() {
    let policy = default_policy();
    let at = |facts: &domain::Facts| labels(&decide(&policy, facts, ACCEPTED));
    assert_eq!(
        at(&probed("cam/1.mp4", good(video_and_sound()))),
        ["convert audio-m4a", "convert mp4-720p", "convert thumbnails"]
    );
    assert_eq!(at(&probed("song.mp3", good(sound()))), ["convert audio-m4a", "convert waveform"]);
    let call = session(vec![("ana.webm", Some(good(video_and_sound()))), ("bo.webm", Some(good(sound())))]);
    assert_eq!(at(&call), ["mix mp4-720p"]);
    // A track is worked on by its session only.
    let mut track = facts(call.tracks[0].recording.clone().unwrap());
    assert_eq!(decide(&policy, &track, ACCEPTED).state, State::Ready);
    track.recording.probe = None;
    assert_eq!(at(&track), ["probe"]);
}

fn describe(policy: &policy::Policy) -> String {
    let mut text = String::new();
    for rule in policy.rules() {
        let asks: Vec<String> = rule.asks_for().collect();
        text += &format!("{}: {} -> {}\n", rule.name, rule.looks_for(), asks.join(", "));
    }
    text
}
