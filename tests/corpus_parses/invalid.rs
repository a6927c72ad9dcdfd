//! How each request ends that its source (Prebid Server) holds to be invalid, and why.

use End::{Bid, NoBid, Refused};

/// How a request ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// 400, for this reason.
    Refused(&'static str),
    /// 204.
    NoBid,
    /// A bid, which is valid by the standard.
    Bid,
}

/// The end of some requests, why, and their names in the collection.
pub type Listed = (End, &'static str, &'static [&'static str]);

pub const INVALID: &[Listed] = &[
    (Refused("no_id"), "no id, no imp", &["invalid-whole__empty-object", "invalid-whole__null"]),
    (
        Refused("no_imp"),
        "no imp",
        &["invalid-whole__imp-empty-array", "invalid-whole__tmax-negative"],
    ),
    (
        NoBid,
        "no asset has an id to answer it by",
        &[
            "invalid-native__asset-data-no-type",
            "invalid-native__asset-img-h-negative",
            "invalid-native__asset-img-hmin-negative",
            "invalid-native__asset-mixed-type",
            "invalid-native__asset-title-empty",
            "invalid-native__asset-video-mimes-empty",
            "invalid-native__asset-video-no-maxduration",
            "invalid-native__asset-video-no-mimes",
            "invalid-native__asset-video-no-minduration",
            "invalid-native__asset-video-no-protocols",
            "invalid-native__asset-video-protocols-empty",
            "invalid-native__asset-video-protocols-invalid",
            "invalid-native__context-type-content-incompatible-subtype",
            "invalid-native__context-type-product-incompatible-subtype",
            "invalid-native__context-type-social-incompatible-subtype",
            "invalid-native__contextsubtype-invalid",
            "invalid-native__contextsubtype-negative",
            "invalid-native__eventtracker-empty",
            "invalid-native__eventtracker-event-large",
            "invalid-native__eventtracker-methods-empty",
            "invalid-native__eventtracker-methods-large",
            "invalid-native__request-context-invalid",
            "invalid-native__request-plcmttype-invalid",
        ],
    ),
    (
        NoBid,
        "nothing is asked for",
        &[
            "invalid-native__asset-empty",
            "invalid-native__empty-object",
            "invalid-whole__native-empty",
        ],
    ),
    (
        NoBid,
        "Prebid Server would fill in what is stored; for us it has no id",
        &["invalid-stored__bad_stored_req"],
    ),
    (
        NoBid,
        "a side that is no size fits nothing",
        &["invalid-whole__banner-h-negative", "invalid-whole__banner-w-negative"],
    ),
    (
        NoBid,
        "formats of which none can be used, and no size beside them: nothing fits",
        &[
            "invalid-whole__format-empty-array",
            "invalid-whole__format-empty-object",
            "invalid-whole__format-h-negative",
            "invalid-whole__format-no-height",
            "invalid-whole__format-no-hratio",
        ],
    ),
    (
        NoBid,
        "no id or no medium to bid for",
        &[
            "invalid-whole__imp-empty-object",
            "invalid-whole__imp-no-type",
            "invalid-whole__metric-empty-object",
        ],
    ),
    (NoBid, "the player of audio takes videos alone", &["invalid-whole__imp-ext-invalid-params"]),
    (
        NoBid,
        "a bid on either imp might be shown in the other",
        &["invalid-whole__imp-id-duplicates"],
    ),
    (
        NoBid,
        "a player that names no type of file",
        &["invalid-whole__video-empty", "invalid-whole__video-mimes-empty"],
    ),
    (NoBid, "private, and no deal is for our seat", &["master__INV_BANNER_SITE_25"]),
    (
        Bid,
        "Prebid Server has no rate; we answer in a currency that is asked for, or not at all",
        &[
            "currency-conversion_custom-rates_errors__custom-rates-empty-usepbs-false",
            "currency-conversion_custom-rates_errors__custom-rates-invalid-usepbs-false",
            "currency-conversion_server-rates_errors__no-conversion-found",
        ],
    ),
    (
        Bid,
        "a rule of Prebid Server's own extensions, which we do not read",
        &[
            "disabled_bad__bad-alias",
            "disabled_bad__bad-bidder",
            "invalid-stored__bad_stored_imp",
            "invalid-whole__alias-bidder-self",
            "invalid-whole__alias-unknown-core",
            "invalid-whole__bid-adj-factors-case-invalid-same-bidder-names",
            "invalid-whole__bid-adjustment-invalid-bidder",
            "invalid-whole__bid-adjustment-negative",
            "invalid-whole__cache-nothing",
            "invalid-whole__imp-ext-empty",
            "invalid-whole__imp-ext-prebid-bidder-empty",
            "invalid-whole__imp-no-ext",
            "invalid-whole__invalid-bidder-params",
            "invalid-whole__preferred-media-type-not-defined",
            "invalid-whole__storedrequest-id-int",
            "invalid-whole__user-ext-prebid-buyeruids-empty",
            "invalid-whole__user-ext-prebid-buyeruids-unknown",
            "invalid-whole__user-ext-prebid-empty",
        ],
    ),
    (
        Bid,
        "of two assets with one id the first is answered",
        &["invalid-native__assets-with-dup-ids"],
    ),
    (Bid, "assets without an id are left out", &["invalid-native__assets-with-partial-ids"]),
    (
        Bid,
        "lenient: a negative bound says nothing",
        &[
            "invalid-whole__audio-maxbitrate-negative",
            "invalid-whole__audio-maxseq-negative",
            "invalid-whole__audio-minbitrate-negative",
            "invalid-whole__audio-sequence-negative",
            "invalid-whole__video-maxbitrate-negative",
        ],
    ),
    (
        Bid,
        "lenient: the standard requires neither side, and an ad keeps the one that is named",
        &["invalid-whole__banner-h-only", "invalid-whole__banner-w-only"],
    ),
    (
        Bid,
        "Prebid Server takes no ranges; the standard of 2.5 does",
        &["invalid-whole__banner-hmin", "invalid-whole__banner-wmin"],
    ),
    (
        Bid,
        "lenient: the standard requires no size, and none is any",
        &["invalid-whole__banner-no-size", "invalid-whole__interstitial-empty"],
    ),
    (
        Bid,
        "a deal without an id cannot be bid on; the open market can",
        &["invalid-whole__deal-no-id"],
    ),
    (
        Bid,
        "lenient: no ad depends on it",
        &[
            "invalid-whole__device-geo-accuracy-negative",
            "invalid-whole__device-h-negative",
            "invalid-whole__device-ppi-negative",
            "invalid-whole__device-w-negative",
            "invalid-whole__user-geo-accuracy-negative",
        ],
    ),
    (
        Bid,
        "lenient: the exact size says it all",
        &[
            "invalid-whole__format-hratio-negative",
            "invalid-whole__format-wmin-negative",
            "invalid-whole__format-wratio-negative",
        ],
    ),
    (
        Bid,
        "lenient: only campaigns for a place need one, and of several the app counts",
        &[
            "invalid-whole__no-site-or-app-or-dooh",
            "invalid-whole__site-app-both",
            "invalid-whole__site-dooh-both",
            "invalid-whole__site-empty",
        ],
    ),
    (
        Bid,
        "lenient: what is not understood of consent permits nothing, and ads without it may be shown",
        &["invalid-whole__regs-ext-malformed", "invalid-whole__user-gdpr-consent-invalid"],
    ),
    (
        Bid,
        "lenient: a player's size chooses among files and excludes none",
        &["invalid-whole__video-h-negative"],
    ),
];
