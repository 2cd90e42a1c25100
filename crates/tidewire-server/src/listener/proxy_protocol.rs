//! The header with which a proxy begins a connection, to say from where it really comes.
//!
//! Shape: read byte-exact from the socket, because TLS follows at once; the words are `ppp`'s to understand.
//! Unit: one header of version 1 (text) or 2 (binary).
//! Bound: [`TEXT_BYTES`] or [`BINARY_BYTES`]; the deadline is the caller's.
//! Failure: anything else is `InvalidData`, and the connection is closed: a trusted proxy that does not speak it is
//! misconfigured.
//! Source: HAProxy, "The PROXY protocol", versions 1 and 2.

use std::{io, net::SocketAddr};

use ppp::{HeaderResult, v1, v2};
use tokio::{io::AsyncReadExt as _, net::TcpStream};

/// Whom the proxy speaks for; `None` where it speaks for itself, as in a health check.
///
/// # Errors
/// This is no such header, or the connection ended in it.
pub(super) async fn read(socket: &mut TcpStream) -> io::Result<Option<SocketAddr>> {
    let mut header = vec![0; SHORTEST_BYTES];
    socket.read_exact(&mut header).await?;
    if header.starts_with(v2::PROTOCOL_PREFIX) {
        read_binary(socket, &mut header).await?;
    } else {
        read_text(socket, &mut header).await?;
    }
    match HeaderResult::parse(&header) {
        HeaderResult::V1(Ok(header)) => Ok(match header.addresses {
            v1::Addresses::Unknown => None,
            v1::Addresses::Tcp4(ip) => Some((ip.source_address, ip.source_port).into()),
            v1::Addresses::Tcp6(ip) => Some((ip.source_address, ip.source_port).into()),
        }),
        HeaderResult::V2(Ok(header)) => Ok(match (header.command, header.addresses) {
            (v2::Command::Local, _) => None,
            (v2::Command::Proxy, v2::Addresses::IPv4(ip)) => {
                Some((ip.source_address, ip.source_port).into())
            }
            (v2::Command::Proxy, v2::Addresses::IPv6(ip)) => {
                Some((ip.source_address, ip.source_port).into())
            }
            (v2::Command::Proxy, v2::Addresses::Unspecified | v2::Addresses::Unix(_)) => None,
        }),
        HeaderResult::V1(Err(_)) | HeaderResult::V2(Err(_)) => Err(invalid()),
    }
}

/// The length stands behind the signature.
async fn read_binary(socket: &mut TcpStream, header: &mut Vec<u8>) -> io::Result<()> {
    header.push(socket.read_u8().await?);
    let rest = usize::from(u16::from_be_bytes([header[14], header[15]]));
    if rest > BINARY_BYTES {
        return Err(invalid());
    }
    let start = header.len();
    header.resize(start + rest, 0);
    socket.read_exact(&mut header[start..]).await?;
    Ok(())
}

/// Ends with a line end, and not a byte behind it may be taken.
async fn read_text(socket: &mut TcpStream, header: &mut Vec<u8>) -> io::Result<()> {
    if !header.starts_with(v1::PROTOCOL_PREFIX.as_bytes()) {
        return Err(invalid());
    }
    while !header.ends_with(b"\n") {
        let room = TEXT_BYTES - header.len();
        if room == 0 {
            return Err(invalid());
        }
        let mut next = [0; TEXT_BYTES];
        let seen = socket.peek(&mut next[..room]).await?;
        let end = next[..seen].iter().position(|byte| *byte == b'\n');
        let taken = end.map_or(seen, |end| end + 1);
        if taken == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let start = header.len();
        header.resize(start + taken, 0);
        socket.read_exact(&mut header[start..]).await?;
    }
    Ok(())
}

fn invalid() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "no header of the PROXY protocol",
    )
}

