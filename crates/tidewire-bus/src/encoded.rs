//! An event and its wire forms, each encoded once, when first asked for, and shared by every session.
//! Bound: at most one copy of each [`Form`] for each event in the window, and nothing for one that nobody asked for.
//! Source: architecture, "The path of an event"; protocol sections 2 and 3.1.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use tidewire_protocol::{Event, event_stream};

/// A wire form that is made once and shared: of one event by [`Encoded::form`], of the events of a batch one after
/// another by [`crate::Events::joined`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// A block of an event stream.
    Sse,
    /// The payload alone as a block of an event stream (`format=data`).
    SseData,
    /// A WebSocket frame.
    Frame,
    /// A WebSocket frame for those that negotiated compression.
    DeflatedFrame,
}

/// One place for each form.
pub(crate) type Forms = [OnceLock<Bytes>; 4];

impl Form {
    /// Its place in [`Forms`].
    pub(crate) fn of(self, forms: &Forms) -> &OnceLock<Bytes> {
        match self {
            Self::Sse => &forms[0],
            Self::SseData => &forms[1],
            Self::Frame => &forms[2],
            Self::DeflatedFrame => &forms[3],
        }
    }
}

/// One event, shared. Everything is immutable once made.
#[derive(Debug)]
pub struct Encoded {
    event: Event,
    /// Boxed: most events are sent in joined forms only, or not at all.
    forms: OnceLock<Box<Forms>>,
}

impl Encoded {
    /// Nothing but the event's JSON is encoded yet.
    #[must_use]
    pub fn new(event: Event) -> Arc<Self> {
        Arc::new(Self {
            event,
            forms: OnceLock::new(),
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
        self.form(Form::Sse, event_stream::event)
    }

    /// The payload alone as a block of an event stream (`format=data`).
    #[must_use]
    pub fn sse_data(&self) -> &Bytes {
        self.form(Form::SseData, event_stream::event_data)
    }

    /// The event in this form. Whoever asks first makes it: `make` is the same wherever the form is.
    #[must_use]
    pub fn form(&self, form: Form, make: impl FnOnce(&Event) -> Bytes) -> &Bytes {
        let forms = self.forms.get_or_init(Box::default);
        form.of(forms).get_or_init(|| make(&self.event))
    }
}
