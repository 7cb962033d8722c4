//! Live as a whole, driven by real tags.
