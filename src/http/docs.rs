//! The API's document as programs read it: JSON made from `docs/openapi.yaml`. It does not know
//! whether the server keeps to it: `tests/it/openapi.rs` does.

use std::sync::LazyLock;

use super::assets::Asset;

static OPENAPI: LazyLock<Asset> =
    LazyLock::new(|| json("openapi.json", include_str!("../../docs/openapi.yaml")));

/// `/openapi.json`
pub fn openapi() -> &'static Asset {
    &OPENAPI
}

fn json(path: &'static str, yaml: &str) -> Asset {
    let document: serde_json::Value =
        serde_yaml_ng::from_str(yaml).expect("the embedded document is YAML: a test reads it");
    Asset::made(path, document.to_string().into_bytes())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn the_document_is_openapi_and_its_references_lead_somewhere() {
        let document: Value = serde_json::from_slice(openapi().content).unwrap();
        assert_eq!(document["openapi"], "3.1.0");
        let mut references = vec![];
        collect(&document, &mut references);
        assert!(references.len() > 50);
        for reference in references {
            let target = document.pointer(reference.strip_prefix('#').unwrap());
            assert!(target.is_some(), "{reference}");
        }
    }

    fn collect<'a>(value: &'a Value, references: &mut Vec<&'a str>) {
        match value {
            Value::Object(fields) => {
                references.extend(fields.get("$ref").and_then(Value::as_str));
                fields.values().for_each(|v| collect(v, references));
            }
            Value::Array(items) => items.iter().for_each(|v| collect(v, references)),
            _ => {}
        }
    }
}
