//! What comes back: sealed tokens, win, billing, loss, click, events, conversions.
//!
//! A notice URL carries everything that its notice needs, sealed (`token`), so that nothing has to
//! be remembered between a bid and its bill but the hold itself. What a notice does to the money is
//! decided by a pure table (`effect`); whether it is the first of its hold is the ledger's to say.
//! Behaviour events are cleaned at the door (`event`), where raw ids become keyed hashes.
//!
//! # Outcomes
//!
//! Each notice has one outcome, counted as `outbid_notices_total{kind,outcome}` and written into
//! the event log (`entry`). Which notice charges is `exchange.charge_on`'s to say; win, billing and
//! view are evidence where they do not charge.
//!
//! | what comes | outcome | status | money |
//! |---|---|---|---|
//! | a charge in time | `charged` | 200 | the hold settles at the told price, at most what it held |
//! | after `decision_ttl` | `charged_late` | 200 | the same: the money was still held |
//! | after `billing_window` | `charged_after_window` | 200 | from free money of the account |
//! | after its loss | `charged_after_loss` | 200 | from the lease or free money |
//! | a charge beyond what any budget has | `absorbed` | 200 | what is missing is the house's |
//! | a genuine charge of an unknown lease | `unknown_hold` | 200 | the house's |
//! | a charge whose campaign, day or number is none | `ledger_refused` | 200 | none |
//! | the same charge again | `duplicate` | 200 | none |
//! | the same at another price | `contradiction` | 200 | none: the first stands |
//! | the ledger says nothing for 5 s | `unconfirmed` | 200 | in its log, hence as it will be; a copy is told |
//! | its log cannot be written | `not_durable` | 503 | none; to be sent again |
//! | the work on it broke off | `failed` | 500 | none, or as the log says; to be sent again |
//! | evidence | `evidence` | 200 | none |
//! | evidence after the charge (a bill before its win) | `evidence_after_charge` | 200 | none |
//! | evidence after a loss | `evidence_after_loss` | 200 | none |
//! | a loss | `released` | 200 | the hold is free |
//! | a loss after `decision_ttl` | `released_late` | 200 | the hold is free |
//! | a loss after `billing_window` | `released_after_window` | 200 | it was free |
//! | a loss after the charge | `loss_after_charge` | 200 | none: the charge stands |
//! | a click after the charge | `clicked` | 302 | none |
//! | a click before any charge | `clicked_before_charge` | 302 | none |
//! | a click after a loss | `clicked_after_loss` | 302 | none |
//! | a click on an ad that is gone | `ad_gone` | 404 | none |
//! | any news again (a click is sent on again) | `duplicate` | 200, 302 | none |
//! | HEAD | `looked` | 200, 302 | none |
//! | a method that is no GET, POST or HEAD | not counted | 405 | none |
//! | no token, a parameter twice, no text of a token | `malformed` | 400 | none |
//! | an exchange that is not configured | `unknown_exchange` | 404 | none |
//! | altered or made up | `forged` | 403 | none |
//! | genuine on another path | `repurposed` | 403 | none |
//! | genuine for another exchange | `other_exchange` | 403 | none |
//! | a key that is not live | `unknown_key` | 403 | none |
//! | past the token's end | `expired` | 410 | none |
//!
//! `duplicate` of news, `clicked_before_charge` and all that says "after" of a loss or charge come
//! from a bounded memory of the last 131,072 holds (`outcome`); past it they read as the first.
//! What charges, and what a charge did, is the ledger's own answer at any age.
//!
//! The price of a charge, and of no copy, is counted beside it as `outbid_charges_total{what}`:
//! `effect` has the table of `told`, `bounded`, `missing`, `unexpanded`, `unreadable`,
//! `bad_signature`, `other_currency` and `unsigned`.
//!
//! Conversions have outcomes of their own (`attribution`), as `outbid_conversions_total{what}`.

pub mod attribution;
pub mod effect;
pub mod entry;
pub mod event;
mod market;
pub mod outcome;
pub mod token;

pub use crate::config::ChargeOn;
pub use effect::{Effect, Price, Query, QueryError, decide, write_url};
pub use market::observation;
pub use token::{BidToken, NonceSequence, Purpose, Sealed, Sealer, TokenError};
