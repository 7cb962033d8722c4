//! The documents of REST and of the WebSocket as programs read them: JSON made from the YAML in
//! `docs/`. It does not know whether the server keeps to them: the integration tests do.

use std::sync::LazyLock;

use super::assets::Asset;

static OPENAPI: LazyLock<Asset> =
    LazyLock::new(|| json("openapi.json", include_str!("../../docs/openapi.yaml")));

/// `/openapi.json`
pub fn openapi() -> &'static Asset {
    &OPENAPI
}

static ASYNCAPI: LazyLock<Asset> =
    LazyLock::new(|| json("asyncapi.json", include_str!("../../docs/asyncapi.yaml")));

/// `/asyncapi.json`
pub fn asyncapi() -> &'static Asset {
    &ASYNCAPI
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
    fn the_documents_are_what_they_say_and_their_references_lead_somewhere() {
        for (asset, kind, version) in [
            (openapi(), "openapi", "3.1.0"),
            (asyncapi(), "asyncapi", "3.0.0"),
        ] {
            let document: Value = serde_json::from_slice(asset.content).unwrap();
            assert_eq!(document[kind], version);
            let mut references = vec![];
            collect(&document, &mut references);
            assert!(references.len() > 50);
            for reference in references {
                let target = document.pointer(reference.strip_prefix('#').unwrap());
                assert!(target.is_some(), "{reference}");
            }
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
