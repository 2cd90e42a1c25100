//! What `BENCHMARKING.md` states: idle memory for each connection, and acknowledged publishes a second.
//!
//! `cargo build --release && cargo run --release -p tidewire-tests --example measure`
//!
//! The gateway is the release binary in a process of its own, on its disk engine; the load comes from
//! this process over loopback. Connections are raw HTTP/1.1 over TLS 1.3, one for each subscriber, and
//! idle: their number is the only thing that changes between two looks at the gateway's resident memory.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use tidewire_client::NewEvent;
use tidewire_tests::{Engine, Executable};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    println!("idle memory, {CONNECTIONS} connections each, TLS 1.3, HTTP/1.1");
    for (name, path, is_upgrade) in [
        ("websocket", "/ws?topic=idle.a", true),
        ("sse", "/sse?topic=idle.a", false),
        ("poll (held)", "/poll?topic=idle.a&wait=55&after=", false),
    ] {
        let folder = Executable::folder();
        let gateway = Executable::start(folder.path(), Engine::Disk, "127.0.0.1:0").await;
        let cursor = publish(&gateway, "idle.a").await?;
        let path = if path.ends_with('=') {
            format!("{path}{cursor}")
        } else {
            path.to_owned()
        };
        let connector = connector(gateway.certificate())?;
        // The first hundred pay for what all of them share.
        let mut held = Vec::new();
        open(&mut held, 100, &connector, &gateway, &path, is_upgrade).await?;
        let before = settled(&gateway).await;
        open(
            &mut held,
            CONNECTIONS,
            &connector,
            &gateway,
            &path,
            is_upgrade,
        )
        .await?;
        let after = settled(&gateway).await;
        let each = (after - before) as f64 / CONNECTIONS as f64 / 1024.0;
        println!("  {name:12} {each:6.1} KiB");
    }

    println!("acknowledged publishes on the disk engine, 128 bytes of data");
    for parallel in [1, 64] {
        let folder = Executable::folder();
        let gateway = Executable::start(folder.path(), Engine::Disk, "127.0.0.1:0").await;
        let mut rates: Vec<f64> = Vec::new();
        for _ in 0..ROUNDS {
            rates.push(publish_for(&gateway, parallel).await?);
        }
        rates.sort_by(f64::total_cmp);
        println!(
            "  {parallel:2} in parallel  {:6.0} a second (median of {ROUNDS}; {:.0} to {:.0})",
            rates[ROUNDS / 2],
            rates[0],
            rates[ROUNDS - 1]
        );
    }
    Ok(())
}

fn connector(certificate: &[u8]) -> Result<TlsConnector, Failure> {
    let mut trusted = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(certificate) {
        trusted.add(certificate?)?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(trusted)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

async fn open(
    held: &mut Vec<TlsStream<TcpStream>>,
    count: usize,
    connector: &TlsConnector,
    gateway: &Executable,
    path: &str,
    is_upgrade: bool,
) -> Result<(), Failure> {
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let upgrade = if is_upgrade { upgrade } else { "" };
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {}\r\n{upgrade}\r\n",
        gateway.address()
    );
    for number in 0..count {
        // A gateway takes a thousand connections of one address: several addresses of loopback.
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.bind(([127, 0, 1, u8::try_from(number % 8)? + 1], 0).into())?;
        let tcp = socket.connect(gateway.address().parse()?).await?;
        let mut tls = connector
            .connect(ServerName::try_from("127.0.0.1")?, tcp)
            .await?;
        tls.write_all(request.as_bytes()).await?;
        // A held poll answers nothing; the others begin with their headers and `hello`.
        if !path.starts_with("/poll") {
            let mut first = [0; 512];
            let read = tls.read(&mut first).await?;
            let is_good = first.starts_with(b"HTTP/1.1 101") || first.starts_with(b"HTTP/1.1 200");
            assert!(is_good, "{}", String::from_utf8_lossy(&first[..read]));
        }
        held.push(tls);
    }
    Ok(())
}

/// Resident bytes once they have not changed for a while: handshakes give memory back late.
async fn settled(gateway: &Executable) -> i64 {
    let mut last = 0;
    loop {
        let now = i64::try_from(gateway.memory().0).unwrap_or(i64::MAX);
        if now == last {
            return now;
        }
        last = now;
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
}

async fn publish(gateway: &Executable, topic: &str) -> Result<String, Failure> {
    let event = NewEvent::json(topic, "first")?;
    Ok(gateway.client().publish(&event).await?.id.to_string())
}

/// Each publisher awaits its answer before its next event.
async fn publish_for(gateway: &Executable, parallel: usize) -> Result<f64, Failure> {
    let client = gateway.client();
    let started = Instant::now();
    let mut publishers = tokio::task::JoinSet::new();
    for publisher in 0..parallel {
        let client = client.clone();
        publishers.spawn(async move {
            let data = "x".repeat(126);
            let mut answers = 0_u32;
            while started.elapsed() < ROUND {
                let event = NewEvent::json(format!("load.{publisher}"), &data)?;
                client.publish(&event).await?;
                answers += 1;
            }
            Ok::<_, Failure>(answers)
        });
    }
    let mut answers = 0;
    while let Some(count) = publishers.join_next().await {
        answers += count??;
    }
    Ok(f64::from(answers) / started.elapsed().as_secs_f64())
}

const CONNECTIONS: usize = 2_000;
const ROUNDS: usize = 3;
const ROUND: Duration = Duration::from_secs(5);
