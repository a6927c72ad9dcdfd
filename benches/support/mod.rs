//! What the endpoint bench is made of.

pub mod child;
pub mod requests;
pub mod server;
