//! TLS for the protocols that ride on it.

use std::sync::Arc;
#[cfg(feature = "http")]
use std::{error::Error as StdError, io};

use rustls::{
    ClientConfig, RootCertStore, SupportedProtocolVersion,
    pki_types::{CertificateDer, pem::PemObject as _},
};

use crate::{Error, ErrorKind, Secret};

/// Who may vouch for a server.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Trust {
    /// The authorities that this machine believes.
    #[default]
    Machine,
    /// These alone (PEM): a partner's own.
    Pinned(Secret),
}

/// A configuration; sessions made with one may be resumed with it, and with no other.
pub(crate) fn client(
    destination: &str,
    trust: &Trust,
    versions: &[&'static SupportedProtocolVersion],
) -> Result<ClientConfig, Error> {
    let bad = |what: &str| Error::new(ErrorKind::Invalid, format!("destination `{destination}`: {what}"));
    let mut roots = RootCertStore::empty();
    match trust {
        Trust::Machine => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        Trust::Pinned(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem.expose().as_bytes()) {
                let certificate = certificate.map_err(|_| bad("the certificates to trust are not PEM"))?;
                roots.add(certificate).map_err(|_| bad("a certificate to trust is none"))?;
            }
        }
    }
    if roots.is_empty() {
        return Err(bad("there is no authority to trust: install ca-certificates, or give the server's own"));
    }
    // Named, since a process with two providers has none by default.
    let config = ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_protocol_versions(versions)
        .map_err(|e| bad(&format!("TLS: {e}")))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

/// What makes a server one that we were not told of.
pub(crate) const UNBELIEVED: &str = "its certificate is not believed: have it renewed there, or give its authority in this destination's settings";

pub(crate) fn connector(config: ClientConfig) -> tokio_rustls::TlsConnector {
    Arc::new(config).into()
}

/// A failure while connecting.
#[cfg(feature = "http")]
pub(crate) fn failed(destination: &str, server: &str, error: &(dyn StdError + 'static)) -> Error {
    let kind_and_why = match of_tls(error) {
        Some(rustls::Error::InvalidCertificate(why)) => {
            (ErrorKind::HostKeyChanged, format!("{UNBELIEVED} ({why:?})"))
        }
        Some(e) => (ErrorKind::Unavailable, format!("TLS: {e}; try again later")),
        None => (ErrorKind::Unavailable, format!("{}; try again later", innermost(error))),
    };
    Error::new(kind_and_why.0, format!("destination `{destination}`: {server}: {}", kind_and_why.1))
}

#[cfg(feature = "http")]
fn innermost(error: &(dyn StdError + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// rustls' own error hides in an `io::Error`, which does not name it as its source.
#[cfg(feature = "http")]
fn of_tls<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a rustls::Error> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let found = inner.and_then(|e| e.downcast_ref()).or_else(|| error.downcast_ref());
        if found.is_some() {
            return found;
        }
        cause = error.source();
    }
    None
}
