//! Tidewire's transports and its ways of publishing, as a load generator speaks them.
//!
//! Shape: [`Tidewire`] is one transport; [`Publish`] one way of publishing. Below, a file for each transport.
//! Unit: topics take `text/plain` payloads, which become JSON text; markers need no escaping there.
//! Failure: what the gateway refuses is a fault with its status and words.
//! Source: protocol sections 3 and 4.

mod poll;
mod publish;
mod sse;
mod websocket;

use std::{fmt, str::FromStr, time::Duration};

pub use self::publish::Publish;
use crate::protocol::{Carrier, Protocol, Seat, Subscriber};

/// One transport of a gateway.
#[derive(Debug, Clone)]
pub struct Tidewire {
    transport: Transport,
    credentials: Credentials,
}

/// How events come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// WebSocket, a connection each.
    WebSocket,
    /// SSE over HTTP/1.1, a connection each.
    Sse,
    /// SSE over HTTP/2, so many streams on one connection.
    SseShared {
        /// Streams of one connection.
        streams: usize,
    },
    /// Long-poll: the next request follows the answer.
    LongPoll,
    /// Polls that do not wait, at an interval.
    Poll {
        /// From an answer to the next request.
        interval: Duration,
    },
}

/// A key, or none.
#[derive(Debug, Clone, Default)]
pub(crate) struct Credentials(Option<String>);

impl Tidewire {
    /// This transport, with an API key or without.
    #[must_use]
    pub fn new(transport: Transport, token: Option<&str>) -> Tidewire {
        Tidewire {
            transport,
            credentials: Credentials::new(token),
        }
    }
}

impl Protocol for Tidewire {
    fn server(&self) -> &str {
        "Tidewire"
    }

    fn transport(&self) -> &str {
        self.transport.name()
    }

    fn carrier(&self) -> Carrier {
        match self.transport {
            Transport::SseShared { streams } => Carrier::Streams {
                per_connection: streams,
            },
            Transport::WebSocket
            | Transport::Sse
            | Transport::LongPoll
            | Transport::Poll { .. } => Carrier::Connection,
        }
    }

    fn subscriber(&self, seat: &Seat) -> Box<dyn Subscriber> {
        let credentials = self.credentials.clone();
        match self.transport {
            Transport::WebSocket => Box::new(websocket::WebSocket::new(seat, credentials)),
            Transport::Sse => Box::new(sse::Sse::new(seat, credentials)),
            Transport::SseShared { .. } => Box::new(sse::Sse::shared(seat, credentials)),
            Transport::LongPoll => Box::new(poll::Poll::new(seat, credentials, None)),
            Transport::Poll { interval } => {
                Box::new(poll::Poll::new(seat, credentials, Some(interval)))
            }
        }
    }
}

impl Transport {
    /// Its name on the command line and in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Transport::WebSocket => "websocket",
            Transport::Sse => "sse",
            Transport::SseShared { .. } => "sse-h2",
            Transport::LongPoll => "long-poll",
            Transport::Poll { .. } => "poll",
        }
    }

    /// Those that a run shows side by side.
    pub const ALL: [Transport; 5] = [
        Transport::WebSocket,
        Transport::Sse,
        Transport::SseShared {
            streams: STREAMS_PER_CONNECTION,
        },
        Transport::LongPoll,
        Transport::Poll {
            interval: POLL_INTERVAL,
        },
    ];
}

/// A name that no transport has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?}: accepted is websocket, sse, sse-h2, long-poll or poll")]
pub struct UnknownTransport(String);

impl FromStr for Transport {
    type Err = UnknownTransport;

    fn from_str(name: &str) -> Result<Transport, UnknownTransport> {
        let known = Transport::ALL.into_iter().find(|each| each.name() == name);
        known.ok_or_else(|| UnknownTransport(name.to_owned()))
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Credentials {
    pub(crate) fn new(token: Option<&str>) -> Credentials {
        Credentials(token.map(|token| format!("Bearer {token}")))
    }

    /// The value of the header.
    pub(crate) fn value(&self) -> Option<&str> {
        self.0.as_deref()
    }

    /// The header as a line, or nothing.
    pub(crate) fn line(&self) -> String {
        match &self.0 {
            Some(value) => format!("Authorization: {value}\r\n"),
            None => String::new(),
        }
    }
}

/// Half of what a gateway allows by default.
const STREAMS_PER_CONNECTION: usize = 100;
const POLL_INTERVAL: Duration = Duration::from_secs(1);

#[cfg(test)]
pub(crate) mod rehearsal {
    //! A subscriber without a network: what it sends, counts and says.

    use crate::protocol::{Exchange, Fault, Seat, Signals, Subscriber};

    pub(crate) struct Rehearsal {
        pub(crate) subscriber: Box<dyn Subscriber>,
        pub(crate) payload: Vec<u8>,
        pub(crate) sent: Vec<u8>,
        pub(crate) signals: Signals,
    }

    pub(crate) fn seat(resumes: bool) -> Seat {
        Seat {
            index: 3,
            topic: "bench.0".into(),
            authority: "localhost:8443".into(),
            resumes,
        }
    }

    impl Rehearsal {
        pub(crate) fn new(subscriber: Box<dyn Subscriber>) -> Rehearsal {
            let mut rehearsal = Rehearsal {
                subscriber,
                payload: Vec::new(),
                sent: Vec::new(),
                signals: Signals::default(),
            };
            rehearsal.open();
            rehearsal
        }

        pub(crate) fn open(&mut self) {
            self.signals = Signals::default();
            let mut exchange = Exchange::new(&mut self.payload, &mut self.sent, &mut self.signals);
            self.subscriber.open(&mut exchange);
        }

        pub(crate) fn receive(&mut self, input: &[u8]) -> Result<(), Fault> {
            let mut exchange = Exchange::new(&mut self.payload, &mut self.sent, &mut self.signals);
            self.subscriber.receive(input, &mut exchange)
        }

        pub(crate) fn wake(&mut self) {
            let mut exchange = Exchange::new(&mut self.payload, &mut self.sent, &mut self.signals);
            self.subscriber.wake(&mut exchange);
        }

        /// What was sent since the last call, as text.
        pub(crate) fn sent(&mut self) -> String {
            String::from_utf8(std::mem::take(&mut self.sent)).unwrap()
        }

        pub(crate) fn payload(&mut self) -> String {
            String::from_utf8(std::mem::take(&mut self.payload)).unwrap()
        }
    }
}
