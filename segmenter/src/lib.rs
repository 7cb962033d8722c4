//! FLV tags in, MPEG-TS segments and playlist text out. Pure: it knows no clock, socket, file or
//! random source; time is what the tags carry.

pub mod aac;
pub mod avc;
pub mod cut;
pub mod flv;
pub mod playlist;
pub mod segment;
pub mod timeline;
pub mod ts;

pub use flv::{Tag, TagKind};
pub use segment::{Config, Notice, Output, Refusal, Resume, Segment, Segmenter};
