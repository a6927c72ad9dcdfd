//! What can go wrong while the engine is driven: its answers, its sockets, or our world file.

use std::net::SocketAddr;

/// Why a simulation stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The world file is wrong.
    #[error("world file: {0}")]
    World(String),
    /// Nobody listens, or the connection broke.
    #[error("{address}: {reason}")]
    Connection {
        /// Whom we talked to.
        address: SocketAddr,
        /// What happened.
        reason: String,
    },
    /// The other side answered something that stops the run, such as a refused key.
    #[error("{path} answered {status}: {body}")]
    Refused {
        /// What was asked, without its query.
        path: String,
        /// The status.
        status: u16,
        /// The first bytes of the body.
        body: String,
    },
    /// The plan cannot be carried out as it stands.
    #[error("{0}")]
    Plan(String),
}
