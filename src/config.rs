//! The configuration: TOML, environment and flags resolved into one immutable [`Config`]. It does
//! not open anything that it names. Field names are the contract's keys; durations are
//! [`Duration`], sizes are bytes.

mod later;
mod limits;
mod load;
mod network;
mod s3;
mod schema;
mod tls;
mod value;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

pub use later::{Chat, Hidden, Hub, Questions, Slate, SlateMode, Smtp, Voice};
pub use limits::Limits;
pub use network::Network;
pub use s3::S3;
pub use tls::{RtmpTls, Tls};

/// Everything that can be configured.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where everything is kept that has no path of its own.
    pub data_dir: PathBuf,
    /// Longest time from SIGTERM to the exit.
    pub shutdown_grace: Duration,
    /// `log.*`.
    pub log: Log,
    /// `http.*`.
    pub http: Http,
    /// `rtmp.*`.
    pub rtmp: Rtmp,
    /// `hls.*`.
    pub hls: Hls,
    /// `slate.*`.
    pub slate: Slate,
    /// `storage.*`.
    pub storage: Storage,
    /// `database.path`.
    pub database_path: PathBuf,
    /// `auth.*`.
    pub auth: Auth,
    /// `smtp.*`.
    pub smtp: Smtp,
    /// `hub.*`.
    pub hub: Hub,
    /// `chat.*`.
    pub chat: Chat,
    /// `questions.*`.
    pub questions: Questions,
    /// `voice.*`.
    pub voice: Voice,
    /// `thumbnail.interval`.
    pub thumbnail_interval: Duration,
    /// `thumbnail.wait`.
    pub thumbnail_wait: Duration,
    /// `limits.*`.
    pub limits: Limits,
    /// `metrics.allow`.
    pub metrics_allow: Vec<Network>,
    /// What the operator should know though it is no error, a line each; logged at start.
    pub warnings: Vec<String>,
}

/// Logging.
#[derive(Clone, Debug, PartialEq)]
pub struct Log {
    /// A level, or `target=level` directives joined by commas.
    pub level: String,
    /// How a line looks.
    pub format: LogFormat,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
}

/// The HTTP side.
#[derive(Clone, Debug, PartialEq)]
pub struct Http {
    /// Address to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// What public URLs begin with, without a trailing slash.
    pub public_url: Option<String>,
    /// Origins of other sites that may use the REST API and the WebSocket.
    pub allowed_origins: Vec<String>,
    /// Proxies whose forwarded client address is believed.
    pub trusted_proxies: Vec<Network>,
    /// `http.tls.*`.
    pub tls: Tls,
}

/// The RTMP side.
#[derive(Clone, Debug, PartialEq)]
pub struct Rtmp {
    /// Address to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// What publish URLs begin with, without a trailing slash.
    pub public_url: Option<String>,
    /// A publisher that sends no media for so long loses its claim.
    pub idle_timeout: Duration,
    /// What happens when a second one comes with the same key.
    pub on_second_publisher: OnSecondPublisher,
    /// Bytes of a publisher that are read together, but around its key frames; 1 reads as they come.
    pub receive_mark: usize,
    /// How long fewer bytes than that wait.
    pub receive_wait: Duration,
    /// `rtmp.tls.*`.
    pub tls: RtmpTls,
}

/// What happens to a second publisher of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnSecondPublisher {
    /// It takes over and the first is closed.
    Replace,
    /// It is refused.
    Reject,
}

/// Segments and playlists.
#[derive(Clone, Debug, PartialEq)]
pub struct Hls {
    /// Length that segments aim at.
    pub target_duration: Duration,
    /// Longest segment, for encoders with rare key frames.
    pub max_segment: Duration,
    /// Segments listed in a live playlist.
    pub window_segments: usize,
    /// Media listed at least, for rewinding; zero leaves it to `window_segments`.
    pub dvr_window: Duration,
    /// A stream without a publisher for so long is finished.
    pub reconnect_grace: Duration,
}

/// Where finished objects go.
#[derive(Clone, Debug, PartialEq)]
pub struct Storage {
    /// Which backend.
    pub backend: Backend,
    /// Longest wait for a segment's write before it is listed.
    pub list_deadline: Duration,
    /// `storage.disk.root`.
    pub disk_root: PathBuf,
    /// Recordings older than this are deleted; zero keeps them.
    pub recordings_retention: Duration,
    /// Whether the server refuses to start without its storage.
    pub required: bool,
    /// `storage.s3.*`.
    pub s3: S3,
}

/// Storage backends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// Files under `storage.disk.root`.
    Disk,
    /// Process memory, within `limits.memory_budget`; gone after a restart.
    Memory,
    /// A bucket, `storage.s3.*`.
    S3,
}

/// Logins and secrets.
#[derive(Clone, Debug, PartialEq)]
pub struct Auth {
    /// The server's secret; made at first boot.
    pub jwt_secret_file: PathBuf,
    /// How long a login token is valid.
    pub token_ttl: Duration,
    /// How long after the login a token may be renewed.
    pub refresh_for: Duration,
    /// Whether accounts wait for a mailed code; unless set, whether `smtp.url` is.
    pub require_activation: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self::in_directory(PathBuf::from("data"))
    }
}

impl Config {
    /// The defaults, with everything that is kept under `data_dir`.
    pub fn in_directory(data_dir: PathBuf) -> Self {
        Self {
            shutdown_grace: Duration::from_secs(10),
            log: Log {
                level: "info".into(),
                format: LogFormat::Pretty,
            },
            http: Http {
                listen: SocketAddr::from(([0, 0, 0, 0], 8080)),
                public_url: None,
                allowed_origins: vec![],
                trusted_proxies: vec![],
                tls: Tls::default(),
            },
            rtmp: Rtmp {
                listen: SocketAddr::from(([0, 0, 0, 0], 1935)),
                public_url: None,
                idle_timeout: Duration::from_secs(10),
                on_second_publisher: OnSecondPublisher::Replace,
                receive_mark: 128 << 10,
                receive_wait: Duration::from_millis(250),
                tls: RtmpTls::default(),
            },
            hls: Hls {
                target_duration: Duration::from_secs(2),
                max_segment: Duration::from_secs(10),
                window_segments: 6,
                dvr_window: Duration::ZERO,
                reconnect_grace: Duration::from_secs(60),
            },
            slate: Slate::default(),
            storage: Storage {
                backend: Backend::Disk,
                list_deadline: Duration::from_millis(100),
                disk_root: data_dir.join("media"),
                recordings_retention: Duration::ZERO,
                required: true,
                s3: S3::default(),
            },
            database_path: data_dir.join("cauce.db"),
            auth: Auth {
                jwt_secret_file: data_dir.join("jwt.key"),
                token_ttl: Duration::from_hours(1),
                refresh_for: Duration::from_hours(30 * 24),
                require_activation: false,
            },
            smtp: Smtp::default(),
            hub: Hub::default(),
            chat: Chat::default(),
            questions: Questions::default(),
            voice: Voice::default(),
            thumbnail_interval: Duration::from_secs(10),
            thumbnail_wait: Duration::from_secs(1),
            limits: Limits::default(),
            metrics_allow: loopback(),
            warnings: vec![],
            data_dir,
        }
    }
}

/// `127.0.0.0/8` and `::1`.
fn loopback() -> Vec<Network> {
    ["127.0.0.0/8", "::1/128"]
        .iter()
        .map(|text| text.parse().expect("constant networks parse"))
        .collect()
}

#[cfg(test)]
mod tests;
