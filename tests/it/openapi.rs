//! Holds the running server against its own OpenAPI document: every operation, every answer that it
//! promises, and no route beside them. It does not know what the answers mean.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use hyper::Method;
use serde_json::{Value, json};

use crate::support::{
    Clip, Encoder, Process,
    http::Reply,
    rest::{self, PASSWORD, Sent},
    until,
};

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];
/// A uid that no stream has.
const NO_UID: &str = "AAAAAAAAAAAAAAAAAAAAAA";
/// What cannot be had from a healthy server without SMTP: busy, failing, or a mailed link.
const NOT_WALKED: [(&str, u16); 2] = [("reset", 200), ("resetPage", 200)];

/// One operation of the document.
#[derive(Clone)]
struct Operation {
    id: String,
    method: String,
    path: String,
    responses: BTreeMap<u16, Value>,
    has_body: bool,
}

/// The document, the server, and which answers were seen.
struct Walk {
    server: Process,
    document: Value,
    operations: Vec<Operation>,
    seen: BTreeSet<(String, u16)>,
}

impl Walk {
    fn new(server: Process) -> Self {
        let reply = server.get("/openapi.json");
        assert_eq!(reply.header("content-type"), Some("application/json"));
        let document: Value = serde_json::from_slice(&reply.body).unwrap();
        Self {
            operations: operations(&document),
            document,
            server,
            seen: BTreeSet::new(),
        }
    }

    fn operation(&self, id: &str) -> Operation {
        let found = self.operations.iter().find(|one| one.id == id);
        found.unwrap_or_else(|| panic!("no operation {id}")).clone()
    }

    /// Calls an operation; the answer must be one that the document describes.
    #[track_caller]
    fn send(&mut self, id: &str, path: &[(&str, &str)], query: &str, sent: &Sent) -> Reply {
        let operation = self.operation(id);
        let mut target = operation.path.clone();
        for (name, value) in path {
            target = target.replace(&format!("{{{name}}}"), value);
        }
        assert!(!target.contains('{'), "{target}");
        let method = operation.method.to_uppercase();
        let reply = rest::send(self.server.http, &method, &format!("{target}{query}"), sent);
        self.check(&operation, &reply);
        self.seen.insert((operation.id, reply.status));
        reply
    }

    /// Sends JSON and gives the JSON of an answer that must have `status`.
    #[track_caller]
    fn call(
        &mut self,
        id: &str,
        path: &[(&str, &str)],
        token: &str,
        body: Value,
        status: u16,
    ) -> Value {
        self.ask(id, path, "", token, body, status)
    }

    #[track_caller]
    fn ask(
        &mut self,
        id: &str,
        path: &[(&str, &str)],
        query: &str,
        token: &str,
        body: Value,
        status: u16,
    ) -> Value {
        let reply = self.send(id, path, query, &Sent::json(token, &body));
        assert_eq!(reply.status, status, "{id}: {}", reply.text());
        serde_json::from_slice(&reply.body).unwrap_or(Value::Null)
    }

    #[track_caller]
    fn check(&self, operation: &Operation, reply: &Reply) {
        let id = &operation.id;
        let response = operation.responses.get(&reply.status).unwrap_or_else(|| {
            panic!("{id}: {} is not documented: {}", reply.status, reply.text())
        });
        let empty = serde_json::Map::new();
        let headers = response["headers"].as_object().unwrap_or(&empty);
        for (name, header) in headers {
            let header = self.resolve(header);
            let value = reply.header(&name.to_lowercase());
            assert!(value.is_some(), "{id} {}: no {name}", reply.status);
            let number = value.and_then(|v| v.parse::<u64>().ok()).map(Value::from);
            let wanted = header["schema"]["type"] == "integer";
            let value = match number {
                Some(number) if wanted => number,
                _ => json!(value),
            };
            self.valid(&header["schema"], &value, &format!("{id} {name}"));
        }
        let content = response["content"].as_object().unwrap_or(&empty);
        let kind = reply.header("content-type").unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default();
        match content.get(kind) {
            None => assert!(
                content.is_empty() && reply.body.is_empty(),
                "{id} {}: {kind:?} is not documented: {}",
                reply.status,
                reply.text()
            ),
            Some(media) if kind == "application/json" => {
                let body = serde_json::from_slice(&reply.body).unwrap();
                self.valid(&media["schema"], &body, &format!("{id} {}", reply.status));
            }
            Some(_) => assert!(!reply.body.is_empty(), "{id}: an empty body"),
        }
    }

