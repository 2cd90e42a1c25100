//! Masking: XOR with a key of four bytes.
//!
//! Shape: eight bytes at a time; the compiler makes vectors of it. Masking twice gives the bytes back.
//! Source: RFC 6455 section 5.3.

/// Masks or unmasks in place.
///
/// Gives the key for the bytes that follow in the same frame.
pub(crate) fn apply(bytes: &mut [u8], key: [u8; 4]) -> [u8; 4] {
    let [a, b, c, d] = key;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = bytes.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip([a, b, c, d, a, b, c]) {
        *byte ^= key;
    }
    let mut next = key;
    next.rotate_left(rest.len() % 4);
    next
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_in_pieces_is_the_mask_byte_by_byte() {
        let key = [0x37, 0xfa, 0x21, 0x3d];
        for len in 0..40 {
            let plain: Vec<u8> = (0..len).collect();
            let expected: Vec<u8> = plain
                .iter()
                .enumerate()
                .map(|(i, byte)| byte ^ key[i % 4])
                .collect();
            for cut in 0..=plain.len() {
                let mut masked = plain.clone();
                let (left, right) = masked.split_at_mut(cut);
                let next = apply(left, key);
                apply(right, next);
                assert_eq!(masked, expected, "length {len}, cut at {cut}");
            }
        }
    }
}
