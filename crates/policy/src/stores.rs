use std::collections::BTreeMap;

use crate::{
    Cloud, Hours, Place, Protocol, Service, Store, Terms,
    check::{Check, Field, name_is_plain},
    model::LIBRARY,
    place::{endpoint, place},
    problem::clip,
    units,
    yaml::Node,
};

/// Reads `stores:`.
pub(crate) fn read(check: &mut Check<'_>, node: &Node) -> BTreeMap<String, Store> {
    let mut stores: BTreeMap<String, Store> = BTreeMap::new();
    for entry in check.entries(node, "`stores`").unwrap_or_default() {
        let name = entry.name;
        if !name_is_plain(name) {
            let message = format!("`{}` cannot name a store: 1 to 40 of a-z, 0-9 and -", clip(name));
            check.problem(entry.at, message);
        }
        let Some(store) = read_store(check, &entry) else { continue };
        meets(check, &entry, &store, stores.values());
        stores.insert(name.to_owned(), store);
    }
    stores
}

pub(crate) const FIELDS: [&str; 13] = [
    "bandwidth",
    "ca",
    "capacity",
    "connections",
    "copies",
    "endpoint",
    "host_key",
    "hours",
    "private",
    "region",
    "rename",
    "secret",
    "url",
];

fn read_store(check: &mut Check<'_>, entry: &Field<'_>) -> Option<Store> {
    let what = format!("store `{}`", clip(entry.name));
    let fields = check.fields(entry.value, &what, &FIELDS, &[])?;
    let part = |name: &str| fields.iter().find(|f| f.name == name);
    let capacity = part("capacity").and_then(|f| check.value(f.value, "`capacity`", units::size));
    let region = part("region").and_then(|f| check.value(f.value, "`region`", region));
    let mut store = Store {
        name: entry.name.to_owned(),
        place: None,
        capacity,
        region,
        copies: part("copies").and_then(|f| check.value(f.value, "`copies`", yes_or_no)).unwrap_or(false),
        terms: Terms {
            secret: part("secret").and_then(|f| secret(check, f)),
            host_key: part("host_key").map(|f| host_keys(check, f)).unwrap_or_default(),
            ca: part("ca").and_then(|f| check.value(f.value, "`ca`", certificates)),
            connections: part("connections").and_then(|f| check.value(f.value, "`connections`", connections)),
            bandwidth: part("bandwidth").and_then(|f| check.value(f.value, "`bandwidth`", bandwidth)),
            hours: part("hours").and_then(|f| check.value(f.value, "`hours`", Hours::new)),
            private: part("private")
                .and_then(|f| check.value(f.value, "`private`", yes_or_no))
                .unwrap_or(false),
            refuses_renames: part("rename")
                .and_then(|f| {
                    check.value(f.value, "`rename`", |text| {
                        word(text, [("refused", true), ("allowed", false)])
                    })
                })
                .unwrap_or(false),
        },
    };
    if entry.name == LIBRARY {
        for field in fields.iter().filter(|f| !matches!(f.name, "capacity" | "region")) {
            let message = match field.name {
                "url" => format!(
                    "`{LIBRARY}` is the library's own store, where it was set up to be; leave `url` out"
                ),
                other => format!(
                    "`{LIBRARY}` is the library's own store, to which nothing is exported; leave `{other}` out"
                ),
            };
            check.problem(field.at, message);
        }
        return Some(store);
    }
    let Some(url) = part("url") else {
        let message = format!(
            "{what} has no `url`: a folder such as /mnt/replica, or s3://bucket/prefix; for exports also sftp://user@host/in and \
             others"
        );
        check.problem(entry.at, message);
        return Some(store);
    };
    let address = part("endpoint").map(|f| (f, check.value(f.value, "`endpoint`", endpoint)));
    store.place = check.value(url.value, "`url`", place);
    if let Some(Place::S3 { region, endpoint, .. }) = &mut store.place {
        *region = store.region.clone();
        *endpoint = address.and_then(|(_, url)| url);
    } else if let Some(Place::Cloud(cloud)) = &mut store.place {
        cloud.endpoint = address.and_then(|(_, url)| url);
    }
    if store.place.is_some() {
        fits(check, entry, &fields, &store);
    }
    Some(store)
}

