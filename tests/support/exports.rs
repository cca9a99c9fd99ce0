//! What tests of exports have in common: a library of files that are no media, a partner's folder, and what is there.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::{collections::BTreeMap, fs, io::ErrorKind, os::unix::fs::PermissionsExt as _, path::Path};

use serde_json::Value;
use testbed::Sshd;

use crate::support::{Library, Up, eventually};

/// A library with files in it that are no media: quickly looked at, and exported like any others.
pub fn library(policy: &str, files: &[(&str, &[u8])]) -> Library {
    let library = Library::new();
    fs::create_dir_all(library.inbox()).expect("an inbox");
    write_policy(&library, policy);
    let folder = library.home.path().join("in");
    for (name, bytes) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, bytes).expect("a file");
    }
    if !files.is_empty() {
        // Not media, so that not all became ready.
        let said = library.run(&["ingest", &folder.display().to_string()]);
        assert_eq!(said.code, Some(1), "{}\n{}", said.out, said.err);
    }
    library
}

pub fn write_policy(library: &Library, policy: &str) {
    let new = library.home.path().join("policy.new");
    fs::write(&new, policy).expect("a policy");
    fs::rename(new, library.root().join("policy.yaml")).expect("one filesystem");
}

pub fn policy(stores: &str, rules: &str) -> String {
    format!("version: 1\nstores:\n  {stores}\nrules: {rules}\n")
}

/// A folder on that server, as a line of `stores:`.
pub fn store(name: &str, scheme: &str, server: &Sshd, folder: &str, further: &str) -> String {
    format!(
        "{name}: {{ url: \"{scheme}://{}@127.0.0.1:{}/{folder}\", secret: partner, host_key: \"{}\"{further} }}",
        server.user(),
        server.port(),
        server.fingerprint("ed25519"),
    )
}

/// Where the library looks for secrets besides the environment.
pub fn keep_secret(library: &Library, name: &str, secret: &str) {
    let folder = library.root().join(".videorec/secrets");
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(folder.join(name), secret).expect("a secret");
    fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o600)).expect("ours");
}

pub fn key(server: &Sshd) -> String {
    fs::read_to_string(server.key("client")).expect("a key")
}

/// All files below a folder, by their paths there. What is partial is among them: nothing is overlooked.
pub fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    fn walk(at: &Path, root: &Path, into: &mut BTreeMap<String, Vec<u8>>) {
        let Ok(entries) = fs::read_dir(at) else { return };
        for path in entries.map(|e| e.expect("an entry").path()) {
            if path.is_dir() {
                walk(&path, root, into);
                continue;
            }
            match fs::read(&path) {
                Ok(bytes) => {
                    into.insert(path.strip_prefix(root).expect("below").display().to_string(), bytes);
                }
                // One that was renamed meanwhile has another name.
                Err(e) => assert_eq!(e.kind(), ErrorKind::NotFound, "{}: {e}", path.display()),
            }
        }
    }
    let mut all = BTreeMap::new();
    walk(folder, folder, &mut all);
    all
}

pub fn jobs(library: &Library) -> Vec<Value> {
    let jobs = library.json(&["jobs", "--limit", "1000"]);
    jobs.into_iter().filter(|job| job["action"]["do"] == "export").collect()
}

pub fn until_jobs(library: &Library, up: &Up, state: &str, n: usize) -> Vec<Value> {
    eventually(|| {
        let all = jobs(library);
        let found: Vec<_> = all.iter().filter(|job| job["state"] == state).cloned().collect();
        if found.len() == n { Ok(found) } else { Err(format!("{all:#?}\n{}", up.log())) }
    })
}
