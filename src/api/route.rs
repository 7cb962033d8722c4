//! Which call a method and a path ask for. Pure: it does not know whether what is named exists.

use super::{
    channel_route::{self, ChannelCall},
    reply::Failure,
    stream_route::{self, StreamCall},
};

/// The methods that calls have. HEAD is answered as GET, OPTIONS before it comes here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// GET and HEAD
    Get,
    /// POST
    Post,
    /// PUT
    Put,
    /// PATCH
    Patch,
    /// DELETE
    Delete,
}

impl Method {
    const ALL: [Self; 5] = [Self::Get, Self::Post, Self::Put, Self::Patch, Self::Delete];

    /// Reads a method's name; HEAD is GET.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "GET" | "HEAD" => Self::Get,
            "POST" => Self::Post,
            "PUT" => Self::Put,
            "PATCH" => Self::Patch,
            "DELETE" => Self::Delete,
            _ => return None,
        })
    }

    /// As `Allow` writes it.
    fn allowed(self) -> &'static str {
        match self {
            Self::Get => "GET, HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// One operation. Texts are path parts as sent, percent-decoded and nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// POST /token/: the query says what for.
    Token,
    /// GET /reset/
    ResetForm,
    /// POST /reset/
    Reset,
    /// GET /question/, /questions/
    Questions,
    /// On channels.
    Channel(ChannelCall),
    /// On streams.
    Stream(StreamCall),
    /// GET /users/{username}/
    User(String),
    /// PATCH /users/{username}/
    EditUser(String),
    /// PUT /users/{username}/
    ReplaceUser(String),
    /// PUT and PATCH /users/{username}/photo/
    SetPhoto(String),
    /// GET /photos/{name}
    Photo(String),
}

impl Call {
    /// Whether its body is an image, which may be larger than JSON.
    pub fn takes_image(&self) -> bool {
        matches!(self, Self::SetPhoto(_))
    }
}

/// The call of a method and the parts of a path.
///
/// # Errors
/// 404 when no method has this path, else 405 with those that have.
pub fn parse(method: &str, path: &[&str]) -> Result<Call, Failure> {
    let found = Method::parse(method).and_then(|method| find(method, path));
    found.ok_or_else(|| match allowed(path) {
        allow if allow.is_empty() => Failure::not_found(),
        allow => Failure::Method {
            method: method.chars().take(20).collect(),
            allow,
        },
    })
}

/// What `Allow` says of a path; empty when there is no such path.
pub fn allowed(path: &[&str]) -> String {
    let has = |method: &Method| find(*method, path).is_some();
    let mut names: Vec<_> = Method::ALL
        .into_iter()
        .filter(has)
        .map(Method::allowed)
        .collect();
    if !names.is_empty() {
        names.push("OPTIONS");
    }
    names.join(", ")
}

/// The whole table.
fn find(method: Method, path: &[&str]) -> Option<Call> {
    use Method::{Get, Patch, Post, Put};
    let own = |part: &str| part.to_owned();
    Some(match (method, path) {
        (Post, ["token"]) => Call::Token,
        (Get, ["reset"]) => Call::ResetForm,
        (Post, ["reset"]) => Call::Reset,
        (Get, ["question" | "questions"]) => Call::Questions,
        (method, ["channels", rest @ ..]) => Call::Channel(channel_route::find(method, rest)?),
        (method, ["streams", rest @ ..]) => Call::Stream(stream_route::find(method, rest)?),
        (Get, ["users", name]) => Call::User(own(name)),
        (Patch, ["users", name]) => Call::EditUser(own(name)),
        (Put, ["users", name]) => Call::ReplaceUser(own(name)),
        (Put | Patch, ["users", name, "photo"]) => Call::SetPhoto(own(name)),
        (Get, ["photos", name]) => Call::Photo(own(name)),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_paths_and_methods() {
        assert_eq!(parse("GET", &["nothing"]), Err(Failure::not_found()));
        assert_eq!(parse("GET", &[]), Err(Failure::not_found()));
        let Err(Failure::Method { allow, .. }) = parse("TRACE", &["questions"]) else {
            unreachable!("TRACE is no method of ours");
        };
        assert_eq!(allow, "GET, HEAD, OPTIONS");
        assert_eq!(parse("HEAD", &["question"]), Ok(Call::Questions));
    }
}
