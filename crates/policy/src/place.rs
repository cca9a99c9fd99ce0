use std::net::Ipv6Addr;

use crate::{
    Cloud, Place, Protocol, Remote, Service,
    problem::{clip, nearest, password},
};

/// What is behind a store's url.
pub(crate) fn place(url: &str) -> Result<Place, String> {
    // First of all, so that no other message shows it.
    if password(url).is_some() {
        return Err("a password has no place in a policy: take it out of the url and name it by `secret:`, under which the machine \
                    keeps it"
            .into());
    }
    let Some((scheme, rest)) = url.split_once(':').filter(|(scheme, _)| is_scheme(scheme)) else {
        return folder(url).map(Place::Folder);
    };
    let scheme = scheme.to_ascii_lowercase();
    if scheme == "file" {
        let path = match rest.strip_prefix("//") {
            Some(rest) => rest.strip_prefix("localhost").unwrap_or(rest),
            None => rest,
        };
        return folder(path).map(Place::Folder);
    }
    let protocol = Protocol::ALL.into_iter().find(|p| p.scheme() == scheme);
    match (protocol, scheme.as_str()) {
        (Some(protocol), _) => remote(url, rest, protocol).map(Place::Remote),
        (None, "s3") => bucket(url, rest),
        (None, "gs") => google(url, rest).map(Place::Cloud),
        (None, "az") => azure(url, rest).map(Place::Cloud),
        (None, "smb" | "cifs" | "nfs") => Err(format!(
            "`{scheme}:` is for the machine to mount; then name the folder that it is mounted at"
        )),
        (None, "ssh" | "scp") => Err(format!("`{scheme}:` is called `sftp:` here")),
        _ => {
            let known: Vec<&str> =
                ["file", "s3", "gs", "az"].into_iter().chain(Protocol::ALL.map(Protocol::scheme)).collect();
            Err(format!("unknown kind of store `{}:`{}", clip(&scheme), nearest(&scheme, &known)))
        }
    }
}

/// The address of a service that speaks S3, as `https://minio.local:9000`.
pub(crate) fn endpoint(url: &str) -> Result<String, String> {
    let wrong = || format!("`{}` is no address of a service, such as https://minio.local:9000", clip(url));
    if password(url).is_some() {
        return Err("a password has no place in a policy: name it by `secret:`".into());
    }
    let (scheme, rest) = url.split_once("://").ok_or_else(wrong)?;
    let scheme = scheme.to_ascii_lowercase();
    let secure = match scheme.as_str() {
        "https" => Protocol::Https,
        "http" => Protocol::Http,
        _ => return Err(wrong()),
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains(['/', '?', '#', '@']) {
        return Err(wrong());
    }
    let (host, port) = host_and_port(rest, secure)?;
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    Ok(format!("{scheme}://{host}{}", port.map(|port| format!(":{port}")).unwrap_or_default()))
}

/// `//user@host:port/folder`. Below the first slash is where the server lets us in; a second one makes it the server's root.
fn remote(url: &str, rest: &str, protocol: Protocol) -> Result<Remote, String> {
    let scheme = protocol.scheme();
    let Some(rest) = rest.strip_prefix("//") else {
        return Err(format!(
            "`{}`: after `{scheme}:` come two slashes and a server, as in {scheme}://host/in",
            clip(url)
        ));
    };
    if rest.contains(['?', '#']) {
        return Err(format!(
            "`{}`: an address of a folder has no `?` and no `#`; in a folder's name write %3F and %23",
            clip(url)
        ));
    }
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (user, server) = match authority.rsplit_once('@') {
        Some((user, server)) => (Some(decoded(user)?), server),
        None => (None, authority),
    };
    if user.as_deref() == Some("") {
        return Err(format!("`{}`: nobody stands before the `@`", clip(url)));
    }
    let (host, port) = host_and_port(server, protocol)?;
    Ok(Remote { protocol, host, port, user, path: path_of(url, path)? })
}

/// The port only where it is another than the protocol's own.
fn host_and_port(server: &str, protocol: Protocol) -> Result<(String, Option<u16>), String> {
    let (host, port) = match server.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or_else(|| {
                format!("`{}`: an address of version 6 stands in brackets, as in [2001:db8::1]", clip(server))
            })?;
            let host: Ipv6Addr =
                host.parse().map_err(|_| format!("`{}` is no address of version 6", clip(host)))?;
            (host.to_string(), port)
        }
        None if server.matches(':').count() > 1 => {
            return Err(format!(
                "`{0}`: an address of version 6 stands in brackets, as in [{0}]",
                clip(server)
            ));
        }
        None => {
            let (host, port) = server.find(':').map_or((server, ""), |at| server.split_at(at));
            (name(host)?, port)
        }
    };
    if port.is_empty() {
        return Ok((host, None));
    }
    let number = port.strip_prefix(':').and_then(|port| port.parse::<u16>().ok()).filter(|port| *port > 0);
    let number = number.ok_or_else(|| {
        format!("`{}` is no port, which is a number from 1 to 65535", clip(port.trim_start_matches(':')))
    })?;
    Ok((host, Some(number).filter(|port| *port != protocol.port())))
}

