//! Recordings: what was listed live is what the recording lists, whatever happened in between.

use proptest::prelude::*;
use storage::Store;

use super::*;
use crate::db::{Counters, Recorded, SegmentRow};

/// Longer than the window with its ENDLIST is shown.
const SHOWN: Duration = Duration::from_secs(31);

/// What a viewer can tell of a segment: its number, name, discontinuity, and discontinuities before.
type Told = BTreeMap<u64, (String, bool, u64)>;

fn tell(list: &m3u8_rs::MediaPlaylist, told: &mut Told) {
    let mut discontinuities = list.discontinuity_sequence;
    for (entry, sequence) in list.segments.iter().zip(list.media_sequence..) {
        let now = (entry.uri.clone(), entry.discontinuity, discontinuities);
        let before = told.insert(sequence, now.clone());
        assert!(
            before.is_none_or(|before| before == now),
            "{sequence} changed"
        );
        discontinuities += u64::from(entry.discontinuity);
    }
}

async fn recorded(db: &Db) -> StreamUid {
    let uid = StreamUid::random();
    let mut hash = [0; 32];
    hash[..22].copy_from_slice(uid.as_str().as_bytes());
    db.create_stream(&uid, &KeyHash(hash), "a stream", true)
        .await
        .unwrap();
    uid
}

