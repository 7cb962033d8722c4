//! What every backend must do, as one suite that every backend's tests run. It does not know how
//! a backend does it, nor its limits. For tests: it panics where a backend is wrong.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::{Error, Key, Meta, Store};

/// Headers for tests that do not look at them.
pub const META: Meta = Meta {
    content_type: "application/octet-stream",
    cache_control: "no-store",
};

/// Runs the suite; each call of `store` gives an empty store with room for 64 KiB.
///
/// # Panics
/// Where the store breaks its contract.
pub async fn contract<S: Store>(store: impl Fn() -> S) {
    puts_are_got_whole(&store()).await;
    ranges(&store()).await;
    absent_objects(&store()).await;
    lists_are_sorted_and_by_whole_parts(&store()).await;
    later_puts_win(&store()).await;
    many_at_once(&store()).await;
}

fn key(name: &str) -> Key {
    Key::new(name).expect("the suite's keys are keys")
}

async fn put(store: &impl Store, name: &str, body: &'static [u8]) {
    let put = store
        .put(&key(name), &[Bytes::from_static(body)], META)
        .await;
    put.expect("an empty store takes a small object");
}

async fn whole(store: &impl Store, name: &str) -> Bytes {
    let got = store.get(&key(name), None).await;
    got.expect("what was put can be got").body
}

async fn puts_are_got_whole(store: &impl Store) {
    let pieces = [&b"one"[..], b"", b"two", b"three"].map(Bytes::from_static);
    store
        .put(&key("a/b/c.ts"), &pieces, META)
        .await
        .expect("put");
    let got = store.get(&key("a/b/c.ts"), None).await.expect("get");
    assert_eq!(&got.body[..], b"onetwothree");
    assert_eq!(got.size, 11);
    store
        .put(&key("empty"), &[], META)
        .await
        .expect("an empty object is an object");
    assert!(whole(store, "empty").await.is_empty());
    put(store, "a/b/c.ts", b"short").await;
    assert_eq!(
        &whole(store, "a/b/c.ts").await[..],
        b"short",
        "a put replaces all"
    );
}

async fn ranges(store: &impl Store) {
    let pieces = [&b"0123"[..], b"4567", b"89"].map(Bytes::from_static);
    store.put(&key("r"), &pieces, META).await.expect("put");
    for (range, want) in [
        (0..10, &b"0123456789"[..]),
        (0..1, b"0"),
        (2..9, b"2345678"),
        (9..10, b"9"),
        (4..8, b"4567"),
        (8..u64::MAX, b"89"),
        (3..3, b""),
    ] {
        let got = store
            .get(&key("r"), Some(range.clone()))
            .await
            .expect("range");
        assert_eq!((&got.body[..], got.size), (want, 10), "{range:?}");
    }
    for start in [10, 11, u64::MAX] {
        let got = store.get(&key("r"), Some(start..u64::MAX)).await;
        assert!(
            matches!(got, Err(Error::Range { size: 10 })),
            "{start}: {got:?}"
        );
    }
}

async fn absent_objects(store: &impl Store) {
    put(store, "a/b", b"x").await;
    for name in ["c", "a", "a/b/c", "a/bb"] {
        let got = store.get(&key(name), None).await;
        assert!(matches!(got, Err(Error::NotFound(_))), "{name}: {got:?}");
    }
    let gone = store
        .delete(&[key("a/b"), key("c"), key("a/b/c"), key("a/b")])
        .await;
    gone.expect("deleting what is not there is no error");
    assert!(matches!(
        store.get(&key("a/b"), None).await,
        Err(Error::NotFound(_))
    ));
    store
        .delete(&[])
        .await
        .expect("deleting nothing is no error");
}

async fn lists_are_sorted_and_by_whole_parts(store: &impl Store) {
    for name in ["b", "a/2", "a/1/x", "a-b", "ab/1", "a/1-x", "a.b"] {
        put(store, name, b"12").await;
    }
    for (prefix, want) in [
        (
            "",
            &["a-b", "a.b", "a/1-x", "a/1/x", "a/2", "ab/1", "b"][..],
        ),
        ("a", &["a/1-x", "a/1/x", "a/2"]),
        ("a/1", &["a/1/x"]),
        ("b", &[]),
        ("none/there", &[]),
    ] {
        let rows = store.list(prefix).await.expect("list");
        let names: Vec<_> = rows.iter().map(|row| row.key.as_str()).collect();
        assert_eq!(names, want, "under {prefix:?}");
        assert!(rows.iter().all(|row| row.size == 2));
    }
    for bad in ["/", "a/", "../a", "."] {
        assert!(
            matches!(store.list(bad).await, Err(Error::BadKey(_))),
            "{bad:?}"
        );
    }
    store.delete(&[key("a/1/x")]).await.expect("delete");
    assert!(store.list("a/1").await.expect("list").is_empty());
}

async fn later_puts_win(store: &impl Store) {
    let before = std::time::SystemTime::now() - std::time::Duration::from_secs(2);
    for n in 0..20u8 {
        let put = store
            .put(&key("p"), &[Bytes::copy_from_slice(&[n])], META)
            .await;
        put.expect("put");
        assert_eq!(&whole(store, "p").await[..], [n]);
    }
    let modified = store.get(&key("p"), None).await.expect("get").modified;
    assert!(modified >= before, "modified is the time of the put");
}

async fn many_at_once(store: &impl Store) {
    let names: Vec<_> = (0..64).map(|n| key(&format!("m/{}/{n}", n % 4))).collect();
    let bodies: Vec<_> = names
        .iter()
        .map(|k| [Bytes::copy_from_slice(k.as_str().as_bytes())])
        .collect();
    let mut puts: Vec<_> = names
        .iter()
        .zip(&bodies)
        .map(|(k, b)| store.put(k, b, META))
        .collect();
    // All are polled before any is finished.
    for put in &mut puts {
        let _ = tokio::time::timeout(std::time::Duration::ZERO, put).await;
    }
    drop(puts);
    for (name, body) in names.iter().zip(&bodies) {
        store
            .put(name, body, META)
            .await
            .expect("a put given up does not spoil the next");
    }
    let rows = store.list("m").await.expect("list");
    let found: BTreeMap<_, _> = rows.into_iter().map(|row| (row.key, row.size)).collect();
    assert_eq!(found.len(), 64);
    for name in &names {
        assert_eq!(found.get(name), Some(&(name.as_str().len() as u64)));
        assert_eq!(
            &whole(store, name.as_str()).await[..],
            name.as_str().as_bytes()
        );
    }
}