/// Whether what is said of a store goes with where it is.
fn fits(check: &mut Check<'_>, entry: &Field<'_>, fields: &[Field<'_>], store: &Store) {
    let name = &store.name;
    let Some(place) = &store.place else { return };
    let part = |name: &str| fields.iter().find(|f| f.name == name);
    for field in fields {
        if let Some(why) = unfit(field.name, place, store) {
            check.problem(field.at, format!("store `{}`: {why}", clip(name)));
        }
    }
    match place {
        Place::Remote(remote) => {
            let scheme = remote.protocol.scheme();
            if remote.protocol.is_ssh() && part("host_key").is_none() {
                let port = remote.port.map(|port| format!("-p {port} ")).unwrap_or_default();
                let message = format!(
                    "store `{}` has no `host_key`, by which we know that the server is the one that is meant: \
                     `ssh-keyscan {port}{} | ssh-keygen -lf -` shows what it has; ask its owner whether that is right",
                    clip(name),
                    remote.host
                );
                check.problem(entry.at, message);
            }
            if remote.protocol.is_open()
                && let Some(url) = part("url")
            {
                let instead = match remote.protocol {
                    Protocol::Ftp => "ftpes:, ftps: or sftp:",
                    Protocol::Dav => "davs:",
                    _ => "https:",
                };
                let message = format!(
                    "store `{}`: everybody on the way to it can read what is sent by `{scheme}:`, passwords among it; use \
                     {instead} where the server can",
                    clip(name)
                );
                check.warning(url.at, message);
            }
        }
        Place::S3 { endpoint: Some(address), .. } => {
            if let Some(field) = part("endpoint") {
                if part("secret").is_none() {
                    let message = format!(
                        "store `{}`: an `endpoint` is another's service and has keys of its own; name them by `secret`",
                        clip(name)
                    );
                    check.problem(field.at, message);
                }
                if address.starts_with("http:") {
                    let message = format!(
                        "store `{}`: everybody on the way to it can read what is sent by `http:`; use https:// where the service \
                         can",
                        clip(name)
                    );
                    check.warning(field.at, message);
                }
            }
        }
        Place::Cloud(cloud) => {
            if part("secret").is_none() {
                let what = match cloud.service {
                    Service::Google => "a service account's key (JSON)",
                    Service::Azure { .. } => "one of the account's keys, or a shared access signature",
                };
                let message = format!("store `{}` has no `secret`: the name of {what}", clip(name));
                check.problem(entry.at, message);
            }
        }
        Place::S3 { .. } | Place::Folder(_) => {}
    }
}

/// Why a field is not for a store in that place.
fn unfit(field: &str, place: &Place, store: &Store) -> Option<String> {
    let protocol = match place {
        Place::Remote(remote) => Some(remote.protocol),
        _ => None,
    };
    let kind = match place {
        Place::Folder(_) => "a folder".to_owned(),
        Place::S3 { .. } | Place::Cloud(_) => "a bucket".to_owned(),
        Place::Remote(remote) => format!("a `{}:` server", remote.protocol.scheme()),
    };
    let only_takes =
        |why: &str| Some(format!("it only takes exports, so `{field}` has no meaning here: {why}"));
    match (field, place) {
        ("capacity", _) if !store.holds() => only_takes("what it is filled with is for its owner to see"),
        // A bucket's is where it is asked for.
        ("region", Place::Remote(_) | Place::Cloud(_)) => only_takes("nothing there counts as a copy"),
        ("copies", Place::Remote(_) | Place::Cloud(_)) => {
            only_takes("a bucket of S3 or what speaks its language, or a folder, can hold copies")
        }
        ("copies", _) if store.terms.secret.is_none() => {
            Some(format!("{kind} that no `secret` opens may hold copies in any case; leave `copies` out"))
        }
        ("secret", Place::Folder(_)) => Some(format!("{kind} is opened by whoever may; leave `secret` out")),
        ("host_key", _) if !protocol.is_some_and(Protocol::is_ssh) => Some(match protocol {
            Some(protocol) if protocol.is_tls() => {
                format!("{kind} has no `host_key`; it shows a certificate, see `ca`")
            }
            _ => format!("{kind} has no `host_key`; only sftp: and rsync: servers have"),
        }),
        ("ca", Place::S3 { endpoint: Some(url), .. } | Place::Cloud(Cloud { endpoint: Some(url), .. }))
            if url.starts_with("https:") =>
        {
            None
        }
        ("ca", _) if !protocol.is_some_and(Protocol::is_tls) => Some(match protocol {
            Some(protocol) if protocol.is_ssh() => {
                format!("{kind} shows no certificate; it is known by its `host_key`")
            }
            _ => format!("{kind} shows no certificate of its own; leave `ca` out"),
        }),
        // Those that are known by a key of their own are meant wherever they are.
        ("private", _) if protocol.is_none_or(Protocol::is_ssh) => Some(format!(
            "{kind} is where its url says; `private` is for servers of FTP, WebDAV and HTTP only"
        )),
        ("rename", _) if protocol == Some(Protocol::Rsync) => Some(format!(
            "{kind} has to let files be renamed: rsync compares with what is there; where it does not, use `sftp:`"
        )),
        ("rename", _) if !protocol.is_some_and(renames) => Some(format!(
            "in {kind} nothing is renamed, or always can be; `rename` is for servers of SFTP and FTP only"
        )),
        ("endpoint", Place::Folder(_) | Place::Remote(_)) => {
            Some(format!("`endpoint` is for s3://, gs:// and az:// only; {kind} is where its url says"))
        }
        _ => None,
    }
}

/// Whether a file is put under another name first.
fn renames(protocol: Protocol) -> bool {
    use Protocol::{Ftp, FtpExplicit, FtpImplicit, Sftp};
    matches!(protocol, Sftp | Ftp | FtpExplicit | FtpImplicit)
}

fn yes_or_no(text: &str) -> Result<bool, String> {
    word(text, [("true", true), ("false", false)])
}

fn word(text: &str, words: [(&str, bool); 2]) -> Result<bool, String> {
    let found = words.iter().find(|(word, _)| *word == text);
    found
        .map(|(_, value)| *value)
        .ok_or_else(|| format!("`{}` is neither {} nor {}", clip(text), words[0].0, words[1].0))
}

/// Two names for one place would count one copy as two.
fn meets<'s>(
    check: &mut Check<'_>,
    entry: &Field<'_>,
    store: &Store,
    others: impl Iterator<Item = &'s Store>,
) {
    let Some(place) = &store.place else { return };
    for other in others {
        let Some(what) = other.place.as_ref().and_then(|place_of_other| shared(place_of_other, place)) else {
            continue;
        };
        let both = format!("stores `{}` and `{}` are the same {what}", clip(&other.name), clip(&store.name));
        if store.holds() && other.holds() {
            check.problem(entry.at, both);
        } else if store.holds() != other.holds() || store.terms.secret == other.terms.secret {
            check.warning(entry.at, format!("{both}: what is exported to the one is at the other"));
        }
    }
}

