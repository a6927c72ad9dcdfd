//! One keep-alive HTTP/1.1 connection over a plain socket, opened again when the server closed it.

use serde_json::Value;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// An answer later than this is none.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

pub struct Http {
    pub address: SocketAddr,
    pub key: Option<String>,
    /// Simulated time that each request carries.
    pub now: Option<i64>,
    kept: Option<BufReader<TcpStream>>,
}

#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

impl Http {
    pub fn new(address: SocketAddr, key: Option<&str>) -> Self {
        Self { address, key: key.map(str::to_owned), now: None, kept: None }
    }

    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn get(&mut self, path: &str) -> Reply {
        self.call("GET", path, &[], b"")
    }

    pub fn post(&mut self, path: &str, body: &[u8]) -> Reply {
        self.call("POST", path, &[], body)
    }

    pub fn put(&mut self, path: &str, body: &str) -> Reply {
        self.call("PUT", path, &[], body.as_bytes())
    }

    /// A call that must be answered.
    pub fn call(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Reply {
        self.try_call(method, path, headers, body).expect("an answer")
    }

    pub fn try_call(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Reply> {
        let head = self.head(method, path, headers, body.len());
        if let Some(mut kept) = self.kept.take()
            && let Ok(reply) = exchange(&mut kept, &head, body)
        {
            self.keep(kept, &reply);
            return Ok(reply);
        }
        let mut stream = BufReader::new(connect(self.address)?);
        let reply = exchange(&mut stream, &head, body)?;
        self.keep(stream, &reply);
        Ok(reply)
    }

    fn keep(&mut self, stream: BufReader<TcpStream>, reply: &Reply) {
        let closes = reply.header("connection").is_some_and(|text| text.contains("close"));
        // After a refusal the server may not have read the whole body.
        self.kept = (!closes && reply.status < 400).then_some(stream);
    }

    pub fn head(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        length: usize,
    ) -> String {
        let mut head = format!("{method} {path} HTTP/1.1\r\ncontent-length: {length}\r\n");
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            head += &format!("host: {}\r\n", self.address);
        }
        if let Some(key) = &self.key {
            head += &format!("authorization: Bearer {key}\r\n");
        }
        if let Some(now) = self.now {
            head += &format!("x-outbid-now: {now}\r\n");
        }
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        head + "\r\n"
    }
}

/// A connection that gives up after [`ANSWER_WITHIN`].
pub fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    stream.set_write_timeout(Some(ANSWER_WITHIN))?;
    Ok(stream)
}

fn exchange(stream: &mut BufReader<TcpStream>, head: &str, body: &[u8]) -> io::Result<Reply> {
    stream.get_mut().write_all(&[head.as_bytes(), body].concat()).or_else(|error| {
        // A server that refuses a body by its length may close before it has all; its answer counts.
        if body.len() > 100_000 { Ok(()) } else { Err(error) }
    })?;
    read_reply(stream)
}

/// Reads one answer of known length.
pub fn read_reply(stream: &mut BufReader<TcpStream>) -> io::Result<Reply> {
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|text| text.parse().ok());
    let status = status.ok_or_else(|| io::Error::other(format!("no status in `{line}`")))?;
    let mut headers = Vec::new();
    loop {
        line.clear();
        stream.read_line(&mut line)?;
        match line.trim_end().split_once(": ") {
            Some((name, value)) => headers.push((name.to_owned(), value.to_owned())),
            None => break,
        }
    }
    let mut reply = Reply { status, headers, body: Vec::new() };
    let length = reply.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    reply.body.resize(length, 0);
    stream.read_exact(&mut reply.body)?;
    Ok(reply)
}

impl Http {
    /// Opens a connection of its own, and sends the head and the first bytes of a bid request's
    /// body of which the rest is still to come.
    pub fn begin(&self, path: &str, first: &[u8], length: usize) -> Begun {
        let mut stream = connect(self.address).expect("a connection");
        let head = self.head("POST", path, &[], length);
        stream.write_all(&[head.as_bytes(), first].concat()).expect("sent");
        Begun(BufReader::new(stream))
    }
}

/// A request under way.
pub struct Begun(BufReader<TcpStream>);

impl Begun {
    /// Sends the next bytes of the body; `false` when the server closed the connection.
    pub fn send(&mut self, bytes: &[u8]) -> bool {
        self.0.get_mut().write_all(bytes).is_ok()
    }

    pub fn reply(&mut self) -> io::Result<Reply> {
        read_reply(&mut self.0)
    }
}
