//! What a server under load speaks: the part that differs from server to server.
//!
//! Shape: state machines over bytes. A [`Protocol`] makes one [`Subscriber`] for each seat, a [`Publishing`] one
//! [`Publisher`] for each publisher. They are given bytes in any split and leave bytes to send; connections, TLS, clocks,
//! counting and pauses are the generator's, the same for every server.
//! Unit: plain bytes above TLS. Bound: what a machine keeps between two calls is one incomplete unit (frame, block, head).
//! Failure: a [`Fault`] ends the connection. The generator counts it and connects again; the machine knows where it was.

use std::time::Duration;

/// One transport of one server.
pub trait Protocol: Send + Sync {
    /// The server, such as `Tidewire`.
    fn server(&self) -> &str;

    /// The transport, such as `websocket`.
    fn transport(&self) -> &str;

    /// What carries a subscriber. By default a connection of its own.
    fn carrier(&self) -> Carrier {
        Carrier::Connection
    }

    /// A subscriber before its first connection.
    fn subscriber(&self, seat: &Seat) -> Box<dyn Subscriber>;
}

/// What carries subscribers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// A connection for each: bytes go through [`Subscriber::open`] and [`Subscriber::receive`].
    Connection,
    /// Streams of shared HTTP/2 connections: what is asked comes from [`Subscriber::request`], and
    /// [`Subscriber::receive`] is given the body of the answer.
    Streams {
        /// Subscribers on one connection.
        per_connection: usize,
    },
}

/// Which subscriber it is.
#[derive(Debug, Clone)]
pub struct Seat {
    /// Its number among those of its transport, from 0.
    pub index: usize,
    /// The topic that it takes.
    pub topic: String,
    /// What a `Host` header says.
    pub authority: String,
    /// It will be cut and must go on where it was: count nothing that is incomplete, and remember the place.
    pub resumes: bool,
}

/// One subscriber over all its connections.
pub trait Subscriber {
    /// A connection stands (TLS included): the first bytes to send.
    fn open(&mut self, exchange: &mut Exchange<'_>);

    /// Bytes have come, in any split.
    ///
    /// # Errors
    /// The server refused, ended it, or said what cannot be understood. The connection is dropped and made anew.
    fn receive(&mut self, input: &[u8], exchange: &mut Exchange<'_>) -> Result<(), Fault>;

    /// The pause that [`Exchange::wake_after`] asked for is over.
    fn wake(&mut self, exchange: &mut Exchange<'_>) {
        let _ = exchange;
    }

    /// What to ask for on a stream of a shared HTTP/2 connection; asked again for each new stream.
    fn request(&mut self) -> Option<http::Request<()>> {
        None
    }
}

/// What a subscriber does with what came.
pub struct Exchange<'a> {
    sink: &'a mut dyn Sink,
    out: &'a mut Vec<u8>,
    signals: &'a mut Signals,
}

/// Where the bytes of payloads go; markers are found in them.
pub trait Sink {
    /// Bytes that follow those of the last call.
    fn payload(&mut self, bytes: &[u8]);
}

/// What a subscriber said beside payloads, since it was last looked at.
#[derive(Debug, Default)]
pub struct Signals {
    /// The subscription stands.
    pub ready: bool,
    /// Gaps that the server told.
    pub gaps: u64,
    /// Wake it after this pause.
    pub wake_after: Option<Duration>,
}

impl<'a> Exchange<'a> {
    /// An exchange over these parts.
    pub fn new(
        sink: &'a mut dyn Sink,
        out: &'a mut Vec<u8>,
        signals: &'a mut Signals,
    ) -> Exchange<'a> {
        Exchange { sink, out, signals }
    }

    /// Looks for markers in these bytes. Bytes of frames, heads and heartbeats may be among them, as long as no marker
    /// is torn by them.
    pub fn payload(&mut self, bytes: &[u8]) {
        self.sink.payload(bytes);
    }

    /// Where bytes to send are added.
    pub fn out(&mut self) -> &mut Vec<u8> {
        self.out
    }

