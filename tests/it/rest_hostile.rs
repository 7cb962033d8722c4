//! What the REST API does with requests that no honest client sends, over real sockets. It does not
//! know the API's good side: openapi.rs walks that.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::support::{
    Process,
    http::{self, Reply},
    rest::{self, PASSWORD, Sent, account, call},
};

const NO_UID: &str = "AAAAAAAAAAAAAAAAAAAAAA";
const NASTY: [&str; 8] = [
    "' OR 1=1 --",
    "\"; DROP TABLE users; --",
    "../../../../etc/passwd",
    "..\\..\\x",
    "%00%2e%2e%2f",
    "<script>alert(1)</script>",
    "{{7*7}}${jndi:ldap://x}",
    "\u{202e}\u{200b}\u{feff}",
];

/// An answer says what was wrong in one of the three shapes, and nothing of the inside.
#[track_caller]
fn refused(reply: &Reply, status: u16) {
    assert_eq!(reply.status, status, "{}", reply.text());
    let body: Value = serde_json::from_slice(&reply.body).unwrap();
    let fields = body.as_object().expect("an object");
    let detail = fields.contains_key("detail") && fields["code"].is_string();
    let by_field = fields.values().all(Value::is_array);
    assert!(!fields.is_empty() && (detail || by_field), "{body}");
    let text = body.to_string().to_lowercase();
    for inside in [
        "sqlite",
        "select ",
        "constraint",
        "panicked",
        ".rs:",
        "/tmp/",
        "cauce.db",
    ] {
        assert!(!text.contains(inside), "{inside} in {body}");
    }
    assert!(reply.header("x-request-id").is_some());
}

fn post(
    server: &Process,
    token: &str,
    target: &str,
    kind: &str,
    body: impl Into<Vec<u8>>,
) -> Reply {
    rest::send(server.http, "POST", target, &Sent::bytes(token, kind, body))
}

#[test]
fn bodies_that_are_none() {
    let server = Process::start(&[]);
    let ana = account(server.http, "ana");
    let deep = "[".repeat(50_000);
    for target in [
        "/token/",
        "/token/?create=true",
        "/streams/",
        "/channels/",
        "/reset/?token=x",
    ] {
        for (kind, body, status) in [
            ("application/json", "{", 400),
            ("application/json", "[]", 400),
            ("application/json", "\"x\"", 400),
            ("application/json", "nul", 400),
            ("application/json", "{\"title\":\"\u{0}\"}", 400),
            ("application/json", deep.as_str(), 400),
            ("text/plain", "{}", 415),
            ("application/xml", "<a/>", 415),
            ("multipart/form-data; boundary=x", "--x--", 415),
        ] {
            refused(&post(&server, &ana, target, kind, body), status);
        }
        refused(
            &post(&server, &ana, target, "application/json", vec![0xff, 0xfe]),
            400,
        );
        let large = format!("{{\"title\":\"{}\"}}", "x".repeat(200_000));
        refused(&post(&server, &ana, target, "application/json", large), 413);
    }
    for body in [
        json!({ "title": {} }),
        json!({ "title": true }),
        json!({ "record": 7 }),
        json!({ "title": "x".repeat(201) }),
    ] {
        let (status, answer) = call(server.http, &ana, "POST", "/streams/", &body);
        assert_eq!(status, 400, "{body}: {answer}");
    }
    // Nothing of all that was half done.
    let (_, page) = call(server.http, &ana, "GET", "/streams/", &Value::Null);
    assert_eq!(page["count"], 0);
}

/// A token made by hand.
fn forge(header: &Value, claims: &Value, key: &[u8]) -> String {
    let text = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", text(header), text(claims));
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(message.as_bytes());
    format!(
        "{message}.{}",
        URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
    )
}

