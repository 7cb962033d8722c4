//! What an S3 server's refusals mean. Vendors agree on the statuses and on most codes; it does not
//! know what was asked for, nor whether it is tried again.

use std::io;

use aws_sdk_s3::{
    config::http::HttpResponse,
    error::{BuildError, ProvideErrorMetadata, SdkError},
    primitives::ByteStreamError,
    types::Error as Undeleted,
};

use crate::{Error, Key};

/// Why a call failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// No such object.
    Absent(String),
    /// The object's version is not the one that the write names.
    Changed(String),
    /// The server does not know this kind of call.
    Unsupported(String),
    /// The range begins past the end.
    Range,
    /// Credentials or rights.
    Denied(String),
    /// No such bucket.
    NoBucket(String),
    /// No room.
    Full(String),
    /// Anything else, such as no connection, `SlowDown` or an internal error: may pass.
    Other(io::Error),
}

impl Failure {
    /// As the answer to a call about `key`.
    pub(super) fn for_object(self, key: &Key) -> Error {
        match self {
            Self::Absent(_) => Error::NotFound(key.to_string()),
            other => other.for_bucket(),
        }
    }

    /// As the answer to a call about all objects, for which absence means the bucket.
    pub(super) fn for_bucket(self) -> Error {
        let (kind, text) = match self {
            Self::Full(text) => return Error::Full(text),
            Self::Other(error) => return Error::Io(error),
            Self::Absent(text) | Self::NoBucket(text) => (io::ErrorKind::NotFound, text),
            Self::Denied(text) => (io::ErrorKind::PermissionDenied, text),
            Self::Unsupported(text) => (io::ErrorKind::Unsupported, text),
            Self::Changed(text) => (io::ErrorKind::Other, text),
            Self::Range => (io::ErrorKind::InvalidInput, "range refused".into()),
        };
        Error::Io(io::Error::new(kind, text))
    }
}

/// What `error` means.
pub(super) fn failure<E>(error: &SdkError<E, HttpResponse>) -> Failure
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let status = error.raw_response().map(|answer| answer.status().as_u16());
    let Some(status) = status else {
        return unanswered(error);
    };
    let code = error.code().unwrap_or_default();
    let said = error.message().unwrap_or_default();
    let text = match (code, said) {
        ("", "") => format!("HTTP {status}"),
        _ => format!("HTTP {status} {code}: {said}"),
    };
    meaning(status, code, text)
}

fn unanswered<E>(error: &SdkError<E, HttpResponse>) -> Failure
where
    E: std::error::Error + 'static,
{
    // The outer errors say which layer failed, the innermost says why.
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    match error {
        SdkError::TimeoutError(_) => {
            Failure::Other(io::Error::new(io::ErrorKind::TimedOut, "no answer in time"))
        }
        SdkError::DispatchFailure(failure) if failure.is_timeout() => {
            let text = "no connection in time";
            Failure::Other(io::Error::new(io::ErrorKind::TimedOut, text))
        }
        SdkError::DispatchFailure(failure) if failure.is_io() => {
            Failure::Other(io::Error::other(format!("no connection: {cause}")))
        }
        // Signing fails here when there are no credentials.
        _ if is_about_credentials(error) => Failure::Denied(format!("no credentials: {cause}")),
        _ => Failure::Other(io::Error::other(cause.to_string())),
    }
}

fn is_about_credentials(error: &dyn std::error::Error) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let text = error.to_string();
        if text.contains("credential") || text.contains("identity") {
            return true;
        }
        cause = error.source();
    }
    false
}

fn meaning(status: u16, code: &str, text: String) -> Failure {
    match (status, code) {
        (_, "NoSuchBucket" | "InvalidBucketName") => Failure::NoBucket(text),
        (
            _,
            "QuotaExceeded"
            | "InsufficientStorage"
            | "XMinioStorageFull"
            | "XMinioAdminBucketQuotaExceeded",
        )
        | (507, _) => Failure::Full(text),
        (404, _) => Failure::Absent(text),
        (412, _) | (409, "ConditionalRequestConflict") => Failure::Changed(text),
        (416, _) => Failure::Range,
        (501, _) | (_, "NotImplemented") => Failure::Unsupported(text),
        (401 | 403, _) => Failure::Denied(text),
        _ => Failure::Other(io::Error::other(text)),
    }
}

/// Why one object of a batch was not deleted; `None` when it was not there.
pub(super) fn undeleted(error: &Undeleted) -> Option<Failure> {
    let (code, said) = (error.code().unwrap_or(""), error.message().unwrap_or(""));
    let text = format!("{}: {code}: {said}", error.key().unwrap_or("an object"));
    match code {
        "NoSuchKey" => None,
        "AccessDenied" => Some(Failure::Denied(text)),
        _ => Some(Failure::Other(io::Error::other(text))),
    }
}

/// The length of the whole object, from `bytes 2-5/10`.
pub(super) fn whole_size(content_range: &str) -> Option<u64> {
    content_range.rsplit_once('/')?.1.parse().ok()
}

/// A body that ended early.
pub(super) fn cut_short(error: ByteStreamError) -> Error {
    Error::Io(io::Error::new(io::ErrorKind::UnexpectedEof, error))
}

/// A call that could not be put together.
pub(super) fn unfit(error: BuildError) -> Error {
    Error::Io(io::Error::new(io::ErrorKind::InvalidInput, error))
}

/// The deadline is over.
pub(super) fn timed_out(what: &str) -> Error {
    let text = format!("no answer in time, {what}");
    Error::Io(io::Error::new(io::ErrorKind::TimedOut, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_by_status_and_code() {
        let error = |status, code| meaning(status, code, String::new()).for_bucket();
        let kind = |status, code| match error(status, code) {
            Error::Io(error) => error.kind(),
            other => panic!("{other}"),
        };
        assert_eq!(kind(404, "NoSuchBucket"), io::ErrorKind::NotFound);
        assert_eq!(
            kind(403, "SignatureDoesNotMatch"),
            io::ErrorKind::PermissionDenied
        );
        for (status, code) in [
            (503, "SlowDown"),
            (500, "InternalError"),
            (400, "RequestTimeout"),
        ] {
            assert_eq!(kind(status, code), io::ErrorKind::Other);
        }
        for (status, code) in [
            (507, ""),
            (403, "QuotaExceeded"),
            (400, "XMinioStorageFull"),
        ] {
            assert!(matches!(error(status, code), Error::Full(_)), "{code}");
        }
        let key = Key::new("k").unwrap();
        let absent = meaning(404, "NoSuchKey", String::new()).for_object(&key);
        assert!(matches!(absent, Error::NotFound(_)));
        let bucket = meaning(404, "NoSuchBucket", String::new()).for_object(&key);
        assert!(
            matches!(bucket, Error::Io(_)),
            "an object is not missed in no bucket"
        );
    }

    #[test]
    fn sizes_behind_the_slash() {
        assert_eq!(whole_size("bytes 2-5/10"), Some(10));
        assert_eq!(whole_size("bytes 2-5/*"), None);
    }
}
