//! Arbitrary bytes as AMF0: never a panic, never more values than allowed, and what was decoded
//! whole survives encoding and decoding. It does not know commands.
#![no_main]

use cauce_fuzz::rtmp::amf0::{Limits, Value, decode, encode};
use libfuzzer_sys::fuzz_target;

const LIMITS: Limits = Limits {
    depth: 16,
    values: 1024,
};

fuzz_target!(|bytes: &[u8]| {
    let decoded = decode(bytes, LIMITS);
    assert!(decoded.values.len() <= LIMITS.values);
    let mut encoded = vec![];
    for value in &decoded.values {
        encode(value, &mut encoded);
    }
    let again = decode(&encoded, LIMITS);
    // Replacement characters may lengthen a name past what its length field can say.
    if bytes.len() < 20_000 {
        assert_eq!(again.fault, None);
        assert!(same(&decoded.values, &again.values));
    }
});

/// Equality that takes a NaN for itself.
fn same(left: &[Value], right: &[Value]) -> bool {
    format!("{left:?}") == format!("{right:?}")
}
