//! Server-sent events over HTTP/1.1: Nchan and Pushpin.
//!
//! Shape: the subscription stands with the first byte of the body, which both send at once.
//! Failure: any answer but 200, and the end of the body, are faults.

use tidewire_bench::http1::{Answers, Part};
use tidewire_bench::protocol::{Exchange, Fault, Seat, Subscriber};

use super::path;
use super::websocket::refused;

/// A subscriber of an endless answer.
pub(crate) fn subscriber(seat: &Seat) -> Box<dyn Subscriber> {
    Box::new(Stream {
        request: format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nAccept: text/event-stream\r\n\r\n",
            path(seat),
            seat.authority
        ),
        answer: Answers::default(),
    })
}

struct Stream {
    request: String,
    answer: Answers,
}

impl Subscriber for Stream {
    fn open(&mut self, exchange: &mut Exchange<'_>) {
        self.answer = Answers::default();
        exchange.out().extend_from_slice(self.request.as_bytes());
    }

    fn receive(&mut self, mut input: &[u8], exchange: &mut Exchange<'_>) -> Result<(), Fault> {
        while let Some(part) = self.answer.next(&mut input)? {
            match part {
                Part::Head(head) if head.status != 200 => return Err(refused(head.status)),
                Part::Head(_) => {}
                Part::Body(bytes) => {
                    exchange.ready();
                    exchange.payload(bytes);
                }
                Part::End => return Err(Fault::Ended("the stream ended".to_owned())),
            }
        }
        Ok(())
    }
}
