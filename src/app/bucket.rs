//! Opens the bucket that `storage.s3` names, and says in one line which key is wrong when it cannot
//! be used. It does not know what is kept in it.

use std::{io, sync::Arc, time::Duration};

use storage::{
    Store,
    s3::{S3, Settings},
};
use tokio::time::timeout;
use tracing::{info, warn};

use crate::{
    config::Config,
    error::{Error, Kind, Result},
};

/// Longest check at a start.
const PATIENCE: Duration = Duration::from_secs(5);

/// The bucket, checked. One that cannot be used is an error with `storage.required`, else a warning:
/// the archive tries until it can.
///
/// # Errors
/// [`Kind::Unavailable`], naming the key.
pub async fn open(config: &Config) -> Result<Arc<dyn Store>> {
    let settings = settings(config);
    let store = S3::connect(settings.clone());
    let store = store.await.map_err(|error| told(&settings, error))?;
    let checked = match timeout(PATIENCE, store.check()).await {
        Ok(checked) => checked,
        Err(_) => {
            let line = format!("no answer within {PATIENCE:?}");
            Err(io::Error::new(io::ErrorKind::TimedOut, line).into())
        }
    };
    match checked.map_err(|error| told(&settings, error)) {
        Ok(()) if store.is_conditional() => {
            info!(bucket = settings.bucket, "the bucket can be used");
        }
        Ok(()) => warn!(
            bucket = settings.bucket,
            "this S3 server ignores conditional writes: after an outage a late write could put back \
             an older playlist for a moment"
        ),
        Err(error) if config.storage.required => return Err(error),
        Err(error) => warn!(%error, "starting without the bucket, as storage.required = false"),
    }
    Ok(Arc::new(store))
}

fn settings(config: &Config) -> Settings {
    let s3 = config.storage.s3.clone();
    Settings {
        endpoint: s3.endpoint,
        bucket: s3.bucket.unwrap_or_default(),
        region: s3.region,
        prefix: s3.prefix.unwrap_or_default(),
        force_path_style: s3.force_path_style,
        access_key_id: s3.access_key_id.map(|hidden| hidden.0),
        secret_access_key: s3.secret_access_key.map(|hidden| hidden.0),
        deadline: config.limits.store_deadline,
    }
}

/// The error under the key that most likely has to be changed.
fn told(settings: &Settings, error: storage::Error) -> Error {
    let kind = match &error {
        storage::Error::Io(error) => error.kind(),
        _ => io::ErrorKind::Other,
    };
    let bucket = &settings.bucket;
    let context = match kind {
        io::ErrorKind::PermissionDenied => {
            format!("storage.s3.access_key_id: not let into bucket {bucket:?}")
        }
        io::ErrorKind::NotFound => format!("storage.s3.bucket: cannot find {bucket:?}"),
        _ => {
            let endpoint = settings.endpoint.as_deref().unwrap_or("AWS");
            format!("storage.s3.endpoint: cannot use bucket {bucket:?} at {endpoint}")
        }
    };
    Error::with(Kind::Unavailable, context, error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Hidden;

    #[tokio::test]
    async fn nobody_there_is_told_by_the_endpoints_key_or_ignored_at_will() {
        let mut config = Config::default();
        // A port that was free a moment ago.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = port.local_addr().unwrap();
        drop(port);
        config.storage.s3.endpoint = Some(format!("http://{address}"));
        config.storage.s3.bucket = Some("b".into());
        config.storage.s3.region = Some("r".into());
        config.storage.s3.access_key_id = Some(Hidden("id".into()));
        config.storage.s3.secret_access_key = Some(Hidden("geheim".into()));
        let line = open(&config).await.err().unwrap().to_string();
        let expected =
            format!("storage.s3.endpoint: cannot use bucket \"b\" at http://{address}: ");
        assert!(line.starts_with(&expected), "{line}");
        assert!(!line.contains("geheim") && !line.contains('\n'), "{line}");
        config.storage.required = false;
        assert!(open(&config).await.is_ok());
    }
}
