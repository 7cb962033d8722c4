//! The commands that need no operator: `cauce demo` and `cauce segment`. It does not know the
//! server's own commands: process.rs does.

use std::{fs, net::SocketAddr};

use serde_json::{Value, json};

use crate::support::{
    Clip, Poller, Running, http, oracle, rest,
    server::{cauce, run},
    slots,
};

/// The address and the stream in a URL such as `http://HOST:PORT/watch/UID`.
fn watch_url(line: &str) -> Option<(SocketAddr, String)> {
    let (_, url) = line.split_once("http://")?;
    let (address, uid) = url.split_once("/watch/")?;
    let uid = uid
        .chars()
        .take_while(|c| c.is_ascii_alphanumeric() || "-_".contains(*c));
    Some((address.parse().ok()?, uid.collect()))
}

#[test]
fn the_demo_plays_without_any_preparation() {
    let _slot = slots::heavy();
    let dir = tempfile::tempdir().unwrap();
    let mut demo = Running::start(cauce(dir.path()).arg("demo"));
    let (address, uid) = demo.line("watch URL", 60, watch_url);
    assert!(address.ip().is_loopback(), "{address}");
    assert_eq!(http::get(address, &format!("/watch/{uid}")).status, 200);
    let mut viewer = Poller::new(address, format!("/live/{uid}/source/index.m3u8"));
    viewer.grows(60);
    viewer.grows(30);
    let media = oracle::Media::new(&viewer.concatenated());
    assert_eq!(oracle::probe(media.path(), "codec_name"), ["aac", "h264"]);
    oracle::decodes(media.path());
    demo.signal("TERM");
    assert_eq!(demo.ended(20).code(), Some(0), "{}", demo.log());
}

#[test]
fn the_demo_is_told_to_programs_too() {
    let _slot = slots::heavy();
    let dir = tempfile::tempdir().unwrap();
    let mut demo = Running::start(cauce(dir.path()).args(["demo", "--json"]));
    let told: Value = demo.line("JSON line", 60, |line| serde_json::from_str(line).ok());
    let text = |name: &str| told[name].as_str().unwrap().to_owned();
    let (address, uid) = watch_url(&text("watch_url")).unwrap();
    assert_eq!(http::get(address, &format!("/watch/{uid}")).status, 200);
    let login = json!({ "username": text("username"), "password": text("password") });
    let (status, body) = rest::call(address, "", "POST", "/token/", &login);
    assert_eq!(status, 200, "{body}");
    demo.signal("TERM");
    assert_eq!(demo.ended(20).code(), Some(0), "{}", demo.log());
}

#[test]
fn a_file_is_segmented_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let source = Clip::Plain.path();
    let source = source.to_str().unwrap();
    let output = run(dir.path(), &["segment", source, "out"]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let playlist = dir.path().join("out/index.m3u8");
    let playlist = playlist.to_str().unwrap();
    assert_eq!(oracle::frames(playlist, 'v'), oracle::frames(source, 'v'));
    oracle::same_sound(&oracle::frames(source, 'a'), &oracle::frames(playlist, 'a'));
    oracle::decodes(playlist);
}

#[test]
fn a_broken_file_is_told_with_its_byte_and_keeps_what_came_before() {
    let dir = tempfile::tempdir().unwrap();
    let whole = fs::read(Clip::Plain.path()).unwrap();
    fs::write(dir.path().join("cut.flv"), &whole[..whole.len() / 2]).unwrap();
    let output = run(dir.path(), &["segment", "cut.flv", "out"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    let byte = said.split("byte ").nth(1).and_then(|rest| {
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<usize>().ok()
    });
    assert!(
        byte.is_some_and(|b| b <= whole.len() / 2 && b > whole.len() / 4),
        "{said}"
    );
    oracle::decodes(dir.path().join("out/index.m3u8").to_str().unwrap());
    // A whole file in its place makes it good.
    fs::write(dir.path().join("cut.flv"), &whole).unwrap();
    assert!(
        run(dir.path(), &["segment", "cut.flv", "out"])
            .status
            .success()
    );
}

#[test]
fn a_missing_file_is_told_by_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let output = run(dir.path(), &["segment", "absent.flv", "out"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("absent.flv"));
}
