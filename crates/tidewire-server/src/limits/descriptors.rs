//! How many connections the open files of the process leave room for.
//!
//! A connection is an open file, and at the bound of those the system accepts nothing more, also not for the operator, and
//! the engine cannot open its own. So a share of them is kept back, and the public listeners have the rest as their cap: who
//! comes beyond it is told so, or closed, as at `limits.connections_total`.
//! Unit: open files.
//! Bound: `ulimit -n`, raised to what the system allows ([`raise_open_files`]).
//! Failure: a cap that is lower than the configured one is logged at the start.
//! Source: hazards part 2 row 19, part 3 on EMFILE.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::LimitsConfig;

/// Raises the soft limit of open files to the hard one, as servers do. Where that is refused it stays as it is.
pub fn raise_open_files() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}

/// How many connections the public listeners may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    /// That are served.
    pub(crate) connections: usize,
    /// Beyond them, that are told so.
    pub(crate) excess: usize,
}

impl Room {
    /// What the configuration asks for, as far as the process has open files for it.
    pub(crate) fn new(limits: &LimitsConfig) -> Self {
        let open_files = getrlimit(Resource::Nofile).current;
        let room = Self::within(limits.connections_total, open_files);
        if room.connections < limits.connections_total {
            tracing::info!(
                open_files,
                connections = room.connections,
                "the limit of open files allows fewer connections than limits.connections_total"
            );
        }
        room
    }

    fn within(connections: usize, open_files: Option<u64>) -> Self {
        let Some(open_files) = open_files.and_then(|files| usize::try_from(files).ok()) else {
            return Self {
                connections,
                excess: EXCESS_TOTAL,
            };
        };
        let kept_back = (open_files / 3).clamp(KEPT_BACK_MIN, KEPT_BACK_MAX);
        let public = open_files.saturating_sub(kept_back).max(PUBLIC_MIN);
        let excess = (public / 8).min(EXCESS_TOTAL);
        Self {
            connections: connections.min(public - excess),
            excess,
        }
    }
}

/// Connections over the cap that are told so, where there are open files enough.
const EXCESS_TOTAL: usize = 512;
/// For the admin port, the engine's files, and what was accepted but not counted yet.
const KEPT_BACK_MIN: usize = 96;
const KEPT_BACK_MAX: usize = 1024;
/// With fewer open files than this nothing can be served at all.
const PUBLIC_MIN: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_files_are_kept_back_and_the_rest_is_the_cap() {
        for (configured, open_files, connections, excess) in [
            (50_000, None, 50_000, 512),
            (50_000, Some(1_000_000), 50_000, 512),
            (50_000, Some(20_000), 20_000 - 1024 - 512, 512),
            (50_000, Some(1024), 1024 - 341 - 85, 85),
            (50_000, Some(256), 256 - 96 - 20, 20),
            (10, Some(256), 10, 20),
            (50_000, Some(20), 14, 2),
        ] {
            let room = Room::within(configured, open_files);
            assert_eq!(
                room,
                Room {
                    connections,
                    excess
                },
                "{open_files:?}"
            );
        }
    }
}
