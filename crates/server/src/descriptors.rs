//! File descriptors: takes as many as the system allows, and shares them out, so that a crowd at the HTTP door never takes
//! those that calls need, and a call that there is none for waits instead of failing. And no file of the process's memory
//! when it crashes. Hides the system's limits.

use tracing::{info, warn};

/// Of one call: audio, its control socket, recogniser, model, synthesiser, recording.
const OF_A_CALL: u64 = 6;
/// Of everything else: databases, log, SIP, web hooks, other nodes.
const ASIDE: u64 = 160;
/// Connections at the HTTP door that are worth having at the least, and at the most.
const CONNECTIONS: (u64, u64) = (64, 8192);

/// How much there is room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    /// Calls at once.
    pub(crate) calls: u32,
    /// HTTP connections at once.
    pub(crate) connections: usize,
}

/// Raises the process's limit as far as it may be raised, and says what it carries of the `wanted` calls.
pub(crate) fn take(wanted: u32) -> Room {
    let limit = match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(limit) => limit,
        Err(error) => {
            info!(%error, "the limit of open files stays as it is");
            rlimit::Resource::NOFILE.get_soft().unwrap_or(u64::MAX)
        }
    };
    let room = share(limit, wanted);
    if room.calls < wanted {
        warn!(
            limit,
            calls = room.calls,
            "open files are limited: fewer calls at once than `server.max_calls`; raise it (`ulimit -n`, `LimitNOFILE=`)"
        );
    }
    room
}

/// Has a crash leave no file of the process's memory, which holds keys and what people said. The limit is lowered for good:
/// nothing in the process can raise it again.
pub(crate) fn leave_no_core_file() {
    if let Err(error) = rlimit::Resource::CORE.set(0, 0) {
        warn!(%error, "a crash may leave a file with the process's memory; set `ulimit -c 0`");
    }
}

fn share(limit: u64, wanted: u32) -> Room {
    let calls = (limit.saturating_sub(ASIDE + CONNECTIONS.0) / OF_A_CALL).clamp(1, u64::from(wanted.max(1)));
    let rest = limit.saturating_sub(ASIDE).saturating_sub(calls * OF_A_CALL);
    let connections = rest.clamp(CONNECTIONS.0, CONNECTIONS.1);
    Room {
        calls: u32::try_from(calls).unwrap_or(wanted),
        connections: usize::try_from(connections).unwrap_or(usize::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::{Room, leave_no_core_file, share};

    #[test]
    fn a_crash_leaves_no_file() {
        leave_no_core_file();
        assert_eq!(rlimit::Resource::CORE.get().expect("readable"), (0, 0));
    }

    #[test]
    fn calls_come_before_a_crowd_of_connections() {
        for (limit, wanted, calls, connections) in [
            (1_048_576, 1000, 1000, 8192),
            (8192, 1000, 1000, 2032),
            // The usual limit of a shell.
            (1024, 1000, 133, 66),
            (1024, 50, 50, 564),
            (64, 1000, 1, 64),
            (u64::MAX, u32::MAX, u32::MAX, 8192),
        ] {
            assert_eq!(share(limit, wanted), Room { calls, connections }, "{limit} {wanted}");
        }
    }
}
