//! What parts tell each other without importing each other: stream events, and the one place that
//! writes public URLs. It does not know who listens.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::{
    config::Config,
    name::{StreamKey, StreamUid},
};

/// A stream changed.
#[derive(Clone, Debug)]
pub struct StreamEvent {
    /// Which one.
    pub uid: StreamUid,
    /// What happened.
    pub change: Change,
}

/// What happened to a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A publisher came: pending to live, or back within the grace.
    Live,
    /// The publisher went; the grace runs.
    Reconnecting,
    /// The owner paused it: the slate is shown.
    Paused,
    /// The owner resumed it.
    Resumed,
    /// It ended.
    Finished,
}

/// Writes public URLs from `http.public_url` and `rtmp.public_url`, or from the addresses listened on.
#[derive(Clone, Debug)]
pub struct Urls {
    /// Without a trailing slash, like `http://127.0.0.1:8080`.
    pub http: String,
    /// Without a trailing slash, like `rtmp://127.0.0.1:1935`.
    pub rtmp: String,
}

impl Urls {
    /// The configured beginnings, else the addresses really listened on. A wildcard address is
    /// written as loopback: nobody can connect to `0.0.0.0`.
    pub fn new(config: &Config, http: SocketAddr, rtmp: SocketAddr) -> Self {
        let or_address = |url: &Option<String>, scheme: &str, address: SocketAddr| {
            url.clone()
                .unwrap_or_else(|| format!("{scheme}://{}", reachable(address)))
        };
        Self {
            http: or_address(&config.http.public_url, "http", http),
            rtmp: or_address(&config.rtmp.public_url, "rtmp", rtmp),
        }
    }
    /// The multivariant playlist.
    pub fn playlist(&self, uid: &StreamUid) -> String {
        format!("{}/live/{uid}/index.m3u8", self.http)
    }
    /// The watch page.
    pub fn watch(&self, uid: &StreamUid) -> String {
        format!("{}/watch/{uid}", self.http)
    }
    /// The server an encoder is pointed at.
    pub fn rtmp_server(&self) -> String {
        format!("{}/live", self.rtmp)
    }
    /// Server and key in one, as ffmpeg wants it. Secret.
    pub fn rtmp_publish(&self, key: &StreamKey) -> String {
        format!("{}/live/{}", self.rtmp, key.as_str())
    }
}

fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_urls_come_from_the_configuration_or_the_addresses() {
        let mut config = Config::default();
        let (http, rtmp) = ("0.0.0.0:80", "[::]:1935");
        let urls = Urls::new(&config, http.parse().unwrap(), rtmp.parse().unwrap());
        let uid = StreamUid::parse("AAAAAAAAAAAAAAAAAAAAAA").unwrap();
        let playlist = "http://127.0.0.1:80/live/AAAAAAAAAAAAAAAAAAAAAA/index.m3u8";
        assert_eq!(urls.playlist(&uid), playlist);
        assert_eq!(urls.rtmp_server(), "rtmp://[::1]:1935/live");
        config.http.public_url = Some("https://a.example".into());
        config.rtmp.public_url = Some("rtmps://b.example".into());
        let urls = Urls::new(&config, http.parse().unwrap(), rtmp.parse().unwrap());
        assert!(urls.watch(&uid).starts_with("https://a.example/watch/"));
        assert_eq!(urls.rtmp_server(), "rtmps://b.example/live");
    }
}
