//! Socket.IO over a WebSocket: Engine.IO 4 packets with Socket.IO 5 packets in them, one for each message.
//!
//! Shape: `0{…}` opens, `40{…}` joins the namespace and is answered with the same; then events are `42["event",…]`.
//! `2` is a ping and wants `3`.
//! Failure: `1`, `41` and `44` end it.

use tidewire_bench::protocol::{Exchange, Fault, Seat, Subscriber};
use tidewire_bench::websocket::{TEXT, client_frame};

use super::websocket::{Arrived, Socket};

/// A subscriber whose topic is a room that the server puts it into.
pub(crate) fn subscriber(seat: &Seat) -> Box<dyn Subscriber> {
    Box::new(SocketIo {
        join: format!("40{{\"topic\":\"{}\"}}", seat.topic),
        authority: seat.authority.clone(),
        socket: Socket::default(),
    })
}

struct SocketIo {
    /// The packet that joins the namespace.
    join: String,
    authority: String,
    socket: Socket,
}

impl Subscriber for SocketIo {
    fn open(&mut self, exchange: &mut Exchange<'_>) {
        self.socket.open(PATH, &self.authority, exchange.out());
    }

    fn receive(&mut self, input: &[u8], exchange: &mut Exchange<'_>) -> Result<(), Fault> {
        let join = self.join.as_bytes();
        let mut out = Vec::new();
        let received = self.socket.receive(input, &mut out, |arrived, out| {
            let Arrived::Data(packet) = arrived else {
                return Ok(());
            };
            match packet {
                [b'4', b'2', ..] => exchange.payload(packet),
                [b'4', b'0', ..] => exchange.ready(),
                [b'0', ..] => client_frame(out, TEXT, join, 0),
                [b'2'] => client_frame(out, TEXT, b"3", 0),
                [b'1', ..] | [b'4', b'1' | b'4', ..] => {
                    let packet = String::from_utf8_lossy(packet);
                    return Err(Fault::Ended(format!("packet {packet}")));
                }
                _ => {
                    let packet = String::from_utf8_lossy(packet);
                    return Err(Fault::NotUnderstood(format!("packet {packet}")));
                }
            }
            Ok(())
        });
        exchange.out().append(&mut out);
        received
    }
}

const PATH: &str = "/socket.io/?EIO=4&transport=websocket";
