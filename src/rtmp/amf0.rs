//! AMF0 (Adobe AMF0 specification, 2007): values out of hostile bytes under caps, and values into
//! bytes. It does not know which commands exist.

/// Caps on one decoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Nesting of values; [`DEPTH_CEILING`] holds even when this is larger.
    pub depth: usize,
    /// Values in one message, nested ones included.
    pub values: usize,
}

/// Decoding recurses once a level, so no configuration may ask for more than this.
pub const DEPTH_CEILING: usize = 128;

/// Marker bytes (section 2.1).
mod marker {
    pub const NUMBER: u8 = 0x00;
    pub const BOOLEAN: u8 = 0x01;
    pub const STRING: u8 = 0x02;
    pub const OBJECT: u8 = 0x03;
    pub const NULL: u8 = 0x05;
    pub const UNDEFINED: u8 = 0x06;
    pub const REFERENCE: u8 = 0x07;
    pub const ECMA_ARRAY: u8 = 0x08;
    pub const OBJECT_END: u8 = 0x09;
    pub const STRICT_ARRAY: u8 = 0x0a;
    pub const DATE: u8 = 0x0b;
    pub const LONG_STRING: u8 = 0x0c;
    pub const UNSUPPORTED: u8 = 0x0d;
    pub const XML: u8 = 0x0f;
    pub const TYPED_OBJECT: u8 = 0x10;
}

/// Named values in wire order; names may repeat.
pub type Properties = Vec<(String, Value)>;

/// One value. Strings that are not UTF-8 are decoded with replacement characters.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Section 2.2.
    Number(f64),
    /// Section 2.3.
    Boolean(bool),
    /// Sections 2.4 and 2.14: the long form is used when the text needs it.
    String(String),
    /// Section 2.5.
    Object(Properties),
    /// Section 2.7.
    Null,
    /// Section 2.8, and "unsupported" (2.15).
    Undefined,
    /// Section 2.9: the index of an earlier object. Not resolved, so that it cannot multiply.
    Reference(u16),
    /// Section 2.10.
    EcmaArray(Properties),
    /// Section 2.12.
    StrictArray(Vec<Value>),
    /// Section 2.13: milliseconds since 1970 and a time zone that the specification reserves.
    Date {
        /// Milliseconds since 1970, UTC.
        unix_ms: f64,
        /// Minutes; should be 0.
        zone: i16,
    },
    /// Section 2.17.
    Xml(String),
    /// Section 2.18.
    TypedObject {
        /// Its class.
        class: String,
        /// Its members.
        properties: Properties,
    },
}

impl Value {
    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// A number's value.
    pub fn as_number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// The first property called `name` of an object or array.
    pub fn property(&self, name: &str) -> Option<&Value> {
        match self {
            Self::Object(properties)
            | Self::EcmaArray(properties)
            | Self::TypedObject { properties, .. } => properties
                .iter()
                .find_map(|(key, value)| (key == name).then_some(value)),
            _ => None,
        }
    }
}

/// Why decoding stopped before the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The bytes end inside a value.
    #[error("AMF0 value is truncated")]
    Truncated,
    /// A marker that AMF0 does not define, or AMF3 (0x11).
    #[error("AMF0 marker {0:#04x} is unknown")]
    UnknownMarker(u8),
    /// [`Limits::depth`].
    #[error("AMF0 values are nested too deeply")]
    TooDeep,
    /// [`Limits::values`].
    #[error("too many AMF0 values in one message")]
    TooMany,
}

impl Fault {
    /// A cap was hit, which no encoder does by accident.
    pub fn is_cap(self) -> bool {
        matches!(self, Self::TooDeep | Self::TooMany)
    }
}

/// What could be decoded: the whole top-level values before the fault, if there was one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decoded {
    /// Top-level values.
    pub values: Vec<Value>,
    /// Why the rest is missing.
    pub fault: Option<Fault>,
}