fn part(token: &str, index: usize) -> Value {
    let part = token.split('.').nth(index).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

#[test]
fn tokens_that_are_not_ours() {
    let server = Process::start(&[]);
    let good = account(server.http, "ana");
    let (header, claims) = (part(&good, 0), part(&good, 1));
    let secret = std::fs::read(server.data_dir.join("jwt.key")).unwrap();
    let with = |name: &str, value: Value| {
        let mut changed = claims.clone();
        changed[name] = value;
        changed
    };
    let signature = good.rsplit('.').next().unwrap();
    let mut bad = vec![
        "x".to_owned(),
        "a.b.c".to_owned(),
        "..".to_owned(),
        "x".repeat(5000),
        good[..good.len() - 3].to_owned(),
        format!("{good}x"),
        // The claims changed under the good signature.
        format!(
            "{}.{}.{signature}",
            good.split('.').next().unwrap(),
            URL_SAFE_NO_PAD.encode(with("user_id", json!(1)).to_string() + " ")
        ),
    ];
    let now = claims["iat"].as_i64().unwrap();
    for key in [&b"another key that is long enough, 32+"[..], &secret, b""] {
        for claims in [
            claims.clone(),
            with("exp", json!(now - 1)),
            with("iat", json!(now + 90_000)),
        ] {
            bad.push(forge(&header, &claims, key));
        }
    }
    for algorithm in ["none", "None", "RS256", "HS512", "ES256", ""] {
        let mut other = header.clone();
        other["alg"] = json!(algorithm);
        let forged = forge(&other, &claims, &secret);
        bad.push(forged.rsplit_once('.').unwrap().0.to_owned() + ".");
        bad.push(forged);
    }
    for token in &bad {
        for (method, target) in [
            ("GET", "/users/ana/"),
            ("GET", "/streams/"),
            ("POST", "/token/?refresh=true"),
        ] {
            let reply = rest::send(
                server.http,
                method,
                target,
                &Sent::json(token, &Value::Null),
            );
            refused(&reply, 401);
            assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
        }
    }
    assert_eq!(
        call(server.http, &good, "GET", "/users/ana/", &Value::Null).0,
        200
    );
}

#[test]
fn an_expired_token() {
    let server = Process::start(&[("CAUCE_AUTH__TOKEN_TTL", "1s")]);
    let token = account(server.http, "ana");
    let reply = crate::support::until("the token's end", 10, || {
        let reply = rest::send(
            server.http,
            "GET",
            "/users/ana/",
            &Sent::json(&token, &Value::Null),
        );
        (reply.status != 200).then_some(reply)
    });
    refused(&reply, 401);
    assert!(
        reply.text().contains("\"token_expired\""),
        "{}",
        reply.text()
    );
    // The upgrade of a WebSocket says the same.
    let stream = server.create();
    let bearer = format!("Bearer {token}");
    let upgrade = crate::support::http::send(
        server.http,
        "GET",
        &format!("/ws/streams/{}/", stream.uid),
        &[("Authorization", &bearer)],
    );
    refused(&upgrade, 401);
    assert_eq!(upgrade.text(), reply.text());
}

#[test]
fn what_belongs_to_others_or_to_nobody() {
    let server = Process::start(&[]);
    let (ana, eve) = (account(server.http, "ana"), account(server.http, "eve"));
    let (_, stream) = call(server.http, &ana, "POST", "/streams/", &json!({}));
    let uid = stream["uid"].as_str().unwrap();
    let patch = json!({ "title": "taken", "description": "taken" });
    let mut calls = vec![
        ("PATCH", String::new()),
        ("DELETE", "recording/".to_owned()),
    ];
    calls.extend(
        ["start", "pause", "resume", "stop", "cancel", "key"].map(|a| ("POST", format!("{a}/"))),
    );
    for (method, rest) in &calls {
        for (uid, token, status) in [
            (uid, &eve, 403),
            (uid, &String::new(), 401),
            (NO_UID, &ana, 404),
        ] {
            let sent = Sent::json(token, &patch);
            refused(
                &rest::send(
                    server.http,
                    method,
                    &format!("/streams/{uid}/{rest}"),
                    &sent,
                ),
                status,
            );
        }
    }
    for (method, path) in [
        ("GET", "/users/ana/"),
        ("PATCH", "/users/ana/"),
        ("PUT", "/users/ana/"),
        ("PUT", "/users/ana/photo/"),
        ("PATCH", "/channels/ana/"),
        ("GET", "/channels/ana/stream"),
    ] {
        refused(
            &rest::send(server.http, method, path, &Sent::json(&eve, &patch)),
            403,
        );
        refused(
            &rest::send(server.http, method, path, &Sent::json("", &patch)),
            401,
        );
    }
    let (_, after) = call(
        server.http,
        &ana,
        "GET",
        &format!("/streams/{uid}/"),
        &Value::Null,
    );
    assert_eq!(after, stream, "untouched, with the same key");
    let (_, public) = call(
        server.http,
        &eve,
        "GET",
        &format!("/streams/{uid}/"),
        &Value::Null,
    );
    assert!(
        public.get("key").is_none() && public.get("rtmp_url").is_none(),
        "{public}"
    );
}

#[test]
fn odd_characters_everywhere() {
    let server = Process::start(&[]);
    let ana = account(server.http, "ana");
    for query in [
        "limit=abc",
        "limit=-1",
        "limit=1e3",
        "offset=0x10",
        "offset=99999999999999999999",
        "status=dead",
        "status__in=live,dead",
    ] {
        refused(
            &rest::send(
                server.http,
                "GET",
                &format!("/streams/?{query}"),
                &Sent::default(),
            ),
            400,
        );
    }
    for nasty in NASTY {
        let encoded = cauce_encode(nasty);
        for target in [
            format!("/streams/?search={encoded}&channel={encoded}"),
            format!("/channels/?search={encoded}"),
        ] {
            let (status, _) = call(server.http, "", "GET", &target, &Value::Null);
            assert_eq!(status, 200, "{target}");
        }
        for target in [
            format!("/streams/{encoded}/"),
            format!("/channels/{encoded}/"),
            format!("/photos/{encoded}"),
        ] {
            refused(
                &rest::send(server.http, "GET", &target, &Sent::default()),
                404,
            );
        }
        let login = json!({ "username": nasty, "password": nasty });
        assert_eq!(
            call(server.http, "", "POST", "/token/", &login).0,
            400,
            "{nasty}"
        );
        let new = json!({ "username": nasty, "email": "n@example.org", "password": PASSWORD });
        assert_eq!(
            call(server.http, "", "POST", "/token/?create=true", &new).0,
            400,
            "{nasty}"
        );
        // What may be any text comes back as it was.
        let time = "2099-01-01T00:00:00Z";
        let body = json!({ "title": nasty, "description": nasty, "program_date_time": time });
        let (status, made) = call(server.http, &ana, "POST", "/streams/", &body);
        assert_eq!(status, 201, "{made}");
        assert_eq!(made["title"], nasty.trim());
    }
    let long =
        json!({ "username": "u".repeat(300), "email": "l@example.org", "password": PASSWORD });
    refused(
        &post(
            &server,
            "",
            "/token/?create=true",
            "application/json",
            long.to_string(),
        ),
        400,
    );
}

fn cauce_encode(text: &str) -> String {
    text.bytes().map(|b| format!("%{b:02X}")).collect()
}

#[test]
fn names_that_look_the_same_are_the_same() {
    let server = Process::start(&[]);
    account(server.http, "andrea");
    for (n, twin) in ["Andrea", "ANDREA", "\u{ff41}ndrea", "andre\u{1d5ba}"]
        .iter()
        .enumerate()
    {
        let new =
            json!({ "username": twin, "email": format!("{n}@example.org"), "password": PASSWORD });
        let (status, answer) = call(server.http, "", "POST", "/token/?create=true", &new);
        assert_eq!(status, 400, "{twin}: {answer}");
        assert!(answer["username"].is_array(), "{answer}");
    }
    let new = json!({ "username": "other", "email": "ANDREA@example.org", "password": PASSWORD });
    let (status, answer) = call(server.http, "", "POST", "/token/?create=true", &new);
    assert!(status == 400 && answer["email"].is_array(), "{answer}");
    // Neither account nor channel was half made.
    let (_, channels) = call(server.http, "", "GET", "/channels/", &Value::Null);
    assert_eq!(channels["data"].as_array().unwrap().len(), 1, "{channels}");
}

#[test]
fn ten_wrong_logins_rest() {
    let server = Process::start(&[]);
    account(server.http, "ana");
    account(server.http, "bea");
    let wrong = json!({ "username": "ana", "password": "not-the-password" }).to_string();
    let replies: Vec<_> = (0..10)
        .map(|_| post(&server, "", "/token/", "application/json", wrong.clone()))
        .collect();
    let first = String::from_utf8_lossy(&replies[0].body).into_owned();
    assert!(
        first.contains("Unable to login with provided credentials."),
        "{first}"
    );
    let last = &replies[9];
    refused(last, 429);
    let wait: u64 = last.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=300).contains(&wait), "{wait}");
    // The right password waits too; others do not.
    let right = json!({ "username": "ana", "password": PASSWORD }).to_string();
    refused(
        &post(&server, "", "/token/", "application/json", right),
        429,
    );
    rest::log_in(server.http, "bea");
}

