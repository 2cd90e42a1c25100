//! Tidewire beside its peers.
mod peer;
mod picture;
mod protocol;
mod results;
mod scenario;
mod server;
mod table;
mod transport;
type Failure = Box<dyn std::error::Error + Send + Sync>;
fn main() {}
