//! Counts answers by route and status, with handles made once: counting an answer is one atomic
//! addition, not a look-up in the registry. It does not know what the answers were.

use std::sync::OnceLock;

use hyper::StatusCode;
use metrics::{Counter, Gauge, counter, gauge};

/// What a request was for, as the metric's `route` label and the access log say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    /// Either kind of playlist.
    Playlist,
    /// A segment.
    Segment,
    /// A recording as one file.
    Recording,
    /// A thumbnail.
    Thumbnail,
    /// A preflight, or a path under `/live` that names nothing.
    Live,
    /// Health, readiness, version, metrics.
    Probe,
    /// A page.
    Page,
    /// A file built into the program.
    Asset,
    /// A call of the REST API, or a path that names nothing.
    Api,
    /// A WebSocket's handshake.
    Socket,
    /// A method that a page, file or probe has not.
    Unknown,
}

impl Label {
    const COUNT: usize = 11;

    /// The label's text.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Playlist => "playlist",
            Self::Segment => "segment",
            Self::Recording => "recording",
            Self::Thumbnail => "thumbnail",
            Self::Live => "live",
            Self::Probe => "probe",
            Self::Page => "page",
            Self::Asset => "asset",
            Self::Api => "api",
            Self::Socket => "socket",
            Self::Unknown => "unknown",
        }
    }

    /// Whether the request was under `/live`.
    pub fn is_live(self) -> bool {
        matches!(
            self,
            Self::Playlist | Self::Segment | Self::Recording | Self::Thumbnail | Self::Live
        )
    }
}

/// The statuses that are answered; another would be counted as the last.
const STATUSES: [(u16, &str); 18] = [
    (200, "200"),
    (201, "201"),
    (204, "204"),
    (206, "206"),
    (304, "304"),
    (400, "400"),
    (401, "401"),
    (403, "403"),
    (404, "404"),
    (405, "405"),
    (408, "408"),
    (409, "409"),
    (413, "413"),
    (415, "415"),
    (416, "416"),
    (429, "429"),
    (503, "503"),
    (500, "500"),
];

/// The counters of the HTTP side.
pub struct Meter {
    requests: [[OnceLock<Counter>; STATUSES.len()]; Label::COUNT],
    bytes: Counter,
    handed: Counter,
    connections: Gauge,
}

impl Meter {
    /// Handles on the recorder installed now.
    pub fn new() -> Self {
        Self {
            requests: Default::default(),
            bytes: counter!("cauce_http_bytes_total"),
            handed: counter!("cauce_http_handed_over_total"),
            connections: gauge!("cauce_http_connections"),
        }
    }

    /// Counts an answer.
    pub fn answered(&self, label: Label, status: StatusCode) {
        let index = STATUSES
            .iter()
            .position(|(code, _)| *code == status.as_u16())
            .unwrap_or(STATUSES.len() - 1);
        self.requests[label as usize][index]
            .get_or_init(|| {
                counter!("cauce_http_requests_total",
                    "route" => label.as_str(), "status" => STATUSES[index].1)
            })
            .increment(1);
    }

    /// Counts body bytes.
    pub fn bytes(&self) -> Counter {
        self.bytes.clone()
    }

    /// Counts a connection that went from the short way to hyper's.
    pub fn handed_over(&self) {
        self.handed.increment(1);
    }

    /// How many connections there are.
    pub fn connections(&self) -> &Gauge {
        &self.connections
    }
}

/// Counts a connection that was ended or refused, by reason.
pub fn cut(reason: &'static str) {
    counter!("cauce_http_connections_cut_total", "reason" => reason).increment(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_under_its_labels() {
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        metrics::with_local_recorder(&recorder, || {
            let meter = Meter::new();
            meter.answered(Label::Segment, StatusCode::PARTIAL_CONTENT);
            meter.answered(Label::Segment, StatusCode::PARTIAL_CONTENT);
            meter.answered(Label::Unknown, StatusCode::IM_A_TEAPOT);
            meter.bytes().increment(7);
        });
        let text = handle.render();
        for line in [
            "cauce_http_requests_total{route=\"segment\",status=\"206\"} 2",
            "cauce_http_requests_total{route=\"unknown\",status=\"500\"} 1",
            "cauce_http_bytes_total 7",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }
}
