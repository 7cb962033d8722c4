//! Composition root: the only file that knows every part.

use std::{net::SocketAddr, sync::Arc};

use storage::Store;

use crate::{
    config::Config,
    error::{Error, Kind, Result},
};

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

/// Opens the store that `storage.backend` names.
///
/// # Errors
/// It cannot be reached.
pub fn open_store(_config: &Config) -> Result<Arc<dyn Store>> {
    Err(Error::new(Kind::Internal, "storage is not wired yet"))
}

/// Runs the server with a sample publisher until a signal ends it.
///
/// # Errors
/// As a start of the server.
pub async fn demo(_config: Arc<Config>) -> Result<()> {
    Err(Error::new(Kind::Internal, "the demo is not wired yet"))
}
