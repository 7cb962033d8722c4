//! `http.tls` and `rtmp.tls`: where certificates are. It opens none of them.

use std::{net::SocketAddr, path::PathBuf};

use super::{Config, Http, Rtmp};

/// `http.tls`: with it `http.listen` speaks TLS only.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tls {
    /// PEM certificate chain.
    pub cert: Option<PathBuf>,
    /// PEM private key.
    pub key: Option<PathBuf>,
}

/// `rtmp.tls`: RTMPS on a port of its own, beside `rtmp.listen`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RtmpTls {
    /// Address of the RTMPS listener.
    pub listen: Option<SocketAddr>,
    /// PEM certificate chain.
    pub cert: Option<PathBuf>,
    /// PEM private key.
    pub key: Option<PathBuf>,
}

impl Http {
    /// Whether `http.listen` speaks TLS.
    pub fn is_tls(&self) -> bool {
        self.tls.cert.is_some()
    }
}

impl Rtmp {
    /// The address that encoders are told: that of RTMPS where there is one.
    pub fn told(&self) -> SocketAddr {
        self.tls.listen.unwrap_or(self.listen)
    }
}

/// What the keys owe each other; `Err` is one line naming them.
pub(super) fn check(config: &Config) -> Result<(), String> {
    let Tls { cert, key } = &config.http.tls;
    if cert.is_some() != key.is_some() {
        return Err("http.tls.cert: expected together with http.tls.key, or neither".into());
    }
    let RtmpTls { listen, cert, key } = &config.rtmp.tls;
    let given = [listen.is_some(), cert.is_some(), key.is_some()];
    if given.contains(&true) && given.contains(&false) {
        let line = "rtmp.tls.listen: expected together with rtmp.tls.cert and rtmp.tls.key, or none of them";
        return Err(line.into());
    }
    let taken = [config.http.listen, config.rtmp.listen];
    match listen {
        // A free port is a different one each time: only fixed ports can collide.
        Some(listen) if listen.port() != 0 && taken.contains(listen) => Err(format!(
            "rtmp.tls.listen = {listen}: expected another address than http.listen and rtmp.listen"
        )),
        _ => Ok(()),
    }
}