/// What two places have in common that only one store may have.
fn shared(one: &Place, other: &Place) -> Option<&'static str> {
    match (one, other) {
        (Place::Folder(a), Place::Folder(b)) => {
            (a.trim_end_matches('/') == b.trim_end_matches('/')).then_some("folder")
        }
        (
            Place::S3 { bucket: a, prefix: p, endpoint: e, .. },
            Place::S3 { bucket: b, prefix: q, endpoint: f, .. },
        ) => (a == b && p == q && e == f).then_some("bucket and prefix"),
        (Place::Remote(a), Place::Remote(b)) => {
            (a == b).then_some("folder of the same user on the same server")
        }
        (Place::Cloud(a), Place::Cloud(b)) => (a == b).then_some("bucket and prefix"),
        _ => None,
    }
}

fn region(text: &str) -> Result<String, String> {
    let plain = !text.is_empty()
        && text.len() <= 32
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    plain
        .then(|| text.to_owned())
        .ok_or_else(|| format!("`{}` is no region, such as eu-west-1 or site-b", clip(text)))
}

/// A name, and not what it names: what looks otherwise is not shown.
fn secret(check: &mut Check<'_>, field: &Field<'_>) -> Option<String> {
    let text = check.text(field.value, "`secret`")?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/_+=.@:-".contains(&b);
    if text.len() <= 256 && text.bytes().all(plain) {
        return Some(text.to_owned());
    }
    check.hide(field.value.at);
    check.problem(
        field.value.at,
        "`secret` is the name under which the machine keeps it, of letters, digits and `/_+=.@:-`; the secret itself has no place \
         in a policy",
    );
    None
}

