//! A non-blocking HTTP/1.1 connection that sends prepared bytes and recognises the end of an answer
//! in place: what the load generator spends its time in.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

/// Largest answer that is read; bid responses are a few kB, and this bounds what 10,000
/// connections can hold.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// Headers of an answer; servers send about ten.
const HEADERS_MAX: usize = 64;

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    filled: usize,
    head: Option<Head>,
}

#[derive(Clone, Copy, Debug)]
struct Head {
    status: u16,
    bytes: usize,
    body: Body,
    closes: bool,
}

#[derive(Clone, Copy, Debug)]
enum Body {
    Length(usize),
    Chunked,
}

/// A complete answer.
#[derive(Debug)]
pub(super) struct Received<'a> {
    pub(super) status: u16,
    /// The body; chunks are still wrapped.
    pub(super) body: &'a [u8],
    /// Whether the server closes the connection now.
    pub(super) closes: bool,
}

impl Connection {
    pub(super) fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self { stream, buffer: vec![0; 16 * 1024], filled: 0, head: None })
    }

    /// Writes from `prepared[sent..]` what the socket takes; answers the new `sent`.
    pub(super) fn send(&mut self, prepared: &[u8], mut sent: usize) -> io::Result<usize> {
        while sent < prepared.len() {
            match self.stream.write(&prepared[sent..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => sent += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(sent)
    }

    /// Reads what has arrived; `None` while the answer is incomplete. After an answer the
    /// connection is ready for the next request.
    pub(super) fn receive(&mut self) -> io::Result<Option<Received<'_>>> {
        if self.filled == self.buffer.len() {
            if self.buffer.len() >= ANSWER_BYTES_MAX {
                return Err(io::Error::new(ErrorKind::InvalidData, "answer above 1 MiB"));
            }
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        match self.stream.read(&mut self.buffer[self.filled..]) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(read) => self.filled += read,
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(error),
        }
        if self.head.is_none() {
            self.head = read_head(&self.buffer[..self.filled])?;
        }
        let Some(head) = self.head else {
            return Ok(None);
        };
        let arrived = &self.buffer[head.bytes..self.filled];
        let length = match head.body {
            Body::Length(length) if arrived.len() >= length => length,
            Body::Length(_) => return Ok(None),
            Body::Chunked => match chunks_end(arrived)? {
                Some(length) => length,
                None => return Ok(None),
            },
        };
        self.head = None;
        self.filled = 0;
        let body = &self.buffer[head.bytes..head.bytes + length];
        Ok(Some(Received { status: head.status, body, closes: head.closes }))
    }
}

fn read_head(bytes: &[u8]) -> io::Result<Option<Head>> {
    let bad = |reason: String| io::Error::new(ErrorKind::InvalidData, reason);
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let parsed = response.parse(bytes).map_err(|error| bad(error.to_string()))?;
    let httparse::Status::Complete(length) = parsed else {
        return Ok(None);
    };
    let status = response.code.unwrap_or(0);
    let mut head = Head { status, bytes: length, body: Body::Length(0), closes: false };
    for header in response.headers.iter() {
        let value = std::str::from_utf8(header.value).unwrap_or_default().trim();
        if header.name.eq_ignore_ascii_case("content-length") {
            let length = value.parse().map_err(|_| bad(format!("content-length `{value}`")))?;
            head.body = Body::Length(length);
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            head.body = Body::Chunked;
        } else if header.name.eq_ignore_ascii_case("connection") {
            head.closes = value.eq_ignore_ascii_case("close");
        }
    }
    if matches!(status, 204 | 304) {
        head.body = Body::Length(0);
    }
    Ok(Some(head))
}

/// The length of a complete chunked body without trailers; `None` while it is incomplete.
fn chunks_end(bytes: &[u8]) -> io::Result<Option<usize>> {
    let mut at = 0;
    loop {
        let invalid = |_| io::Error::new(ErrorKind::InvalidData, "chunk size");
        let rest = bytes.get(at..).unwrap_or_default();
        let httparse::Status::Complete((line, size)) =
            httparse::parse_chunk_size(rest).map_err(invalid)?
        else {
            return Ok(None);
        };
        // A size near the largest integer is no chunk: beyond the buffer it never completes.
        let size = usize::try_from(size).unwrap_or(usize::MAX).min(ANSWER_BYTES_MAX);
        at += line + size + 2;
        if bytes.len() < at {
            return Ok(None);
        }
        if size == 0 {
            return Ok(Some(at));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// Sends the pieces one by one from a server; answers what the connection saw.
    fn receive(pieces: &[&str]) -> io::Result<(u16, String)> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let mut connection = Connection::open(listener.local_addr()?)?;
        let (mut server, _) = listener.accept()?;
        assert_eq!(connection.send(b"GET / HTTP/1.1\r\n\r\n", 0)?, 18);
        for piece in pieces {
            server.write_all(piece.as_bytes())?;
            for _ in 0..2_000 {
                if let Some(received) = connection.receive()? {
                    let body = String::from_utf8_lossy(received.body).into_owned();
                    return Ok((received.status, body));
                }
                if connection.filled > 0 {
                    std::thread::yield_now();
                }
            }
        }
        drop(server);
        loop {
            if let Some(received) = connection.receive()? {
                return Ok((received.status, String::from_utf8_lossy(received.body).into_owned()));
            }
        }
    }

    #[test]
    fn answers_end_where_they_say() {
        for (pieces, expected) in [
            (vec!["HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"], (200, "hello")),
            (vec!["HTTP/1.1 200 OK\r\nContent-Le", "ngth: 5\r\n\r\nhel", "lo"], (200, "hello")),
            (vec!["HTTP/1.1 204 No Content\r\n\r\n"], (204, "")),
            (
                vec![
                    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
                    "0\r\n\r\n",
                ],
                (200, "3\r\nabc\r\n0\r\n\r\n"),
            ),
        ] {
            let (status, body) = receive(&pieces).expect("an answer");
            assert_eq!((status, body.as_str()), expected);
        }
    }

    #[test]
    fn broken_answers_are_errors() {
        for pieces in [
            vec!["no http\r\n\r\n"],
            vec!["HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n"],
            vec!["HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort"],
            vec!["HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"],
        ] {
            assert!(receive(&pieces).is_err(), "{pieces:?}");
        }
    }
}
