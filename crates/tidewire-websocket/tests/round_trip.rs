//! Any messages, cut into any frames, in any pieces, from either side to the other, say the same.

#![allow(clippy::unwrap_used, reason = "a test's panic is its verdict")]

use bytes::Bytes;
use proptest::prelude::*;
use tidewire_websocket::{
    Close, Codec, Connection, End, Ended, Message, Role, Settings,
    deflate::{self, Agreed, Offer},
    frame::{Header, Opcode},
};
use tokio::io::{AsyncWriteExt, DuplexStream};

proptest! {
    #[test]
    fn any_fragmentation_in_any_pieces_gives_the_same_messages(
        role in prop::sample::select(vec![Role::Server, Role::Client]),
        sent in prop::collection::vec(sending(), 0..8),
        pieces in prop::collection::vec(1..40_usize, 1..20),
    ) {
        let mut wire = Vec::new();
        let mut expected = Vec::new();
        for sending in &sent {
            sending.write(role, &mut wire, &mut expected);
        }
        let mut codec = Codec::new(settings(role, agreed()));
        let mut heard = Vec::new();
        let mut rest = wire.as_mut_slice();
        for piece in pieces.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (left, right) = rest.split_at_mut((*piece).min(rest.len()));
            rest = right;
            let mut used = 0;
            while used < left.len() {
                let decoded = codec.decode(&mut left[used..]).unwrap();
                used += decoded.used;
                heard.extend(decoded.message);
            }
        }
        prop_assert_eq!(heard, expected);
        prop_assert_eq!(codec.held_bytes(), 0);
    }

    #[test]
    fn two_connections_understand_each_other(
        messages in prop::collection::vec(message(), 0..20),
        room in 1..5000_usize,
        is_deflated in any::<bool>(),
        is_from_client in any::<bool>(),
    ) {
        let deflate = is_deflated.then(agreed).flatten();
        let (near, far) = tokio::io::duplex(room);
        let roles = if is_from_client { [Role::Client, Role::Server] } else { [Role::Server, Role::Client] };
        let sender = Connection::new(near, Bytes::new(), settings(roles[0], deflate));
        let receiver = Connection::new(far, Bytes::new(), settings(roles[1], deflate));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let heard = runtime.block_on(async {
            tokio::join!(send(sender, &messages), hear(receiver)).1
        });
        prop_assert_eq!(heard, messages);
    }

    #[test]
    fn any_bytes_end_or_wait_but_do_not_panic(
        mut bytes in prop::collection::vec(any::<u8>(), 0..200),
        role in prop::sample::select(vec![Role::Server, Role::Client]),
    ) {
        let mut codec = Codec::new(settings(role, agreed()));
        let mut used = 0;
        while used < bytes.len() {
            match codec.decode(&mut bytes[used..]) {
                Ok(decoded) => used += decoded.used,
                Err(End::Violation(violation)) => {
                    prop_assert!([1002, 1007, 1009].contains(&violation.code));
                    break;
                }
                Err(End::Closed(_)) => break,
            }
        }
    }
}

/// Feeds everything, some of it by itself and some of it shared, and closes.
async fn send(mut connection: Connection<DuplexStream>, messages: &[Message]) {
    for (n, message) in messages.iter().enumerate() {
        match message {
            Message::Text(text) if n % 2 == 0 => connection.feed_text_deflated(text.as_bytes()),
            Message::Text(text) => {
                connection.feed(tidewire_websocket::frame::text(text.as_bytes()))
            }
            Message::Binary(bytes) => connection.feed_binary_deflated(bytes),
            Message::Ping(bytes) => connection.feed_ping(bytes),
            Message::Pong(bytes) => connection.feed(tidewire_websocket::frame::pong(bytes)),
        }
        if n % 3 == 0 {
            connection.flush().await.unwrap();
        }
    }
    connection.close(4000, "done");
    connection.flush().await.unwrap();
    loop {
        match connection.receive().await {
            Ok(Message::Pong(_)) => {}
            Ok(other) => panic!("{other:?}"),
            Err(Ended::Closed(Close { code: 4000, .. })) => break,
            Err(other) => panic!("{other}"),
        }
    }
    connection.finish().await.unwrap();
}

async fn hear(mut connection: Connection<DuplexStream>) -> Vec<Message> {
    let mut heard = Vec::new();
    loop {
        match connection.receive().await {
            Ok(message) => heard.push(message),
            Err(Ended::Closed(close)) => {
                assert_eq!((close.code, close.reason.as_str()), (4000, "done"));
                break;
            }
            Err(other) => panic!("{other}"),
        }
    }
    connection.finish().await.unwrap();
    heard
}