/// Decodes values until the end or the first fault. Memory is bounded by `limits.values` and a
/// small multiple of the input's length: announced counts allocate nothing.
pub fn decode(bytes: &[u8], limits: Limits) -> Decoded {
    let mut decoder = Decoder {
        bytes,
        values_left: limits.values,
    };
    let mut decoded = Decoded::default();
    while !decoder.bytes.is_empty() {
        match decoder.value(limits.depth.min(DEPTH_CEILING)) {
            Ok(value) => decoded.values.push(value),
            Err(fault) => {
                decoded.fault = Some(fault);
                break;
            }
        }
    }
    decoded
}

struct Decoder<'a> {
    bytes: &'a [u8],
    values_left: usize,
}

impl Decoder<'_> {
    /// One value that may nest `depth` levels further.
    fn value(&mut self, depth: usize) -> Result<Value, Fault> {
        self.values_left = self.values_left.checked_sub(1).ok_or(Fault::TooMany)?;
        Ok(match self.u8()? {
            marker::NUMBER => Value::Number(self.f64()?),
            marker::BOOLEAN => Value::Boolean(self.u8()? != 0),
            marker::STRING => Value::String(self.short_text()?),
            marker::LONG_STRING => Value::String(self.long_text()?),
            marker::XML => Value::Xml(self.long_text()?),
            marker::NULL => Value::Null,
            marker::UNDEFINED | marker::UNSUPPORTED => Value::Undefined,
            marker::REFERENCE => Value::Reference(u16::from_be_bytes(self.array()?)),
            marker::DATE => Value::Date {
                unix_ms: self.f64()?,
                zone: i16::from_be_bytes(self.array()?),
            },
            marker::OBJECT => Value::Object(self.properties(depth)?),
            marker::ECMA_ARRAY => {
                // The announced count is a hint that encoders get wrong; the end marker rules.
                self.take(4)?;
                Value::EcmaArray(self.properties(depth)?)
            }
            marker::STRICT_ARRAY => Value::StrictArray(self.elements(depth)?),
            marker::TYPED_OBJECT => Value::TypedObject {
                class: self.short_text()?,
                properties: self.properties(depth)?,
            },
            other => return Err(Fault::UnknownMarker(other)),
        })
    }

    fn properties(&mut self, depth: usize) -> Result<Properties, Fault> {
        let depth = depth.checked_sub(1).ok_or(Fault::TooDeep)?;
        let mut properties = vec![];
        loop {
            let name = self.short_text()?;
            if name.is_empty() && self.bytes.first() == Some(&marker::OBJECT_END) {
                self.take(1)?;
                return Ok(properties);
            }
            properties.push((name, self.value(depth)?));
        }
    }

    fn elements(&mut self, depth: usize) -> Result<Vec<Value>, Fault> {
        let depth = depth.checked_sub(1).ok_or(Fault::TooDeep)?;
        let count = u32::from_be_bytes(self.array()?);
        let mut elements = vec![];
        for _ in 0..count {
            elements.push(self.value(depth)?);
        }
        Ok(elements)
    }

    fn short_text(&mut self) -> Result<String, Fault> {
        let len = u16::from_be_bytes(self.array()?);
        self.text(usize::from(len))
    }

    fn long_text(&mut self) -> Result<String, Fault> {
        let len = u32::from_be_bytes(self.array()?);
        self.text(len as usize)
    }

    fn text(&mut self, len: usize) -> Result<String, Fault> {
        Ok(String::from_utf8_lossy(self.take(len)?).into_owned())
    }

    fn f64(&mut self) -> Result<f64, Fault> {
        Ok(f64::from_be_bytes(self.array()?))
    }

    fn u8(&mut self) -> Result<u8, Fault> {
        Ok(self.array::<1>()?[0])
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let (head, rest) = self.bytes.split_first_chunk().ok_or(Fault::Truncated)?;
        self.bytes = rest;
        Ok(*head)
    }

    fn take(&mut self, len: usize) -> Result<&[u8], Fault> {
        let (head, rest) = self.bytes.split_at_checked(len).ok_or(Fault::Truncated)?;
        self.bytes = rest;
        Ok(head)
    }
}

