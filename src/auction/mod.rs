//! Eligible, score, price, select, hold: a request becomes a decision.
