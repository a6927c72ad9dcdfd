//! What we may do with a request: one value, `Permissions`.
//!
//! Promise: doubt is decided for the user. Until consent strings are decoded, a request under the
//! GDPR is served by its context only, whatever its string says.

mod decision;

pub use decision::{Permissions, Restriction, decide, restriction};
