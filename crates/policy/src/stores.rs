use std::collections::BTreeMap;

use crate::{
    Store,
    check::{Check, name_is_plain},
    model::LIBRARY,
    problem::clip,
    units,
    yaml::Node,
};

/// Reads `stores:`.
pub(crate) fn read(check: &mut Check<'_>, node: &Node) -> BTreeMap<String, Store> {
    let mut stores: BTreeMap<String, Store> = BTreeMap::new();
    for store in check.entries(node, "`stores`").unwrap_or_default() {
        let name = store.name;
        if !name_is_plain(name) {
            let message = format!("`{}` cannot name a store: 1 to 40 of a-z, 0-9 and -", clip(name));
            check.problem(store.at, message);
        }
        let what = format!("store `{}`", clip(name));
        let Some(fields) = check.fields(store.value, &what, &["capacity", "url"], LATER) else {
            continue;
        };
        let part = |name: &str| fields.iter().find(|f| f.name == name);
        let capacity = part("capacity").and_then(|f| check.value(f.value, "`capacity`", units::size));
        let path = match (part("url"), name == LIBRARY) {
            (Some(url), true) => {
                check.problem(
                    url.at,
                    format!(
                        "`{LIBRARY}` is the library's own store, where it was set up to be; leave `url` out"
                    ),
                );
                None
            }
            (None, true) => None,
            (Some(url), false) => check.value(url.value, "`url`", folder),
            (None, false) => {
                check.problem(store.at, format!("{what} has no `url`: a folder such as /mnt/replica"));
                None
            }
        };
        // Two names for one place would count one copy as two.
        let place = |s: &Store| s.path.as_deref().map(|p| p.trim_end_matches('/').to_owned());
        let new = Store { name: name.to_owned(), path, capacity };
        if let Some(other) = stores.values().find(|s| s.path.is_some() && place(s) == place(&new)) {
            let message = format!("stores `{}` and `{}` are the same folder", clip(&other.name), clip(name));
            check.problem(store.at, message);
        }
        stores.insert(name.to_owned(), new);
    }
    stores
}

const LATER: &[&str] = &["host_key", "region", "secret"];

/// The folder behind a store's url.
fn folder(url: &str) -> Result<String, String> {
    let path = match url.split_once(':') {
        Some(("file", rest)) => match rest.strip_prefix("//") {
            Some(rest) => rest.strip_prefix("localhost").unwrap_or(rest),
            None => rest,
        },
        Some((scheme, _)) if is_scheme(scheme) => {
            return Err(format!(
                "`{scheme}:` stores are part of the policy language but not of this release: they need the fleet \
                 build of a later one; a folder works today"
            ));
        }
        _ => url,
    };
    if path.starts_with('~') {
        return Err(format!("`{}`: `~` is not expanded; write the whole path", clip(path)));
    }
    if !path.starts_with('/') {
        return Err(format!("`{}` is not an absolute path, so it depends on who runs us where", clip(path)));
    }
    if path.split('/').any(|part| part == "..") || path.contains('\0') {
        return Err(format!("`{}` is not a plain path", clip(path)));
    }
    Ok(path.to_owned())
}

/// RFC 3986, 3.1.
fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
}
