//! What is on the air: the publisher's media, the slate, or nothing, and when slate segments are
//! due (media rules 20 to 24). Pure: time is an argument, counted from the process's origin. It does
//! not know names, numbers or what is stored.

mod pace;

use std::{collections::VecDeque, time::Duration};

use segmenter::{
    Config, Notice, Output, Refusal, Resume, Segment, Segmenter, Standby, Tag, Tracks, slate::Slate,
};

use self::pace::Pace;
use super::{
    show::{self, Newest, Show},
    snapshot::frame_rate,
};
use crate::db::Counters;

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
    paused: bool,
    /// Where the next source goes on; `None` before the stream's first segment.
    resume: Option<Resume>,
    /// Segments were made, here or before a restart.
    began: bool,
    tracks: Tracks,
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
        // After a restart numbers go on, and the timeline starts afresh behind a DISCONTINUITY.
        let resume = began.then(|| Resume {
            target_duration_s: counters.target_duration_s,
            ..Resume::default()
        });
        Self {
            config,
            source: Source::Nothing,
            standby: None,
            paused: false,
            resume,
            began,
            tracks: Tracks::default(),
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

    /// A publisher came; the one before was [`OnAir::lost`].
    pub(super) fn publish(&mut self) {
        self.standby = Some(Standby::default());
        if !self.paused && matches!(self.source, Source::Nothing) {
            self.source = Source::Live(Box::new(self.segmenter()));
        }
    }

    fn segmenter(&self) -> Segmenter {
        Segmenter::new(self.config.clone(), self.resume.clone())
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
        let could_begin = standby.push(tag);
        if let Source::Live(segmenter) = &mut self.source {
            let pushed = segmenter.push(tag);
            self.collect();
            return pushed;
        }
        if !could_begin? {
            return Ok(());
        }
        if self.paused {
            // After a restart the tracks, and with them the slate, come with the publisher.
            if matches!(self.source, Source::Nothing) {
                self.show_slate(now);
            }
            return Ok(());
        }
        self.go_live(tag, now)
    }

    /// From the slate, or from nothing, to the media that `tag` opens.
    fn go_live(&mut self, tag: &Tag, now: Duration) -> Result<(), Refusal> {
        if let Source::Slate(slate) = &mut self.source {
            // The first live segment is about a target duration away. Where that would let the
            // playlist wait too long, one more slate segment comes first; it is made now, since
            // the media goes on behind it.
            if self.pace.needs_one_more(now) {
                let due = self.pace.due().max(now);
                self.aired.push_back(next_piece(slate, &mut self.pace, due));
            }
            self.pace.leave(now);
            self.resume = Some(slate.resume());
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
        self.collect();
        pushed
    }

    /// The publisher is gone: what is open is finished. A slate goes on.
    pub(super) fn lost(&mut self) {
        self.standby = None;
        self.finish_live();
        self.choose_card();
    }

    /// The owner pauses: the open segment is closed, and listed together with the slate's first.
    pub(super) fn pause(&mut self, now: Duration) {
        self.paused = true;
        let waiting = self.aired.len();
        self.finish_live();
        match self.source {
            Source::Slate(_) => self.choose_card(),
            _ => {
                let due = self.show_slate(now);
                for aired in self.aired.iter_mut().skip(waiting) {
                    if let (Aired::Piece(piece), Some(due)) = (aired, due) {
                        piece.not_before = due;
                    }
                }
            }
        }
    }

    /// The owner resumes: live from the next IDR on. Without a publisher the slate goes on, and
    /// says that one is waited for.
    pub(super) fn resume(&mut self) {
        self.paused = false;
        self.choose_card();
    }

    /// Nothing is on the air any more.
    pub(super) fn end(&mut self) {
        self.lost();
        if let Source::Slate(slate) = &self.source {
            self.resume = Some(slate.resume());
        }
        self.source = Source::Nothing;
    }

    /// When [`OnAir::tick`] is to be called next; `None` while there is nothing to wait for.
    pub(super) fn due(&self) -> Option<Duration> {
        matches!(self.source, Source::Slate(_)).then(|| self.pace.due())
    }

    /// Makes the slate segment that is due, if one is.
    pub(super) fn tick(&mut self, now: Duration) {
        if let Source::Slate(slate) = &mut self.source
            && self.pace.due() <= now
        {
            self.aired.push_back(next_piece(slate, &mut self.pace, now));
        }
    }

    /// Starts the slate with its first segment and tells when it may be listed. `None` when there
    /// is nothing to make it from: before the first segment, or after a restart until a publisher
    /// tells its tracks.
    fn show_slate(&mut self, now: Duration) -> Option<Duration> {
        let known = Some(&self.tracks).filter(|tracks| **tracks != Tracks::default());
        let told = self.standby.as_ref().map(Standby::tracks);
        let tracks = known.cloned().or(told)?;
        let video = tracks.video.as_ref();
        let fps = video.and_then(|video| video.fps).or(self.counted_fps);
        let (resume, lost) = (self.resume.as_ref()?, self.is_lost());
        let (slate, why) = self.show.slate(&tracks, fps, resume, &self.newest, lost);
        self.aired.extend(why.map(Aired::CardInstead));
        let mut slate = slate?;
        self.pace.begin(now, slate.target_s());
        let due = self.pace.due().max(now);
        let first = next_piece(&mut slate, &mut self.pace, due);
        self.aired.push_back(first);
        self.source = Source::Slate(Box::new(slate));
        Some(due)
    }

    /// A publisher is waited for, and the owner did not pause.
    fn is_lost(&self) -> bool {
        !self.paused && self.standby.is_none()
    }

    fn choose_card(&mut self) {
        let lost = self.is_lost();
        if let Source::Slate(slate) = &mut self.source {
            slate.show(show::card(lost, &self.tracks));
        }
    }

    fn finish_live(&mut self) {
        let Source::Live(segmenter) = &mut self.source else {
            return;
        };
        let resume = segmenter.finish();
        self.collect();
        if self.began {
            self.resume = Some(resume);
        }
        self.source = Source::Nothing;
    }

    /// Takes what the segmenter has finished.
    fn collect(&mut self) {
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
                    piece(segment, false, self.pace.first_live())
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
