//! The store's tests from outside: the conformance suite on both databases, several nodes on one of them, and what
//! restarts and kills do.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise; only whole test crates need to be told")]

mod cluster;
mod erased;
mod nodes;
mod postgres;
mod restart;
mod sealed;
mod sqlite;
mod suite;
