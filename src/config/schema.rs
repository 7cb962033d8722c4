//! Every key: its name, its type and range, and the field it sets. It does not know where a value
//! was written.

use std::time::Duration;

use super::{
    Backend, Config, LogFormat, OnSecondPublisher, SlateMode,
    value::{Parsed, Value},
};

/// One known key.
pub(super) struct Key {
    /// Dotted, as in the contract.
    pub(super) name: &'static str,
    /// Parses the value into its field; the refusal says what was expected.
    pub(super) set: fn(&mut Config, &Value) -> Parsed<()>,
}

macro_rules! keys {
    ($($name:literal |$config:ident, $value:ident| $field:expr, $parsed:expr;)*) => {
        /// The whole schema, in the order of the sample file.
        pub(super) static KEYS: &[Key] = &[$(Key {
            name: $name,
            set: |$config, $value| {
                $field = $parsed?;
                Ok(())
            },
        }),*];
    };
}

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}
const fn s(n: u64) -> Duration {
    Duration::from_secs(n)
}
const fn m(n: u64) -> Duration {
    Duration::from_mins(n)
}
const fn d(n: u64) -> Duration {
    Duration::from_hours(24 * n)
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;
/// More connections than one process gets file descriptors for.
const CONNECTIONS_MAX: usize = 10_000_000;
const HTTP: &[&str] = &["http", "https"];
const RTMP: &[&str] = &["rtmp", "rtmps"];

keys! {
    "data_dir" |c, v| c.data_dir, v.path();
    "shutdown_grace" |c, v| c.shutdown_grace, v.duration(s(0)..=m(10));

    "log.level" |c, v| c.log.level, v.log_level();
    "log.format" |c, v| c.log.format,
        v.choice(&[("pretty", LogFormat::Pretty), ("json", LogFormat::Json)]);

    "http.listen" |c, v| c.http.listen, v.address();
    "http.public_url" |c, v| c.http.public_url, v.optional(|v| v.url(HTTP));
    "http.allowed_origins" |c, v| c.http.allowed_origins, v.list_of(|v| v.url(HTTP));
    "http.trusted_proxies" |c, v| c.http.trusted_proxies, v.list_of(Value::network);
    "http.tls.cert" |c, v| c.http.tls.cert, v.optional(Value::path);
    "http.tls.key" |c, v| c.http.tls.key, v.optional(Value::path);

    "rtmp.listen" |c, v| c.rtmp.listen, v.address();
    "rtmp.public_url" |c, v| c.rtmp.public_url, v.optional(|v| v.url(RTMP));
    "rtmp.idle_timeout" |c, v| c.rtmp.idle_timeout, v.duration(ms(100)..=m(60));
    "rtmp.on_second_publisher" |c, v| c.rtmp.on_second_publisher,
        v.choice(&[("replace", OnSecondPublisher::Replace), ("reject", OnSecondPublisher::Reject)]);
    "rtmp.receive_mark" |c, v| c.rtmp.receive_mark, v.memory(1..=MIB);
    "rtmp.receive_wait" |c, v| c.rtmp.receive_wait, v.duration(ms(10)..=s(1));
    "rtmp.tls.listen" |c, v| c.rtmp.tls.listen, v.optional(Value::address);
    "rtmp.tls.cert" |c, v| c.rtmp.tls.cert, v.optional(Value::path);
    "rtmp.tls.key" |c, v| c.rtmp.tls.key, v.optional(Value::path);

    // At least 1 s: EXT-X-TARGETDURATION is a whole number of seconds.
    "hls.target_duration" |c, v| c.hls.target_duration, v.duration(s(1)..=s(60));
    "hls.max_segment" |c, v| c.hls.max_segment, v.duration(s(1)..=s(60));
    // RFC 8216 6.2.2 wants three target durations at least.
    "hls.window_segments" |c, v| c.hls.window_segments, v.count(3..=10_000);
    "hls.dvr_window" |c, v| c.hls.dvr_window, v.duration(s(0)..=d(1));
    "hls.reconnect_grace" |c, v| c.hls.reconnect_grace, v.duration(s(0)..=d(1));

    "slate.mode" |c, v| c.slate.mode, v.choice(&[
        ("card", SlateMode::Card), ("freeze", SlateMode::Freeze), ("file", SlateMode::File)]);
    "slate.file" |c, v| c.slate.file, v.optional(Value::path);
    "slate.max_pause" |c, v| c.slate.max_pause, v.duration(s(1)..=d(7));

    "storage.backend" |c, v| c.storage.backend,
        v.choice(&[("disk", Backend::Disk), ("memory", Backend::Memory), ("s3", Backend::S3)]);
    "storage.required" |c, v| c.storage.required, v.switch();
    "storage.list_deadline" |c, v| c.storage.list_deadline, v.duration(s(0)..=s(10));
    "storage.recordings_retention" |c, v| c.storage.recordings_retention,
        v.duration(s(0)..=d(36_500));
    "storage.disk.root" |c, v| c.storage.disk_root, v.path();
    "storage.s3.endpoint" |c, v| c.storage.s3.endpoint, v.optional(|v| v.url(HTTP));
    "storage.s3.bucket" |c, v| c.storage.s3.bucket, v.optional(Value::text);
    "storage.s3.region" |c, v| c.storage.s3.region, v.optional(Value::text);
    "storage.s3.prefix" |c, v| c.storage.s3.prefix, v.optional(Value::key_prefix);
    "storage.s3.force_path_style" |c, v| c.storage.s3.force_path_style, v.switch();
    "storage.s3.access_key_id" |c, v| c.storage.s3.access_key_id,
        v.optional(Value::hidden);
    "storage.s3.secret_access_key" |c, v| c.storage.s3.secret_access_key,
        v.optional(Value::hidden);
    "storage.s3.public_base_url" |c, v| c.storage.s3.public_base_url,
        v.optional(|v| v.base_url(HTTP));

    "database.path" |c, v| c.database_path, v.path();

    "auth.jwt_secret_file" |c, v| c.auth.jwt_secret_file, v.path();
    "auth.token_ttl" |c, v| c.auth.token_ttl, v.duration(s(1)..=d(365));
    "auth.refresh_for" |c, v| c.auth.refresh_for, v.duration(s(1)..=d(3650));
    "auth.require_activation" |c, v| c.auth.require_activation, v.switch();

    "smtp.url" |c, v| c.smtp.url, v.optional(Value::hidden);
    "smtp.from" |c, v| c.smtp.from, v.optional(Value::text);

    "hub.slow_grace" |c, v| c.hub.slow_grace, v.duration(ms(100)..=m(10));
    "hub.queue_frames" |c, v| c.hub.queue_frames, v.count(1..=1_000_000);
    "hub.queue_bytes" |c, v| c.hub.queue_bytes, v.memory(16 * KIB..=GIB);
    "hub.history" |c, v| c.hub.history, v.count(0..=10_000);
    "hub.linger" |c, v| c.hub.linger, v.duration(s(0)..=d(1));

    "chat.max_chars" |c, v| c.chat.max_chars, v.count(1..=10_000);
    "chat.burst" |c, v| c.chat.burst, v.count(1..=10_000);
    "chat.per" |c, v| c.chat.per, v.duration(ms(1)..=d(1));
    "chat.slow" |c, v| c.chat.slow, v.duration(s(0)..=d(1));
    "chat.blocked_words" |c, v| c.chat.blocked_words, v.list();

    "questions.moderated" |c, v| c.questions.moderated, v.switch();
    "questions.max_chars" |c, v| c.questions.max_chars, v.count(1..=10_000);
    "questions.per" |c, v| c.questions.per, v.duration(s(0)..=d(1));

    "voice.ice_servers" |c, v| c.voice.ice_servers, v.list();
    "voice.turn_urls" |c, v| c.voice.turn_urls, v.list();
    "voice.turn_secret_file" |c, v| c.voice.turn_secret_file, v.optional(Value::path);
    "voice.max_speakers" |c, v| c.voice.max_speakers, v.count(1..=100);

    "thumbnail.interval" |c, v| c.thumbnail_interval, v.duration(s(1)..=m(60));
    "thumbnail.wait" |c, v| c.thumbnail_wait, v.duration(ms(0)..=m(1));

    "metrics.allow" |c, v| c.metrics_allow, v.list_of(Value::network);

    "limits.memory_budget" |c, v| c.limits.memory_budget, v.size(MIB..=64 * TIB);
    "limits.segment_bytes" |c, v| c.limits.segment_bytes, v.memory(64 * KIB..=GIB);
    "limits.sockets_per_address" |c, v| c.limits.sockets_per_address,
        v.count(1..=CONNECTIONS_MAX);
    "limits.http_connections" |c, v| c.limits.http_connections, v.count(1..=CONNECTIONS_MAX);
    "limits.rtmp_connections" |c, v| c.limits.rtmp_connections, v.count(1..=CONNECTIONS_MAX);
    "limits.pollers" |c, v| c.limits.pollers, v.count(1..=CONNECTIONS_MAX);
    "limits.questions_kept" |c, v| c.limits.questions_kept, v.count(1..=100_000);
    "limits.voice_queue" |c, v| c.limits.voice_queue, v.count(1..=10_000);
    // An offer for sound alone has about 2 KiB.
    "limits.voice_signal_bytes" |c, v| c.limits.voice_signal_bytes,
        v.memory(4 * KIB..=64 * KIB);
    "limits.voice_signal_burst" |c, v| c.limits.voice_signal_burst, v.count(1..=10_000);
    "limits.rtmp_chunk_streams" |c, v| c.limits.rtmp_chunk_streams, v.count(4..=65_600);
    // An RTMP message's length has 24 bits.
    "limits.rtmp_message_bytes" |c, v| c.limits.rtmp_message_bytes,
        v.memory(4 * KIB..=16 * MIB);
    "limits.rtmp_partial_bytes" |c, v| c.limits.rtmp_partial_bytes, v.memory(4 * KIB..=GIB);
    // Deeper nesting could exhaust a stack; a connect command needs two levels.
    "limits.rtmp_amf_depth" |c, v| c.limits.rtmp_amf_depth, v.count(2..=64);
    "limits.rtmp_amf_values" |c, v| c.limits.rtmp_amf_values, v.count(64..=1_000_000);
    "limits.rtmp_message_streams" |c, v| c.limits.rtmp_message_streams, v.count(1..=10_000);
    "limits.rtmp_preauth_bytes" |c, v| c.limits.rtmp_preauth_bytes, v.memory(8 * KIB..=GIB);
    "limits.rtmp_handshake_timeout" |c, v| c.limits.rtmp_handshake_timeout,
        v.duration(ms(100)..=m(10));
    "limits.tls_handshake_timeout" |c, v| c.limits.tls_handshake_timeout,
        v.duration(ms(100)..=m(10));
    "limits.rtmp_publish_timeout" |c, v| c.limits.rtmp_publish_timeout,
        v.duration(ms(100)..=m(10));
    // hyper's read buffer is at least 8 KiB.
    "limits.http_header_bytes" |c, v| c.limits.http_header_bytes, v.memory(8 * KIB..=MIB);
    "limits.http_header_timeout" |c, v| c.limits.http_header_timeout,
        v.duration(ms(100)..=m(10));
    "limits.http_write_timeout" |c, v| c.limits.http_write_timeout,
        v.duration(ms(100)..=m(10));
    "limits.http_idle_timeout" |c, v| c.limits.http_idle_timeout,
        v.duration(ms(100)..=m(60));
    "limits.archive_bytes" |c, v| c.limits.archive_bytes, v.size(64 * KIB..=TIB);
    "limits.store_deadline" |c, v| c.limits.store_deadline, v.duration(ms(100)..=m(10));
    "limits.store_reads" |c, v| c.limits.store_reads, v.count(1..=10_000);
    "limits.slate_file_bytes" |c, v| c.limits.slate_file_bytes,
        v.memory(64 * KIB..=4 * GIB);
    "limits.ended_window" |c, v| c.limits.ended_window, v.duration(s(1)..=m(60));
    "limits.recordings_open" |c, v| c.limits.recordings_open, v.count(1..=10_000);
    "limits.downloads" |c, v| c.limits.downloads, v.count(0..=100_000);
    "limits.live_streams" |c, v| c.limits.live_streams, v.count(1..=1_000_000);
    "limits.db_queue" |c, v| c.limits.db_queue, v.count(1..=1_000_000);
    "limits.body_bytes" |c, v| c.limits.body_bytes, v.memory(KIB..=64 * MIB);
    "limits.image_bytes" |c, v| c.limits.image_bytes, v.memory(KIB..=64 * MIB);
    "limits.http_body_timeout" |c, v| c.limits.http_body_timeout,
        v.duration(ms(100)..=m(10));
    "limits.cached_users" |c, v| c.limits.cached_users, v.count(1..=10_000_000);
    "limits.room_writes" |c, v| c.limits.room_writes, v.count(64..=1_000_000);
    "limits.hub_members" |c, v| c.limits.hub_members, v.count(1..=CONNECTIONS_MAX);
    "limits.hub_sockets_per_address" |c, v| c.limits.hub_sockets_per_address,
        v.count(1..=CONNECTIONS_MAX);
    "limits.hub_sockets_per_user" |c, v| c.limits.hub_sockets_per_user,
        v.count(1..=CONNECTIONS_MAX);
    "limits.hub_frame_bytes" |c, v| c.limits.hub_frame_bytes, v.memory(KIB..=MIB);
    "limits.hub_frames_per_s" |c, v| c.limits.hub_frames_per_s, v.count(1..=1_000_000);
    "limits.hub_ping" |c, v| c.limits.hub_ping, v.duration(ms(100)..=m(10));
    "limits.hub_reload_grace" |c, v| c.limits.hub_reload_grace, v.duration(s(0)..=m(1));
    "limits.logins_at_once" |c, v| c.limits.logins_at_once, v.count(1..=1000);
    "limits.logins_waiting" |c, v| c.limits.logins_waiting, v.count(0..=1_000_000);
    "limits.login_attempts" |c, v| c.limits.login_attempts, v.count(1..=1_000_000);
    "limits.login_attempts_per_address" |c, v| c.limits.login_attempts_per_address,
        v.count(1..=1_000_000);
    "limits.login_window" |c, v| c.limits.login_window, v.duration(s(1)..=d(1));
    "limits.login_subjects" |c, v| c.limits.login_subjects, v.count(1..=10_000_000);
    "limits.code_ttl" |c, v| c.limits.code_ttl, v.duration(s(1)..=d(7));
    "limits.code_rest" |c, v| c.limits.code_rest, v.duration(s(0)..=d(1));
    "limits.account_mails" |c, v| c.limits.account_mails, v.count(1..=1_000_000);
    "limits.mail_queue" |c, v| c.limits.mail_queue, v.count(1..=1_000_000);
    "limits.mail_deadline" |c, v| c.limits.mail_deadline, v.duration(ms(100)..=m(10));
    "limits.background_calls" |c, v| c.limits.background_calls, v.count(1..=100_000);
}
