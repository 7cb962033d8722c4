//! One integration binary: real servers on port 0, real encoders and players around them. It knows
//! the contract's surface; it does not know how the server works inside.

// Test support code is all test code, also outside functions marked `#[test]`.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod accounts;
mod cdn;
mod channels;
mod commands;
mod crash;
mod deploy;
mod express;
mod frames;
mod freeze;
mod full_disk;
mod hostile;
mod http;
mod hub;
mod media;
mod memory;
mod openapi;
mod outage;
mod overdue;
mod pages;
mod pause;
mod play;
mod process;
mod publish;
mod recording;
mod refusals;
mod rest_hostile;
mod s3;
mod slate;
mod sockets;
mod streams;
mod support;
mod through;
mod tidy;
mod tls;
mod voice;
