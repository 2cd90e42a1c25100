//! An event and its wire forms, each encoded once, when first asked for, and shared by every session.
//! Bound: at most one copy of each form for each event in the window.
//! Source: architecture, "The path of an event"; protocol sections 2 and 3.1.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use tidewire_protocol::{Event, event_stream};

/// One event, shared. Everything is immutable once made.
#[derive(Debug)]
pub struct Encoded {
    event: Event,
    sse: OnceLock<Bytes>,
    sse_data: OnceLock<Bytes>,
    /// Inner `None`: compressing does not make it smaller.
    deflated: OnceLock<Option<Bytes>>,
}

impl Encoded {
    /// Nothing but the event's JSON is encoded yet.
    #[must_use]
    pub fn new(event: Event) -> Arc<Self> {
        Arc::new(Self {
            event,
            sse: OnceLock::new(),
            sse_data: OnceLock::new(),
            deflated: OnceLock::new(),
        })
    }

    /// The event itself.
    #[must_use]
    pub fn event(&self) -> &Event {
        &self.event
    }

    /// Its place in the log.
    #[must_use]
    pub fn place(&self) -> u64 {
        self.event.id().place
    }

    /// The event as JSON: a WebSocket text, an element of a poll answer.
    #[must_use]
    pub fn json(&self) -> &Bytes {
        self.event.json()
    }

    /// The event as a block of an event stream.
    #[must_use]
    pub fn sse(&self) -> &Bytes {
        self.sse.get_or_init(|| event_stream::event(&self.event))
    }

    /// The payload alone as a block of an event stream (`format=data`).
    #[must_use]
    pub fn sse_data(&self) -> &Bytes {
        self.sse_data
            .get_or_init(|| event_stream::event_data(&self.event))
    }

    /// The event as a compressed WebSocket frame; `None` where it would not be smaller. `make` turns JSON into it: the bus
    /// knows no WebSocket. Everybody gives the same one.
    #[must_use]
    pub fn deflated(&self, make: impl FnOnce(&[u8]) -> Option<Bytes>) -> Option<&Bytes> {
        self.deflated.get_or_init(|| make(self.json())).as_ref()
    }
}
