//! HTTP/1.1 through TLS: every byte as it is, both ways.
//! Bound: one chunk in each direction.
//! Failure: a reset, and TLS that ends without its own goodbye, reset the other side.

use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf as TlsRead, WriteHalf as TlsWrite};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio_rustls::client::TlsStream;

use crate::target::Target;
use crate::{CHUNK_BYTES, Lost, ignore, reset};

/// Passes one connection; the end of one direction is passed on, and the other one goes on.
pub(crate) async fn pass(mut client: TcpStream, target: &Target) -> Result<(), Lost> {
    let server = target.connect(b"http/1.1").await.map_err(Lost::Gateway)?;
    let (down, up) = tokio::io::split(server);
    let (from, to) = client.split();
    let passed = tokio::try_join!(to_gateway(from, up), to_client(down, to));
    if passed.is_err() {
        reset(&client);
    }
    passed.map(|_| ())
}

async fn to_gateway(
    mut from: ReadHalf<'_>,
    mut up: TlsWrite<TlsStream<TcpStream>>,
) -> Result<(), Lost> {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let size = from.read(&mut chunk).await.map_err(Lost::Client)?;
        if size == 0 {
            break;
        }
        let mut written = up.write_all(&chunk[..size]).await;
        if written.is_ok() {
            written = up.flush().await;
        }
        if written.is_err() {
            return ignore(from).await;
        }
    }
    // A gateway that has closed already needs no goodbye.
    let _ = up.shutdown().await;
    Ok(())
}

async fn to_client(
    mut down: TlsRead<TlsStream<TcpStream>>,
    mut to: WriteHalf<'_>,
) -> Result<(), Lost> {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let size = down.read(&mut chunk).await.map_err(Lost::Gateway)?;
        if size == 0 {
            return to.shutdown().await.map_err(Lost::Client);
        }
        let part = &chunk[..size];
        to.write_all(part).await.map_err(Lost::Client)?;
    }
}
