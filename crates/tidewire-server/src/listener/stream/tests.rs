use std::net::{IpAddr, Ipv4Addr};

use tokio::net::TcpListener;

use super::*;
use crate::limits::quota::Quota;

async fn pair(write_timeout: Duration) -> (Wire, TcpStream) {
    pair_under(&Quota::new(1, 1), write_timeout).await
}

async fn pair_under(quota: &Arc<Quota>, write_timeout: Duration) -> (Wire, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (near, far) = tokio::join!(listener.accept(), TcpStream::connect(address));
    let permit = quota.take(Some(IpAddr::V4(Ipv4Addr::LOCALHOST))).unwrap();
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

#[tokio::test]
async fn what_a_peer_sends_after_the_end_is_read_up_to_a_bound() {
    let (mut wire, mut far) = pair(DEADLINE).await;
    let socket = wire.socket.take().unwrap();
    let sending = async { while far.write_all(&[1; 65536]).await.is_ok() {} };
    let read = tokio::select! {
        read = timeout(DEADLINE, read_away(socket)) => read,
        () = sending => panic!("the peer was cut before it had sent as much"),
    };
    read.expect("all of it was read").unwrap();
}

/// Goal: a peer that stays silent after the end does not keep its place. Method: the clock is moved.
#[tokio::test]
async fn the_place_of_a_connection_that_has_ended_is_free_after_a_while() {
    let quota = Quota::new(1, 1);
    let (wire, _far) = pair_under(&quota, DEADLINE).await;
    drop(wire);
    assert_eq!(quota.held(), 1);
    tokio::time::pause();
    tokio::time::sleep(LINGER + Duration::from_secs(1)).await;
    assert_eq!(quota.held(), 0);
}

/// Only catches a hang.
const DEADLINE: Duration = Duration::from_secs(20);
