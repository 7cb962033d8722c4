//! What every integration test stands on: servers, clients, clips and waits. It does not know what
//! any one test proves.

pub mod bucket;
pub mod child;
pub mod clip;
pub mod count;
pub mod encoder;
pub mod http;
pub mod mailbox;
pub mod node;
pub mod oracle;
pub mod playlist;
pub mod rest;
pub mod server;
pub mod slots;
pub mod socket;
pub mod tls;
pub mod wait;

pub use child::Running;
pub use clip::Clip;
pub use count::count;
pub use encoder::Encoder;
pub use playlist::Poller;
pub use server::{Key, Process, Server};
pub use wait::until;
