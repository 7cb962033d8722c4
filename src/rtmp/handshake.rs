//! The server's half of the RTMP handshake: plain (RTMP 1.0 section 5.2) and digest, both without
//! encryption. It does not know what follows, nor how long a peer may take: the session times it.
//!
//! The digest handshake is not in Adobe's specification. Its layout and the two public keys are
//! described in <https://www.cs.cmu.edu/~dst/Adobe/Gallery/RTMPE.txt>; encoders that start one
//! (FFmpeg, Flash players) expect S1 to carry a digest and S2 to sign theirs.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Length of C1, C2, S1 and S2 in bytes.
pub const PACKET_BYTES: usize = 1536;
/// Length of a digest in bytes.
const DIGEST_BYTES: usize = 32;
/// The only version that is answered: no encryption.
const VERSION: u8 = 3;
/// What a client signs C1 with.
const CLIENT_KEY: &[u8] = b"Genuine Adobe Flash Player 001";
/// What a server signs S1 with; S2 uses it followed by [`KEY_TAIL`].
const SERVER_KEY: &[u8] = b"Genuine Adobe Flash Media Server 001";
/// The second half of both keys.
const KEY_TAIL: [u8; 32] = [
    0xf0, 0xee, 0xc2, 0x4a, 0x80, 0x68, 0xbe, 0xe8, 0x2e, 0x00, 0xd0, 0xd1, 0x02, 0x9e, 0x7e, 0x57,
    0x6e, 0xec, 0x5d, 0x2d, 0x29, 0x80, 0x6f, 0xab, 0x93, 0xb8, 0xe6, 0x36, 0xcf, 0xeb, 0x31, 0xae,
];

/// Why a handshake cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// C0 asks for RTMPE.
    #[error("encrypted RTMP (version {0}) is not supported: use rtmp://")]
    Encrypted(u8),
    /// C0 is not an RTMP version: 32 and above begin other protocols' text.
    #[error("the peer does not speak RTMP (first byte {0:#04x})")]
    NotRtmp(u8),
}

/// What [`Handshake::input`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes taken from the input.
    pub consumed: usize,
    /// The handshake is complete: what follows is chunks.
    pub done: bool,
}

/// Where the digest's place is written in a packet, and where the block begins that it points into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    /// Digest block first: bytes 8 to 771.
    First,
    /// Digest block second: bytes 772 to 1535.
    Second,
}

/// The server's half of one handshake.
pub struct Handshake {
    seed: u64,
    /// C0 and C1 as far as they came.
    received: Vec<u8>,
    /// Bytes of C2 still to come; `None` until S0, S1 and S2 are written.
    c2_left: Option<usize>,
}

