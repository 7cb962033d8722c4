//! A certificate authority of the test's own, by the openssl command, and clients that believe only
//! it. It does not know what is asked inside.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use tempfile::TempDir;
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};

/// Keys and certificates in a directory of their own.
pub struct Authority {
    dir: TempDir,
}

/// PEM files of one certificate for `localhost` and 127.0.0.1.
#[derive(Clone)]
pub struct Issued {
    pub cert: PathBuf,
    pub key: PathBuf,
}

impl Issued {
    /// `http.tls` as environment variables.
    pub fn for_http(&self) -> [(&'static str, String); 2] {
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        [
            ("CAUCE_HTTP__TLS__CERT", text(&self.cert)),
            ("CAUCE_HTTP__TLS__KEY", text(&self.key)),
        ]
    }
}

impl Authority {
    pub fn new() -> Self {
        let dir = TempDir::new().unwrap();
        openssl(
            dir.path(),
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=authority \
             -keyout ca.key -out ca.pem",
        );
        std::fs::write(
            dir.path().join("names"),
            "subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n",
        )
        .unwrap();
        Self { dir }
    }

    /// What clients are told to believe.
    pub fn path(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// A new certificate in files named after `name`.
    pub fn issue(&self, name: &str) -> Issued {
        let dir = self.dir.path();
        openssl(
            dir,
            &format!(
                "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN={name} \
                 -keyout {name}.key -out {name}.csr"
            ),
        );
        openssl(
            dir,
            &format!(
                "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \
                 -extfile names -out {name}.pem"
            ),
        );
        Issued {
            cert: dir.join(format!("{name}.pem")),
            key: dir.join(format!("{name}.key")),
        }
    }

    /// A connection whose handshake is done.
    #[track_caller]
    pub fn connect(&self, address: SocketAddr) -> Tls {
        self.try_connect(address).unwrap()
    }

    /// The same with a server that may not want it.
    pub fn try_connect(&self, address: SocketAddr) -> std::io::Result<Tls> {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_file(self.path()).unwrap())
            .unwrap();
        let config = ClientConfig::builder_with_provider(ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::from(address.ip());
        let connection = ClientConnection::new(Arc::new(config), name).unwrap();
        let socket = TcpStream::connect(address)?;
        let patience = Some(Duration::from_secs(20));
        socket.set_read_timeout(patience).unwrap();
        let mut stream = StreamOwned::new(connection, socket);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Tls(stream))
    }
}

/// A client inside TLS.
pub struct Tls(StreamOwned<ClientConnection, TcpStream>);

impl Tls {
    /// The server's own certificate.
    pub fn certificate(&self) -> Vec<u8> {
        self.0.conn.peer_certificates().unwrap()[0].to_vec()
    }

    /// Asks on a connection that stays open, and reads an answer's head and its first bytes.
    pub fn ask(&mut self, path: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        self.0.write_all(request.as_bytes()).unwrap();
        let mut answer = vec![0; 4096];
        let len = self.0.read(&mut answer).unwrap();
        String::from_utf8_lossy(&answer[..len]).into_owned()
    }
}

/// The DER bytes of a certificate file.
pub fn der(path: &Path) -> Vec<u8> {
    CertificateDer::from_pem_file(path).unwrap().to_vec()
}

fn openssl(dir: &Path, arguments: &str) {
    let output = Command::new("openssl")
        .args(arguments.split_whitespace())
        .current_dir(dir)
        .output()
        .expect("openssl is installed by tests/run");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {arguments}: {said}");
}
