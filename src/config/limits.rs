//! Every cap on what a peer can make the server hold, wait for or do, with its default. It does not
//! know who enforces which.

use std::time::Duration;

/// The keys under `limits.`; each field is the key of its name.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Finished segments kept in memory, bytes, all streams together [512 MiB].
    pub memory_budget: u64,
    /// One open segment, bytes [16 MiB].
    pub segment_bytes: usize,
    /// HTTP connections per client address [2000].
    pub sockets_per_address: usize,
    /// HTTP connections [20000].
    pub http_connections: usize,
    /// RTMP connections [1000].
    pub rtmp_connections: usize,
    /// Distinct client addresses remembered for `viewers` [100000].
    pub pollers: usize,
    /// Questions of one stream kept in memory [500]; all of them are in the database.
    pub questions_kept: usize,
    /// Raised hands and invitations of one stream [100].
    pub voice_queue: usize,
    /// One WebRTC signal as it is passed on, bytes [12 KiB].
    pub voice_signal_bytes: usize,
    /// WebRTC signals that one socket may send at once [200]; after that 20 a second.
    pub voice_signal_burst: usize,
    /// Chunk streams a connection may open [64].
    pub rtmp_chunk_streams: usize,
    /// One RTMP message, bytes [8 MiB, at most `segment_bytes`].
    pub rtmp_message_bytes: usize,
    /// Sum of a connection's half-received messages, bytes [12 MiB, at least `rtmp_message_bytes`].
    pub rtmp_partial_bytes: usize,
    /// Nesting of AMF0 values [16].
    pub rtmp_amf_depth: usize,
    /// AMF0 values in one message [1024].
    pub rtmp_amf_values: usize,
    /// Message streams a connection may create [8].
    pub rtmp_message_streams: usize,
    /// Bytes a connection may send before its publish is accepted [256 KiB].
    pub rtmp_preauth_bytes: usize,
    /// From accept to the end of a TLS handshake [5 s]; what is said inside has its own time.
    pub tls_handshake_timeout: Duration,
    /// From accept (or the end of the TLS handshake) to the end of RTMP's [5 s].
    pub rtmp_handshake_timeout: Duration,
    /// From accept to an accepted publish [15 s].
    pub rtmp_publish_timeout: Duration,
    /// Request line and headers, bytes [16 KiB].
    pub http_header_bytes: usize,
    /// Time to receive them [10 s].
    pub http_header_timeout: Duration,
    /// A write that makes no progress for so long ends the connection [30 s].
    pub http_write_timeout: Duration,
    /// Rest between two requests of a connection [75 s]: a player asks every target duration.
    pub http_idle_timeout: Duration,
    /// Bytes queued for storage, a stream [64 MiB].
    pub archive_bytes: u64,
    /// One attempt to write an object [10 s].
    pub store_deadline: Duration,
    /// Reads from the store at once [32].
    pub store_reads: usize,
    /// `slate.file`, bytes [64 MiB]: it is kept in memory.
    pub slate_file_bytes: usize,
    /// An ended stream's last window is shown for at least so long; then its recording, if there is
    /// one [30 s].
    pub ended_window: Duration,
    /// Recordings whose lists are kept in memory [16].
    pub recordings_open: usize,
    /// Recordings downloaded as one file at once, each with up to 1 MiB in memory [64].
    pub downloads: usize,
    /// Streams with a publisher or window in memory [1000].
    pub live_streams: usize,
    /// Writes waiting for the database [4096].
    pub db_queue: usize,
    /// One request's body, bytes, where it is no image [64 KiB].
    pub body_bytes: usize,
    /// One uploaded image, bytes [2 MiB].
    pub image_bytes: usize,
    /// Time to receive a body [30 s].
    pub http_body_timeout: Duration,
    /// Accounts remembered between two requests, so that the database is not asked for each [10000].
    pub cached_users: usize,
    /// Writes of rooms waiting for the database [10000]: past it what would write is refused.
    pub room_writes: usize,
    /// WebSockets in one room [20000].
    pub hub_members: usize,
    /// WebSockets of one client address [2000].
    pub hub_sockets_per_address: usize,
    /// WebSockets of one user [50].
    pub hub_sockets_per_user: usize,
    /// One WebSocket message of a client, bytes [16 KiB].
    pub hub_frame_bytes: usize,
    /// Messages a WebSocket may send each second, twice as many at once [50].
    pub hub_frames_per_s: usize,
    /// Between two pings; a socket that answers none of two is given up [25 s].
    pub hub_ping: Duration,
    /// Who is back in a room within it has not left it [3 s].
    pub hub_reload_grace: Duration,
    /// Passwords hashed at once, each with 19 MiB [1].
    pub logins_at_once: usize,
    /// Logins and new accounts waiting for that [256].
    pub logins_waiting: usize,
    /// Failed logins of one account in `login_window`; the last is already answered with the wait [10].
    pub login_attempts: usize,
    /// The same of one client address, whatever the accounts [100].
    pub login_attempts_per_address: usize,
    /// From the first failure to the end of the wait [5 min].
    pub login_window: Duration,
    /// Accounts and addresses whose failures are remembered [100000].
    pub login_subjects: usize,
    /// How long an activation code works; an account never activated gives its names back then [1 h].
    pub code_ttl: Duration,
    /// A login replaces no activation code that is younger [1 min].
    pub code_rest: Duration,
    /// Codes and reset links mailed to one account in `login_window` [5].
    pub account_mails: usize,
    /// Letters waiting for the mail server [1000].
    pub mail_queue: usize,
    /// One attempt to hand a letter to it [30 s].
    pub mail_deadline: Duration,
    /// Calls whose work goes on after their answer, at once [64].
    pub background_calls: usize,
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
            questions_kept: 500,
            voice_queue: 100,
            voice_signal_bytes: 12 * KIB,
            voice_signal_burst: 200,
            rtmp_chunk_streams: 64,
            rtmp_message_bytes: 8 * MIB,
            rtmp_partial_bytes: 12 * MIB,
            rtmp_amf_depth: 16,
            rtmp_amf_values: 1024,
            rtmp_message_streams: 8,
            rtmp_preauth_bytes: 256 * KIB,
            tls_handshake_timeout: Duration::from_secs(5),
            rtmp_handshake_timeout: Duration::from_secs(5),
            rtmp_publish_timeout: Duration::from_secs(15),
            http_header_bytes: 16 * KIB,
            http_header_timeout: Duration::from_secs(10),
            http_write_timeout: Duration::from_secs(30),
            http_idle_timeout: Duration::from_secs(75),
            archive_bytes: 64 * MIB as u64,
            store_deadline: Duration::from_secs(10),
            store_reads: 32,
            slate_file_bytes: 64 * MIB,
            ended_window: Duration::from_secs(30),
            recordings_open: 16,
            downloads: 64,
            live_streams: 1000,
            db_queue: 4096,
            body_bytes: 64 * KIB,
            image_bytes: 2 * MIB,
            http_body_timeout: Duration::from_secs(30),
            cached_users: 10_000,
            room_writes: 10_000,
            hub_members: 20_000,
            hub_sockets_per_address: 2000,
            hub_sockets_per_user: 50,
            hub_frame_bytes: 16 * KIB,
            hub_frames_per_s: 50,
            hub_ping: Duration::from_secs(25),
            hub_reload_grace: Duration::from_secs(3),
            logins_at_once: 1,
            logins_waiting: 256,
            login_attempts: 10,
            login_attempts_per_address: 100,
            login_window: Duration::from_mins(5),
            login_subjects: 100_000,
            code_ttl: Duration::from_hours(1),
            code_rest: Duration::from_mins(1),
            account_mails: 5,
            mail_queue: 1000,
            mail_deadline: Duration::from_secs(30),
            background_calls: 64,
        }
    }
}
