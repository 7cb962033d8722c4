//! The model test: any sequence of calls on every backend answers as a `BTreeMap` does.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use proptest::prelude::*;

use crate::{Error, Key, Store, contract::META, disk::Disk, memory::Memory};

#[derive(Clone, Debug)]
enum Call {
    Put(Key, Vec<Vec<u8>>),
    Get(Key, Option<(u64, u64)>),
    List(String),
    Delete(Vec<Key>),
}

/// Few names, so that calls meet; no name is a directory of another (see the trait).
fn key() -> impl Strategy<Value = Key> {
    prop::sample::select(vec!["a/1", "a/2", "a-1", "b/c/1", "b/c/2", "b/d", "e"])
        .prop_map(|name| Key::new(name).unwrap())
}

fn call() -> impl Strategy<Value = Call> {
    let piece = prop::collection::vec(any::<u8>(), 0..20);
    prop_oneof![
        (key(), prop::collection::vec(piece, 0..4)).prop_map(|(k, b)| Call::Put(k, b)),
        (key(), prop::option::of((0..40u64, 0..40u64))).prop_map(|(k, r)| Call::Get(k, r)),
        prop::sample::select(vec!["", "a", "b", "b/c", "e", "x"])
            .prop_map(|p| Call::List(p.to_owned())),
        prop::collection::vec(key(), 0..3).prop_map(Call::Delete),
    ]
}

async fn check(store: &dyn Store, calls: &[Call]) {
    let mut model: BTreeMap<Key, Vec<u8>> = BTreeMap::new();
    for call in calls {
        match call {
            Call::Put(key, pieces) => {
                let body: Vec<_> = pieces.iter().cloned().map(Bytes::from).collect();
                store.put(key, &body, META).await.unwrap();
                model.insert(key.clone(), pieces.concat());
            }
            Call::Get(key, range) => {
                let got = store.get(key, range.map(|(from, to)| from..to)).await;
                let Some(want) = model.get(key) else {
                    assert!(matches!(got, Err(Error::NotFound(_))));
                    continue;
                };
                let (from, to) = range.unwrap_or((0, u64::MAX));
                let size = want.len() as u64;
                if range.is_some() && from >= size {
                    assert!(matches!(got, Err(Error::Range { size: s }) if s == size));
                } else {
                    let to = to.min(size).max(from);
                    let got = got.unwrap();
                    assert_eq!(&got.body[..], &want[from as usize..to as usize]);
                    assert_eq!(got.size, size);
                }
            }
            Call::List(prefix) => {
                let rows = store.list(prefix).await.unwrap();
                let got: Vec<_> = rows.into_iter().map(|r| (r.key, r.size)).collect();
                let want: Vec<_> = model
                    .iter()
                    .filter(|(k, _)| k.is_under(prefix))
                    .map(|(k, v)| (k.clone(), v.len() as u64))
                    .collect();
                assert_eq!(got, want);
            }
            Call::Delete(keys) => {
                store.delete(keys).await.unwrap();
                for key in keys {
                    model.remove(key);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn every_backend_is_a_map(calls in prop::collection::vec(call(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let directory = tempfile::TempDir::new().unwrap();
        let disk = Arc::new(Disk::open(directory.path()).unwrap());
        runtime.block_on(check(&*disk, &calls));
        runtime.block_on(check(&Memory::new(1 << 20), &calls));
    }
}
