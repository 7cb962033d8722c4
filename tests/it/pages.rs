//! The pages in a real browser: the walk from an account to the end of its stream in two windows,
//! with a kill of the server in between, and what a page weighs. It does not know how pages are made.

use std::{
    fs,
    io::{BufRead, BufReader, Write as _},
    path::Path,
    process::{Command, Stdio},
};

use crate::support::{Clip, Process, Server, http, slots};

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

#[test]
fn every_page_weighs_less_than_300_kb() {
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
        println!("{page}: {weight} bytes in {} files", seen.len());
        assert!(weight < PAGE_WEIGHT_MAX, "{page}: {weight} bytes");
    }
}

#[test]
fn a_streamer_and_a_viewer_walk_through_the_pages() {
    let _slot = slots::heavy();
    // The recording is there soon after the end, and not after half a minute.
    let soon = ("CAUCE_LIMITS__ENDED_WINDOW", "1s");
    let mut server = Process::start(&[soon]);
    let data = server.keep_data();
    let base = format!("http://{}", server.http);
    let screenshots = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../screenshots");
    fs::create_dir_all(&screenshots).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/walk.mjs");
    let mut walk = Command::new("node")
        .arg(script)
        .arg(&base)
        .arg(Clip::Plain.path())
        .arg(screenshots)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut answers = walk.stdin.take().unwrap();
    let mut log = String::new();
    for line in BufReader::new(walk.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        println!("{line}");
        if line == "KILL" {
            server.child.kill();
            writeln!(answers, "killed").unwrap();
        } else if line == "RESTART" {
            let (http, rtmp) = (server.http.to_string(), server.rtmp.to_string());
            let again = [
                ("CAUCE_HTTP__LISTEN", &*http),
                ("CAUCE_RTMP__LISTEN", &*rtmp),
                soon,
            ];
            server = Process::restart_in(data.path(), &again);
            writeln!(answers, "restarted").unwrap();
        }
        log.push_str(&line);
        log.push('\n');
    }
    let status = walk.wait().unwrap();
    assert!(status.success(), "{status}:\n{log}");
}
