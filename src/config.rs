//! The configuration: raw TOML and environment resolved into one immutable [`Config`]. It does not
//! open anything that it names. Field names are the contract's keys; durations are [`Duration`],
//! sizes are bytes.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

/// Everything that can be configured.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub data_dir: PathBuf,
    pub shutdown_grace: Duration,
    pub log: Log,
    pub http: Http,
    pub rtmp: Rtmp,
    pub hls: Hls,
    pub storage: Storage,
    /// `database.path`.
    pub database_path: PathBuf,
    pub auth: Auth,
    /// `thumbnail.interval`.
    pub thumbnail_interval: Duration,
    pub limits: Limits,
    /// `metrics.allow`.
    pub metrics_allow: Vec<Network>,
}
#[derive(Clone, Debug, PartialEq)]
pub struct Log {
    pub level: String,
    pub format: LogFormat,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Pretty,
    Json,
}
#[derive(Clone, Debug, PartialEq)]
pub struct Http {
    pub listen: SocketAddr,
    pub public_url: Option<String>,
    pub allowed_origins: Vec<String>,
    pub trusted_proxies: Vec<Network>,
}
#[derive(Clone, Debug, PartialEq)]
pub struct Rtmp {
    pub listen: SocketAddr,
    pub public_url: Option<String>,
    pub idle_timeout: Duration,
    pub on_second_publisher: OnSecondPublisher,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnSecondPublisher {
    Replace,
    Reject,
}
#[derive(Clone, Debug, PartialEq)]
pub struct Hls {
    pub target_duration: Duration,
    pub max_segment: Duration,
    pub window_segments: usize,
    pub dvr_window: Duration,
    pub reconnect_grace: Duration,
}
#[derive(Clone, Debug, PartialEq)]
pub struct Storage {
    pub backend: Backend,
    pub list_deadline: Duration,
    pub disk_root: PathBuf,
    pub recordings_retention: Duration,
    pub required: bool,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    Disk,
    Memory,
}
#[derive(Clone, Debug, PartialEq)]
pub struct Auth {
    pub jwt_secret_file: PathBuf,
}
/// An address block such as `127.0.0.0/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    pub address: IpAddr,
    pub prefix: u8,
}

/// Every cap on what a peer can make the server hold, wait for or do.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Finished segments kept in memory, bytes, all streams together [512 MiB].
    pub memory_budget: u64,
    /// One open segment, bytes [16 MiB].
    pub segment_bytes: usize,
    /// HTTP connections per client address [2000].
    pub sockets_per_address: usize,
    /// [20000]
    pub http_connections: usize,
    /// [1000]
    pub rtmp_connections: usize,
    /// Distinct client addresses remembered for `viewers` [100000].
    pub pollers: usize,
    /// Chunk streams a connection may open [64].
    pub rtmp_chunk_streams: usize,
    /// One RTMP message, bytes [8 MiB].
    pub rtmp_message_bytes: usize,
    /// Sum of a connection's half-received messages, bytes [12 MiB].
    pub rtmp_partial_bytes: usize,
    /// Nesting of AMF0 values [16].
    pub rtmp_amf_depth: usize,
    /// AMF0 values in one message [1024].
    pub rtmp_amf_values: usize,
    /// Message streams a connection may create [8].
    pub rtmp_message_streams: usize,
    /// Bytes a connection may send before its publish is accepted [256 KiB].
    pub rtmp_preauth_bytes: usize,
    /// From accept to the end of the handshake [5 s].
    pub rtmp_handshake_timeout: Duration,
    /// From accept to an accepted publish [15 s].
    pub rtmp_publish_timeout: Duration,
    /// Request line and headers, bytes [16 KiB].
    pub http_header_bytes: usize,
    /// Time to receive them [10 s].
    pub http_header_timeout: Duration,
    /// A write that makes no progress for so long ends the connection [30 s].
    pub http_write_timeout: Duration,
    /// Bytes queued for storage, a stream [64 MiB].
    pub archive_bytes: u64,
    /// One attempt to write an object [10 s].
    pub store_deadline: Duration,
    /// Reads from the store at once [32].
    pub store_reads: usize,
    /// Streams with a publisher or window in memory [1000].
    pub live_streams: usize,
    /// Writes waiting for the database [4096].
    pub db_queue: usize,
}

impl Default for Config {
    fn default() -> Self {
        let data_dir = PathBuf::from("data");
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
            },
            rtmp: Rtmp {
                listen: SocketAddr::from(([0, 0, 0, 0], 1935)),
                public_url: None,
                idle_timeout: Duration::from_secs(10),
                on_second_publisher: OnSecondPublisher::Replace,
            },
            hls: Hls {
                target_duration: Duration::from_secs(2),
                max_segment: Duration::from_secs(10),
                window_segments: 6,
                dvr_window: Duration::ZERO,
                reconnect_grace: Duration::from_secs(60),
            },
            storage: Storage {
                backend: Backend::Disk,
                list_deadline: Duration::from_millis(100),
                disk_root: data_dir.join("media"),
                recordings_retention: Duration::ZERO,
                required: true,
            },
            database_path: data_dir.join("cauce.db"),
            auth: Auth {
                jwt_secret_file: data_dir.join("jwt.key"),
            },
            thumbnail_interval: Duration::from_secs(10),
            limits: Limits::default(),
            metrics_allow: vec![],
            data_dir,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        const KIB: usize = 1024;
        const MIB: usize = 1024 * KIB;
        Self {
            memory_budget: 512 * MIB as u64,
            segment_bytes: 16 * MIB,
            sockets_per_address: 2000,
            http_connections: 20_000,
            rtmp_connections: 1000,
            pollers: 100_000,
            rtmp_chunk_streams: 64,
            rtmp_message_bytes: 8 * MIB,
            rtmp_partial_bytes: 12 * MIB,
            rtmp_amf_depth: 16,
            rtmp_amf_values: 1024,
            rtmp_message_streams: 8,
            rtmp_preauth_bytes: 256 * KIB,
            rtmp_handshake_timeout: Duration::from_secs(5),
            rtmp_publish_timeout: Duration::from_secs(15),
            http_header_bytes: 16 * KIB,
            http_header_timeout: Duration::from_secs(10),
            http_write_timeout: Duration::from_secs(30),
            archive_bytes: 64 * MIB as u64,
            store_deadline: Duration::from_secs(10),
            store_reads: 32,
            live_streams: 1000,
            db_queue: 4096,
        }
    }
}
