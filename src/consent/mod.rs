//! What we may do with a request: one value, `Permissions`.
