//! The segmenter as its callers see it: tags in, segments out. It does not look inside.

mod golden;
mod oracle;
mod props;
mod scenarios;
mod support;
