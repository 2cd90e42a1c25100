//! The RFC's examples, the bound, and that no message sees another.

use proptest::prelude::*;

use super::*;
use crate::Violation;

#[test]
fn the_examples_of_rfc_7692_section_7_2_3() {
    let hello = |payload: &[u8]| inflate(payload, 5).map(String::from_utf8);
    let expected = Ok(Ok("Hello".to_owned()));
    // 7.2.3.1: one compressed block.
    assert_eq!(hello(&[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]), expected);
    // 7.2.3.3: a block without compression.
    let stored = [
        0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00,
    ];
    assert_eq!(hello(&stored), expected);
    // 7.2.3.4: a block with BFINAL.
    let with_final = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00];
    assert_eq!(hello(&with_final), expected);
    // 7.2.3.5: two blocks.
    let two = [
        0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00,
    ];
    assert_eq!(hello(&two), expected);
    // 7.2.3.6: an empty message.
    assert_eq!(inflate(&[0x00], 0), Ok(Vec::new()));
}

#[test]
fn a_context_that_was_taken_over_is_refused() {
    // RFC 7692 section 7.2.3.2: the second "Hello" of a sender that keeps its window.
    inflate(&[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00], 5).unwrap();
    let second = [0xf2, 0x00, 0x11, 0x00, 0x00];
    assert_eq!(inflate(&second, 5).unwrap_err().code, Violation::DATA);
}

#[test]
fn a_block_behind_a_final_one_reaches_back_over_it() {
    // "Hello" with BFINAL, then the back reference of section 7.2.3.2 to five bytes before.
    let mut message = vec![0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    message.extend([0xf2, 0x00, 0x11, 0x00, 0x00]);
    assert_eq!(inflate(&message, 100).unwrap(), b"HelloHello");
}

#[test]
fn empty_final_blocks_without_end_are_refused() {
    let blocks = [0x03, 0x00].repeat(1_000_000);
    assert_eq!(inflate(&blocks, 100).unwrap_err().code, Violation::DATA);
}

#[test]
fn the_bound_counts_what_comes_out() {
    let bomb = compress(&vec![b'a'; 1_000_000]).unwrap();
    assert!(bomb.len() < 2_000);
    assert_eq!(
        inflate(&bomb, 999_999).unwrap_err().code,
        Violation::TOO_BIG
    );
    let whole = inflate(&bomb, 1_000_000).unwrap();
    assert_eq!(whole.len(), 1_000_000);
    let stopped = inflate(&bomb, 0).unwrap_err();
    assert_eq!(stopped.code, Violation::TOO_BIG);
}

#[test]
fn what_is_cut_is_not_taken_for_whole() {
    let payload = json(400);
    let deflated = compress(&payload).unwrap();
    for end in 1..deflated.len() {
        let outcome = inflate(&deflated[..end], 1 << 20);
        assert_ne!(outcome.as_deref(), Ok(&payload[..]), "cut at {end}");
    }
    assert_eq!(inflate(&deflated, 1 << 20).unwrap(), payload);
}

#[test]
fn what_does_not_shrink_is_not_compressed() {
    let mut noise = vec![0; 4096];
    let mut state = 1_u64;
    for byte in &mut noise {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        *byte = (state >> 56) as u8;
    }
    assert_eq!(compress(&noise), None);
    assert_eq!(text(&json(PAYS_FROM_BYTES - 1)), None);
    assert_eq!(compress(&[]), None);
}

#[test]
fn a_shared_frame_says_that_it_is_compressed() {
    let payload = json(2000);
    let frame = text(&payload).unwrap();
    let (header, len) = frame::Header::parse(&frame).unwrap().unwrap();
    assert!(header.fin && header.rsv1 && header.mask.is_none());
    assert_eq!(header.opcode, Opcode::Text);
    assert_eq!(inflate(&frame[len..], 2000).unwrap(), payload);
    assert_eq!(frame.len(), len + header.len as usize);
}

proptest! {
    #[test]
    fn what_was_compressed_comes_back(payload in prop::collection::vec(prop::sample::select(b"abc\"{}:,0".to_vec()), 0..5000)) {
        if let Some(deflated) = compress(&payload) {
            prop_assert!(deflated.len() < payload.len());
            prop_assert_eq!(inflate(&deflated, payload.len()).unwrap(), payload);
        }
    }

    #[test]
    fn any_bytes_inflate_within_the_bound_or_not_at_all(bytes in prop::collection::vec(any::<u8>(), 0..300), max in 0..1000_usize) {
        if let Ok(output) = inflate(&bytes, max) {
            prop_assert!(output.len() <= max);
        }
    }
}

/// Like an event: keys that come again, values that do not.
fn json(bytes: usize) -> Vec<u8> {
    let mut text = String::new();
    for n in 0_u64.. {
        if text.len() >= bytes {
            break;
        }
        let noise = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        text.push_str(&format!(
            "{{\"id\":\"{noise:x}\",\"topic\":\"orders.{n}\"}},"
        ));
    }
    text.truncate(bytes);
    text.into_bytes()
}
