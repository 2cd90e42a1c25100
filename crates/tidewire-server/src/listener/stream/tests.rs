use std::net::{IpAddr, Ipv4Addr};

use tokio::net::TcpListener;

use super::*;
use crate::limits::quota::Quota;

async fn pair(write_timeout: Duration) -> (Wire, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (near, far) = tokio::join!(listener.accept(), TcpStream::connect(address));
    let permit = Quota::new(1, 1)
        .take(Some(IpAddr::V4(Ipv4Addr::LOCALHOST)))
        .unwrap();
    (
        Wire::new(near.unwrap().0, write_timeout, permit),
        far.unwrap(),
    )
}

#[tokio::test]
async fn a_peer_that_takes_no_byte_is_given_up() {
    let (mut wire, _far) = pair(Duration::from_millis(50)).await;
    let written = async {
        loop {
            if let Err(error) = wire.write_all(&[0; 65536]).await {
                return error.kind();
            }
        }
    };
    assert_eq!(
        timeout(DEADLINE, written).await.unwrap(),
        io::ErrorKind::TimedOut
    );
}

#[tokio::test]
async fn the_last_bytes_arrive_although_the_peer_has_sent_more_than_was_read() {
    let (mut wire, mut far) = pair(DEADLINE).await;
    far.write_all(&[1; 100_000]).await.unwrap();
    let mut one = [0];
    wire.read_exact(&mut one).await.unwrap();
    wire.write_all(b"goodbye").await.unwrap();
    drop(wire);
    let mut heard = Vec::new();
    timeout(DEADLINE, far.read_to_end(&mut heard))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(heard, b"goodbye");
}

/// Only catches a hang.
const DEADLINE: Duration = Duration::from_secs(20);
