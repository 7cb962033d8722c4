//! Rooms: everyone who watches a stream, on one WebSocket each. It does not know HTTP requests, or
//! how a stream is ingested.

pub mod effects;
pub mod member;
pub mod pace;
pub mod questions;
pub mod turn;
pub mod voice;
pub mod wire;
