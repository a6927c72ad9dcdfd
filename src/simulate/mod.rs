//! A simulated exchange with users and a market; it reaches the engine over sockets only.