impl Handshake {
    /// A handshake whose random fill is drawn from `seed`. The fill guards nothing; it only has to
    /// differ between connections.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            received: Vec::new(),
            c2_left: None,
        }
    }

    /// Takes bytes, appends the answer to `reply` once C1 is complete. C2's content is not looked
    /// at: encoders exist that echo it wrongly, and it proves nothing.
    ///
    /// # Errors
    /// A peer that asks for encryption or speaks another protocol.
    pub fn input(&mut self, bytes: &[u8], reply: &mut Vec<u8>) -> Result<Progress, HandshakeError> {
        let mut consumed = 0;
        if self.c2_left.is_none() {
            let missing = 1 + PACKET_BYTES - self.received.len();
            consumed = missing.min(bytes.len());
            self.received.extend_from_slice(&bytes[..consumed]);
            if let Some(&version) = self.received.first() {
                check_version(version)?;
            }
            if self.received.len() > PACKET_BYTES {
                self.answer(reply);
                self.received = Vec::new();
                self.c2_left = Some(PACKET_BYTES);
            }
        }
        let mut done = false;
        if let Some(left) = &mut self.c2_left {
            let taken = (*left).min(bytes.len() - consumed);
            *left -= taken;
            consumed += taken;
            done = *left == 0;
        }
        Ok(Progress { consumed, done })
    }

    /// S0, S1 and S2 in one piece, so that they leave in one write.
    fn answer(&self, reply: &mut Vec<u8>) {
        let c1 = &self.received[1..];
        let mut fill = Fill(self.seed);
        reply.push(VERSION);
        let mut packet = [0; PACKET_BYTES];
        fill.write(&mut packet[8..]);
        match find_digest(c1, CLIENT_KEY) {
            Some((scheme, digest)) => {
                // A version of 3 or more announces the digest.
                packet[4..8].copy_from_slice(&[4, 5, 0, 1]);
                let at = digest_offset(&packet, scheme);
                let own = digest_around(&packet, at, SERVER_KEY);
                packet[at..at + DIGEST_BYTES].copy_from_slice(&own);
                reply.extend_from_slice(&packet);
                fill.write(&mut packet);
                let signed = PACKET_BYTES - DIGEST_BYTES;
                let key = hmac(&[SERVER_KEY, &KEY_TAIL].concat(), &[&digest]);
                let signature = hmac(&key, &[&packet[..signed]]);
                packet[signed..].copy_from_slice(&signature);
                reply.extend_from_slice(&packet);
            }
            None => {
                reply.extend_from_slice(&packet);
                reply.extend_from_slice(c1);
            }
        }
    }
}

/// RTMP 1.0 5.2.2: an unknown version is answered with 3; encrypted ones cannot be, and text
/// protocols begin at 32.
fn check_version(version: u8) -> Result<(), HandshakeError> {
    match version {
        6 | 8 | 9 => Err(HandshakeError::Encrypted(version)),
        0..32 => Ok(()),
        _ => Err(HandshakeError::NotRtmp(version)),
    }
}

/// The digest that `packet` carries under `key`, in either scheme.
fn find_digest(packet: &[u8], key: &[u8]) -> Option<(Scheme, [u8; DIGEST_BYTES])> {
    [Scheme::First, Scheme::Second]
        .into_iter()
        .find_map(|scheme| {
            let at = digest_offset(packet, scheme);
            let digest = digest_around(packet, at, key);
            (packet[at..at + DIGEST_BYTES] == digest).then_some((scheme, digest))
        })
}

/// Four bytes summed, modulo the room in the 764-byte block that they head.
fn digest_offset(packet: &[u8], scheme: Scheme) -> usize {
    let head = match scheme {
        Scheme::First => 8,
        Scheme::Second => 772,
    };
    let sum: usize = packet[head..head + 4].iter().map(|&b| usize::from(b)).sum();
    head + 4 + sum % 728
}

/// HMAC of a packet without the digest's own place.
fn digest_around(packet: &[u8], at: usize, key: &[u8]) -> [u8; DIGEST_BYTES] {
    hmac(key, &[&packet[..at], &packet[at + DIGEST_BYTES..]])
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; DIGEST_BYTES] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// SplitMix64 (Steele, Lea, Flood 2014): cheap fill, not a source of secrets.
struct Fill(u64);

