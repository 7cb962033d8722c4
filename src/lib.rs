//! The module list of the cauce origin; `ARCHITECTURE.md` is the map. It knows no behaviour of its own.

pub mod api;
pub mod app;
pub mod auth;
pub mod cli;
pub mod config;
pub mod db;
pub mod error;
pub mod event;
pub mod file_mode;
pub mod http;
pub mod hub;
pub mod live;
pub mod mail;
pub mod name;
pub mod person;
pub mod rtmp;
pub mod telemetry;
pub mod time;
pub mod tls;
