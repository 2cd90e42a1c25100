//! Nchan's long-poll: each answer is one event, and its `Last-Modified` and `Etag` are the place to go on from.
//!
//! Shape: one request after another on a kept connection. The first has no place and waits for the next event.
//! Failure: any answer but 200 is a fault. The place outlives the connection.

use tidewire_bench::http1::{Answers, Head, Part};
use tidewire_bench::protocol::{Exchange, Fault, Seat, Subscriber};

use super::path;
use super::websocket::refused;

/// A subscriber that asks again as soon as it was answered.
pub(crate) fn subscriber(seat: &Seat) -> Box<dyn Subscriber> {
    Box::new(Poll {
        request: format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\n",
            path(seat),
            seat.authority
        ),
        place: String::new(),
        answer: Answers::default(),
    })
}

struct Poll {
    /// Without the empty line.
    request: String,
    /// The headers that say where to go on.
    place: String,
    answer: Answers,
}

impl Poll {
    fn ask(&self, out: &mut Vec<u8>) {
        for part in [&self.request, &self.place, "\r\n"] {
            out.extend_from_slice(part.as_bytes());
        }
    }

    fn remember(&mut self, head: &Head) {
        let time = head.header("Last-Modified").unwrap_or_default();
        let tag = head.header("Etag").unwrap_or_default();
        self.place = format!("If-Modified-Since: {time}\r\nIf-None-Match: {tag}\r\n");
    }
}

impl Subscriber for Poll {
    fn open(&mut self, exchange: &mut Exchange<'_>) {
        self.answer = Answers::default();
        self.ask(exchange.out());
        // A held poll says nothing until there is an event.
        exchange.ready();
    }

    fn receive(&mut self, mut input: &[u8], exchange: &mut Exchange<'_>) -> Result<(), Fault> {
        while let Some(part) = self.answer.next(&mut input)? {
            match part {
                Part::Head(head) if head.status != 200 => return Err(refused(head.status)),
                Part::Head(head) => self.remember(&head),
                Part::Body(bytes) => exchange.payload(bytes),
                Part::End => self.ask(exchange.out()),
            }
        }
        Ok(())
    }
}