    /// Validates against a schema of the document. Objects are closed here, so that a field that
    /// is not documented is found.
    #[track_caller]
    fn valid(&self, schema: &Value, value: &Value, what: &str) {
        let mut whole = schema.clone();
        whole["components"] = self.document["components"].clone();
        close(&mut whole);
        let validator = jsonschema::options()
            .with_draft(jsonschema::Draft::Draft202012)
            .should_validate_formats(true)
            .build(&whole)
            .unwrap();
        let faults: Vec<_> = validator
            .iter_errors(value)
            .map(|e| e.to_string())
            .collect();
        assert!(faults.is_empty(), "{what}: {faults:?} in {value}");
    }

    fn resolve<'a>(&'a self, value: &'a Value) -> &'a Value {
        resolved(&self.document, value)
    }

    /// 401, 403, 404, 413 and 415 wherever they are documented. `mine` fills the paths with what
    /// exists and belongs to `token`.
    fn refusals(&mut self, mine: &[(&str, &str)], token: &str, other: &str) {
        let none = [
            ("uid", NO_UID),
            ("username", "nobody-here"),
            ("name", "7-none.jpg"),
            ("rendition", "source"),
            ("segment", "AAAAAAAAAAA-1.ts"),
        ];
        for operation in self.operations.clone() {
            let (id, has) = (&operation.id, |status| {
                operation.responses.contains_key(&status)
            });
            let in_path = operation.path.contains('{');
            let kind = match id.starts_with("photo") && operation.has_body {
                true => "multipart/form-data; boundary=x",
                false => "application/json",
            };
            let mut tries = vec![];
            if has(401) {
                let query = if id == "token" { "?refresh=true" } else { "" };
                tries.push((401, mine, query, Sent::json("not.a.token", &Value::Null)));
            }
            if has(403) && in_path {
                // These pages are for everybody, their exports are not.
                let query = match id.as_str() {
                    "chat" | "roomQuestions" => "?format=csv",
                    _ => "",
                };
                tries.push((403, mine, query, Sent::json(other, &Value::Null)));
            }
            if has(404) {
                tries.push((404, &none[..], "", Sent::json(token, &Value::Null)));
            }
            if has(413) {
                let large = vec![
                    b' ';
                    if kind.starts_with("multi") {
                        3 << 20
                    } else {
                        70_000
                    }
                ];
                tries.push((413, mine, "", Sent::bytes(token, kind, large)));
            }
            if has(415) {
                tries.push((415, mine, "?token=x", Sent::bytes(token, "text/csv", "a,b")));
            }
            for (status, path, query, sent) in tries {
                let reply = self.send(id, path, query, &sent);
                assert_eq!(reply.status, status, "{id}: {}", reply.text());
            }
        }
    }

    /// What was promised and never seen.
    fn unseen(&self) -> Vec<(String, u16)> {
        let promised = self.operations.iter().flat_map(|one| {
            let statuses = one.responses.keys().copied();
            statuses.map(|status| (one.id.clone(), status))
        });
        promised
            .filter(|(id, status)| {
                let skipped = NOT_WALKED.iter().any(|(i, s)| i == id && s == status);
                *status != 503 && !skipped && !self.seen.contains(&(id.clone(), *status))
            })
            .collect()
    }
}

fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str() {
        Some(reference) => document.pointer(&reference[1..]).expect(reference),
        None => value,
    }
}

fn operations(document: &Value) -> Vec<Operation> {
    let mut all = vec![];
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in METHODS.iter().filter(|method| item[**method].is_object()) {
            let operation = &item[*method];
            let responses = operation["responses"].as_object().unwrap();
            let of = |(status, response): (&String, &Value)| {
                (
                    status.parse().unwrap(),
                    resolved(document, response).clone(),
                )
            };
            all.push(Operation {
                id: operation["operationId"].as_str().unwrap().to_owned(),
                method: (*method).to_owned(),
                path: path.clone(),
                responses: responses.iter().map(of).collect(),
                has_body: operation["requestBody"].is_object(),
            });
        }
    }
    all
}

