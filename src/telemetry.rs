//! Tracing and metrics, set up once for the process, and what each metric means. It does not know
//! when anything is counted.

use std::{
    io::IsTerminal,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use metrics::{counter, describe_counter, describe_gauge, gauge};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

use crate::{
    config::{Log, LogFormat},
    error::{Error, Kind, Result},
};

/// How often the registry folds what was recorded; bounds its memory.
const UPKEEP: Duration = Duration::from_secs(5);

/// Sends log lines to standard error from now on. `log.level` is a level or a list of directives
/// like `info,cauce::http=debug`. Only a process's first call has an effect.
///
/// # Errors
/// [`Kind::Config`] when `log.level` is neither.
pub fn start_log(log: &Log) -> Result<()> {
    let filter = EnvFilter::builder()
        .parse(&log.level)
        .map_err(|error| Error::with(Kind::Config, "log.level", error))?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    // Refused when a process starts a second server, as tests do: its log is there already.
    let _ = match log.format {
        LogFormat::Pretty => lines.try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    Ok(())
}

/// The process's metrics; the first call installs them.
///
/// # Errors
/// [`Kind::Internal`] when something else installed its own.
pub fn metrics() -> Result<PrometheusHandle> {
    static INSTALLED: Mutex<Option<PrometheusHandle>> = Mutex::new(None);
    let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = &*installed {
        return Ok(handle.clone());
    }
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder)
        .map_err(|error| Error::new(Kind::Internal, format!("cannot install metrics: {error}")))?;
    describe();
    *installed = Some(handle.clone());
    Ok(handle)
}

/// Keeps the registry small. Never returns.
pub async fn keep_up(handle: PrometheusHandle) {
    let mut tick = tokio::time::interval(UPKEEP);
    loop {
        tick.tick().await;
        handle.run_upkeep();
    }
}

/// Counters and what `/metrics` says beside each; `rtmp` describes its own.
const COUNTERS: [(&str, &str); 26] = [
    (
        "cauce_abandoned_segments_total",
        "Segments that the store never took, given up",
    ),
    (
        "cauce_db_commits_total",
        "Transactions of the database, by whether they succeeded",
    ),
    (
        "cauce_db_writes_total",
        "Writes asked of the database; several share a transaction",
    ),
    ("cauce_http_bytes_total", "Body bytes handed to clients"),
    (
        "cauce_http_connections_cut_total",
        "HTTP connections refused or ended by the server, by reason",
    ),
    (
        "cauce_http_handed_over_total",
        "HTTP connections that asked for more than the short way of playlists and segments answers",
    ),
    ("cauce_http_requests_total", "Answers by route and status"),
    (
        "cauce_hub_closed_total",
        "WebSockets closed by the server, by close code",
    ),
    (
        "cauce_hub_frames_dropped_total",
        "Frames that slow members were not sent",
    ),
    (
        "cauce_hub_refused_total",
        "WebSocket frames of clients answered by an error",
    ),
    (
        "cauce_hub_resyncs_total",
        "Times a slow member was told to start anew",
    ),
    (
        "cauce_ingest_dropped_total",
        "Media tags dropped, by reason",
    ),
    ("cauce_mails_total", "Letters by outcome"),
    (
        "cauce_recording_segments_lost_total",
        "Segments missing in recordings that were closed",
    ),
    (
        "cauce_recordings_closed_total",
        "Recordings closed, by outcome",
    ),
    (
        "cauce_recordings_shed_total",
        "Recordings deleted because the store was full",
    ),
    (
        "cauce_room_writes_failed_total",
        "Times the database refused rows of chat and questions, which are tried again",
    ),
    (
        "cauce_room_writes_lost_total",
        "Rows of chat and questions that were never kept",
    ),
    (
        "cauce_room_writes_refused_total",
        "Messages refused because too many rows waited for the database",
    ),
    ("cauce_segment_bytes_total", "Bytes of the segments listed"),
    ("cauce_segments_total", "Segments listed"),
    (
        "cauce_segments_without_idr_total",
        "Segments cut where no key frame came in time",
    ),
    (
        "cauce_store_failures_total",
        "Writes to the store that failed or gave no answer",
    ),
    (
        "cauce_store_reads_total",
        "Segments and thumbnails read back from the store",
    ),
    (
        "cauce_unindexed_segments_total",
        "Stored segments whose row in the database could not be written",
    ),
    (
        "cauce_unprotected_segments_total",
        "Segments listed before the store had them, or that it never had",
    ),
];

/// Gauges, likewise.
const GAUGES: [(&str, &str); 8] = [
    (
        "cauce_archive_backlog_bytes",
        "Bytes waiting for the store, all streams",
    ),
    ("cauce_db_queue", "Writes waiting for the database"),
    ("cauce_http_connections", "Open HTTP connections"),
    (
        "cauce_hub_rooms",
        "Rooms with sockets in them or a stream on air",
    ),
    ("cauce_hub_sockets", "Open WebSockets"),
    (
        "cauce_live_streams",
        "Streams with a publisher or a window in memory",
    ),
    ("cauce_memory_bytes", "Bytes of finished segments in memory"),
    (
        "cauce_room_writes_queued",
        "Rows of chat and questions waiting for the database",
    ),
];

fn describe() {
    for (name, help) in COUNTERS {
        describe_counter!(name, help);
    }
    for (name, help) in GAUGES {
        describe_gauge!(name, help);
    }
    // A dashboard asks for these before anything happened: absent and zero are not the same to it.
    for name in [
        "cauce_segments_total",
        "cauce_segment_bytes_total",
        "cauce_segments_without_idr_total",
        "cauce_unprotected_segments_total",
        "cauce_abandoned_segments_total",
        "cauce_recordings_shed_total",
        "cauce_store_failures_total",
        "cauce_store_reads_total",
        "cauce_rtmp_bytes_total",
        "cauce_rtmp_messages_total",
        "cauce_db_writes_total",
        "cauce_hub_frames_dropped_total",
        "cauce_hub_refused_total",
        "cauce_hub_resyncs_total",
        "cauce_room_writes_failed_total",
        "cauce_room_writes_lost_total",
        "cauce_room_writes_refused_total",
    ] {
        counter!(name).increment(0);
    }
    for name in [
        "cauce_archive_backlog_bytes",
        "cauce_hub_rooms",
        "cauce_hub_sockets",
        "cauce_live_streams",
        "cauce_memory_bytes",
        "cauce_room_writes_queued",
        "cauce_rtmp_connections",
        "cauce_rtmp_publishers",
    ] {
        gauge!(name).increment(0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_installed_once_and_shared() {
        let first = metrics().unwrap();
        let second = metrics().unwrap();
        metrics::counter!("cauce_store_reads_total").increment(1);
        for handle in [first, second] {
            let text = handle.render();
            assert!(text.contains("# HELP cauce_store_reads_total"), "{text}");
        }
    }

    #[test]
    fn a_bad_level_is_told_by_its_key() {
        let log = |level: &str| Log {
            level: level.into(),
            format: LogFormat::Pretty,
        };
        let error = start_log(&log("cauce=loud")).unwrap_err();
        assert_eq!(error.kind, Kind::Config);
        assert!(error.to_string().starts_with("log.level"), "{error}");
        assert!(start_log(&log("warn,cauce::http=debug")).is_ok());
        assert!(start_log(&log("info")).is_ok(), "also a second time");
    }
}
