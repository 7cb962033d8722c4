//! Accounts as clients use them, call by call. It does not know HTTP.

use std::time::Duration;

use serde_json::{Value, json};

use super::testing::{Fixture, request, request_of};
use super::{Content, Reply, Request};
use crate::auth::KeyHash;

const PASSWORD: &str = "correct horse";

fn person(username: &str) -> Value {
    json!({
        "username": username, "email": format!("{username}@test.example"), "password": PASSWORD,
    })
}

async fn create(site: &Fixture, body: Value) -> (u16, Value) {
    site.call("", "POST", "/token/?create=true", body).await
}

async fn log_in(site: &Fixture, login: &str, password: &str) -> (u16, Value) {
    let body = json!({ "username": login, "password": password });
    site.call("", "POST", "/token/", body).await
}

async fn token(site: &Fixture, login: &str) -> String {
    let (status, body) = log_in(site, login, PASSWORD).await;
    assert_eq!(status, 200, "{body}");
    body["data"]["token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_account_is_made_and_lets_in_three_ways() {
    let site = Fixture::new().await;
    let mut body = person("Ana");
    body["phone"] = json!("+34 600 111 222");
    body["birth_date"] = json!("1990/02/03");
    body["gender"] = json!("female");
    body["question_1"] = json!(1);
    body["answer_1"] = json!("Rex");
    let (status, made) = create(&site, body).await;
    let expected = json!({ "status": true, "message": "User created" });
    assert_eq!((status, made), (200, expected));
    for login in ["ana", "ANA@TEST.example", "34600111222"] {
        let (status, body) = log_in(&site, login, PASSWORD).await;
        assert_eq!(status, 200, "{login}");
        assert_eq!(body["message"], "Login Successful");
        assert_eq!(body["data"]["username"], "Ana");
        assert!(body["data"]["issued_at"].is_i64());
    }
    let token = token(&site, "ana").await;
    let (status, user) = site.call(&token, "GET", "/users/ana", Value::Null).await;
    assert_eq!(status, 200);
    let expected = json!({
        "username": "Ana", "email": "Ana@test.example", "photo": null, "first_name": "",
        "last_name": "", "gender": "female", "country": null, "phone": "+34 600 111 222",
        "birth_date": "1990-02-03",
    });
    assert_eq!(user["data"], expected);
}

#[tokio::test]
async fn names_that_are_the_same_are_taken() {
    let site = Fixture::new().await;
    let mut first = person("Jos\u{e9}");
    first["email"] = json!("jose@test.example");
    first["phone"] = json!("600111222");
    assert_eq!(create(&site, first).await.0, 200);
    for (name, email, phone, fields) in [
        ("jos\u{e9}", "a@b.example", "", &["username"][..]),
        ("JOSE\u{301}", "a@b.example", "", &["username"]),
        ("other", "JOSE@test.example", "", &["email"]),
        ("other", "a@b.example", "600 111 222", &["phone"]),
        (
            "jos\u{e9}",
            "jose@TEST.example",
            "600111222",
            &["email", "phone", "username"],
        ),
    ] {
        let body = json!({
            "username": name, "email": email, "password": PASSWORD, "phone": phone,
        });
        let (status, fault) = create(&site, body).await;
        let mut named: Vec<_> = fault
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        named.sort_unstable();
        assert_eq!((status, named), (400, fields.to_vec()), "{name}");
    }
}

#[tokio::test]
async fn bad_accounts_are_told_field_by_field() {
    let site = Fixture::new().await;
    let (status, faults) = create(&site, json!({})).await;
    assert_eq!(status, 400);
    let required = json!(["This field is required."]);
    for field in ["username", "email", "password"] {
        assert_eq!(faults[field], required, "{faults}");
    }
    for (field, value) in [
        ("username", json!("a".repeat(300))),
        ("username", json!("a/../b")),
        ("username", json!("x'; DROP TABLE users; --")),
        ("username", json!(["ana"])),
        ("username", json!("an\u{0}a")),
        ("email", json!("nobody")),
        ("email", json!("a@b.example\r\nBcc: c@d.example")),
        ("password", json!("short")),
        ("password", json!("x".repeat(129))),
        ("phone", json!("call me")),
        ("birth_date", json!("2023-02-29")),
        ("birth_date", json!("yesterday")),
        ("gender", json!("unknown")),
        ("first_name", json!("x".repeat(151))),
        ("answer_1", json!("an answer to nothing")),
        ("question_2", json!("not a question")),
    ] {
        let mut body = person("ana");
        body[field] = value;
        let (status, faults) = create(&site, body.clone()).await;
        assert_eq!(status, 400, "{body}");
        assert_eq!(faults.as_object().unwrap().len(), 1, "{faults}");
    }
    assert!(site.api.db.user(1).await.unwrap().is_none());
}

#[tokio::test]
async fn the_tenth_wrong_login_in_a_row_has_to_wait() {
    let site = Fixture::new().await;
    create(&site, person("ana")).await;
    create(&site, person("bob")).await;
    for login in ["ana", "nobody"] {
        for attempt in 1..=10 {
            let (status, body) = log_in(&site, login, "wrong").await;
            if attempt < 10 {
                let words = "Unable to login with provided credentials.";
                assert_eq!(body, json!({ "non_field_errors": [words] }));
                assert_eq!(status, 400);
            } else {
                assert_eq!(status, 429, "{body}");
            }
        }
        let body = json!({ "username": login, "password": PASSWORD });
        let reply = site.reply("", "POST", "/token/", body).await;
        assert_eq!(reply.status, 429);
        assert_eq!(reply.headers[0].0, "retry-after");
    }
    assert_eq!(log_in(&site, "bob", PASSWORD).await.0, 200);
}

#[tokio::test]
async fn a_right_login_forgets_the_wrong_ones() {
    let site = Fixture::with(|config| config.limits.login_attempts = 2).await;
    create(&site, person("ana")).await;
    for _ in 0..3 {
        assert_eq!(log_in(&site, "ana", "wrong").await.0, 400);
        assert_eq!(log_in(&site, "ana", PASSWORD).await.0, 200);
    }
}

#[tokio::test]
async fn an_address_with_too_many_failures_has_to_wait() {
    let site = Fixture::with(|config| config.limits.login_attempts_per_address = 2).await;
    create(&site, person("ana")).await;
    assert_eq!(log_in(&site, "one", "wrong").await.0, 400);
    assert_eq!(log_in(&site, "two", "wrong").await.0, 429);
    assert_eq!(log_in(&site, "ana", PASSWORD).await.0, 429);
}

#[tokio::test]
async fn tokens_are_renewed_and_end_with_the_login() {
    let site = Fixture::new().await;
    create(&site, person("ana")).await;
    let first = token(&site, "ana").await;
    let target = "/token/?refresh=true";
    let (status, body) = site.call(&first, "POST", target, Value::Null).await;
    assert_eq!(status, 200);
    let second = body["data"]["token"].as_str().unwrap();
    assert_ne!(second, first);
    assert_eq!(
        site.call(second, "GET", "/users/ana/", Value::Null).await.0,
        200
    );
    for bad in ["", "x.y.z"] {
        assert_eq!(site.call(bad, "POST", target, Value::Null).await.0, 401);
    }
    let short = Fixture::with(|config| config.auth.refresh_for = std::time::Duration::ZERO).await;
    create(&short, person("ana")).await;
    let old = token(&short, "ana").await;
    let (status, body) = short.call(&old, "POST", target, Value::Null).await;
    assert_eq!((status, &body["code"]), (401, &json!("login_expired")));
}

#[tokio::test]
async fn a_banned_users_tokens_end_and_so_do_old_ones() {
    let site = Fixture::new().await;
    create(&site, person("ana")).await;
    let first = token(&site, "ana").await;
    let get = |token: String| {
        let site = &site;
        async move { site.call(&token, "GET", "/users/ana/", Value::Null).await.0 }
    };
    assert_eq!(get(first.clone()).await, 200);
    let (user, reset) = site.api.auth.start_reset("ana").await.unwrap().unwrap();
    assert!(
        site.api
            .auth
            .finish_reset(&reset, "another one")
            .await
            .unwrap()
    );
    assert_eq!(get(first).await, 401);
    // In the same second, and valid.
    let (_, body) = log_in(&site, "ana", "another one").await;
    let second = body["data"]["token"].as_str().unwrap().to_owned();
    assert_eq!(get(second.clone()).await, 200);
    site.api.db.set_banned("ana", true).await.unwrap();
    site.api.auth.forget(user.id);
    assert_eq!(get(second).await, 401);
    assert_eq!(log_in(&site, "ana", "another one").await.0, 400);
}

#[tokio::test]
async fn a_young_code_is_not_replaced_by_a_login() {
    let asked = |rest: Duration| async move {
        let site = Fixture::with(|config| {
            config.auth.require_activation = true;
            config.limits.code_rest = rest;
            config.limits.account_mails = 1;
        });
        let site = site.await;
        create(&site, person("ana")).await;
        let user = site.api.db.user(1).await.unwrap().unwrap();
        let code = site.api.auth.renew_code(&user).await.unwrap();
        // What is not mailed is not counted either.
        let left = site.api.auth.start_reset("ana").await.unwrap().is_some();
        (code.is_some(), left)
    };
    assert_eq!(asked(Duration::from_hours(1)).await, (false, true));
    assert_eq!(asked(Duration::ZERO).await, (true, false));
}

#[tokio::test]
async fn a_code_activates_once() {
    let site = Fixture::with(|config| {
        config.auth.require_activation = true;
        config.limits.code_rest = Duration::ZERO;
    })
    .await;
    create(&site, person("ana")).await;
    let (status, body) = log_in(&site, "ana", PASSWORD).await;
    assert_eq!(status, 400, "{body}");
    let user = site.api.db.user(1).await.unwrap().unwrap();
    let code = site.api.auth.renew_code(&user).await.unwrap().unwrap();
    assert!(code.len() == 6 && code.bytes().all(|b| b.is_ascii_digit()));
    let wrong = if code == "000000" { "000001" } else { "000000" };
    let activate = |email: &str, code: &str| {
        let body = json!({ "email": email, "activation_code": code });
        request("POST", "/token/?active=true", &body.to_string())
    };
    for (email, code) in [
        ("ana@test.example", wrong),
        ("b@test.example", &code),
        ("x", &code),
    ] {
        let reply = site.api.answer(&activate(email, code)).await;
        assert_eq!(reply.status, 400, "{email}");
        assert!(reply.json()["activation_code"].is_array());
    }
    let reply = site.api.answer(&activate("ANA@test.example", &code)).await;
    assert_eq!(reply.json()["message"], "Login Successful");
    let reply = site.api.answer(&activate("ana@test.example", &code)).await;
    assert_eq!(reply.status, 400);
    assert_eq!(log_in(&site, "ana", PASSWORD).await.0, 200);
}

#[tokio::test]
async fn codes_cannot_be_guessed_for_long() {
    let site = Fixture::with(|config| config.auth.require_activation = true).await;
    create(&site, person("ana")).await;
    let body = json!({ "email": "ana@test.example", "activation_code": "12345" });
    let mut last = 0;
    for _ in 0..10 {
        let target = "/token/?activate=true";
        last = site.call("", "POST", target, body.clone()).await.0;
    }
    assert_eq!(last, 429);
}

#[tokio::test]
async fn an_account_never_activated_gives_its_names_back() {
    let site = Fixture::with(|config| {
        config.auth.require_activation = true;
        config.limits.code_ttl = Duration::ZERO;
    })
    .await;
    assert_eq!(create(&site, person("ana")).await.0, 200);
    let mut tries = 0;
    // The code's time must have passed by one millisecond.
    while create(&site, person("ana")).await.0 != 200 {
        tries += 1;
        assert!(tries < 10);
    }
}

#[tokio::test]
async fn a_reset_is_always_answered_alike() {
    let site = Fixture::new().await;
    create(&site, person("ana")).await;
    let mut answers = vec![];
    for login in ["ana", "nobody", "ana@test.example"] {
        let body = json!({ "username": login });
        answers.push(site.call("", "POST", "/token/?reset=true", body).await);
    }
    assert_eq!(answers[0].0, 200);
    assert!(answers.iter().all(|answer| *answer == answers[0]));
}

#[tokio::test]
async fn one_account_is_mailed_so_often_and_no_more() {
    let site = Fixture::with(|config| config.limits.account_mails = 2).await;
    create(&site, person("ana")).await;
    for left in [true, true, false] {
        let started = site.api.auth.start_reset("ana").await.unwrap();
        assert_eq!(started.is_some(), left);
    }
}

#[tokio::test]
async fn resets_beyond_their_places_are_dropped_unnoticed() {
    let site = Fixture::with(|config| {
        config.smtp.url = Some(crate::config::Hidden("smtp://127.0.0.1:1".into()));
        config.smtp.from = Some("a@test.example".into());
        config.limits.background_calls = 1;
        config.limits.account_mails = 1;
    })
    .await;
    create(&site, person("ana")).await;
    let taken = site.api.background.clone().try_acquire_owned().unwrap();
    let body = json!({ "username": "ana" });
    let reset = site.call("", "POST", "/token/?reset=true", body).await;
    assert_eq!(reset.0, 200);
    drop(taken);
    // The one letter that this account may get was not used up.
    assert!(site.api.auth.start_reset("ana").await.unwrap().is_some());
}

#[tokio::test]
async fn a_reset_token_works_once() {
    let site = Fixture::new().await;
    create(&site, person("ana")).await;
    let (_, reset) = site.api.auth.start_reset("ana").await.unwrap().unwrap();
    let target = format!("/reset/?token={reset}");
    let page = site.api.answer(&request("GET", &target, "")).await;
    let Content::Html(html) = &page.content else {
        unreachable!("the form is a page");
    };
    assert!(html.contains(&reset) && html.contains("new_password"));
    let weak = json!({ "new_password": "short" });
    let (status, faults) = site.call("", "POST", &target, weak).await;
    assert_eq!(status, 400);
    assert!(faults["new_password"].is_array(), "{faults}");
    let new = json!({ "new_password": "another one" });
    assert_eq!(site.call("", "POST", &target, new.clone()).await.0, 200);
    assert_eq!(site.call("", "POST", &target, new).await.0, 400);
    assert_eq!(
        site.api.answer(&request("GET", &target, "")).await.status,
        400
    );
    assert_eq!(log_in(&site, "ana", "another one").await.0, 200);
    assert_eq!(log_in(&site, "ana", PASSWORD).await.0, 400);
}

#[tokio::test]
async fn the_forms_own_answer_is_a_page() {
    let site = Fixture::new().await;
    create(&site, person("ana")).await;
    let (_, reset) = site.api.auth.start_reset("ana").await.unwrap().unwrap();
    let body = format!("token={reset}&new_password=another+one");
    let kind = Some("application/x-www-form-urlencoded");
    let mut sent = request_of("POST", "/reset/", kind, body.as_bytes());
    sent.accept = Some("text/html,*/*".into());
    let reply = site.api.answer(&sent).await;
    assert!(matches!(reply.content, Content::Html(_)));
    assert_eq!(reply.status, 200);
    for (asked, language) in [
        (None, "en"),
        (Some("fr, es-CU;q=0.8, en;q=0.5"), "es"),
        (Some("en-GB,es"), "en"),
        (Some("e, *"), "en"),
    ] {
        sent.accept_language = asked.map(str::to_owned);
        let reply = site.api.answer(&sent).await;
        let Content::Html(html) = reply.content else {
            unreachable!("the form gets a page");
        };
        assert!(
            html.contains(&format!("lang=\"{language}\"")),
            "{asked:?}: {html}"
        );
    }
    let hostile = "/reset/?token=%22%3E%3Cscript%3E";
    let reply = site.api.answer(&request("GET", hostile, "")).await;
    let Content::Html(html) = reply.content else {
        unreachable!("the form is a page");
    };
    assert!(!html.contains("<script"), "{html}");
}

#[tokio::test]
async fn users_are_for_themselves() {
    let site = Fixture::new().await;
    create(&site, person("ana")).await;
    create(&site, person("bob")).await;
    let ana = token(&site, "ana").await;
    for (token, target, status) in [
        ("", "/users/ana/", 401),
        ("a.b.c", "/users/ana/", 401),
        (&ana, "/users/ANA", 200),
        (&ana, "/users/bob/", 403),
        (&ana, "/users/nobody/", 403),
        (&ana, "/users/..%2F..%2Fetc/", 403),
        ("", "/users/bob/photo/", 401),
    ] {
        let method = if target.contains("photo") {
            "PUT"
        } else {
            "GET"
        };
        let reply = site.call(token, method, target, Value::Null).await;
        assert_eq!(reply.0, status, "{target}");
    }
}

#[tokio::test]
async fn profiles_are_edited_in_part_or_replaced() {
    let site = Fixture::new().await;
    create(&site, person("ana")).await;
    create(&site, person("bob")).await;
    let ana = token(&site, "ana").await;
    let edit =
        json!({ "first_name": "Ana", "country": "ES", "phone": "600111222", "nonsense": {} });
    let (status, user) = site.call(&ana, "PATCH", "/users/ana/", edit).await;
    assert_eq!(status, 200);
    assert_eq!(user["data"]["first_name"], "Ana");
    let edit = json!({ "last_name": "Luz", "country": null });
    let (_, user) = site.call(&ana, "PATCH", "/users/ana/", edit).await;
    assert_eq!(user["data"]["first_name"], "Ana");
    assert_eq!(user["data"]["country"], Value::Null);
    let whole = json!({ "first_name": "Anna", "email": "anna@test.example" });
    let (_, user) = site.call(&ana, "PUT", "/users/ana/", whole).await;
    assert_eq!(user["data"]["email"], "anna@test.example");
    assert_eq!(user["data"]["phone"], Value::Null);
    let taken = json!({ "email": "BOB@test.example", "first_name": "x" });
    let (status, fault) = site.call(&ana, "PATCH", "/users/ana/", taken).await;
    assert_eq!(status, 400);
    assert!(fault["email"].is_array());
    let (_, user) = site.call(&ana, "GET", "/users/ana/", Value::Null).await;
    assert_eq!(user["data"]["first_name"], "Anna");
}

fn upload(token: &str, field: &str, image: &[u8]) -> Request {
    let head = format!(
        "--x\r\nContent-Disposition: form-data; name=\"{field}\"; filename=\"../../a.exe\"\r\n\
         Content-Type: image/png\r\n\r\n"
    );
    let body = [head.as_bytes(), image, b"\r\n--x--\r\n"].concat();
    let kind = Some("multipart/form-data; boundary=x");
    let mut request = request_of("PUT", "/users/ana/photo/", kind, &body);
    request.authorization = Some(format!("Bearer {token}"));
    request
}

#[tokio::test]
async fn a_photo_is_known_by_its_content() {
    let site = Fixture::with(|config| config.limits.image_bytes = 1000).await;
    create(&site, person("ana")).await;
    let ana = token(&site, "ana").await;
    let png = b"\x89PNG\r\n\x1a\nrest".to_vec();
    let put = |field: &'static str, image: Vec<u8>| {
        let request = upload(&ana, field, &image);
        let api = &site.api;
        async move { api.answer(&request).await }
    };
    let photo = |reply: &Reply| reply.json()["data"]["photo"].as_str().unwrap().to_owned();
    let first = photo(&put("photo", png.clone()).await);
    let second = photo(&put("phot", b"RIFF1234WEBPrest".to_vec()).await);
    assert!(first.starts_with("http://test.example/photos/") && first.ends_with(".png"));
    assert!(second.ends_with(".webp"));
    let get = |url: &str| {
        let path = url.strip_prefix("http://test.example").unwrap();
        let request = request("GET", path, "");
        let api = &site.api;
        async move { api.answer(&request).await }
    };
    assert_eq!(get(&first).await.status, 404, "replaced");
    let shown = get(&second).await;
    assert_eq!(shown.status, 200);
    assert!(matches!(shown.content, Content::Bytes("image/webp", _)));
    let (_, user) = site.call(&ana, "GET", "/users/ana/", Value::Null).await;
    assert_eq!(user["data"]["photo"], second);

    assert_eq!(
        put("photo", b"<svg onload=alert(1)>".to_vec()).await.status,
        400
    );
    assert_eq!(put("other", png.clone()).await.status, 400);
    let large = [png, vec![0; 1000]].concat();
    assert_eq!(put("photo", large).await.status, 413);
    let mut json = request("PUT", "/users/ana/photo/", "{}");
    json.authorization = Some(format!("Bearer {ana}"));
    assert_eq!(site.api.answer(&json).await.status, 415);
    for name in ["none.png", "..%2Fcauce.db", "a.exe", "..png", "%00.png"] {
        let request = request("GET", &format!("/photos/{name}"), "");
        assert_eq!(site.api.answer(&request).await.status, 404, "{name}");
    }
}

#[tokio::test]
async fn the_database_being_gone_is_503_and_says_no_more() {
    let site = Fixture::new().await;
    create(&site, person("ana")).await;
    site.api.db.clone().close().await;
    let (status, body) = log_in(&site, "ana", PASSWORD).await;
    assert_eq!((status, &body["code"]), (503, &json!("unavailable")));
    assert!(!body.to_string().to_lowercase().contains("database"));
}

#[tokio::test]
async fn a_channel_comes_with_its_account_and_its_key_opens() {
    let site = Fixture::new().await;
    create(&site, person("ana")).await;
    let path = site.directory.path().join("cauce.db");
    let database = rusqlite::Connection::open(path).unwrap();
    let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    let sql = "SELECT username, key_hash, key_sealed FROM channels";
    let (username, hash, sealed): (String, [u8; 32], Vec<u8>) =
        database.query_row(sql, [], row).unwrap();
    assert_eq!(username, "ana");
    let secret = site.api.auth.secret();
    let key = secret.open(&sealed, &KeyHash(hash)).unwrap();
    assert!(secret.key_hash(&key) == KeyHash(hash));
}