/// Forbids fields that a schema does not name.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            let open = fields.get("properties").is_some_and(Value::is_object)
                && !fields.contains_key("additionalProperties");
            fields.values_mut().for_each(close);
            if open {
                fields.insert("additionalProperties".into(), json!(false));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

#[test]
fn every_operation_answers_as_documented() {
    let server = Process::start(&[
        ("CAUCE_AUTH__REQUIRE_ACTIVATION", "true"),
        ("CAUCE_LIMITS__LOGIN_ATTEMPTS", "3"),
        ("CAUCE_LIMITS__ENDED_WINDOW", "1s"),
    ]);
    let mut walk = Walk::new(server);
    let (ana, bea) = (accounts(&mut walk, "ana"), accounts(&mut walk, "bea"));
    server_and_accounts(&mut walk, &ana);
    channels(&mut walk, &ana, &bea);
    let uid = streams(&mut walk, &ana, &bea);
    let mine = [("uid", uid.as_str()), ("username", "ana")];
    walk.refusals(&mine, &ana, &bea);
    throttled(&mut walk);
    let unseen = walk.unseen();
    assert!(unseen.is_empty(), "documented and never seen: {unseen:?}");
}

/// Creates, activates, logs in; the activation code stands in the log, because there is no SMTP.
fn accounts(walk: &mut Walk, name: &str) -> String {
    let email = format!("{name}@example.org");
    let new = json!({ "username": name, "email": email, "password": PASSWORD,
        "birth_date": "1990/02/28", "gender": "other", "question_1": 1, "answer_1": "x" });
    walk.ask("token", &[], "?create=true", "", new.clone(), 200);
    walk.ask("token", &[], "?create=true", "", new, 400);
    let marker = format!("username=\"{name}\"");
    let code = until("the activation code in the log", 20, || {
        let log = walk.server.child.log();
        let plain: String = strip_colours(&log);
        let line = plain
            .lines()
            .find(|l| l.contains("activation code") && l.contains(&marker))?;
        let rest = line.split("code=\"").nth(1)?;
        Some(rest.split('"').next()?.to_owned())
    });
    let body = json!({ "email": email, "activation_code": code });
    walk.ask("token", &[], "?active=true", "", body, 200);
    let login = json!({ "username": name, "password": PASSWORD });
    let answer = walk.call("token", &[], "", login, 200);
    let token = answer["data"]["token"].as_str().unwrap().to_owned();
    walk.ask("token", &[], "?refresh=true", &token, Value::Null, 200);
    walk.ask(
        "token",
        &[],
        "?reset=1",
        "",
        json!({ "username": name }),
        200,
    );
    token
}

fn strip_colours(log: &str) -> String {
    let mut pieces = log.split('\u{1b}');
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |all, piece| {
        all + piece.split_once('m').map_or("", |(_, rest)| rest)
    })
}

fn server_and_accounts(walk: &mut Walk, ana: &str) {
    for id in [
        "health",
        "ready",
        "version",
        "metrics",
        "openapi",
        "asyncapi",
        "docs",
        "questions",
        "questionsAlias",
    ] {
        let reply = walk.send(id, &[], "", &Sent::default());
        assert_eq!(reply.status, 200, "{id}");
        if let Some(tag) = reply.header("etag") {
            let again = Sent::default().header("If-None-Match", tag);
            assert_eq!(walk.send(id, &[], "", &again).status, 304, "{id}");
        }
    }
    let me = [("username", "ana")];
    let shown = walk.call("user", &me, ana, Value::Null, 200);
    assert_eq!(shown["data"]["birth_date"], "1990-02-28");
    for id in ["editUser", "replaceUser"] {
        walk.call(
            id,
            &me,
            ana,
            json!({ "first_name": "Ana", "phone": "+34600000000" }),
            200,
        );
        walk.call(id, &me, ana, json!({ "gender": "none" }), 400);
    }
    let png = b"\x89PNG\r\n\x1a\n and so on";
    for id in ["photo", "photoPatch"] {
        let form = [
            b"--x\r\nContent-Disposition: form-data; name=\"photo\"; filename=\"a\"\r\n\r\n",
            &png[..],
            b"\r\n--x--\r\n",
        ]
        .concat();
        let kind = "multipart/form-data; boundary=x";
        let reply = walk.send(id, &me, "", &Sent::bytes(ana, kind, form));
        assert_eq!(reply.status, 200, "{}", reply.text());
        let answer: Value = serde_json::from_slice(&reply.body).unwrap();
        let url = answer["data"]["photo"].as_str().unwrap();
        let name = url.rsplit('/').next().unwrap();
        let file = walk.send("photoFile", &[("name", name)], "", &Sent::default());
        assert_eq!((file.status, &file.body[..]), (200, &png[..]));
        let empty = walk.send(id, &me, "", &Sent::bytes(ana, kind, "--x--\r\n"));
        assert_eq!(empty.status, 400);
    }
    walk.ask("resetPage", &[], "?token=none", "", Value::Null, 400);
    walk.ask(
        "reset",
        &[],
        "?token=none",
        "",
        json!({ "new_password": PASSWORD }),
        400,
    );
}

