//! The three ways to carry a session, as one kind of connection.
//!
//! Shape: `connect` opens one connection and `Connection::next` yields its frames until it ends. Nothing here
//! reconnects, resumes or drops repeats: that is the subscription's part. Dropping a connection cuts it.
//! Unit: frames. Bound: one frame at most `FRAME_MAX` bytes; a poll answer at most `poll::ANSWER_MAX`.
//! Failure: the end of a connection is always an error that says why.
//! Source: protocol section 3.

pub(crate) mod poll;
pub(crate) mod sse;
pub(crate) mod websocket;

use std::{collections::VecDeque, fmt, time::Duration};

use tidewire_protocol::{Bye, Gap, Hello, ReceivedEvent};

use crate::{error::ClientError, gateway::Gateway, request::Request};

/// What carries a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// `GET /ws`.
    WebSocket,
    /// `GET /sse`.
    Sse,
    /// `GET /poll`, again and again.
    Poll,
}

impl Transport {
    /// All transports, in the order in which they are tried.
    pub const ALL: [Transport; 3] = [Transport::WebSocket, Transport::Sse, Transport::Poll];
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Transport::WebSocket => "websocket",
            Transport::Sse => "sse",
            Transport::Poll => "poll",
        })
    }
}

/// Which transport a subscription may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TransportChoice {
    /// WebSocket; SSE when that does not prove itself; then long-poll.
    #[default]
    Auto,
    /// WebSocket only.
    WebSocket,
    /// SSE only.
    Sse,
    /// Long-poll only.
    Poll,
}

impl From<Transport> for TransportChoice {
    fn from(transport: Transport) -> TransportChoice {
        match transport {
            Transport::WebSocket => TransportChoice::WebSocket,
            Transport::Sse => TransportChoice::Sse,
            Transport::Poll => TransportChoice::Poll,
        }
    }
}

/// What a connection yields.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Frame {
    /// The session is open. First on each connection.
    Hello(Opened),
    /// One event.
    Event(ReceivedEvent),
    /// Events that can no longer be delivered.
    Gap(Gap),
    /// A heartbeat, or the end of a poll answer: all that matched up to this cursor was delivered.
    Heartbeat {
        /// A safe place to resume.
        cursor: String,
    },
    /// The pause that the gateway wants before the next connection.
    Retry(Duration),
    /// The gateway is about to end the session.
    Bye {
        /// The close code.
        code: u16,
        /// In words.
        reason: String,
        /// The pause before the next connection.
        retry: Option<Duration>,
    },
    /// Bytes came that say nothing but that the peer is there.
    Alive,
}

/// How a session opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The session's name; long-poll has none.
    pub session: Option<String>,
    /// A safe place to resume, if one is known before the first event. Only a long-poll that starts with
    /// old events has none.
    pub cursor: Option<String>,
    /// A cursor was given and nothing was lost.
    pub resumed: bool,
    /// The gateway is never silent for longer, unless something is wrong.
    pub heartbeat: Duration,
}

impl From<Hello> for Opened {
    fn from(hello: Hello) -> Opened {
        Opened {
            session: Some(hello.session),
            cursor: Some(hello.cursor),
            resumed: hello.resumed,
            heartbeat: Duration::from_millis(hello.heartbeat_ms),
        }
    }
}

impl From<Bye> for Frame {
    fn from(bye: Bye) -> Frame {
        Frame::Bye {
            code: bye.code,
            reason: bye.reason,
            retry: bye.retry_ms.map(Duration::from_millis),
        }
    }
}

/// One open connection.
#[derive(Debug)]
pub struct Connection {
    carrier: Carrier,
    /// Frames that were read while the connection proved itself.
    ahead: VecDeque<Frame>,
}

#[derive(Debug)]
enum Carrier {
    WebSocket(Box<websocket::Socket>),
    Sse(Box<sse::EventStream>),
    Poll(Box<poll::Poller>),
}

/// Opens a connection over the transport. An HTTP refusal is an error; everything later comes from `next`.
pub(crate) async fn connect(
    gateway: &Gateway,
    transport: Transport,
    request: &Request,
) -> Result<Connection, ClientError> {
    let carrier = match transport {
        Transport::WebSocket => {
            Carrier::WebSocket(Box::new(websocket::Socket::open(gateway, request).await?))
        }
        Transport::Sse => Carrier::Sse(Box::new(sse::EventStream::open(gateway, request).await?)),
        Transport::Poll => Carrier::Poll(Box::new(poll::Poller::open(gateway, request).await?)),
    };
    Ok(Connection {
        carrier,
        ahead: VecDeque::new(),
    })
}

impl Connection {
    /// What carries it.
    pub fn transport(&self) -> Transport {
        match self.carrier {
            Carrier::WebSocket(_) => Transport::WebSocket,
            Carrier::Sse(_) => Transport::Sse,
            Carrier::Poll(_) => Transport::Poll,
        }
    }

    /// The next frame.
    ///
    /// # Errors
    /// Why the connection ended; it yields nothing afterwards.
    ///
    /// # Cancel safety
    /// A dropped call loses no frame.
    pub async fn next(&mut self) -> Result<Frame, ClientError> {
        match self.ahead.pop_front() {
            Some(frame) => Ok(frame),
            None => self.read().await,
        }
    }

    /// Ends the connection in order, where the transport has a way to say so. Dropping it cuts it.
    pub async fn close(self) {
        if let Carrier::WebSocket(socket) = self.carrier {
            socket.close().await;
        }
    }

    /// Waits for what shows that this transport delivers here. Having opened shows nothing: a proxy that
    /// buffers lets a stream open and keeps what comes. One that holds each chunk back until the
    /// next lets `hello` through, therefore SSE needs a second frame.
    pub(crate) async fn prove(&mut self) -> Result<(), ClientError> {
        let needed = match self.carrier {
            Carrier::WebSocket(_) | Carrier::Poll(_) => 1,
            Carrier::Sse(_) => 2,
        };
        let mut proofs = 0;
        while proofs < needed {
            let frame = self.read().await?;
            match frame {
                Frame::Hello(_) | Frame::Event(_) | Frame::Gap(_) | Frame::Heartbeat { .. } => {
                    proofs += 1;
                }
                // Whoever says goodbye does deliver; the end that follows says the rest.
                Frame::Bye { .. } => proofs = needed,
                Frame::Retry(_) | Frame::Alive => {}
            }
            self.ahead.push_back(frame);
        }
        Ok(())
    }

    async fn read(&mut self) -> Result<Frame, ClientError> {
        match &mut self.carrier {
            Carrier::WebSocket(socket) => socket.next().await,
            Carrier::Sse(stream) => stream.next().await,
            Carrier::Poll(poller) => poller.next().await,
        }
    }
}

/// The longest frame that the client takes: far above any event, far below what hurts.
pub(crate) const FRAME_MAX: usize = 16 * 1024 * 1024;
