//! The database as other parts use it. It does not know the SQL.

use std::path::PathBuf;

use super::*;

struct Scratch {
    directory: tempfile::TempDir,
}

impl Scratch {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }
    fn path(&self) -> PathBuf {
        self.directory.path().join("cauce.db")
    }
    fn open(&self) -> Db {
        Db::open(&self.path(), 16).unwrap()
    }
}

fn key(number: u8) -> KeyHash {
    KeyHash([number; 32])
}

async fn create(db: &Db, number: u8) -> StreamUid {
    let uid = StreamUid::random();
    db.create_stream(&uid, &key(number), "a title", true)
        .await
        .unwrap();
    uid
}

#[tokio::test]
async fn a_stream_lives_and_ends() {
    let scratch = Scratch::new();
    let db = scratch.open();
    let uid = create(&db, 1).await;
    let row = db.stream(&uid).await.unwrap().unwrap();
    assert_eq!(row.status, Status::Pending);
    assert_eq!((row.title.as_str(), row.record), ("a title", true));
    assert_eq!(row.counters, Counters::default());
    assert!(row.created_at_ms > 0);

    assert!(db.mark_live(&uid, 1000).await.unwrap());
    assert!(db.mark_live(&uid, 2000).await.unwrap());
    assert!(db.finish_stream(&uid, "stopped", 3000).await.unwrap());
    assert!(
        !db.finish_stream(&uid, "publisher_lost", 4000)
            .await
            .unwrap()
    );
    assert!(!db.mark_live(&uid, 5000).await.unwrap());
    let row = db.stream_by_key(&key(1)).await.unwrap().unwrap();
    assert_eq!((row.uid, row.status), (uid, Status::Finished));
    assert_eq!(
        (row.started_at_ms, row.ended_at_ms),
        (Some(1000), Some(3000))
    );
    assert_eq!(row.ended_reason.as_deref(), Some("stopped"));
}

#[tokio::test]
async fn what_does_not_exist_is_not_found() {
    let scratch = Scratch::new();
    let db = scratch.open();
    let uid = StreamUid::random();
    assert!(db.stream(&uid).await.unwrap().is_none());
    assert!(db.stream_by_key(&key(9)).await.unwrap().is_none());
    let not_found = |kind| assert_eq!(kind, Kind::NotFound);
    not_found(db.mark_live(&uid, 1).await.unwrap_err().kind);
    not_found(db.finish_stream(&uid, "stopped", 1).await.unwrap_err().kind);
    let counters = Counters::default();
    not_found(db.save_counters(&uid, counters).await.unwrap_err().kind);
}

#[tokio::test]
async fn names_and_keys_are_unique() {
    let scratch = Scratch::new();
    let db = scratch.open();
    let uid = create(&db, 1).await;
    let again = db.create_stream(&uid, &key(2), "", true).await;
    assert_eq!(again.unwrap_err().kind, Kind::Conflict);
    let again = db
        .create_stream(&StreamUid::random(), &key(1), "", true)
        .await;
    assert_eq!(again.unwrap_err().kind, Kind::Conflict);
}

#[tokio::test]
async fn counters_never_go_back() {
    let scratch = Scratch::new();
    let db = scratch.open();
    let uid = create(&db, 1).await;
    let save = |next_sequence, discontinuities, target_duration_s| {
        let counters = Counters {
            next_sequence,
            discontinuities,
            target_duration_s,
        };
        db.save_counters(&uid, counters)
    };
    save(5, 2, None).await.unwrap();
    save(4, 3, Some(2)).await.unwrap();
    save(5, 1, Some(6)).await.unwrap();
    let row = db.stream(&uid).await.unwrap().unwrap();
    let expected = Counters {
        next_sequence: 5,
        discontinuities: 3,
        target_duration_s: Some(2),
    };
    assert_eq!(row.counters, expected);
    assert!(save(u64::MAX, 0, None).await.is_err());
}

