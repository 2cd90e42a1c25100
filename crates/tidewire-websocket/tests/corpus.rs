//! Every input that the fuzzer kept, through the function that it fuzzes.

#![allow(clippy::unwrap_used, reason = "a test's panic is its verdict")]

use std::{fs, path::Path};

#[path = "../fuzz/targets.rs"]
mod targets;

#[test]
fn the_codec_bears_what_the_fuzzer_kept() {
    over("codec", targets::codec);
}

#[test]
fn the_handshake_bears_what_the_fuzzer_kept() {
    over("handshake", targets::handshake);
}

/// A panic names the file through the last line that was printed.
fn over(target: &str, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let mut count = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        println!("{}", path.display());
        run(&fs::read(&path).unwrap());
        count += 1;
    }
    assert!(count > 20, "{count} inputs in {}", folder.display());
}
