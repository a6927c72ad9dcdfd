//! What comes back: sealed tokens, win, billing, loss, click, events.
