//! Ports to durable things. The core sees only these.
