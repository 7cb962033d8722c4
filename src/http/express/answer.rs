//! What is answered at once: a playlist that is on the air, a segment that is in memory. Their heads are
//! those that hyper would send, since both are made by `delivery`; a playlist's is kept with its version. It
//! does not know how an answer is sent.

use std::net::SocketAddr;

use hyper::{Method, StatusCode};

use super::{head::Head, text};
use crate::{
    http::{
        Server,
        body::Slices,
        client, conclude, delivery,
        meter::Label,
        route::{self, Playlist, Route},
    },
    live::Rendered,
    name::Rendition,
};

/// A body up to this is copied behind its head: for so few bytes that is cheaper than telling the kernel
/// of two places.
const COPIED_BYTES: usize = 16 * 1024;

/// An answer whose text is written.
pub struct Begun {
    pub label: Label,
    pub status: StatusCode,
    /// Bytes of the body that are in the text.
    pub copied: usize,
    /// The body, if it is not.
    pub body: Option<Slices>,
}

/// Writes the answer to a request of `peer` into `text`; `None`: it is not at hand. The connection ends
/// with it if it is to `close`.
pub fn begin(
    server: &Server,
    peer: SocketAddr,
    head: &Head<'_, '_>,
    close: bool,
    text: &mut Vec<u8>,
) -> Option<Begun> {
    match route::playlist(head.path) {
        Some(asked) => playlist(server, peer, head, &asked, close, text),
        None => segment(server, head, close, text),
    }
}

fn playlist(
    server: &Server,
    peer: SocketAddr,
    head: &Head<'_, '_>,
    asked: &Playlist<'_>,
    close: bool,
    text: &mut Vec<u8>,
) -> Option<Begun> {
    let state = &server.state;
    let snapshot = state.live.snapshot_named(asked.uid)?;
    let rendered: &Rendered = if asked.media {
        let trusted = &state.config.http.trusted_proxies;
        snapshot.seen_by(client::address(peer.ip(), head, trusted));
        &snapshot.media
    } else {
        &snapshot.multivariant
    };
    let choice = delivery::choose(head, rendered);
    let which = [asked.media, choice.gzip, choice.fresh];
    let index = which
        .into_iter()
        .fold(0, |n, bit| n << 1 | usize::from(bit));
    let beginning = snapshot.heads[index].get_or_init(|| {
        let mut answer = delivery::chosen(choice, rendered, snapshot.max_age_s);
        conclude(&Method::GET, Label::Playlist, &mut answer);
        text::begin(&answer).into()
    });
    text.extend_from_slice(beginning);
    text::end(text, close);
    let mut begun = Begun {
        label: Label::Playlist,
        status: StatusCode::OK,
        copied: 0,
        body: None,
    };
    if choice.fresh {
        begun.status = StatusCode::NOT_MODIFIED;
    } else if head.method == Method::GET {
        let body = if choice.gzip {
            rendered.gzip()
        } else {
            &rendered.plain
        };
        if body.len() <= COPIED_BYTES {
            text.extend_from_slice(body);
            begun.copied = body.len();
        } else {
            begun.body = Some(Slices::one(body.clone()));
        }
    }
    Some(begun)
}

fn segment(server: &Server, head: &Head<'_, '_>, close: bool, text: &mut Vec<u8>) -> Option<Begun> {
    let Ok(Route::Segment(uid, rendition, name)) = route::parse(&head.method, head.path) else {
        return None;
    };
    if rendition != Rendition::source() {
        return None;
    }
    let served = server.state.live.segment_here(&uid, &name)?;
    let mut answer = delivery::segment(&head.method, head, &served);
    conclude(&head.method, Label::Segment, &mut answer);
    text.append(&mut text::begin(&answer));
    text::end(text, close);
    Some(Begun {
        label: Label::Segment,
        status: answer.status(),
        copied: 0,
        body: answer.into_body().at_hand(),
    })
}
