//! Headers and whole frames, byte by byte.

use super::*;

#[test]
fn the_examples_of_rfc_6455_section_5_7() {
    assert_eq!(&text(b"Hello")[..], b"\x81\x05Hello");
    assert_eq!(&ping(b"Hello")[..], b"\x89\x05Hello");
    let masked = Header {
        mask: Some([0x37, 0xfa, 0x21, 0x3d]),
        ..Header::parse(&pong(b"Hello")).unwrap().unwrap().0
    };
    assert_eq!(&masked.encode()[..], b"\x8a\x85\x37\xfa\x21\x3d");
    assert_eq!(
        &header(Opcode::Binary, false, 256)[..],
        [0x82, 0x7e, 0x01, 0x00]
    );
    assert_eq!(
        &header(Opcode::Binary, false, 65536)[..],
        [0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0]
    );
}

#[test]
fn a_header_is_read_as_it_was_written_and_needs_its_last_byte() {
    for len in [0, 1, 125, 126, 127, 0xffff, 0x1_0000, u64::MAX >> 1] {
        for mask in [None, Some([1, 2, 3, 4])] {
            for (fin, rsv1) in [(true, true), (true, false), (false, true), (false, false)] {
                let opcode = Opcode::Text;
                let header = Header {
                    fin,
                    rsv1,
                    opcode,
                    mask,
                    len,
                };
                let bytes = header.encode();
                assert_eq!(Header::parse(&bytes), Ok(Some((header, bytes.len()))));
                for end in 0..bytes.len() {
                    assert_eq!(Header::parse(&bytes[..end]), Ok(None));
                }
            }
        }
    }
}

#[test]
fn a_long_reason_is_cut_between_two_characters() {
    let frame = close(1000, &"é".repeat(100));
    assert_eq!(frame[1], 124);
    assert!(str::from_utf8(&frame[4..]).is_ok());
}
