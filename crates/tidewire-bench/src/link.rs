//! One connection to the server under load, as cheap as it can be: the generator shares the machine with the server.
//!
//! Shape: a non-blocking socket, TLS 1.3 below it without buffers of its own (rustls' unbuffered interface), polled by
//! whoever owns it. All connections of a thread read into the same scratch space; a connection keeps an incomplete
//! record and what the socket has not taken yet, nothing else.
//! Unit: bytes. Those of the wire are counted under TLS.
//! Bound: one read takes at most [`SCRATCH_BYTES`]. Failure: any error or end is one [`Fault`].

use std::{
    cell::RefCell,
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, ready},
};

use rustls::{
    client::UnbufferedClientConnection,
    unbuffered::{
        ConnectionState, EncodeError, EncryptError, InsufficientSizeError, UnbufferedStatus,
    },
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpSocket, TcpStream},
};

use crate::{protocol::Fault, target::Target};

/// A connection and what is on its way.
pub(crate) struct Link {
    tcp: TcpStream,
    tls: Option<Box<UnbufferedClientConnection>>,
    is_open: bool,
    /// An incomplete record.
    rest: Vec<u8>,
    /// Bytes for the socket.
    wire: Vec<u8>,
    /// Bytes that were read since somebody looked.
    pub(crate) bytes_in: u64,
    /// Bytes that were written since somebody looked.
    pub(crate) bytes_out: u64,
}

/// Who owns a link: it is told what happens and leaves what is to be sent.
pub(crate) trait Owner {
    /// The handshake is done.
    fn opened(&mut self, out: &mut Vec<u8>);

    /// Bytes have come.
    fn received(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Fault>;
}

impl Link {
    /// Connects; the TLS handshake happens while it is polled.
    pub(crate) async fn connect(
        target: &Target,
        source: Option<SocketAddr>,
    ) -> Result<Link, Fault> {
        let tcp = connect(target, source).await?;
        let tls = match &target.tls {
            Some(tls) => {
                let connection =
                    UnbufferedClientConnection::new(tls.config.clone(), tls.name.clone());
                Some(Box::new(connection.map_err(broken)?))
            }
            None => None,
        };
        Ok(Link {
            tcp,
            tls,
            is_open: false,
            rest: Vec::new(),
            wire: Vec::new(),
            bytes_in: 0,
            bytes_out: 0,
        })
    }

    /// Sends `out`, reads what is there and tells the owner. Pending until it ends.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Vec<u8>,
        owner: &mut dyn Owner,
    ) -> Poll<Fault> {
        SCRATCH.with_borrow_mut(|scratch| match self.drive(cx, scratch, out, owner) {
            Poll::Ready(Ok(never)) => match never {},
            Poll::Ready(Err(fault)) => Poll::Ready(fault),
            Poll::Pending => Poll::Pending,
        })
    }

    fn drive(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut [u8],
        out: &mut Vec<u8>,
        owner: &mut dyn Owner,
    ) -> Poll<Result<std::convert::Infallible, Fault>> {
        if !self.is_open || !out.is_empty() {
            let mut rest = std::mem::take(&mut self.rest);
            let used = self.process(&mut rest, out, owner)?;
            rest.drain(..used);
            self.rest = rest;
        }
        loop {
            self.flush(cx)?;
            let kept = self.rest.len();
            scratch[..kept].copy_from_slice(&self.rest);
            let mut buffer = ReadBuf::new(&mut scratch[kept..]);
            let read = Pin::new(&mut self.tcp).poll_read(cx, &mut buffer);
            ready!(read).map_err(broken)?;
            let count = buffer.filled().len();
            if count == 0 {
                return Poll::Ready(Err(Fault::Ended("end of the connection".into())));
            }
            self.bytes_in += count as u64;
            let received = &mut scratch[..kept + count];
            let used = self.process(received, out, owner)?;
            self.rest.clear();
            self.rest.extend_from_slice(&received[used..]);
            if self.rest.is_empty() && self.rest.capacity() > KEPT_BYTES {
                self.rest = Vec::new();
            }
        }
    }

