//! A disk that is full for a while: who is still served, who is refused, and what is stored when there
//! is room again. It does not know how the server decides.

use serde_json::{Value, json};
use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
};

use crate::{
    process::on_small_disk,
    support::{Clip, Encoder, Key, clip, rest, server::Site, slots, until},
};

/// Somebody else's file that takes all the room of a file system.
struct Ballast(PathBuf);

impl Ballast {
    fn fill(directory: &Path) -> Self {
        let path = directory.join("ballast");
        let mut file = File::create(&path).unwrap();
        for len in [65_536, 4096, 1] {
            while file.write_all(&vec![1; len]).is_ok() {}
        }
        Self(path)
    }

    fn remove(self) {
        fs::remove_file(self.0).unwrap();
    }
}

/// Publishes the clip once more, in the same session.
fn publish(encoder: &mut Encoder, round: &mut u32) {
    encoder.send_all(&clip::moved(&Clip::Tiny.tags(), *round * 8000));
    *round += 1;
    assert!(!encoder.closed(), "put out: {:?}", encoder.statuses);
}

fn degraded(server: &Site) -> bool {
    let reply = server.get("/readyz");
    assert_eq!(reply.status, 200, "live viewers are fine");
    reply.text().contains("degraded")
}

/// Whether the store has the segment.
fn is_stored(media: &Path, stream: &Key, name: &str) -> bool {
    media.join(&stream.uid).join("source").join(name).is_file()
}

#[test]
fn a_full_disk_refuses_newcomers_only_and_is_used_again_when_there_is_room() {
    let _slot = slots::heavy();
    let (dir, mut child, server) = on_small_disk("4m");
    // The file system is the server's own: this is the way into it.
    let media = PathBuf::from(format!("/proc/{}/root", child.id()))
        .join(dir.path().strip_prefix("/").unwrap())
        .join("media");
    let (first, second) = (server.create(), server.create());
    let mut encoder = Encoder::publish(server.rtmp, "live", &first.key).unwrap();
    let mut viewer = server.viewer(&first);
    let mut round = 0;
    publish(&mut encoder, &mut round);
    viewer.reaches(3, 20);
    assert!(!degraded(&server));

    let ballast = Ballast::fill(&media);
    publish(&mut encoder, &mut round);
    // From memory: the poller fetches each segment that is listed.
    viewer.reaches(7, 20);
    until("an operator to be told", 20, || {
        degraded(&server).then_some(())
    });
    let refused = Encoder::publish(server.rtmp, "live", &second.key)
        .err()
        .unwrap();
    assert!(
        refused.description.contains("storage is full"),
        "{refused:?}"
    );
    publish(&mut encoder, &mut round);
    viewer.reaches(11, 20);

    ballast.remove();
    until("all well", 30, || {
        publish(&mut encoder, &mut round);
        viewer.reaches(u64::from(round) * 4 - 1, 20);
        (!degraded(&server)).then_some(())
    });
    let mut newcomer = until("newcomers to be taken", 30, || {
        Encoder::publish(server.rtmp, "live", &second.key).ok()
    });
    newcomer.send_all(&Clip::Tiny.tags());
    server.viewer(&second).reaches(3, 20);
    // What came meanwhile waited for the disk.
    until("every listed segment on the disk", 30, || {
        viewer.poll();
        let mut names = viewer.text().lines().filter(|line| line.ends_with(".ts"));
        names
            .all(|name| is_stored(&media, &first, name))
            .then_some(())
    });
    assert!(child.alive(), "{}", child.log());
    drop(encoder);
    child.signal("TERM");
    assert!(child.ended(20).success());
}

/// A recorded stream of the account's, live with the whole clip.
fn recorded(server: &Site, token: &str, times: u32) -> (Key, Encoder) {
    let body = json!({ "title": "t", "record": true });
    let (status, made) = rest::call(server.http, token, "POST", "/streams/", &body);
    assert_eq!(status, 201, "{made}");
    let text = |name: &str| made[name].as_str().unwrap().to_owned();
    let stream = Key {
        uid: text("uid"),
        key: text("key"),
    };
    let mut encoder = Encoder::publish(server.rtmp, "live", &stream.key).unwrap();
    for round in 0..times {
        encoder.send_all(&clip::moved(&Clip::Plain.tags(), round * 16_000));
        assert!(!encoder.closed(), "put out: {:?}", encoder.statuses);
        server
            .viewer(&stream)
            .reaches(8 * u64::from(round + 1) - 1, 30);
    }
    (stream, encoder)
}

fn shed(server: &Site) -> u64 {
    let text = server.get("/metrics").text();
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix("cauce_recordings_shed_total "));
    value.unwrap().parse().unwrap()
}

#[test]
fn on_a_full_disk_the_oldest_recordings_go_first() {
    let _slot = slots::heavy();
    // Four clips and a little: two recordings, and what is live.
    let clip_bytes = fs::metadata(Clip::Plain.path()).unwrap().len();
    let (dir, mut child, server) = on_small_disk(&format!("{}k", clip_bytes * 45 / 10 / 1024));
    let media = PathBuf::from(format!("/proc/{}/root", child.id()))
        .join(dir.path().strip_prefix("/").unwrap())
        .join("media");
    let token = rest::account(server.http, "ana");
    let video = |stream: &Key| {
        let path = format!("/streams/{}/", stream.uid);
        let (_, shown) = rest::call(server.http, &token, "GET", &path, &Value::Null);
        (shown["record_status"].clone(), shown["video"].is_null())
    };
    let past: Vec<Key> = (0..2)
        .map(|_| {
            let (stream, encoder) = recorded(&server, &token, 1);
            encoder.finish();
            let path = format!("/streams/{}/stop/", stream.uid);
            let (status, answer) = rest::call(server.http, &token, "POST", &path, &Value::Null);
            assert_eq!(status, 200, "{answer}");
            stream
        })
        .collect();
    until("both recordings", 90, || {
        past.iter()
            .all(|stream| video(stream).0 == "done")
            .then_some(())
    });
    assert_eq!(shed(&server), 0);

    // It needs more than is left, and not more than one recording beside.
    let (live, mut encoder) = recorded(&server, &token, 3);
    until("room", 60, || (shed(&server) == 1).then_some(()));
    let mut viewer = server.viewer(&live);
    viewer.poll();
    until("every listed segment on the disk", 60, || {
        let mut names = viewer.text().lines().filter(|line| line.ends_with(".ts"));
        let stored = names.all(|name| is_stored(&media, &live, name));
        (stored && !degraded(&server)).then_some(())
    });
    let segments = |stream: &Key| {
        let files = fs::read_dir(media.join(&stream.uid).join("source"));
        let names = files.into_iter().flatten().flatten().map(|f| f.file_name());
        names
            .filter(|n| n.to_string_lossy().ends_with(".ts"))
            .count()
    };
    assert_eq!((segments(&past[0]), segments(&past[1])), (0, 8));
    assert!(video(&past[0]).1, "nothing to play");
    assert!(!video(&past[1]).1, "the newer one stays");
    assert_eq!(shed(&server), 1);
    assert!(!encoder.closed() && child.alive(), "{}", child.log());
}
