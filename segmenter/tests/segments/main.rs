//! The segmenter as its callers see it: tags in, segments out. It does not look inside.

#![allow(
    clippy::unwrap_used,
    reason = "a test's helpers may fail like the test"
)]

mod golden;
mod oracle;
mod props;
mod scenarios;
mod slate;
mod support;
mod tracks;
