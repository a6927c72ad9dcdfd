//! One keep-alive HTTP/1.1 connection to one listener, one call at a time: hyper's bare connection,
//! without a pool. A connection that the server closed while idle is opened again.

use super::Error;
use crate::units::Timestamp;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, LOCATION};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;

/// An engine that is silent for this long has hung: no tick of a simulated clock takes seconds. It is
/// waited for twice half of it: the first wait also runs out where not the engine but the whole
/// process was stopped for long (a terminal, a laptop's lid), and then an answer comes at once.
const CALL_MS_MAX: u64 = 30_000;
/// Largest answer; reports are the big ones.
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A connection to one listener.
#[derive(Debug)]
pub struct Client {
    address: SocketAddr,
    host: String,
    authorization: Option<String>,
    sender: Option<SendRequest<Full<Bytes>>>,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The `Location` header.
    pub location: Option<String>,
    /// The body.
    pub body: Bytes,
}

impl Client {
    /// A client of this listener that shows `key` as its bearer key. It connects on the first call.
    #[must_use]
    pub fn new(address: SocketAddr, key: Option<&str>) -> Self {
        Self {
            address,
            host: address.to_string(),
            authorization: key.map(|key| format!("Bearer {key}")),
            sender: None,
        }
    }

    /// Fetches `path` (with its query) at simulated time `now`.
    ///
    /// # Errors
    /// `Error::Connection` when there is no answer; any status is an answer.
    pub async fn get(&mut self, now: Timestamp, path: &str) -> Result<Reply, Error> {
        self.call(now, Method::GET, path, None).await
    }

    /// Posts a body of this media type at simulated time `now`.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn post(
        &mut self,
        now: Timestamp,
        path: &str,
        media_type: &'static str,
        body: Vec<u8>,
    ) -> Result<Reply, Error> {
        self.call(now, Method::POST, path, Some((media_type, body.into()))).await
    }

    /// Puts a body of this media type at simulated time `now`.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn put(
        &mut self,
        now: Timestamp,
        path: &str,
        media_type: &'static str,
        body: Vec<u8>,
    ) -> Result<Reply, Error> {
        self.call(now, Method::PUT, path, Some((media_type, body.into()))).await
    }

    async fn call(
        &mut self,
        now: Timestamp,
        method: Method,
        path: &str,
        body: Option<(&'static str, Bytes)>,
    ) -> Result<Reply, Error> {
        let broken = |reason: String| Error::Connection { address: self.address, reason };
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, &self.host)
            .header("X-Outbid-Now", now.0);
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        if let Some((media_type, _)) = &body {
            request = request.header(CONTENT_TYPE, *media_type);
        }
        let body = body.map(|(_, bytes)| bytes).unwrap_or_default();
        let request = request.body(Full::new(body)).map_err(|error| broken(error.to_string()))?;
        let limit = Duration::from_millis(CALL_MS_MAX / 2);
        let mut kept = self.sender.take();
        if let Some(sender) = &mut kept
            && sender.ready().await.is_err()
        {
            kept = None; // the server closed it while it was idle
        }
        let sender = match kept {
            Some(sender) => sender,
            None => connect(self.address).await.map_err(broken)?,
        };
        let mut exchange = std::pin::pin!(exchange(sender, request));
        let first = tokio::time::timeout(limit, &mut exchange).await;
        let answered = match first {
            Ok(answered) => Ok(answered),
            Err(_) => tokio::time::timeout(limit, exchange).await,
        };
        let (reply, sender) = answered
            .map_err(|_| broken(format!("no answer within {CALL_MS_MAX} ms")))?
            .map_err(broken)?;
        self.sender = Some(sender);
        Ok(reply)
    }
}

async fn connect(address: SocketAddr) -> Result<SendRequest<Full<Bytes>>, String> {
    let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    let opened = handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = opened.map_err(|error| error.to_string())?;
    // The task ends with the connection; its error also reaches the caller through the sender.
    tokio::spawn(connection);
    sender.ready().await.map_err(|error| error.to_string())?;
    Ok(sender)
}

async fn exchange(
    mut sender: SendRequest<Full<Bytes>>,
    request: Request<Full<Bytes>>,
) -> Result<(Reply, SendRequest<Full<Bytes>>), String> {
    let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
    let (head, body) = response.into_parts();
    let body = Limited::new(body, BODY_BYTES_MAX).collect().await;
    let body = body.map_err(|error| error.to_string())?.to_bytes();
    let location = head.headers.get(LOCATION).and_then(|value| value.to_str().ok());
    let location = location.map(str::to_owned);
    Ok((Reply { status: head.status.as_u16(), location, body }, sender))
}
