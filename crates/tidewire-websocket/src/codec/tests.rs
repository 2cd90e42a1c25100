//! Each rule at every split point, text against the standard library, and what is held while something is incomplete.

use proptest::prelude::*;

use super::*;
use crate::{frame, mask};

#[test]
fn the_examples_of_rfc_6455_section_5_7() {
    let hello = Ok(vec![Message::Text("Hello".to_owned())]);
    let mut server = Codec::new(settings(Role::Server));
    let masked = *b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
    assert_eq!(all(&mut server, &masked), hello);
    let mut client = Codec::new(settings(Role::Client));
    assert_eq!(all(&mut client, b"\x81\x05Hello"), hello);
    assert_eq!(all(&mut client, b"\x01\x03Hel\x80\x02lo"), hello);
    let ping = Message::Ping("Hello".into());
    assert_eq!(all(&mut client, b"\x89\x05Hello"), Ok(vec![ping]));
    let pong = *b"\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
    assert_eq!(
        all(&mut server, &pong),
        Ok(vec![Message::Pong("Hello".into())])
    );
}

#[test]
fn the_example_of_rfc_7692_section_7_2_3_1_also_in_two_frames() {
    let hello = Ok(vec![Message::Text("Hello".to_owned())]);
    let mut client = Codec::new(settings(Role::Client));
    assert_eq!(
        all(&mut client, b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00"),
        hello
    );
    let two = b"\x41\x03\xf2\x48\xcd\x80\x04\xc9\xc9\x07\x00";
    for pieces in [1, 2, 5, 100] {
        assert_eq!(in_pieces(&mut client, two, pieces), hello);
    }
}

#[test]
fn each_violation_is_told_at_every_split_point() {
    for (name, code, bytes) in violations() {
        for cut in 0..=bytes.len() {
            let mut codec = Codec::new(settings(Role::Server));
            let (left, right) = bytes.split_at(cut);
            let outcome = all(&mut codec, left).and_then(|_| all(&mut codec, right));
            match outcome {
                Err(End::Violation(violation)) => assert_eq!(violation.code, code, "{name}"),
                other => panic!("{name}, cut at {cut}: {other:?}"),
            }
            assert_eq!(codec.held_bytes(), 0);
            let nothing = all(&mut codec, &masked(Opcode::Text, true, b"ignored"));
            assert_eq!(nothing, Ok(vec![]), "{name}");
        }
    }
}

/// Name, close code, and what a client sends.
fn violations() -> Vec<(&'static str, u16, Vec<u8>)> {
    let text = |fin, payload: &[u8]| masked(Opcode::Text, fin, payload);
    let next = |fin, payload: &[u8]| masked(Opcode::Continuation, fin, payload);
    let first_byte = |byte: u8| {
        let mut bytes = text(true, b"x");
        bytes[0] = byte;
        bytes
    };
    let too_long = |second: u8, length: &[u8]| [&[0x82, second][..], length].concat();
    let protocol = Violation::PROTOCOL;
    let mut cases = vec![
        ("unmasked", protocol, frame::text(b"x").to_vec()),
        ("RSV2", protocol, first_byte(0xa1)),
        ("RSV3", protocol, first_byte(0x91)),
        ("RSV1 on a ping", protocol, first_byte(0xc9)),
        (
            "RSV1 on a continuation",
            protocol,
            [text(false, b"a"), first_byte(0xc0)].concat(),
        ),
        (
            "16 bits for 125",
            protocol,
            too_long(0xfe, &[0, 125, 1, 2, 3, 4]),
        ),
        (
            "64 bits for 65535",
            protocol,
            too_long(0xff, &[0, 0, 0, 0, 0, 0, 0xff, 0xff, 1, 2, 3, 4]),
        ),
        (
            "a length of 2^63",
            protocol,
            too_long(0xff, &[0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4]),
        ),
        (
            "a fragmented ping",
            protocol,
            masked(Opcode::Ping, false, b""),
        ),
        (
            "a ping of 126",
            protocol,
            masked(Opcode::Ping, true, &[0; 126]),
        ),
        (
            "a close of 126",
            protocol,
            masked(Opcode::Close, true, &[3; 126]),
        ),
        ("a continuation of nothing", protocol, next(true, b"x")),
        (
            "a continuation after a whole message",
            protocol,
            [text(true, b"a"), next(true, b"b")].concat(),
        ),
        (
            "a message inside a message",
            protocol,
            [text(false, b"a"), text(true, b"b")].concat(),
        ),
        (
            "a close of one byte",
            protocol,
            masked(Opcode::Close, true, &[3]),
        ),
        (
            "a close with 1005",
            protocol,
            masked(Opcode::Close, true, &[0x03, 0xed]),
        ),
        (
            "a bad reason",
            Violation::DATA,
            masked(Opcode::Close, true, b"\x03\xe8\xff"),
        ),
        (
            "half a character in a reason",
            Violation::DATA,
            masked(Opcode::Close, true, b"\x03\xe8\xe2\x82"),
        ),
        (
            "a lone surrogate",
            Violation::DATA,
            text(true, b"a\xed\xa0\x80"),
        ),
        (
            "an overlong slash",
            Violation::DATA,
            text(true, b"\xc0\xaf"),
        ),
        ("half a character", Violation::DATA, text(true, b"\xe2\x82")),
        (
            "half a character in two frames",
            Violation::DATA,
            [text(false, b"\xe2"), next(true, b"\x82")].concat(),
        ),
        (
            "over the bound",
            Violation::TOO_BIG,
            masked(Opcode::Binary, true, &[0; MAX + 1]),
        ),
        (
            "over the bound in two frames",
            Violation::TOO_BIG,
            [masked(Opcode::Binary, false, &[0; MAX]), next(true, b"x")].concat(),
        ),
        (
            "2^62 bytes",
            Violation::TOO_BIG,
            too_long(0xff, &[0x40, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4]),
        ),
        (
            "bytes that do not inflate",
            Violation::DATA,
            compressed(&[0xff; 10]),
        ),
        (
            "a bomb",
            Violation::TOO_BIG,
            compressed(&deflate::compress(&[0; MAX + 1]).unwrap()),
        ),
        (
            "compressed text that is not UTF-8",
            Violation::DATA,
            compressed(b"\x00\x01\x00\xfe\xff\xff\x00"),
        ),
    ];
    for opcode in [0x3, 0x7, 0xb, 0xf] {
        cases.push(("a reserved opcode", protocol, first_byte(0x80 | opcode)));
    }
    cases
}

#[test]
fn rsv1_without_an_agreement_and_a_mask_from_a_server_are_refused() {
    let mut plain = Codec::new(Settings {
        deflate: None,
        ..settings(Role::Server)
    });
    let end = all(&mut plain, &compressed(&[0])).unwrap_err();
    assert!(matches!(end, End::Violation(Violation { code: 1002, .. })));
    let mut client = Codec::new(settings(Role::Client));
    let end = all(&mut client, &masked(Opcode::Text, true, b"x")).unwrap_err();
    assert!(matches!(end, End::Violation(Violation { code: 1002, .. })));
}

#[test]
fn the_bound_itself_is_taken() {
    let mut codec = Codec::new(settings(Role::Server));
    let messages = all(&mut codec, &masked(Opcode::Binary, true, &[7; MAX])).unwrap();
    assert_eq!(messages, [Message::Binary(vec![7; MAX].into())]);
}

#[test]
fn a_message_that_compression_made_longer_is_taken() {
    // Stored blocks of one byte each: five bytes of header for every one.
    let payload: Vec<u8> = (0..20_u8)
        .flat_map(|n| [0, 1, 0, 0xfe, 0xff, n])
        .chain([0])
        .collect();
    let mut codec = Codec::new(Settings {
        message_max_bytes: 100,
        ..settings(Role::Server)
    });
    let mut frame = compressed(&payload);
    frame[0] = 0xc2;
    let messages = all(&mut codec, &frame).unwrap();
    assert_eq!(
        messages,
        [Message::Binary((0..20).collect::<Vec<u8>>().into())]
    );
}

#[test]
fn a_close_is_the_end_and_says_its_code() {
    let mut codec = Codec::new(settings(Role::Server));
    let close = masked(Opcode::Close, true, b"\x0f\xa0why");
    let bytes = [close, masked(Opcode::Text, true, b"late")].concat();
    let end = all(&mut codec, &bytes).unwrap_err();
    let expected = Close {
        code: 4000,
        reason: "why".to_owned(),
    };
    assert_eq!(end, End::Closed(expected));
    assert_eq!(all(&mut codec, b"anything"), Ok(vec![]));
}

#[test]
fn a_control_frame_comes_between_the_frames_of_a_message() {
    let bytes = [
        masked(Opcode::Text, false, b"a"),
        masked(Opcode::Ping, true, b"now"),
        masked(Opcode::Continuation, false, b""),
        masked(Opcode::Pong, true, b""),
        masked(Opcode::Continuation, true, b"b"),
    ]
    .concat();
    for piece in 1..bytes.len() {
        let mut codec = Codec::new(settings(Role::Server));
        let messages = in_pieces(&mut codec, &bytes, piece).unwrap();
        let expected = [
            Message::Ping("now".into()),
            Message::Pong(Bytes::new()),
            Message::Text("ab".to_owned()),
        ];
        assert_eq!(messages, expected);
        assert_eq!(codec.held_bytes(), 0);
    }
}

#[test]
fn an_announced_size_allocates_nothing() {
    let mut codec = Codec::new(Settings {
        message_max_bytes: 1 << 40,
        ..settings(Role::Server)
    });
    let header = [0x82, 0xff, 0, 0, 0, 0xff, 0, 0, 0, 0, 1, 2, 3, 4];
    assert_eq!(all(&mut codec, &header), Ok(vec![]));
    assert!(codec.held_bytes() < 300, "{} bytes", codec.held_bytes());
}

#[test]
fn a_million_fragments_cost_what_they_carry() {
    let mut codec = Codec::new(settings(Role::Server));
    all(&mut codec, &masked(Opcode::Binary, false, b"")).unwrap();
    let empty = masked(Opcode::Continuation, false, b"").repeat(1_000_000);
    assert_eq!(all(&mut codec, &empty), Ok(vec![]));
    assert!(codec.held_bytes() < 300, "{} bytes", codec.held_bytes());
    let single = masked(Opcode::Continuation, false, b"x").repeat(MAX);
    assert_eq!(all(&mut codec, &single), Ok(vec![]));
    assert!(codec.held_bytes() < 3 * MAX, "{} bytes", codec.held_bytes());
    let last = all(&mut codec, &masked(Opcode::Continuation, true, b"")).unwrap();
    assert_eq!(last, [Message::Binary(vec![b'x'; MAX].into())]);
    assert_eq!(codec.held_bytes(), 0);
}

proptest! {
    #[test]
    fn text_fails_at_the_byte_at_which_it_cannot_be_utf_8_any_more(
        bytes in prop::collection::vec(prop_oneof![
            Just(0x61_u8), Just(0xc3), Just(0xa9), Just(0xe2), Just(0x82), Just(0xac), Just(0xed), Just(0xa0),
            Just(0xf0), Just(0xf4), Just(0x90), Just(0x80), Just(0xbf), any::<u8>(),
        ], 1..12),
        cuts in prop::collection::vec(any::<bool>(), 12),
    ) {
        let fails_at = (1..=bytes.len()).find(|&end| {
            str::from_utf8(&bytes[..end]).is_err_and(|invalid| invalid.error_len().is_some())
        });
        let mut codec = Codec::new(settings(Role::Server));
        for (at, byte) in bytes.iter().enumerate() {
            // Each byte is a fragment, or goes on in the one before: then only its header came with it.
            let opcode = if at == 0 { Opcode::Text } else { Opcode::Continuation };
            let mut frame = masked(opcode, false, &[*byte]);
            if cuts[at] {
                let payload = frame.split_off(6);
                prop_assert_eq!(all(&mut codec, &frame), Ok(vec![]));
                frame = payload;
            }
            let outcome = all(&mut codec, &frame);
            if fails_at == Some(at + 1) {
                prop_assert_eq!(outcome, Err(End::Violation(partial::NOT_UTF8)));
                return Ok(());
            }
            prop_assert_eq!(outcome, Ok(vec![]));
        }
        let outcome = all(&mut codec, &masked(Opcode::Continuation, true, b""));
        match String::from_utf8(bytes) {
            Ok(text) => prop_assert_eq!(outcome, Ok(vec![Message::Text(text)])),
            Err(_) => prop_assert_eq!(outcome, Err(End::Violation(partial::NOT_UTF8))),
        }
    }
}

const MAX: usize = 1000;

fn settings(role: Role) -> Settings {
    Settings {
        role,
        message_max_bytes: MAX,
        deflate: deflate::choose(&[deflate::Offer::default()]),
    }
}

/// A frame of a client.
fn masked(opcode: Opcode, fin: bool, payload: &[u8]) -> Vec<u8> {
    let key = [0x37, 0xfa, 0x21, 0x3d];
    let header = Header {
        fin,
        rsv1: false,
        opcode,
        mask: Some(key),
        len: payload.len() as u64,
    };
    let mut frame = header.encode().to_vec();
    let start = frame.len();
    frame.extend(payload);
    mask::apply(&mut frame[start..], key);
    frame
}

/// A compressed text message of a client.
fn compressed(payload: &[u8]) -> Vec<u8> {
    let mut frame = masked(Opcode::Text, true, payload);
    frame[0] |= 0x40;
    frame
}

/// All messages in the bytes.
fn all(codec: &mut Codec, bytes: &[u8]) -> Result<Vec<Message>, End> {
    in_pieces(codec, bytes, bytes.len().max(1))
}

fn in_pieces(codec: &mut Codec, bytes: &[u8], piece: usize) -> Result<Vec<Message>, End> {
    let mut messages = Vec::new();
    for piece in bytes.chunks(piece) {
        let mut piece = piece.to_vec();
        let mut used = 0;
        while used < piece.len() {
            let decoded = codec.decode(&mut piece[used..])?;
            used += decoded.used;
            messages.extend(decoded.message);
        }
    }
    Ok(messages)
}
