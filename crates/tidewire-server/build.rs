//! Tells cargo that the pages are part of this crate: a new file in the folder is a reason to build again.

fn main() {
    println!("cargo::rerun-if-changed=../../web/lab/dist");
    println!("cargo::rerun-if-changed=build.rs");
}
