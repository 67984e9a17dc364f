//! PEM texts: certificates and keys. `name` is what errors call a text; they show nothing of it.

use crate::error::{Error, Result};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// The certificates of a text; at least one.
pub fn certificates(name: &str, text: &[u8]) -> Result<Vec<CertificateDer<'static>>> {
    let found: std::result::Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(text).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => {
            Err(Error::argument(format!("{name} has no certificate; it is PEM text, -----BEGIN CERTIFICATE-----")))
        }
        Err(error) => Err(Error::argument(format!("{name} is not PEM text: {error:?}"))),
    }
}

/// The first private key of a text.
pub fn private_key(name: &str, text: &[u8]) -> Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_slice(text).map_err(|_| {
        let accepted = "PEM text with a key that has no password: PRIVATE KEY, RSA PRIVATE KEY or EC PRIVATE KEY";
        Error::argument(format!("{name} has no private key; it is {accepted}"))
    })
}