fn channels(walk: &mut Walk, ana: &str, bea: &str) {
    let new = json!({ "username": "ana", "name": "Ana's", "twitter": "ana" });
    walk.call("createChannel", &[], ana, json!({ "username": "ana" }), 400);
    walk.call("createChannel", &[], ana, new.clone(), 201);
    walk.call("createChannel", &[], ana, new.clone(), 409);
    let it = [("username", "ana")];
    for (id, body) in [
        ("editChannel", json!({ "description": "x" })),
        ("replaceChannel", new),
    ] {
        walk.call(id, &it, ana, body, 200);
        walk.call(id, &it, ana, json!({ "name": [] }), 400);
    }
    walk.call("subscribe", &it, bea, Value::Null, 201);
    let rows = walk.call("subscribers", &it, "", Value::Null, 200);
    assert_eq!(rows["data"][0]["username"], "bea");
    for token in ["", bea] {
        walk.call("channels", &[], token, Value::Null, 200);
        walk.call("channel", &it, token, Value::Null, 200);
    }
    let long = format!("?search={}", "x".repeat(300));
    walk.ask("channels", &[], &long, "", Value::Null, 400);
    walk.call("unsubscribe", &it, bea, Value::Null, 204);
    walk.call("channelKey", &it, ana, Value::Null, 200);
    let name = json!({ "username": "bea" });
    walk.call(
        "addModerator",
        &it,
        ana,
        json!({ "username": "nobody" }),
        400,
    );
    walk.call("addModerator", &it, ana, name.clone(), 201);
    let rows = walk.call("moderators", &it, ana, Value::Null, 200);
    assert_eq!(rows["data"][0]["username"], "bea");
    walk.call("removeModerator", &it, ana, json!({}), 400);
    walk.call("removeModerator", &it, ana, name, 204);
}

