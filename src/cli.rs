//! The command line. It does not know how the server works inside.
