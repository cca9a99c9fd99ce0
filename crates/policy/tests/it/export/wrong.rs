//! What a policy may not ask for, and what it surely does not mean.

const POLICY: &str = "version: 1
stores:
  nas: { url: /mnt/nas }
  partner: { url: 'davs://partner.example.com/in', secret: partner }
rules:
  - { name: web, match: { type: video/*, kind: recording }, convert: mp4-720p }
  - { name: calls, match: { kind: session }, mix: { preset: mp4-480p } }
  - { name: out, match: { kind: recording }, ";

fn with(export: &str) -> Result<policy::Policy, policy::Problems> {
    policy::parse(&format!("{POLICY}{export} }}\n"))
}

#[test]
fn each_mistake_has_its_words() {
    for (export, says) in [
        ("export: partnr", "unknown store `partnr`; did you mean `partner`?"),
        ("export: mars", "unknown store `mars`; known: nas, partner"),
        ("export: { to: [nas, mars] }", "unknown store `mars`"),
        ("export: recordings", "an export leaves the library"),
        ("export: { to: [nas, recordings] }", "an export leaves the library"),
        ("export: { to: [nas, nas] }", "`nas` is named twice"),
        ("export: [nas, partner]", "`export: { to: [nas, partner] }` sends to the first"),
        ("export: { rendition: source }", "`export` has no `to`"),
        ("export: { to: [] }", "`to` is an empty list"),
        ("export: { to: }", "expected a value for `to`, not nothing"),
        ("export: { too: nas }", "unknown field `too` in `export`"),
        ("export: { to: nas, rendition: mp4-72p }", "unknown preset `mp4-72p`; did you mean `mp4-720p`?"),
        ("export: { to: nas, rendition: sorce }", "did you mean `source`?"),
        ("export: { to: nas, rendition: Loud Name }", "names no rendition"),
        ("export: { to: nas, rendition: { min_height: 480 } }", "`rendition` has no `type`"),
        ("export: { to: nas, rendition: { type: video } }", "write it as `video/*`"),
        ("export: { to: nas, rendition: { type: [] } }", "`type` is an empty list"),
        ("export: { to: nas, rendition: { type: video/*, min_height: 0 } }", "between 1 and 4320"),
        (
            "export: { to: nas, rendition: { type: video/*, height: 480 } }",
            "unknown field `height` in `rendition`",
        ),
        ("export: { to: nas, rendition: [source] }", "expected a value for `rendition`, not a list"),
        ("export: { to: nas, as: '{titel}' }", "`as`: `{titel}` is nothing that is known"),
        ("export: { to: nas, as: same.mp4 }", "put `{id}` into it"),
        ("export: { to: nas, as: '../{id}.{ext}' }", "no `..`"),
        ("export: { to: nas, with: [jsn] }", "unknown companion `jsn`; did you mean `json`?"),
        ("export: { to: nas, with: [] }", "`with` is an empty list"),
        (
            "export: { to: nas, on_conflict: overwrite }",
            "unknown `on_conflict` `overwrite`; known: skip, replace, rename",
        ),
        ("export: { to: nas, verify: md5 }", "unknown `verify` `md5`; known: none, size, hash"),
        (
            "export: { to: nas, rendition: mp4-720p }, cold: restore",
            "`cold` says what becomes of a verb that reads",
        ),
        (
            "export: nas, delete: {}, watermark: { store: recordings, high: 90%, low: 80% }",
            "has one verb that makes room",
        ),
    ] {
        let problems = with(export).expect_err(export).to_string();
        assert!(problems.contains(says), "{export}: {problems}");
    }
    // All that is wrong is told in one run.
    let problems =
        with("export: { to: mars, rendition: x, as: same, with: y, on_conflict: z, verify: w }").unwrap_err();
    assert_eq!(problems.len(), 6, "{problems}");
}

#[test]
fn what_is_surely_not_meant_is_warned_of() {
    for (export, says) in [
        ("export: { to: nas, as: '{title}.{ext}' }", "the others get a number; `{id}` tells them apart"),
        ("export: { to: nas, as: '{title}.{ext}', on_conflict: skip }", "only the first of them is sent"),
        (
            "export: { to: nas, as: '{title}.{ext}', on_conflict: replace }",
            "the last of them is what is left",
        ),
        ("export: { to: nas, as: '{id}' }", "`{ext}` is it"),
        ("export: { to: nas, as: '{id}.{{ext}}' }", "`{ext}` is it"),
        ("export: { to: nas, rendition: audio-m4a }", "exports `audio-m4a`, which no rule makes"),
        ("export: { to: [partner, nas] }, backup: nas", "exports to `nas`, where rule `out` keeps sources"),
        ("export: nas, move: nas", "exports to `nas`, where rule `out` keeps sources"),
        ("export: { to: nas, rendition: mp4-480p }", "the rules that make it match other recordings"),
    ] {
        let policy = with(export).unwrap_or_else(|problems| panic!("{export}: {problems}"));
        let told: Vec<_> = policy.warnings().iter().map(|w| w.message.as_str()).collect();
        assert!(told.len() == 1 && told[0].contains(says), "{export}: {told:?}");
    }
    for export in [
        "export: nas",
        "export: { to: [partner, nas], rendition: mp4-720p }",
        "export: { to: nas, rendition: { type: [video/*, audio/*], min_height: 480 } }",
        "export: { to: nas, rendition: 'video/*:480', with: [json, dublin-core, thumbnails] }, cold: skip",
        "export: { to: nas, as: '{recorded:%Y}/{id}{{x}}.{ext}', on_conflict: skip, verify: none }, cold: restore",
        "export: nas, hold: it stays here too",
        "export: nas, schedule: '0 2 * * * UTC', when: recording.size > 5, delete: {}, unsafe_all: true",
    ] {
        let policy = with(export).unwrap_or_else(|problems| panic!("{export}: {problems}"));
        assert_eq!(policy.warnings(), [], "{export}");
    }
}

/// The same wish in other words is the same policy.
#[test]
fn the_hash_is_of_the_meaning() {
    let hash = |export: &str| {
        with(export).unwrap_or_else(|problems| panic!("{export}: {problems}")).hash().to_owned()
    };
    let plain = hash("export: nas");
    let default = "export: { to: [nas], rendition: source, as: '{recorded:%Y/%m/%d}/{title}-{id}.{ext}', verify: hash, \
                   on_conflict: rename }";
    assert_eq!(hash(default), plain);
    assert_ne!(hash("export: { to: nas, verify: size }"), plain);
    assert_ne!(
        hash("export: { to: [nas, partner] }"),
        hash("export: { to: [partner, nas] }"),
        "the first comes first"
    );
    let smallest = hash("export: { to: nas, rendition: { type: [video/*, audio/*], min_height: 480 } }");
    assert_eq!(hash("export: { to: nas, rendition: 'audio/*,Video/*:480' }"), smallest);
}
