//! The store's tests from outside: the conformance suite on the embedded database, and what restarts and kills do.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise; only whole test crates need to be told")]

mod restart;
mod sqlite;
mod suite;
