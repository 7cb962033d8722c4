//! Counts that only add confidence, from the table at the top of `tests/run`. It does not know
//! which row is in use.

/// The environment variable `name`, or the normal row's value.
#[track_caller]
pub fn count(name: &str, normal: u32) -> u32 {
    std::env::var(name).map_or(normal, |text| {
        text.parse()
            .unwrap_or_else(|e| panic!("{name}={text}: {e}"))
    })
}
