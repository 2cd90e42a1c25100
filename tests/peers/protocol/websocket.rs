//! A WebSocket whose messages are the events: Nchan, Node `ws`, Pushpin.
//!
//! Shape: [`Socket`] is what every WebSocket here shares: the upgrade, pings, the close.
//! Failure: any answer but 101, and a close, are faults.

use tidewire_bench::http1::{Answers, Part};
use tidewire_bench::protocol::{Exchange, Fault, Seat, Subscriber};
use tidewire_bench::websocket::{CLOSE, Frames, PING, PONG, client_frame, close_reason, request};

use super::path;

/// The client's end of one connection.
#[derive(Debug, Default)]
pub(crate) struct Socket {
    answer: Answers,
    is_open: bool,
    frames: Frames,
}

/// What it has for its user.
#[derive(Debug)]
pub(crate) enum Arrived<'a> {
    Open,
    /// The payload of a frame, whole.
    Data(&'a [u8]),
}

impl Socket {
    /// A new connection: asks for the upgrade.
    pub(crate) fn open(&mut self, path: &str, authority: &str, out: &mut Vec<u8>) {
        *self = Self::default();
        out.extend_from_slice(request(path, authority, "").as_bytes());
    }

    /// Calls `each` for all that is complete now. Pings are answered into `out`.
    pub(crate) fn receive(
        &mut self,
        mut input: &[u8],
        out: &mut Vec<u8>,
        mut each: impl FnMut(Arrived<'_>, &mut Vec<u8>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        if !self.is_open {
            let Some(Part::Head(head)) = self.answer.next(&mut input)? else {
                return Ok(());
            };
            if head.status != 101 {
                return Err(refused(head.status));
            }
            self.is_open = true;
            each(Arrived::Open, out)?;
        }
        self.frames.walk(input, |frame| match frame.opcode {
            PING => {
                client_frame(out, PONG, frame.payload, 0);
                Ok(())
            }
            PONG => Ok(()),
            CLOSE => Err(close_reason(frame.payload)),
            _ => each(Arrived::Data(frame.payload), out),
        })
    }
}

/// An answer that no subscription begins with.
pub(crate) fn refused(status: u16) -> Fault {
    Fault::Refused {
        status,
        why: String::new(),
    }
}

/// Takes events from its upgrade on.
pub(crate) fn subscriber(seat: &Seat) -> Box<dyn Subscriber> {
    Box::new(Plain::new(seat, false))
}

/// The same where the server says something first: then the subscription stands.
pub(crate) fn greeted_subscriber(seat: &Seat) -> Box<dyn Subscriber> {
    Box::new(Plain::new(seat, true))
}

struct Plain {
    path: String,
    authority: String,
    is_greeted: bool,
    socket: Socket,
}

impl Plain {
    fn new(seat: &Seat, is_greeted: bool) -> Self {
        Self {
            path: path(seat),
            authority: seat.authority.clone(),
            is_greeted,
            socket: Socket::default(),
        }
    }
}

impl Subscriber for Plain {
    fn open(&mut self, exchange: &mut Exchange<'_>) {
        self.socket
            .open(&self.path, &self.authority, exchange.out());
    }

    fn receive(&mut self, input: &[u8], exchange: &mut Exchange<'_>) -> Result<(), Fault> {
        let is_greeted = self.is_greeted;
        // What is sent and what is said have one owner, so what is sent waits here.
        let mut out = Vec::new();
        let received = self.socket.receive(input, &mut out, |arrived, _| {
            match arrived {
                Arrived::Open if is_greeted => {}
                Arrived::Open => exchange.ready(),
                Arrived::Data(payload) => {
                    if is_greeted {
                        exchange.ready();
                    }
                    exchange.payload(payload);
                }
            }
            Ok(())
        });
        exchange.out().append(&mut out);
        received
    }
}
