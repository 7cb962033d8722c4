//! Reel: a film that runs, round after round. It does not know its sound, nor when segments are due.

use std::sync::Arc;

use crate::slate::film::Film;
use crate::writer::Picture;

/// A film that runs.
#[derive(Debug)]
pub(super) struct Reel {
    pub(super) film: Arc<Film>,
    start_90k: i64,
    round: i64,
    /// The next IDR, by its place in `Film::keys`.
    key: usize,
}

impl Reel {
    pub(super) fn new(film: Arc<Film>, start_90k: i64) -> Self {
        Self {
            film,
            start_90k,
            round: 0,
            key: 0,
        }
    }

    /// Where the next segment begins.
    pub(super) fn now_90k(&self) -> i64 {
        let key = self.film.keys.get(self.key).copied().unwrap_or(0);
        self.round_90k() + self.film.begin_90k(key)
    }

    /// How much later than decoded its first picture is shown.
    pub(super) fn reorder_90k(&self) -> i64 {
        self.film.shots.first().map_or(0, |first| -first.dts_90k)
    }

    fn round_90k(&self) -> i64 {
        self.start_90k + self.round * self.film.length_90k()
    }

    /// The pictures of the next segment with their times, as many whole GOPs as go into
    /// `length_90k`, and at least one.
    pub(super) fn next(&mut self, length_90k: i64) -> Vec<Picture> {
        let film = Arc::clone(&self.film);
        let (began, mut taken) = (self.now_90k(), Vec::new());
        loop {
            let from = film.keys.get(self.key).copied().unwrap_or(0);
            let to = film.keys.get(self.key + 1).copied();
            let round_90k = self.round_90k();
            let shots = film.shots.get(from..to.unwrap_or(film.shots.len()));
            taken.extend(shots.unwrap_or_default().iter().map(|shot| Picture {
                dts_90k: round_90k + shot.dts_90k,
                pts_90k: round_90k + shot.pts_90k,
                at_ms: 0,
                idr: shot.idr,
                keeps_sets: false,
                length_bytes: film.config.length_bytes,
                data: shot.data.clone(),
            }));
            self.key += 1;
            if to.is_none() {
                (self.round, self.key) = (self.round + 1, 0);
            }
            if self.after_next_90k() - began > length_90k {
                return taken;
            }
        }
    }

    /// Where the GOP that is next ends.
    fn after_next_90k(&self) -> i64 {
        match self.film.keys.get(self.key + 1) {
            Some(key) => self.round_90k() + self.film.begin_90k(*key),
            None => self.round_90k() + self.film.length_90k(),
        }
    }
}
