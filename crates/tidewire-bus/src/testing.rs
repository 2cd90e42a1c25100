//! Events for the tests of this crate.

use std::sync::Arc;

use bytes::Bytes;
use tidewire_protocol::{Cursor, Epoch, Event, EventBody, Topic};

use crate::encoded::Encoded;

/// An event at this place whose data is the place.
pub(crate) fn event(topic: &str, place: u64) -> Arc<Encoded> {
    let id = Cursor::new(Epoch::parse("test").unwrap(), place);
    Encoded::new(Event::new(
        id,
        Topic::parse(topic).unwrap(),
        1_000,
        &body(place),
    ))
}

/// The members after `time`, with a number as data.
pub(crate) fn body(data: u64) -> EventBody {
    EventBody::from_stored(Bytes::from(format!(",\"data\":{data}}}")))
}
