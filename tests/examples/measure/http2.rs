//! Many streams on one HTTP/2 connection over TLS 1.3.

use h2::RecvStream;
use tokio::task::AbortHandle;

use crate::Failure;
use crate::connection::Target;

/// One connection with its open streams.
pub(crate) struct Http2 {
    connection: AbortHandle,
    #[expect(dead_code, reason = "a dropped stream is reset")]
    streams: Vec<RecvStream>,
}

impl Http2 {
    /// Connects and opens so many streams with this path; each has answered when this is ready.
    pub(crate) async fn connect(
        target: &Target,
        number: usize,
        path: &str,
        streams: usize,
    ) -> Result<Self, Failure> {
        let tls = target.connect_tls(number, &[b"h2"]).await?;
        let (mut requests, connection) = h2::client::Builder::new()
            .initial_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES)
            .handshake::<_, &[u8]>(tls)
            .await?;
        let connection = tokio::spawn(connection).abort_handle();
        let mut open = Vec::new();
        for _ in 0..streams {
            requests = requests.ready().await?;
            let uri = format!("https://{}{path}", target.address());
            let request = http::Request::get(uri).body(())?;
            let (response, _) = requests.send_request(request, true)?;
            let response = response.await?;
            if response.status() != http::StatusCode::OK {
                return Err(format!("{path}: {}", response.status()).into());
            }
            open.push(response.into_body());
        }
        Ok(Self {
            connection,
            streams: open,
        })
    }
}

impl Drop for Http2 {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// Enough for every heartbeat of a measurement: nothing is read.
const WINDOW_BYTES: u32 = 64 * 1024 * 1024;
