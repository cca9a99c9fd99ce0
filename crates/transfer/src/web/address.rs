use std::fmt;

use hyper::Uri;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::{Error, ErrorKind, Name, reach::Server};

/// A URL. Its path and query may hold a secret (a presigned one's do): only the server is ever shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub tls: bool,
    pub server: Server,
    /// Encoded, without a slash at its end.
    pub path: String,
    /// With its question mark, or empty.
    pub query: String,
}

/// What a URL's owner has allowed by name.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Allowed {
    /// Addresses that the internet does not have.
    pub private: bool,
    /// To be sent unencrypted to other machines.
    pub plain: bool,
}

/// What needs no encoding anywhere (RFC 3986).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

impl Address {
    pub(crate) fn parse(destination: &str, url: &str, allowed: Allowed) -> Result<Self, Error> {
        let bad = |what: &str| {
            Error::new(ErrorKind::Invalid, format!("destination `{destination}`: its URL {what}"))
        };
        let uri: Uri =
            url.trim().parse().map_err(|_| bad("cannot be read: it is like https://example.com/in"))?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(bad("has no scheme: it begins with https://"));
        };
        if authority.as_str().contains('@') {
            return Err(bad("holds a user or a password: enter those apart from it"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        let tls = match scheme {
            "https" => true,
            "http" => false,
            _ => return Err(bad("is neither https:// nor http://")),
        };
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let server = Server { host, port, private: allowed.private };
        if !tls && !allowed.plain && !server.is_loopback() {
            return Err(bad(
                "is not encrypted: use https://, or `http:` or `dav:` in the policy where that is meant",
            ));
        }
        let path = uri.path().trim_end_matches('/').to_owned();
        let query = uri.query().map(|q| format!("?{q}")).unwrap_or_default();
        Ok(Self { tls, server, path, query })
    }

    /// As a `Host` header has it.
    pub(crate) fn host_header(&self) -> String {
        let (host, port) = (&self.server.host, self.server.port);
        let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        match (self.tls, port) {
            (true, 443) | (false, 80) => host,
            _ => format!("{host}:{port}"),
        }
    }

    /// Of a file or folder below it; `None` is itself.
    pub(crate) fn path_of(&self, name: Option<&Name>) -> String {
        name.map_or_else(|| self.path.clone(), |name| format!("{}/{}", self.path, encode(name)))
    }

    pub(crate) fn target_of(&self, name: &Name) -> String {
        format!("{}{}", self.path_of(Some(name)), self.query)
    }

    /// As absolute URLs have it.
    pub(crate) fn origin(&self) -> String {
        format!("{}://{}", if self.tls { "https" } else { "http" }, self.host_header())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin())
    }
}

/// A name as a path has it.
pub(crate) fn encode(name: &Name) -> String {
    let segments: Vec<String> =
        name.segments().map(|s| utf8_percent_encode(s, ENCODED).to_string()).collect();
    segments.join("/")
}

#[cfg(test)]
mod tests {
    use super::{super::Auth, *};

    fn parse(url: &str) -> Result<Address, Error> {
        Address::parse("partner", url, Allowed::default())
    }

    #[test]
    fn a_url_says_where_to_and_how() {
        let a = parse("https://Example.com/in/%20b/?key=canary").unwrap();
        assert_eq!((a.tls, a.server.host.as_str(), a.server.port), (true, "example.com", 443));
        let name = Name::parse("Köln/a b?#%2F.mp4").unwrap();
        assert_eq!(a.target_of(&name), "/in/%20b/K%C3%B6ln/a%20b%3F%23%252F.mp4?key=canary");
        assert_eq!(format!("{a:?}"), "https://example.com");
        assert_eq!(parse("http://[::1]:8080/").unwrap().host_header(), "[::1]:8080");
        assert_eq!(parse("http://localhost").unwrap().target_of(&name), format!("/{}", encode(&name)));
    }

    #[test]
    fn what_is_no_safe_url_is_refused_and_not_repeated() {
        for (url, says) in [
            ("http://example.com/canary", "not encrypted"),
            ("http://10.0.0.1/canary", "not encrypted"),
            ("http://localhost.example.com/canary", "not encrypted"),
            ("https://user:canary@example.com/", "a password"),
            ("http://127.0.0.1@example.com/canary", "a password"),
            ("ftp://example.com/canary", "neither"),
            ("/canary", "no scheme"),
            ("https://example.com/\r\ncanary", "cannot be read"),
            ("", "cannot be read"),
        ] {
            let refused = parse(url).unwrap_err();
            assert!(refused.to_string().contains(says), "{url}: {refused}");
            assert!(!refused.to_string().contains("canary") && !refused.is_temporary(), "{refused}");
        }
        let allowed = Allowed { plain: true, private: false };
        assert!(Address::parse("partner", "http://example.com", allowed).is_ok(), "allowed by name");
    }

    #[test]
    fn how_we_say_who_we_are_is_not_shown() {
        let auth = Auth::Basic { user: "u".into(), password: "canary".into() };
        assert!(!format!("{auth:?} {:?}", Auth::Bearer("canary".into())).contains("canary"));
    }
}
