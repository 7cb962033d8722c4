//! RTMP ingest: listener, handshake, chunk layer, AMF0, publish session; one task a connection. It
//! does not know segments or playlists.

use std::sync::Arc;

use tokio::{net::TcpListener, sync::watch};

use crate::{auth::Auth, config::Config, live::Live};

/// Accepts encoders until `stop` turns true, then closes every connection and returns.
pub async fn serve(
    _listener: TcpListener,
    _config: Arc<Config>,
    _auth: Auth,
    _live: Live,
    _stop: watch::Receiver<bool>,
) {
    todo!()
}
