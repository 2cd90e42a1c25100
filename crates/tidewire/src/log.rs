//! The log, on standard error.
//!
//! Shape: `tracing` with the filter of `TIDEWIRE_LOG`, one line for each event, as text or as JSON. Until the start has
//! succeeded or failed, lines are held back, because the first line on standard error says why a start failed.
//! Bound: `HELD_MAX` bytes are held; more, and all that was held is written.
//! Failure: a bad filter is refused. Standard error that nobody reads loses lines and stops nothing. A control character
//! in a line is escaped: whoever sends one forges no line and moves no cursor.
//! Source: protocol section 10; hazards part 1 row 24.

use std::{
    borrow::Cow,
    env,
    io::{self, Write},
    sync::{Mutex, MutexGuard, PoisonError},
};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use tracing::Level;
use tracing_subscriber::{
    EnvFilter, Layer, filter::FilterFn, layer::SubscriberExt, util::SubscriberInitExt,
};

/// `[log]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LogTable {
    /// How a line is written. Default `text`.
    pub(crate) format: LogFormat,
}

/// How a line of the log is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, for what collects logs.
    Json,
}

/// Starts the log. Lines are held until [`release`].
pub(crate) fn start(table: &LogTable) -> Result<()> {
    let filter = env::var("TIDEWIRE_LOG").unwrap_or_else(|_| DEFAULT.into());
    let filter: EnvFilter = filter.parse().with_context(|| {
        format!("TIDEWIRE_LOG = {filter:?}: accepted is a filter such as \"info\" or \"tidewire_bus=debug\"")
    })?;
    *held() = Some(Vec::new());
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .with_writer(|| Line);
    tracing_subscriber::registry()
        .with(filter)
        .with(FilterFn::new(says_nothing_secret))
        .with(match table.format {
            LogFormat::Text => lines.boxed(),
            LogFormat::Json => lines.json().boxed(),
        })
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

/// One line, which ends where it ends: what somebody sent cannot begin another one, nor speak to a terminal. The form is
/// one that a JSON string holds, too.
fn escaped(line: &[u8]) -> Cow<'_, [u8]> {
    let (text, end) = match line {
        [text @ .., b'\n'] => (text, "\n"),
        text => (text, ""),
    };
    let Ok(text) = std::str::from_utf8(text) else {
        return Cow::Owned(line.escape_ascii().chain(end.bytes()).collect());
    };
    if !text.chars().any(char::is_control) {
        return Cow::Borrowed(line);
    }
    let mut escaped = String::with_capacity(line.len() + 16);
    for each in text.chars() {
        match each {
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            control if control.is_control() => {
                escaped.push_str(&format!("\\u{:04x}", u32::from(control)));
            }
            plain => escaped.push(plain),
        }
    }
    escaped.push_str(end);
    Cow::Owned(escaped.into_bytes())
}

/// A line that nobody reads any more is lost, and that is all: an error here would be reported on the same
/// closed standard error, by a panic in whichever task had something to say.
impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let line = escaped(bytes);
        let mut held = held();
        let full = held
            .as_ref()
            .is_some_and(|lines| lines.len() + line.len() > HELD_MAX);
        if full && let Some(lines) = held.take() {
            let _ = io::stderr().write_all(&lines);
        }
        match held.as_mut() {
            Some(lines) => lines.extend_from_slice(&line),
            None => {
                let _ = io::stderr().write_all(&line);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(line: &str) -> String {
        String::from_utf8(escaped(line.as_bytes()).into_owned()).unwrap()
    }

    #[test]
    fn a_line_without_control_characters_is_written_as_it_is() {
        let line = "INFO topic=\"潮.🌊\" back\\slash\n";
        assert!(matches!(escaped(line.as_bytes()), Cow::Borrowed(_)));
        assert_eq!(shown(line), line);
    }

    #[test]
    fn no_control_character_leaves_a_line() {
        let sent = "topic=a\r\nERROR forged\tb\u{1b}[31m\u{7f}\u{9b}2J\0\n";
        let expected = "topic=a\\r\\nERROR forged\\tb\\u001b[31m\\u007f\\u009b2J\\u0000\n";
        assert_eq!(shown(sent), expected);
        let rest = shown("\u{0}\u{1f}\u{7f}\u{80}\u{9f}");
        assert_eq!(rest, "\\u0000\\u001f\\u007f\\u0080\\u009f");
        assert!(
            escaped(b"\xff\x1b\n")
                .iter()
                .all(|byte| (b' '..=b'~').contains(byte) || *byte == b'\n')
        );
    }

    #[test]
    fn an_escaped_line_is_json_where_it_was() {
        let sent = "{\"topic\":\"\u{7f}\u{9b}\"}\n";
        let read: serde_json::Value = serde_json::from_str(&shown(sent)).unwrap();
        assert_eq!(read["topic"], "\u{7f}\u{9b}");
    }
}
