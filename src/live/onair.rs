//! What is on the air: the publisher's media, the slate, or nothing, when slate segments are due and
//! when media is overdue (media rules 20 to 25). Pure: time is an argument, counted from the
//! process's origin. It does not know names, numbers or what is stored.

mod pace;

use std::{collections::VecDeque, time::Duration};

use segmenter::{
    Config, Notice, Output, Refusal, Resume, Segment, Segmenter, Standby, Tag, TagKind, Tracks,
    slate::Slate,
};

use self::pace::Pace;
use super::{
    show::{self, Newest, Show},
    snapshot::frame_rate,
};
use crate::db::Counters;

/// Encoders need some seconds to come back after a restart. In target durations: what players have
/// before them when they start (RFC 8216 6.3.3).
const RETURN_TARGETS: u32 = 3;

/// A segment to list.
#[derive(Debug)]
pub(super) struct Piece {
    pub segment: Segment,
    /// Not the publisher's media.
    pub slate: bool,
    /// It may be listed from then on; what follows it waits with it.
    pub not_before: Duration,
}

/// What [`OnAir::poll`] hands out, in order.
#[derive(Debug)]
pub(super) enum Aired {
    /// The publisher's tracks became known or changed.
    Tracks(Tracks),
    /// Something the streamer should hear of.
    Notice(Notice),
    /// Nothing comes from the publisher that is there.
    Silent,
    /// The publisher's media is back.
    Returned,
    /// Why the slate is the card, though something else was asked for.
    CardInstead(&'static str),
    /// A segment.
    Piece(Box<Piece>),
}

enum Source {
    /// Nothing: no publisher, or a pause that has no slate.
    Nothing,
    Live(Box<Segmenter>),
    Slate(Box<Slate>),
}

/// The source of a stream's segments.
pub(super) struct OnAir {
    config: Config,
    source: Source,
    /// Of the publisher that is there.
    standby: Option<Standby>,
    /// When its media came last.
    heard: Duration,
    paused: bool,
    /// The slate is shown because media is overdue, or nobody is there to send it.
    waiting: bool,
    /// No slate can be made of the tracks that are known.
    slateless: bool,
    over: bool,
    /// Where the next source goes on; `None` before the stream's first segment.
    resume: Option<Resume>,
    /// Segments were made, here or before a restart.
    began: bool,
    tracks: Tracks,
    /// What an earlier process showed last, and when this one took it up.
    before: Option<(Tracks, Duration)>,
    counted_fps: Option<f64>,
    pace: Pace,
    aired: VecDeque<Aired>,
    show: Show,
    newest: Newest,
}

impl OnAir {
    /// Nothing on the air; `counters` tell what an earlier process listed.
    pub(super) fn new(config: Config, counters: Counters) -> Self {
        let began = counters.next_sequence > 0;
        // After a restart numbers go on, and time does where the last segment can be read.
        let resume = began.then(|| Resume {
            target_duration_s: counters.target_duration_s,
            ..Resume::default()
        });
        Self {
            config,
            source: Source::Nothing,
            standby: None,
            heard: Duration::ZERO,
            paused: false,
            waiting: false,
            slateless: false,
            over: false,
            resume,
            began,
            tracks: Tracks::default(),
            before: None,
            counted_fps: None,
            pace: Pace::default(),
            aired: VecDeque::new(),
            show: Show::default(),
            newest: Newest::default(),
        }
    }

    /// With other slates than the card.
    pub(super) fn showing(self, show: Show) -> Self {
        Self { show, ..self }
    }

    /// The tracks that the publisher's media has or had.
    pub(super) fn tracks(&self) -> &Tracks {
        &self.tracks
    }

