//! Servers that speak TLS, for tests: memcached with certificates that are made here, and one of rustls that a test tells
//! what to do.

use super::Memcached;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, SupportedProtocolVersion};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// The path of one of the files that tests/lib/certificates makes, once for each test program.
pub fn file(name: &str) -> String {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    let folder = MADE.get_or_init(|| {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("tls-{}", std::process::id()));
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lib/certificates");
        assert!(Command::new(script).arg(&folder).status().unwrap().success(), "tests/lib/certificates");
        folder
    });
    folder.join(name).display().to_string()
}

/// The text of such a file.
pub fn text(name: &str) -> String {
    std::fs::read_to_string(file(name)).unwrap()
}

/// `memcached -Z` that shows this certificate.
pub fn memcached(certificate: &str, extra: &[&str]) -> Memcached {
    let (chain, key) = (format!("ssl_chain_cert={}", file(&format!("{certificate}.pem"))), key_of(certificate));
    Memcached::tcp(&[&["-Z", "-o", &chain, "-o", &key], extra].concat())
}

fn key_of(certificate: &str) -> String {
    format!("ssl_key={}", file(&format!("{certificate}.key")))
}

/// One connection to a server of rustls.
pub struct Peer {
    pub tls: ServerConnection,
    pub stream: TcpStream,
    /// From zero.
    pub number: usize,
}

impl Peer {
    /// A line of the client's; `None`: it has hung up.
    pub fn line(&mut self) -> Option<String> {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            let mut byte = [0];
            let read = rustls::Stream::new(&mut self.tls, &mut self.stream).read(&mut byte);
            if !matches!(read, Ok(1)) {
                return None;
            }
            line.push(byte[0]);
        }
        Some(String::from_utf8(line).unwrap().trim_end().into())
    }

    /// Sends it, each part as a record of its own.
    pub fn say(&mut self, parts: &[&[u8]]) {
        for part in parts {
            self.tls.writer().write_all(part).unwrap();
            self.flush();
        }
    }

    pub fn flush(&mut self) {
        while self.tls.wants_write() && self.tls.write_tls(&mut self.stream).is_ok() {}
    }
}

/// A server whose connections do what `serve` does.
pub struct Scripted {
    pub address: String,
    pub connections: Arc<AtomicUsize>,
}

impl Scripted {
    /// It ends with the test program.
    pub fn start(
        versions: &[&'static SupportedProtocolVersion],
        serve: impl Fn(&mut Peer) + Send + Sync + 'static,
    ) -> Scripted {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let chain = vec![CertificateDer::from_pem_file(file("server.pem")).unwrap()];
        let key = PrivateKeyDer::from_pem_file(file("server.key")).unwrap();
        let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
        let config = Arc::new(builder.with_no_client_auth().with_single_cert(chain, key).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let connections = Arc::new(AtomicUsize::new(0));
        let (counted, serve) = (connections.clone(), Arc::new(serve));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (serve, number) = (serve.clone(), counted.fetch_add(1, Ordering::SeqCst));
                stream.set_nodelay(true).unwrap();
                let mut peer = Peer { tls: ServerConnection::new(config.clone()).unwrap(), stream, number };
                std::thread::spawn(move || serve(&mut peer));
            }
        });
        Scripted { address, connections }
    }
}
