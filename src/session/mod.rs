//! User sessions: interest, recent items, frequency; hosted in shards.
