//! Pause and resume as their callers see them, with a database and a store behind.

use super::*;

/// Segments listed so far, whether still listed or not.
pub(super) fn end(live: &Live, uid: &StreamUid) -> u64 {
    let list = list(live, uid);
    list.media_sequence + list.segments.len() as u64
}

/// Lets time fly until something holds. Only here: the database answers in real time, and time that
/// flies would not wait for it.
pub(super) async fn until(condition: impl AsyncFn() -> bool) {
    tokio::time::pause();
    while !condition().await {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    tokio::time::resume();
}

pub(super) async fn reaches(live: &Live, uid: &StreamUid, number: u64) {
    until(async || end(live, uid) >= number).await;
}

pub(super) async fn later(seconds: u64) {
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    tokio::time::resume();
}

pub(super) async fn finished(events: &mut broadcast::Receiver<StreamEvent>) {
    tokio::time::pause();
    next(events, Change::Finished).await;
    tokio::time::resume();
}

/// Where DISCONTINUITY tags stand, by media sequence number.
pub(super) fn marks(list: &m3u8_rs::MediaPlaylist) -> Vec<u64> {
    let numbered = (list.media_sequence..).zip(&list.segments);
    numbered
        .filter(|(_, entry)| entry.discontinuity)
        .map(|(number, _)| number)
        .collect()
}

pub(super) fn keep_all(config: &mut Config) {
    config.hls.window_segments = 1000;
}

pub(super) async fn row(db: &Db, uid: &StreamUid) -> crate::db::StreamRow {
    db.stream(uid).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_pause_shows_the_slate_and_a_resume_the_publisher_again() {
    let world = World::new(keep_all).await;
    let mut events = world.live.events();
    let uid = world.stream().await;
    let mut feed = world.publish(&uid).await;
    feed.segments(2).await;
    feed.pictures(4).await.unwrap();
    world.live.pause(&uid).await.unwrap();
    next(&mut events, Change::Paused).await;
    let now = world.live.view(&uid).unwrap();
    assert!(now.paused && now.publishing && now.playable && !now.reconnecting);
    // Two segments, the open one, then slates, one a target duration.
    reaches(&world.live, &uid, 6).await;
    assert_eq!(marks(&list(&world.live, &uid)), [3]);
    world.live.pause(&uid).await.unwrap();
    assert_eq!(
        world.live.view(&uid).unwrap().paused_at_ms,
        now.paused_at_ms
    );
    assert_eq!(row(&world.db, &uid).await.paused_at_ms, now.paused_at_ms);
    feed.pictures(3).await.unwrap();

    world.live.resume(&uid).await.unwrap();
    next(&mut events, Change::Resumed).await;
    world.live.resume(&uid).await.unwrap();
    feed.pictures(3 * GOP).await.unwrap();
    until(async || marks(&list(&world.live, &uid)).len() > 1).await;
    let told = list(&world.live, &uid);
    assert_eq!(marks(&told).len(), 2, "one in, one out");
    let dates = told
        .segments
        .iter()
        .map(|entry| entry.program_date_time.unwrap());
    assert!(dates.is_sorted());
    for entry in &told.segments {
        assert!(fetch(&world.live, &uid, &entry.uri).await.is_ok());
    }
    let now = world.live.view(&uid).unwrap();
    assert!(!now.paused && now.publishing && now.paused_at_ms.is_none());
    assert_eq!(row(&world.db, &uid).await.paused_at_ms, None);
    world.live.stop(&uid, "stopped").await.unwrap();
    assert_eq!(world.live.view(&uid), None);
}

#[tokio::test]
async fn while_paused_the_grace_does_not_run_and_after_it_does() {
    let world = World::new(keep_all).await;
    let mut events = world.live.events();
    let uid = world.stream().await;
    let mut feed = world.publish(&uid).await;
    feed.segments(2).await;
    world.live.pause(&uid).await.unwrap();
    feed.publisher.finish().await;
    later(200).await;
    let now = world.live.view(&uid).unwrap();
    assert!(now.paused && !now.publishing && !now.reconnecting);
    assert!(end(&world.live, &uid) > 80, "the slate went on");
    let mut feed = world.publish(&uid).await;
    feed.pictures(GOP).await.unwrap();
    assert_eq!(marks(&list(&world.live, &uid)).len(), 1);
    drop(feed);
    until(async || !world.live.view(&uid).unwrap().publishing).await;
    world.live.resume(&uid).await.unwrap();
    assert!(world.live.view(&uid).unwrap().reconnecting);
    let before = end(&world.live, &uid);
    finished(&mut events).await;
    assert!(end(&world.live, &uid) > before + 25, "60 s of slate");
    assert_eq!(
        row(&world.db, &uid).await.ended_reason.as_deref(),
        Some("publisher_lost")
    );
}

#[tokio::test]
async fn a_pause_during_the_grace_holds_it() {
    let world = World::new(keep_all).await;
    let uid = world.stream().await;
    let mut feed = world.publish(&uid).await;
    feed.segments(2).await;
    feed.publisher.finish().await;
    later(50).await;
    world.live.pause(&uid).await.unwrap();
    later(50).await;
    world.live.resume(&uid).await.unwrap();
    later(50).await;
    assert!(world.live.view(&uid).unwrap().reconnecting);
}

#[tokio::test]
async fn the_longest_pause_ends_the_stream() {
    let world = World::new(|config| config.slate.max_pause = Duration::from_secs(600)).await;
    let mut events = world.live.events();
    let uid = world.stream().await;
    let mut feed = world.publish(&uid).await;
    feed.segments(2).await;
    // A pause that was over says nothing about the next one.
    world.live.pause(&uid).await.unwrap();
    later(400).await;
    world.live.resume(&uid).await.unwrap();
    world.live.pause(&uid).await.unwrap();
    later(400).await;
    assert!(world.live.view(&uid).unwrap().paused);
    finished(&mut events).await;
    let row = row(&world.db, &uid).await;
    assert_eq!(row.ended_reason.as_deref(), Some("max_pause"));
    assert_eq!(row.paused_at_ms, None);
    assert!(list(&world.live, &uid).end_list);
    assert_eq!(feed.publisher.evicted().await, Refused::Ended);
}

#[tokio::test]
async fn what_is_not_live_is_not_paused() {
    let world = World::new(|_| {}).await;
    let refused = Err(PauseRefusal::NotLive);
    assert_eq!(world.live.pause(&StreamUid::random()).await, refused);
    let uid = world.stream().await;
    assert_eq!(world.live.pause(&uid).await, refused);
    assert_eq!(world.live.resume(&uid).await, refused);
    assert_eq!(world.live.view(&uid), None);
    let mut feed = world.publish(&uid).await;
    feed.segments(1).await;
    world.live.stop(&uid, "stopped").await.unwrap();
    assert_eq!(world.live.pause(&uid).await, refused);
    assert_eq!(world.live.resume(&uid).await, refused);
}

#[tokio::test]
async fn paused_before_its_first_segment_a_stream_waits_for_the_resume() {
    let world = World::new(|_| {}).await;
    let uid = world.stream().await;
    let mut feed = world.publish(&uid).await;
    world.live.pause(&uid).await.unwrap();
    feed.pictures(2 * GOP).await.unwrap();
    let now = world.live.view(&uid).unwrap();
    assert!(now.paused && !now.playable);
    world.live.resume(&uid).await.unwrap();
    feed.pictures(2 * GOP + 1).await.unwrap();
    assert!(marks(&list(&world.live, &uid)).is_empty());
    assert!(world.live.view(&uid).unwrap().playable);
}

#[tokio::test]
async fn a_changed_key_puts_the_publisher_out_and_the_grace_runs() {
    let world = World::new(|_| {}).await;
    let uid = world.stream().await;
    let mut feed = world.publish(&uid).await;
    feed.segments(1).await;
    world.live.evict(&uid).await;
    assert_eq!(feed.publisher.evicted().await, Refused::KeyChanged);
    assert_eq!(feed.pictures(1).await, Err(Refused::KeyChanged));
    assert!(world.live.view(&uid).unwrap().reconnecting);
    world.live.evict(&uid).await;
    world.live.evict(&StreamUid::random()).await;
    world.publish(&uid).await.segments(1).await;
}

#[tokio::test]
async fn viewers_are_addresses_that_fetch_the_playlist() {
    let world = World::new(|_| {}).await;
    let uid = world.stream().await;
    world.publish(&uid).await.segments(1).await;
    let snapshot = world.live.snapshot(&uid).unwrap();
    for n in [1, 2, 3, 2, 1] {
        snapshot.seen_by([192, 0, 2, n].into());
    }
    assert_eq!(world.live.view(&uid).unwrap().viewers, 3);
}

#[test]
fn a_pause_outlives_the_process() {
    let directory = TempDir::new().unwrap();
    let at = directory.path();
    let (uid, paused_at_ms, before) = process(async {
        let live = Live::start(config(keep_all), disk(at), database(at))
            .await
            .unwrap();
        let uid = create(&live.inner.common.db).await;
        let mut feed = publish(&live, &uid).await.unwrap();
        feed.segments(2).await;
        live.pause(&uid).await.unwrap();
        reaches(&live, &uid, 3).await;
        live.drain().await;
        let now = live.view(&uid).unwrap();
        (uid.clone(), now.paused_at_ms, end(&live, &uid))
    });
    process(async {
        let live = Live::start(config(keep_all), disk(at), database(at))
            .await
            .unwrap();
        later(100).await;
        let now = live.view(&uid).unwrap();
        assert!(
            now.paused && now.playable && !now.reconnecting,
            "no grace while paused"
        );
        assert!(paused_at_ms.is_some() && now.paused_at_ms == paused_at_ms);
        assert!(
            end(&live, &uid) > before + 45,
            "the slate goes on without a publisher"
        );
        assert_eq!(marks(&list(&live, &uid)).last(), Some(&before));
        let before = end(&live, &uid);
        let mut feed = publish(&live, &uid).await.unwrap();
        feed.pictures(2).await.unwrap();
        reaches(&live, &uid, before + 2).await;
        live.resume(&uid).await.unwrap();
        feed.pictures(3 * GOP).await.unwrap();
        reaches(&live, &uid, before + 4).await;
        let told = list(&live, &uid);
        assert_eq!(
            marks(&told).len(),
            3,
            "paused, restarted, resumed: {told:?}"
        );
    });
}

#[tokio::test]
async fn a_pause_while_draining_is_kept_for_the_next_process() {
    let world = World::new(keep_all).await;
    let uid = world.stream().await;
    let mut feed = world.publish(&uid).await;
    feed.segments(2).await;
    world.live.drain().await;
    world.live.pause(&uid).await.unwrap();
    assert!(row(&world.db, &uid).await.paused_at_ms.is_some());
    let before = end(&world.live, &uid);
    later(20).await;
    assert!(
        end(&world.live, &uid) <= before + 1,
        "no slate is made any more"
    );
}

#[tokio::test]
async fn a_disk_that_is_full_does_not_stop_a_pause() {
    let world = World::new(|config| {
        keep_all(config);
        config.storage.list_deadline = Duration::from_millis(5);
    })
    .await;
    let uid = world.stream().await;
    let mut feed = world.publish(&uid).await;
    feed.segments(2).await;
    world.live.pause(&uid).await.unwrap();
    reaches(&world.live, &uid, 4).await;
    world.store.always(Op::Put, Fault::Full);
    reaches(&world.live, &uid, 8).await;
    assert!(world.live.storage_trouble().is_some());
    assert!(world.live.view(&uid).unwrap().paused);
    world.live.resume(&uid).await.unwrap();
    feed.segments(2).await;
    let told = list(&world.live, &uid);
    assert_eq!(marks(&told).len(), 2);
    for entry in &told.segments {
        assert!(fetch(&world.live, &uid, &entry.uri).await.is_ok());
    }
}

#[tokio::test]
async fn an_encoder_faster_than_time_does_not_fill_memory_behind_a_slate() {
    let world = World::new(keep_all).await;
    let uid = world.stream().await;
    let mut feed = world.publish(&uid).await;
    feed.segments(2).await;
    world.live.pause(&uid).await.unwrap();
    reaches(&world.live, &uid, 5).await;
    world.live.resume(&uid).await.unwrap();
    // Each would have to wait for the first, which waits for its time.
    feed.pictures(9 * GOP).await.unwrap();
    assert_eq!(marks(&list(&world.live, &uid)).len(), 2);
}
