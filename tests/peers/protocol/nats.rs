//! NATS in binary WebSocket frames, as nats-server's own listener speaks it.
//!
//! Shape: [`Connection`] is what both sides share: the upgrade, `CONNECT`, `PING`, the parts of the protocol. Frames and
//! its lines do not keep to each other.
//! Publishing: an unacknowledged stream. A `PING` after each event, whose `PONG` says that the server has taken it, bounds
//! what is under way.
//! Bound: one line is kept, nothing of a payload. Failure: `-ERR` ends it.
//! Source: NATS' client protocol.

use std::io::Write as _;

use tidewire_bench::protocol::{
    Dispatch, Exchange, Fault, Publisher, PublisherSeat, Publishing, Seat, Subscriber,
};
use tidewire_bench::websocket::{BINARY, client_frame};

use super::websocket::{Arrived, Socket};

#[derive(Debug, Default)]
struct Connection {
    socket: Socket,
    lines: Lines,
}

/// The protocol inside the frames.
#[derive(Debug, Default)]
struct Lines {
    /// What came of a line that is not whole.
    line: Vec<u8>,
    /// Bytes of a payload that are still to come, the line's end after it counted.
    rest: usize,
}

/// What one side has to act on.
enum Part<'a> {
    Open,
    Payload(&'a [u8]),
    Pong,
}

impl Connection {
    /// Calls `act` for each part that is there now; `out` takes what is to be sent.
    fn receive(
        &mut self,
        input: &[u8],
        out: &mut Vec<u8>,
        mut act: impl FnMut(Part<'_>, &mut Vec<u8>),
    ) -> Result<(), Fault> {
        let Self { socket, lines } = self;
        socket.receive(input, out, |arrived, out| {
            match arrived {
                Arrived::Open => act(Part::Open, out),
                Arrived::Data(mut bytes) => {
                    while !bytes.is_empty() {
                        if let Some(part) = lines.next(&mut bytes, out)? {
                            act(part, out);
                        }
                    }
                }
            }
            Ok(())
        })
    }
}

impl Lines {
    /// Takes a part of a payload or a line off the front.
    fn next<'a>(
        &mut self,
        bytes: &mut &'a [u8],
        out: &mut Vec<u8>,
    ) -> Result<Option<Part<'a>>, Fault> {
        if self.rest == 0 {
            return Ok(self.line(bytes, out)?.then_some(Part::Pong));
        }
        let payload = split(bytes, self.rest.min(bytes.len()));
        self.rest -= payload.len();
        Ok(Some(Part::Payload(payload)))
    }

    /// Takes a line, or what there is of it. True for `PONG`.
    fn line(&mut self, bytes: &mut &[u8], out: &mut Vec<u8>) -> Result<bool, Fault> {
        let Some(newline) = bytes.iter().position(|byte| *byte == b'\n') else {
            self.line.extend_from_slice(split(bytes, bytes.len()));
            if self.line.len() > LINE_MAX_BYTES {
                return Err(not_understood(&self.line));
            }
            return Ok(false);
        };
        let end = split(bytes, newline + 1);
        if self.line.is_empty() {
            return self.verb(end, out);
        }
        let mut line = std::mem::take(&mut self.line);
        line.extend_from_slice(end);
        self.verb(&line, out)
    }

    fn verb(&mut self, line: &[u8], out: &mut Vec<u8>) -> Result<bool, Fault> {
        let line = line.trim_ascii_end();
        if line.starts_with(b"MSG ") {
            let length = line.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
            let length: Option<usize> = str::from_utf8(length).ok().and_then(|l| l.parse().ok());
            let length = length.ok_or_else(|| not_understood(line))?;
            self.rest = length + LINE_END.len();
            return Ok(false);
        }
        match line {
            b"PING" => client_frame(out, BINARY, b"PONG\r\n", 0),
            b"PONG" => return Ok(true),
            b"+OK" => {}
            _ if line.starts_with(b"INFO ") => {}
            _ if line.starts_with(b"-ERR") => {
                return Err(Fault::Ended(String::from_utf8_lossy(line).into_owned()));
            }
            _ => return Err(not_understood(line)),
        }
        Ok(false)
    }
}

