//! TLS without I/O: ciphertext in, plaintext out, and the other way round.
//!
//! Shape: rustls' unbuffered connection and the three rests that may be left between two polls.
//! Bound: `rest` is shorter than [`INCOMING_BYTES`](super::scratch::INCOMING_BYTES); `plain` holds the records of one read,
//! since nothing is read while it waits; `outgoing` holds one write and the alerts and tickets around it.
//! Failure: after a failure rustls is asked nothing more but for the alert.
//! Source: rustls, `unbuffered`: the bytes that it did not discard must be given again, changed as it left them, because a
//! handshake message in several records is decrypted and joined in place.

use std::{io, mem, sync::Arc};

use bytes::{Buf, BytesMut};
use rustls::{
    ServerConfig,
    server::{ServerConnectionData, UnbufferedServerConnection},
    unbuffered::{
        ConnectionState, EncodeError, EncodeTlsData, EncryptError, InsufficientSizeError,
        WriteTraffic,
    },
};
use tokio::io::ReadBuf;

/// One connection's TLS.
pub(super) struct Records {
    connection: UnbufferedServerConnection,
    /// Ciphertext that is no whole message yet.
    rest: Vec<u8>,
    /// Plaintext for which the reader had no room.
    plain: BytesMut,
    /// Ciphertext that the socket has not taken.
    outgoing: BytesMut,
    /// The peer has said that it sends no more.
    ended: bool,
    /// How the peer broke the protocol.
    failure: Option<rustls::Error>,
    /// We have said that we send no more.
    closed: bool,
}

impl Records {
    pub(super) fn new(config: Arc<ServerConfig>) -> io::Result<Self> {
        Ok(Self {
            connection: UnbufferedServerConnection::new(config).map_err(invalid)?,
            rest: Vec::new(),
            plain: BytesMut::new(),
            outgoing: BytesMut::new(),
            ended: false,
            failure: None,
            closed: false,
        })
    }

