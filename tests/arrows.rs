//! The house's walls: who may depend on whom (ARCHITECTURE.md), held against `cargo metadata`.
#![expect(clippy::disallowed_methods, reason = "the test starts cargo")]

use std::{collections::BTreeMap, process::Command};

/// Each room and the rooms it may see.
const ARROWS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("sandbox", &[]),
    ("policy", &["domain", "sandbox"]),
    ("media", &["domain", "sandbox"]),
    ("storage", &["domain"]),
    // Where bytes come from, and what some of its destinations are made of: programs, too.
    ("transfer", &["domain", "sandbox", "storage"]),
    ("queue", &["domain"]),
    ("catalog", &["domain"]),
    ("alerts", &["domain"]),
    (
        "worker",
        &["domain", "policy", "sandbox", "media", "storage", "queue", "catalog", "alerts", "transfer"],
    ),
    (
        "app",
        &[
            "domain", "policy", "sandbox", "media", "storage", "queue", "catalog", "alerts", "transfer",
            "worker",
        ],
    ),
    ("testbed", &[]),
    ("xtask", &["testbed"]),
];

fn metadata() -> serde_json::Value {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml");
    let args = ["metadata", "--format-version", "1", "--no-deps", "--offline", "--manifest-path", manifest];
    let output = Command::new(env!("CARGO")).args(args).output().expect("cargo starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo writes JSON")
}

/// Every room knows only what it may, development dependencies on rooms included.
#[test]
fn rooms_depend_only_where_the_arrows_point() {
    let metadata = metadata();
    let allowed: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    let packages = metadata["packages"].as_array().expect("packages");
    for package in packages {
        let name = package["name"].as_str().expect("a name");
        let may = allowed
            .get(name)
            .unwrap_or_else(|| panic!("`{name}` is a new room: say in ARROWS what it may see"));
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            let on = dependency["name"].as_str().expect("a name");
            // A room may name itself, to have its own suite's feature on in its tests.
            let is_room = on != name && allowed.contains_key(on) && dependency["path"].is_string();
            // Servers to test against are anybody's, in tests.
            if on == "testbed" && dependency["kind"] == "dev" {
                continue;
            }
            assert!(!is_room || may.contains(&on), "`{name}` must not know `{on}`");
        }
    }
    assert_eq!(packages.len(), ARROWS.len(), "a room of ARROWS is gone");
}

/// What a room must never know, as crates that it must not even have.
#[test]
fn rooms_do_not_have_what_they_must_not_know() {
    const NEVER: &[(&str, &[&str])] = &[
        ("domain", &["tokio", "async-trait", "sqlx"]),
        ("policy", &["tokio", "sqlx", "aws-sdk-s3"]),
        ("sandbox", &["ffmpeg-sidecar"]),
        ("media", &["sqlx", "aws-sdk-s3"]),
        ("storage", &["sqlx"]),
        ("transfer", &["sqlx", "aws-sdk-s3"]),
        ("queue", &["sqlx", "aws-sdk-s3"]),
        ("catalog", &["aws-sdk-s3", "ffmpeg-sidecar"]),
        ("alerts", &["sqlx", "aws-sdk-s3"]),
        ("worker", &["clap", "axum", "sqlx", "aws-sdk-s3", "aws-sdk-sqs", "aws-sdk-sns"]),
    ];
    let metadata = metadata();
    for package in metadata["packages"].as_array().expect("packages") {
        let never = NEVER.iter().find(|(room, _)| package["name"] == *room).map_or(&[][..], |(_, n)| n);
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            let on = dependency["name"].as_str().expect("a name");
            assert!(!never.contains(&on), "{} must not know {on}", package["name"]);
        }
    }
}

/// Promises 1, 2 and 11: bytes go in two places only, and both ask the catalog in the instant before: whether it is held,
/// whether enough copies remain, with the audit record written first.
#[test]
fn what_is_stored_is_deleted_in_two_places_only() {
    const MAY: &[(&str, &str)] = &[("evict.rs", "begin_evict"), ("purge.rs", "begin_purge")];
    let mut found = 0;
    let crates = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for room in ["worker", "app"] {
        let mut folders = vec![crates.join(room).join("src")];
        let mut files = 0;
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).expect("a folder").map(|e| e.expect("an entry").path()) {
                if entry.is_dir() {
                    folders.push(entry);
                } else if entry.extension().is_some_and(|e| e == "rs") {
                    files += 1;
                    let source = std::fs::read_to_string(&entry).expect("text");
                    // Prices are reckoned with `prices.delete(`, which deletes nothing.
                    let source = source.replace("prices.delete(", "");
                    if source.contains(".delete(") || source.contains(".erase(") {
                        let asks = MAY.iter().find(|(file, _)| entry.ends_with(file)).map(|(_, asks)| *asks);
                        let asks = asks.is_some_and(|asks| source.contains(asks));
                        assert!(asks, "{} deletes from a store", entry.display());
                        found += 1;
                    }
                }
            }
        }
        assert!(files > 0, "{room} has no sources: did it move?");
    }
    assert_eq!(found, MAY.len(), "a place is gone: take it off the list");
}
