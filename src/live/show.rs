//! Show: what slates show, by `slate.mode`, and what they show instead when that cannot be done. It
//! does not know when slates are shown.

use std::sync::Arc;

use segmenter::{
    Idr, Resume, Segment, Tracks,
    slate::{Film, Slate, Still, keeps_sound},
};

use super::{cards, film};
use crate::{
    config::{Config, SlateMode},
    error::{Error, Kind, Result},
};

/// What slates show.
#[derive(Clone, Debug, Default)]
pub(super) enum Show {
    /// The built-in picture.
    #[default]
    Card,
    /// The stream's own last picture.
    Freeze,
    /// The operator's clip.
    Film(Arc<Film>),
}

/// The publisher's newest IDR, for as long as it is recent; kept only to be frozen.
#[derive(Debug, Default)]
pub(super) struct Newest {
    idr: Option<Idr>,
    /// Segments without an IDR since.
    without: u32,
}

impl Show {
    /// What `config` asks for.
    ///
    /// # Errors
    /// `slate.file` is missing or unfit, in one line.
    pub(super) fn open(config: &Config) -> Result<Self> {
        match (config.slate.mode, &config.slate.file) {
            (SlateMode::Card, _) => Ok(Self::Card),
            (SlateMode::Freeze, _) => Ok(Self::Freeze),
            (SlateMode::File, Some(path)) => Ok(Self::Film(Arc::new(film::read(config, path)?))),
            (SlateMode::File, None) => Err(Error::new(
                Kind::Config,
                "slate.file: expected a file with slate.mode = \"file\"",
            )),
        }
    }

    /// Sees each segment of the publisher's media.
    pub(super) fn see(&self, segment: &Segment, newest: &mut Newest) {
        if matches!(self, Self::Freeze) {
            newest.see(segment);
        }
    }

    /// One line of it.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Card => "the built-in card".into(),
            Self::Freeze => "the stream's last picture".into(),
            Self::Film(clip) => film::describe(clip),
        }
    }

    /// A slate with `tracks`, and why it is the card's though something else was asked for.
    pub(super) fn slate(
        &self,
        tracks: &Tracks,
        fps: Option<f64>,
        resume: &Resume,
        newest: &Newest,
        lost: bool,
    ) -> (Option<Slate>, Option<&'static str>) {
        let shown = match self {
            _ if tracks.video.is_none() => Ok(None),
            Self::Card => Ok(None),
            Self::Freeze => newest
                .still(tracks)
                .map(|still| Slate::new(tracks, fps, resume, &still)),
            Self::Film(film) => match Slate::film(tracks, resume, film) {
                Some(slate) => Ok(Some(slate)),
                None => Err("its keyframes are too rare for this stream's target duration"),
            },
        };
        let card = || Slate::new(tracks, fps, resume, card(lost, tracks));
        match shown {
            Ok(Some(slate)) => (Some(slate), None),
            Ok(None) => (card(), None),
            Err(why) => (card(), Some(why)),
        }
    }
}

/// The card that suits the stream.
pub(super) fn card(lost: bool, tracks: &Tracks) -> &'static Still {
    let video = tracks.video.as_ref();
    cards::card(lost, video.map_or(0, |video| video.width.min(video.height)))
}

impl Newest {
    /// A segment that was cut within a GOP has no IDR: the one before it will do, and no older one (a
    /// GOP is not much longer than a segment), nor the only one of an encoder that refreshes its
    /// picture bit by bit.
    fn see(&mut self, segment: &Segment) {
        if segment.idr.is_some() {
            self.idr.clone_from(&segment.idr);
            self.without = 0;
        } else {
            self.without += 1;
        }
        if self.without > 1 {
            self.idr = None;
        }
    }

    fn still(&self, tracks: &Tracks) -> Result<Still, &'static str> {
        if tracks
            .audio
            .as_ref()
            .is_some_and(|audio| !keeps_sound(audio))
        {
            return Err("there is no silence in the coding of its sound");
        }
        let idr = self.idr.as_ref().ok_or("no keyframe came lately")?;
        Still::freeze(idr)
    }
}

#[cfg(test)]
mod tests;