/// A subscriber of one subject.
pub(crate) fn subscriber(seat: &Seat) -> Box<dyn Subscriber> {
    Box::new(Subscription {
        subject: seat.topic.clone(),
        authority: seat.authority.clone(),
        connection: Connection::default(),
    })
}

struct Subscription {
    subject: String,
    authority: String,
    connection: Connection,
}

impl Subscriber for Subscription {
    fn open(&mut self, exchange: &mut Exchange<'_>) {
        self.connection = Connection::default();
        self.connection
            .socket
            .open("/", &self.authority, exchange.out());
    }

    fn receive(&mut self, input: &[u8], exchange: &mut Exchange<'_>) -> Result<(), Fault> {
        let Self {
            subject,
            connection,
            ..
        } = self;
        let mut out = Vec::new();
        let received = connection.receive(input, &mut out, |part, out| match part {
            Part::Open => {
                let subscribe = format!("{CONNECT}SUB {subject} 1\r\nPING\r\n");
                client_frame(out, BINARY, subscribe.as_bytes(), 0);
            }
            Part::Payload(bytes) => exchange.payload(bytes),
            Part::Pong => exchange.ready(),
        });
        exchange.out().append(&mut out);
        received
    }
}

/// Publishing by one stream over a WebSocket.
pub(crate) struct Stream;

impl Publishing for Stream {
    fn describe(&self) -> String {
        "PUB over one WebSocket, not acknowledged, a PING after each".to_owned()
    }

    fn publisher(&self, seat: &PublisherSeat) -> Box<dyn Publisher> {
        Box::new(StreamPublisher {
            authority: seat.authority.clone(),
            connection: Connection::default(),
            is_ready: false,
            command: Vec::new(),
        })
    }
}

struct StreamPublisher {
    authority: String,
    connection: Connection,
    is_ready: bool,
    /// Kept for its memory.
    command: Vec<u8>,
}

impl Publisher for StreamPublisher {
    fn depth(&self) -> usize {
        DEPTH
    }

    fn open(&mut self, dispatch: &mut Dispatch<'_>) {
        self.connection = Connection::default();
        self.is_ready = false;
        self.connection
            .socket
            .open("/", &self.authority, dispatch.out());
    }

    fn publish(&mut self, topic: &str, payload: &[u8], dispatch: &mut Dispatch<'_>) {
        self.command.clear();
        let written = write!(self.command, "PUB {topic} {}\r\n", payload.len());
        written.expect("a vector takes all");
        for part in [payload, LINE_END, b"PING\r\n"] {
            self.command.extend_from_slice(part);
        }
        client_frame(dispatch.out(), BINARY, &self.command, 0);
    }

    fn receive(&mut self, input: &[u8], dispatch: &mut Dispatch<'_>) -> Result<(), Fault> {
        let Self {
            connection,
            is_ready,
            ..
        } = self;
        let mut out = Vec::new();
        let received = connection.receive(input, &mut out, |part, out| match part {
            Part::Open => {
                let connect = format!("{CONNECT}PING\r\n");
                client_frame(out, BINARY, connect.as_bytes(), 0);
            }
            Part::Pong if *is_ready => dispatch.accepted(1),
            Part::Pong => {
                *is_ready = true;
                dispatch.ready();
            }
            Part::Payload(_) => {}
        });
        dispatch.out().append(&mut out);
        received
    }
}

/// Takes so many bytes off the front.
fn split<'a>(input: &mut &'a [u8], at: usize) -> &'a [u8] {
    let (front, rest) = input.split_at(at);
    *input = rest;
    front
}

fn not_understood(line: &[u8]) -> Fault {
    let line: String = String::from_utf8_lossy(line).chars().take(200).collect();
    Fault::NotUnderstood(format!("NATS: {line}"))
}

const CONNECT: &str =
    "CONNECT {\"verbose\":false,\"pedantic\":false,\"lang\":\"bench\",\"version\":\"1\"}\r\n";
const LINE_END: &[u8] = b"\r\n";
const LINE_MAX_BYTES: usize = 64 << 10;
const DEPTH: usize = 1024;
