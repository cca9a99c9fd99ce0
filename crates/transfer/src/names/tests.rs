use proptest::prelude::*;

use super::*;
use crate::Name;

fn rules() -> impl Strategy<Value = Rules> {
    (any::<bool>(), any::<bool>(), 32_usize..300, 128_usize..1200).prop_map(
        |(windows, ignores_case, max_segment, max_path)| Rules {
            windows,
            ignores_case,
            max_segment,
            max_path,
        },
    )
}

/// Texts of what makes trouble, more often than chance would have it.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        any::<String>(),
        prop::sample::select(vec![
            "/",
            "..",
            ".",
            " ",
            "-",
            "CON",
            "nul.txt",
            "lpt1",
            "com¹.log",
            ":",
            "\\",
            "\r\n",
            "\u{202e}",
            "e\u{301}",
            ".videorec-",
            ".part",
            "a",
            ".mp4",
            "東京",
            "\u{0}",
            "~",
            "\u{200b}",
            "ß",
        ])
        .prop_map(str::to_owned),
        (1_usize..400).prop_map(|n| "x".repeat(n)),
    ];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    /// Whatever goes in, what comes out is a name, holds the rules, and stays as it is when it goes in again.
    #[test]
    fn a_sanitised_name_holds_every_rule(text in text(), rules in rules()) {
        let name = sanitise(&text, &rules);
        prop_assert!(name.as_str().len() <= rules.max_path, "{name}");
        for segment in name.segments() {
            prop_assert!(segment.len() <= rules.max_segment, "{segment}");
            prop_assert!(!segment.starts_with('-') && segment.trim() == segment, "{segment:?}");
            if rules.windows {
                prop_assert!(!segment.ends_with('.'), "{segment:?}");
                prop_assert!(!segment.contains(['<', '>', ':', '"', '|', '?', '*', '\\']), "{segment:?}");
                let stem = segment.split('.').next().unwrap().trim_end().to_ascii_lowercase();
                prop_assert!(!["con", "nul", "lpt1", "com¹"].contains(&stem.as_str()), "{segment:?}");
            }
        }
        prop_assert_eq!(sanitise(name.as_str(), &rules), name);
    }

    /// A segment makes no folders.
    #[test]
    fn a_segment_is_one(text in text(), rules in rules()) {
        let segment = segment(&text, &rules);
        prop_assert!(!segment.contains('/'));
        prop_assert!(Name::parse(&segment).is_ok());
    }

    /// Numbers tell apart and stay within the rules.
    #[test]
    fn numbered_names_differ(text in text(), rules in rules(), number in 2_u32..2000) {
        let name = sanitise(&text, &rules);
        let other = numbered(&name, number, &rules);
        prop_assert_ne!(&other, &name);
        prop_assert_ne!(numbered(&name, number + 1, &rules), other.clone());
        prop_assert_eq!(other.folder(), name.folder());
        prop_assert!(other.file().len() <= rules.max_segment);
    }

    /// Of names that differ in nothing that counts, one is had.
    #[test]
    fn a_name_is_had_once(text in text(), rules in rules()) {
        let name = sanitise(&text, &rules);
        let mut claims = Claims::new(rules.clone());
        prop_assert_eq!(claims.claim(&name, 1), Ok(()));
        prop_assert_eq!(claims.claim(&name, 2), Err(Clash::Same(1)));
        let below = Name::join(Some(&name), "x");
        if let Ok(below) = below {
            prop_assert_eq!(claims.claim(&below, 3), Err(Clash::UnderFile(1)));
        }
        if let Some(folder) = name.folder() {
            prop_assert_eq!(claims.claim(&folder, 4), Err(Clash::IsFolder(1)));
        }
    }
}

#[test]
fn what_names_become() {
    let strict = Rules::default();
    for (text, becomes) in [
        ("2025/03/Board meeting.mp4", "2025/03/Board meeting.mp4"),
        ("../../etc/passwd", "_/_/etc/passwd"),
        ("a//b/", "a/b"),
        ("", "_"),
        ("///", "_"),
        ("-rf", "_rf"),
        ("What? 12:30 \"here\".mp4", "What_ 12_30 _here_.mp4"),
        ("con.mp4", "_con.mp4"),
        ("COM1/nul", "_COM1/_nul"),
        ("console.log", "console.log"),
        ("trailing. .", "trailing"),
        (" padded ", "padded"),
        ("cafe\u{301}.mp4", "café.mp4"),
        ("exe\u{202e}4pm.mp4", "exe_4pm.mp4"),
        ("a\r\nDELE b", "a__DELE b"),
        (".videorec-0123.part", "_.videorec-0123.part"),
        ("..hidden", "..hidden"),
    ] {
        assert_eq!(sanitise(text, &strict).as_str(), becomes, "{text:?}");
    }
    assert_eq!(sanitise("What? 12:30.", &Rules::unix()).as_str(), "What? 12:30.");
    assert_eq!(segment("AC/DC", &strict), "AC_DC");
}

#[test]
fn long_names_keep_their_extension_and_stay_apart() {
    let (one, two) = (format!("{}1.mp4", "x".repeat(300)), format!("{}2.mp4", "x".repeat(300)));
    let (one, two) = (sanitise(&one, &Rules::default()), sanitise(&two, &Rules::default()));
    assert_ne!(one, two);
    assert!(one.as_str().len() == 255 && one.as_str().ends_with(".mp4"), "{one}");
    let deep = format!("{}/clip.mp4", ["folder"; 300].join("/"));
    let shallow = sanitise(&deep, &Rules::default());
    assert!(shallow.as_str().starts_with("folder~") && shallow.file() == "clip.mp4", "{shallow}");
}

#[test]
fn numbers_go_before_the_extension() {
    let name = |text| Name::parse(text).unwrap();
    let rules = Rules::default();
    assert_eq!(numbered(&name("a/b.mp4"), 2, &rules), name("a/b (2).mp4"));
    assert_eq!(numbered(&name("README"), 3, &rules), name("README (3)"));
    assert_eq!(numbered(&name(".hidden"), 2, &rules), name(".hidden (2)"));
    assert_eq!(numbered(&name(&"x".repeat(255)), 12, &rules).as_str().len(), 255);
}

#[test]
fn names_collide_as_the_destination_compares_them() {
    let claim = |rules: &Rules, one: &str, two: &str| {
        let mut claims = Claims::new(rules.clone());
        claims.claim(&Name::parse(one).unwrap(), 7).unwrap();
        claims.claim(&Name::parse(two).unwrap(), 8)
    };
    let (windows, unix) = (Rules::default(), Rules::unix());
    assert_eq!(claim(&windows, "a/Clip.MP4", "A/clip.mp4"), Err(Clash::Same(7)));
    assert_eq!(claim(&unix, "a/Clip.MP4", "A/clip.mp4"), Ok(()));
    assert_eq!(claim(&windows, "STRASSE", "straße"), Err(Clash::Same(7)));
    assert_eq!(claim(&unix, "caf\u{e9}", "cafe\u{301}"), Err(Clash::Same(7)));
    assert_eq!(claim(&unix, "a", "a/b"), Err(Clash::UnderFile(7)));
    assert_eq!(claim(&unix, "a/b/c", "a/b"), Err(Clash::IsFolder(7)));
    assert_eq!(claim(&unix, "a/b", "a/c"), Ok(()));
}
