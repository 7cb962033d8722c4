//! What operators and balancers ask: health, readiness, version, metrics. It does not decide what
//! makes the server unready: that is told to it.

use std::net::IpAddr;

use hyper::StatusCode;
use serde_json::json;

use super::{
    client,
    reply::{self, Answer},
};
use crate::config::Network;

/// The process answers.
pub fn health() -> Answer {
    reply::json(StatusCode::OK, &json!({ "status": "ok" }))
}

/// Whether traffic should come here. A storage outage is no reason to send it elsewhere: viewers of
/// this node's live streams are served from memory.
pub fn ready(not_ready: Option<&str>, storage: Option<String>) -> Answer {
    match (not_ready, storage) {
        (Some(reason), _) => reply::error(StatusCode::SERVICE_UNAVAILABLE, reason, "not_ready"),
        (None, Some(trouble)) => reply::json(
            StatusCode::OK,
            &json!({ "status": "degraded", "storage": trouble }),
        ),
        (None, None) => health(),
    }
}

/// Which build this is.
pub fn version() -> Answer {
    let body = json!({ "name": env!("CARGO_PKG_NAME"), "version": env!("CARGO_PKG_VERSION") });
    reply::json(StatusCode::OK, &body)
}

/// The metrics, for those of `metrics.allow`.
pub fn metrics(address: IpAddr, allow: &[Network], render: impl FnOnce() -> String) -> Answer {
    if client::contains(allow, address) {
        reply::metrics(render())
    } else {
        reply::error(
            StatusCode::FORBIDDEN,
            "Metrics are not shown to this address: see metrics.allow.",
            "forbidden",
        )
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    async fn text(answer: Answer) -> String {
        let bytes = answer.into_body().collect().await.unwrap().to_bytes();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn readiness() {
        let well = ready(None, None);
        assert_eq!(well.status(), 200);
        assert_eq!(text(well).await, r#"{"status":"ok"}"#);

        let degraded = ready(None, Some("disk full".into()));
        assert_eq!(degraded.status(), 200);
        let expected = r#"{"status":"degraded","storage":"disk full"}"#;
        assert_eq!(text(degraded).await, expected);

        let draining = ready(Some("draining"), Some("disk full".into()));
        assert_eq!(draining.status(), 503);
        let expected = r#"{"code":"not_ready","detail":"draining"}"#;
        assert_eq!(text(draining).await, expected);
    }

    #[tokio::test]
    async fn metrics_are_for_allowed_addresses() {
        let allow = [Network {
            address: "127.0.0.0".parse().unwrap(),
            prefix: 8,
        }];
        let shown = metrics("127.0.0.1".parse().unwrap(), &allow, || "up 1\n".into());
        assert_eq!(shown.status(), 200);
        assert_eq!(text(shown).await, "up 1\n");
        let hidden = metrics("192.0.2.1".parse().unwrap(), &allow, || unreachable!());
        assert_eq!(hidden.status(), 403);
    }
}
