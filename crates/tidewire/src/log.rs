//! The log, on standard error.
//!
//! Shape: `tracing` with the filter of `TIDEWIRE_LOG`. Until the start has succeeded or failed, lines are held back,
//! because the first line on standard error says why a start failed.
//! Bound: `HELD_MAX` bytes are held; more, and all that was held is written.
//! Failure: a bad filter is refused. Standard error that nobody reads loses lines and stops nothing.
//! Source: protocol section 10.

use std::{
    env,
    io::{self, Write},
    sync::{Mutex, MutexGuard, PoisonError},
};

use anyhow::{Context, Result};
use tracing::Level;
use tracing_subscriber::{
    EnvFilter, filter::FilterFn, layer::SubscriberExt, util::SubscriberInitExt,
};

/// Starts the log. Lines are held until [`release`].
pub(crate) fn start() -> Result<()> {
    let filter = env::var("TIDEWIRE_LOG").unwrap_or_else(|_| DEFAULT.into());
    let filter: EnvFilter = filter.parse().with_context(|| {
        format!("TIDEWIRE_LOG = {filter:?}: accepted is a filter such as \"info\" or \"tidewire_bus=debug\"")
    })?;
    *held() = Some(Vec::new());
    tracing_subscriber::registry()
        .with(filter)
        .with(FilterFn::new(says_nothing_secret))
        .with(
            tracing_subscriber::fmt::layer()
                .with_ansi(false)
                .with_writer(|| Line),
        )
        .init();
    std::panic::set_hook(Box::new(|panic| {
        let backtrace = std::backtrace::Backtrace::capture();
        tracing::error!(%backtrace, "{panic}");
        if held().is_some() {
            // The store's library asserts where it meets damage, and may abort while it cleans up: the reason
            // would never be told.
            let panic = panic.to_string().replace('\n', " ");
            eprintln!("tidewire: the start failed: {panic}. {CURE}");
            release();
            std::process::exit(1);
        }
    }));
    Ok(())
}

/// Writes what was held, and everything from now on at once.
pub(crate) fn release() {
    if let Some(lines) = held().take() {
        let _ = io::stderr().write_all(&lines);
    }
}

/// Libraries print whole frames and headers at `trace`: a payload or a key would stand in the log. So that level is ours.
fn says_nothing_secret(metadata: &tracing::Metadata<'_>) -> bool {
    *metadata.level() < Level::TRACE || metadata.target().starts_with("tidewire")
}

/// Nothing but the data folder is read at a start without being checked.
const CURE: &str = "If the data folder is damaged: Put back a copy of the folder, or move it away to begin an empty log in a new epoch";

struct Line;

/// A line that nobody reads any more is lost, and that is all: an error here would be reported on the same
/// closed standard error, by a panic in whichever task had something to say.
impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut held = held();
        let full = held
            .as_ref()
            .is_some_and(|lines| lines.len() + bytes.len() > HELD_MAX);
        if full && let Some(lines) = held.take() {
            let _ = io::stderr().write_all(&lines);
        }
        match held.as_mut() {
            Some(lines) => lines.extend_from_slice(bytes),
            None => {
                let _ = io::stderr().write_all(bytes);
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn held() -> MutexGuard<'static, Option<Vec<u8>>> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Std mutex: held for one write, never across an await. `None`: lines are written at once.
static HELD: Mutex<Option<Vec<u8>>> = Mutex::new(None);
/// Ours at `info`; what the libraries say only from `warn` on.
const DEFAULT: &str =
    "warn,tidewire=info,tidewire_server=info,tidewire_bus=info,tidewire_client=info";
/// A start logs a few lines; a trace of a long one is rather seen than held.
const HELD_MAX: usize = 64 * 1024;
