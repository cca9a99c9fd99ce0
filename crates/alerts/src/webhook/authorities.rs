use std::sync::Arc;

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};

use crate::{Error, ErrorKind};

/// Believes the machine's authorities and those in `pem`.
pub(super) fn client(pem: &[u8]) -> Result<Arc<ClientConfig>, Error> {
    let bad = |what: &str| Error::new(ErrorKind::Invalid, what);
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|_| bad("the certificates to trust are not PEM"))?;
        roots.add(certificate).map_err(|_| bad("a certificate to trust is none"))?;
    }
    if roots.is_empty() {
        return Err(bad("this machine has no certificate authorities: install ca-certificates"));
    }
    // Named, since a process with two providers has none by default.
    let mut config = ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .map_err(|e| bad(&format!("TLS: {e}")))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
