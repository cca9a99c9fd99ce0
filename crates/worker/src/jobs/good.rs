use domain::{Copy, Recording};

use crate::library::pinned;

/// Where bytes that are believed to be good lie.
pub(crate) struct Good<'a> {
    pub store: &'a str,
    pub key: &'a str,
    pub version: Option<&'a str>,
}

/// The home first, then the copies of its bytes, but for those in one store.
pub(crate) fn copies<'a>(recording: &'a Recording, copies: &'a [Copy], except: &str) -> Vec<Good<'a>> {
    let home = Good { store: &recording.store, key: &recording.key, version: pinned(recording) };
    let home = recording.custody.place.bad.is_none().then_some(home);
    let copies = copies.iter().filter(|c| c.bad.is_none() && c.version == recording.version);
    let copies = copies.map(|c| Good { store: &c.store, key: &c.key, version: None });
    home.into_iter().chain(copies).filter(|g| g.store != except).collect()
}
