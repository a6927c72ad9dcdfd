//! Differential privacy: bounds, mechanisms, accountant, releases.
