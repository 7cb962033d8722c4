//! The pages in a real browser: the walk from an account to the end of its stream in two windows, with
//! a kill of the server in between; accounts by mail; the player on another site; the demo; and what a
//! page weighs. It does not know how pages are made.

use std::{
    collections::{BTreeSet, HashSet},
    fs,
    io::{BufRead, BufReader, Write as _},
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::support::{
    Clip, Process, Running, Server, http, mailbox::Mailbox, server::cauce, slots,
};

/// A page with everything it loads, compressed, bytes.
const PAGE_WEIGHT_MAX: usize = 300 * 1024;

/// What `path` answers to a browser.
fn compressed(server: &Server, path: &str) -> (usize, Vec<u8>) {
    let sent = http::send(server.http, "GET", path, &[("Accept-Encoding", "gzip")]);
    assert_eq!(sent.status, 200, "{path}");
    let plain = server.get(path);
    (sent.body.len(), plain.body)
}

/// Files of ours that a page or a module names.
fn named(text: &str) -> Vec<String> {
    let absolute = text.split("\"/web/").skip(1);
    let relative = text.split("from \"./").skip(1);
    let name = |rest: &str| format!("/web/{}", rest.split('"').next().unwrap());
    absolute.chain(relative).map(name).collect()
}

/// Modules that a page's own text has a browser fetch at once, before any of them is read.
fn loaded(html: &str) -> BTreeSet<String> {
    let all = html.split("\"/web/").skip(1);
    let names = all.map(|rest| format!("/web/{}", rest.split('"').next().unwrap()));
    names.filter(|name| name.ends_with("js")).collect()
}

#[test]
fn every_page_weighs_less_than_300_kb_and_asks_for_all_of_it_at_once() {
    let server = Server::start();
    let stream = server.create();
    let uid = &stream.uid;
    for page in [
        "/".to_owned(),
        format!("/watch/{uid}"),
        format!("/embed/{uid}"),
        "/studio".to_owned(),
        format!("/studio/{uid}/voice"),
    ] {
        let (mut weight, mut seen, mut next) = (0, vec![], vec![page.clone()]);
        while let Some(path) = next.pop() {
            if seen.contains(&path) {
                continue;
            }
            let (bytes, text) = compressed(&server, &path);
            weight += bytes;
            if !path.contains("/vendor/") {
                next.extend(named(&String::from_utf8_lossy(&text)));
            }
            seen.push(path);
        }
        let html = server.get(&page).text();
        let modules: BTreeSet<_> = seen
            .iter()
            .filter(|path| path.ends_with("js") && !path.ends_with("worker.js"))
            .cloned()
            .collect();
        assert_eq!(
            loaded(&html),
            modules,
            "{page}: what is asked for at once, and what is needed"
        );
        println!("{page}: {weight} bytes in {} files", seen.len());
        assert!(weight < PAGE_WEIGHT_MAX, "{page}: {weight} bytes");
    }
}

#[test]
fn whatever_the_server_refuses_or_finds_wrong_has_words_in_both_languages() {
    let server = Server::start();
    let document: Value = serde_json::from_slice(&server.get("/asyncapi.json").body).unwrap();
    let texts = server.get("/web/texts.js").text();
    let refusals = document["components"]["schemas"]["ErrorCode"]["enum"]
        .as_array()
        .unwrap();
    let refusals = refusals
        .iter()
        .map(|code| format!("error.{}", code.as_str().unwrap()));
    // The document leaves the codes of issues open: more may come.
    let source = include_str!("../../src/app/rooms.rs");
    let made = source.split("#[cfg(test)]").next().unwrap().split("issue(");
    let codes: BTreeSet<_> = made
        .skip(1)
        .filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next())
        .collect();
    assert!(
        codes.contains("frames_dropped") && codes.len() >= 8,
        "{codes:?}"
    );
    let issues = codes
        .iter()
        .flat_map(|code| [format!("issue.{code}"), format!("remedy.{code}")]);
    for key in refusals.chain(issues) {
        // Two texts stand behind each key: English and Spanish.
        let line = texts
            .lines()
            .find(|line| line.contains(&format!("\"{key}\": [\"")));
        assert!(line.is_some_and(|line| line.contains("\", \"")), "{key}");
    }
}

