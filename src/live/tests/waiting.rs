//! Lost and silent publishers as viewers and callers see them: the slate until media is back.

use super::{
    pausing::{end, finished, keep_all, later, marks, reaches, row, until},
    *,
};

#[tokio::test]
async fn silence_with_the_socket_open_is_told_and_covered_until_media_is_back() {
    let world = World::new(keep_all).await;
    let mut events = world.live.events();
    let uid = world.stream().await;
    let mut feed = world.publish(&uid).await;
    feed.segments(2).await;
    feed.pictures(5).await.unwrap();
    next(&mut events, Change::Live).await;
    assert!(world.live.ingest(&uid).is_some());
    later(2).await;
    assert!(!world.live.view(&uid).unwrap().reconnecting, "not yet");
    reaches(&world.live, &uid, 5).await;
    next(&mut events, Change::Reconnecting).await;
    let now = world.live.view(&uid).unwrap();
    assert!(now.reconnecting && now.publishing && !now.paused && now.playable);
    assert_eq!(
        world.live.ingest(&uid),
        None,
        "no health of what does not come"
    );
    assert!(!world.live.ingest_metrics().contains(uid.as_str()));
    assert_eq!(marks(&list(&world.live, &uid)), [3]);

    // In the middle of a GOP: nothing changes until its IDR.
    feed.pictures(3).await.unwrap();
    assert!(world.live.view(&uid).unwrap().reconnecting);
    feed.pictures(2 * GOP + 1).await.unwrap();
    next(&mut events, Change::Live).await;
    let now = world.live.view(&uid).unwrap();
    assert!(!now.reconnecting && now.publishing);
    until(async || marks(&list(&world.live, &uid)).len() > 1).await;
    assert_eq!(marks(&list(&world.live, &uid)).len(), 2, "one in, one out");
    assert!(world.live.ingest(&uid).is_some());
    assert_eq!(row(&world.db, &uid).await.status, Status::Live);
}

#[tokio::test]
async fn a_lost_publisher_is_covered_for_the_grace_and_then_the_stream_ends() {
    let world = World::new(keep_all).await;
    let mut events = world.live.events();
    let uid = world.stream().await;
    let mut feed = world.publish(&uid).await;
    feed.segments(2).await;
    drop(feed);
    until(async || world.live.view(&uid).unwrap().reconnecting).await;
    reaches(&world.live, &uid, 10).await;
    let mut feed = world.publish(&uid).await;
    feed.pictures(3 * GOP).await.unwrap();
    assert!(!world.live.view(&uid).unwrap().reconnecting);
    until(async || marks(&list(&world.live, &uid)).len() == 2).await;
    drop(feed);
    finished(&mut events).await;
    let told = list(&world.live, &uid);
    assert!(told.end_list && marks(&told).len() == 3, "{told:?}");
    let reason = row(&world.db, &uid).await.ended_reason;
    assert_eq!(reason.as_deref(), Some("publisher_lost"));
}

#[tokio::test]
async fn draining_makes_no_slate() {
    let world = World::new(keep_all).await;
    let uid = world.stream().await;
    let mut feed = world.publish(&uid).await;
    feed.segments(2).await;
    feed.pictures(3).await.unwrap();
    world.live.drain().await;
    let before = end(&world.live, &uid);
    assert_eq!(before, 3, "the open segment is listed");
    later(30).await;
    assert_eq!(end(&world.live, &uid), before);
    let told = list(&world.live, &uid);
    assert!(marks(&told).is_empty() && !told.end_list);
}

#[tokio::test]
async fn a_stop_while_media_is_overdue_ends_the_playlist() {
    let world = World::new(keep_all).await;
    let uid = world.stream().await;
    let mut feed = world.publish(&uid).await;
    feed.segments(2).await;
    reaches(&world.live, &uid, 4).await;
    assert!(world.live.view(&uid).unwrap().reconnecting);
    world.live.stop(&uid, "stopped").await.unwrap();
    assert_eq!(feed.publisher.evicted().await, Refused::Ended);
    let before = end(&world.live, &uid);
    later(20).await;
    let told = list(&world.live, &uid);
    assert!(told.end_list && end(&world.live, &uid) == before);
}
