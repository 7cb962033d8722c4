//! A disk that is full for a while: who is still served, who is refused, and what is stored when there
//! is room again. It does not know how the server decides.

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
};

use crate::{
    process::on_small_disk,
    support::{Clip, Encoder, Key, clip, server::Site, slots, until},
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
