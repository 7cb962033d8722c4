//! TLS of both listeners: certificates from PEM files, exchanged by a reload that running connections
//! do not notice, and a client's handshake within its deadline. It does not know what is said inside.

use std::{
    fmt,
    io::{self, IoSlice},
    path::{Path, PathBuf},
    pin::Pin,
    sync::{Arc, PoisonError, RwLock},
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        self, ServerConfig,
        crypto::{CryptoProvider, ring},
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
        server::{ClientHello, ResolvesServerCert},
        sign::CertifiedKey,
    },
    server::TlsStream,
};

use crate::error::{Error, Kind, Result};

/// A certificate file is not larger: a chain has a few KiB.
const PEM_BYTES_MAX: u64 = 1 << 20;
/// How long a client whose handshake failed may take to read why, and what it may still send
/// meanwhile. Closing at once on unread bytes would reset the connection and lose the alert.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: u64 = 64 * 1024;

/// Where a listener's certificate is, by its keys in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// `http.tls` or `rtmp.tls`.
    pub section: &'static str,
    /// PEM certificate chain, the server's own first.
    pub cert: PathBuf,
    /// PEM private key.
    pub key: PathBuf,
}

/// One listener's TLS; clones share the certificate.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    certificate: Arc<Certificate>,
    patience: Duration,
}

/// Why there is no TLS with a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoTls {
    /// The handshake went on for too long.
    Timeout,
    /// The client speaks something else, or refused what was offered.
    Handshake,
}

impl NoTls {
    /// The metric's label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "tls_timeout",
            Self::Handshake => "tls_handshake",
        }
    }
}

impl Tls {
    /// Reads the certificate. `protocols` is what may be spoken inside, best first (ALPN, RFC 7301);
    /// `patience` is the longest handshake.
    ///
    /// # Errors
    /// [`Kind::Config`], one line naming the key: a file that cannot be read or holds no certificate
    /// or key, or a key of another certificate.
    pub fn open(files: Files, protocols: &[&str], patience: Duration) -> Result<Self> {
        let provider = Arc::new(ring::default_provider());
        let current = RwLock::new(Arc::new(read(&files, &provider)?));
        let certificate = Arc::new(Certificate {
            files,
            provider: provider.clone(),
            current,
        });
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::with(Kind::Internal, "TLS has no usable version", error))?
            .with_no_client_auth()
            .with_cert_resolver(certificate.clone());
        config.alpn_protocols = protocols.iter().map(|name| (*name).into()).collect();
        Ok(Self {
            acceptor: Arc::new(config).into(),
            certificate,
            patience,
        })
    }

    /// Reads the files again; who connects from now on is shown the new certificate.
    ///
    /// # Errors
    /// As [`Tls::open`]; the certificate of before is kept.
    pub fn reload(&self) -> Result<()> {
        let certificate = &self.certificate;
        let read = Arc::new(read(&certificate.files, &certificate.provider)?);
        let mut current = certificate
            .current
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *current = read;
        Ok(())
    }

    /// Which files these are.
    pub fn files(&self) -> &Files {
        &self.certificate.files
    }

    /// Shakes hands with a client. One that cannot is told by a TLS alert, and its connection ends.
    ///
    /// # Errors
    /// Why not.
    pub async fn accept(&self, tcp: TcpStream) -> Result<Wire, NoTls> {
        let handshake = self.acceptor.accept(tcp).into_fallible();
        match timeout(self.patience, handshake).await {
            Err(_) => Err(NoTls::Timeout),
            Ok(Ok(stream)) => Ok(Wire::Tls(Box::new(stream))),
            Ok(Err((error, tcp))) => {
                tracing::debug!(%error, section = self.files().section, "no TLS");
                let _ = timeout(LINGER, part(tcp)).await;
                Err(NoTls::Handshake)
            }
        }
    }
}

/// Ends our side and discards a little of what still comes.
async fn part(mut tcp: TcpStream) -> io::Result<()> {
    tcp.shutdown().await?;
    tokio::io::copy(&mut tcp.take(LINGER_BYTES), &mut tokio::io::sink()).await?;
    Ok(())
}

/// What clients are shown now.
struct Certificate {
    files: Files,
    provider: Arc<CryptoProvider>,
    current: RwLock<Arc<CertifiedKey>>,
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Some(current.clone())
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Certificate").field(&self.files).finish()
    }
}

fn read(files: &Files, provider: &CryptoProvider) -> Result<CertifiedKey> {
    let Files { section, cert, key } = files;
    let refuse = |name: &str, text: String| {
        let context = format!("{section}.{name}: {text}");
        Error::new(Kind::Config, context)
    };
    let unreadable = |name: &str, path: &Path, error: &dyn fmt::Display| {
        refuse(name, format!("cannot read {}: {error}", path.display()))
    };
    let pem = read_file(cert).map_err(|error| unreadable("cert", cert, &error))?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|error| unreadable("cert", cert, &error))?;
    if chain.is_empty() {
        let text = format!("no certificate in {}", cert.display());
        return Err(refuse("cert", text));
    }
    let pem = read_file(key).map_err(|error| unreadable("key", key, &error))?;
    let private = PrivateKeyDer::from_pem_slice(&pem).map_err(|error| match error {
        rustls::pki_types::pem::Error::NoItemsFound => {
            refuse("key", format!("no private key in {}", key.display()))
        }
        error => unreadable("key", key, &error),
    })?;
    CertifiedKey::from_der(chain, private, provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            let (key, cert) = (key.display(), cert.display());
            let text = format!("{key} is not the key of the certificate in {cert}");
            refuse("key", text)
        }
        rustls::Error::InvalidCertificate(_) => {
            let text = format!("the certificate in {} cannot be used", cert.display());
            refuse("cert", format!("{text}: {error}"))
        }
        error => refuse("key", format!("{} cannot be used: {error}", key.display())),
    })
}

fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let len = std::fs::metadata(path)?.len();
    if len > PEM_BYTES_MAX {
        return Err(io::Error::other(format!("{len} bytes are no PEM file")));
    }
    std::fs::read(path)
}

/// A client's bytes, with TLS around them or without.
pub enum Wire {
    /// As they are.
    Plain(TcpStream),
    /// Inside TLS.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Wire {
    /// What is below.
    pub fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(stream) => stream.get_ref().0,
        }
    }
}

/// Hands a call on to whichever stream it is.
macro_rules! either {
    ($wire:ident.$call:ident($($argument:expr),*)) => {
        match $wire.get_mut() {
            Wire::Plain(stream) => Pin::new(stream).$call($($argument),*),
            Wire::Tls(stream) => Pin::new(stream.as_mut()).$call($($argument),*),
        }
    };
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        either!(self.poll_read(cx, buf))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        either!(self.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self.poll_shutdown(cx))
    }
}
