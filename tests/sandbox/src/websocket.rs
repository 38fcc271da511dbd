//! The server's side of a WebSocket: the handshake's answer, and frames in and out.

use bytes::{Buf, BufMut, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// No message of a client is longer.
const MOST_BYTES: usize = 1024 * 1024;
/// What RFC 6455 has both sides append to the key.
const MAGIC: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

pub struct WebSocket<S> {
    stream: S,
    read: BytesMut,
    /// The beginning of a message that came in parts.
    begun: Vec<u8>,
}

pub enum Message {
    Text(String),
    Ping(Vec<u8>),
    Pong,
    Close,
}

struct Frame {
    is_last: bool,
    code: u8,
    payload: Vec<u8>,
}

const CONTINUES: u8 = 0x0;
const TEXT: u8 = 0x1;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    pub fn new(stream: S) -> WebSocket<S> {
        WebSocket {
            stream,
            read: BytesMut::new(),
            begun: Vec::new(),
        }
    }

    /// The next message; None once the other side is gone. Nothing is lost when it is not waited for to the end.
    pub async fn receive(&mut self) -> Option<Message> {
        loop {
            while let Some(frame) = self.frame().ok()? {
                let Frame {
                    is_last,
                    code,
                    payload,
                } = frame;
                match code {
                    CLOSE => return Some(Message::Close),
                    PING => return Some(Message::Ping(payload)),
                    PONG => return Some(Message::Pong),
                    TEXT | CONTINUES => {
                        self.begun.extend(payload);
                        if is_last {
                            let text = String::from_utf8(std::mem::take(&mut self.begun));
                            return text.ok().map(Message::Text);
                        }
                    }
                    _ => return None,
                }
            }
            if self.stream.read_buf(&mut self.read).await.ok()? == 0 {
                return None;
            }
        }
    }

    pub async fn send(&mut self, text: &str) -> std::io::Result<()> {
        self.write(TEXT, text.as_bytes()).await
    }

    pub async fn pong(&mut self, payload: &[u8]) -> std::io::Result<()> {
        self.write(PONG, payload).await
    }

    pub async fn close(&mut self) -> std::io::Result<()> {
        self.write(CLOSE, &1000_u16.to_be_bytes()).await
    }

    async fn write(&mut self, code: u8, payload: &[u8]) -> std::io::Result<()> {
        let mut frame = BytesMut::with_capacity(payload.len() + 10);
        frame.put_u8(0x80 | code);
        match payload.len() {
            length @ 0..=125 => frame.put_u8(length as u8),
            length @ 126..=65_535 => {
                frame.put_u8(126);
                frame.put_u16(length as u16);
            }
            length => {
                frame.put_u8(127);
                frame.put_u64(length as u64);
            }
        }
        frame.put_slice(payload);
        self.stream.write_all(&frame).await?;
        self.stream.flush().await
    }

    /// A whole frame, if one has arrived; the error is for one that no client may send.
    fn frame(&mut self) -> Result<Option<Frame>, ()> {
        let head = self.read.as_ref();
        let [first, second, ..] = *head else {
            return Ok(None);
        };
        if second & 0x80 == 0 {
            return Err(()); // Clients have to mask.
        }
        let (length, at) = match second & 0x7F {
            126 if head.len() >= 4 => (usize::from(u16::from_be_bytes([head[2], head[3]])), 4),
            127 if head.len() >= 10 => {
                let length: [u8; 8] = head[2..10].try_into().map_err(|_| ())?;
                (u64::from_be_bytes(length) as usize, 10)
            }
            126 | 127 => return Ok(None),
            length => (usize::from(length), 2),
        };
        if length + self.begun.len() > MOST_BYTES {
            return Err(());
        }
        if head.len() < at + 4 + length {
            return Ok(None);
        }
        self.read.advance(at);
        let mask = self.read.split_to(4);
        let mut payload = self.read.split_to(length).to_vec();
        for (nth, byte) in payload.iter_mut().enumerate() {
            *byte ^= mask[nth % 4];
        }
        Ok(Some(Frame {
            is_last: first & 0x80 != 0,
            code: first & 0x0F,
            payload,
        }))
    }
}

/// The answer to the key of a handshake.
pub fn accept(key: &str) -> String {
    base64(&sha1(format!("{key}{MAGIC}").as_bytes()))
}

/// SHA-1, which only the handshake still asks for.
fn sha1(message: &[u8]) -> [u8; 20] {
    let mut state: [u32; 5] = [
        0x6745_2301,
        0xEFCD_AB89,
        0x98BA_DCFE,
        0x1032_5476,
        0xC3D2_E1F0,
    ];
    let mut padded = message.to_vec();
    padded.push(0x80);
    while padded.len() % 64 != 56 {
        padded.push(0);
    }
    padded.extend((message.len() as u64 * 8).to_be_bytes());
    for block in padded.chunks_exact(64) {
        let mut words = [0_u32; 80];
        for (word, bytes) in words.iter_mut().zip(block.chunks_exact(4)) {
            *word = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        }
        for nth in 16..80 {
            let mixed = words[nth - 3] ^ words[nth - 8] ^ words[nth - 14] ^ words[nth - 16];
            words[nth] = mixed.rotate_left(1);
        }
        let [mut a, mut b, mut c, mut d, mut e] = state;
        for (nth, word) in words.iter().enumerate() {
            let (chosen, constant) = match nth {
                0..20 => ((b & c) | (!b & d), 0x5A82_7999),
                20..40 => (b ^ c ^ d, 0x6ED9_EBA1),
                40..60 => ((b & c) | (b & d) | (c & d), 0x8F1B_BCDC),
                _ => (b ^ c ^ d, 0xCA62_C1D6_u32),
            };
            let next = a
                .rotate_left(5)
                .wrapping_add(chosen)
                .wrapping_add(e)
                .wrapping_add(constant)
                .wrapping_add(*word);
            (e, d, c, b, a) = (d, c, b.rotate_left(30), a, next);
        }
        for (sum, word) in state.iter_mut().zip([a, b, c, d, e]) {
            *sum = sum.wrapping_add(word);
        }
    }
    let mut digest = [0; 20];
    for (bytes, word) in digest.chunks_exact_mut(4).zip(state) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    digest
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let mut group = [0; 3];
        group[..chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes([0, group[0], group[1], group[2]]);
        for nth in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * nth)) as usize & 63];
            text.push(if nth <= chunk.len() {
                letter as char
            } else {
                '='
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_handshake_is_answered_as_the_standard_shows() {
        assert_eq!(
            accept("dGhlIHNhbXBsZSBub25jZQ=="),
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
        assert_eq!(base64(b"a"), "YQ==");
        assert_eq!(base64(b"ab"), "YWI=");
        assert_eq!(base64(&sha1(&[b'a'; 200])), "5hz//g2RlaUl/GzwbKLXcRnCSkA=");
    }
}
