//! Advertisers, campaigns, creatives, targeting; the eligibility index.
