//! Where a question is in its life, and where it may go from there. It does not know who moves it.

/// Where a question is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Waits for a moderator; owner and moderators see it.
    Pending,
    /// Everyone sees it.
    Open,
    /// On screen now.
    Live,
    /// Answered in writing or in the stream.
    Answered,
    /// Will not be answered.
    Dismissed,
}

impl State {
    /// As frames and the database write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Open => "open",
            Self::Live => "live",
            Self::Answered => "answered",
            Self::Dismissed => "dismissed",
        }
    }

    /// Reads what [`State::as_str`] wrote.
    pub fn parse(text: &str) -> Option<Self> {
        [
            Self::Pending,
            Self::Open,
            Self::Live,
            Self::Answered,
            Self::Dismissed,
        ]
        .into_iter()
        .find(|state| state.as_str() == text)
    }

    /// Whether viewers see it.
    pub fn is_public(self) -> bool {
        matches!(self, Self::Open | Self::Live | Self::Answered)
    }

    /// Forward, skipping if need be; off the screen again; and back from a hasty dismissal. What
    /// was answered stays answered, perhaps with another answer.
    pub(super) fn may_become(self, next: Self) -> bool {
        use State::{Answered, Dismissed, Live, Open, Pending};
        match self {
            Pending => next != Pending,
            Open => matches!(next, Live | Answered | Dismissed),
            Live => matches!(next, Open | Answered | Dismissed),
            Answered => next == Answered,
            Dismissed => next == Open,
        }
    }
}
