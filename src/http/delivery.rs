//! HLS delivery: playlists, segments and thumbnails with every header that players and caches live
//! by (RFC 8216, RFC 9110, RFC 9111). It does not know where the bytes come from.

use std::{ops::Range, time::SystemTime};

use hyper::{
    Method, Response, StatusCode,
    header::{self, HeaderName, HeaderValue},
};

use super::{
    body::Body,
    conditional::{self, Wanted},
    fields::Fields,
    reply::{Answer, HOST_WANTED, refusal, set, set_text},
    route::{READ_LIVE, RouteError},
};
use crate::live::{Download, Missing, Rendered, Served};

/// What a cache may keep for good: a segment's name is never used twice.
const IMMUTABLE: &str = "public, max-age=31536000, immutable";
/// A recording is always the same until it is deleted.
const RECORDING: &str = "public, max-age=60";
/// A stream that is not there may be there in a moment.
const BRIEFLY: &str = "max-age=1";
/// Of a playlist's answer, so that the map does not grow twice under way.
const HEADERS: usize = 12;

/// What of a playlist a request gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The compressed text.
    pub gzip: bool,
    /// The client has it: 304.
    pub fresh: bool,
}

/// Gzip or plain, as the client takes it, unless it has that.
pub fn choose(request: &impl Fields, rendered: &Rendered) -> Choice {
    let gzip = conditional::accepts_gzip(request);
    let etag = etag(rendered, gzip);
    let fresh = conditional::not_modified(request, etag, rendered.modified);
    Choice { gzip, fresh }
}

fn etag(rendered: &Rendered, gzip: bool) -> &str {
    if gzip {
        &rendered.etag_gzip
    } else {
        &rendered.etag
    }
}

/// A playlist, as [`choose`] says.
pub fn playlist(request: &impl Fields, rendered: &Rendered, max_age_s: u32) -> Answer {
    chosen(choose(request, rendered), rendered, max_age_s)
}

/// The playlist that was chosen. While it is live `max_age_s` is half a target duration: a cache that
/// asks so often never serves one that is a whole segment old.
pub fn chosen(choice: Choice, rendered: &Rendered, max_age_s: u32) -> Answer {
    let Choice { gzip, fresh } = choice;
    let mut answer = if fresh {
        not_modified()
    } else if gzip {
        Response::new(Body::text(rendered.gzip().clone()))
    } else {
        Response::new(Body::text(rendered.plain.clone()))
    };
    answer.headers_mut().reserve(HEADERS);
    set(&mut answer, header::VARY, "Accept-Encoding");
    set_text(
        &mut answer,
        header::CACHE_CONTROL,
        &format!("public, max-age={max_age_s}"),
    );
    validators(&mut answer, etag(rendered, gzip), rendered.modified);
    if !fresh {
        set(
            &mut answer,
            header::CONTENT_TYPE,
            "application/vnd.apple.mpegurl",
        );
        if gzip {
            set(&mut answer, header::CONTENT_ENCODING, "gzip");
        }
    }
    answer
}

/// A segment, or the part of it that is asked for.
pub fn segment(method: &Method, request: &impl Fields, served: &Served) -> Answer {
    let media = Media {
        len: served.len,
        etag: &served.etag,
        modified: served.modified,
        cache: IMMUTABLE,
    };
    media.answer(method, request, |range| {
        Body::slices(served.body.clone(), range)
    })
}

/// A recording as one file, or the part of it that is asked for.
pub fn recording(method: &Method, request: &impl Fields, download: Download) -> Answer {
    let etag = download.etag.clone();
    let media = Media {
        len: download.len,
        etag: &etag,
        modified: download.modified,
        cache: RECORDING,
    };
    media.answer(method, request, |range| Body::download(download, range))
}

/// Media with ranges.
struct Media<'a> {
    len: u64,
    etag: &'a str,
    modified: SystemTime,
    cache: &'static str,
}

