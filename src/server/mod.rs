//! Listeners, admission, routes: the wiring.
