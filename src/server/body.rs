//! Reading a request body with the two limits that actix-web does not set: bytes and time.

use crate::exchange::compression::DecodeError;
use crate::server::again::Again;
use actix_web::dev;
use actix_web::error::PayloadError;
use actix_web::http::StatusCode;
use actix_web::web::{Bytes, BytesMut, Payload};
use futures_util::{Stream, StreamExt};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Why a body was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// More bytes than allowed.
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
    /// The rest did not come in time.
    #[error("the body did not arrive within {0} ms")]
    TooSlow(u64),
    /// The connection broke, or its framing was wrong.
    #[error("the body could not be read")]
    Broken,
    /// It arrived and could not be decoded.
    #[error(transparent)]
    Coded(#[from] DecodeError),
}

impl BodyError {
    /// The status that says it.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::TooLarge(_) | Self::Coded(DecodeError::TooLarge(_)) => {
                StatusCode::PAYLOAD_TOO_LARGE
            }
            Self::TooSlow(_) => StatusCode::REQUEST_TIMEOUT,
            Self::Broken | Self::Coded(DecodeError::Broken) => StatusCode::BAD_REQUEST,
            Self::Coded(DecodeError::Unknown | DecodeError::SwitchedOff) => {
                StatusCode::UNSUPPORTED_MEDIA_TYPE
            }
        }
    }

    /// The label of the counter.
    pub const fn label(self) -> &'static str {
        match self {
            Self::TooLarge(_) => "body_too_large",
            Self::TooSlow(_) => "body_too_slow",
            Self::Broken => "body_broken",
            Self::Coded(DecodeError::TooLarge(_)) => "coding_too_large",
            Self::Coded(DecodeError::Broken) => "coding_broken",
            Self::Coded(DecodeError::Unknown) => "coding_unknown",
            Self::Coded(DecodeError::SwitchedOff) => "coding_switched_off",
        }
    }
}

/// The whole body, if it has at most `bytes_max` bytes and is complete within `deadline_ms`.
///
/// # Errors
/// See [`BodyError`]; nothing of a refused body is kept.
pub async fn read(
    payload: Payload,
    bytes_max: usize,
    deadline_ms: u64,
) -> Result<Bytes, BodyError> {
    gather(payload, (bytes_max, deadline_ms), None).await
}

/// The same for a handler that its connection polls itself, without a wake-up of the connection where
/// the body has come with its head. `limits` are the most bytes and the most milliseconds.
///
/// # Errors
/// As [`read`].
pub async fn read_fed(
    payload: dev::Payload,
    limits: (usize, u64),
    again: &Again,
) -> Result<Bytes, BodyError> {
    gather(payload, limits, Some(again)).await
}

async fn gather(
    mut payload: impl Stream<Item = Result<Bytes, PayloadError>> + Unpin,
    (bytes_max, deadline_ms): (usize, u64),
    again: Option<&Again>,
) -> Result<Bytes, BodyError> {
    // Nearly every body has arrived with its head: take what is there without arming a timer. The
    // connection looks at a body only once its handler waits for it, so one more look is due.
    let mut body = Gathered::new(bytes_max);
    let mut is_second = false;
    let ready = std::future::poll_fn(|context| {
        let waker = context.waker();
        if let Some(again) = again.filter(|_| is_second) {
            again.take_back(waker);
        }
        // Whom the body would wake is looked at again in any case.
        let of_body = if again.is_some() && !is_second { Waker::noop() } else { waker };
        let of_body = &mut Context::from_waker(of_body);
        loop {
            match payload.poll_next_unpin(of_body) {
                Poll::Ready(Some(Ok(chunk))) => match body.push(chunk) {
                    Ok(()) => {}
                    Err(error) => return Poll::Ready(Some(Err(error))),
                },
                Poll::Ready(Some(Err(_))) => return Poll::Ready(Some(Err(BodyError::Broken))),
                Poll::Ready(None) => return Poll::Ready(Some(Ok(()))),
                Poll::Pending if is_second => return Poll::Ready(None),
                Poll::Pending => {
                    is_second = true;
                    match again {
                        Some(again) => again.ask(waker),
                        None => waker.wake_by_ref(),
                    }
                    return Poll::Pending;
                }
            }
        }
    })
    .await;
    if let Some(outcome) = ready {
        return outcome.map(|()| body.finish());
    }
    let rest = async {
        while let Some(chunk) = payload.next().await {
            body.push(chunk.map_err(|_| BodyError::Broken)?)?;
        }
        Ok::<_, BodyError>(())
    };
    tokio::time::timeout(Duration::from_millis(deadline_ms), rest)
        .await
        .map_err(|_| BodyError::TooSlow(deadline_ms))??;
    Ok(body.finish())
}

/// A body so far: the common single chunk is never copied.
struct Gathered {
    first: Bytes,
    rest: BytesMut,
    bytes_max: usize,
}

impl Gathered {
    fn new(bytes_max: usize) -> Self {
        Self { first: Bytes::new(), rest: BytesMut::new(), bytes_max }
    }

    fn push(&mut self, chunk: Bytes) -> Result<(), BodyError> {
        if self.first.len().max(self.rest.len()) + chunk.len() > self.bytes_max {
            return Err(BodyError::TooLarge(self.bytes_max));
        }
        if self.first.is_empty() && self.rest.is_empty() {
            self.first = chunk;
            return Ok(());
        }
        if self.rest.is_empty() {
            self.rest.extend_from_slice(&self.first);
        }
        self.rest.extend_from_slice(&chunk);
        Ok(())
    }

    fn finish(self) -> Bytes {
        if self.rest.is_empty() { self.first } else { self.rest.freeze() }
    }
}