impl Media<'_> {
    /// `body` gives the bytes of a range. Only GET has ranges (RFC 9110 14.2).
    fn answer(
        &self,
        method: &Method,
        request: &impl Fields,
        body: impl FnOnce(Range<u64>) -> Body,
    ) -> Answer {
        let wanted = if method == Method::GET {
            conditional::wanted(request, self.etag, self.modified, self.len)
        } else {
            Wanted::Whole
        };
        if conditional::not_modified(request, self.etag, self.modified) {
            let mut answer = not_modified();
            set(&mut answer, header::CACHE_CONTROL, self.cache);
            validators(&mut answer, self.etag, self.modified);
            return answer;
        }
        let range = match wanted {
            Wanted::Nothing => return unsatisfiable(self.len),
            Wanted::Part(range) => Some(range),
            Wanted::Whole => None,
        };
        let mut answer = Response::new(body(range.clone().unwrap_or(0..self.len)));
        if let Some(range) = range {
            *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
            let text = format!("bytes {}-{}/{}", range.start, range.end - 1, self.len);
            set_text(&mut answer, header::CONTENT_RANGE, &text);
        }
        set(&mut answer, header::CONTENT_TYPE, "video/mp2t");
        set(&mut answer, header::ACCEPT_RANGES, "bytes");
        set(&mut answer, header::CACHE_CONTROL, self.cache);
        validators(&mut answer, self.etag, self.modified);
        answer
    }
}

/// A thumbnail.
pub fn thumbnail(request: &impl Fields, served: &Served) -> Answer {
    let fresh = conditional::not_modified(request, &served.etag, served.modified);
    let mut answer = if fresh {
        not_modified()
    } else {
        Response::new(Body::slices(served.body.clone(), 0..served.len))
    };
    if !fresh {
        set(&mut answer, header::CONTENT_TYPE, "image/jpeg");
    }
    set(&mut answer, header::CACHE_CONTROL, "max-age=10");
    validators(&mut answer, &served.etag, served.modified);
    answer
}

/// What is not there, now or ever.
pub fn missing(missing: Missing) -> Answer {
    match missing {
        Missing::NotFound => refused(RouteError::NotFound),
        Missing::Unavailable => {
            let mut answer = plain(StatusCode::SERVICE_UNAVAILABLE, "Storage does not answer.");
            set(&mut answer, header::CACHE_CONTROL, "no-store");
            set(&mut answer, header::RETRY_AFTER, "1");
            answer
        }
    }
}

/// A request that does not say which host it is for.
pub fn unclear() -> Answer {
    let mut answer = plain(StatusCode::BAD_REQUEST, HOST_WANTED);
    set(&mut answer, header::CACHE_CONTROL, "no-store");
    answer
}

/// A path under `/live` that leads nowhere.
pub fn refused(error: RouteError) -> Answer {
    let (status, detail, _) = refusal(error);
    let mut answer = plain(status, detail);
    set(&mut answer, header::CACHE_CONTROL, BRIEFLY);
    if let RouteError::MethodNotAllowed { allow } = error {
        set(&mut answer, header::ALLOW, allow);
    }
    answer
}

/// The answer to OPTIONS.
pub fn preflight() -> Answer {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    set(&mut answer, header::ALLOW, READ_LIVE);
    set(&mut answer, header::ACCESS_CONTROL_ALLOW_METHODS, READ_LIVE);
    set(&mut answer, header::ACCESS_CONTROL_MAX_AGE, "86400");
    answer
}

/// What every answer under `/live` carries, errors too: players run on other sites.
pub fn share(answer: &mut Answer) {
    const SHARED: [(HeaderName, &str); 4] = [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "Range"),
        (header::ACCESS_CONTROL_EXPOSE_HEADERS, "Content-Range, Date"),
        (HeaderName::from_static("timing-allow-origin"), "*"),
    ];
    for (name, value) in SHARED {
        answer
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
}

fn plain(status: StatusCode, text: &'static str) -> Answer {
    let mut answer = Response::new(Body::text(text));
    *answer.status_mut() = status;
    set(
        &mut answer,
        header::CONTENT_TYPE,
        "text/plain; charset=utf-8",
    );
    answer
}

fn not_modified() -> Answer {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::NOT_MODIFIED;
    answer
}

fn unsatisfiable(len: u64) -> Answer {
    let mut answer = plain(
        StatusCode::RANGE_NOT_SATISFIABLE,
        "The range is past the end.",
    );
    set_text(
        &mut answer,
        header::CONTENT_RANGE,
        &format!("bytes */{len}"),
    );
    set(&mut answer, header::CACHE_CONTROL, BRIEFLY);
    answer
}

fn validators(answer: &mut Answer, etag: &str, modified: SystemTime) {
    set_text(answer, header::ETAG, etag);
    let date = httpdate::fmt_http_date(modified);
    set_text(answer, header::LAST_MODIFIED, &date);
}

#[cfg(test)]
mod tests;