    pub(super) fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// What both sides have agreed to speak.
    pub(super) fn alpn(&self) -> Option<&[u8]> {
        self.connection.alpn_protocol()
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Nothing can be received any more.
    ///
    /// # Errors
    /// The peer broke the protocol.
    pub(super) fn check(&self) -> io::Result<()> {
        match &self.failure {
            Some(failure) => Err(invalid(failure.clone())),
            None => Ok(()),
        }
    }

    /// What must stand before the next bytes from the socket.
    pub(super) fn rest(&self) -> &[u8] {
        &self.rest
    }

    /// Memory that is held for bytes on their way.
    #[cfg(test)]
    pub(super) fn buffered(&self) -> usize {
        self.rest.capacity() + self.plain.capacity() + self.outgoing.capacity()
    }

    /// What the socket is to take, oldest first.
    pub(super) fn outgoing(&self) -> &[u8] {
        &self.outgoing
    }

    /// The socket took so much of it.
    pub(super) fn sent(&mut self, bytes: usize) {
        consume(&mut self.outgoing, bytes);
    }

    /// The socket did not take these records.
    pub(super) fn wait(&mut self, records: &[u8]) {
        self.outgoing.extend_from_slice(records);
    }

    /// Gives plaintext that waits.
    pub(super) fn read(&mut self, into: &mut ReadBuf<'_>) {
        let bytes = self.plain.len().min(into.remaining());
        if bytes > 0 {
            into.put_slice(&self.plain[..bytes]);
            consume(&mut self.plain, bytes);
        }
    }

    /// Works through what has come: the rest, and more behind it. Plaintext goes to the reader, answers to `outgoing`.
    ///
    /// When the peer breaks the protocol, what came before is still given; then [`check`](Self::check) says so, and the
    /// alert waits in `outgoing`.
    ///
    /// # Errors
    /// rustls is in a state that it cannot be in.
    pub(super) fn receive(
        &mut self,
        incoming: &mut [u8],
        into: &mut ReadBuf<'_>,
    ) -> io::Result<()> {
        let mut used = 0;
        loop {
            let status = self.connection.process_tls_records(&mut incoming[used..]);
            let discard = status.discard;
            match status.state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let payload = record.map_err(invalid)?.payload;
                        let (now, later) = payload.split_at(payload.len().min(into.remaining()));
                        into.put_slice(now);
                        self.plain.extend_from_slice(later);
                    }
                }
                Ok(ConnectionState::EncodeTlsData(data)) => encode(data, &mut self.outgoing)?,
                // They are in `outgoing`, which goes out in order.
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::PeerClosed) => self.ended = true,
                Ok(
                    ConnectionState::BlockedHandshake
                    | ConnectionState::WriteTraffic(_)
                    | ConnectionState::Closed,
                ) => {
                    self.keep(&incoming[used + discard..]);
                    return Ok(());
                }
                // Early data is not offered.
                Ok(_) => return Err(unexpected()),
                Err(failure) => {
                    self.failure = Some(failure);
                    self.keep(&[]);
                    return self.collect_alert(&mut incoming[used + discard..]);
                }
            }
            used += discard;
        }
    }

    /// What rustls has to say after an error. It must not look at the records again, and does not while it has to say
    /// something.
    fn collect_alert(&mut self, incoming: &mut [u8]) -> io::Result<()> {
        while self.connection.wants_write() {
            match self.connection.process_tls_records(incoming).state {
                Ok(ConnectionState::EncodeTlsData(data)) => encode(data, &mut self.outgoing)?,
                _ => return Err(unexpected()),
            }
        }
        Ok(())
    }

    /// Keeps what is no whole message, and no byte of memory when there is none.
    fn keep(&mut self, rest: &[u8]) {
        if rest.is_empty() || self.ended {
            self.rest = Vec::new();
        } else {
            self.rest.clear();
            self.rest.extend_from_slice(rest);
        }
    }

    /// Encrypts all of this; gives how many bytes of `outgoing` it came to. Nothing may wait already.
    ///
    /// # Errors
    /// No more can be sent on this connection.
    pub(super) fn seal(&mut self, plain: &[u8], outgoing: &mut Vec<u8>) -> io::Result<usize> {
        if self.closed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let sealed = self.write(|mut traffic| {
            loop {
                match traffic.encrypt(plain, outgoing) {
                    Err(EncryptError::InsufficientSize(InsufficientSizeError {
                        required_size,
                    })) => outgoing.resize(required_size, 0),
                    sealed => return sealed,
                }
            }
        })?;
        if sealed.is_err() {
            // TLS 1.2 cannot change its keys: after 2^24 records rustls says goodbye.
            self.closed = true;
            let mut rest = mem::take(&mut self.rest);
            self.collect_alert(&mut rest)?;
        }
        sealed.map_err(broken)
    }

    /// Says that we send no more, once.
    ///
    /// # Errors
    /// rustls is in no state to write.
    pub(super) fn close(&mut self) -> io::Result<()> {
        if self.closed || self.failure.is_some() {
            return Ok(());
        }
        self.closed = true;
        let mut alert = [0; ALERT_BYTES];
        let said = self.write(|mut traffic| traffic.queue_close_notify(&mut alert))?;
        self.wait(&alert[..said.map_err(broken)?]);
        Ok(())
    }

    /// rustls writes only between two looks at the records. There is nothing new in the rest, but it must see it.
    fn write<T>(
        &mut self,
        write: impl FnOnce(WriteTraffic<'_, ServerConnectionData>) -> T,
    ) -> io::Result<T> {
        self.check()?;
        match self.connection.process_tls_records(&mut self.rest).state {
            Ok(ConnectionState::WriteTraffic(traffic)) => Ok(write(traffic)),
            Ok(ConnectionState::Closed) => Err(io::ErrorKind::BrokenPipe.into()),
            Ok(_) => Err(unexpected()),
            Err(failure) => {
                self.failure = Some(failure);
                self.check().and_then(|()| Err(unexpected()))
            }
        }
    }
}

fn encode<D>(mut data: EncodeTlsData<'_, D>, outgoing: &mut BytesMut) -> io::Result<()> {
    let start = outgoing.len();
    // The size is known only to rustls, which says it when there is no room.
    let size = match data.encode(&mut []) {
        Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size })) => {
            required_size
        }
        _ => return Err(unexpected()),
    };
    outgoing.resize(start + size, 0);
    data.encode(&mut outgoing[start..])
        .map_err(io::Error::other)?;
    Ok(())
}

/// Takes bytes from the front, and gives the memory back with the last of them.
fn consume(buffer: &mut BytesMut, bytes: usize) {
    buffer.advance(bytes);
    if buffer.is_empty() {
        *buffer = BytesMut::new();
    }
}

fn invalid(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

fn broken(error: EncryptError) -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, error)
}

fn unexpected() -> io::Error {
    io::Error::other("rustls is in a state that was ruled out")
}

/// A `close_notify`, and what may stand before it.
const ALERT_BYTES: usize = 256;