/// A stream's whole life; gives a stream that is pending.
fn streams(walk: &mut Walk, ana: &str, bea: &str) -> String {
    walk.call(
        "createStream",
        &[],
        ana,
        json!({ "record": "perhaps" }),
        400,
    );
    walk.call(
        "createStream",
        &[],
        bea,
        json!({ "channel_username": "ana" }),
        403,
    );
    let made = walk.call("createStream", &[], ana, json!({ "title": "One" }), 201);
    walk.call("createStream", &[], ana, json!({}), 409);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let uid = text(&made["uid"]);
    let it = [("uid", uid.as_str())];
    for id in ["chat", "roomQuestions"] {
        walk.call(id, &it, "", Value::Null, 200);
        walk.ask(id, &it, "?limit=abc", "", Value::Null, 400);
        let export = "?format=csv";
        let reply = walk.send(id, &it, export, &Sent::json(ana, &Value::Null));
        assert_eq!(reply.status, 200);
        walk.ask(id, &it, export, bea, Value::Null, 403);
    }
    for id in ["pauseStream", "resumeStream", "stopStream"] {
        walk.call(id, &it, ana, Value::Null, 409);
    }
    walk.call("deleteRecording", &it, ana, Value::Null, 409);
    walk.call("remind", &it, bea, Value::Null, 409);
    let started = walk.call("rotateKey", &it, ana, Value::Null, 200);
    walk.call("startStream", &it, ana, Value::Null, 200);
    let mut encoder = Encoder::publish(walk.server.rtmp, "live", &text(&started["key"])).unwrap();
    encoder.send_all(&Clip::Tiny.tags());
    let media = until("something to play", 30, || {
        let reply = walk.send(
            "mediaPlaylist",
            &[it[0], ("rendition", "source")],
            "",
            &Sent::default(),
        );
        (reply.status == 200).then(|| reply.text())
    });
    let name = media.lines().find(|line| line.ends_with(".ts")).unwrap();
    let segment = [
        it[0],
        ("rendition", "source"),
        ("segment", name.rsplit('/').next().unwrap()),
    ];
    playback(walk, &segment);
    let live = walk.call("stream", &it, "", Value::Null, 200);
    assert_eq!(live["status"], "live");
    assert!(
        live["video"]["source"].is_string() && live.get("key").is_none(),
        "{live}"
    );
    walk.call("cancelStream", &it, ana, Value::Null, 409);
    walk.call(
        "editStream",
        &it,
        ana,
        json!({ "program_date_time": "2030-01-01T00:00:00Z" }),
        409,
    );
    for (id, paused) in [("pauseStream", true), ("resumeStream", false)] {
        for _ in 0..2 {
            assert_eq!(
                walk.call(id, &it, ana, Value::Null, 200)["is_paused"],
                paused
            );
        }
    }
    for _ in 0..2 {
        let stopped = walk.call("stopStream", &it, ana, Value::Null, 200);
        assert_eq!(stopped["ended_reason"], "stopped");
    }
    for id in ["startStream", "rotateKey"] {
        walk.call(id, &it, ana, Value::Null, 409);
    }
    until("the recording", 30, || {
        let reply = walk.send("recording", &segment, "", &Sent::default());
        (reply.status == 200).then_some(())
    });
    conditional(walk, "recording", &segment);
    ranges(walk, "recording", &segment);
    walk.call("deleteRecording", &it, ana, Value::Null, 204);
    scheduled(walk, ana, bea);
    let next = walk.call("createStream", &[], ana, json!({ "title": "Two" }), 201);
    let uid = text(&next["uid"]);
    let it = [("uid", uid.as_str())];
    walk.call("editStream", &it, ana, json!({ "description": "d" }), 200);
    walk.call("editStream", &it, ana, json!({ "title": {} }), 400);
    for query in [
        "",
        "?status=live",
        "?status__in=pending,finished&limit=1",
        "?channel=ana&search=one",
    ] {
        walk.ask("streams", &[], query, bea, Value::Null, 200);
    }
    walk.ask("streams", &[], "?limit=abc", "", Value::Null, 400);
    uid
}

fn scheduled(walk: &mut Walk, ana: &str, bea: &str) {
    let body = json!({ "program_date_time": "2099-01-01T10:00:00+01:00" });
    let made = walk.call("createStream", &[], ana, body, 201);
    assert_eq!(made["program_date_time"], "2099-01-01T09:00:00.000Z");
    let it = [("uid", made["uid"].as_str().unwrap())];
    walk.call("remind", &it, bea, Value::Null, 201);
    walk.call("forgetReminder", &it, bea, Value::Null, 204);
    for _ in 0..2 {
        let cancelled = walk.call("cancelStream", &it, ana, Value::Null, 200);
        assert_eq!(cancelled["status"], "cancel");
    }
}

/// Playlists, a segment and the thumbnail: whole, unchanged, in part.
fn playback(walk: &mut Walk, segment: &[(&str, &str)]) {
    until("the thumbnail", 30, || {
        let reply = walk.send("thumbnail", segment, "", &Sent::default());
        (reply.status == 200).then_some(())
    });
    for id in ["multivariant", "mediaPlaylist", "segment", "thumbnail"] {
        conditional(walk, id, segment);
    }
    ranges(walk, "segment", segment);
}

fn conditional(walk: &mut Walk, id: &str, segment: &[(&str, &str)]) {
    let reply = walk.send(id, segment, "", &Sent::default());
    assert_eq!(reply.status, 200, "{id}");
    let again = Sent::default().header("If-None-Match", reply.header("etag").unwrap());
    assert_eq!(walk.send(id, segment, "", &again).status, 304, "{id}");
    let odd = [("uid", "%2f"), segment[1], segment[2]];
    assert_eq!(
        walk.send(id, &odd, "", &Sent::default()).status,
        400,
        "{id}"
    );
}

