//! One member's end of a room's WebSocket, for the people of `cauce demo`. It does not know what they
//! say, and keeps nothing of what others say.

use std::{net::SocketAddr, time::Duration};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Error as Broken, Message, client::IntoClientRequest as _, http::HeaderValue},
};

use crate::{
    error::{Error, Kind, Result},
    name::StreamUid,
};

/// From the first packet to an open socket, and from a frame to its answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// The `ref` of every frame: one is under way at a time.
const REF: &str = "1";

/// An open socket of somebody who is logged in.
pub struct Client {
    socket: WebSocketStream<TcpStream>,
}

impl Client {
    /// Joins the room of `uid` at a server, as whom `token` belongs to.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] when the server cannot be reached or does not let it in.
    pub async fn join(server: SocketAddr, uid: &StreamUid, token: &str) -> Result<Self> {
        let url = format!("ws://{server}/ws/streams/{uid}/");
        let opened = async {
            let mut request = url.into_client_request()?;
            let bearer = HeaderValue::try_from(format!("Bearer {token}"))?;
            request.headers_mut().insert("authorization", bearer);
            let stream = TcpStream::connect(server).await?;
            client_async(request, stream).await
        };
        match timeout(ANSWER_TIMEOUT, opened).await {
            Ok(Ok((socket, _))) => Ok(Self { socket }),
            Ok(Err(error)) => Err(lost(error)),
            Err(_) => Err(late()),
        }
    }

    /// Sends a frame and waits for its `ack`, whose data it gives.
    ///
    /// # Errors
    /// [`Kind::Conflict`] with the room's words when it refuses, else [`Kind::Unavailable`].
    pub async fn ask(&mut self, kind: &str, data: Value) -> Result<Value> {
        let frame = json!({ "type": kind, "ref": REF, "data": data });
        let sent = self.socket.send(Message::text(frame.to_string()));
        sent.await.map_err(lost)?;
        let answered = async {
            loop {
                let mut frame = self.next().await?;
                if frame["ref"] != REF {
                    continue;
                }
                let data = frame["data"].take();
                return match data["message"].as_str() {
                    Some(words) if frame["type"] == "error" => {
                        Err(Error::new(Kind::Conflict, words))
                    }
                    _ => Ok(data),
                };
            }
        };
        timeout(ANSWER_TIMEOUT, answered)
            .await
            .map_err(|_| late())?
    }

    /// Reads until the stream is live, however long that takes.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] when the socket ends before.
    pub async fn live(&mut self) -> Result<()> {
        loop {
            let frame = self.next().await?;
            if frame["type"] == "status" && frame["data"]["status"] == "live" {
                return Ok(());
            }
        }
    }

    async fn next(&mut self) -> Result<Value> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => {
                    let frame = serde_json::from_str(&text);
                    return frame.map_err(|error| {
                        Error::with(Kind::Internal, "a frame that is no JSON", error)
                    });
                }
                // Pings are answered below.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Binary(_))) => {}
                Some(Ok(Message::Close(_) | Message::Frame(_))) | None => {
                    return Err(lost(Broken::ConnectionClosed));
                }
                Some(Err(error)) => return Err(lost(error)),
            }
        }
    }
}

fn lost(error: Broken) -> Error {
    Error::with(Kind::Unavailable, "the room's socket", error)
}

fn late() -> Error {
    Error::new(Kind::Unavailable, "the room did not answer in time")
}
