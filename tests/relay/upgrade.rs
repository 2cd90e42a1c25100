//! The handshake on the plain side: an HTTP/1.1 upgrade is read, and answered with what the gateway said over HTTP/2.
//! Shape: [`Upgrade::read`], then [`Upgrade::request`] for the gateway, then [`Upgrade::accepted`] for the client.
//! Bound: a head of [`HEAD_MAX_BYTES`].
//! Failure: what is no upgrade is an error; whether it is a good one is the gateway's to say.
//! Source: RFC 6455 section 4, RFC 8441 section 5.

use std::io;
use std::net::SocketAddr;

use bytes::{Buf, BytesMut};
use h2::ext::Protocol;
use http::header::{CONNECTION, HOST, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Version};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// An upgrade that was read.
#[derive(Debug)]
pub(crate) struct Upgrade {
    path: String,
    headers: HeaderMap,
}

impl Upgrade {
    /// Reads one head; what came after it is left in the buffer.
    pub(crate) async fn read(
        client: &mut (impl AsyncRead + Unpin),
        buffer: &mut BytesMut,
    ) -> io::Result<Self> {
        let end = loop {
            if let Some(at) = buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break at;
            }
            if buffer.len() > HEAD_MAX_BYTES || client.read_buf(buffer).await? == 0 {
                return Err(io::Error::other("no whole head"));
            }
        };
        let head = buffer.split_to(end);
        buffer.advance(4);
        let head = std::str::from_utf8(&head).map_err(io::Error::other)?;
        Self::parse(head).ok_or_else(|| io::Error::other(format!("no upgrade: {head}")))
    }

    fn parse(head: &str) -> Option<Self> {
        let mut lines = head.split("\r\n");
        let (path, version) = lines.next()?.strip_prefix("GET ")?.split_once(' ')?;
        let mut headers = HeaderMap::new();
        for line in lines {
            let (name, value) = line.split_once(':')?;
            let name: HeaderName = name.parse().ok()?;
            headers.append(name, HeaderValue::from_str(value.trim()).ok()?);
        }
        let is_upgrade = version == "HTTP/1.1" && headers.contains_key(SEC_WEBSOCKET_KEY);
        let path = path.to_owned();
        is_upgrade.then_some(Self { path, headers })
    }

    /// The same as an extended CONNECT: RFC 8441 section 5 leaves out what belongs to one HTTP/1.1 connection.
    pub(crate) fn request(&self, authority: SocketAddr) -> io::Result<Request<()>> {
        let mut request = Request::builder()
            .version(Version::HTTP_2)
            .method(Method::CONNECT)
            .uri(format!("https://{authority}{}", self.path))
            .extension(Protocol::from_static("websocket"))
            .body(())
            .map_err(io::Error::other)?;
        *request.headers_mut() = self.headers.clone();
        for name in [HOST, CONNECTION, UPGRADE, SEC_WEBSOCKET_KEY] {
            request.headers_mut().remove(name);
        }
        Ok(request)
    }

    /// The 101 in place of the gateway's 200, with its subprotocol and extensions, and the key's answer.
    pub(crate) fn accepted(&self, answer: &HeaderMap) -> Vec<u8> {
        let accept = derive_accept_key(self.headers[SEC_WEBSOCKET_KEY].as_bytes());
        let mut head = b"HTTP/1.1 101 Switching Protocols\r\n".to_vec();
        let own = [
            (CONNECTION, "Upgrade"),
            (UPGRADE, "websocket"),
            (SEC_WEBSOCKET_ACCEPT, accept.as_str()),
        ];
        let own = own.iter().map(|(name, value)| (name, value.as_bytes()));
        let others = answer.iter().map(|(name, value)| (name, value.as_bytes()));
        for (name, value) in own.chain(others) {
            head.extend_from_slice(name.as_str().as_bytes());
            head.extend_from_slice(b": ");
            head.extend_from_slice(value);
            head.extend_from_slice(b"\r\n");
        }
        head.extend_from_slice(b"\r\n");
        head
    }
}

/// More than any suite sends.
const HEAD_MAX_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "GET /echo?a=b HTTP/1.1\r\nHost: a:1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Extensions: permessage-deflate\r\nSec-WebSocket-Extensions: other";

    #[tokio::test]
    async fn what_follows_the_head_is_kept() {
        let mut bytes: &[u8] = &[HEAD.as_bytes(), b"\r\n\r\n\x81\x80"].concat();
        let mut buffer = BytesMut::new();
        Upgrade::read(&mut bytes, &mut buffer).await.unwrap();
        assert_eq!(&buffer[..], b"\x81\x80");
    }

    #[tokio::test]
    async fn a_head_that_breaks_off_is_an_error() {
        let mut bytes = HEAD.as_bytes();
        let read = Upgrade::read(&mut bytes, &mut BytesMut::new()).await;
        assert!(read.is_err());
    }

    #[test]
    fn an_upgrade_becomes_an_extended_connect() {
        let upgrade = Upgrade::parse(HEAD).unwrap();
        let request = upgrade.request("127.0.0.1:8443".parse().unwrap()).unwrap();
        assert_eq!(request.method(), Method::CONNECT);
        assert_eq!(request.uri(), "https://127.0.0.1:8443/echo?a=b");
        let protocol = request.extensions().get::<Protocol>().unwrap();
        assert_eq!(protocol.as_str(), "websocket");
        let mut names: Vec<&str> = request.headers().keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["sec-websocket-extensions", "sec-websocket-version"]);
        let offers = request.headers().get_all("sec-websocket-extensions");
        assert_eq!(offers.iter().count(), 2);
    }

    #[test]
    fn the_answer_has_the_key_s_answer_and_what_the_gateway_chose() {
        let mut chosen = HeaderMap::new();
        let deflate = HeaderValue::from_static("permessage-deflate");
        chosen.insert("sec-websocket-extensions", deflate);
        let answer = Upgrade::parse(HEAD).unwrap().accepted(&chosen);
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        // The example of RFC 6455 section 1.3.
        assert!(answer.contains("sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
        assert!(answer.ends_with("sec-websocket-extensions: permessage-deflate\r\n\r\n"));
    }

    #[test]
    fn what_is_no_upgrade_is_refused() {
        for head in [
            "",
            "POST / HTTP/1.1",
            "GET / HTTP/1.1",
            "GET /",
            "GET / HTTP/1.1\r\nA",
        ] {
            assert!(Upgrade::parse(head).is_none(), "{head}");
        }
    }
}
