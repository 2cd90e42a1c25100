//! New epochs and session ids.

use tidewire_protocol::Epoch;

/// Eight random characters: 41 bits, so that two logs practically never share one.
pub(crate) fn random() -> Epoch {
    Epoch::parse(&random_text::<8>()).expect("characters of the alphabet")
}

/// Sixteen random characters: a session is not guessed.
pub(crate) fn random_id() -> String {
    random_text::<16>()
}

fn random_text<const N: usize>() -> String {
    const ALPHABET: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let mut bytes = [0_u8; N];
    getrandom::fill(&mut bytes).expect("the system has randomness");
    let letter = |byte: &u8| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()]);
    bytes.iter().map(letter).collect()
}