#[tokio::test]
async fn a_connection_ends_cleanly_from_both_sides_at_once() {
    let (near, far) = tokio::io::duplex(8);
    let mut server = Connection::new(near, Bytes::new(), settings(Role::Server, None));
    let mut client = Connection::new(far, Bytes::new(), settings(Role::Client, None));
    server.close(4203, "drain");
    client.close(1000, "enough");
    let (server_heard, client_heard) = tokio::join!(end_of(&mut server), end_of(&mut client));
    assert_eq!((server_heard, client_heard), (1000, 4203));
}

async fn end_of(connection: &mut Connection<DuplexStream>) -> u16 {
    let Err(Ended::Closed(close)) = connection.receive().await else {
        panic!("the peer has closed");
    };
    connection.finish().await.unwrap();
    close.code
}

#[tokio::test]
async fn a_violation_reaches_the_peer_as_a_close_frame() {
    let (near, mut far) = tokio::io::duplex(1024);
    let mut server = Connection::new(near, Bytes::new(), settings(Role::Server, None));
    far.write_all(&[0x81, 0xfe, 0xff, 0xff]).await.unwrap();
    far.write_all(&[0; 200]).await.unwrap();
    let mut client = Connection::new(far, Bytes::new(), settings(Role::Client, None));
    let serve = async {
        let Err(Ended::Violation(violation)) = server.receive().await else {
            panic!("the message is over the bound");
        };
        server.finish().await.unwrap();
        violation.code
    };
    assert_eq!(tokio::join!(serve, end_of(&mut client)), (1009, 1009));
}

/// A message, and how it is sent.
#[derive(Clone, Debug)]
struct Sending {
    message: Message,
    is_compressed: bool,
    /// Where it is cut, and whether a ping comes there.
    cuts: Vec<(usize, bool)>,
    key: [u8; 4],
}

impl Sending {
    /// As the peer of `role` writes it.
    fn write(&self, role: Role, wire: &mut Vec<u8>, expected: &mut Vec<Message>) {
        let (opcode, payload) = match &self.message {
            Message::Text(text) => (Opcode::Text, text.as_bytes()),
            Message::Binary(bytes) => (Opcode::Binary, &bytes[..]),
            Message::Ping(bytes) => (Opcode::Ping, &bytes[..]),
            Message::Pong(bytes) => (Opcode::Pong, &bytes[..]),
        };
        let key = (role == Role::Server).then_some(self.key);
        if opcode.is_control() {
            write_frame(wire, opcode, true, false, key, payload);
            expected.push(self.message.clone());
            return;
        }
        let deflated = deflate::compress(payload).filter(|_| self.is_compressed);
        let mut rest = deflated.as_deref().unwrap_or(payload);
        let mut opcode = opcode;
        let mut rsv1 = deflated.is_some();
        for (cut, has_ping) in &self.cuts {
            let (left, right) = rest.split_at((*cut).min(rest.len()));
            write_frame(wire, opcode, false, rsv1, key, left);
            (rest, opcode, rsv1) = (right, Opcode::Continuation, false);
            if *has_ping {
                write_frame(wire, Opcode::Ping, true, false, key, b"between");
                expected.push(Message::Ping("between".into()));
            }
        }
        write_frame(wire, opcode, true, rsv1, key, rest);
        expected.push(self.message.clone());
    }
}

fn write_frame(
    wire: &mut Vec<u8>,
    opcode: Opcode,
    fin: bool,
    rsv1: bool,
    mask: Option<[u8; 4]>,
    payload: &[u8],
) {
    let len = payload.len() as u64;
    wire.extend_from_slice(
        &Header {
            fin,
            rsv1,
            opcode,
            mask,
            len,
        }
        .encode(),
    );
    let key = mask.unwrap_or_default();
    wire.extend(
        payload
            .iter()
            .zip(key.iter().cycle())
            .map(|(byte, key)| byte ^ key),
    );
}

fn sending() -> impl Strategy<Value = Sending> {
    let cuts = prop::collection::vec((0..200_usize, any::<bool>()), 0..5);
    (message(), any::<bool>(), cuts, any::<[u8; 4]>()).prop_map(
        |(message, is_compressed, cuts, key)| Sending {
            message,
            is_compressed,
            cuts,
            key,
        },
    )
}

fn message() -> impl Strategy<Value = Message> {
    let bytes = |max| prop::collection::vec(any::<u8>(), 0..max).prop_map(Bytes::from);
    prop_oneof![
        "\\PC{0,200}".prop_map(Message::Text),
        ("[a-c\"{}]{0,20}", 0..500_usize)
            .prop_map(|(text, times)| Message::Text(text.repeat(times))),
        bytes(2000).prop_map(Message::Binary),
        bytes(125).prop_map(Message::Ping),
        bytes(125).prop_map(Message::Pong),
    ]
}

fn agreed() -> Option<Agreed> {
    deflate::choose(&[Offer::default()])
}

fn settings(role: Role, deflate: Option<Agreed>) -> Settings {
    Settings {
        role,
        message_max_bytes: 16 * 1024,
        deflate,
    }
}