#[test]
fn a_body_that_never_comes() {
    let server = Process::start(&[("CAUCE_LIMITS__HTTP_BODY_TIMEOUT", "300ms")]);
    let mut slow = TcpStream::connect(server.http).unwrap();
    slow.set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let head = "POST /token/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 60\r\n\r\n{";
    slow.write_all(head.as_bytes()).unwrap();
    let mut answer = vec![];
    // The server answers and closes: this read ends by itself.
    let _ = slow.read_to_end(&mut answer);
    refused(&http::parse(&answer, false).expect("an answer"), 408);
    assert_eq!(server.get("/healthz").status, 200);
}

#[test]
fn nothing_secret_is_told() {
    let server = Process::start(&[("CAUCE_LOG__LEVEL", "debug")]);
    let ana = account(server.http, "ana");
    let (_, stream) = call(server.http, &ana, "POST", "/streams/", &json!({}));
    let (_, channel) = call(
        server.http,
        &ana,
        "GET",
        "/channels/ana/stream",
        &Value::Null,
    );
    let key = stream["key"].as_str().unwrap().to_owned();
    let login = json!({ "username": "ana", "password": "Wrong-Pa55word" });
    let mut answers = call(server.http, "", "POST", "/token/", &login)
        .1
        .to_string();
    for (method, target) in [
        ("GET", "/streams/"),
        ("GET", "/channels/"),
        ("GET", "/reset/?token=S3cretResetToken"),
        ("POST", "/token/?refresh=true&token=S3cretResetToken"),
    ] {
        answers += &rest::send(server.http, method, target, &Sent::default()).text();
    }
    let refusal = crate::support::Encoder::publish(server.rtmp, "live", &format!("{key}?x=1"));
    drop(refusal);
    let log = server.child.log();
    let signature = ana.rsplit('.').next().unwrap();
    for secret in [
        PASSWORD,
        "Wrong-Pa55word",
        "S3cretResetToken",
        signature,
        &key,
        channel["key"].as_str().unwrap(),
    ] {
        assert!(!log.contains(secret), "{secret} is in the log");
        assert!(!answers.contains(secret), "{secret} is in an answer");
    }
    assert!(
        !answers.contains("password_hash") && !answers.contains("argon2"),
        "{answers}"
    );
}
