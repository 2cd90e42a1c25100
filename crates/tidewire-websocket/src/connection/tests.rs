//! What goes over the wire, in how many writes, and what is held in between.

use std::collections::VecDeque;

use super::*;
use crate::{Codec, Role};

#[test]
fn a_connection_is_a_few_words() {
    let size = size_of::<Connection<()>>();
    assert!(size <= 168, "{size} bytes");
}

#[tokio::test]
async fn a_shared_frame_is_written_as_it_is() {
    let mut server = server(Wire::default());
    let frame = frame::text(b"shared");
    server.feed(frame.clone());
    server.flush().await.unwrap();
    assert_eq!(server.io.written, [frame.to_vec()]);
    assert_eq!(server.io.addresses, [frame.as_ptr() as usize]);
}

#[tokio::test]
async fn all_that_was_fed_is_one_write() {
    let mut server = server(Wire::default());
    let mut expected = Vec::new();
    for n in 0..300 {
        let payload = format!("event {n}");
        if n % 3 == 0 {
            server.feed_text(payload.as_bytes());
        } else {
            server.feed(frame::text(payload.as_bytes()));
        }
        expected.extend_from_slice(&frame::text(payload.as_bytes()));
    }
    assert_eq!(server.pending_bytes(), expected.len());
    server.flush().await.unwrap();
    assert_eq!(server.io.written, [expected]);
    assert_eq!(server.pending_bytes(), 0);
}

#[tokio::test]
async fn large_frames_are_handed_on_without_a_copy() {
    let mut server = server(Wire {
        takes_slices: true,
        ..Wire::default()
    });
    let frames = [vec![1; 5000], vec![2; 5000]].map(|payload| frame::binary(&payload));
    for frame in &frames {
        server.feed(frame.clone());
    }
    server.flush().await.unwrap();
    assert_eq!(server.io.written, [frames.concat()]);
    let addresses = frames.map(|frame| frame.as_ptr() as usize);
    assert_eq!(server.io.addresses, addresses);
}

#[tokio::test]
async fn a_wire_that_takes_little_gets_everything_in_order() {
    for (takes_slices, write_max, large) in
        [(false, 7, 300), (false, 999, 70_000), (true, 999, 70_000)]
    {
        let mut server = server(Wire {
            takes_slices,
            write_max,
            ..Wire::default()
        });
        let mut expected = Vec::new();
        for n in 0..100_u8 {
            let payload = vec![n; if n % 50 == 1 { large } else { usize::from(n) }];
            match n % 3 {
                0 => server.feed_binary(&payload),
                _ => server.feed(frame::binary(&payload)),
            }
            expected.extend_from_slice(&frame::binary(&payload));
        }
        server.flush().await.unwrap();
        assert!(
            server.io.written.concat() == expected,
            "{write_max} bytes a write"
        );
    }
}

#[tokio::test]
async fn a_connection_that_waits_holds_nothing() {
    let mut server = server(Wire::default());
    server.io.arrive(
        &[&client_text(b"a"), &client_text(b"b")]
            .map(Vec::as_slice)
            .concat(),
    );
    server.feed(frame::text(b"c"));
    server.feed_text(b"d");
    assert_eq!(
        server.receive().await.unwrap(),
        Message::Text("a".to_owned())
    );
    assert!(
        server.rest.capacity() < 100,
        "what was read is not kept whole"
    );
    assert_eq!(
        server.receive().await.unwrap(),
        Message::Text("b".to_owned())
    );
    server.flush().await.unwrap();
    assert_eq!(server.rest.capacity(), 0);
    assert!(server.outgoing.holds_nothing());
    assert_eq!(server.codec.held_bytes(), 0);
}

#[tokio::test]
async fn pings_of_one_read_have_one_pong_for_the_newest() {
    let mut server = server(Wire::default());
    server
        .io
        .arrive(&[client_ping(b"1"), client_ping(b"2"), client_ping(b"3")].concat());
    server.io.arrive(&client_text(b"x"));
    for payload in ["1", "2", "3"] {
        let expected = Message::Ping(payload.into());
        assert_eq!(server.receive().await.unwrap(), expected);
    }
    server.receive().await.unwrap();
    assert_eq!(server.io.written, [frame::pong(b"3").to_vec()]);
}