/// `PROXY UNKNOWN` and its line end; version 2 begins with 16 bytes.
const SHORTEST_BYTES: usize = 15;
/// Version 1, with its line end.
const TEXT_BYTES: usize = 107;
/// Version 2, behind its first 16 bytes: two addresses and what proxies like to add.
const BINARY_BYTES: usize = 2048;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::{io::AsyncWriteExt as _, net::TcpListener, time::timeout};

    use super::*;

    /// Sends the header in two parts and something behind it, which must be left.
    async fn heard(header: &[u8], cut: usize) -> io::Result<Option<SocketAddr>> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut far = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let (mut near, _) = listener.accept().await.unwrap();
        far.write_all(&header[..cut]).await.unwrap();
        let sending = async {
            tokio::task::yield_now().await;
            far.write_all(&header[cut..]).await.unwrap();
            far.write_all(b"\x16\x03\x01").await.unwrap();
            far.shutdown().await.unwrap();
        };
        let (address, ()) = tokio::join!(read(&mut near), sending);
        let address = address?;
        let mut rest = Vec::new();
        near.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"\x16\x03\x01");
        Ok(address)
    }

    fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
        header.extend([command, family, 0, rest.len() as u8]);
        header.extend(rest);
        header
    }

    #[tokio::test]
    async fn both_versions_are_understood_and_not_a_byte_more_is_taken() {
        let four = [192, 0, 2, 7, 127, 0, 0, 1, 0x12, 0x67, 0x20, 0xfb];
        let mut six = [0; 36];
        six[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
        six[15] = 7;
        six[33] = 9;
        for (header, expected) in [
            (
                b"PROXY TCP4 192.0.2.7 127.0.0.1 4711 8443\r\n".to_vec(),
                Some("192.0.2.7:4711"),
            ),
            (
                b"PROXY TCP6 2001:db8::7 ::1 9 8443\r\n".to_vec(),
                Some("[2001:db8::7]:9"),
            ),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (binary(0x21, 0x11, &four), Some("192.0.2.7:4711")),
            (binary(0x21, 0x21, &six), Some("[2001:db8::7]:9")),
            // With something more in it, and from the proxy itself.
            (
                binary(0x21, 0x11, &[&four[..], &[4, 0, 1, 42]].concat()),
                Some("192.0.2.7:4711"),
            ),
            (binary(0x20, 0x00, &[]), None),
        ] {
            for cut in [1, header.len() / 2, header.len() - 1, header.len()] {
                let address = heard(&header, cut).await.unwrap();
                let expected = expected.map(|text| text.parse().unwrap());
                assert_eq!(address, expected, "{header:?}");
            }
        }
    }

    #[tokio::test]
    async fn what_is_no_such_header_is_refused() {
        for header in [
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
            b"PROXY TCP4 nowhere 127.0.0.1 4711 8443\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.7\n".to_vec(),
            [&b"PROXY UNKNOWN "[..], &[b'x'; 200]].concat(),
            binary(0x21, 0x11, &[192, 0, 2]),
            binary(0x31, 0x11, &[0; 12]),
            binary(0x21, 0x11, &[])[..14].to_vec(),
        ] {
            assert!(heard(&header, header.len()).await.is_err(), "{header:?}");
        }
    }

    #[tokio::test]
    async fn nobody_waits_for_more_of_what_can_be_no_header_any_more() {
        let huge = [&binary(0x21, 0x11, &[])[..14], &[0xff, 0xff]].concat();
        let long = [&b"PROXY UNKNOWN "[..], &[b'x'; TEXT_BYTES - 14]].concat();
        for header in [huge, long, b"GET /topics/a.b HTTP".to_vec()] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let mut far = TcpStream::connect(address).await.unwrap();
            let (mut near, _) = listener.accept().await.unwrap();
            far.write_all(&header).await.unwrap();
            // It stays open.
            let read = timeout(DEADLINE, read(&mut near)).await;
            assert!(read.expect("it was waited for").is_err(), "{header:?}");
        }
    }

    /// Only catches a hang.
    const DEADLINE: Duration = Duration::from_secs(20);
}
