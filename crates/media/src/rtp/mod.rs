//! RTP and RTCP (RFC 3550) without sockets: packets, reports, the jitter buffer, concealment, the source lock.
//! Never decides what a call does about loss; it only counts and smooths it.

mod delay;
mod in_order;
mod jitter;
pub mod packet;
mod plc;
mod report;
pub mod rtcp;
mod source;
mod stretch;

pub use in_order::{InOrder, Origin};
pub use jitter::{Inserted, JitterBuffer, JitterCounters, Pulled};
pub use report::{Reception, ReportSchedule};
pub use source::{SourceLock, Verdict};
