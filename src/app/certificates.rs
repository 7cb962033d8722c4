//! The certificates of both listeners, at start and on reload. It does not know TLS.

use std::path::PathBuf;

use tracing::{error, info};

use crate::{
    config::Config,
    error::Result,
    http,
    tls::{Files, Tls},
};

/// What each listener speaks TLS with, if it does.
pub struct Certificates {
    /// Of `http.listen`.
    pub http: Option<Tls>,
    /// Of `rtmp.tls.listen`.
    pub rtmp: Option<Tls>,
}

impl Certificates {
    /// Reads the configured ones.
    ///
    /// # Errors
    /// As [`Tls::open`].
    pub fn open(config: &Config) -> Result<Self> {
        let open = |section, cert: &Option<PathBuf>, key: &Option<PathBuf>, protocols: &[&str]| {
            let Some((cert, key)) = cert.clone().zip(key.clone()) else {
                return Ok(None);
            };
            let files = Files { section, cert, key };
            Tls::open(files, protocols, config.limits.tls_handshake_timeout).map(Some)
        };
        let (web, encoders) = (&config.http.tls, &config.rtmp.tls);
        Ok(Self {
            http: open("http.tls", &web.cert, &web.key, &http::PROTOCOLS)?,
            // Encoders name no protocol.
            rtmp: open("rtmp.tls", &encoders.cert, &encoders.key, &[])?,
        })
    }

    /// Reads all of them again; one that cannot be used stays as it was, and a line says so.
    pub fn reload(&self) {
        let all: Vec<_> = [&self.http, &self.rtmp].into_iter().flatten().collect();
        if all.is_empty() {
            info!("nothing to reload: no certificate is configured");
        }
        for tls in all {
            let section = tls.files().section;
            match tls.reload() {
                Ok(()) => info!(section, "certificate reloaded"),
                Err(error) => {
                    error!(%error, "the certificate was not reloaded: the one of before stays");
                }
            }
        }
    }
}