#[tokio::test]
async fn a_pong_goes_out_with_the_events_that_wait() {
    let mut server = server(Wire::default());
    server.io.arrive(&client_ping(b"p"));
    server.receive().await.unwrap();
    server.feed(frame::text(b"event"));
    server.flush().await.unwrap();
    let expected = [frame::text(b"event"), frame::pong(b"p")].concat();
    assert_eq!(server.io.written, [expected]);
}

/// Goal: a peer that floods and never reads makes nothing grow. Method: a wire that takes no byte, a million pings.
#[tokio::test]
async fn a_million_pings_without_a_reader_hold_one_pong() {
    let mut server = server(Wire {
        write_max: 0,
        ..Wire::default()
    });
    let flood = client_ping(&[b'p'; 125]).repeat(1000);
    for _ in 0..1000 {
        server.io.arrive(&flood);
        for _ in 0..1000 {
            server.receive().await.unwrap();
        }
    }
    assert!(server.pending_bytes() <= 127, "{}", server.pending_bytes());
    server.io.arrive(&client_ping(b"last"));
    server.receive().await.unwrap();
    server.io.write_max = usize::MAX;
    server.flush().await.unwrap();
    let expected = [frame::pong(&[b'p'; 125]), frame::pong(b"last")].concat();
    assert_eq!(server.io.written.concat(), expected);
}

#[tokio::test]
async fn a_client_masks_what_it_is_fed() {
    let mut client = Connection::new(Wire::default(), Bytes::new(), settings(Role::Client));
    let shared = [frame::text(b"one"), frame::binary(&[7; 300])].concat();
    client.feed(shared.into());
    client.feed_text(b"three");
    client.flush().await.unwrap();
    let mut bytes = client.io.written.concat();
    let mut server = Codec::new(settings(Role::Server));
    let mut messages = Vec::new();
    let mut used = 0;
    while used < bytes.len() {
        let decoded = server.decode(&mut bytes[used..]).unwrap();
        used += decoded.used;
        messages.extend(decoded.message);
    }
    let expected = [
        Message::Text("one".to_owned()),
        Message::Binary(vec![7; 300].into()),
        Message::Text("three".to_owned()),
    ];
    assert_eq!(messages, expected);
}

#[tokio::test]
async fn a_violation_is_told_with_its_code_behind_the_last_words() {
    let mut server = server(Wire::default());
    server.feed(frame::text(b"before"));
    server.io.arrive(&frame::text(b"unmasked"));
    let ended = server.receive().await.unwrap_err();
    assert!(matches!(
        ended,
        Ended::Violation(Violation { code: 1002, .. })
    ));
    server.feed(frame::text(b"last words"));
    server.io.arrive(b"whatever");
    server.io.is_at_end = true;
    server.finish().await.unwrap();
    let expected = [
        frame::text(b"before"),
        frame::text(b"last words"),
        frame::close(1002, "a frame without a mask"),
    ]
    .concat();
    assert_eq!(server.io.written, [expected]);
    assert!(server.io.is_shut_down);
    assert!(server.io.arrived.is_empty());
}

#[tokio::test]
async fn a_close_is_answered_with_its_code_once() {
    for payload in [&[][..], b"\x0f\xa0bye"] {
        let mut server = server(Wire::default());
        server.io.arrive(&client_frame(Opcode::Close, payload));
        let ended = server.receive().await.unwrap_err();
        assert!(matches!(ended, Ended::Closed(_)));
        server.close(1000, "too late");
        server.flush().await.unwrap();
        let answer = frame::whole(Opcode::Close, false, &payload[..payload.len().min(2)]);
        assert_eq!(server.io.written, [answer.to_vec()]);
        let again = server.receive().await.unwrap_err();
        assert!(matches!(again, Ended::Io(_)));
    }
}

#[tokio::test]
async fn after_our_close_reading_goes_on_to_the_answer() {
    let mut server = server(Wire::default());
    server.close(4203, "drain");
    server.feed_text(b"not any more");
    server.io.arrive(&client_ping(b"?"));
    server.io.arrive(&client_text(b"still on its way"));
    server.io.arrive(&client_frame(Opcode::Close, b"\x10\x6b"));
    assert!(matches!(server.receive().await, Ok(Message::Ping(_))));
    assert!(matches!(server.receive().await, Ok(Message::Text(_))));
    let ended = server.receive().await.unwrap_err();
    assert!(matches!(ended, Ended::Closed(Close { code: 4203, .. })));
    server.flush().await.unwrap();
    assert_eq!(server.io.written.concat(), frame::close(4203, "drain"));
}

