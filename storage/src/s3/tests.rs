//! The contract and S3's own promises, against a real S3 server in this process.

use std::{net::SocketAddr, sync::atomic::AtomicU32};

use http_body_util::BodyExt as _;

use hyper::{
    Request, StatusCode,
    body::Incoming,
    service::{Service, service_fn},
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use s3s::{auth::SimpleAuth, service::S3ServiceBuilder};
use s3s_fs::FileSystem;
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::Notify};

use super::*;
use crate::contract::{META, contract};

/// A server that sits on a write.
#[derive(Default)]
struct Held {
    /// The next write is held, and never answered.
    next: AtomicBool,
    /// Lets it land.
    release: Notify,
}

/// An S3 server with one empty bucket, `media`.
struct Server {
    address: SocketAddr,
    held: Arc<Held>,
    _root: TempDir,
}

impl Server {
    async fn start() -> Self {
        let root = TempDir::new().unwrap();
        std::fs::create_dir(root.path().join("media")).unwrap();
        let mut service = S3ServiceBuilder::new(FileSystem::new(root.path()).unwrap());
        service.set_auth(SimpleAuth::from_single("id", "secret"));
        let service = service.build();
        let files = root.path().to_owned();
        let held = Arc::<Held>::default();
        let all = held.clone();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (service, root, held) = (service.clone(), files.clone(), all.clone());
                let service = service_fn(move |request: Request<Incoming>| {
                    let path = root.join(request.uri().path().trim_start_matches('/'));
                    let (service, held) = (service.clone(), held.clone());
                    async move {
                        if request.method() == "PUT" && held.next.swap(false, Ordering::SeqCst) {
                            let body = request.into_body().collect().await.unwrap().to_bytes();
                            tokio::spawn(async move {
                                held.release.notified().await;
                                std::fs::write(path, body).unwrap();
                            });
                            std::future::pending::<()>().await;
                            unreachable!("the client gives up");
                        }
                        let mut answer = Service::call(&service, request).await?;
                        // It keeps objects as files, and fails at a key that is a directory or is
                        // below a file. To S3 those are keys like others.
                        if answer.status() == 500 && !path.is_file() {
                            *answer.status_mut() = StatusCode::NOT_FOUND;
                        }
                        Ok::<_, s3s::HttpError>(answer)
                    }
                });
                tokio::spawn(async move {
                    let server = auto::Builder::new(TokioExecutor::new());
                    let _ = server.serve_connection(TokioIo::new(socket), service).await;
                });
            }
        });
        let _root = root;
        Self {
            address,
            held,
            _root,
        }
    }

    fn settings(&self) -> Settings {
        // Each store is empty: it has a prefix of its own.
        static STORES: AtomicU32 = AtomicU32::new(0);
        let number = STORES.fetch_add(1, Ordering::Relaxed);
        Settings {
            endpoint: Some(format!("http://{}", self.address)),
            bucket: "media".into(),
            region: Some("eu-south-2".into()),
            prefix: format!("/store/{number}/"),
            force_path_style: true,
            access_key_id: Some("id".into()),
            secret_access_key: Some("secret".into()),
            deadline: Duration::from_secs(10),
        }
    }

    async fn store(&self) -> S3 {
        S3::connect(self.settings()).await.unwrap()
    }
}

fn key(name: &str) -> Key {
    Key::new(name).unwrap()
}

