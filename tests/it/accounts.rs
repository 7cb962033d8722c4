//! Accounts from outside: the whole walk with a real mail server, and what bad input is answered. It
//! does not know how anything is stored.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::support::{
    Process, Server,
    http::{parse, send},
    mailbox::Mailbox,
    rest::{call, exchange},
    server::{run, run_json},
};

const PASSWORD: &str = "correct horse battery";
const JSON: (&str, &str) = ("Content-Type", "application/json");

fn claims(token: &str) -> Value {
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

#[track_caller]
fn token((status, body): (u16, Value)) -> String {
    assert_eq!(status, 200, "{body}");
    body["data"]["token"].as_str().unwrap().to_owned()
}

fn person(username: &str) -> Value {
    json!({
        "username": username, "email": format!("{username}@test.example"), "password": PASSWORD,
    })
}

/// The first run of digits of this length.
fn digits(text: &str, length: usize) -> Option<String> {
    text.split(|c: char| !c.is_ascii_digit())
        .find(|run| run.len() == length)
        .map(str::to_owned)
}

#[test]
fn an_account_lives_by_letters_and_the_log_keeps_its_secrets() {
    let mailbox = Mailbox::start();
    let url = mailbox.url();
    let server = Process::start(&[
        ("CAUCE_SMTP__URL", &url),
        ("CAUCE_SMTP__FROM", "cauce <noreply@test.example>"),
        ("CAUCE_HTTP__PUBLIC_URL", "https://media.test.example"),
        ("CAUCE_LOG__LEVEL", "debug"),
    ]);
    let post =
        |target: &str, token: &str, body: Value| call(server.http, token, "POST", target, &body);
    let login = |name: &str, password: &str| {
        post(
            "/token/",
            "",
            json!({ "username": name, "password": password }),
        )
    };

    let mut ana = person("Ana");
    ana["phone"] = json!("+34 600 111 222");
    let created = post("/token/?create=true", "", ana);
    assert_eq!(
        created,
        (200, json!({ "status": true, "message": "User created" }))
    );
    let code = digits(&mailbox.text("Ana@test.example", 0), 6).unwrap();
    assert_eq!(login("ana", "wrong password").0, 400);
    let body = json!({ "email": "ana@test.example", "activation_code": code });
    let first = token(post("/token/?active=true", "", body));

    for name in ["ana", "ANA@test.example", "+34600111222"] {
        let claims = claims(&token(login(name, PASSWORD)));
        let mut names: Vec<_> = claims.as_object().unwrap().keys().cloned().collect();
        names.sort();
        assert_eq!(
            names,
            ["exp", "iat", "jti", "orig_iat", "user_id", "username"]
        );
        assert_eq!(
            claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(),
            3600
        );
    }
    let renewed = token(post("/token/?refresh=true", &first, Value::Null));
    assert_eq!(claims(&renewed)["orig_iat"], claims(&first)["orig_iat"]);
    assert_ne!(renewed, first);

    let asked = post("/token/?reset=true", "", json!({ "username": "ana" }));
    assert_eq!(
        asked,
        post("/token/?reset=true", "", json!({ "username": "nobody" }))
    );
    for nobody in [
        json!({ "email": "nobody@test.example" }),
        json!({ "phone": "+34 600 000 000" }),
        json!({ "username": null, "email": "not even an address" }),
    ] {
        assert_eq!(asked, post("/token/?reset=true", "", nobody));
    }
    assert_eq!(post("/token/?reset=true", "", json!({})).0, 400);
    let letter = mailbox.text("Ana@test.example", 1);
    let link = letter
        .lines()
        .find(|line| line.contains("/reset/?token="))
        .unwrap();
    let raw = mailbox.raw("Ana@test.example", 1);
    assert!(raw.lines().any(|line| line == link), "it is whole:\n{raw}");
    let target = link
        .trim()
        .strip_prefix("https://media.test.example")
        .unwrap();
    let form = send(server.http, "GET", target, &[]);
    assert_eq!(form.status, 200);
    assert_eq!(form.header("referrer-policy"), Some("no-referrer"));
    let policy = form.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    let change = json!({ "new_password": "a new one, longer" });
    assert_eq!(post(target, "", change.clone()).0, 200);
    assert_eq!(post(target, "", change).0, 400, "once");
    for old in [&first, &renewed] {
        let read = call(server.http, old, "GET", "/users/ana/", &Value::Null);
        assert_eq!(read.0, 401);
    }
    assert_eq!(login("ana", PASSWORD).0, 400);
    let last = token(login("ana", "a new one, longer"));
    let (status, user) = call(server.http, &last, "GET", "/users/ana", &Value::Null);
    assert_eq!((status, &user["data"]["username"]), (200, &json!("Ana")));

    let log = server.child.log();
    assert!(log.contains("/reset/"), "the walk is in the log");
    let reset = target.split_once('=').unwrap().1;
    for secret in [
        PASSWORD,
        "a new one",
        "wrong password",
        &first,
        &last,
        reset,
        &code,
    ] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}

#[test]
fn activation_without_a_mail_server_shows_the_code_to_the_operator() {
    let mut server = Process::start(&[("CAUCE_AUTH__REQUIRE_ACTIVATION", "true")]);
    let create = "/token/?create=true";
    assert_eq!(call(server.http, "", "POST", create, &person("ana")).0, 200);
    let code = server.child.line("code", 10, |line| {
        let line = line.contains("WARN").then_some(line)?;
        digits(line.split_once("activation code")?.1, 6)
    });
    let body = json!({ "email": "ana@test.example", "activation_code": code });
    token(call(
        server.http,
        "",
        "POST",
        "/token/?activate=true",
        &body,
    ));
}

#[test]
fn operators_make_and_ban_accounts_beside_the_server() {
    let server = Server::start();
    let ana = [
        "user",
        "create",
        "ana",
        "--email",
        "ana@test.example",
        "--password",
        PASSWORD,
        "--json",
    ];
    assert_eq!(run_json(&server.data_dir, &ana)["username"], "ana");
    assert_eq!(run(&server.data_dir, &ana).status.code(), Some(1), "taken");
    let body = json!({ "username": "ana", "password": PASSWORD });
    let token = token(call(server.http, "", "POST", "/token/", &body));
    run_json(&server.data_dir, &["user", "ban", "ana", "--json"]);
    crate::support::until("the ban", 5, || {
        let read = call(server.http, &token, "GET", "/users/ana/", &Value::Null);
        (read.0 == 401).then_some(())
    });
    assert_eq!(call(server.http, "", "POST", "/token/", &body).0, 400);
}

#[test]
fn bad_bodies_have_their_answers() {
    let server = Server::start();
    let target = "/token/?create=true";
    let large = vec![b' '; 200_000];
    for (kind, body, status) in [
        ("application/json", &b"{"[..], 400),
        ("application/json", b"[1]", 400),
        (
            "application/json",
            b"{\"username\":{},\"email\":1,\"password\":[]}",
            400,
        ),
        ("application/json", b"\xff\xfe", 400),
        ("application/json", &large, 413),
        ("text/plain", b"{}", 415),
        ("application/xml", b"<a/>", 415),
        ("multipart/form-data; boundary=x", b"--x--", 415),
    ] {
        let reply = exchange(server.http, "POST", target, &[("Content-Type", kind)], body);
        assert_eq!(reply.status, status, "{kind} {}", reply.text());
        assert_eq!(reply.header("content-type"), Some("application/json"));
        assert_eq!(reply.header("cache-control"), Some("no-store"));
        assert!(reply.header("x-request-id").is_some());
    }
    let form = ("Content-Type", "application/x-www-form-urlencoded");
    let body =
        format!("username=ana&email=ana%40test.example&password={PASSWORD}").replace(' ', "+");
    let reply = exchange(server.http, "POST", target, &[form], body.as_bytes());
    assert_eq!(reply.status, 200, "{}", reply.text());
}

#[test]
fn forged_tokens_are_refused() {
    let server = Server::start();
    assert_eq!(
        call(
            server.http,
            "",
            "POST",
            "/token/?create=true",
            &person("ana")
        )
        .0,
        200
    );
    let body = json!({ "username": "ana", "password": PASSWORD });
    let good = token(call(server.http, "", "POST", "/token/", &body));
    let mut parts = good.split('.');
    let (head, payload, signature) = (
        parts.next().unwrap(),
        parts.next().unwrap(),
        parts.next().unwrap(),
    );
    let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
    let mut other = claims(&good);
    other["user_id"] = json!(2);
    let other = URL_SAFE_NO_PAD.encode(other.to_string());
    for bad in [
        format!("{none}.{payload}."),
        format!("{none}.{payload}.{signature}"),
        format!("{head}.{other}.{signature}"),
        format!("{head}.{payload}."),
        "nonsense".to_owned(),
        "a".repeat(6000),
    ] {
        let (status, body) = call(server.http, &bad, "GET", "/users/ana/", &Value::Null);
        assert_eq!(status, 401, "{bad}");
        assert!(
            body["detail"].is_string() && body["code"].is_string(),
            "{body}"
        );
    }
    assert_eq!(
        call(server.http, "", "GET", "/users/ana/", &Value::Null).0,
        401
    );
    assert_eq!(
        call(server.http, &good, "GET", "/users/ana/", &Value::Null).0,
        200
    );
}

#[test]
fn a_body_that_drips_is_not_waited_for() {
    let server = Server::with(|config| {
        config.limits.http_body_timeout = Duration::from_millis(300);
    });
    let mut socket = TcpStream::connect(server.http).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(15)))
        .unwrap();
    let head = "POST /token/ HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n\
                Content-Length: 100\r\n\r\n{";
    socket.write_all(head.as_bytes()).unwrap();
    let mut answer = vec![];
    socket.read_to_end(&mut answer).unwrap();
    assert_eq!(parse(&answer, false).unwrap().status, 408);
}