/// Runs a script of tests/browser with a folder for its screenshots, and answers each line that
/// `told` has an answer for.
#[track_caller]
fn drive(script: &str, arguments: &[&str], mut told: impl FnMut(&str) -> Option<String>) {
    let screenshots = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../screenshots");
    fs::create_dir_all(&screenshots).unwrap();
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser");
    let mut driver = Command::new("node")
        .arg(scripts.join(script))
        .args(arguments)
        .env("SCREENSHOTS", screenshots)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut answers = driver.stdin.take().unwrap();
    let mut log = String::new();
    for line in BufReader::new(driver.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        println!("{line}");
        if let Some(answer) = told(&line) {
            writeln!(answers, "{answer}").unwrap();
        }
        log.push_str(&line);
        log.push('\n');
    }
    let status = driver.wait().unwrap();
    assert!(status.success(), "{status}:\n{log}");
}

fn clip() -> String {
    Clip::Plain.path().to_str().unwrap().to_owned()
}

#[test]
fn a_streamer_and_a_viewer_walk_through_the_pages() {
    let _slot = slots::heavy();
    // Wide enough for a seek bar.
    let window = ("CAUCE_HLS__DVR_WINDOW", "10m");
    // The walk types faster than people do.
    let burst = ("CAUCE_CHAT__BURST", "100");
    // The recording is there soon after the end, and not after half a minute.
    let soon = ("CAUCE_LIMITS__ENDED_WINDOW", "1s");
    let mut server = Process::start(&[window, burst, soon]);
    let data = server.keep_data();
    let base = format!("http://{}", server.http);
    drive("walk.mjs", &[&base, &clip()], |line| match line {
        "KILL" => {
            server.child.kill();
            Some("killed".into())
        }
        "RESTART" => {
            let (http, rtmp) = (server.http.to_string(), server.rtmp.to_string());
            let again = [
                window,
                burst,
                soon,
                ("CAUCE_HTTP__LISTEN", &*http),
                ("CAUCE_RTMP__LISTEN", &*rtmp),
            ];
            server = Process::restart_in(data.path(), &again);
            Some("restarted".into())
        }
        _ => None,
    });
}

#[test]
fn an_account_is_activated_by_mail_and_stays_logged_in() {
    const LIFE_S: &str = "8";
    let _slot = slots::heavy();
    let mailbox = Mailbox::start();
    let server = Process::start(&[
        ("CAUCE_SMTP__URL", &mailbox.url()),
        ("CAUCE_SMTP__FROM", "cauce <noreply@test.example>"),
        ("CAUCE_AUTH__TOKEN_TTL", &format!("{LIFE_S}s")),
    ]);
    let base = format!("http://{}", server.http);
    drive("login.mjs", &[&base, &clip(), LIFE_S], |line| {
        let (what, address) = line.split_once(' ')?;
        match what {
            "CODE" => {
                let letter = mailbox.text(address, 0);
                let mut runs = letter.split(|c: char| !c.is_ascii_digit());
                runs.find(|run| run.len() == 6).map(str::to_owned)
            }
            "LINK" => {
                // The second letter: the login that the page tries at once asks for no other code.
                let letter = mailbox.text(address, 1);
                let link = letter.lines().find(|line| line.contains("/reset/"))?;
                // What the server calls itself is where it was told to listen: port 0.
                let (_, path) = link.split_once("/reset/")?;
                Some(format!("{base}/reset/{}", path.trim()))
            }
            _ => None,
        }
    });
}

#[test]
fn the_player_is_a_guest_on_another_site() {
    let _slot = slots::heavy();
    let server = Process::start(&[]);
    let base = format!("http://{}", server.http);
    drive("embed.mjs", &[&base, &clip()], |_| None);
}

#[test]
fn the_demo_opens_onto_a_page_with_people_in_it() {
    let _slot = slots::heavy();
    let data = tempfile::tempdir().unwrap();
    let mut demo = Running::start(cauce(data.path()).arg("demo"));
    let url = demo.line("watch URL", 60, |line| {
        let url = line.strip_prefix("Watch the demo:")?;
        Some(url.trim().to_owned())
    });
    drive("demo.mjs", &[&url], |_| None);
    let (base, uid) = url.split_once("/watch/").unwrap();
    let address = base.strip_prefix("http://").unwrap().parse().unwrap();
    let page = |part: &str| -> Value {
        let reply = http::get(address, &format!("/streams/{uid}/{part}/"));
        serde_json::from_str(&reply.text()).unwrap()
    };
    let chat = page("chat");
    let said = chat["results"].as_array().unwrap();
    let people: HashSet<_> = said.iter().map(|one| one["user"].as_str()).collect();
    assert!(people.len() >= 3, "{chat}");
    let questions = page("questions");
    let votes = |one: &Value| one["votes"].as_u64() >= Some(2);
    assert!(
        questions["results"].as_array().unwrap().iter().any(votes),
        "{questions}"
    );
}
