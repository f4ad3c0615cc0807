//! Puts a media thread before the process's other threads, so that a packet that is due waits for no other work on its
//! core. Hides the operating system's policies; never fails a start: where it is not allowed, the thread stays as it is.

use thread_priority::unix::{set_thread_priority_and_policy, thread_schedule_policy_param};
use thread_priority::{Error, ThreadPriority, ThreadPriorityValue, ThreadSchedulePolicy, thread_native_id};

/// Niceness -11 in the crate's scale of 0 to 99: before ordinary work, behind what the system itself needs.
const BEFORE_OTHERS: u8 = 75;

/// Raises the calling thread: by niceness, or by one step where the process was started under a real-time policy.
/// Needs `CAP_SYS_NICE` or a limit that allows it.
///
/// # Errors
/// The system's refusal.
pub(super) fn raise() -> Result<(), Error> {
    let thread = thread_native_id();
    let (policy, params) = thread_schedule_policy_param(thread)?;
    let value = match policy {
        ThreadSchedulePolicy::Realtime(_) => {
            // The highest has none above it.
            u8::try_from(params.sched_priority.saturating_add(1))
                .ok()
                .and_then(|value| ThreadPriorityValue::try_from(value).ok())
                .unwrap_or(ThreadPriorityValue::MAX)
        }
        ThreadSchedulePolicy::Normal(_) => ThreadPriorityValue::try_from(BEFORE_OTHERS).unwrap_or_default(),
    };
    set_thread_priority_and_policy(thread, ThreadPriority::Crossplatform(value), policy)
}
