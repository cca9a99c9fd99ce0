//! Names of files that are not whole yet.
//!
//! A partial file lies beside the file that it becomes: a rename within one folder is the one that every server can do, and
//! never crosses a file system. Its name is made of the final name and of what the bytes must be. Whoever is asked for the
//! same again therefore finds it, without having remembered anything, and other bytes have another one.

use sha2::{Digest as _, Sha256};

use crate::Name;

const BEGINNING: &str = ".videorec-";
const END: &str = ".part";

/// The partial file of `name`; `token` stands for what the bytes must be.
pub fn of(name: &Name, token: &str) -> Name {
    let mut hash = Sha256::new();
    hash.update(name.as_str());
    hash.update([0]);
    hash.update(token);
    let hash: String = hash.finalize()[..12].iter().map(|b| format!("{b:02x}")).collect();
    Name::reserved(name.folder().as_ref(), &format!("{BEGINNING}{hash}{END}"))
}

/// Whether a file's name (its last segment) is a partial one's.
pub fn is_partial(file: &str) -> bool {
    // Some servers and file systems do not keep the case.
    let ours = |s: &str| s.strip_prefix(BEGINNING)?.strip_suffix(END).map(|_| ());
    ours(&file.to_ascii_lowercase()).is_some()
}