#[test]
fn paths_methods_and_origins() {
    let server = Server::with(|config| {
        config.http.allowed_origins = vec!["https://studio.example".into()];
    });
    for (method, path, status) in [
        ("GET", "/questions", 200),
        ("GET", "/questions/", 200),
        ("HEAD", "/question/", 200),
        ("POST", "/questions/", 405),
        ("TRACE", "/token/", 405),
        ("GET", "/token/", 405),
        ("GET", "/nothing/", 404),
        ("GET", "/users/..%2f..%2fetc%2fpasswd/", 401),
        ("GET", "/users/%00/", 401),
        ("GET", "/users/%ff/", 404),
        ("GET", "/users//", 404),
        ("OPTIONS", "/questions/", 204),
        ("OPTIONS", "/nothing/", 404),
    ] {
        let reply = send(server.http, method, path, &[]);
        assert_eq!(reply.status, status, "{method} {path}");
        assert!(reply.header("location").is_none());
        if status == 405 {
            assert!(reply.header("allow").is_some(), "{method} {path}");
        }
    }
    let ours = ("Origin", "https://studio.example");
    let reply = send(server.http, "OPTIONS", "/token/", &[ours]);
    assert_eq!(reply.header("access-control-allow-origin"), Some(ours.1));
    let headers = reply.header("access-control-allow-headers").unwrap();
    assert_eq!(headers, "Authorization, Content-Type");
    let reply = send(server.http, "GET", "/questions/", &[ours]);
    assert_eq!(reply.header("access-control-allow-origin"), Some(ours.1));
    let theirs = ("Origin", "https://evil.example");
    let reply = send(server.http, "GET", "/questions/", &[theirs]);
    assert_eq!(reply.header("access-control-allow-origin"), None);
    assert_eq!(reply.header("vary"), Some("Origin"));
}