/// A host's name, in small letters. <https://www.rfc-editor.org/rfc/rfc1123#section-2.1>, and `_`, which is in use.
fn name(host: &str) -> Result<String, String> {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if host.is_empty() {
        return Err("the url names no server, as in sftp://partner@host/in".into());
    }
    if host.len() > 253 || !host.split('.').all(label) {
        let hint = if host.is_ascii() { "" } else { "; other letters are written as xn--..." };
        return Err(format!("`{}` is no name of a server{hint}", clip(host)));
    }
    Ok(host.to_ascii_lowercase())
}

fn path_of(url: &str, path: &str) -> Result<String, String> {
    let path = decoded(path)?;
    let path = path.strip_suffix('/').unwrap_or(&path);
    let below = path.strip_prefix('/').unwrap_or(path);
    if !path.is_empty() && below.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(format!("`{}`: a folder's path has no empty parts, no `.` and no `..`", clip(url)));
    }
    Ok(path.to_owned())
}

/// Percent-decoded. <https://www.rfc-editor.org/rfc/rfc3986#section-2.1>
fn decoded(text: &str) -> Result<String, String> {
    let wrong =
        || format!("`{}`: after `%` come two digits of a byte, as in %20; `%` itself is %25", clip(text));
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'%' {
            bytes.push(*byte);
            continue;
        }
        let digits = after.get(..2).filter(|two| two.iter().all(u8::is_ascii_hexdigit)).ok_or_else(wrong)?;
        let digits = std::str::from_utf8(digits).map_err(|_| wrong())?;
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| wrong())?);
        rest = &after[2..];
    }
    let text = String::from_utf8(bytes).map_err(|_| format!("`{}` is not UTF-8 once decoded", clip(text)))?;
    if text.contains(char::is_control) {
        return Err(format!("`{}` has control characters in it", clip(&text)));
    }
    Ok(text)
}

/// S3's own rules for general purpose buckets, and a prefix that keys of ours may follow.
fn bucket(url: &str, rest: &str) -> Result<Place, String> {
    let rest = rest.strip_prefix("//").unwrap_or_default();
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

/// Names of buckets: <https://cloud.google.com/storage/docs/buckets#naming>
fn google(url: &str, rest: &str) -> Result<Cloud, String> {
    let rest = rest.strip_prefix("//").unwrap_or_default();
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b);
    if !(3..=222).contains(&bucket.len()) || !bucket.bytes().all(plain) {
        return Err(format!(
            "`{}` names no bucket: after gs:// come at least 3 of a-z, 0-9, `-`, `_` and `.`, as in gs://acme-exports/in",
            clip(url)
        ));
    }
    let prefix = path_of(url, prefix)?.trim_matches('/').to_owned();
    Ok(Cloud { service: Service::Google, bucket: bucket.to_owned(), prefix, endpoint: None })
}

/// Names of accounts and containers:
/// <https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules#microsoftstorage>
fn azure(url: &str, rest: &str) -> Result<Cloud, String> {
    let rest = rest.strip_prefix("//").unwrap_or_default();
    let (account, below) = rest.split_once('/').unwrap_or((rest, ""));
    let (container, prefix) = below.split_once('/').unwrap_or((below, ""));
    let small = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    if !(3..=24).contains(&account.len()) || !account.bytes().all(small) {
        return Err(format!(
            "`{}` names no account: after az:// come 3 to 24 of a-z and 0-9, as in az://acme/exports/in",
            clip(url)
        ));
    }
    let ends = |b: Option<u8>| b.is_some_and(small);
    if !(3..=63).contains(&container.len())
        || !container.bytes().all(|b| small(b) || b == b'-')
        || !ends(container.bytes().next())
        || !ends(container.bytes().last())
    {
        return Err(format!(
            "`{}` names no container: after the account come 3 to 63 of a-z, 0-9 and `-`, as in az://acme/exports/in",
            clip(url)
        ));
    }
    let prefix = path_of(url, prefix)?.trim_matches('/').to_owned();
    let service = Service::Azure { account: account.to_owned() };
    Ok(Cloud { service, bucket: container.to_owned(), prefix, endpoint: None })
}

