//! `cauce serve`: from start to drain. It does not know what is being served.

use std::{io, net::SocketAddr, sync::Arc};

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Answer, say};
use crate::{
    app::App,
    config::Config,
    error::{Error, Kind, Result},
};

/// SIGTERM and SIGINT, which mean the same.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

fn listen(kind: SignalKind) -> Result<Signal> {
    signal(kind).map_err(|e| Error::with(Kind::Unavailable, "cannot listen to signals", e))
}

impl Signals {
    /// Takes both signals from their default, which would end the process at once.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn new() -> Result<Self> {
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next of either. Cancel safe.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Serves until the first signal, then drains within `shutdown_grace`; the second ends the process
/// at once. SIGHUP reloads the certificates.
pub(super) async fn serve(config: Arc<Config>) -> Result<Answer> {
    let mut signals = Signals::new()?;
    let mut hangup = listen(SignalKind::hangup())?;
    let app = tokio::select! {
        app = App::start(Arc::clone(&config)) => app?,
        () = signals.next() => return Ok(Answer::none()),
    };
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    say(
        &mut io::stdout().lock(),
        &ready(app.http, app.rtmp, app.rtmps),
    )
    .map_err(|e| Error::with(Kind::Unavailable, "cannot write to standard output", e))?;
    loop {
        tokio::select! {
            () = signals.next() => break,
            Some(()) = hangup.recv() => app.reload(),
        }
    }
    tracing::info!(grace = ?config.shutdown_grace, "stopping");
    tokio::select! {
        drained = tokio::time::timeout(config.shutdown_grace, app.shutdown()) => {
            if drained.is_err() {
                tracing::warn!("shutdown_grace is over before everything was closed");
            }
            Ok(Answer::none())
        }
        () = signals.next() => Err(Error::new(
            Kind::Unavailable,
            "a second signal ended the server before it was drained",
        )),
    }
}

/// The one line that scripts wait for, with the real ports.
fn ready(http: SocketAddr, rtmp: SocketAddr, rtmps: Option<SocketAddr>) -> String {
    let rtmps = rtmps.map_or_else(String::new, |rtmps| format!(" rtmps={rtmps}"));
    format!("ready http={http} rtmp={rtmp}{rtmps}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_line_is_what_scripts_read() {
        let http = "127.0.0.1:8080".parse().unwrap();
        let rtmp = "[::1]:1935".parse().unwrap();
        let line = "ready http=127.0.0.1:8080 rtmp=[::1]:1935";
        assert_eq!(ready(http, rtmp, None), line);
        let rtmps = "[::1]:1936".parse().unwrap();
        let line = "ready http=127.0.0.1:8080 rtmp=[::1]:1935 rtmps=[::1]:1936";
        assert_eq!(ready(http, rtmp, Some(rtmps)), line);
    }
}
