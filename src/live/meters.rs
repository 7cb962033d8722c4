//! The names of what `live` counts. It does not know who reads them. None of it has a stream's
//! name, so that series do not grow with streams: see `gauges.rs` for what does.

use metrics::{counter, gauge};

/// A segment was listed.
pub(super) fn segment(bytes: u64) {
    counter!("cauce_segments_total").increment(1);
    counter!("cauce_segment_bytes_total").increment(bytes);
}

/// A tag was dropped by the segmenter.
pub(super) fn dropped_tag(reason: &'static str) {
    counter!("cauce_ingest_dropped_total", "reason" => reason).increment(1);
}

/// A segment was cut without an IDR (media rule 7).
pub(super) fn cut_without_idr() {
    counter!("cauce_segments_without_idr_total").increment(1);
}

/// A segment was dropped from the archive queue and will never be stored.
pub(super) fn abandoned() {
    counter!("cauce_abandoned_segments_total").increment(1);
}

/// A listed segment was lost to the recording: the database refuses for too long.
pub(super) fn unindexed() {
    counter!("cauce_unindexed_segments_total").increment(1);
}

/// Listed segments that a closed recording is without.
pub(super) fn recording_lost(segments: u64) {
    counter!("cauce_recording_segments_lost_total").increment(segments);
}

/// A recording was closed.
pub(super) fn recording_closed(outcome: &'static str) {
    counter!("cauce_recordings_closed_total", "outcome" => outcome).increment(1);
}

/// A recording was deleted because the store was full.
pub(super) fn recording_shed() {
    counter!("cauce_recordings_shed_total").increment(1);
}

/// A segment was listed before the store had it.
pub(super) fn unprotected() {
    counter!("cauce_unprotected_segments_total").increment(1);
}

/// Bytes queued for the store, all streams.
pub(super) fn archive_backlog(bytes: u64) {
    gauge!("cauce_archive_backlog_bytes").set(bytes as f64);
}

/// A write to the store failed or gave no answer.
pub(super) fn store_failure() {
    counter!("cauce_store_failures_total").increment(1);
}

/// A segment or thumbnail was read back.
pub(super) fn store_read() {
    counter!("cauce_store_reads_total").increment(1);
}

/// Bytes of finished segments in memory.
pub(super) fn memory(bytes: u64) {
    gauge!("cauce_memory_bytes").set(bytes as f64);
}

/// Streams with a publisher or a window.
pub(super) fn streams(count: usize) {
    gauge!("cauce_live_streams").set(count as f64);
}
