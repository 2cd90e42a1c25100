//! Lines on standard output.
//!
//! Shape: written at once or gathered and flushed by the caller.
//! Failure: whoever reads may leave at any time (`| head -1`); that is the end of the command and no error.

use std::io::{self, ErrorKind, Write};

/// True while somebody reads.
pub(crate) fn open_still(written: io::Result<()>) -> io::Result<bool> {
    match written {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error),
    }
}

/// Writes text and flushes it. Nobody reading is no error.
pub(crate) fn print(text: &str) -> io::Result<bool> {
    let mut out = io::stdout().lock();
    open_still(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}
