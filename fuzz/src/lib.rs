//! The pure modules of the server, compiled from their own files: what they fuzz is what runs, and
//! the database, codecs and HTTP are not built for it. It does not know the fuzz targets.

#[path = "../../src/name.rs"]
pub mod name;

#[path = "../../src/http"]
pub mod http {
    pub mod assets;
    pub mod docs;
    pub mod route;
}

#[path = "../../src/rtmp"]
pub mod rtmp {
    pub mod amf0;
    pub mod chunk;
    pub mod command;
    pub mod handshake;
    pub mod message;
    pub mod session;
}
