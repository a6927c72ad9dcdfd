//! What we may do with a request: one value, [`Permissions`], decided one by one.
//!
//! Promises: doubt is decided for the user. Every signal of a request is obeyed, and each only ever
//! takes permissions away: whatever restricts is a [`Restriction`], and what all of a request's
//! leave is what may be done. A string that applies and is missing or cannot be read leaves the
//! context alone. Nothing is allocated, work is bounded by the strings' length, and a request
//! without strings costs a few comparisons.
//!
//! # Under the GDPR (IAB Europe's TCF v2)
//!
//! | permission | what it is | needs |
//! |---|---|---|
//! | `store_session` | the session, which interest and frequency capping read | purposes 1 (store on a device) and 2 (basic ads) |
//! | `personalise` | interest, segments, keywords | `store_session`, purposes 3 (profile) and 4 (personalised ads) |
//! | `precise_geo` | postal code, latitude, longitude | special feature 1, in support of purpose 2 |
//! | `measure` | counting under the user's key | purposes 1 and 7 (measure ads) |
//!
//! Frequency capping stands under purpose 2 in the policies; the session lies under an id from the
//! user's device, hence purpose 1. Precise geolocation is a feature, for which the user opts in and
//! which serves a purpose: here choosing an ad. Purpose 3 covers building the profile and 4 using
//! it; ours is built from the events that advertisers send, with the user's consent of their own
//! (`consent` in `POST /events`), and used here, so we ask for both. An ad that is chosen by its
//! context reads nothing from the device and keeps nothing, so it asks for none.
//!
//! The GDPR applies where `regs.gdpr` says so. Where it says nothing, a consent string that is
//! there is obeyed; without one `consent.gdpr_when_missing` decides, by default from
//! `device.geo.country`, and a request without a country is taken as from elsewhere. The string is
//! `user.consent`, or section 2 of the GPP string where that applies, or both, and then both bind.
//! Bases, publishers' restrictions and special cases: `purposes`.
//!
//! # In the United States
//!
//! Sections of the GPP string that `regs.gpp_sid` names, and the US privacy string: `us`.
//!
//! # Elsewhere, and everywhere
//!
//! COPPA, Global Privacy Control, a device that limits ad tracking or asks not to be tracked:
//! context only. So is a GPP section that applies and that we do not read: 1 (TCF v1), 5 (Canada),
//! 24 and above. Section ids of -1 say that none applies; 0, or none beside a string, that nobody
//! knows which do, and that is context only too.

mod bits;
mod config;
mod decision;
mod gpp;
mod purposes;
mod tcf;
mod us;

pub use config::{Config, GdprWhenMissing, Policy};
pub use decision::{Permissions, Restriction, Restrictions, decide};
pub use gpp::{GppString, SECTIONS_MAX};
pub use tcf::{
    PublisherRestriction, Ranges, Restrictions as PublisherRestrictions, TC_BYTES_MAX, TcString,
    TcfError, Vendors,
};
