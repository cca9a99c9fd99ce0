//! What went wrong below, as people need it.

use std::{error::Error as StdError, io};

/// The innermost cause (`connection refused` and not `client error`), and what to do when it is a certificate.
pub(crate) fn said(error: &(dyn StdError + 'static)) -> String {
    let mut cause = error;
    loop {
        if let Some(e) = of_tls(cause) {
            return match e {
                rustls::Error::InvalidCertificate(why) => format!(
                    "its certificate is not believed ({why:?}); renew it there, or trust its authority here"
                ),
                e => format!("TLS: {e}"),
            };
        }
        match cause.source() {
            Some(source) => cause = source,
            None => return cause.to_string(),
        }
    }
}

/// rustls' own error hides in an `io::Error`, which does not name it as its source.
fn of_tls<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a rustls::Error> {
    let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    inner.and_then(|e| e.downcast_ref()).or_else(|| error.downcast_ref())
}
