//! The harness's own TCP proxy: a fault that is not caused would show nothing.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tidewire_tests::{Flow, Proxy, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A server that says back what it hears, until the end.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
                let _ = to.shutdown().await;
            });
        }
    });
    address
}

async fn connected() -> (Proxy, TcpStream) {
    let proxy = Proxy::start(echo().await, None).await.unwrap();
    let stream = TcpStream::connect(proxy.address()).await.unwrap();
    (proxy, stream)
}

async fn say(stream: &mut TcpStream, bytes: &[u8]) {
    within(stream.write_all(bytes)).await.unwrap();
}

async fn hear(stream: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    within(stream.read_exact(&mut bytes)).await.unwrap();
    bytes
}

/// That nothing comes can only be seen by waiting a while; a slow machine makes it no less true.
async fn hears_nothing(stream: &mut TcpStream) {
    let mut byte = [0; 1];
    let heard = tokio::time::timeout(Duration::from_millis(200), stream.read(&mut byte)).await;
    assert!(heard.is_err(), "{heard:?}");
}

/// Goal: what passes is unchanged, and so is the end. Method: a megabyte, then a FIN.
#[tokio::test]
async fn what_passes_is_unchanged_and_the_end_is_told() {
    let (proxy, stream) = connected().await;
    let bytes: Vec<u8> = (0..1 << 20).map(|n: u32| (n / 7) as u8).collect();
    let (mut from, mut to) = stream.into_split();
    let sent = bytes.clone();
    let saying = tokio::spawn(async move {
        to.write_all(&sent).await.unwrap();
        to.shutdown().await.unwrap();
    });
    let mut heard = Vec::new();
    within(from.read_to_end(&mut heard)).await.unwrap();
    within(saying).await.unwrap();
    assert!(heard == bytes);
    within(async {
        while proxy.open() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// Goal: a stalled direction holds the bytes and loses none. Method: say something, see nothing, heal.
#[tokio::test]
async fn a_stalled_direction_holds_the_bytes_and_loses_none() {
    for (to_target, to_client) in [(Flow::Stall, Flow::Pass), (Flow::Pass, Flow::Stall)] {
        let (proxy, mut stream) = connected().await;
        say(&mut stream, b"a").await;
        assert_eq!(hear(&mut stream, 1).await, b"a");
        proxy.flow(to_target, to_client);
        say(&mut stream, b"bc").await;
        hears_nothing(&mut stream).await;
        proxy.heal();
        assert_eq!(hear(&mut stream, 2).await, b"bc");
    }
}

/// Goal: a delay and a rate take at least their time. Method: the clock; load only makes it longer.
#[tokio::test]
async fn a_delay_and_a_rate_take_their_time() {
    let (proxy, mut stream) = connected().await;
    proxy.flow(Flow::Delay(Duration::from_millis(150)), Flow::Pass);
    let began = Instant::now();
    say(&mut stream, b"x").await;
    hear(&mut stream, 1).await;
    assert!(began.elapsed() >= Duration::from_millis(150));

    let bytes_per_second = 10_000;
    proxy.flow(Flow::Pass, Flow::Throttle { bytes_per_second });
    let began = Instant::now();
    say(&mut stream, &[7; 4_000]).await;
    assert_eq!(hear(&mut stream, 4_000).await, [7; 4_000]);
    // The last of eight pieces need not wait for its tick.
    assert!(began.elapsed() >= Duration::from_millis(300));
}

/// Goal: a cut is an end in order, a reset is none. Method: what the client's socket says.
#[tokio::test]
async fn a_cut_is_an_end_and_a_reset_is_an_error() {
    let (proxy, mut stream) = connected().await;
    say(&mut stream, b"a").await;
    hear(&mut stream, 1).await;
    proxy.cut();
    assert_eq!(within(stream.read(&mut [0; 1])).await.unwrap(), 0);

    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    say(&mut stream, b"b").await;
    assert_eq!(
        hear(&mut stream, 1).await,
        b"b",
        "only what was open is cut"
    );
    proxy.reset();
    let error = within(stream.read(&mut [0; 1])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

/// Goal: a stranded connection is silent and stays, new ones work. Method: one before, one after, then heal.
#[tokio::test]
async fn a_stranded_connection_is_silent_while_new_ones_work() {
    let (proxy, mut old) = connected().await;
    say(&mut old, b"a").await;
    hear(&mut old, 1).await;
    proxy.strand();
    say(&mut old, b"lost").await;
    let mut new = TcpStream::connect(proxy.address()).await.unwrap();
    say(&mut new, b"b").await;
    assert_eq!(hear(&mut new, 1).await, b"b");
    hears_nothing(&mut old).await;

    proxy.heal();
    assert_eq!(within(old.read(&mut [0; 1])).await.unwrap(), 0, "it is cut");
    say(&mut new, b"c").await;
    assert_eq!(hear(&mut new, 1).await, b"c");
}