fn host_keys(check: &mut Check<'_>, field: &Field<'_>) -> Vec<String> {
    let mut keys = Vec::new();
    for (node, text) in check.values(field.value, "`host_key`") {
        match fingerprint(text) {
            Ok(key) => keys.push(key),
            Err(message) => check.problem(node.at, format!("`host_key`: {message}")),
        }
    }
    keys.sort();
    keys.dedup();
    keys
}

/// `SHA256:` and 32 bytes in base64, without padding, as `ssh-keygen -lf` prints it.
fn fingerprint(text: &str) -> Result<String, String> {
    let text = text.trim();
    let hash = text.strip_prefix("SHA256:").map(|hash| hash.strip_suffix('=').unwrap_or(hash));
    // 43 characters hold 258 bits; the last two are none.
    let right = |hash: &&str| {
        hash.len() == 43
            && hash.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/".contains(&b))
            && hash.ends_with(|c| "AEIMQUYcgkosw048".contains(c))
    };
    match hash.filter(right) {
        Some(hash) => Ok(format!("SHA256:{hash}")),
        None if text.starts_with("ssh-") || text.starts_with("ecdsa-") => Err(
            "this is the key itself; its fingerprint is wanted, which `ssh-keygen -lf FILE` prints, as SHA256:..."
                .into(),
        ),
        None => Err(format!(
            "`{}` is no fingerprint: `SHA256:` and 43 characters, as `ssh-keygen -lf` prints it",
            clip(text)
        )),
    }
}

fn certificates(text: &str) -> Result<String, String> {
    if text.starts_with('/') && !text.contains('\0') {
        Ok(text.to_owned())
    } else {
        Err(format!("`{}` is not the absolute path of a file with certificates (PEM)", clip(text)))
    }
}

fn connections(text: &str) -> Result<u32, String> {
    match units::count(text)? {
        n @ 1..=64 => Ok(n as u32),
        n => Err(format!("{n} is not between 1 and 64")),
    }
}

/// Bytes a second: `20MB`, `20MB/s`.
fn bandwidth(text: &str) -> Result<u64, String> {
    let size = text.trim();
    let size = size.strip_suffix("/s").unwrap_or(size).trim_end();
    let unit = size.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.' || c == ' ');
    // A letter's case is all that tells a line of 20 Mb from one that is eight times as fast.
    if unit.ends_with('b') || unit.to_ascii_lowercase().contains("bit") || unit.ends_with("ps") {
        return Err(format!(
            "`{}`: bits? Bytes a second are wanted, as in 20MB/s; 8 Mbit/s are 1MB/s",
            clip(text)
        ));
    }
    match units::size(size)? {
        bytes @ 1_000.. => Ok(bytes),
        _ => Err(format!("`{}` is nothing to send by; at least 1kB/s", clip(text))),
    }
}
