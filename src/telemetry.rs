//! Tracing and metrics, set up once. It does not know what is counted.
