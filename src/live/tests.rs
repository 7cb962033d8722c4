//! Live as a whole, driven by tags of a real encoder's pictures.

use std::{collections::BTreeMap, path::Path, sync::LazyLock, time::Duration};

use openh264::{encoder::Encoder, formats::YUVBuffer};
use segmenter::{Tag, TagKind};
use storage::{
    Key,
    contract::META,
    disk::Disk,
    fault::{Fault, Faulty, Op},
};
use tempfile::TempDir;

use super::*;
use crate::{auth::KeyHash, config::OnSecondPublisher, db::Status, event::Change};

mod pausing;
mod recording;
mod waiting;

/// Pictures a second.
const FPS: u32 = 10;
/// Pictures from one IDR to the next: 2 s, the default target.
const GOP: u32 = 20;

/// One GOP, as VIDEODATA payloads: the sequence header, then the pictures.
static CLIP: LazyLock<(Bytes, Vec<Bytes>)> = LazyLock::new(|| {
    let mut encoder = Encoder::new().unwrap();
    let (mut header, mut pictures) = (Vec::new(), Vec::new());
    for n in 0..GOP {
        // Little changes, or the encoder would see a new scene and code an IDR of its own.
        let luma = vec![100 + n as u8; 160 * 96];
        let yuv = [luma, vec![128; 160 * 96 / 2]].concat();
        let coded = encoder
            .encode(&YUVBuffer::from_vec(yuv, 160, 96))
            .unwrap()
            .to_vec();
        let mut picture = vec![if n == 0 { 0x17 } else { 0x27 }, 1, 0, 0, 0];
        let (mut sps, mut pps) = (None, None);
        for nal in openh264::nal_units(&coded) {
            let start_code = nal.iter().position(|&byte| byte == 1).unwrap();
            let nal = &nal[start_code + 1..];
            match nal[0] & 31 {
                7 => sps = Some(nal),
                8 => pps = Some(nal),
                _ => {
                    picture.extend((nal.len() as u32).to_be_bytes());
                    picture.extend(nal);
                }
            }
        }
        if let (Some(sps), Some(pps)) = (sps, pps) {
            header = vec![0x17, 0, 0, 0, 0, 1, sps[1], sps[2], sps[3], 0xff, 0xe1];
            header.extend((sps.len() as u16).to_be_bytes());
            header.extend(sps);
            header.push(1);
            header.extend((pps.len() as u16).to_be_bytes());
            header.extend(pps);
        }
        pictures.push(Bytes::from(picture));
    }
    (header.into(), pictures)
});

fn video(timestamp_ms: u32, payload: &Bytes) -> Tag {
    Tag {
        kind: TagKind::Video,
        timestamp_ms,
        payload: payload.clone(),
    }
}

/// An encoder: keeps its place in the clip.
struct Feed {
    publisher: Publisher,
    pictures: u32,
}

impl Feed {
    async fn pictures(&mut self, count: u32) -> Result<(), Refused> {
        for _ in 0..count {
            if self.pictures == 0 {
                self.publisher.push(&[video(0, &CLIP.0)]).await?;
            }
            let payload = &CLIP.1[(self.pictures % GOP) as usize];
            let tag = video(self.pictures * 1000 / FPS, payload);
            self.pictures += 1;
            self.publisher.push(&[tag]).await?;
        }
        Ok(())
    }