/// Appends `value`. Names and class names longer than 65,535 bytes are cut at a character.
pub fn encode(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Number(number) => {
            out.push(marker::NUMBER);
            out.extend_from_slice(&number.to_be_bytes());
        }
        Value::Boolean(flag) => out.extend_from_slice(&[marker::BOOLEAN, u8::from(*flag)]),
        Value::String(text) if text.len() <= usize::from(u16::MAX) => {
            out.push(marker::STRING);
            encode_name(text, out);
        }
        Value::String(text) => encode_long(marker::LONG_STRING, text, out),
        Value::Xml(text) => encode_long(marker::XML, text, out),
        Value::Null => out.push(marker::NULL),
        Value::Undefined => out.push(marker::UNDEFINED),
        Value::Reference(index) => {
            out.push(marker::REFERENCE);
            out.extend_from_slice(&index.to_be_bytes());
        }
        Value::Date { unix_ms, zone } => {
            out.push(marker::DATE);
            out.extend_from_slice(&unix_ms.to_be_bytes());
            out.extend_from_slice(&zone.to_be_bytes());
        }
        Value::Object(properties) => {
            out.push(marker::OBJECT);
            encode_properties(properties, out);
        }
        Value::EcmaArray(properties) => {
            out.push(marker::ECMA_ARRAY);
            encode_count(properties.len(), out);
            encode_properties(properties, out);
        }
        Value::TypedObject { class, properties } => {
            out.push(marker::TYPED_OBJECT);
            encode_name(class, out);
            encode_properties(properties, out);
        }
        Value::StrictArray(elements) => {
            out.push(marker::STRICT_ARRAY);
            encode_count(elements.len(), out);
            for element in elements {
                encode(element, out);
            }
        }
    }
}

fn encode_properties(properties: &Properties, out: &mut Vec<u8>) {
    for (name, value) in properties {
        encode_name(name, out);
        encode(value, out);
    }
    out.extend_from_slice(&[0, 0, marker::OBJECT_END]);
}

fn encode_name(name: &str, out: &mut Vec<u8>) {
    let cut = &name[..name.floor_char_boundary(usize::from(u16::MAX))];
    // At most u16::MAX after the cut.
    out.extend_from_slice(&(cut.len() as u16).to_be_bytes());
    out.extend_from_slice(cut.as_bytes());
}

fn encode_long(marker: u8, text: &str, out: &mut Vec<u8>) {
    out.push(marker);
    encode_count(text.len(), out);
    out.extend_from_slice(text.as_bytes());
}

