//! What a person is told of a file that is not right: the whole text, since it is what they work with.

macro_rules! wrong {
    ($($name:ident: $text:expr;)*) => {$(
        #[test]
        fn $name() {
            let text: &str = $text;
            let problems = policy::parse(text).expect_err("the file is wrong");
            insta::assert_snapshot!(problems.in_file("policy.yaml"));
        }
    )*};
}

wrong! {
    unknown_fields: "version: 1
ruls: []
rules:
  - name: a
    match: { durration: '>=1h', colour: red }
    convert: mp4-720p
    mxi: {}
";
    bad_units: "version: 1
stores: { replica: { url: /mnt/replica, capacity: 40 terabytes } }
rules:
  - name: a
    match: { age: '>=30 days', size: 1MB, duration: '>=10', height: tall, recorded: { from: yesterday } }
    mix: { loudness: -16 }
";
    empty_ranges: "version: 1
rules:
  - name: a
    match: { size: 5GB..1GB, age: '<0s', recorded: { from: 2026-02-01, before: 2026-01-01 }, accepted: {} }
    tag: x
";
    wrong_types: "version: one
stores: [replica]
presets: 7
rules:
  name: a
";
    wrong_types_within: "version: 1
rules:
  - just words
  - name: [a]
    match: [all]
    convert: { preset: mp4-720p }
  - name: b
    match: { type: [], kind: [[recording]], tags: { has: } }
    backup: []
    tag: ''
";
    missing_match: "version: 1
rules:
  - name: a
    convert: mp4-720p
  - name: b
    match:
    convert: mp4-720p
  - name: c
    match: {}
    convert: mp4-720p
  - match: all
    convert: mp4-720p
  - name: d
    match: all
";
    unknown_preset_and_store: "version: 1
stores:
  replica: { url: /mnt/replica }
rules:
  - name: a
    match: all
    convert: [mp4-720, thumbnail, h265-8k]
    backup: [replika, mars]
    mix: { layout: gird, preset: mp4-72p }
";
    duplicate_names_and_keys: "version: 1
version: 1
rules:
  - { name: a, match: all, tag: x }
  - { name: a, match: all, tag: y, tag: z }
";
    not_in_this_release: "version: 1
stores:
  cloud: { url: 'smb://acme/share' }
rules:
  - name: court cases stay
    match: { tags: { case: court } }
    hold: { reason: litigation }
  - name: to the partner
    match: { age: '>=365d' }
    script: x.py
    export: {}
";
    protections_that_protect_nothing: "version: 1
protect:
  copies: { min: 1, regions: 2 }
  trash: 0s
  deletion: { max_percent: 500, floor: many, max_bytes: 2, at_most: 3 }
  verify: 1
rules:
  - { name: a, match: { age: '>=1y' }, delete: { trash: 30m } }
  - { name: b, match: { age: '>=1y' }, delete: }
  - { name: c, match: { age: '>=1y' }, delete: { trsh: 1d } }
  - { name: d, match: all, hold: {} }
  - { name: e, match: all, keep: {} }
  - { name: f, match: all, keep: 7 years }
  - { name: g, match: all, hold: '' }
";
    deletions_of_everything: "version: 1
rules:
  - { name: a, match: all, delete: {} }
  - { name: b, match: { age: '>=0d', size: '>=0B' }, delete: {}, unsafe_all: false }
  - { name: c, match: { name: '**', kind: [recording, track, session] }, delete: {}, unsafe_all: yes }
  - { name: d, match: all, tag: x, unsafe_all: true }
";
    rules_that_contradict_themselves: "version: 1
stores: { attic: { url: /mnt/attic } }
rules:
  - { name: a, match: { tags: x }, hold: h, delete: {} }
  - { name: b, match: { tags: x }, archive: attic, delete: {} }
  - { name: c, match: { tags: x }, archive: attic, move: attic }
  - { name: d, match: { tags: x }, hold: h, move: attic }
  - { name: e, match: { tags: x }, hold: h, schedule: '0 2 * * * UTC' }
  - { name: f, match: { tags: x }, keep: 1d, schedule: '0 2 * * * UTC' }
  - { name: g, match: { tags: x }, tag: y, cold: restore }
  - { name: h, match: { tags: x }, convert: mp4-720p, cold: thaw }
  - { name: i, match: { age: '>=1d' }, archive: attic }
  - { name: j, match: { age: '>=24h' }, archive: DEEP_ARCHIVE }
  - { name: custody, match: all, tag: y }
";
    places_that_are_none: "version: 1
stores: { attic: { url: /mnt/attic } }
rules:
  - { name: a, match: all, archive: attik }
  - { name: b, match: all, archive: { class: deep_archive } }
  - { name: c, match: all, archive: { to: nowhere } }
  - { name: d, match: all, archive: { class: GLACIER, to: attic } }
  - { name: e, match: all, archive: {} }
  - { name: f, match: all, move: atic }
  - { name: g, match: all, move: { keep: 7d } }
  - { name: h, match: all, move: { to: attic, keep: 7 } }
  - { name: i, match: all, evict: attic }
  - { name: j, match: all, evict: {} }
  - { name: k, match: all, notify: loud }
  - { name: l, match: all, notify: { severity: warn, text: \"two\\nlines\" } }
  - { name: m, match: { tier: frozen, copies: two, last_access: 20d }, tag: x }
";
    watermarks_upside_down: "version: 1
stores:
  recordings: { capacity: 1TB }
  attic: { url: /mnt/attic }
rules:
  - { name: a, match: { tags: x }, delete: {}, watermark: { store: recordings, high: 75%, low: 85% } }
  - { name: b, match: { tags: x }, delete: {}, watermark: { store: recordings, high: 85%, low: 75%, emergency: 80% } }
  - { name: c, match: { tags: x }, delete: {}, watermark: { store: attic, high: 85%, low: 75% } }
  - { name: d, match: { tags: x }, delete: {}, watermark: { store: recording, high: 850%, low: 75, order: [newest] } }
  - { name: e, match: { tags: x }, delete: {}, tag: y, watermark: { store: recordings, high: 85%, low: 75% } }
  - { name: f, match: { tags: x }, move: attic, watermark: { store: recordings, high: 85%, low: 75% } }
  - { name: g, match: { tags: x }, evict: attic, watermark: { store: recordings, high: 85%, low: 75%, for: 10 } }
  - { name: h, match: { tags: x }, evict: attic, watermark: { store: recordings, high: 85%, low: 75% } }
  - { name: i, match: { tags: x }, archive: recordings, watermark: { store: recordings, high: 85%, low: 75% } }
  - { name: j, match: { tags: x }, delete: {}, schedule: '0 2 * * * UTC', watermark: { store: recordings, high: 85%, low: 75% } }
  - { name: k, match: all, delete: {}, watermark: { store: recordings, high: 85%, low: 75% } }
  - { name: l, match: { tags: x }, delete: {}, watermark: { hihg: 85% } }
";
    schedules_that_never_come: "version: 1
rules:
  - { name: a, match: all, tag: x, schedule: '0 2 * * *' }
  - { name: b, match: all, tag: x, schedule: '0 0 30 2 * UTC' }
  - { name: c, match: all, tag: x, schedule: '0 25 * * * UTC' }
  - { name: d, match: all, tag: x, schedule: '0 2 * * * Europe/Madird' }
  - { name: e, match: all, tag: x, schedule: nightly }
";
    states_that_would_undo_themselves: "version: 1
rules:
  - { name: a, match: { state: [ready, bad] }, tag: x }
";
    matches_that_match_nothing: "version: 1
rules:
  - { name: a, match: { type: video, codec: h265, prefix: /cam, name: '{a,b}.mp4', kind: movie }, tag: 'a,b' }
";
    stores_nowhere: "version: 1
stores:
  recordings: { url: /mnt/other }
  Big Disk: { url: relative/folder }
  home: { url: ~/copies }
  up: { url: 'file:///mnt/../etc' }
  none: {}
  one: { url: /mnt/x }
  two: { url: 'file:///mnt/x/' }
  three: { url: /mnt/y, region: eu-west-1 }
  bucket: { url: 's3://Acme' }
  prefix: { url: 's3://acme/a//../b' }
  far: { url: 's3://acme/videorec/', region: EU }
  farther: { url: 's3://acme/videorec' }
rules: []
";
    presets_that_cannot_be: "version: 1
presets:
  mp4-720p: { kind: waveform, width: 100, height: 100 }
  Loud Name: { kind: waveform, width: 100, height: 100 }
  a: { kind: movie }
  b: { container: mp4 }
  c: { kind: video, container: mp4, video: { codec: h265, short_side: 720, crf: 23 } }
  d: { kind: video, container: webm, video: { codec: h264, short_side: 1, crf: 23 }, audoi: {} }
  e: { kind: video, container: mp4, video: { codec: vp9, short_side: 720, crf: 23, speed: fast } }
  f: { kind: audio, container: wav, audio: { codec: aac } }
  g: { kind: video, container: mp4, video: { codec: h264, short_side: 720 } }
  h: { kind: thumbnails, poster_width: 9999999999, sprite: { tile_width: 640, columns: 100, max_tiles: 1, min_interval_seconds: 0 } }
  i: { kind: thumbnails, poster_width: 640, sprite: { tile_width: 640, columns: 100, max_tiles: 1, min_interval_seconds: 1 } }
rules:
  - { name: uses a wrong one, match: all, convert: [c, nowhere] }
";
    mixes_that_do_not_fit: "version: 1
rules:
  - { name: a, match: all, mix: { preset: thumbnails } }
  - { name: b, match: all, mix: { layout: audio-only, preset: mp4-720p } }
  - { name: c, match: all, mix: grid }
  - { name: intake, match: all, mix: { loudness: -3LUFS } }
";
    syntax: "version: 1
rules:
  - name: a
    match: { type: video/*
    convert: [mp4-720p]
";
    tabs: "version: 1
rules:
\t- name: a
";
    a_value_that_wants_quotes: "version: 1
rules:
  - name: a
    match: { age: >=30d }
    tag: x
";
    a_block_value_that_wants_quotes: "version: 1
rules:
  - name: a
    match:
      age: >=30d
    tag: x
";
    empty: "";
    only_comments: "# nothing\n\n# at all\n";
    only_a_word: "hello";
    two_documents: "version: 1\nrules: []\n---\nversion: 1\n";
    an_undefined_alias: "version: 1\nrules: *nowhere\n";
    nothing_but_rules_missing: "stores: {}";
    version_from_the_future: "version: 2\nrules: []\n";
    a_long_line: Box::leak(
        format!("version: 1\nrules: [{{ name: {}, match: all, tga: x, tag: y }}]\n", "n".repeat(300)).into_boxed_str()
    );
    control_characters: "version: 1\nrules: [{ name: \"\\e[31mred\", match: all, \"t\\nag\": \"\\a\" }]\n";
}

/// What is surely not meant and harms nobody is a warning.
#[test]
fn warnings() {
    let text = "version: 1
stores: { attic: { url: /mnt/attic } }
protect: { copies: { min: 3 } }
rules:
  - { name: cold, match: { age: '>=30d' }, archive: GLACIER }
  - { name: colder, match: { age: '>=180d' }, archive: DEEP_ARCHIVE }
  - { name: up, match: { age: 20d..30d, tags: x }, archive: attic }
  - { name: mark, match: { tags: { none: marked } }, tag: [marked, seen] }
";
    let warnings = |text: &str| {
        let policy = policy::parse(text).unwrap_or_else(|problems| panic!("{problems}"));
        policy.warnings().iter().map(|w| w.in_file("policy.yaml").to_string()).collect::<Vec<_>>().join("\n")
    };
    insta::assert_snapshot!(warnings(text));
    let regions = "version: 1\nstores: { attic: { url: /mnt/a, region: x }, recordings: { region: x } }\nprotect: { copies: { min: 2, regions: 2 } }\nrules: [{ name: a, match: all, tag: x }]";
    insta::assert_snapshot!("warnings_of_regions", warnings(regions));
    // Kept longer or shorter than it is deleted, and matches that exclude one another, are no contradictions.
    let sound = "version: 1
stores: { attic: { url: /mnt/attic } }
rules:
  - { name: a, match: { age: '>=1y', tags: x }, keep: 7y, delete: {} }
  - { name: b, match: { age: 30d..180d }, archive: GLACIER }
  - { name: c, match: { age: '>=180d', tags: { none: y } }, archive: DEEP_ARCHIVE }
  - { name: d, match: { tags: { has: y }, age: '>=180d' }, archive: attic }
  - { name: e, match: { tags: y }, move: attic }
";
    assert_eq!(warnings(sound), "");
}

/// A bomb of aliases, depth or plain size costs a message and not the machine.
#[test]
fn bombs_are_bounded() {
    let mut bomb = String::from("version: 1\na: &a [x, x, x, x, x, x, x, x, x]\n");
    for (this, last) in ('b'..='i').zip('a'..) {
        bomb += &format!("{this}: &{this} [{}]\n", vec![format!("*{last}"); 9].join(", "));
    }
    let deep = format!("version: 1\nrules: {}", "[".repeat(5_000));
    let deep_blocks: String = (0..500).map(|i| format!("{}a:\n", " ".repeat(i))).collect();
    let large = format!("# {}\nversion: 1\n", "x".repeat(2 << 20));
    let many = format!("version: 1\nrules:\n{}", "  - {}\n".repeat(60_000));
    for (name, text) in
        [("bomb", bomb), ("deep", deep), ("deep blocks", deep_blocks), ("large", large), ("many", many)]
    {
        let started = std::time::Instant::now();
        let problems = policy::parse(&text).expect_err(name);
        let said = problems.to_string();
        assert!(said.len() < 20_000, "{name}: {} bytes of message", said.len());
        // Some seconds beside other work; without bounds it would be hours.
        assert!(started.elapsed().as_secs() < 30, "{name} took {:?}", started.elapsed());
    }
}

#[test]
fn a_byte_order_mark_and_windows_lines_are_read() {
    let text = "\u{feff}version: 1\r\nrules:\r\n  - name: a\r\n    match: all\r\n    tag: x\r\n";
    assert_eq!(policy::parse(text).unwrap().rules().len(), 1);
    let problems = policy::parse(&text.replace("tag", "tga")).unwrap_err();
    assert_eq!(problems.to_string().matches('\r').count(), 0);
}

#[test]
fn numbers_that_look_otherwise_stay_as_written() {
    let text = "version: 1\nrules:\n  - { name: 1.10, match: { prefix: 007, tags: [yes, 0x1f, 1_000] }, tag: 2026 }\n";
    let policy = policy::parse(text).unwrap();
    assert_eq!(policy.rules()[0].name, "1.10");
    assert_eq!(policy.rules()[0].looks_for(), "prefix 007, tags yes and 0x1f and 1_000");
    assert_eq!(policy.rules()[0].asks_for().collect::<Vec<_>>(), ["tag 2026"]);
}

#[test]
fn anchors_save_writing() {
    let text = "version: 1
rules:
  - { name: a, match: &web { type: video/* }, convert: &both [mp4-720p, thumbnails] }
  - { name: b, match: *web, convert: *both }
  - { name: c, match: { <<: *web, size: '>=1MB' }, tag: big }
";
    let policy = policy::parse(text).unwrap();
    assert_eq!(policy.rules()[1].looks_for(), "type video/*");
    assert_eq!(policy.rules()[2].looks_for(), "size >=1MB, type video/*");
}

const KEY: &str = "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU";

fn stores(text: &str) -> Result<policy::Policy, policy::Problems> {
    policy::parse(&format!("version: 1\nstores: {{ {text} }}\nrules: []\n").replace("KEY", KEY))
}

/// Where files may be sent to, and on which terms.
#[test]
fn stores_for_exports_are_read() {
    let policy = stores(
        "partner: { url: 'sftp://drop@Sftp.example.com:2222/in', secret: partner-sftp, host_key: [KEY=, KEY], connections: 4,
                    bandwidth: 20MB/s, hours: '22:00-06:00 Europe/Madrid' },
         minio: { url: 's3://acme-exports/in', endpoint: 'https://minio.local:9000/', secret: minio, ca: /etc/minio.pem, region: eu-west-1 },
         portal: { url: 'davs://cloud.example.com/remote.php/dav/files/u', secret: 'arn:aws:x/portal', ca: /etc/partner.pem },
         nas: { url: /mnt/nas, hours: '08:00-18:00 UTC', bandwidth: 1.5 MiB, connections: 1, capacity: 1TB, region: house }",
    )
    .unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(policy.warnings().len(), 1, "no rules: {:?}", policy.warnings());
    let store = |name: &str| &policy.stores()[name];
    let partner = store("partner");
    let policy::Place::Remote(remote) = partner.place.as_ref().unwrap() else { panic!("{partner:?}") };
    assert_eq!((remote.protocol, remote.host.as_str()), (policy::Protocol::Sftp, "sftp.example.com"));
    assert_eq!((remote.port, remote.user.as_deref(), remote.path.as_str()), (Some(2222), Some("drop"), "in"));
    assert_eq!(partner.terms.host_key, [KEY]);
    assert_eq!((partner.terms.connections, partner.terms.bandwidth), (Some(4), Some(20_000_000)));
    assert_eq!(partner.terms.hours.as_ref().unwrap().as_str(), "22:00-06:00 Europe/Madrid");
    assert_eq!(partner.terms.secret.as_deref(), Some("partner-sftp"));
    let endpoint = Some("https://minio.local:9000".to_owned());
    let (bucket, prefix, region) = ("acme-exports".to_owned(), "in".to_owned(), Some("eu-west-1".to_owned()));
    assert_eq!(store("minio").place, Some(policy::Place::S3 { bucket, prefix, region, endpoint }));
    assert_eq!(store("portal").terms.ca.as_deref(), Some("/etc/partner.pem"));
    assert_eq!(store("nas").terms.bandwidth, Some(3 << 19));
    let holds: Vec<_> = policy.stores().values().map(policy::Store::holds).collect();
    assert_eq!(holds, [false, true, false, false], "minio, nas, partner, portal");
}

/// A bucket in another account, or at another service, is ours when we say so.
#[test]
fn a_bucket_that_a_secret_opens_holds_copies_when_it_is_said_to() {
    let offsite = |further: &str| {
        policy::parse(&format!(
            "version: 1\nstores: {{ offsite: {{ url: 's3://acme', endpoint: 'https://m', secret: x{further} }} }}\n\
             rules: [{{ name: far, match: all, backup: offsite }}]\n"
        ))
    };
    let problems = offsite("").expect_err("a partner's").to_string();
    assert!(problems.contains("only takes exports") && problems.contains("`copies: true`"), "{problems}");
    let policy = offsite(", copies: true, capacity: 4TB, region: site-c").unwrap();
    assert!(policy.stores()["offsite"].holds());
    assert!(offsite(", copies: false").is_err());
}

/// Each mistake has its own words.
#[test]
fn stores_for_exports_that_are_wrong_say_what_is_right() {
    for (text, says) in [
        ("a: { url: 'sftp://u:canary@h/in', host_key: KEY }", "name it by `secret:`"),
        ("a: { url: 'sftp://u@h/in' }", "`ssh-keyscan h | ssh-keygen -lf -` shows"),
        ("a: { url: 'sftp://u@h:2222/in' }", "`ssh-keyscan -p 2222 h | ssh-keygen"),
        ("a: { url: 'sftp://u@h', host_key: [] }", "is an empty list"),
        ("a: { url: 'sftp://u@h', host_key: 'MD5:16:27:ac' }", "no fingerprint: `SHA256:` and 43"),
        ("a: { url: 'sftp://u@h', host_key: 'SHA256:47DEQpj8' }", "no fingerprint"),
        // 43 characters that are more than 32 bytes.
        (
            "a: { url: 'sftp://u@h', host_key: 'SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFV' }",
            "no fingerprint",
        ),
        ("a: { url: 'sftp://u@h', host_key: ssh-ed25519 AAAAC3Nza }", "this is the key itself"),
        ("a: { url: 'ftps://h', host_key: KEY }", "it shows a certificate, see `ca`"),
        ("a: { url: 'ftp://h', host_key: KEY }", "only sftp: and rsync: servers have"),
        ("a: { url: 's3://acme', secret: a, host_key: KEY }", "a bucket has no `host_key`"),
        ("a: { url: 'sftp://h', host_key: KEY, ca: /x.pem }", "known by its `host_key`"),
        ("a: { url: 'rsync://u@h/in' }", "`ssh-keyscan h | ssh-keygen -lf -` shows"),
        ("a: { url: 'rsync://h', host_key: KEY, ca: /x.pem }", "known by its `host_key`"),
        ("a: { url: 'rsync://h', host_key: KEY, private: true }", "`private` is for servers of FTP"),
        ("a: { url: 'rsync://h', host_key: KEY, rename: refused }", "rsync compares with what is there"),
        ("a: { url: 'http://h', ca: /x.pem }", "leave `ca` out"),
        ("a: { url: 'davs://h', ca: x.pem }", "not the absolute path"),
        ("a: { url: /mnt/a, secret: x }", "leave `secret` out"),
        ("a: { url: 'davs://h', secret: 'two words' }", "has no place in a policy"),
        (
            "a: { url: 'sftp://h', host_key: KEY, endpoint: 'https://m' }",
            "`endpoint` is for s3://, gs:// and az:// only",
        ),
        ("a: { url: /mnt/a, endpoint: 'https://m' }", "a folder is where its url says"),
        ("a: { url: /mnt/a, private: true }", "`private` is for servers of FTP, WebDAV and HTTP only"),
        ("a: { url: 'sftp://h', host_key: KEY, private: true }", "`private` is for servers of FTP"),
        ("a: { url: 'davs://h', private: perhaps }", "`perhaps` is neither true nor false"),
        ("a: { url: 'davs://h', rename: refused }", "`rename` is for servers of SFTP and FTP only"),
        ("a: { url: 'sftp://h', host_key: KEY, rename: no }", "`no` is neither refused nor allowed"),
        ("a: { url: 's3://acme', endpoint: minio.local, secret: m }", "such as https://minio.local:9000"),
        ("a: { url: 's3://acme', endpoint: 'https://m' }", "name them by `secret`"),
        ("a: { url: 'sftp://h', host_key: KEY, region: eu-west-1 }", "nothing there counts as a copy"),
        ("a: { url: 'davs://h', capacity: 1TB }", "for its owner to see"),
        ("a: { url: 's3://acme', secret: x, capacity: 1TB }", "it only takes exports"),
        ("a: { url: 's3://acme', copies: true }", "may hold copies in any case"),
        ("a: { url: /mnt/a, copies: true }", "may hold copies in any case"),
        ("a: { url: 'az://acme/exports/in', secret: x, copies: true }", "it only takes exports, so `copies`"),
        ("a: { url: 's3://acme', secret: x, copies: maybe }", "is neither true nor false"),
        ("a: { url: /mnt/a, connections: 0 }", "not between 1 and 64"),
        ("a: { url: /mnt/a, connections: 65 }", "not between 1 and 64"),
        ("a: { url: /mnt/a, bandwidth: 20Mb/s }", "8 Mbit/s are 1MB/s"),
        ("a: { url: /mnt/a, bandwidth: 20Mbit }", "bits?"),
        ("a: { url: /mnt/a, bandwidth: 20MBps }", "bits?"),
        ("a: { url: /mnt/a, bandwidth: 20 }", "has no unit"),
        ("a: { url: /mnt/a, bandwidth: 10B/s }", "at least 1kB/s"),
        ("a: { url: /mnt/a, hours: '22:00-06:00' }", "with their time zone"),
        ("recordings: { hours: '22:00-06:00 UTC' }", "leave `hours` out"),
        ("a: { url: /mnt/a, host_kye: KEY }", "did you mean `host_key`?"),
        (
            "a: { url: 's3://acme/x', secret: p }, b: { url: 's3://acme/x' }, c: { url: 's3://acme/x' }",
            "are the same bucket",
        ),
    ] {
        let problems = stores(text).expect_err(text).to_string();
        assert!(problems.contains(says), "{text}: {problems}");
        assert!(!problems.contains("canary") && !problems.contains("two words"), "{problems}");
    }
}

#[test]
fn stores_for_exports_that_are_surely_not_meant_are_warned_of() {
    for (text, says) in [
        ("a: { url: 'ftp://h' }", "ftpes:, ftps: or sftp:"),
        ("a: { url: 'dav://h' }", "use davs:"),
        ("a: { url: 'http://h' }", "use https:"),
        ("a: { url: 's3://acme', secret: m, endpoint: 'http://m' }", "use https://"),
        (
            "a: { url: 'davs://u@h/in' }, b: { url: 'davs://u@H:443/in/' }",
            "are the same folder of the same user",
        ),
        ("a: { url: 's3://acme' }, b: { url: 's3://acme', secret: x }", "is at the other"),
    ] {
        let policy = stores(text).unwrap_or_else(|problems| panic!("{text}: {problems}"));
        let told: Vec<_> = policy.warnings().iter().map(|w| w.message.as_str()).collect();
        assert!(told.iter().any(|w| w.contains(says)), "{text}: {told:?}");
    }
    for text in [
        "a: { url: 'davs://u@h/in' }, b: { url: 'davs://v@h/in' }, c: { url: 'davs://u@h/out' }, d: { url: 'https://u@h/in' }",
        "a: { url: 's3://acme', secret: a }, b: { url: 's3://acme', secret: b }",
        "a: { url: 's3://acme' }, b: { url: 's3://acme', secret: x, endpoint: 'https://m' }",
    ] {
        let policy = stores(text).unwrap_or_else(|problems| panic!("{text}: {problems}"));
        assert_eq!(policy.warnings().len(), 1, "no rules: {:?}", policy.warnings());
    }
}

/// A password in a line that is wrong in another way, or that YAML cannot read, is not shown either.
#[test]
fn no_message_shows_a_password() {
    for text in [
        "version: 1\nstores:\n  a: { url: 'sftp://u:canary@h/in', ulr: x }\nrules: []\n",
        "version: 1\nstores:\n  a: sftp://u:canary@h/in\nrules: []\n",
        "version: 1\nstores:\n  a: { url: sftp://u:canary@h/in\nrules: []\n",
        "version: 1\nstores:\n  sftp://u:canary@h/in: {}\nrules: []\n",
        "version: 1\nstores:\n  a: { url: 'davs://h', secret: 'my canary', prot: 22 }\nrules: []\n",
    ] {
        let problems = policy::parse(text).expect_err(text);
        let told = format!("{problems} {problems:?}");
        assert!(!told.contains("canary"), "{told}");
    }
}

/// What only takes exports keeps nothing for us.
#[test]
fn a_store_that_only_takes_exports_holds_no_copies() {
    let verbs = [
        "backup: partner",
        "backup: [attic, partner]",
        "move: partner",
        "move: { to: partner }",
        "archive: partner",
        "archive: { to: partner }",
        "evict: partner, watermark: { store: partner, high: 90%, low: 80% }",
        "delete: {}, watermark: { store: partner, high: 90%, low: 80% }",
    ];
    for verb in verbs {
        let text = format!(
            "version: 1\nstores: {{ attic: {{ url: /mnt/attic }}, partner: {{ url: 'davs://h' }} }}\n\
             rules: [{{ name: a, match: {{ tags: x }}, {verb} }}]\n"
        );
        let problems = policy::parse(&text).expect_err(verb).to_string();
        assert!(problems.contains("store `partner` only takes exports"), "{verb}: {problems}");
    }
    // Nor does it count among those that copies could be in.
    let text =
        "version: 1\nstores: { partner: { url: 'davs://h' } }\nprotect: { copies: { min: 2 } }\nrules: []\n";
    let policy = policy::parse(text).unwrap_or_else(|problems| panic!("{problems}"));
    assert!(policy.warnings().iter().any(|w| w.message.contains("wants 2 copies and there are 1 stores")));
}
