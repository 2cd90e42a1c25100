//! The relay: plain TCP in, TLS out, for WebSocket suites that speak `ws://` only.
//!
//! Shape: one listener on a free port and one gateway. `--over http1` passes the bytes through TLS as they are
//! ([`tls`]); `--over http2` turns each upgrade into an extended CONNECT (RFC 8441) on one shared connection
//! ([`http2`], [`upgrade`]). It reads no WebSocket frame: what the suite sees is what the gateway sent.
//! Bound: one task for each connection; the suite decides how many there are.
//! Failure: what ends in order on one side ends in order on the other, and a reset becomes a reset. A gateway that does
//! not agree on the wanted version of HTTP is an error, never another version. Standard error says who broke off, a line
//! for each connection: `client: …` or `gateway: …`. `ready ADDRESS` on standard output says that it listens.

mod http2;
mod target;
mod tls;
mod upgrade;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use socket2::SockRef;
use tokio::io::AsyncReadExt;
use tokio::net::tcp::ReadHalf;
use tokio::net::{TcpListener, TcpStream};

use crate::http2::Http2;
use crate::target::Target;

/// Plain WebSocket in, TLS out.
#[derive(Clone, Debug, Parser)]
struct Arguments {
    /// Where the gateway listens.
    #[arg(long)]
    to: SocketAddr,
    /// The certificate to trust, as PEM.
    #[arg(long)]
    trust: PathBuf,
    /// The version of HTTP that carries the WebSockets.
    #[arg(long, value_enum)]
    over: Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Over {
    Http1,
    Http2,
}

#[tokio::main]
async fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let target = Target::new(arguments.to, &std::fs::read(&arguments.trust)?);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("ready {}", listener.local_addr()?);
    let http2 = Arc::new(Http2::new(target.clone()));
    loop {
        let (client, _) = listener.accept().await?;
        client.set_nodelay(true)?;
        let target = target.clone();
        let http2 = Arc::clone(&http2);
        tokio::spawn(async move {
            let passed = match arguments.over {
                Over::Http1 => Box::pin(tls::pass(client, &target)).await,
                Over::Http2 => Box::pin(http2.pass(client)).await,
            };
            if let Err(lost) = passed {
                eprintln!("{lost}");
            }
        });
    }
}

/// Who broke off, and how.
#[derive(Debug)]
enum Lost {
    Client(io::Error),
    Gateway(io::Error),
}

impl Lost {
    /// What the gateway's side of the relay says of itself.
    fn gateway(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Gateway(io::Error::other(error))
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(error) => write!(f, "client: {error}"),
            Self::Gateway(error) => write!(f, "gateway: {error}"),
        }
    }
}

/// Reads what the client still sends to a gateway that takes no more. Whether that was an end in order or a reset, the
/// other direction tells.
async fn ignore(mut from: ReadHalf<'_>) -> Result<(), Lost> {
    let mut ignored = [0; 4096];
    while from.read(&mut ignored).await.map_err(Lost::Client)? > 0 {}
    Ok(())
}

/// Ends a connection with a reset, so that the other side can tell it from an end in order.
fn reset(stream: &TcpStream) {
    // A socket that is gone already needs no reset.
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

/// One read from the client.
const CHUNK_BYTES: usize = 64 * 1024;
