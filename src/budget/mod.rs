//! The ledger, leases, holds, and the actor that owns them.