impl Fill {
    fn write(&mut self, out: &mut [u8]) {
        for word in out.chunks_mut(8) {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            word.copy_from_slice(&(z ^ (z >> 31)).to_le_bytes()[..word.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rml_rtmp::handshake::{
        Handshake as Oracle, HandshakeProcessResult as OracleResult, PeerType,
    };

    fn answer_to(c0_c1: &[u8]) -> Vec<u8> {
        let mut reply = vec![];
        let progress = Handshake::new(7).input(c0_c1, &mut reply).unwrap();
        assert!(!progress.done);
        assert_eq!(reply.len(), 1 + 2 * PACKET_BYTES);
        reply
    }

    fn client_c1(scheme: Scheme) -> Vec<u8> {
        let mut c1 = vec![0; PACKET_BYTES];
        Fill(99).write(&mut c1[8..]);
        c1[4..8].copy_from_slice(&[9, 0, 124, 2]);
        let at = digest_offset(&c1, scheme);
        let digest = digest_around(&c1, at, CLIENT_KEY);
        c1[at..at + DIGEST_BYTES].copy_from_slice(&digest);
        c1
    }

    #[test]
    fn plain_client_gets_its_packet_echoed() {
        let mut c0_c1 = vec![3];
        c0_c1.extend((0..PACKET_BYTES).map(|i| if i < 8 { 0 } else { i as u8 }));
        let reply = answer_to(&c0_c1);
        assert_eq!(reply[0], 3);
        assert_eq!(reply[5..9], [0; 4], "a plain S1 has no version");
        assert_eq!(reply[1 + PACKET_BYTES..], c0_c1[1..]);
    }

    #[test]
    fn digest_clients_of_both_schemes_get_signed_packets() {
        for scheme in [Scheme::First, Scheme::Second] {
            let c1 = client_c1(scheme);
            let reply = answer_to(&[&[3], &c1[..]].concat());
            let s1 = &reply[1..=PACKET_BYTES];
            let (answered, _) = find_digest(s1, SERVER_KEY).expect("S1 carries a digest");
            assert_eq!(answered, scheme);
            let s2 = &reply[1 + PACKET_BYTES..];
            let (_, digest) = find_digest(&c1, CLIENT_KEY).unwrap();
            let key = hmac(&[SERVER_KEY, &KEY_TAIL].concat(), &[&digest]);
            let signed = PACKET_BYTES - DIGEST_BYTES;
            assert_eq!(s2[signed..], hmac(&key, &[&s2[..signed]]));
        }
    }

    #[test]
    fn another_implementation_completes_it() {
        let mut client = Oracle::new(PeerType::Client);
        let mut server = Handshake::new(1);
        let hello = client.generate_outbound_p0_and_p1().unwrap();
        let mut reply = vec![];
        server.input(&hello, &mut reply).unwrap();
        let Ok(OracleResult::Completed { response_bytes, .. }) = client.process_bytes(&reply)
        else {
            panic!("the client did not accept S0, S1 and S2")
        };
        let mut more = vec![];
        let progress = server.input(&response_bytes, &mut more).unwrap();
        assert_eq!(
            progress,
            Progress {
                consumed: PACKET_BYTES,
                done: true
            }
        );
        assert!(more.is_empty());
    }

    #[test]
    fn any_split_gives_the_same_and_chunks_after_c2_are_left_alone() {
        let mut all = vec![3];
        all.extend_from_slice(&client_c1(Scheme::First));
        all.extend_from_slice(&[0xaa; PACKET_BYTES]);
        let handshake_bytes = all.len();
        all.extend_from_slice(b"chunk");
        for step in [1, 2, 1535, 1536, 1537, 3073, 5000] {
            let (mut server, mut reply, mut at) = (Handshake::new(7), vec![], 0);
            while at < handshake_bytes {
                let piece = &all[at..(at + step).min(all.len())];
                let progress = server.input(piece, &mut reply).unwrap();
                at += progress.consumed;
                assert_eq!(progress.done, at == handshake_bytes);
            }
            assert_eq!(at, handshake_bytes);
            assert_eq!(reply, answer_to(&all[..1537]));
        }
    }

    #[test]
    fn other_protocols_are_refused_at_the_first_byte() {
        let mut reply = vec![];
        let mut input = |bytes: &[u8]| Handshake::new(0).input(bytes, &mut reply);
        assert_eq!(input(b"GET / HTTP"), Err(HandshakeError::NotRtmp(b'G')));
        assert_eq!(input(&[0x16, 3, 1]).map(|p| p.done), Ok(false));
        assert_eq!(input(&[6]), Err(HandshakeError::Encrypted(6)));
    }
}
