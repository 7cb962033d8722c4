//! Which call a path below `/channels/` asks for. Pure: it does not know whether what is named exists.

use super::route::Method;

/// An operation on channels. Texts are names as sent, percent-decoded and nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChannelCall {
    /// GET /channels/
    List,
    /// POST /channels/
    Create,
    /// GET /channels/{username}/
    Show(String),
    /// PATCH and PUT /channels/{username}/
    Edit {
        /// Which.
        username: String,
        /// PUT: the fields that a channel must have must be there.
        whole: bool,
    },
    /// GET /channels/{username}/stream
    Encoder(String),
    /// GET /channels/{username}/subscribers/
    Subscribers(String),
    /// POST /channels/{username}/subscribers/
    Subscribe(String),
    /// DELETE /channels/{username}/subscribers/
    Unsubscribe(String),
    /// GET /channels/{username}/moderators/
    Moderators(String),
    /// POST /channels/{username}/moderators/
    AddModerator(String),
    /// DELETE /channels/{username}/moderators/
    RemoveModerator(String),
}

/// The call of the parts after `/channels`.
pub(super) fn find(method: Method, path: &[&str]) -> Option<ChannelCall> {
    use Method::{Delete, Get, Patch, Post, Put};
    let name = |name: &str| name.to_owned();
    Some(match (method, path) {
        (Get, []) => ChannelCall::List,
        (Post, []) => ChannelCall::Create,
        (Get, [channel]) => ChannelCall::Show(name(channel)),
        (Patch | Put, [channel]) => ChannelCall::Edit {
            username: name(channel),
            whole: method == Put,
        },
        (Get, [channel, "stream"]) => ChannelCall::Encoder(name(channel)),
        (Get, [channel, "subscribers"]) => ChannelCall::Subscribers(name(channel)),
        (Post, [channel, "subscribers"]) => ChannelCall::Subscribe(name(channel)),
        (Delete, [channel, "subscribers"]) => ChannelCall::Unsubscribe(name(channel)),
        (Get, [channel, "moderators"]) => ChannelCall::Moderators(name(channel)),
        (Post, [channel, "moderators"]) => ChannelCall::AddModerator(name(channel)),
        (Delete, [channel, "moderators"]) => ChannelCall::RemoveModerator(name(channel)),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_as_they_are() {
        for odd in ["ana", "' OR 1=1 --", "../../etc", "stream", "ñ"] {
            let found = find(Method::Get, &[odd, "stream"]);
            assert_eq!(found, Some(ChannelCall::Encoder(odd.into())));
        }
        assert_eq!(find(Method::Delete, &["ana"]), None);
        assert_eq!(find(Method::Get, &["ana", "subscribers", "x"]), None);
    }
}
