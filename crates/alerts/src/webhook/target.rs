use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use domain::is_public;
use hyper::Uri;
use tokio::net::TcpStream;

use crate::{Error, ErrorKind};

/// Where to post to, and which addresses that may be. Its path and query may hold a secret (those of chat services do):
/// only [`name`](Self::name) is ever shown.
pub(super) struct Target {
    pub tls: bool,
    pub host: String,
    pub port: u16,
    /// Never shown.
    pub path: String,
    pub private: bool,
}

impl Target {
    /// Plain HTTP goes to this machine only, unless `http` allows it anywhere: a signature hides nothing. `private`
    /// allows addresses that the internet does not have.
    pub(super) fn parse(url: &str, http: bool, private: bool) -> Result<Self, Error> {
        let bad = |what: &str| Error::new(ErrorKind::Invalid, format!("the webhook's URL {what}"));
        let uri: Uri =
            url.trim().parse().map_err(|_| bad("cannot be read: it is like https://example.com/hook"))?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(bad("has no scheme: it begins with https://"));
        };
        if authority.as_str().contains('@') {
            return Err(bad("holds a user or a password: those are not sent; remove them"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        let tls = match scheme {
            "https" => true,
            "http" if http || is_loopback(&host) => false,
            "http" => return Err(bad("is not encrypted: use https://, or allow http by name")),
            _ => return Err(bad("is neither https:// nor http://")),
        };
        let path = uri.path_and_query().map_or("/", |p| p.as_str()).to_owned();
        Ok(Self {
            tls,
            port: authority.port_u16().unwrap_or(if tls { 443 } else { 80 }),
            host,
            path,
            private,
        })
    }

    /// For people.
    pub(super) fn name(&self) -> String {
        format!("{}://{}", if self.tls { "https" } else { "http" }, self.authority())
    }

    /// As a `Host` header has it.
    pub(super) fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        match (self.tls, self.port) {
            (true, 443) | (false, 80) => host,
            (_, port) => format!("{host}:{port}"),
        }
    }

    /// Connects to an address that was looked at, and not to what the name means a moment later (DNS rebinding).
    pub(super) async fn connect(&self) -> Result<TcpStream, Error> {
        let unavailable =
            |what: String| Error::new(ErrorKind::Unavailable, format!("{}: {what}", self.failed()));
        let found = tokio::net::lookup_host((self.host.as_str(), self.port)).await;
        let found: Vec<SocketAddr> = found.map_err(|e| unavailable(format!("its name: {e}")))?.collect();
        let may: Vec<SocketAddr> = found.iter().copied().filter(|a| self.may(a.ip())).collect();
        if let (Some(refused), true) = (found.first(), may.is_empty()) {
            let what = format!(
                "{}: {} is no address of the internet; if it is yours, allow private addresses for this webhook",
                self.failed(),
                refused.ip()
            );
            return Err(Error::new(ErrorKind::Denied, what));
        }
        let mut failed = io::Error::other("its name has no address");
        for address in may {
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(e) => failed = e,
            }
        }
        Err(unavailable(failed.to_string()))
    }

    pub(super) fn failed(&self) -> String {
        format!("cannot post to {}", self.name())
    }

    fn may(&self, address: IpAddr) -> bool {
        // Whoever writes `localhost` means this machine; a name that leads here without saying so does not.
        self.private || is_public(address) || is_loopback(&self.host) && address.is_loopback()
    }
}

/// Names this machine and nothing else (RFC 6761).
pub(super) fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|a| a.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_where_to_and_how() {
        let t = Target::parse("https://Hooks.Example.com/T0/canary?key=canary#x", false, false).unwrap();
        assert_eq!((t.tls, t.host.as_str(), t.port), (true, "hooks.example.com", 443));
        assert_eq!(t.path, "/T0/canary?key=canary");
        assert_eq!(
            (t.name(), t.authority()),
            ("https://hooks.example.com".into(), "hooks.example.com".into())
        );
        for (url, authority) in [
            ("http://127.0.0.1:8080", "127.0.0.1:8080"),
            ("http://localhost/", "localhost"),
            ("http://[::1]:80/x", "[::1]"),
            ("https://[2606:4700::1111]:8443/x", "[2606:4700::1111]:8443"),
        ] {
            assert_eq!(Target::parse(url, false, false).unwrap().authority(), authority);
        }
    }

    #[test]
    fn what_is_no_safe_url_is_refused_and_not_repeated() {
        for (url, says) in [
            ("http://example.com/canary", "not encrypted"),
            ("http://10.0.0.1/canary", "not encrypted"),
            ("http://localhost.example.com/canary", "not encrypted"),
            ("http://127.0.0.1@example.com/canary", "a password"),
            ("https://user:canary@example.com/", "a password"),
            ("ftp://example.com/canary", "neither"),
            ("file:///etc/canary", "cannot be read"),
            ("/canary", "no scheme"),
            ("https:// canary", "cannot be read"),
            ("https://example.com/\r\ncanary", "cannot be read"),
            ("", "cannot be read"),
        ] {
            let Err(refused) = Target::parse(url, false, false) else { panic!("{url} is taken") };
            assert!(refused.to_string().contains(says), "{url}: {refused}");
            assert!(!refused.to_string().contains("canary") && !refused.is_temporary(), "{refused}");
        }
        assert!(Target::parse("http://example.com/", true, false).is_ok(), "allowed by name");
    }

    #[test]
    fn a_private_address_is_allowed_by_name_only() {
        let may = |url: &str, private: bool, address: &str| {
            Target::parse(url, true, private).unwrap().may(address.parse().unwrap())
        };
        assert!(may("https://example.com", false, "8.8.8.8"));
        for private in ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1"] {
            assert!(!may("https://example.com", false, private), "{private}: what a name leads to");
            assert!(may("https://example.com", true, private));
        }
        assert!(may("http://localhost", false, "::1") && may("http://127.0.0.1", false, "127.0.0.1"));
        assert!(!may("http://localhost", false, "10.0.0.1"), "whatever the resolver says");
        assert!(!may("https://10.0.0.1", false, "10.0.0.1"));
    }
}