#[tokio::test]
async fn lists_are_newest_first_and_filtered() {
    let scratch = Scratch::new();
    let db = scratch.open();
    let first = create(&db, 1).await;
    let second = create(&db, 2).await;
    let third = create(&db, 3).await;
    db.mark_live(&second, 1).await.unwrap();
    let uids = |rows: Vec<StreamRow>| rows.into_iter().map(|row| row.uid).collect::<Vec<_>>();
    let all = uids(db.streams(None).await.unwrap());
    assert_eq!(all, [third.clone(), second.clone(), first.clone()]);
    let live = uids(db.streams(Some(Status::Live)).await.unwrap());
    assert_eq!(live, [second]);
    let pending = uids(db.streams(Some(Status::Pending)).await.unwrap());
    assert_eq!(pending, [third, first]);
    assert_eq!(uids(db.streams(Some(Status::Cancel)).await.unwrap()), []);
}

/// The file as a killed process leaves it: copied while the connections are open, so that nothing
/// was checkpointed or closed.
#[tokio::test]
async fn what_was_answered_is_there_after_a_crash() {
    let scratch = Scratch::new();
    let db = scratch.open();
    let uid = create(&db, 1).await;
    let counters = Counters {
        next_sequence: 7,
        ..Counters::default()
    };
    db.save_counters(&uid, counters).await.unwrap();
    let crashed = Scratch::new();
    for file in ["cauce.db", "cauce.db-wal"] {
        let from = scratch.directory.path().join(file);
        std::fs::copy(from, crashed.directory.path().join(file)).unwrap();
    }
    let row = crashed.open().stream(&uid).await.unwrap().unwrap();
    assert_eq!(row.counters, counters);
}

#[tokio::test]
async fn another_process_is_seen_and_noticed() {
    let scratch = Scratch::new();
    let (server, command) = (scratch.open(), scratch.open());
    let before = server.data_version().await.unwrap();
    let own = create(&server, 1).await;
    assert_eq!(server.data_version().await.unwrap(), before);
    let uid = create(&command, 2).await;
    assert!(command.finish_stream(&own, "stopped", 1).await.unwrap());
    assert_ne!(server.data_version().await.unwrap(), before);
    assert!(server.stream(&uid).await.unwrap().is_some());
    let row = server.stream(&own).await.unwrap().unwrap();
    assert_eq!(row.status, Status::Finished);
}

#[tokio::test]
async fn a_full_queue_waits_and_loses_nothing() {
    let scratch = Scratch::new();
    let db = Db::open(&scratch.path(), 1).unwrap();
    let uid = create(&db, 1).await;
    // Another process holds the write lock, so that the writer is stuck in its first batch.
    let lock = Connection::open(scratch.path()).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut writes = tokio::task::JoinSet::new();
    for next_sequence in 1..=20 {
        let (db, uid) = (db.clone(), uid.clone());
        let counters = Counters {
            next_sequence,
            ..Counters::default()
        };
        writes.spawn(async move { db.save_counters(&uid, counters).await });
    }
    while db.requests.capacity() > 0 {
        tokio::task::yield_now().await;
    }
    assert!(writes.try_join_next().is_none());
    lock.execute_batch("ROLLBACK").unwrap();
    for written in writes.join_all().await {
        written.unwrap();
    }
    let row = db.stream(&uid).await.unwrap().unwrap();
    assert_eq!(row.counters.next_sequence, 20);
}

#[tokio::test]
async fn closing_writes_what_is_queued_and_then_refuses() {
    let scratch = Scratch::new();
    let db = scratch.open();
    let uid = create(&db, 1).await;
    let (late, late_uid) = (db.clone(), uid.clone());
    let queued = tokio::spawn(async move { late.mark_live(&late_uid, 1).await });
    while !queued.is_finished() && db.requests.capacity() == db.requests.max_capacity() {
        tokio::task::yield_now().await;
    }
    db.clone().close().await;
    assert!(queued.await.unwrap().unwrap());
    assert_eq!(db.stream(&uid).await.unwrap_err().kind, Kind::Unavailable);
    let refused = db.mark_live(&uid, 2).await.unwrap_err();
    assert_eq!(refused.to_string(), "the database is closed");
    assert!(db.data_version().await.is_err());
    db.close().await;
    let row = scratch.open().stream(&uid).await.unwrap().unwrap();
    assert_eq!(row.status, Status::Live);
}