fn encode_count(count: usize, out: &mut Vec<u8>) {
    let count = u32::try_from(count).expect("what this server sends is far below 4 GiB");
    out.extend_from_slice(&count.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: Limits = Limits {
        depth: 16,
        values: 1024,
    };

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<i32>().prop_map(|n| Value::Number(f64::from(n))),
            any::<bool>().prop_map(Value::Boolean),
            ".{0,12}".prop_map(Value::String),
            ".{0,12}".prop_map(Value::Xml),
            Just(Value::Null),
            Just(Value::Undefined),
            any::<u16>().prop_map(Value::Reference),
            (any::<u32>(), any::<i16>()).prop_map(|(ms, zone)| Value::Date {
                unix_ms: f64::from(ms),
                zone
            }),
        ];
        leaf.prop_recursive(6, 64, 6, |inner| {
            let properties = prop::collection::vec((".{0,6}", inner.clone()), 0..6);
            prop_oneof![
                properties.clone().prop_map(Value::Object),
                properties.clone().prop_map(Value::EcmaArray),
                (".{0,6}", properties)
                    .prop_map(|(class, properties)| Value::TypedObject { class, properties }),
                prop::collection::vec(inner, 0..6).prop_map(Value::StrictArray),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(values in prop::collection::vec(value(), 0..6)) {
            let mut bytes = vec![];
            values.iter().for_each(|value| encode(value, &mut bytes));
            prop_assert_eq!(decode(&bytes, LIMITS), Decoded { values, fault: None });
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
            let decoded = decode(&bytes, LIMITS);
            prop_assert!(decoded.values.len() <= LIMITS.values);
        }

        #[test]
        fn truncation_keeps_the_whole_values_before(value in value(), cut in 0.0..1.0f64) {
            let mut bytes = vec![];
            encode(&Value::Boolean(true), &mut bytes);
            let whole = bytes.len();
            encode(&value, &mut bytes);
            let at = whole + ((bytes.len() - whole) as f64 * cut) as usize;
            let decoded = decode(&bytes[..at], LIMITS);
            prop_assert_eq!(decoded.values.first(), Some(&Value::Boolean(true)));
            prop_assert_eq!(decoded.fault, (at > whole).then_some(Fault::Truncated));
        }
    }

    #[test]
    fn another_implementation_reads_what_we_write() {
        use rml_rtmp::rml_amf0::{Amf0Value, deserialize};
        let mut bytes = vec![];
        let object = Value::Object(vec![
            (
                "code".into(),
                Value::String("NetStream.Publish.Start".into()),
            ),
            ("n".into(), Value::Number(31.0)),
        ]);
        [Value::Null, Value::Boolean(true), object]
            .iter()
            .for_each(|value| encode(value, &mut bytes));
        let read = deserialize(&mut &bytes[..]).unwrap();
        assert_eq!(read[..2], [Amf0Value::Null, Amf0Value::Boolean(true)]);
        let Amf0Value::Object(properties) = &read[2] else {
            panic!("an object")
        };
        assert_eq!(properties["n"], Amf0Value::Number(31.0));
    }

    #[test]
    fn twenty_thousand_nested_arrays_are_refused_without_deep_recursion() {
        let mut bytes = vec![];
        for _ in 0..20_000 {
            bytes.extend_from_slice(&[marker::STRICT_ARRAY, 0, 0, 0, 1]);
        }
        let roomy = Limits {
            depth: usize::MAX,
            values: usize::MAX,
        };
        for limits in [LIMITS, roomy] {
            assert_eq!(decode(&bytes, limits).fault, Some(Fault::TooDeep));
        }
    }

    #[test]
    fn depth_is_counted_exactly() {
        let nested = |levels: usize| {
            let mut bytes = [marker::STRICT_ARRAY, 0, 0, 0, 1].repeat(levels);
            bytes.push(marker::NULL);
            decode(&bytes, LIMITS).fault
        };
        assert_eq!(nested(16), None);
        assert_eq!(nested(17), Some(Fault::TooDeep));
    }

    #[test]
    fn values_are_counted_and_announced_counts_allocate_nothing() {
        assert_eq!(decode(&[marker::NULL; 1024], LIMITS).fault, None);
        assert_eq!(
            decode(&[marker::NULL; 1025], LIMITS).fault,
            Some(Fault::TooMany)
        );
        let lie = [marker::STRICT_ARRAY, 0xff, 0xff, 0xff, 0xff, marker::NULL];
        assert_eq!(decode(&lie, LIMITS).fault, Some(Fault::Truncated));
    }

    #[test]
    fn an_unknown_marker_ends_the_decoding_and_keeps_what_came_before() {
        let decoded = decode(&[marker::NULL, 0x11, 1, 2, 3], LIMITS);
        assert_eq!(decoded.values, [Value::Null]);
        assert_eq!(decoded.fault, Some(Fault::UnknownMarker(0x11)));
        assert!(!decoded.fault.unwrap().is_cap());
    }

    #[test]
    fn long_text_takes_the_long_form() {
        let text = Value::String("x".repeat(70_000));
        let mut bytes = vec![];
        encode(&text, &mut bytes);
        assert_eq!(bytes[0], marker::LONG_STRING);
        assert_eq!(decode(&bytes, LIMITS).values, [text]);
    }
}
