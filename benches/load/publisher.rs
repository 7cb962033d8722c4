//! One publishing connection: handshake, commands, then messages, each in one send. It does not know
//! when they are due.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use crate::{
    Result,
    clip::{CHUNK_BYTES, Clip, Message, message},
};

/// A server that does not answer or read for so long is broken.
const PATIENCE: Duration = Duration::from_secs(20);
const HELLO_BYTES: usize = 1536;

pub struct Publisher {
    socket: TcpStream,
    headers_sent: usize,
    /// Which of the clip's media is next, and how much of the clips before it.
    index: usize,
    repeated_ms: u32,
}

impl Publisher {
    /// Returns when the server has accepted the publish.
    pub fn connect(address: SocketAddr, app: &str, key: &str) -> Result<Self> {
        let mut socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        let mut hello = vec![0; 1 + HELLO_BYTES];
        hello[0] = 3;
        socket.write_all(&hello)?;
        let mut answer = vec![0; 1 + 2 * HELLO_BYTES];
        socket.read_exact(&mut answer)?;
        socket.write_all(&answer[1..=HELLO_BYTES])?;

        let mut connect = vec![];
        string(&mut connect, "connect");
        number(&mut connect, 1.0);
        connect.push(3);
        property(&mut connect, "app", app);
        property(&mut connect, "type", "nonprivate");
        property(&mut connect, "flashVer", "FMLE/3.0 (compatible; load)");
        property(&mut connect, "tcUrl", &format!("rtmp://{address}/{app}"));
        connect.extend_from_slice(&[0, 0, 9]);
        socket.write_all(&message(3, 20, 0, &connect, 128))?;
        let size = (CHUNK_BYTES as u32).to_be_bytes();
        socket.write_all(&message(2, 1, 0, &size, 128))?;
        wait_for(&mut socket, "_result")?;
        let mut create = vec![];
        string(&mut create, "createStream");
        number(&mut create, 2.0);
        create.push(5);
        socket.write_all(&message(3, 20, 0, &create, CHUNK_BYTES))?;
        wait_for(&mut socket, "_result")?;
        let mut publish = vec![];
        string(&mut publish, "publish");
        number(&mut publish, 3.0);
        publish.push(5);
        string(&mut publish, key);
        string(&mut publish, "live");
        socket.write_all(&message(4, 20, 1, &publish, CHUNK_BYTES))?;
        wait_for(&mut socket, "NetStream.Publish.Start")?;
        Ok(Self {
            socket,
            headers_sent: 0,
            index: 0,
            repeated_ms: 0,
        })
    }

    /// When the next message is due, from the first one on.
    pub fn due(&self, clip: &Clip) -> Duration {
        let at_ms = match clip.headers.get(self.headers_sent) {
            Some(_) => 0,
            None => self.repeated_ms + clip.media[self.index].at_ms,
        };
        Duration::from_millis(at_ms.into())
    }

    /// The next message with its time written into it.
    pub fn next<'a>(&mut self, clip: &'a mut Clip) -> &'a Message {
        if self.headers_sent < clip.headers.len() {
            self.headers_sent += 1;
            return &clip.headers[self.headers_sent - 1];
        }
        let count = clip.media.len();
        let message = &mut clip.media[self.index];
        let at_ms = self.repeated_ms + message.at_ms;
        message.bytes[1..4].copy_from_slice(&at_ms.to_be_bytes()[1..]);
        self.index += 1;
        if self.index == count {
            self.index = 0;
            self.repeated_ms += clip.length_ms;
        }
        message
    }

    pub fn send(&mut self, message: &Message) -> Result<u64> {
        self.socket.write_all(&message.bytes)?;
        Ok(message.bytes.len() as u64)
    }

    /// Returns when the server has taken everything.
    pub fn finish(mut self) -> Result<()> {
        let mut delete = vec![];
        string(&mut delete, "deleteStream");
        number(&mut delete, 4.0);
        delete.push(5);
        number(&mut delete, 1.0);
        self.socket
            .write_all(&message(3, 20, 0, &delete, CHUNK_BYTES))?;
        self.socket.shutdown(std::net::Shutdown::Write)?;
        // Its end of the connection is the proof; some servers reset.
        let mut rest = [0; 4096];
        while self.socket.read(&mut rest).is_ok_and(|len| len > 0) {}
        Ok(())
    }
}

/// Reads until `wanted` is somewhere in what the server said. Answers are short: no chunk divides them.
fn wait_for(socket: &mut TcpStream, wanted: &str) -> Result<()> {
    let mut heard = vec![];
    let mut bytes = [0; 4096];
    loop {
        let len = socket.read(&mut bytes)?;
        heard.extend_from_slice(&bytes[..len]);
        let has = |text: &str| heard.windows(text.len()).any(|w| w == text.as_bytes());
        if has(wanted) {
            return Ok(());
        }
        if len == 0 || has("_error") {
            let heard = String::from_utf8_lossy(&heard);
            return Err(format!("no {wanted} from the server: {heard:?}").into());
        }
    }
}

/// AMF0 section 2.2, 2.4 and 2.5.
fn number(out: &mut Vec<u8>, value: f64) {
    out.push(0);
    out.extend_from_slice(&value.to_be_bytes());
}

fn string(out: &mut Vec<u8>, text: &str) {
    out.push(2);
    name(out, text);
}

fn property(out: &mut Vec<u8>, key: &str, text: &str) {
    name(out, key);
    string(out, text);
}

fn name(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&(text.len() as u16).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}