#[tokio::test]
async fn a_cut_is_not_a_close() {
    let mut server = server(Wire {
        is_at_end: true,
        ..Wire::default()
    });
    match server.receive().await.unwrap_err() {
        Ended::Io(error) => assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn what_was_read_behind_the_handshake_comes_first() {
    let mut wire = Wire::default();
    let bytes = client_text(b"hello");
    wire.arrive(&bytes[4..]);
    let leftover = Bytes::copy_from_slice(&bytes[..4]);
    let mut server = Connection::new(wire, leftover, settings(Role::Server));
    assert_eq!(
        server.receive().await.unwrap(),
        Message::Text("hello".to_owned())
    );
}

#[tokio::test]
async fn a_dropped_receive_loses_nothing() {
    let (near, mut far) = tokio::io::duplex(64);
    let mut server = Connection::new(near, Bytes::new(), settings(Role::Server));
    for byte in client_text(b"slowly") {
        assert!(poll_once(&mut server).await.is_none());
        tokio::io::AsyncWriteExt::write_all(&mut far, &[byte])
            .await
            .unwrap();
    }
    assert_eq!(
        server.receive().await.unwrap(),
        Message::Text("slowly".to_owned())
    );
}

async fn poll_once<T: AsyncRead + AsyncWrite + Unpin>(
    connection: &mut Connection<T>,
) -> Option<Message> {
    tokio::select! {
        biased;
        message = connection.receive() => Some(message.unwrap()),
        () = std::future::ready(()) => None,
    }
}

/// A peer in memory: what arrives is given piece by piece, each write is written down.
#[derive(Debug)]
struct Wire {
    arrived: VecDeque<Vec<u8>>,
    /// Nothing comes after what arrived.
    is_at_end: bool,
    written: Vec<Vec<u8>>,
    /// Where the written slices lay.
    addresses: Vec<usize>,
    write_max: usize,
    takes_slices: bool,
    is_shut_down: bool,
}

impl Default for Wire {
    fn default() -> Self {
        Self {
            arrived: VecDeque::new(),
            is_at_end: false,
            written: Vec::new(),
            addresses: Vec::new(),
            write_max: usize::MAX,
            takes_slices: false,
            is_shut_down: false,
        }
    }
}

impl Wire {
    fn arrive(&mut self, bytes: &[u8]) {
        self.arrived
            .extend(bytes.chunks(READ_MAX).map(<[u8]>::to_vec));
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.arrived.pop_front() {
            Some(bytes) => buffer.put_slice(&bytes),
            None if self.is_at_end => {}
            None => return Poll::Pending,
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.write_max == 0 {
            return Poll::Pending;
        }
        let addresses = slices.iter().map(|slice| slice.as_ptr() as usize);
        self.addresses.extend(addresses);
        let mut bytes: Vec<u8> = slices
            .iter()
            .flat_map(|slice| slice.iter().copied())
            .collect();
        bytes.truncate(self.write_max);
        self.written.push(bytes);
        Poll::Ready(Ok(self.written.last().map_or(0, Vec::len)))
    }

    fn is_write_vectored(&self) -> bool {
        self.takes_slices
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.is_shut_down = true;
        Poll::Ready(Ok(()))
    }
}

fn server(wire: Wire) -> Connection<Wire> {
    Connection::new(wire, Bytes::new(), settings(Role::Server))
}

fn settings(role: Role) -> Settings {
    Settings {
        role,
        message_max_bytes: 64 * 1024,
        deflate: None,
    }
}

fn client_text(payload: &[u8]) -> Vec<u8> {
    client_frame(Opcode::Text, payload)
}

fn client_ping(payload: &[u8]) -> Vec<u8> {
    client_frame(Opcode::Ping, payload)
}

/// With the mask 0, which changes nothing.
fn client_frame(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let header = frame::Header {
        fin: true,
        rsv1: false,
        opcode,
        mask: Some([0; 4]),
        len: payload.len() as u64,
    };
    [&header.encode(), payload].concat()
}

const READ_MAX: usize = scratch::READ_BYTES;
