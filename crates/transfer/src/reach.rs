//! Connections to other people's servers.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use domain::is_public;
use tokio::{net::TcpStream, time::timeout};

use crate::{Error, ErrorKind, inert};

/// A server by its name, and which addresses that name may lead to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Server {
    pub host: String,
    pub port: u16,
    /// Addresses that the internet does not have are allowed too.
    pub private: bool,
}

impl Server {
    /// Connects to an address that was looked at, and not to what the name means a moment later (DNS rebinding).
    #[cfg(feature = "http")]
    pub(crate) async fn connect(&self, destination: &str, patience: Duration) -> Result<TcpStream, Error> {
        let mut failed = self.unavailable(destination, "has no address");
        for address in self.addresses(destination, patience).await? {
            match tokio::time::timeout(patience, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    prepare(&stream).map_err(|e| self.unavailable(destination, &e.to_string()))?;
                    return Ok(stream);
                }
                Ok(Err(e)) => failed = self.unavailable(destination, &format!("cannot be reached: {e}")),
                Err(_) => failed = self.late(destination, patience),
            }
        }
        Err(failed)
    }

    /// What its name means now, as far as that is allowed.
    pub(crate) async fn addresses(
        &self,
        destination: &str,
        patience: Duration,
    ) -> Result<Vec<SocketAddr>, Error> {
        let found = timeout(patience, tokio::net::lookup_host((self.host.as_str(), self.port))).await;
        let found = found.map_err(|_| self.late(destination, patience))?;
        let found = found.map_err(|e| self.unavailable(destination, &format!("is not found: {e}")))?;
        let found: Vec<SocketAddr> = found.collect();
        let may: Vec<SocketAddr> = found.iter().copied().filter(|a| self.may(a.ip())).collect();
        match found.first() {
            Some(refused) if may.is_empty() => {
                let message = format!(
                    "destination `{destination}`: {} is at {}, which is no address of the internet; if it is yours, set \
                     `private: true` for this destination",
                    self.shown(),
                    refused.ip()
                );
                Err(Error::new(ErrorKind::Denied, message))
            }
            _ => Ok(may),
        }
    }

    pub(crate) fn unavailable(&self, destination: &str, what: &str) -> Error {
        let message = format!(
            "destination `{destination}`: {} {what}; check its address, or try again later",
            self.shown()
        );
        Error::new(ErrorKind::Unavailable, message)
    }

    pub(crate) fn late(&self, destination: &str, patience: Duration) -> Error {
        self.unavailable(destination, &format!("does not answer within {patience:?}"))
    }

    /// For people.
    pub(crate) fn shown(&self) -> String {
        format!("the server `{}:{}`", inert(&self.host), self.port)
    }

    pub(crate) fn is_loopback(&self) -> bool {
        // Names this machine and nothing else (RFC 6761).
        self.host == "localhost" || self.host.parse::<IpAddr>().is_ok_and(|a| a.is_loopback())
    }

    fn may(&self, address: IpAddr) -> bool {
        // Whoever writes `localhost` means this machine; a name that leads here without saying so does not.
        self.private || is_public(address) || self.is_loopback() && address.is_loopback()
    }
}

/// A connection on which nothing happens for long is kept alive, and known to be dead when it is: firewalls forget it in silence.
pub(crate) fn prepare(stream: &TcpStream) -> io::Result<()> {
    use rustix::net::sockopt;
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, Duration::from_secs(30))?;
    sockopt::set_tcp_keepintvl(stream, Duration::from_secs(10))?;
    sockopt::set_tcp_keepcnt(stream, 6)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may(host: &str, private: bool, address: &str) -> bool {
        Server { host: host.into(), port: 1, private }.may(address.parse().unwrap())
    }

    #[test]
    fn what_a_name_leads_to_is_of_the_internet_or_allowed() {
        for public in ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"] {
            assert!(may("example.com", false, public), "{public}");
        }
        let not = [
            "0.0.0.0",
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "192.168.1.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:7f00:1::",
            "fd00:ec2::254",
            "fe80::1",
            "ff02::1",
            "2001::1",
            "fec0::1",
        ];
        for address in not {
            assert!(!may("example.com", false, address), "{address}");
            assert!(may("example.com", true, address), "{address}");
        }
        assert!(may("localhost", false, "::1") && may("127.0.0.1", false, "127.0.0.1"));
        assert!(!may("localhost", false, "10.0.0.1"), "whatever the resolver says");
        assert!(!may("169.254.169.254", false, "169.254.169.254"));
    }

    #[tokio::test]
    async fn a_refused_address_is_not_connected_to() {
        let server = Server { host: "0.0.0.0".into(), port: 1, private: false };
        let error = server.addresses("partner", Duration::from_secs(5)).await.unwrap_err();
        assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Denied, false));
        assert!(error.to_string().contains("private: true"), "{error}");
    }
}
