//! A proxy that swallows answers when it is told.
//! Shape: a task for each connection and direction; what the target says is read and dropped while
//! `swallows` is set, and every connection ends at a cut.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A running proxy. Dropping it ends every connection.
pub(crate) struct Proxy {
    /// `https://127.0.0.1:PORT`.
    pub(crate) url: String,
    swallows: Arc<AtomicBool>,
    /// How often it was cut.
    cuts: watch::Sender<u32>,
}

impl Proxy {
    pub(crate) async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let swallows = Arc::new(AtomicBool::new(false));
        let (cuts, cut) = watch::channel(0);
        let accepting = {
            let swallows = Arc::clone(&swallows);
            async move {
                // A proxy that is gone has no sender any more.
                while cut.has_changed().is_ok() {
                    let (client, _) = listener.accept().await.unwrap();
                    tokio::spawn(carry(client, target, Arc::clone(&swallows), cut.clone()));
                }
            }
        };
        tokio::spawn(accepting);
        Self {
            url,
            swallows,
            cuts,
        }
    }

    /// From now on no answer comes through, until the cut.
    pub(crate) fn swallow(&self) {
        self.swallows.store(true, Ordering::SeqCst);
    }

    /// Ends every connection; later ones pass.
    pub(crate) fn cut(&self) {
        self.swallows.store(false, Ordering::SeqCst);
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}

async fn carry(
    client: TcpStream,
    target: SocketAddr,
    swallows: Arc<AtomicBool>,
    mut cut: watch::Receiver<u32>,
) {
    cut.mark_unchanged();
    // A target that is not there is the client's to find out: the connection ends.
    let Ok(server) = TcpStream::connect(target).await else {
        return;
    };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let there = async {
        tokio::io::copy(&mut from_client, &mut to_server)
            .await
            .is_ok()
    };
    let back = async {
        let mut buffer = vec![0; 16_384];
        while let Ok(read @ 1..) = from_server.read(&mut buffer).await {
            let passes = !swallows.load(Ordering::SeqCst);
            if passes && to_client.write_all(&buffer[..read]).await.is_err() {
                return;
            }
        }
    };
    // A connection that swallows stays open towards the client, whatever becomes of the target.
    let carrying = async {
        tokio::join!(there, back);
    };
    tokio::select! {
        () = carrying => {}
        _ = cut.changed() => {}
    }
}
