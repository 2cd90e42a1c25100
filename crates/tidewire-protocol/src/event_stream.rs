//! Server-sent events: the blocks of `text/event-stream`, encoder and parser.
//!
//! Shape: the encoders each give one whole block as bytes. Events carry no `event:` field, so that a plain
//! `EventSource` gets them all in `onmessage`; heartbeat and goodbye carry no `id:`, so that they move
//! no cursor.
//! Failure: nothing that is published can end a line or forge a field. See [`Parser`] for reading.
//! Source: protocol section 3.1; WHATWG HTML section 9.2.

use std::fmt;

use bytes::Bytes;
use serde::Serialize;

use crate::{Bye, Event, EventData, Gap, Hb, Hello, text::json_string_lossy};

mod parser;

pub use parser::{Block, BlockTooLong, Parser};

/// How long an `EventSource` waits before it comes back, in milliseconds. Not a block of its own: what
/// follows belongs to the same block, where an empty line ends nothing yet.
#[must_use]
pub fn retry(retry_ms: u64) -> Bytes {
    format!("retry: {retry_ms}\n").into()
}

/// The first block; its id is a cursor before any event.
#[must_use]
pub fn hello(hello: &Hello, id: impl fmt::Display) -> Bytes {
    named("hello", Some(&id), hello)
}

/// An event whole, as on every transport.
#[must_use]
pub fn event(event: &Event) -> Bytes {
    let mut block = Vec::with_capacity(event.json().len() + BLOCK_FRONT_BYTES);
    block.extend_from_slice(format!("id: {}\ndata: ", event.id()).as_bytes());
    // JSON of ours has no line ends: white space outside strings is dropped, inside it is escaped.
    block.extend_from_slice(event.json());
    block.extend_from_slice(b"\n\n");
    block.into()
}

/// The payload alone, for `format=data`.
///
/// A string is its plain text: each line is a `data:` of its own, and since the format knows one line end
/// only, CR and CRLF arrive as LF; half a surrogate pair arrives as U+FFFD.
#[must_use]
pub fn event_data(event: &Event) -> Bytes {
    let parts = event.parts();
    let mut block = format!("id: {}\n", event.id());
    if let Some(event_type) = parts.event_type.filter(|name| !RESERVED.contains(&&**name)) {
        field(&mut block, "event", &event_type);
    }
    match parts.data {
        EventData::Base64(base64) => field(&mut block, "data", &base64),
        EventData::Json(json) => match json_string_lossy(json.get()) {
            None => field(&mut block, "data", json.get()),
            Some(text) => lines(&text).for_each(|line| field(&mut block, "data", line)),
        },
    }
    block.push('\n');
    block.into()
}

/// Loss, told before the events that follow it; its id is where delivery continues.
#[must_use]
pub fn gap(gap: &Gap) -> Bytes {
    named("gap", Some(&gap.cursor), gap)
}

/// A heartbeat.
#[must_use]
pub fn hb(hb: &Hb) -> Bytes {
    named("hb", None, hb)
}

/// The last block of a stream that the gateway ends.
#[must_use]
pub fn bye(bye: &Bye) -> Bytes {
    named("bye", None, bye)
}

fn named(name: &str, id: Option<&dyn fmt::Display>, data: &impl Serialize) -> Bytes {
    let mut block = String::new();
    field(&mut block, "event", name);
    if let Some(id) = id {
        field(&mut block, "id", &id.to_string());
    }
    let json = serde_json::to_string(data).expect("text, numbers and flags are always JSON");
    field(&mut block, "data", &json);
    block.push('\n');
    block.into()
}

/// The space after the colon is taken off again by every reader, so that one that belongs to the value stays.
fn field(block: &mut String, name: &str, value: &str) {
    block.push_str(name);
    block.push_str(": ");
    // No value of ours has a line end; this keeps it so, whatever an engine hands over.
    block.extend(
        value
            .chars()
            .map(|c| if matches!(c, '\r' | '\n') { ' ' } else { c }),
    );
    block.push('\n');
}

/// The lines of a text; CR, LF and CRLF each end one. An empty text has one empty line.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let Some(end) = text.find(['\r', '\n']) else {
            rest = None;
            return Some(text);
        };
        let after = &text[end..];
        rest = Some(after.strip_prefix("\r\n").unwrap_or(&after[1..]));
        Some(&text[..end])
    })
}

/// Types that an `EventSource` would take for something else: our own blocks, and its life cycle.
const RESERVED: [&str; 6] = ["hello", "gap", "hb", "bye", "error", "open"];

/// Field names, line ends and the longest id.
const BLOCK_FRONT_BYTES: usize = 64;

#[cfg(test)]
mod tests;
