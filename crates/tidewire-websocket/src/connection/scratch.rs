//! Buffers that the threads lend, so that a connection owns none.
//!
//! Shape: one of each kind for a thread; a connection has it for one poll. A second connection inside the first one's
//! poll gets a new one.
//! Bound: [`READ_BYTES`] and [`MERGE_BYTES`] for each thread.
//! Source: architecture, idle memory of a connection.

use std::cell::Cell;

/// Lends the buffer that is read into.
pub(super) fn with_read_buffer<T>(read: impl FnOnce(&mut [u8]) -> T) -> T {
    READ.with(|cell| {
        let mut buffer = cell.take();
        buffer.resize(READ_BYTES, 0);
        let answer = read(&mut buffer);
        cell.set(buffer);
        answer
    })
}

/// Lends an empty buffer with room for [`MERGE_BYTES`].
pub(super) fn with_merge_buffer<T>(merge: impl FnOnce(&mut Vec<u8>) -> T) -> T {
    MERGE.with(|cell| {
        let mut buffer = cell.take();
        buffer.clear();
        buffer.reserve_exact(MERGE_BYTES);
        let answer = merge(&mut buffer);
        cell.set(buffer);
        answer
    })
}

/// As much as one TLS record brings.
pub(super) const READ_BYTES: usize = 16 * 1024;

/// Frames are merged into writes of at most this size.
pub(super) const MERGE_BYTES: usize = 64 * 1024;

thread_local! {
    static READ: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    static MERGE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}