#[test]
fn a_photo_is_served_to_everyone_under_its_own_name() {
    let server = Server::start();
    call(
        server.http,
        "",
        "POST",
        "/token/?create=true",
        &person("ana"),
    );
    let body = json!({ "username": "ana", "password": PASSWORD });
    let bearer = format!(
        "Bearer {}",
        token(call(server.http, "", "POST", "/token/", &body))
    );
    let png = b"\x89PNG\r\n\x1a\nand so on";
    let head = "--x\r\nContent-Disposition: form-data; name=\"photo\"; filename=\"a.png\"\r\n\r\n";
    let form = [head.as_bytes(), png, b"\r\n--x--\r\n"].concat();
    let headers = [
        ("Authorization", bearer.as_str()),
        ("Content-Type", "multipart/form-data; boundary=x"),
    ];
    let reply = exchange(server.http, "PATCH", "/users/ana/photo", &headers, &form);
    assert_eq!(reply.status, 200, "{}", reply.text());
    let body: Value = serde_json::from_slice(&reply.body).unwrap();
    let url = body["data"]["photo"].as_str().unwrap();
    let path = url
        .strip_prefix(&format!("http://{}", server.http))
        .unwrap();
    let shown = send(server.http, "GET", path, &[]);
    assert_eq!((shown.status, shown.body.as_slice()), (200, &png[..]));
    assert_eq!(shown.header("content-type"), Some("image/png"));
    assert_eq!(shown.header("x-content-type-options"), Some("nosniff"));
    assert!(shown.header("cache-control").unwrap().contains("immutable"));
    let large = [&form[..], &vec![0; 3 << 20]].concat();
    let refused = exchange(server.http, "PUT", "/users/ana/photo/", &headers, &large);
    assert_eq!(refused.status, 413);
    let reply = exchange(
        server.http,
        "PUT",
        "/users/ana/photo/",
        &[headers[0], JSON],
        b"{}",
    );
    assert_eq!(reply.status, 415);
}