    /// What an earlier process listed last: its tracks, which a slate has until the publisher is
    /// back, the packets' next counters, and the DTS at which it ends.
    pub(super) fn recall(
        &mut self,
        before: Option<Tracks>,
        continuity: [u8; 4],
        end_90k: Option<u64>,
        now: Duration,
    ) {
        self.before = before.map(|tracks| (tracks, now));
        if let Some(resume) = &mut self.resume {
            resume.continuity = continuity;
            resume.next_dts_90k = end_90k;
        }
    }

    /// Frame rate counted in the publisher's media.
    pub(super) fn counted_fps(&self) -> Option<f64> {
        self.counted_fps
    }

    /// What is next to be listed or told.
    pub(super) fn poll(&mut self) -> Option<Aired> {
        self.aired.pop_front()
    }

    /// Something was listed.
    pub(super) fn listed(&mut self, now: Duration) {
        self.pace.listed(now);
    }

    /// Not paused, and the publisher's media is waited for.
    pub(super) fn is_waiting(&self) -> bool {
        self.waiting && !self.paused
    }

    /// A publisher came; the one before was [`OnAir::lost`]. Its media is shown at once where it is
    /// the stream's first, else from its first IDR on: a slate may have to come before it.
    pub(super) fn publish(&mut self) {
        self.standby = Some(Standby::default());
        self.slateless = false;
        if matches!(self.source, Source::Nothing) {
            self.waiting = false;
            if !self.paused && !self.began {
                self.source = Source::Live(Box::new(self.segmenter()));
            }
        }
    }

    fn segmenter(&self) -> Segmenter {
        let segmenter = Segmenter::new(self.config.clone(), self.resume.clone());
        match self.show {
            Show::Freeze => segmenter.keeping_idrs(),
            Show::Card | Show::Film(_) => segmenter,
        }
    }

    /// Takes the publisher's media: while the slate is on it is checked and dropped, until the
    /// stream is not paused and an IDR comes.
    ///
    /// # Errors
    /// As [`Segmenter::push`].
    pub(super) fn push(&mut self, tag: &Tag, now: Duration) -> Result<(), Refusal> {
        let Some(standby) = &mut self.standby else {
            return Ok(());
        };
        if tag.kind != TagKind::Script {
            self.heard = now;
        }
        if let Source::Live(segmenter) = &mut self.source {
            standby.note(tag);
            let pushed = segmenter.push(tag);
            let waiting = self.aired.len();
            self.collect(now);
            self.plan(waiting, now);
            return pushed;
        }
        if !standby.push(tag)? {
            return Ok(());
        }
        if self.paused {
            // Where a restart found no segment, the tracks come with the publisher.
            if matches!(self.source, Source::Nothing) {
                self.show_slate(now, now);
            }
            return Ok(());
        }
        self.go_live(tag, now)
    }

    /// From the slate, or from nothing, to the media that `tag` opens.
    fn go_live(&mut self, tag: &Tag, now: Duration) -> Result<(), Refusal> {
        // The first live segment is about a target duration away. Where that would let the playlist
        // wait too long, one more slate segment comes first; it is made now, since the media goes
        // on behind it.
        if self.pace.needs_one_more(now) {
            match &mut self.source {
                Source::Slate(slate) => {
                    let due = self.pace.due().max(now);
                    self.aired.push_back(next_piece(slate, &mut self.pace, due));
                }
                _ => drop(self.show_slate(now, now)),
            }
        }
        if let Source::Slate(slate) = &self.source {
            self.resume = Some(slate.resume());
        }
        self.pace.leave(now);
        if std::mem::take(&mut self.waiting) {
            self.aired.push_back(Aired::Returned);
        }
        let mut segmenter = self.segmenter();
        let headers: Vec<Tag> = self
            .standby
            .iter()
            .flat_map(|standby| standby.headers(tag.timestamp_ms))
            .collect();
        let pushed = headers
            .iter()
            .chain([tag])
            .try_for_each(|tag| segmenter.push(tag));
        self.source = Source::Live(Box::new(segmenter));
        self.collect(now);
        pushed
    }

