//! What the peers speak: subscribers and publishers for the load generator.
//!
//! Shape: a file for each way of subscribing, `post.rs` for publishing by HTTP.
//! Each subscriber has one topic, which stands in the path of its request.

pub(crate) mod event_stream;
pub(crate) mod long_poll;
pub(crate) mod nats;
pub(crate) mod post;
pub(crate) mod socketio;
pub(crate) mod websocket;

use tidewire_bench::protocol::{Protocol, Seat, Subscriber};

/// One transport of one peer: two names, and how a subscriber is made.
pub(crate) struct Spoken {
    pub(crate) server: &'static str,
    pub(crate) transport: &'static str,
    pub(crate) subscriber: fn(&Seat) -> Box<dyn Subscriber>,
}

impl Protocol for Spoken {
    fn server(&self) -> &str {
        self.server
    }

    fn transport(&self) -> &str {
        self.transport
    }

    fn subscriber(&self, seat: &Seat) -> Box<dyn Subscriber> {
        (self.subscriber)(seat)
    }
}

/// Where Nchan, `ws/server.js` and Pushpin's backend are subscribed to.
fn path(seat: &Seat) -> String {
    format!("/subscribe/{}", seat.topic)
}

#[cfg(test)]
mod tests;