    /// Pushes until `count` segments more are listed: a segment ends with the next IDR. Where they
    /// do not follow evenly, as behind a slate, they wait for their time.
    async fn segments(&mut self, count: u32) {
        let first = u32::from(self.pictures == 0);
        self.pictures(count * GOP + first).await.unwrap();
        while self.publisher.waiting().await > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn config(change: impl FnOnce(&mut Config)) -> Arc<Config> {
    let mut config = Config::default();
    // No test is about how fast the disk is.
    config.storage.list_deadline = Duration::from_secs(30);
    change(&mut config);
    Arc::new(config)
}

fn disk(at: &Path) -> Arc<Faulty> {
    Arc::new(Faulty::new(Arc::new(Disk::open(at.join("media")).unwrap())))
}

fn database(at: &Path) -> Db {
    Db::open(&at.join("cauce.db"), 64).unwrap()
}

struct World {
    live: Live,
    store: Arc<Faulty>,
    db: Db,
    _directory: TempDir,
}

impl World {
    async fn new(change: impl FnOnce(&mut Config)) -> Self {
        let directory = TempDir::new().unwrap();
        let (store, db) = (disk(directory.path()), database(directory.path()));
        let live = Live::start(config(change), store.clone(), db.clone())
            .await
            .unwrap();
        Self {
            live,
            store,
            db,
            _directory: directory,
        }
    }

    async fn stream(&self) -> StreamUid {
        create(&self.db).await
    }

    async fn publish(&self, uid: &StreamUid) -> Feed {
        publish(&self.live, uid).await.unwrap()
    }
}

async fn create(db: &Db) -> StreamUid {
    let uid = StreamUid::random();
    let mut hash = [0; 32];
    hash[..22].copy_from_slice(uid.as_str().as_bytes());
    db.create_stream(&uid, &KeyHash(hash), "a stream", false)
        .await
        .unwrap();
    uid
}

async fn publish(live: &Live, uid: &StreamUid) -> Result<Feed, Refused> {
    let peer = Peer {
        connection: 1,
        address: ([127, 0, 0, 1], 5000).into(),
    };
    Ok(Feed {
        publisher: live.claim(uid, peer).await?,
        pictures: 0,
    })
}

fn list(live: &Live, uid: &StreamUid) -> m3u8_rs::MediaPlaylist {
    let snapshot = live.snapshot(uid).expect("something is listed");
    m3u8_rs::parse_media_playlist_res(&snapshot.media.plain).unwrap()
}

async fn fetch(live: &Live, uid: &StreamUid, uri: &str) -> Result<Vec<u8>, Missing> {
    let served = live.segment(uid, &SegmentName::parse(uri).unwrap()).await?;
    let body = served.body.concat();
    assert_eq!(body.len() as u64, served.len);
    Ok(body)
}

async fn thumbnail(live: &Live, uid: &StreamUid) -> Served {
    loop {
        match live.thumbnail(uid).await {
            Ok(made) => return made,
            Err(_) => tokio::task::yield_now().await,
        }
    }
}

async fn next(events: &mut broadcast::Receiver<StreamEvent>, change: Change) {
    while events.recv().await.unwrap().change != change {}
}

#[tokio::test]
async fn what_is_published_is_listed_fetchable_and_stored() {
    let world = World::new(|_| {}).await;
    let uid = world.stream().await;
    let mut feed = world.publish(&uid).await;
    assert!(
        world.live.snapshot(&uid).is_none(),
        "nothing before the first segment"
    );
    feed.segments(8).await;
    let list = list(&world.live, &uid);
    assert_eq!(
        (
            list.media_sequence,
            list.segments.len(),
            list.target_duration
        ),
        (2, 6, 2)
    );
    assert_eq!((list.end_list, list.discontinuity_sequence), (false, 0));
    for (entry, n) in list.segments.iter().zip(2..) {
        assert_eq!(entry.uri, format!("{}-{n}.ts", feed.publisher.session()));
        let body = fetch(&world.live, &uid, &entry.uri).await.unwrap();
        assert!(body.len() % 188 == 0 && body[0] == 0x47);
        let key = Key::new(&format!("{uid}/source/{}", entry.uri)).unwrap();
        assert_eq!(world.store.get(&key, None).await.unwrap().body, body);
    }
    // Removed, but still fetchable (media rule 18).
    let removed = format!("{}-0.ts", feed.publisher.session());
    assert!(fetch(&world.live, &uid, &removed).await.is_ok());
    assert_eq!(
        fetch(&world.live, &uid, "x-9.ts").await,
        Err(Missing::NotFound)
    );
    let snapshot = world.live.snapshot(&uid).unwrap();
    let text = String::from_utf8(snapshot.multivariant.plain.to_vec()).unwrap();
    assert!(
        text.contains("RESOLUTION=160x96") && text.contains("source/index.m3u8"),
        "{text}"
    );
    assert!(text.contains("FRAME-RATE=10"), "{text}");
    world.live.drain().await;
    let stored = Key::new(&format!("{uid}/source/index.m3u8")).unwrap();
    let stored = world.store.get(&stored, None).await.unwrap().body;
    assert_eq!(stored, world.live.snapshot(&uid).unwrap().media.plain);
    assert_eq!(
        world.db.stream(&uid).await.unwrap().unwrap().status,
        Status::Live
    );
}

#[tokio::test]
async fn the_first_segment_gives_a_thumbnail_that_stays() {
    let world = World::new(|_| {}).await;
    let uid = world.stream().await;
    assert_eq!(
        world.live.thumbnail(&uid).await.unwrap_err(),
        Missing::NotFound
    );
    let mut feed = world.publish(&uid).await;
    feed.segments(1).await;
    let made = thumbnail(&world.live, &uid).await;
    assert!(made.body[0].starts_with(&[0xff, 0xd8, 0xff]));
    world.live.stop(&uid, "stopped").await.unwrap();
    world.live.drain().await;
    let key = Key::new(&format!("{uid}/thumbnail.jpg")).unwrap();
    assert_eq!(
        world.store.get(&key, None).await.unwrap().body,
        made.body[0]
    );
}

#[tokio::test]
async fn who_asks_late_gets_a_new_thumbnail_and_nobody_else_costs_one() {
    let world = World::new(|config| {
        config.thumbnail_interval = Duration::ZERO;
        config.thumbnail_wait = Duration::from_secs(600);
    })
    .await;
    let uid = world.stream().await;
    let mut feed = world.publish(&uid).await;
    feed.segments(1).await;
    let first = thumbnail(&world.live, &uid).await;
    let stream = world.live.inner.stream(&uid).unwrap();
    let key = Key::new(&format!("{uid}/thumbnail.jpg")).unwrap();
    stream.archive.idle().await;
    let stored = world.store.get(&key, None).await.unwrap();
    feed.segments(2).await;
    stream.archive.idle().await;
    let still = world.store.get(&key, None).await.unwrap();
    assert_eq!(still.modified, stored.modified, "nobody asked since");
    let second = world.live.thumbnail(&uid).await.unwrap();
    assert!(second.modified > first.modified);
    let same = world.live.thumbnail(&uid).await.unwrap();
    assert_eq!(same.modified, second.modified, "there is nothing newer");
}

#[tokio::test]
async fn a_slate_leaves_a_picture_of_what_was_before_it() {
    let world = World::new(|config| config.thumbnail_interval = Duration::ZERO).await;
    let uid = world.stream().await;
    let mut feed = world.publish(&uid).await;
    feed.segments(1).await;
    let first = thumbnail(&world.live, &uid).await;
    let stream = world.live.inner.stream(&uid).unwrap();
    let key = Key::new(&format!("{uid}/thumbnail.jpg")).unwrap();
    stream.archive.idle().await;
    let stored = world.store.get(&key, None).await.unwrap();
    feed.segments(1).await;
    world.live.pause(&uid).await.unwrap();
    while world.store.get(&key, None).await.unwrap().modified == stored.modified {
        tokio::task::yield_now().await;
    }
    let second = world.live.thumbnail(&uid).await.unwrap();
    assert!(second.modified > first.modified);
}

#[tokio::test]
async fn who_waited_long_enough_for_a_new_thumbnail_gets_the_one_before() {
    let world = World::new(|config| {
        config.thumbnail_interval = Duration::ZERO;
        config.thumbnail_wait = Duration::ZERO;
    })
    .await;
    let uid = world.stream().await;
    let mut feed = world.publish(&uid).await;
    feed.segments(1).await;
    let first = thumbnail(&world.live, &uid).await;
    feed.segments(1).await;
    let before = world.live.thumbnail(&uid).await.unwrap();
    assert_eq!(before.modified, first.modified);
    while world.live.thumbnail(&uid).await.unwrap().modified == first.modified {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_takeover_goes_on_in_the_same_playlist_and_is_limited() {
    let world = World::new(|_| {}).await;
    let uid = world.stream().await;
    let mut first = world.publish(&uid).await;
    first.segments(2).await;
    first.pictures(5).await.unwrap();
    let mut evicted = std::pin::pin!(first.publisher.eviction());
    assert!(
        tokio::time::timeout(Duration::ZERO, &mut evicted)
            .await
            .is_err()
    );
    let mut second = world.publish(&uid).await;
    assert_eq!(evicted.await, Refused::Replaced);
    assert_eq!(first.pictures(1).await, Err(Refused::Replaced));
    second.segments(2).await;
    let told = list(&world.live, &uid);
    let marks: Vec<_> = told
        .segments
        .iter()
        .map(|entry| entry.discontinuity)
        .collect();
    // Two whole segments, the rest of the first encoder, two of the second.
    assert_eq!(marks, [false, false, false, true, false]);
    assert_eq!(told.media_sequence, 0);
    // The one put out leaves: nothing changes for its successor.
    drop(first);
    second.segments(1).await;
    let _third = world.publish(&uid).await;
    let _fourth = world.publish(&uid).await;
    let refused = publish(&world.live, &uid).await.err();
    assert_eq!(refused, Some(Refused::TakeoverLimit { retry_after_s: 30 }));
}

#[tokio::test]
async fn a_second_publisher_is_refused_in_reject_mode() {
    let world = World::new(|c| c.rtmp.on_second_publisher = OnSecondPublisher::Reject).await;
    let uid = world.stream().await;
    let mut feed = world.publish(&uid).await;
    assert_eq!(publish(&world.live, &uid).await.err(), Some(Refused::Busy));
    feed.segments(1).await;
    feed.publisher.finish().await;
    assert!(publish(&world.live, &uid).await.is_ok());
}

#[tokio::test]
async fn a_lost_publisher_is_waited_for_and_its_return_is_one_discontinuity() {
    let world = World::new(|_| {}).await;
    let mut events = world.live.events();
    let uid = world.stream().await;
    let mut feed = world.publish(&uid).await;
    feed.segments(1).await;
    feed.pictures(3).await.unwrap();
    drop(feed);
    next(&mut events, Change::Reconnecting).await;
    // The open segment is kept, and waits for its time.
    pausing::reaches(&world.live, &uid, 2).await;
    assert_eq!(world.live.ingest(&uid), None);
    let mut feed = world.publish(&uid).await;
    next(&mut events, Change::Live).await;
    feed.segments(2).await;
    let told = list(&world.live, &uid);
    let marks: Vec<_> = told
        .segments
        .iter()
        .map(|entry| entry.discontinuity)
        .collect();
    assert_eq!(
        (marks, told.media_sequence),
        (vec![false, false, true, false], 0)
    );
}

#[tokio::test]
async fn after_the_grace_the_stream_is_finished_then_gone() {
    let world = World::new(|_| {}).await;
    let mut events = world.live.events();
    let uid = world.stream().await;
    let mut feed = world.publish(&uid).await;
    feed.segments(7).await;
    let first = list(&world.live, &uid).segments[0].uri.clone();
    feed.publisher.finish().await;
    tokio::time::pause();
    next(&mut events, Change::Finished).await;
    assert!(list(&world.live, &uid).end_list);
    let row = world.db.stream(&uid).await.unwrap().unwrap();
    assert_eq!(
        (row.status, row.ended_reason.as_deref()),
        (Status::Finished, Some("publisher_lost"))
    );
    assert_eq!(publish(&world.live, &uid).await.err(), Some(Refused::Ended));
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert!(world.live.snapshot(&uid).is_none());
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(
        fetch(&world.live, &uid, &first).await,
        Err(Missing::NotFound)
    );
    assert!(world.live.inner.stream(&uid).is_none());
}

#[tokio::test]
async fn stop_ends_the_playlist_and_the_objects_go_when_their_time_is_over() {
    let world = World::new(|_| {}).await;
    let uid = world.stream().await;
    let mut feed = world.publish(&uid).await;
    feed.segments(2).await;
    // Made by a thread that does not know this test's clock.
    thumbnail(&world.live, &uid).await;
    world.live.stop(&uid, "stopped").await.unwrap();
    assert_eq!(feed.publisher.evicted().await, Refused::Ended);
    assert_eq!(feed.pictures(1).await, Err(Refused::Ended));
    let snapshot = world.live.snapshot(&uid).unwrap();
    assert!(snapshot.ended && list(&world.live, &uid).end_list);
    world.live.stop(&uid, "stopped").await.unwrap();
    drop(feed);
    let stream = world.live.inner.stream(&uid).unwrap();
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(60)).await;
    stream.archive.idle().await;
    let left = world.store.list(uid.as_str()).await.unwrap();
    let names: Vec<_> = left.iter().map(|row| row.key.as_str()).collect();
    assert_eq!(names, [format!("{uid}/thumbnail.jpg")]);
}

#[tokio::test]
async fn a_stop_by_another_process_is_followed() {
    let directory = TempDir::new().unwrap();
    let (store, db) = (disk(directory.path()), database(directory.path()));
    let live = Live::start(config(|_| {}), store, db.clone())
        .await
        .unwrap();
    let mut events = live.events();
    let uid = create(&db).await;
    let mut feed = publish(&live, &uid).await.unwrap();
    feed.segments(1).await;
    let watch = tokio::spawn({
        let live = live.clone();
        async move { live.watch_database().await }
    });
    let other = database(directory.path());
    other.finish_stream(&uid, "stopped", 1).await.unwrap();
    next(&mut events, Change::Finished).await;
    assert_eq!(feed.publisher.evicted().await, Refused::Ended);
    watch.abort();
}

/// Runs one process: what is still running at its end is cut off, as by kill -9.
fn process<T>(run: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let outcome = runtime.block_on(run);
    runtime.shutdown_background();
    outcome
}

/// A process that listed eight segments of a stream and was killed with its publisher on.
fn killed(at: &Path) -> (StreamUid, m3u8_rs::MediaPlaylist) {
    process(async {
        let db = database(at);
        let live = Live::start(config(|_| {}), disk(at), db.clone())
            .await
            .unwrap();
        let uid = create(&db).await;
        let mut feed = publish(&live, &uid).await.unwrap();
        feed.segments(8).await;
        live.inner.stream(&uid).unwrap().archive.idle().await;
        while db
            .stream(&uid)
            .await
            .unwrap()
            .unwrap()
            .counters
            .next_sequence
            < 8
        {
            tokio::task::yield_now().await;
        }
        let before = list(&live, &uid);
        std::mem::forget(feed);
        (uid, before)
    })
}

#[test]
fn after_a_kill_the_window_stays_and_numbers_go_on() {
    let directory = TempDir::new().unwrap();
    let at = directory.path();
    let (uid, before) = killed(at);
    process(async {
        let live = Live::start(config(|_| {}), disk(at), database(at))
            .await
            .unwrap();
        let after = list(&live, &uid);
        assert_eq!(after.segments, before.segments);
        assert_eq!(after.media_sequence, before.media_sequence);
        assert!(
            live.snapshot(&uid)
                .unwrap()
                .multivariant
                .plain
                .starts_with(b"#EXTM3U")
        );
        for entry in &after.segments {
            assert!(fetch(&live, &uid, &entry.uri).await.is_ok());
        }
        let mut feed = publish(&live, &uid).await.unwrap();
        feed.segments(2).await;
        let told = list(&live, &uid);
        assert_eq!((told.media_sequence, told.segments.len()), (4, 6));
        let marks: Vec<_> = told
            .segments
            .iter()
            .map(|entry| entry.discontinuity)
            .collect();
        assert_eq!(marks, [false, false, false, false, true, false]);
        let dates: Vec<_> = told
            .segments
            .iter()
            .filter_map(|entry| entry.program_date_time)
            .collect();
        assert!(dates.is_sorted() && dates.len() == 6);
    });
}

#[test]
fn segments_stored_after_the_last_playlist_are_found_again() {
    let directory = TempDir::new().unwrap();
    let at = directory.path();
    let media = |uid: &StreamUid| at.join(format!("media/{uid}/source/index.m3u8"));
    let (uid, all) = killed(at);
    // As if killed before the last two versions were stored.
    let text = std::fs::read_to_string(media(&uid)).unwrap();
    let keep = text.match_indices("#EXTINF").nth(4).unwrap().0;
    let keep = text[..keep].rfind(".ts").unwrap() + 4;
    std::fs::write(media(&uid), &text[..keep]).unwrap();
    process(async {
        let live = Live::start(config(|_| {}), disk(at), database(at))
            .await
            .unwrap();
        assert_eq!(list(&live, &uid).segments, all.segments);
    });
}

#[test]
fn a_stored_playlist_that_would_go_back_is_not_listed() {
    let directory = TempDir::new().unwrap();
    let at = directory.path();
    let (uid, before) = killed(at);
    // A listed segment is in neither the playlist nor the store.
    let text = at.join(format!("media/{uid}/source/index.m3u8"));
    let playlist = std::fs::read_to_string(&text).unwrap();
    let last = playlist.rfind("#EXTINF").unwrap();
    let keep = playlist[..last].rfind(".ts").unwrap() + 4;
    std::fs::write(&text, &playlist[..keep]).unwrap();
    let gone = &before.segments.last().unwrap().uri;
    std::fs::remove_file(at.join(format!("media/{uid}/source/{gone}"))).unwrap();
    process(async {
        let live = Live::start(config(|_| {}), disk(at), database(at))
            .await
            .unwrap();
        assert!(live.snapshot(&uid).is_none());
        let mut feed = publish(&live, &uid).await.unwrap();
        feed.segments(1).await;
        assert!(list(&live, &uid).media_sequence >= 8);
    });
}

#[test]
fn a_restart_in_order_keeps_the_open_segment_and_the_stream_live() {
    let directory = TempDir::new().unwrap();
    let at = directory.path();
    let uid = process(async {
        let db = database(at);
        let live = Live::start(config(|_| {}), disk(at), db.clone())
            .await
            .unwrap();
        let uid = create(&db).await;
        let mut feed = publish(&live, &uid).await.unwrap();
        feed.segments(2).await;
        feed.pictures(5).await.unwrap();
        live.drain().await;
        assert_eq!(publish(&live, &uid).await.err(), Some(Refused::Restarting));
        assert_eq!(feed.publisher.evicted().await, Refused::Restarting);
        uid
    });
    process(async {
        let live = Live::start(config(|_| {}), disk(at), database(at))
            .await
            .unwrap();
        let mut events = live.events();
        let told = list(&live, &uid);
        assert_eq!(
            (told.media_sequence, told.segments.len(), told.end_list),
            (0, 3, false)
        );
        tokio::time::pause();
        next(&mut events, Change::Finished).await;
        let row = database(at).stream(&uid).await.unwrap().unwrap();
        assert_eq!(row.ended_reason.as_deref(), Some("server_lost"));
    });
    process(async {
        let store = disk(at);
        let _live = Live::start(config(|_| {}), store.clone(), database(at))
            .await
            .unwrap();
        let left = store.list(uid.as_str()).await.unwrap();
        assert!(
            left.iter().all(|row| row.key.as_str().ends_with(".jpg")),
            "{left:?}"
        );
    });
}

#[test]
fn without_the_store_numbers_go_on_from_the_database() {
    let directory = TempDir::new().unwrap();
    let at = directory.path();
    let memory = || Arc::new(storage::memory::Memory::new(1 << 24));
    let uid = process(async {
        let db = database(at);
        let live = Live::start(
            config(|c| c.storage.backend = Backend::Memory),
            memory(),
            db.clone(),
        );
        let live = live.await.unwrap();
        let uid = create(&db).await;
        let mut feed = publish(&live, &uid).await.unwrap();
        feed.segments(4).await;
        live.drain().await;
        uid
    });
    process(async {
        let live = Live::start(
            config(|c| c.storage.backend = Backend::Memory),
            memory(),
            database(at),
        );
        let live = live.await.unwrap();
        assert!(live.snapshot(&uid).is_none());
        let mut feed = publish(&live, &uid).await.unwrap();
        feed.segments(1).await;
        let told = list(&live, &uid);
        assert!(told.media_sequence >= 5, "{}", told.media_sequence);
        assert!(told.segments[0].discontinuity);
    });
}

#[tokio::test]
async fn a_full_disk_refuses_new_publishers_and_live_goes_on() {
    let world = World::new(|c| c.storage.list_deadline = Duration::from_millis(5)).await;
    let uid = world.stream().await;
    let mut feed = world.publish(&uid).await;
    feed.segments(1).await;
    assert_eq!(world.live.storage_trouble(), None);
    world.store.always(Op::Put, Fault::Full);
    feed.segments(3).await;
    let told = list(&world.live, &uid);
    assert_eq!(told.segments.len(), 4);
    for entry in &told.segments {
        assert!(fetch(&world.live, &uid, &entry.uri).await.is_ok());
    }
    assert!(world.live.storage_trouble().is_some());
    let other = world.stream().await;
    assert!(matches!(
        publish(&world.live, &other).await.err(),
        Some(Refused::Full(_))
    ));
    world.store.always(Op::Put, Fault::None);
    world.live.drain().await;
    assert_eq!(world.live.storage_trouble(), None);
    for entry in &told.segments {
        let key = Key::new(&format!("{uid}/source/{}", entry.uri)).unwrap();
        assert!(
            world.store.get(&key, None).await.is_ok(),
            "stored late, but stored"
        );
    }
}

#[tokio::test]
async fn a_push_given_up_loses_no_segment() {
    let world = World::new(|_| {}).await;
    let uid = world.stream().await;
    let mut feed = world.publish(&uid).await;
    feed.segments(1).await;
    thumbnail(&world.live, &uid).await;
    // Nothing but the segment is put next.
    world.live.inner.stream(&uid).unwrap().archive.idle().await;
    world.store.next(Op::Put, Fault::Hang);
    feed.pictures(GOP - 1).await.unwrap();
    let given_up = tokio::time::timeout(Duration::ZERO, feed.pictures(1)).await;
    assert!(given_up.is_err());
    assert_eq!(list(&world.live, &uid).segments.len(), 1);
    while world.store.calls(Op::Put) < 5 {
        tokio::task::yield_now().await;
    }
    world.store.release();
    feed.pictures(GOP).await.unwrap();
    let names: Vec<_> = list(&world.live, &uid)
        .segments
        .into_iter()
        .map(|entry| entry.uri)
        .collect();
    let session = feed.publisher.session();
    assert_eq!(
        names,
        (0..3)
            .map(|n| format!("{session}-{n}.ts"))
            .collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn past_the_memory_budget_segments_are_read_back_from_the_store() {
    const BUDGET: u64 = 64 * 1024;
    let world = World::new(|c| c.limits.memory_budget = BUDGET).await;
    let mut feeds = Vec::new();
    for _ in 0..20 {
        let uid = world.stream().await;
        let feed = world.publish(&uid).await;
        feeds.push((uid, feed));
    }
    for (_, feed) in &mut feeds {
        feed.segments(6).await;
    }
    assert!(world.live.inner.common.memory().bytes() <= BUDGET);
    for (uid, _) in &feeds {
        for entry in list(&world.live, uid).segments {
            let body = fetch(&world.live, uid, &entry.uri).await.unwrap();
            assert_eq!(body[0], 0x47);
        }
    }
    assert!(world.store.calls(Op::Get) > 0, "more was listed than fits");
    assert!(world.live.inner.common.memory().bytes() <= BUDGET);
    world
        .store
        .always(Op::Get, Fault::Io(std::io::ErrorKind::PermissionDenied));
    let (uid, _) = &feeds[0];
    let oldest = list(&world.live, uid).segments[0].uri.clone();
    assert_eq!(
        fetch(&world.live, uid, &oldest).await,
        Err(Missing::Unavailable)
    );
}

#[tokio::test]
async fn with_the_memory_backend_the_budget_is_the_store() {
    const BUDGET: u64 = 100 * 1024;
    let directory = TempDir::new().unwrap();
    let db = database(directory.path());
    let store = Arc::new(storage::memory::Memory::new(BUDGET));
    let config = config(|c| {
        c.storage.backend = Backend::Memory;
        c.storage.list_deadline = Duration::from_millis(5);
        c.limits.memory_budget = BUDGET;
    });
    let live = Live::start(config, store.clone(), db.clone())
        .await
        .unwrap();
    let uid = create(&db).await;
    let mut feed = publish(&live, &uid).await.unwrap();
    // Far more than the budget in all: what is listed no more makes room.
    feed.segments(60).await;
    assert!(store.bytes() <= BUDGET && live.inner.common.memory().bytes() <= BUDGET);
    for entry in list(&live, &uid).segments {
        assert!(fetch(&live, &uid, &entry.uri).await.is_ok());
    }
    let mut feeds = Vec::new();
    let refused = loop {
        let uid = create(&db).await;
        match publish(&live, &uid).await {
            Ok(mut feed) => {
                feed.segments(6).await;
                feeds.push(feed);
            }
            Err(refused) => break refused,
        }
        assert!(feeds.len() < 100, "never refused");
    };
    assert!(matches!(refused, Refused::Full(_)), "{refused:?}");
    feed.segments(1).await;
}

#[tokio::test]
async fn more_streams_than_the_limit_are_refused() {
    let world = World::new(|c| c.limits.live_streams = 1).await;
    let (one, two) = (world.stream().await, world.stream().await);
    let feed = world.publish(&one).await;
    assert!(matches!(
        publish(&world.live, &two).await.err(),
        Some(Refused::Full(_))
    ));
    drop(feed);
    assert!(
        publish(&world.live, &one).await.is_ok(),
        "a return is no new stream"
    );
    assert_eq!(
        publish(&world.live, &StreamUid::random()).await.err(),
        Some(Refused::Ended)
    );
}

#[tokio::test]
async fn what_the_segmenter_refuses_puts_the_publisher_out() {
    let world = World::new(|_| {}).await;
    let uid = world.stream().await;
    let mut feed = world.publish(&uid).await;
    // Codec 2 is Sorenson H.263.
    let tag = video(0, &Bytes::from_static(&[0x12, 0, 0, 0, 0]));
    assert!(matches!(
        feed.publisher.push(&[tag]).await,
        Err(Refused::Media(_))
    ));
}

#[tokio::test]
async fn a_store_that_cannot_be_read_ends_the_start_when_it_is_required() {
    let directory = TempDir::new().unwrap();
    let (store, db) = (disk(directory.path()), database(directory.path()));
    store.put(&Key::new("x").unwrap(), &[], META).await.unwrap();
    store.always(Op::List, Fault::Io(std::io::ErrorKind::PermissionDenied));
    assert!(
        Live::start(config(|_| {}), store.clone(), db.clone())
            .await
            .is_err()
    );
    let lax = config(|c| c.storage.required = false);
    assert!(Live::start(lax, store, db).await.is_ok());
}