#[tokio::test]
async fn reads_beyond_the_pool_wait_their_turn() {
    let scratch = Scratch::new();
    let db = scratch.open();
    let uid = create(&db, 1).await;
    let mut reads = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (db, uid) = (db.clone(), uid.clone());
        reads.spawn(async move { db.stream(&uid).await });
    }
    for read in reads.join_all().await {
        assert!(read.unwrap().is_some());
    }
}

#[tokio::test]
async fn a_shown_stream_follows_every_write() {
    let scratch = Scratch::new();
    let db = scratch.open();
    let uid = create(&db, 1).await;
    let shown = async || db.stream_details(&uid).await.unwrap().unwrap();
    let first = shown().await;
    assert!(
        std::sync::Arc::ptr_eq(&first, &shown().await),
        "from memory"
    );
    db.mark_live(&uid, 5).await.unwrap();
    assert_eq!(shown().await.started_at_ms, Some(5));
    let saved = |next_sequence| Counters {
        next_sequence,
        ..Counters::default()
    };
    db.save_counters(&uid, saved(1)).await.unwrap();
    let with_media = shown().await;
    assert!(with_media.has_media);
    db.save_counters(&uid, saved(2)).await.unwrap();
    assert!(
        std::sync::Arc::ptr_eq(&with_media, &shown().await),
        "counters are not shown"
    );
    db.finish_stream(&uid, "stopped", 9).await.unwrap();
    assert_eq!(shown().await.status, Status::Finished);
}

#[tokio::test]
async fn a_shown_stream_follows_other_processes() {
    let scratch = Scratch::new();
    let (server, command) = (scratch.open(), scratch.open());
    let uid = create(&server, 1).await;
    let shown = async || server.stream_details(&uid).await.unwrap().unwrap();
    shown().await;
    command.finish_stream(&uid, "stopped", 1).await.unwrap();
    server.data_version().await.unwrap();
    assert_eq!(shown().await.status, Status::Finished);
}

#[tokio::test]
async fn reads_and_writes_together_never_leave_an_old_row() {
    let scratch = Scratch::new();
    let db = scratch.open();
    let uid = create(&db, 1).await;
    for round in 0..50 {
        let edit = StreamEdit {
            title: Some(round.to_string()),
            ..StreamEdit::default()
        };
        let reads = async {
            for _ in 0..4 {
                db.stream_details(&uid).await.unwrap();
            }
        };
        let (written, ()) = tokio::join!(db.edit_stream(&uid, edit), reads);
        let seen = db.stream_details(&uid).await.unwrap().unwrap();
        assert_eq!(seen.title, written.unwrap().title);
    }
}

#[tokio::test]
async fn a_pause_keeps_its_time_and_ends_with_the_stream() {
    let scratch = Scratch::new();
    let db = scratch.open();
    let uid = create(&db, 1).await;
    let paused_at_ms = async || db.stream(&uid).await.unwrap().unwrap().paused_at_ms;
    assert!(!db.pause_stream(&uid, 5).await.unwrap(), "not live yet");
    assert!(!db.resume_stream(&uid).await.unwrap());
    db.mark_live(&uid, 1).await.unwrap();
    assert!(db.pause_stream(&uid, 5).await.unwrap());
    assert!(db.pause_stream(&uid, 9).await.unwrap());
    assert_eq!(paused_at_ms().await, Some(5));
    assert!(db.resume_stream(&uid).await.unwrap());
    assert!(db.resume_stream(&uid).await.unwrap());
    assert_eq!(paused_at_ms().await, None);
    db.pause_stream(&uid, 7).await.unwrap();
    db.finish_stream(&uid, "stopped", 8).await.unwrap();
    assert_eq!(paused_at_ms().await, None);
    assert!(!db.pause_stream(&uid, 9).await.unwrap());
    let unknown = db.pause_stream(&StreamUid::random(), 1).await.unwrap_err();
    assert_eq!(unknown.kind, Kind::NotFound);
}