fn body(text: &'static str) -> [Bytes; 1] {
    [Bytes::from_static(text.as_bytes())]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passes_the_contract() {
    let server = Server::start().await;
    let mut stores = Vec::new();
    for _ in 0..6 {
        stores.push(server.store().await);
    }
    let stores = Mutex::new(stores);
    let next = || stores.lock().unwrap().pop().unwrap();
    contract(next).await;
}

#[tokio::test]
async fn objects_carry_their_headers() {
    let server = Server::start().await;
    let store = server.store().await;
    let meta = Meta {
        content_type: "video/mp2t",
        cache_control: "public, max-age=31536000, immutable",
    };
    store.put(&key("a/s.ts"), &body("x"), meta).await.unwrap();
    let bucket = &store.bucket;
    let head = bucket.reads.head_object().bucket("media");
    let head = head
        .key(bucket.object(&key("a/s.ts")))
        .send()
        .await
        .unwrap();
    assert_eq!(head.content_type.as_deref(), Some(meta.content_type));
    assert_eq!(head.cache_control.as_deref(), Some(meta.cache_control));
}

#[tokio::test]
async fn a_check_says_what_is_wrong_and_leaves_nothing() {
    let server = Server::start().await;
    let store = server.store().await;
    store.check().await.unwrap();
    assert!(store.is_conditional());
    assert_eq!(store.list("").await.unwrap(), []);

    let kind = async |change: &dyn Fn(&mut Settings)| {
        let mut settings = server.settings();
        change(&mut settings);
        match S3::connect(settings).await.unwrap().check().await {
            Err(Error::Io(error)) => error.kind(),
            other => panic!("{other:?}"),
        }
    };
    let wrong_secret = kind(&|s| s.secret_access_key = Some("guess".into())).await;
    assert_eq!(wrong_secret, std::io::ErrorKind::PermissionDenied);
    let no_bucket = kind(&|s| s.bucket = "none".into()).await;
    assert_eq!(no_bucket, std::io::ErrorKind::NotFound);
    let nobody = kind(&|s| s.endpoint = Some("http://127.0.0.1:9".into())).await;
    assert_eq!(nobody, std::io::ErrorKind::Other);
}

#[tokio::test]
async fn a_version_that_was_replaced_cannot_be_replaced_again() {
    let server = Server::start().await;
    let store = server.store().await;
    let (bucket, playlist) = (&store.bucket, key("p.m3u8"));
    store.put(&playlist, &body("1"), META).await.unwrap();
    let first = bucket.versions()[&playlist].clone();
    // What an attempt sent before the second write, and arrives after it.
    let late = Bytes::from_static(b"late");
    store.put(&playlist, &body("2"), META).await.unwrap();
    for condition in [Condition::Version(first), Condition::New] {
        let landed = bucket.send(&playlist, &late, META, &condition).await;
        assert!(matches!(landed, Err(Failure::Changed(_))), "{landed:?}");
    }
    assert_eq!(&store.get(&playlist, None).await.unwrap().body[..], b"2");
}

#[tokio::test]
async fn an_unknown_version_is_asked_for() {
    let server = Server::start().await;
    let settings = server.settings();
    let before = S3::connect(settings.clone()).await.unwrap();
    let after = S3::connect(settings).await.unwrap();
    let playlist = key("p.m3u8");
    before.put(&playlist, &body("1"), META).await.unwrap();
    after.put(&playlist, &body("2"), META).await.unwrap();
    // And one that another process changed, or deleted, in between.
    before.put(&playlist, &body("3"), META).await.unwrap();
    assert_eq!(&after.get(&playlist, None).await.unwrap().body[..], b"3");
    after.delete(std::slice::from_ref(&playlist)).await.unwrap();
    before.put(&playlist, &body("4"), META).await.unwrap();
    assert_eq!(&after.get(&playlist, None).await.unwrap().body[..], b"4");
}

#[tokio::test]
async fn lists_and_deletes_of_more_than_a_page() {
    let server = Server::start().await;
    let store = server.store().await;
    let keys: Vec<_> = (0..1030).map(|n| key(&format!("m/{n:04}"))).collect();
    for key in &keys {
        let file = format!("media/{}", store.bucket.object(key));
        let path = server._root.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "x").unwrap();
    }
    let rows = store.list("m").await.unwrap();
    assert!(rows.iter().map(|row| &row.key).eq(&keys));
    store.delete(&keys).await.unwrap();
    assert_eq!(store.list("").await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_lands_behind_its_delete_is_deleted_again() {
    let server = Server::start().await;
    let store = S3::connect(Settings {
        deadline: Duration::from_millis(300),
        ..server.settings()
    })
    .await
    .unwrap();
    let meta = Meta {
        cache_control: "public, max-age=31536000, immutable",
        ..META
    };
    let segment = key("s/1.ts");
    server.held.next.store(true, Ordering::SeqCst);
    let unanswered = store.put(&segment, &body("late"), meta).await;
    assert!(unanswered.is_err());
    store.put(&segment, &body("late"), meta).await.unwrap();
    store.delete(std::slice::from_ref(&segment)).await.unwrap();
    server.held.release.notify_one();
    let landed = async {
        while store.get(&segment, None).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let patience = Duration::from_secs(20);
    tokio::time::timeout(patience, landed).await.unwrap();
    let gone = async {
        while store.get(&segment, None).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(patience, gone).await.unwrap();
}