fn ranges(walk: &mut Walk, id: &str, segment: &[(&str, &str)]) {
    for (range, status) in [("bytes=0-9", 206), ("bytes=99999999-", 416)] {
        let part = Sent::default().header("Range", range);
        assert_eq!(walk.send(id, segment, "", &part).status, status);
    }
}

/// Last, because it closes logins for a while. Metrics refuse only other networks than this one.
fn throttled(walk: &mut Walk) {
    let wrong = json!({ "username": "bea", "password": "wrong-wrong-wrong" });
    let last = (0..4).map(|_| walk.send("token", &[], "", &Sent::json("", &wrong)).status);
    assert_eq!(last.last(), Some(429));
    let strict = Process::start(&[("CAUCE_METRICS__ALLOW", "192.0.2.0/24")]);
    let reply = strict.get("/metrics");
    walk.check(&walk.operation("metrics"), &reply);
    walk.seen.insert(("metrics".into(), reply.status));
}

/// Every path that could be made of the words in the routers' sources is asked for; each that leads
/// somewhere must be in the document.
#[test]
fn every_route_is_documented() {
    let yaml = fs::read_to_string(root().join("docs/openapi.yaml")).unwrap();
    let document: Value = serde_yaml_ng::from_str(&yaml).unwrap();
    let documented = operations(&document);
    let paths = candidates();
    assert!(paths.len() > 1000, "{}", paths.len());
    let mut found = 0;
    for path in &paths {
        let allowed = cauce::api::Head::allowed(path);
        let rest = allowed
            .split(", ")
            .filter(|m| !matches!(*m, "" | "HEAD" | "OPTIONS"));
        let mut methods: Vec<_> = rest.map(str::to_lowercase).collect();
        use cauce::http::route::{self, Route};
        match route::parse(&Method::GET, path) {
            // Pages are for people, and the WebSocket has its own document.
            Ok(
                Route::Socket(_)
                | Route::Home
                | Route::Watch(_)
                | Route::Studio
                | Route::StudioVoice(_)
                | Route::Embed(_)
                | Route::Asset(_),
            )
            | Err(_) => {}
            Ok(_) => methods.push("get".into()),
        }
        for method in methods {
            found += 1;
            let known = documented
                .iter()
                .any(|one| one.method == method && matches(&one.path, path));
            assert!(known, "{method} {path} is not in docs/openapi.yaml");
        }
    }
    assert!(found > 20, "{found}");
}

/// Paths of up to four parts.
fn candidates() -> Vec<String> {
    let mut words: BTreeSet<String> = [NO_UID, "ana", "source"].map(str::to_owned).into();
    for entry in fs::read_dir(root().join("src/api")).unwrap() {
        let path = entry.unwrap().path();
        if path.to_string_lossy().ends_with("route.rs") {
            words.extend(literals(&fs::read_to_string(path).unwrap()));
        }
    }
    words.extend(literals(
        &fs::read_to_string(root().join("src/http/route.rs")).unwrap(),
    ));
    let mut all = vec![];
    let mut longest: Vec<String> = vec![String::new()];
    for _ in 1..=3 {
        longest = longest
            .iter()
            .flat_map(|path| words.iter().map(move |word| format!("{path}/{word}")))
            .collect();
        all.extend(longest.iter().cloned());
    }
    all.extend(
        ["index.m3u8", "AAAAAAAAAAA-1.ts"].map(|file| format!("/live/{NO_UID}/source/{file}")),
    );
    all
}

/// The quoted words of a source before its tests that could stand in a path.
fn literals(source: &str) -> Vec<String> {
    let code = source.split("#[cfg(test)]").next().unwrap_or_default();
    let quoted = code.split('"').skip(1).step_by(2);
    let plain = |word: &&str| {
        !word.is_empty()
            && word.len() < 24
            && word
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b"._".contains(&b) || b.is_ascii_digit())
    };
    quoted.filter(plain).map(str::to_owned).collect()
}

fn matches(template: &str, path: &str) -> bool {
    let parts = |text: &str| {
        text.trim_matches('/')
            .split('/')
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let (template, path) = (parts(template), parts(path));
    template.len() == path.len()
        && template
            .iter()
            .zip(&path)
            .all(|(t, p)| t.starts_with('{') || t == p)
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
