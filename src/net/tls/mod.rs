//! TLS for sockets, by rustls, which does no I/O of its own: [`Tls`] is how it is to be, and a [`Session`] is the state of
//! one connection. Nothing is resumed: a connection lives long, and a cache of tickets would be one more lock that a fork
//! can copy while it is held.

mod pem;
mod session;

pub use pem::{certificates, private_key};
pub(super) use session::Session;

use super::Address;
use crate::error::{Error, Result, Status};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientConfig, Resumption, WebPkiServerVerifier};
use rustls::crypto::{ring, verify_tls12_signature, verify_tls13_signature, CryptoProvider};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::version::{TLS12, TLS13};
use rustls::{DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::io;
use std::sync::Arc;

/// Whose certificates are good.
pub enum Trust {
    /// Those of servers that one of these authorities has signed for, by their name.
    Roots(Vec<CertificateDer<'static>>),
    /// The same, with the authorities that the system trusts.
    System,
    /// Everybody's.
    Anybody,
}

/// What the client shows of itself: its certificate, with those that lead to its authority, and the key.
pub type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// How TLS is to be.
#[derive(Clone, Debug)]
pub struct Tls {
    config: Arc<ClientConfig>,
    /// Instead of the address's host.
    name: Option<ServerName<'static>>,
}

impl Tls {
    /// Fails where the authorities or the identity cannot be used, in words that say why.
    pub fn new(trust: Trust, identity: Option<Identity>, name: &str, only_13: bool) -> Result<Tls> {
        let provider = Arc::new(ring::default_provider());
        let versions: &[_] = if only_13 { &[&TLS13] } else { &[&TLS13, &TLS12] };
        let failed = |error: rustls::Error| Error::argument(format!("TLS cannot be set up: {error}"));
        let builder = ClientConfig::builder_with_provider(provider.clone());
        let builder = builder.with_protocol_versions(versions).map_err(failed)?;
        let builder = builder.dangerous().with_custom_certificate_verifier(verifier(trust, &provider)?);
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => builder.with_client_auth_cert(chain, key).map_err(|error| {
                Error::argument(format!("the client's certificate and key cannot be used: {error}"))
            })?,
        };
        config.resumption = Resumption::disabled();
        let parse = |name: &str| ServerName::try_from(name.to_string());
        let bad = |_| Error::argument(format!("tls_server_name {name:?} is neither a host name nor an IP address"));
        let name = (!name.is_empty()).then(|| parse(name)).transpose().map_err(bad)?;
        Ok(Tls { config: Arc::new(config), name })
    }

    /// A session with the server that was called `host`; its connection is `to` there.
    pub(super) fn begin(&self, host: &Address) -> io::Result<Session> {
        let invalid = |words: String| io::Error::new(io::ErrorKind::InvalidData, words);
        let name = match (&self.name, host) {
            (_, Address::Unix(_)) => return Err(invalid("TLS is not for Unix sockets; tls=false uses them".into())),
            (Some(name), _) => name.clone(),
            (None, Address::Ip(ip, _)) => ServerName::from(*ip),
            (None, Address::Name(name, _)) => ServerName::try_from(name.clone())
                .map_err(|_| invalid(format!("{name:?} is no name of a certificate; tls_server_name gives one")))?,
        };
        Session::new(self.config.clone(), name)
    }
}

/// The status of what went wrong on a socket: sessions call what broke TLS's rules invalid data, which no system call does.
pub fn status_of(error: &io::Error) -> Status {
    match error.kind() {
        io::ErrorKind::InvalidData => Status::Tls,
        _ => Status::Connection,
    }
}

fn verifier(trust: Trust, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>> {
    let mut store = RootCertStore::empty();
    match trust {
        Trust::Anybody => return Ok(Arc::new(Anybody(provider.clone()))),
        Trust::System => {
            let found = rustls_native_certs::load_native_certs();
            // Systems keep a certificate or two that nobody can read; the others are as good as ever.
            store.add_parsable_certificates(found.certs);
            if store.is_empty() {
                let why = found.errors.first().map_or_else(String::new, |error| format!(" ({error})"));
                let words = format!("the system has no certificates of authorities{why}; tls_ca_file names some");
                return Err(Error::argument(words));
            }
        }
        Trust::Roots(roots) => {
            for root in roots {
                let bad = |error| Error::argument(format!("a certificate of an authority cannot be used: {error}"));
                store.add(root).map_err(bad)?;
            }
        }
    }
    let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider.clone());
    let verifier = builder.build().map_err(|error| Error::argument(format!("TLS cannot be set up: {error}")))?;
    Ok(verifier)
}

/// Takes any certificate, if only its owner is who speaks.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
