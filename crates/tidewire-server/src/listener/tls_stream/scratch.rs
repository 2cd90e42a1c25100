//! The buffers that all connections of a thread share: they hold something only within one poll.
//!
//! Unit: bytes.
//! Bound: about 200 KB for each thread that serves.

use std::cell::Cell;

/// The buffers of a thread.
pub(super) struct Scratch {
    /// What the socket gave, behind what was left of the last time.
    pub(super) incoming: Vec<u8>,
    /// Slices of one write, together.
    pub(super) plain: Vec<u8>,
    /// Records on their way to the socket. As long as they may become.
    pub(super) outgoing: Vec<u8>,
}

impl Scratch {
    /// Lends the buffers. What runs inside may be a stream over another such stream: it then gets its own.
    pub(super) fn with<T>(use_it: impl FnOnce(&mut Self) -> T) -> T {
        let mut scratch = SCRATCH.take().unwrap_or_default();
        let given = use_it(&mut scratch);
        SCRATCH.set(Some(scratch));
        given
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self {
            incoming: vec![0; INCOMING_BYTES],
            plain: Vec::with_capacity(WRITE_BYTES),
            outgoing: vec![0; WRITE_BYTES + OVERHEAD_BYTES],
        }
    }
}

thread_local! {
    static SCRATCH: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
}

/// What may lie unread before its end has come: a handshake message of several records, at most.
pub(super) const INCOMING_BYTES: usize = 64 * 1024;
/// One read of the socket: the longest record.
pub(super) const READ_BYTES: usize = 17 * 1024;
/// The plaintext of one write: four records at most.
pub(super) const WRITE_BYTES: usize = 64 * 1024;
/// Headers and tags of these records, and a key update before them.
const OVERHEAD_BYTES: usize = 1024;
