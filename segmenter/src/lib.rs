//! FLV tags in, MPEG-TS segments and playlist text out. Pure: it knows no clock, socket, file or
//! random source; time is what the tags carry.

pub mod aac;
mod assembly;
pub mod avc;
mod bits;
pub mod cut;
pub mod flv;
mod input;
mod payload;
pub mod playlist;
mod pps;
pub mod segment;
mod slab;
pub mod slate;
pub mod sps;
mod standby;
pub mod timeline;
pub mod ts;
mod writer;

pub use flv::{Tag, TagKind};
pub use segment::{
    AudioTrack, Config, Idr, Notice, Output, Refusal, Resume, Segment, Segmenter, Tracks,
    VideoTrack,
};
pub use standby::Standby;