    /// The publisher is gone: what is open is finished. A slate goes on, or comes when media is
    /// overdue.
    pub(super) fn lost(&mut self, now: Duration) {
        self.standby = None;
        self.waiting = !self.paused;
        self.pace.keep_distance();
        let waiting = self.aired.len();
        self.finish_live(now);
        self.plan(waiting, now);
        self.choose_card();
    }

    /// What was aired behind the first `waiting` will be listed at its own time.
    fn plan(&mut self, waiting: usize, now: Duration) {
        for aired in self.aired.iter().skip(waiting) {
            if let Aired::Piece(piece) = aired {
                self.pace.plan(piece.not_before.max(now));
            }
        }
    }

    /// The owner pauses: the slate, whatever was there.
    pub(super) fn pause(&mut self, now: Duration) {
        self.paused = true;
        self.waiting = false;
        match self.source {
            Source::Slate(_) => self.choose_card(),
            _ => drop(self.change_to_slate(now, now)),
        }
    }

    /// From media that ended then to the slate, if one can be made: the open segment is closed, and
    /// listed together with the slate's first.
    fn change_to_slate(&mut self, media_end: Duration, now: Duration) -> Option<Duration> {
        let waiting = self.aired.len();
        self.finish_live(now);
        let due = self.show_slate(media_end, now)?;
        for aired in self.aired.iter_mut().skip(waiting) {
            if let Aired::Piece(piece) = aired {
                piece.not_before = due;
            }
        }
        Some(due)
    }

    /// The owner resumes: live from the next IDR on. Without a publisher the slate goes on, and
    /// says that one is waited for.
    pub(super) fn resume(&mut self, now: Duration) {
        self.paused = false;
        self.waiting = self.standby.is_none();
        self.look(now);
        self.choose_card();
    }

    /// Nothing is on the air any more.
    pub(super) fn end(&mut self, now: Duration) {
        self.lost(now);
        if let Source::Slate(slate) = &self.source {
            self.resume = Some(slate.resume());
        }
        self.source = Source::Nothing;
        self.over = true;
    }

    /// When [`OnAir::tick`] is to be called next; `None` while there is nothing to wait for.
    pub(super) fn due(&self) -> Option<Duration> {
        match &self.source {
            Source::Slate(_) => Some(self.pace.due()),
            // Before the first segment there is no target duration to measure by.
            _ if self.over || self.paused || self.slateless || !self.began => None,
            Source::Nothing if self.slate_tracks().is_none() => None,
            Source::Nothing => {
                let overdue = self.pace.overdue(Duration::ZERO);
                overdue.or_else(|| self.unreturned())
            }
            Source::Live(_) => self.pace.overdue(self.heard),
        }
    }

    /// When the slate is to cover a publisher that did not come back after a restart.
    fn unreturned(&self) -> Option<Duration> {
        let (_, taken_up) = self.before.as_ref()?;
        let target_s = self.resume.as_ref()?.target_duration_s?;
        Some(*taken_up + Duration::from_secs(target_s.into()) * RETURN_TARGETS)
    }

    /// Makes the slate segment that is due, if one is, or goes to the slate because media is
    /// overdue.
    pub(super) fn tick(&mut self, now: Duration) {
        if self.due().is_none_or(|due| due > now) {
            return;
        }
        if let Source::Slate(_) = self.source {
            self.look(now);
            self.choose_card();
        }
        match &mut self.source {
            Source::Slate(slate) => {
                self.aired.push_back(next_piece(slate, &mut self.pace, now));
            }
            _ => self.fall_silent(now),
        }
    }

    /// Media is overdue: the open segment is closed, and the slate goes on where media ended.
    fn fall_silent(&mut self, now: Duration) {
        match self.change_to_slate(self.heard, now) {
            Some(_) => self.wait(),
            None => self.slateless = true,
        }
    }

