//! Idle memory for each connection: raw HTTP/1.1 over TLS 1.3, one connection for each subscriber, nothing being
//! delivered. Their number is the only thing that changes between two looks at the gateway's resident memory.

use std::time::Duration;

use tidewire_client::NewEvent;
use tidewire_tests::{Engine, Executable};

use crate::connection::{Connection, Target};
use crate::{Failure, row, table};

pub(crate) async fn measure() -> Result<(), Failure> {
    let title = format!("Idle memory per connection, {CONNECTIONS} connections over TLS");
    table(&title, &["transport", "KiB"]);
    for (name, path, headers) in [
        ("WebSocket", "/ws?topic=idle.a", UPGRADE),
        ("SSE", "/sse?topic=idle.a", ""),
        ("long-poll, held", "/poll?topic=idle.a&wait=55&after=", ""),
    ] {
        let folder = Executable::folder();
        let gateway = Executable::start(folder.path(), Engine::Disk, "127.0.0.1:0").await;
        let event = NewEvent::json("idle.a", "first")?;
        let cursor = gateway.client().publish(&event).await?.id.to_string();
        let path = match path.strip_suffix("after=") {
            Some(_) => format!("{path}{cursor}"),
            None => path.to_owned(),
        };
        let target = Target::of(&gateway)?;
        // The first hundred pay for what all of them share.
        let mut held = Vec::new();
        open(&mut held, 100, &target, &path, headers).await?;
        let before = settled(&gateway).await;
        open(&mut held, CONNECTIONS, &target, &path, headers).await?;
        let after = settled(&gateway).await;
        let each = (after - before) as f64 / CONNECTIONS as f64 / 1024.0;
        row(&[name, &format!("{each:.1}")]);
    }
    Ok(())
}

async fn open(
    held: &mut Vec<Connection>,
    count: usize,
    target: &Target,
    path: &str,
    headers: &str,
) -> Result<(), Failure> {
    for number in 0..count {
        let mut connection = target.connect(number).await?;
        connection.get(path, headers).await?;
        // A held poll answers nothing yet.
        if !path.starts_with("/poll") {
            connection.head().await?;
        }
        held.push(connection);
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

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const CONNECTIONS: usize = 2_000;
