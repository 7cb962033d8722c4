//! HTTP: accept loop, routes, replies, HLS delivery. It does not know how segments are made.

use std::sync::Arc;

use tokio::{net::TcpListener, sync::watch};

use crate::{config::Config, live::Live};

/// What requests are answered from.
pub struct State {
    pub config: Arc<Config>,
    pub live: Live,
    /// Renders `/metrics`.
    pub metrics: metrics_exporter_prometheus::PrometheusHandle,
    /// `Some(reason)` = `/readyz` answers 503.
    pub not_ready: watch::Receiver<Option<String>>,
}

/// Serves until `stop` turns true, then finishes running requests and returns.
pub async fn serve(_listener: TcpListener, _state: Arc<State>, _stop: watch::Receiver<bool>) {
    todo!()
}
