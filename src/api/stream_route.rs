//! Which call a path below `/streams/` asks for. Pure: it does not know whether what is named exists.

use super::route::Method;
use crate::name::StreamUid;

/// An operation on streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamCall {
    /// GET /streams/
    List,
    /// POST /streams/
    Create,
    /// GET /streams/{uid}/
    Show(StreamUid),
    /// PATCH /streams/{uid}/
    Edit(StreamUid),
    /// POST /streams/{uid}/start/ and the like
    Act(StreamUid, Action),
    /// POST /streams/{uid}/reminders/
    Remind(StreamUid),
    /// DELETE /streams/{uid}/reminders/
    ForgetReminder(StreamUid),
    /// DELETE /streams/{uid}/recording/
    DropRecording(StreamUid),
    /// GET /streams/{uid}/chat/
    Chat(StreamUid),
    /// GET /streams/{uid}/questions/
    Questions(StreamUid),
}

/// What an owner does to a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Asks what an encoder needs.
    Start,
    /// Shows the slate.
    Pause,
    /// Shows the encoder's media again.
    Resume,
    /// Ends it.
    Stop,
    /// Calls it off before it began.
    Cancel,
    /// Gives it another key.
    Key,
}

impl Action {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "start" => Self::Start,
            "pause" => Self::Pause,
            "resume" => Self::Resume,
            "stop" => Self::Stop,
            "cancel" => Self::Cancel,
            "key" => Self::Key,
            _ => return None,
        })
    }
}

/// The call of the parts after `/streams`. A text that is no uid names nothing.
pub(super) fn find(method: Method, path: &[&str]) -> Option<StreamCall> {
    use Method::{Delete, Get, Patch, Post};
    let (uid, rest) = match path {
        [] if method == Get => return Some(StreamCall::List),
        [] if method == Post => return Some(StreamCall::Create),
        [] => return None,
        [uid, rest @ ..] => (StreamUid::parse(uid)?, rest),
    };
    Some(match (method, rest) {
        (Get, []) => StreamCall::Show(uid),
        (Patch, []) => StreamCall::Edit(uid),
        (Post, ["reminders"]) => StreamCall::Remind(uid),
        (Delete, ["reminders"]) => StreamCall::ForgetReminder(uid),
        (Delete, ["recording"]) => StreamCall::DropRecording(uid),
        (Get, ["chat"]) => StreamCall::Chat(uid),
        (Get, ["questions"]) => StreamCall::Questions(uid),
        (Post, [action]) => StreamCall::Act(uid, Action::parse(action)?),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "AAAAAAAAAAAAAAAAAAAAAA";

    #[test]
    fn actions_are_posted() {
        for action in ["start", "pause", "resume", "stop", "cancel", "key"] {
            assert!(matches!(
                find(Method::Post, &[UID, action]),
                Some(StreamCall::Act(..))
            ));
            assert_eq!(find(Method::Get, &[UID, action]), None);
        }
        assert_eq!(find(Method::Post, &[UID, "dance"]), None);
        assert_eq!(find(Method::Put, &[UID]), None);
        assert_eq!(find(Method::Delete, &[]), None);
    }

    #[test]
    fn what_is_no_uid_names_nothing() {
        for odd in [
            "",
            "abc",
            "../../etc/passwd",
            "' OR 1=1 --",
            "-AAAAAAAAAAAAAAAAAAAAA",
        ] {
            assert_eq!(find(Method::Get, &[odd]), None);
        }
    }
}