    /// While a slate is on and not paused: is the publisher, which may have been there when it
    /// began, still sending?
    fn look(&mut self, now: Duration) {
        let patience = self.pace.silence() * 5;
        if !self.paused && self.standby.is_some() && self.heard + patience <= now {
            self.wait();
        }
    }

    fn wait(&mut self) {
        if !std::mem::replace(&mut self.waiting, true) && self.standby.is_some() {
            self.aired.push_back(Aired::Silent);
        }
    }

    /// What a slate is made of: the tracks that were shown last, or that the publisher tells.
    fn slate_tracks(&self) -> Option<Tracks> {
        let told = self.standby.as_ref().map(Standby::tracks);
        let shown = Some(self.tracks.clone()).into_iter().chain(told);
        let before = self.before.as_ref().map(|(tracks, _)| tracks.clone());
        let mut all = shown.chain(before);
        all.find(|tracks| *tracks != Tracks::default())
    }

    /// Starts the slate with its first segment, which goes on where media ended, and tells when it
    /// may be listed. `None` when there is nothing to make it from: before the first segment, or
    /// after a restart that found no segment, until a publisher tells its tracks.
    fn show_slate(&mut self, media_end: Duration, now: Duration) -> Option<Duration> {
        let tracks = self.slate_tracks()?;
        let video = tracks.video.as_ref();
        let fps = video.and_then(|video| video.fps).or(self.counted_fps);
        let resume = self.resume.as_ref()?;
        let lost = !self.paused;
        let (slate, why) = self.show.slate(&tracks, fps, resume, &self.newest, lost);
        self.aired.extend(why.map(Aired::CardInstead));
        let mut slate = slate?;
        self.pace.begin(media_end, slate.target_s());
        let due = self.pace.due().max(now);
        let first = next_piece(&mut slate, &mut self.pace, due);
        self.aired.push_back(first);
        self.source = Source::Slate(Box::new(slate));
        Some(due)
    }

    fn choose_card(&mut self) {
        let lost = self.is_waiting();
        if let Source::Slate(slate) = &mut self.source {
            slate.show(show::card(lost, &self.tracks));
        }
    }

    fn finish_live(&mut self, now: Duration) {
        let Source::Live(segmenter) = &mut self.source else {
            return;
        };
        let resume = segmenter.finish();
        self.collect(now);
        if self.began {
            self.resume = Some(resume);
        }
        self.source = Source::Nothing;
    }

    /// Takes what the segmenter has finished.
    fn collect(&mut self, now: Duration) {
        let Source::Live(segmenter) = &mut self.source else {
            return;
        };
        while let Some(output) = segmenter.poll() {
            self.aired.push_back(match output {
                Output::Tracks(tracks) => {
                    self.tracks = tracks.clone();
                    self.counted_fps = None;
                    Aired::Tracks(tracks)
                }
                Output::Notice(notice) => Aired::Notice(notice),
                Output::Segment(segment) => {
                    self.began = true;
                    self.show.see(&segment, &mut self.newest);
                    let counted = || frame_rate(segment.pictures, segment.duration_90k);
                    self.counted_fps = self.counted_fps.or_else(counted);
                    let (length, target_s) = (segment.duration_90k, segment.target_duration_s);
                    let not_before = self.pace.live(now, length, target_s);
                    piece(segment, false, not_before)
                }
            });
        }
    }
}

/// The slate's segment that will be listed at `due`.
fn next_piece(slate: &mut Slate, pace: &mut Pace, due: Duration) -> Aired {
    let length_ms = pace.length(due).as_millis();
    let segment = slate.segment(u32::try_from(length_ms).unwrap_or(u32::MAX));
    pace.planned(due, segment.duration_90k);
    piece(segment, true, due)
}

fn piece(segment: Segment, slate: bool, not_before: Duration) -> Aired {
    Aired::Piece(Box::new(Piece {
        segment,
        slate,
        not_before,
    }))
}

#[cfg(test)]
mod tests;
