//! RTMP ingest: listener, handshake, chunk layer, AMF0, publish session; one task a connection. It
//! does not know segments or playlists.
//!
//! `handshake`, `amf0`, `chunk`, `message`, `command` and `session` are pure: bytes and time in,
//! bytes and decisions out. Hostile bytes reach them before any login, so every buffer, count and
//! depth in them has a cap (media rule 28), and `fuzz/` builds exactly these files. `listener` does
//! the IO. `client` is the other side, for the demo and for tests.

pub mod amf0;
pub mod chunk;
pub mod client;
pub mod command;
pub mod handshake;
pub mod listener;
pub mod message;
pub mod session;

pub use listener::{Listeners, serve};
