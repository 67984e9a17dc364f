//! The options of TLS: the files and texts that they name are read when a client is made, and what is wrong with them is an
//! error then.

use super::Options;
use crate::error::{Error, Result};
use crate::net::{certificates, private_key, Address, Identity, Tls, Trust};
use crate::secret::Secret;
use zeroize::Zeroizing;

/// The most bytes that a PEM text may have.
pub const MAX_PEM: usize = 1 << 20;

/// How TLS is to be; fields are the rows of the table that begin with `tls_`.
#[derive(Clone, Default, Debug)]
pub struct TlsOptions {
    pub on: bool,
    pub ca_file: String,
    pub ca: String,
    pub cert_file: String,
    pub key_file: String,
    pub cert: String,
    pub key: Secret,
    pub server_name: String,
    pub verify_none: bool,
    pub only_13: bool,
}

impl TlsOptions {
    /// Whether nobody but the server can read what is sent.
    pub fn is_private(&self) -> bool {
        self.on && !self.verify_none
    }

    fn trust(&self) -> Result<Trust> {
        if self.verify_none {
            return Ok(Trust::Anybody);
        }
        match pem_of(("tls_ca_file", &self.ca_file), ("tls_ca", &self.ca))? {
            None => Ok(Trust::System),
            Some((name, text)) => certificates(name, &text).map(Trust::Roots),
        }
    }

    fn identity(&self) -> Result<Option<Identity>> {
        let cert = pem_of(("tls_cert_file", &self.cert_file), ("tls_cert", &self.cert))?;
        let key = pem_of(("tls_key_file", &self.key_file), ("tls_key", self.key.expose()))?;
        match (cert, key) {
            (None, None) => Ok(None),
            (Some((cert_name, cert)), Some((key_name, key))) => {
                Ok(Some((certificates(cert_name, &cert)?, private_key(key_name, &key)?)))
            }
            (Some((name, _)), None) => Err(Error::argument(format!("{name} needs tls_key_file or tls_key"))),
            (None, Some((name, _))) => Err(Error::argument(format!("{name} needs tls_cert_file or tls_cert"))),
        }
    }
}

impl Options {
    /// TLS, if it is on. Options of it that nobody would look at are an error: their user counts on it.
    pub(crate) fn tls(&self) -> Result<Option<Tls>> {
        if !self.tls.on {
            let unused = self.explicit.iter().find(|name| name.starts_with("tls_"));
            return match unused {
                Some(name) => Err(Error::argument(format!("{name} is set, but tls is false; tls=true uses it"))),
                None => Ok(None),
            };
        }
        if let Some(server) = self.servers.iter().find(|server| matches!(server.address, Address::Unix(_))) {
            let words = format!("server {} is a Unix socket, which TLS is not for; tls=false uses it", server.address);
            return Err(Error::argument(words));
        }
        let (trust, identity) = (self.tls.trust()?, self.tls.identity()?);
        Tls::new(trust, identity, &self.tls.server_name, self.tls.only_13).map(Some)
    }
}

type Pem = Zeroizing<Vec<u8>>;

/// What one of two options gives, with the name of the one; `None`: neither does.
fn pem_of<'a>(file: (&'a str, &str), text: (&'a str, &str)) -> Result<Option<(&'a str, Pem)>> {
    match (file.1.is_empty(), text.1.is_empty()) {
        (true, true) => Ok(None),
        (true, false) => Ok(Some((text.0, Zeroizing::new(text.1.into())))),
        (false, false) => Err(Error::argument(format!("{} and {} are both set; one is enough", file.0, text.0))),
        (false, true) => {
            let failed = |error| Error::argument(format!("{}: {:?} cannot be read: {error}", file.0, file.1));
            std::fs::read(file.1).map(|bytes| Some((file.0, Zeroizing::new(bytes)))).map_err(failed)
        }
    }
}