fn folder(path: &str) -> Result<String, String> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_clouds_have_buckets_and_containers() {
        let read = |url: &str| match place(url) {
            Ok(Place::Cloud(cloud)) => cloud,
            other => panic!("{other:?}"),
        };
        let google = read("gs://acme-exports/calls/2026/");
        let (bucket, prefix) = (google.bucket.as_str(), google.prefix.as_str());
        assert_eq!((google.service, bucket, prefix), (Service::Google, "acme-exports", "calls/2026"));
        let azure = read("az://acme1/exports");
        assert_eq!(azure.service, Service::Azure { account: "acme1".into() });
        assert_eq!((azure.bucket.as_str(), azure.prefix.as_str()), ("exports", ""));
        for (url, says) in [
            ("gs://A", "names no bucket"),
            ("gs://acme/../x", "no `..`"),
            ("az://exports", "names no container"),
            ("az://acme-1/exports", "names no account"),
            ("az://acme/-x", "names no container"),
            ("scp://host/in", "`sftp:`"),
        ] {
            let message = place(url).expect_err(url);
            assert!(message.contains(says), "{url}: {message}");
        }
    }

    fn read(url: &str) -> Remote {
        match place(url) {
            Ok(Place::Remote(remote)) => remote,
            other => panic!("{url}: {other:?}"),
        }
    }

    #[test]
    fn addresses_are_taken_apart() {
        let drop = read("sftp://drop@SFTP.example.com:2222/in/box/");
        assert_eq!(
            (drop.protocol, drop.host.as_str(), drop.port),
            (Protocol::Sftp, "sftp.example.com", Some(2222))
        );
        assert_eq!((drop.user.as_deref(), drop.path.as_str()), (Some("drop"), "in/box"));
        for protocol in Protocol::ALL {
            let url = format!("{}://h", protocol.scheme());
            let bare = Remote { protocol, host: "h".into(), port: None, user: None, path: String::new() };
            assert_eq!(read(&url), bare);
            assert_eq!(read(&format!("{url}:{}/", protocol.port())), bare, "the protocol's own port");
        }
        assert_eq!(read("FTPS://h//srv/in").path, "/srv/in", "from the server's root");
        assert_eq!(read("ftp://h/%2Fsrv").path, "/srv", "RFC 1738, 3.2.2");
        let odd = read("davs://a%40b@h/100%25%20%C3%A9/x");
        assert_eq!((odd.user.as_deref(), odd.path.as_str()), (Some("a@b"), "100% é/x"));
        let six = read("sftp://u@[2001:DB8::0:1]:22/in");
        assert_eq!((six.host.as_str(), six.port), ("2001:db8::1", None));
        assert_eq!(read("https://h:443/a@b:c/d").path, "a@b:c/d");
    }

    #[test]
    fn endpoints_are_addresses_and_no_more() {
        assert_eq!(endpoint("https://Minio.local:9000/").unwrap(), "https://minio.local:9000");
        assert_eq!(endpoint("http://[::1]:80").unwrap(), "http://[::1]");
        for text in ["minio.local", "ftp://h", "https://h/path", "https://u@h", "https://", "https://u:p@h"] {
            endpoint(text).expect_err(text);
        }
    }

    #[test]
    fn what_is_wrong_says_what_is_right() {
        for (url, says) in [
            ("sftp:h/in", "two slashes and a server"),
            ("sftp://", "names no server"),
            ("sftp://u@/in", "names no server"),
            ("sftp://@h", "nobody stands before"),
            ("sftp://-oProxyCommand=x/in", "no name of a server"),
            ("sftp://h..x/in", "no name of a server"),
            ("sftp://münchen.de", "written as xn--"),
            ("sftp://h:0/in", "from 1 to 65535"),
            ("sftp://h:99999/in", "from 1 to 65535"),
            ("sftp://h:/in", "from 1 to 65535"),
            ("sftp://::1/in", "stands in brackets"),
            ("sftp://[::1/in", "stands in brackets"),
            ("sftp://[fe80::1%25eth0]/in", "no address of version 6"),
            ("sftp://[::1]x/in", "from 1 to 65535"),
            ("sftp://h/in/../out", "no `..`"),
            ("sftp://h/in%2F..%2Fout", "no `..`"),
            ("sftp://h/a//b", "no empty parts"),
            ("sftp://h/./b", "no `.`"),
            ("sftp://h///", "no empty parts"),
            ("https://h/in?token=1", "write %3F"),
            ("https://h/in#x", "write %3F"),
            ("sftp://h/a%2", "two digits of a byte"),
            ("sftp://h/a%zz", "two digits of a byte"),
            ("sftp://h/%ff", "not UTF-8"),
            ("sftp://h/%0a", "control characters"),
            ("sft://h", "did you mean `sftp`?"),
            ("smb://nas/in", "for the machine to mount"),
            ("scp://h/in", "is called `sftp:`"),
            ("s3:acme", "names no bucket"),
        ] {
            let message = place(url).expect_err(url);
            assert!(message.contains(says), "{url}: {message}");
        }
    }

    #[test]
    fn a_password_is_told_and_not_shown() {
        for url in [
            "sftp://u:canary@h/in",
            "ftp://:canary@h",
            "https://u:can/ary@h",
            "sftp://u:canary@",
            "x://u:canary@h",
        ] {
            let message = place(url).expect_err(url);
            assert!(message.contains("name it by `secret:`") && !message.contains("ary"), "{url}: {message}");
        }
    }
}