    /// Takes what is complete in `received` and makes bytes for the wire of `out`. The answer is how much was taken.
    fn process(
        &mut self,
        received: &mut [u8],
        out: &mut Vec<u8>,
        owner: &mut dyn Owner,
    ) -> Result<usize, Fault> {
        let Some(tls) = &mut self.tls else {
            if !self.is_open {
                self.is_open = true;
                owner.opened(out);
            }
            if !received.is_empty() {
                owner.received(received, out)?;
            }
            self.wire.append(out);
            return Ok(received.len());
        };
        let mut used = 0;
        loop {
            let UnbufferedStatus { mut discard, state } =
                tls.process_tls_records(&mut received[used..]);
            let mut waits = false;
            match state.map_err(broken)? {
                ConnectionState::ReadTraffic(mut traffic) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record.map_err(broken)?;
                        discard += record.discard;
                        owner.received(record.payload, out)?;
                    }
                }
                ConnectionState::EncodeTlsData(mut handshake) => {
                    append(&mut self.wire, 0, |space| match handshake.encode(space) {
                        Ok(count) => Ok(count),
                        Err(EncodeError::InsufficientSize(size)) => Err(Some(size)),
                        Err(EncodeError::AlreadyEncoded) => Err(None),
                    })?;
                }
                ConnectionState::TransmitTlsData(transmit) => transmit.done(),
                ConnectionState::WriteTraffic(mut traffic) => {
                    if !self.is_open {
                        self.is_open = true;
                        owner.opened(out);
                    }
                    if !out.is_empty() {
                        append(&mut self.wire, out.len(), |space| {
                            match traffic.encrypt(out, space) {
                                Ok(count) => Ok(count),
                                Err(EncryptError::InsufficientSize(size)) => Err(Some(size)),
                                Err(EncryptError::EncryptExhausted) => Err(None),
                            }
                        })?;
                        out.clear();
                    }
                    waits = true;
                }
                ConnectionState::BlockedHandshake => waits = true,
                ConnectionState::PeerClosed | ConnectionState::Closed => {
                    return Err(Fault::Ended("end of the connection".into()));
                }
                other => return Err(Fault::NotUnderstood(format!("TLS: {other:?}"))),
            }
            used += discard;
            if waits {
                return Ok(used);
            }
        }
    }

    /// Writes what the socket takes. What it does not take is tried again when it can.
    fn flush(&mut self, cx: &mut Context<'_>) -> Result<(), Fault> {
        let mut sent = 0;
        while sent < self.wire.len() {
            match Pin::new(&mut self.tcp).poll_write(cx, &self.wire[sent..]) {
                Poll::Ready(Ok(count)) => sent += count,
                Poll::Ready(Err(error)) => return Err(broken(error)),
                Poll::Pending => break,
            }
        }
        self.bytes_out += sent as u64;
        self.wire.drain(..sent);
        if self.wire.is_empty() && self.wire.capacity() > KEPT_BYTES {
            self.wire = Vec::new();
        }
        Ok(())
    }
}

/// A connected socket without delay, from the given address.
pub(crate) async fn connect(
    target: &Target,
    source: Option<SocketAddr>,
) -> Result<TcpStream, Fault> {
    let socket = if target.address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    };
    let socket = socket.map_err(broken)?;
    if let Some(source) = source {
        socket.bind(source).map_err(broken)?;
    }
    let tcp = socket.connect(target.address).await.map_err(broken)?;
    tcp.set_nodelay(true).map_err(broken)?;
    Ok(tcp)
}

/// Adds to `wire` what `encode` writes, with as much space as it asks for.
fn append(
    wire: &mut Vec<u8>,
    guess: usize,
    mut encode: impl FnMut(&mut [u8]) -> Result<usize, Option<InsufficientSizeError>>,
) -> Result<(), Fault> {
    let start = wire.len();
    let mut space = guess + RECORD_OVERHEAD_BYTES;
    loop {
        wire.resize(start + space, 0);
        match encode(&mut wire[start..]) {
            Ok(count) => {
                wire.truncate(start + count);
                return Ok(());
            }
            Err(Some(size)) if size.required_size > space => space = size.required_size,
            Err(_) => return Err(Fault::Connection("TLS cannot send more".into())),
        }
    }
}

fn broken(error: impl std::fmt::Display) -> Fault {
    Fault::Connection(error.to_string())
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Fault {
        broken(error)
    }
}

/// What one read may take, and an incomplete record before it.
const SCRATCH_BYTES: usize = 128 * 1024;
/// Above this, a buffer is given back when it is empty.
const KEPT_BYTES: usize = 4 * 1024;
/// Enough for one record's head and tag.
const RECORD_OVERHEAD_BYTES: usize = 64;

thread_local! {
    /// Shared by all connections of a thread: nothing in it outlives one poll.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH_BYTES]);
}
