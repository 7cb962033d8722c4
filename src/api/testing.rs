//! What tests of calls stand on: requests as `http` makes them, and an `Api` on a scratch directory.
//! It does not know any call.

use std::{net::Ipv4Addr, sync::Arc};

use bytes::Bytes;
use serde_json::Value;
use storage::memory::Memory;
use tempfile::TempDir;
use tokio::sync::Semaphore;

use super::{Api, Head, Reply, Request};
use crate::{
    auth::{Auth, Secret},
    config::Config,
    db::Db,
    event::Urls,
    live::Live,
    mail::Mail,
};

/// A request with a JSON body, or none when it is empty. The path must lead somewhere.
pub(crate) fn request(method: &str, target: &str, body: &str) -> Request {
    request_of(method, target, Some("application/json"), body.as_bytes())
}

/// A request with any body.
pub(crate) fn request_of(method: &str, target: &str, kind: Option<&str>, body: &[u8]) -> Request {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    Request {
        head: Head::parse(method, path, query).expect("the test's path leads somewhere"),
        authorization: None,
        content_type: kind.map(str::to_owned),
        accept: None,
        accept_language: None,
        body: Bytes::copy_from_slice(body),
        client: Ipv4Addr::LOCALHOST.into(),
        urls: Urls {
            http: "http://test.example".into(),
            rtmp: "rtmp://test.example:1935".into(),
        },
    }
}

/// An API with everything below it.
pub(crate) struct Fixture {
    pub(crate) api: Api,
    pub(crate) directory: TempDir,
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(edit: impl FnOnce(&mut Config)) -> Self {
        let directory = tempfile::tempdir().expect("a scratch directory");
        let mut config = Config::in_directory(directory.path().to_path_buf());
        edit(&mut config);
        let config = Arc::new(config);
        let db =
            Db::open(&config.database_path, config.limits.db_queue).expect("a new database opens");
        let secret =
            Secret::load_or_create(&config.auth.jwt_secret_file).expect("a secret can be made");
        let store = Arc::new(Memory::new(config.limits.memory_budget));
        let live = Live::start(config.clone(), store.clone(), db.clone())
            .await
            .expect("an empty store is taken up");
        let auth = Auth::new(db.clone(), secret, &config);
        let address = Ipv4Addr::LOCALHOST;
        // Letters are dropped: nobody empties the queue.
        let (mail, _) = Mail::new(&config).expect("the mail settings hold");
        let api = Api {
            urls: Urls::new(&config, (address, 80).into(), (address, 1935).into()),
            background: Arc::new(Semaphore::new(config.limits.background_calls)),
            audience: Arc::default(),
            mail,
            config,
            db,
            auth,
            live,
            store,
        };
        Self { api, directory }
    }

    /// Status and body of one call, anonymous when `token` is empty.
    pub(crate) async fn call(
        &self,
        token: &str,
        method: &str,
        target: &str,
        body: Value,
    ) -> (u16, Value) {
        let reply = self.reply(token, method, target, body).await;
        (reply.status, reply.json().clone())
    }

    /// The whole answer of one call.
    pub(crate) async fn reply(
        &self,
        token: &str,
        method: &str,
        target: &str,
        body: Value,
    ) -> Reply {
        let body = match body {
            Value::Null => String::new(),
            body => body.to_string(),
        };
        let mut request = request(method, target, &body);
        if !token.is_empty() {
            request.authorization = Some(format!("Bearer {token}"));
        }
        self.api.answer(&request).await
    }
}
