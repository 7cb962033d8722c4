//! What parts tell each other without importing each other: stream events, and the one place that
//! writes public URLs. It does not know who listens.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{PoisonError, RwLock},
};

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
    /// A publisher came, pending to live or back within the grace, or a silent one sends again.
    Live,
    /// The publisher went and the grace runs, or nothing comes from it.
    Reconnecting,
    /// The owner paused it: the slate is shown.
    Paused,
    /// The owner resumed it.
    Resumed,
    /// It ended.
    Finished,
}

/// People in each stream's room: the hub writes it, the API reads it.
#[derive(Debug, Default)]
pub struct Audience {
    people: RwLock<HashMap<StreamUid, usize>>,
}

impl Audience {
    /// Notes how many people are in a stream's room.
    pub fn set_people(&self, uid: &StreamUid, people: usize) {
        let mut all = self.people.write().unwrap_or_else(PoisonError::into_inner);
        match people {
            0 => drop(all.remove(uid)),
            _ => drop(all.insert(uid.clone(), people)),
        }
    }

    /// How many people are in a stream's room.
    pub fn people(&self, uid: &StreamUid) -> usize {
        let all = self.people.read().unwrap_or_else(PoisonError::into_inner);
        all.get(uid).copied().unwrap_or(0)
    }
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
    /// The configured beginnings, else the addresses really listened on; `rtmp` is that of RTMPS
    /// where there is one. A wildcard address is written as loopback: nobody can connect to `0.0.0.0`.
    pub fn new(config: &Config, http: SocketAddr, rtmp: SocketAddr) -> Self {
        let or_address = |url: &Option<String>, scheme: &str, address: SocketAddr| {
            url.clone()
                .unwrap_or_else(|| format!("{scheme}://{}", reachable(address)))
        };
        Self {
            http: or_address(&config.http.public_url, http_scheme(config), http),
            rtmp: or_address(&config.rtmp.public_url, rtmp_scheme(config), rtmp),
        }
    }
    /// As a client reaches this server that asked for `host` (a Host header's value) over `https` or
    /// plain HTTP: unless the configuration says otherwise, with the name that the client used.
    #[must_use]
    pub fn seen_by(&self, config: &Config, host: Option<&str>, https: bool) -> Self {
        let Some((name, port)) = host.and_then(host_and_port) else {
            return self.clone();
        };
        let scheme = if https { "https" } else { "http" };
        let http = match &config.http.public_url {
            Some(url) => url.clone(),
            None => format!("{scheme}://{name}{port}"),
        };
        let rtmp = match &config.rtmp.public_url {
            Some(url) => url.clone(),
            // The same name, and the port that RTMP is on.
            None => match self.rtmp.rsplit_once(':') {
                Some((_, rtmp_port)) => format!("{}://{name}:{rtmp_port}", rtmp_scheme(config)),
                None => self.rtmp.clone(),
            },
        };
        Self { http, rtmp }
    }
    /// The multivariant playlist.
    pub fn playlist(&self, uid: &StreamUid) -> String {
        format!("{}/live/{uid}/index.m3u8", self.http)
    }
    /// The media playlist of `source`.
    pub fn media(&self, uid: &StreamUid) -> String {
        format!("{}/live/{uid}/source/index.m3u8", self.http)
    }
    /// The thumbnail.
    pub fn thumbnail(&self, uid: &StreamUid) -> String {
        format!("{}/live/{uid}/thumbnail.jpg", self.http)
    }
    /// The room's WebSocket.
    pub fn websocket(&self, uid: &StreamUid) -> String {
        // http -> ws, https -> wss
        let rest = self.http.strip_prefix("http").unwrap_or(&self.http);
        format!("ws{rest}/ws/streams/{uid}/")
    }
    /// A user's photo.
    pub fn photo(&self, name: &str) -> String {
        format!("{}/photos/{name}", self.http)
    }
    /// The studio page.
    pub fn studio(&self) -> String {
        format!("{}/studio", self.http)
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

fn http_scheme(config: &Config) -> &'static str {
    if config.http.is_tls() {
        "https"
    } else {
        "http"
    }
}

fn rtmp_scheme(config: &Config) -> &'static str {
    match config.rtmp.tls.listen {
        Some(_) => "rtmps",
        None => "rtmp",
    }
}

/// A Host header's name and `:port` (or nothing); `None` for what no URL may contain.
fn host_and_port(host: &str) -> Option<(&str, &str)> {
    const HOST_BYTES_MAX: usize = 255 + 6;
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b);
    if host.is_empty() || host.len() > HOST_BYTES_MAX || !host.bytes().all(allowed) {
        return None;
    }
    let name_end = match host.strip_prefix('[') {
        Some(_) => host.find(']')? + 1,
        None => host.find(':').unwrap_or(host.len()),
    };
    let (name, port) = host.split_at(name_end);
    let digits = port.strip_prefix(':').unwrap_or("0");
    let is_port = digits.parse::<u16>().is_ok() && digits.bytes().all(|b| b.is_ascii_digit());
    let is_name = match name.strip_prefix('[') {
        Some(rest) => rest.trim_end_matches(']').parse::<Ipv6Addr>().is_ok(),
        None => !name.is_empty() && !name.contains(['[', ']']),
    };
    (is_name && is_port).then_some((name, port))
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
    fn a_client_is_given_the_name_it_used() {
        let mut config = Config::default();
        let address = |text: &str| text.parse().unwrap();
        let urls = Urls::new(
            &config,
            address("127.0.0.1:8080"),
            address("127.0.0.1:1936"),
        );
        let seen = |config: &Config, host: &str, https| {
            let urls = urls.seen_by(config, Some(host), https);
            (urls.http, urls.rtmp)
        };
        let pair = |http: &str, rtmp: &str| (http.to_owned(), rtmp.to_owned());
        let (a, b) = ("http://media.example:81", "rtmp://media.example:1936");
        assert_eq!(seen(&config, "media.example:81", false), pair(a, b));
        let (a, b) = ("https://[::1]", "rtmp://[::1]:1936");
        assert_eq!(seen(&config, "[::1]", true), pair(a, b));
        let own = pair("http://127.0.0.1:8080", "rtmp://127.0.0.1:1936");
        for bad in [
            "", "a/b", "a\"b", "a b", "a:b", "a:1:2", "[a]", "[::1", ":80", "a:99999", "[]",
        ] {
            assert_eq!(seen(&config, bad, false), own, "{bad}");
        }
        config.http.public_url = Some("https://cdn.example".into());
        config.rtmp.public_url = Some("rtmp://in.example".into());
        let configured = pair("https://cdn.example", "rtmp://in.example");
        assert_eq!(seen(&config, "other", false), configured);
    }

    #[test]
    fn tls_shows_in_every_url() {
        let mut config = Config::default();
        config.http.tls.cert = Some("cert.pem".into());
        config.rtmp.tls.listen = Some(([127, 0, 0, 1], 1936).into());
        let urls = Urls::new(&config, ([0, 0, 0, 0], 443).into(), config.rtmp.told());
        assert_eq!(urls.http, "https://127.0.0.1:443");
        assert_eq!(urls.rtmp, "rtmps://127.0.0.1:1936");
        let seen = urls.seen_by(&config, Some("media.example"), true);
        assert_eq!(seen.rtmp, "rtmps://media.example:1936");
        let uid = StreamUid::parse("AAAAAAAAAAAAAAAAAAAAAA").unwrap();
        let socket = "wss://media.example/ws/streams/AAAAAAAAAAAAAAAAAAAAAA/";
        assert_eq!(seen.websocket(&uid), socket);
    }

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
