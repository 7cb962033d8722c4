//! Composition root: the only file that knows every part.

use std::{net::SocketAddr, sync::Arc};

use crate::{config::Config, error::Result};

/// A running server.
pub struct App {
    /// The real HTTP address.
    pub http: SocketAddr,
    /// The real RTMP address.
    pub rtmp: SocketAddr,
}

impl App {
    /// Opens the database and the store, binds both ports, starts serving.
    pub async fn start(_config: Arc<Config>) -> Result<Self> {
        todo!()
    }
    /// Restart semantics: drains within `shutdown_grace`.
    pub async fn shutdown(self) {
        todo!()
    }
}
