//! New epochs and session ids.

use tidewire_protocol::Epoch;

/// Eight random characters: 41 bits, so that two logs practically never share one.
pub(crate) fn random() -> Epoch {
    let text = random_text::<8>();
    let text = std::str::from_utf8(&text).expect("ASCII");
    Epoch::parse(text).expect("characters of the alphabet")
}

/// Sixteen random characters of ASCII: a session is not guessed.
pub(crate) fn random_id() -> [u8; 16] {
    random_text::<16>()
}

fn random_text<const N: usize>() -> [u8; N] {
    const ALPHABET: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    // The thread's generator, seeded by the system: each poll has an id, and asking the system is a call.
    let bytes: [u8; N] = rand::random();
    bytes.map(|byte| ALPHABET[usize::from(byte) % ALPHABET.len()])
}