    /// The subscription stands: events that are published from now on come.
    pub fn ready(&mut self) {
        self.signals.ready = true;
    }

    /// The server told that events are lost.
    pub fn gap(&mut self) {
        self.signals.gaps += 1;
    }

    /// Asks for a call of [`Subscriber::wake`]; a later call replaces an earlier one.
    pub fn wake_after(&mut self, pause: Duration) {
        self.signals.wake_after = Some(pause);
    }
}

impl Sink for Vec<u8> {
    fn payload(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// One way of publishing to one server.
pub trait Publishing: Send + Sync {
    /// How it publishes, in words for the report, such as `POST, one at a time`.
    fn describe(&self) -> String;

    /// A publisher before its connection.
    fn publisher(&self, seat: &PublisherSeat) -> Box<dyn Publisher>;
}

/// Which publisher it is.
#[derive(Debug, Clone)]
pub struct PublisherSeat {
    /// Its number, from 0.
    pub index: usize,
    /// What a `Host` header says.
    pub authority: String,
}

/// One publisher on one connection.
pub trait Publisher {
    /// How many events may be sent before the first is answered: 1 for one request at a time.
    fn depth(&self) -> usize;

    /// The connection stands: the first bytes to send.
    fn open(&mut self, dispatch: &mut Dispatch<'_>);

    /// One event to publish.
    fn publish(&mut self, topic: &str, payload: &[u8], dispatch: &mut Dispatch<'_>);

    /// Bytes have come, in any split.
    ///
    /// # Errors
    /// The server ended it or said what cannot be understood. The run ends with it.
    fn receive(&mut self, input: &[u8], dispatch: &mut Dispatch<'_>) -> Result<(), Fault>;
}

/// What a publisher does with what came.
pub struct Dispatch<'a> {
    out: &'a mut Vec<u8>,
    answers: &'a mut Answers,
}

/// What a publisher was answered, since it was last looked at.
#[derive(Debug, Default)]
pub struct Answers {
    /// It may publish.
    pub ready: bool,
    /// Outcomes in the order of publishing: true for accepted, and how often.
    pub outcomes: Vec<(bool, u64)>,
    /// The longest pause that a refusal asked for.
    pub retry_after: Option<Duration>,
}

impl<'a> Dispatch<'a> {
    /// A dispatch over these parts.
    pub fn new(out: &'a mut Vec<u8>, answers: &'a mut Answers) -> Dispatch<'a> {
        Dispatch { out, answers }
    }

    /// Where bytes to send are added.
    pub fn out(&mut self) -> &mut Vec<u8> {
        self.out
    }

    /// It may publish.
    pub fn ready(&mut self) {
        self.answers.ready = true;
    }

    /// The oldest unanswered events were taken. Where nothing is acknowledged, call it when they are sent.
    pub fn accepted(&mut self, count: u64) {
        self.answer(true, count);
    }

    /// The oldest unanswered event was refused, for a time.
    pub fn refused(&mut self, retry_after: Option<Duration>) {
        self.answer(false, 1);
        self.answers.retry_after = self.answers.retry_after.max(retry_after);
    }

    fn answer(&mut self, taken: bool, count: u64) {
        match self.answers.outcomes.last_mut() {
            Some(last) if last.0 == taken => last.1 += count,
            _ => self.answers.outcomes.push((taken, count)),
        }
    }
}

/// Why a connection ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The server does not want it, now or at all. It is tried again after a pause.
    #[error("refused with status {status}{}{why}", if why.is_empty() { "" } else { ": " })]
    Refused {
        /// The status code of HTTP.
        status: u16,
        /// What the server said.
        why: String,
    },
    /// The server ended it.
    #[error("ended by the server: {0}")]
    Ended(String),
    /// The connection broke, or could not be made.
    #[error("{0}")]
    Connection(String),
    /// The server said what this generator does not understand.
    #[error("not understood: {0}")]
    NotUnderstood(String),
}
