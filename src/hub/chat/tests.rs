//! The chat's rules, with virtual time.
