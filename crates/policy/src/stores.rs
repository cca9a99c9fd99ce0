use std::collections::BTreeMap;

use crate::{
    Place, Store, Terms,
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
        let Some(fields) = check.fields(store.value, &what, &["capacity", "region", "url"], LATER) else {
            continue;
        };
        let part = |name: &str| fields.iter().find(|f| f.name == name);
        let capacity = part("capacity").and_then(|f| check.value(f.value, "`capacity`", units::size));
        let region = part("region").and_then(|f| check.value(f.value, "`region`", region));
        let place = match (part("url"), name == LIBRARY) {
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
            (Some(url), false) => check.value(url.value, "`url`", place),
            (None, false) => {
                let message =
                    format!("{what} has no `url`: a folder such as /mnt/replica, or s3://bucket/prefix");
                check.problem(store.at, message);
                None
            }
        };
        let place = match place {
            Some(Place::S3 { bucket, prefix, .. }) => {
                Some(Place::S3 { bucket, prefix, region: region.clone(), endpoint: None })
            }
            place => place,
        };
        // Two names for one place would count one copy as two.
        if let Some((other, what)) = place
            .as_ref()
            .and_then(|p| stores.values().find_map(|s| Some((s, shared(s.place.as_ref()?, p)?))))
        {
            let message = format!("stores `{}` and `{}` are the same {what}", clip(&other.name), clip(name));
            check.problem(store.at, message);
        }
        stores.insert(
            name.to_owned(),
            Store { name: name.to_owned(), place, capacity, region, terms: Terms::default() },
        );
    }
    stores
}

const LATER: &[&str] = &["host_key", "secret"];

/// What two places have in common that only one store may have.
fn shared(one: &Place, other: &Place) -> Option<&'static str> {
    match (one, other) {
        (Place::Folder(a), Place::Folder(b)) => {
            (a.trim_end_matches('/') == b.trim_end_matches('/')).then_some("folder")
        }
        (Place::S3 { bucket: a, prefix: p, .. }, Place::S3 { bucket: b, prefix: q, .. }) => {
            (a == b && p == q).then_some("bucket and prefix")
        }
        _ => None,
    }
}

/// What is behind a store's url.
fn place(url: &str) -> Result<Place, String> {
    match url.strip_prefix("s3://") {
        Some(rest) => bucket(url, rest),
        None => folder(url).map(Place::Folder),
    }
}

/// S3's own rules for general purpose buckets, and a prefix that keys of ours may follow.
fn bucket(url: &str, rest: &str) -> Result<Place, String> {
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b);
    let ends = |b: u8| b != b'-' && b != b'.';
    if !(3..=63).contains(&bucket.len())
        || !bucket.bytes().all(plain)
        || !bucket.bytes().next().is_some_and(ends)
        || !bucket.bytes().last().is_some_and(ends)
    {
        return Err(format!(
            "`{}` names no bucket: after s3:// come 3 to 63 of a-z, 0-9, `-` and `.`, as in s3://acme-replica",
            clip(url)
        ));
    }
    let prefix = prefix.trim_end_matches('/');
    let part = |p: &str| {
        !matches!(p, "" | "." | "..")
            && p.bytes().all(|b| b.is_ascii_alphanumeric() || b"._=@+-".contains(&b))
    };
    if !prefix.is_empty() && (prefix.len() > 200 || !prefix.split('/').all(part)) {
        return Err(format!(
            "`{}`: a prefix has parts of letters, digits and `._=@+-` between single slashes",
            clip(url)
        ));
    }
    Ok(Place::S3 { bucket: bucket.to_owned(), prefix: prefix.to_owned(), region: None, endpoint: None })
}

fn region(text: &str) -> Result<String, String> {
    let plain = !text.is_empty()
        && text.len() <= 32
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    plain
        .then(|| text.to_owned())
        .ok_or_else(|| format!("`{}` is no region, such as eu-west-1 or site-b", clip(text)))
}

fn folder(url: &str) -> Result<String, String> {
    let path = match url.split_once(':') {
        Some(("file", rest)) => match rest.strip_prefix("//") {
            Some(rest) => rest.strip_prefix("localhost").unwrap_or(rest),
            None => rest,
        },
        Some((scheme, _)) if is_scheme(scheme) => {
            return Err(format!(
                "`{scheme}:` stores are part of the policy language but not of this release; a folder or s3:// works \
                 today"
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