/// The recording's playlist, as soon as it is there.
async fn vod(live: &Live, uid: &StreamUid) -> m3u8_rs::MediaPlaylist {
    loop {
        if let Ok(snapshot) = live.playlists(uid).await {
            let text = &snapshot.media.plain;
            let list = m3u8_rs::parse_media_playlist_res(text).unwrap();
            if list.playlist_type.is_some() {
                assert_eq!(snapshot.max_age_s, 60);
                return list;
            }
        }
        tokio::task::yield_now().await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn outcome(db: &Db, uid: &StreamUid) -> Option<Recorded> {
    db.stream(uid).await.unwrap().unwrap().recorded
}

async fn whole(live: &Live, uid: &StreamUid) -> Vec<u8> {
    let download = live.download(uid).await.unwrap();
    let mut file = Vec::new();
    loop {
        let offset = file.len() as u64;
        let piece = download.read(offset, download.len).await.unwrap();
        if piece.is_empty() {
            assert_eq!(offset, download.len);
            return file;
        }
        file.extend_from_slice(&piece);
    }
}

#[tokio::test]
async fn after_the_end_the_whole_stream_is_listed_as_it_was() {
    let world = World::new(|_| {}).await;
    let uid = recorded(&world.db).await;
    let mut told = Told::new();
    for _ in 0..2 {
        let mut feed = world.publish(&uid).await;
        for _ in 0..8 {
            feed.segments(1).await;
            tell(&list(&world.live, &uid), &mut told);
        }
        feed.pictures(5).await.unwrap();
        feed.publisher.finish().await;
        tell(&list(&world.live, &uid), &mut told);
    }
    let missing = world.live.download(&uid).await.unwrap_err();
    assert_eq!(missing, Missing::NotFound, "it has not ended");
    world.live.stop(&uid, "stopped").await.unwrap();
    let ended = list(&world.live, &uid);
    tell(&ended, &mut told);
    assert!(ended.end_list && ended.playlist_type.is_none());
    assert_eq!(outcome(&world.db, &uid).await, None);
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(29)).await;
    assert!(list(&world.live, &uid).end_list, "for 30 s");
    assert!(world.live.download(&uid).await.is_err());
    let vod = vod(&world.live, &uid).await;
    assert_eq!(outcome(&world.db, &uid).await, Some(Recorded::Done));
    assert!(vod.end_list && vod.segments.len() == 18);
    let mut again = Told::new();
    tell(&vod, &mut again);
    assert_eq!(again, told);
    // The same from the store, for those who read it without us.
    let key = Key::new(&format!("{uid}/source/index.m3u8")).unwrap();
    let stored = world.store.get(&key, None).await.unwrap().body;
    let snapshot = world.live.playlists(&uid).await.unwrap();
    assert_eq!(stored, snapshot.media.plain);
    let multivariant = String::from_utf8(snapshot.multivariant.plain.to_vec()).unwrap();
    assert!(multivariant.contains("RESOLUTION=160x96"), "{multivariant}");
    // Every segment, and the file that they are together.
    let mut segments = Vec::new();
    for entry in &vod.segments {
        segments.extend(fetch(&world.live, &uid, &entry.uri).await.unwrap());
    }
    assert!(whole(&world.live, &uid).await == segments);
    let unknown = format!("x{}", vod.segments[0].uri);
    let calls = world.store.calls(Op::Get);
    assert_eq!(
        fetch(&world.live, &uid, &unknown).await,
        Err(Missing::NotFound)
    );
    assert_eq!(
        world.store.calls(Op::Get),
        calls,
        "a name that is in no list"
    );
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(world.live.inner.stream(&uid).is_none());
}

#[tokio::test]
async fn a_segment_that_never_got_to_the_store_is_a_hole_and_is_not_listed() {
    let world = World::new(|_| {}).await;
    let uid = recorded(&world.db).await;
    let mut feed = world.publish(&uid).await;
    feed.segments(5).await;
    let session = feed.publisher.session().to_owned();
    world.live.stop(&uid, "stopped").await.unwrap();
    world.live.inner.stream(&uid).unwrap().archive.idle().await;
    for lost in [0, 2] {
        let key = Key::new(&format!("{uid}/source/{session}-{lost}.ts")).unwrap();
        world.store.delete(&[key]).await.unwrap();
    }
    tokio::time::pause();
    let vod = vod(&world.live, &uid).await;
    let entries: Vec<_> = vod
        .segments
        .iter()
        .map(|entry| (entry.uri.clone(), entry.discontinuity))
        .collect();
    // The last one was open when it was stopped.
    let expected = [(1, false), (3, true), (4, false), (5, false)];
    let expected = expected.map(|(n, mark)| (format!("{session}-{n}.ts"), mark));
    assert_eq!(entries, expected);
    assert_eq!(vod.media_sequence, 1);
    assert_eq!(outcome(&world.db, &uid).await, Some(Recorded::Done));
    assert!(whole(&world.live, &uid).await.len() > 3 * 188);
}

#[tokio::test]
async fn a_recording_of_which_nothing_is_left_has_failed() {
    let world = World::new(|_| {}).await;
    let uid = recorded(&world.db).await;
    let mut feed = world.publish(&uid).await;
    feed.segments(2).await;
    world.live.stop(&uid, "stopped").await.unwrap();
    world.live.inner.stream(&uid).unwrap().archive.idle().await;
    let stored = world.store.list(uid.as_str()).await.unwrap();
    let segments = stored.into_iter().map(|object| object.key);
    let segments: Vec<_> = segments
        .filter(|key| key.as_str().ends_with(".ts"))
        .collect();
    world.store.delete(&segments).await.unwrap();
    tokio::time::pause();
    tokio::time::sleep(SHOWN).await;
    // The window goes after the outcome is saved.
    while world.live.playlists(&uid).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(outcome(&world.db, &uid).await, Some(Recorded::Failed));
    let playlists = world.live.playlists(&uid).await;
    assert_eq!(playlists.err(), Some(Missing::NotFound));
}

#[tokio::test]
async fn while_the_store_is_away_the_ended_window_stays() {
    let world = World::new(|_| {}).await;
    let uid = recorded(&world.db).await;
    let mut feed = world.publish(&uid).await;
    feed.segments(3).await;
    world.live.stop(&uid, "stopped").await.unwrap();
    world.store.always(Op::List, Fault::Hang);
    tokio::time::pause();
    tokio::time::sleep(SHOWN * 10).await;
    let ended = list(&world.live, &uid);
    assert!(ended.end_list && ended.playlist_type.is_none());
    for entry in &ended.segments {
        assert!(fetch(&world.live, &uid, &entry.uri).await.is_ok());
    }
    assert_eq!(outcome(&world.db, &uid).await, None);
    world.store.always(Op::List, Fault::None);
    world.store.release();
    assert_eq!(vod(&world.live, &uid).await.segments, ended.segments);
}

#[tokio::test]
async fn an_end_that_is_not_in_the_database_costs_no_segment() {
    let world = World::new(|_| {}).await;
    let uid = recorded(&world.db).await;
    let mut feed = world.publish(&uid).await;
    feed.segments(3).await;
    let stream = world.live.inner.stream(&uid).unwrap();
    stream.end_now("stopped").await;
    tokio::time::pause();
    tokio::time::sleep(SHOWN * 10).await;
    let ended = list(&world.live, &uid);
    assert!(ended.end_list && ended.playlist_type.is_none());
    assert_eq!(outcome(&world.db, &uid).await, None);
    let ends = world.db.finish_stream(&uid, "stopped", 1).await;
    assert!(ends.unwrap());
    assert_eq!(vod(&world.live, &uid).await.segments, ended.segments);
}

#[tokio::test]
async fn a_deleted_recording_is_gone_at_once_and_stays_gone() {
    let world = World::new(|_| {}).await;
    // While the ended window is shown, and when it is closed.
    for seconds in [0, 40] {
        let uid = recorded(&world.db).await;
        let mut feed = world.publish(&uid).await;
        feed.segments(3).await;
        let uri = list(&world.live, &uid).segments[0].uri.clone();
        world.live.stop(&uid, "stopped").await.unwrap();
        if seconds > 0 {
            tokio::time::pause();
            vod(&world.live, &uid).await;
        }
        assert!(world.db.drop_recording(&uid).await.unwrap());
        world.live.delete_recording(&uid).await.unwrap();
        assert!(world.live.playlists(&uid).await.is_err());
        assert!(fetch(&world.live, &uid, &uri).await.is_err());
        assert!(world.live.download(&uid).await.is_err());
        assert!(world.db.segments(&uid).await.unwrap().is_empty());
        if seconds == 0 {
            tokio::time::pause();
        }
        tokio::time::sleep(SHOWN * 3).await;
        tokio::time::resume();
        let left = world.store.list(uid.as_str()).await.unwrap();
        assert!(
            left.iter().all(|row| row.key.as_str().ends_with(".jpg")),
            "{left:?}"
        );
        assert!(world.live.playlists(&uid).await.is_err());
    }
}

#[tokio::test]
async fn the_oldest_recordings_go_by_age_or_for_room() {
    let directory = TempDir::new().unwrap();
    let (store, db) = (disk(directory.path()), database(directory.path()));
    let kept = config(|c| c.storage.recordings_retention = Duration::from_hours(1));
    let live = Live::start(kept, store.clone(), db.clone()).await.unwrap();
    let hour_ms = 3_600_000;
    let mut uids = Vec::new();
    // The last two are older than an hour, 20 are not.
    for n in 0..22_u64 {
        let uid = recorded(&db).await;
        db.mark_live(&uid, 1).await.unwrap();
        let name = SegmentName::parse("s-0.ts").unwrap();
        let key = layout::segment(&uid, &name);
        store.put(&key, &["ts".into()], META).await.unwrap();
        let row = SegmentRow {
            name,
            duration_90k: 1,
            date: Duration::ZERO,
            discontinuity: false,
            discontinuities: 0,
            independent: true,
            bytes: 2,
        };
        let counters = Counters {
            next_sequence: 1,
            discontinuities: 0,
            target_duration_s: Some(1),
        };
        db.save_listed(&uid, counters, vec![row], 0).await.unwrap();
        let age_ms = if n < 20 {
            (n as i64) * 1000
        } else {
            hour_ms * 2
        };
        let ended = db
            .finish_stream(&uid, "stopped", lifecycle::now_ms() - age_ms)
            .await;
        ended.unwrap();
        assert!(
            db.close_recording(&uid, Recorded::Done, vec![])
                .await
                .unwrap()
        );
        uids.push(uid);
    }
    tokio::time::pause();
    let there = |uid: StreamUid| {
        let store = store.clone();
        async move { !store.list(uid.as_str()).await.unwrap().is_empty() }
    };
    for uid in &uids[20..] {
        while there(uid.clone()).await {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        while !db.segments(uid).await.unwrap().is_empty() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert!(!db.stream(uid).await.unwrap().unwrap().record);
    }
    for uid in &uids[..20] {
        assert!(there(uid.clone()).await, "younger than an hour");
    }
    let shed = live.delete_oldest_recording().await.unwrap();
    assert_eq!(shed.as_ref(), Some(&uids[19]));
    assert!(!there(uids[19].clone()).await && there(uids[18].clone()).await);
    for _ in 0..19 {
        assert!(live.delete_oldest_recording().await.unwrap().is_some());
    }
    assert_eq!(live.delete_oldest_recording().await.unwrap(), None);
}

#[tokio::test]
async fn a_deletion_that_failed_is_taken_up_again() {
    let world = World::new(|_| {}).await;
    let uid = recorded(&world.db).await;
    let mut feed = world.publish(&uid).await;
    feed.segments(3).await;
    world.live.stop(&uid, "stopped").await.unwrap();
    tokio::time::pause();
    vod(&world.live, &uid).await;
    // Not only once: while the database answers, this clock runs on to the keeper's next look.
    world
        .store
        .always(Op::List, Fault::Io(std::io::ErrorKind::PermissionDenied));
    world.db.drop_recording(&uid).await.unwrap();
    assert!(world.live.delete_recording(&uid).await.is_err());
    world.store.always(Op::List, Fault::None);
    assert!(
        world.live.playlists(&uid).await.is_err(),
        "not served any more"
    );
    while !world.db.segments(&uid).await.unwrap().is_empty() {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let left = world.store.list(uid.as_str()).await.unwrap();
    assert!(
        left.iter().all(|row| row.key.as_str().ends_with(".jpg")),
        "{left:?}"
    );
}

#[tokio::test]
async fn an_unrecorded_stream_leaves_no_rows() {
    let world = World::new(|_| {}).await;
    let uid = world.stream().await;
    let mut feed = world.publish(&uid).await;
    feed.segments(9).await;
    let stream = world.live.inner.stream(&uid).unwrap();
    stream.index.settle().await;
    assert_eq!(world.db.segments(&uid).await.unwrap().len(), 9);
    drop(stream);
    world.live.stop(&uid, "stopped").await.unwrap();
    tokio::time::pause();
    tokio::time::sleep(SHOWN * 2).await;
    while !world.db.segments(&uid).await.unwrap().is_empty() {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::test]
async fn downloads_past_the_limit_are_refused() {
    let world = World::new(|c| c.limits.downloads = 1).await;
    let uid = recorded(&world.db).await;
    let mut feed = world.publish(&uid).await;
    feed.segments(2).await;
    world.live.stop(&uid, "stopped").await.unwrap();
    tokio::time::pause();
    vod(&world.live, &uid).await;
    let first = world.live.download(&uid).await.unwrap();
    let second = world.live.download(&uid).await;
    assert_eq!(second.unwrap_err(), Missing::Unavailable);
    drop(first);
    assert!(world.live.download(&uid).await.is_ok());
}

#[test]
fn a_kill_at_any_time_leaves_a_whole_recording() {
    let directory = TempDir::new().unwrap();
    let at = directory.path();
    let mut told = Told::new();
    let uid = process(async {
        let db = database(at);
        let live = Live::start(config(|_| {}), disk(at), db.clone())
            .await
            .unwrap();
        let uid = recorded(&db).await;
        let mut feed = publish(&live, &uid).await.unwrap();
        for _ in 0..8 {
            feed.segments(1).await;
            tell(&list(&live, &uid), &mut told);
        }
        live.inner.stream(&uid).unwrap().archive.idle().await;
        std::mem::forget(feed);
        uid
    });
    // Killed while its publisher was there, and once more in the time of the ENDLIST.
    process(async {
        let live = Live::start(config(|_| {}), disk(at), database(at))
            .await
            .unwrap();
        tell(&list(&live, &uid), &mut told);
        let mut feed = publish(&live, &uid).await.unwrap();
        for _ in 0..8 {
            feed.segments(1).await;
            tell(&list(&live, &uid), &mut told);
        }
        live.stop(&uid, "stopped").await.unwrap();
        tell(&list(&live, &uid), &mut told);
        live.inner.stream(&uid).unwrap().archive.idle().await;
        live.inner.stream(&uid).unwrap().index.settle().await;
    });
    process(async {
        let live = Live::start(config(|_| {}), disk(at), database(at))
            .await
            .unwrap();
        let mut again = Told::new();
        tell(&vod(&live, &uid).await, &mut again);
        assert_eq!(again, told);
        // Eight of each process, and the open one that the end closed.
        assert!(told.len() == 17 && told.contains_key(&0));
        let text = live
            .playlists(&uid)
            .await
            .unwrap()
            .multivariant
            .plain
            .clone();
        assert!(String::from_utf8_lossy(&text).contains("RESOLUTION=160x96"));
        assert!(whole(&live, &uid).await.len() > 16 * 188);
    });
}

#[test]
fn rows_that_were_not_saved_are_found_in_the_store() {
    let directory = TempDir::new().unwrap();
    let at = directory.path();
    let (uid, before) = process(async {
        let db = database(at);
        let live = Live::start(config(|_| {}), disk(at), db.clone())
            .await
            .unwrap();
        let uid = recorded(&db).await;
        let mut feed = publish(&live, &uid).await.unwrap();
        feed.segments(8).await;
        let stream = live.inner.stream(&uid).unwrap();
        stream.archive.idle().await;
        stream.index.settle().await;
        std::mem::forget(feed);
        (uid.clone(), list(&live, &uid))
    });
    process(async {
        // As if killed before the last four were written to the database.
        let db = database(at);
        let rows = db.segments(&uid).await.unwrap();
        db.forget_segments(&uid).await.unwrap();
        let counters = db.stream(&uid).await.unwrap().unwrap().counters;
        let kept = rows[..4].to_vec();
        db.save_listed(&uid, counters, kept, 0).await.unwrap();
        let live = Live::start(config(|_| {}), disk(at), db.clone())
            .await
            .unwrap();
        assert_eq!(list(&live, &uid).segments, before.segments);
        let stream = live.inner.stream(&uid).unwrap();
        stream.index.settle().await;
        let again = db.segments(&uid).await.unwrap();
        let names = |rows: &[SegmentRow]| -> Vec<_> {
            let facts = rows
                .iter()
                .map(|r| (r.name.clone(), r.discontinuities, r.bytes));
            facts.collect()
        };
        assert_eq!(names(&again), names(&rows));
    });
}

#[test]
fn the_dvr_window_is_there_again_after_a_kill() {
    let directory = TempDir::new().unwrap();
    let at = directory.path();
    let dvr = || config(|c| c.hls.dvr_window = Duration::from_secs(40));
    let (uid, before) = process(async {
        let db = database(at);
        let live = Live::start(dvr(), disk(at), db.clone()).await.unwrap();
        let uid = create(&db).await;
        let mut feed = publish(&live, &uid).await.unwrap();
        feed.segments(30).await;
        let stream = live.inner.stream(&uid).unwrap();
        stream.archive.idle().await;
        stream.index.settle().await;
        // The stored playlist is lost: the index has what it listed.
        let media = layout::media(&uid);
        live.inner.common.store.delete(&[media]).await.unwrap();
        std::mem::forget(feed);
        (uid.clone(), list(&live, &uid))
    });
    assert_eq!((before.segments.len(), before.media_sequence), (20, 10));
    assert_eq!(before.playlist_type, None);
    process(async {
        let live = Live::start(dvr(), disk(at), database(at)).await.unwrap();
        let after = list(&live, &uid);
        assert_eq!(after.segments, before.segments);
        for entry in &after.segments {
            assert!(fetch(&live, &uid, &entry.uri).await.is_ok());
        }
        // Removed just before the kill: fetchable for as long as rule 18 may want.
        let session = before.segments[0].uri.rsplit_once('-').unwrap().0;
        assert!(fetch(&live, &uid, &format!("{session}-9.ts")).await.is_ok());
    });
}

#[tokio::test]
async fn a_long_playlist_is_rendered_behind_the_frames_and_keeps_up() {
    let world = World::new(|c| c.hls.window_segments = 2 * render::LONG).await;
    let uid = world.stream().await;
    let mut feed = world.publish(&uid).await;
    feed.segments(render::LONG as u32 + 20).await;
    let stream = world.live.inner.stream(&uid).unwrap();
    stream.renderings.idle().await;
    assert_eq!(list(&world.live, &uid).segments.len(), render::LONG + 20);
    // What waits is replaced by what is newer, and the end comes last, with the open segment.
    feed.segments(5).await;
    world.live.stop(&uid, "stopped").await.unwrap();
    stream.renderings.idle().await;
    let told = list(&world.live, &uid);
    assert!(told.end_list && told.segments.len() == render::LONG + 26);
    stream.archive.idle().await;
    let stored = world.store.get(&layout::media(&uid), None).await.unwrap();
    assert_eq!(stored.body, world.live.snapshot(&uid).unwrap().media.plain);
    tokio::time::pause();
    tokio::time::sleep(SHOWN).await;
    assert!(world.live.snapshot(&uid).is_none());
}

/// What may happen to a stream.
#[derive(Clone, Copy, Debug)]
enum Happening {
    Segments(u32),
    Lost,
    Pause,
    Resume,
    Restart,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        3 => (1..4_u32).prop_map(Happening::Segments),
        1 => Just(Happening::Lost),
        1 => Just(Happening::Pause),
        1 => Just(Happening::Resume),
        1 => Just(Happening::Restart),
    ]
}

/// Lets timers run; a pause's slate comes by them.
async fn later(live: &Live, uid: &StreamUid, told: &mut Told) {
    // Only here: while a test waits for the database, virtual time would run on for hours.
    tokio::time::pause();
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        if live.snapshot(uid).is_some() {
            tell(&list(live, uid), told);
        }
    }
    tokio::time::resume();
}

async fn happen(at: &Path, happenings: &[Happening]) -> (Told, Told) {
    // Nobody is given up meanwhile.
    let patient = || {
        config(|c| {
            c.hls.reconnect_grace = Duration::from_hours(24);
            c.slate.max_pause = Duration::from_hours(24 * 7);
        })
    };
    let db = database(at);
    let uid = recorded(&db).await;
    let mut live = Live::start(patient(), disk(at), db.clone()).await.unwrap();
    let mut feed = None;
    let mut told = Told::new();
    for happening in happenings.iter().chain([&Happening::Segments(1)]) {
        match happening {
            Happening::Segments(count) => {
                if feed.is_none() {
                    feed = Some(publish(&live, &uid).await.unwrap());
                }
                let feed = feed.as_mut().unwrap();
                for _ in 0..*count {
                    feed.segments(1).await;
                    if live.snapshot(&uid).is_some() {
                        tell(&list(&live, &uid), &mut told);
                    }
                }
            }
            Happening::Lost => drop(feed.take()),
            Happening::Pause => drop(live.pause(&uid).await),
            Happening::Resume => drop(live.resume(&uid).await),
            Happening::Restart => {
                live.drain().await;
                feed = None;
                drop(live);
                live = Live::start(patient(), disk(at), db.clone()).await.unwrap();
            }
        }
        later(&live, &uid, &mut told).await;
    }
    live.stop(&uid, "stopped").await.unwrap();
    if live.snapshot(&uid).is_some() {
        tell(&list(&live, &uid), &mut told);
    }
    if told.is_empty() {
        return (told.clone(), told);
    }
    tokio::time::pause();
    let mut again = Told::new();
    tell(&vod(&live, &uid).await, &mut again);
    (told, again)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn the_recording_lists_what_was_listed_live(
        happenings in prop::collection::vec(happening(), 1..8),
    ) {
        let directory = TempDir::new().unwrap();
        let (told, mut again) = process(happen(directory.path(), &happenings));
        // Every number once, from the first to the last that anybody saw.
        let numbers: Vec<_> = again.keys().copied().collect();
        let last = told.keys().last().map_or(0, |last| last + 1);
        prop_assert_eq!(numbers, (0..last).collect::<Vec<_>>());
        // The slate may have made more meanwhile than a viewer saw.
        again.retain(|number, _| told.contains_key(number));
        prop_assert_eq!(again, told);
    }
}
