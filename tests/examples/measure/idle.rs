//! Idle memory for each subscriber: TLS 1.3, nothing being delivered but heartbeats. Their number is the only thing that
//! changes between two looks at the gateway's resident memory. Over HTTP/1.1 and WebSocket each has a connection of its
//! own; over HTTP/2 a hundred share one, whose own memory is counted for them, or all of them share a single one.

use std::process::Command;
use std::time::Duration;

use tidewire_client::NewEvent;
use tidewire_tests::{Engine, Executable};
use tokio::task::JoinSet;

use crate::connection::{Connection, Target};
use crate::http2::Http2;
use crate::{Failure, row, table};

pub(crate) async fn measure(connections: u64) -> Result<(), Failure> {
    let connections = usize::try_from(connections)?;
    allow_files(connections + SPARE_FILES)?;
    let title = format!("Idle memory per subscriber, {connections} subscribers over TLS");
    table(&title, &["transport", "KiB"]);
    for kind in [
        Kind::Upgrade,
        Kind::Stream,
        Kind::Shared(PER_CONNECTION),
        Kind::Shared(connections),
        Kind::Poll,
    ] {
        let folder = Executable::folder();
        let limits = LIMITS.map(|name| (name, "1000000"));
        let gateway = Executable::with(folder.path(), Engine::Disk, "127.0.0.1:0", &limits).await;
        let event = NewEvent::json("idle.a", "first")?;
        let cursor = gateway.client().publish(&event).await?.id.to_string();
        let target = Target::of(&gateway)?;
        let mut held = Vec::new();
        // The first pay for what all of them share.
        let first = match kind {
            Kind::Shared(_) => Kind::Shared(PER_CONNECTION),
            Kind::Upgrade | Kind::Stream | Kind::Poll => kind,
        };
        first.open(&mut held, 100, &target, &cursor).await?;
        let before = settled(&gateway).await;
        kind.open(&mut held, connections, &target, &cursor).await?;
        let after = settled(&gateway).await;
        let each = (after - before) as f64 / connections as f64 / 1024.0;
        row(&[&kind.name(), &format!("{each:.1}")]);
    }
    Ok(())
}

/// What a subscriber is.
#[derive(Clone, Copy)]
enum Kind {
    /// A WebSocket over HTTP/1.1.
    Upgrade,
    /// SSE over HTTP/1.1.
    Stream,
    /// SSE over HTTP/2, so many of them on a connection.
    Shared(usize),
    /// A held poll over HTTP/1.1.
    Poll,
}

/// Only kept, so that it stays open.
#[expect(dead_code, reason = "an open connection, of which nothing is read")]
enum Held {
    Own(Box<Connection>),
    Shared(Box<Http2>),
}

impl Kind {
    fn name(self) -> String {
        match self {
            Self::Upgrade => "WebSocket".to_owned(),
            Self::Stream => "SSE over HTTP/1.1".to_owned(),
            Self::Shared(count) => format!("SSE over HTTP/2, {count} streams on a connection"),
            Self::Poll => "long-poll, held".to_owned(),
        }
    }

    /// Opens so many subscribers, some at a time.
    async fn open(
        self,
        held: &mut Vec<Held>,
        count: usize,
        target: &Target,
        cursor: &str,
    ) -> Result<(), Failure> {
        let together = match self {
            Self::Shared(streams) => streams,
            Self::Upgrade | Self::Stream | Self::Poll => 1,
        };
        let mut opening = JoinSet::new();
        for number in 0..count.div_ceil(together) {
            if opening.len() == AT_ONCE
                && let Some(opened) = opening.join_next().await
            {
                held.push(opened??);
            }
            let (target, cursor) = (target.clone(), cursor.to_owned());
            opening.spawn(async move { self.one(number, &target, &cursor).await });
        }
        while let Some(opened) = opening.join_next().await {
            held.push(opened??);
        }
        Ok(())
    }

    async fn one(self, number: usize, target: &Target, cursor: &str) -> Result<Held, Failure> {
        if let Self::Shared(streams) = self {
            let http2 = Http2::connect(target, number, "/sse?topic=idle.a", streams).await?;
            return Ok(Held::Shared(Box::new(http2)));
        }
        let mut connection = target.connect(number).await?;
        if let Self::Poll = self {
            // It answers nothing yet.
            let path = format!("/poll?topic=idle.a&wait=55&after={cursor}");
            connection.get(&path, "").await?;
        } else if let Self::Upgrade = self {
            connection.get("/ws?topic=idle.a", UPGRADE).await?;
            connection.head().await?;
        } else {
            connection.get("/sse?topic=idle.a", "").await?;
            connection.head().await?;
        }
        Ok(Held::Own(Box::new(connection)))
    }
}

/// Resident bytes after a heartbeat, and once they have not changed for a while: handshakes give memory back late.
async fn settled(gateway: &Executable) -> i64 {
    tokio::time::sleep(HEARTBEAT).await;
    let (mut last, mut same) = (0, 0);
    loop {
        tokio::time::sleep(LOOK).await;
        let now = i64::try_from(gateway.memory().0).unwrap_or(i64::MAX);
        same = if now == last { same + 1 } else { 0 };
        if same == SAME_LOOKS {
            return now;
        }
        last = now;
    }
}

/// Raises what this process and its children may have open, where it is too little.
fn allow_files(needed: usize) -> Result<(), Failure> {
    let limits = std::fs::read_to_string("/proc/self/limits")?;
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().nth(3)?.parse::<usize>().ok());
    if soft.is_none_or(|soft| soft >= needed) {
        return Ok(());
    }
    let own = std::process::id().to_string();
    let raised = Command::new("prlimit")
        .args(["--pid", &own, &format!("--nofile={needed}:")])
        .status()?;
    if !raised.success() {
        return Err(format!("{needed} open files are needed: ulimit -n {needed}").into());
    }
    Ok(())
}

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
/// They are about attacks, and all of this comes from one address.
const LIMITS: [&str; 5] = [
    "TIDEWIRE_LIMITS__CONNECTIONS_PER_ADDRESS",
    "TIDEWIRE_LIMITS__CONNECTIONS_TOTAL",
    "TIDEWIRE_LIMITS__SESSIONS_PER_ADDRESS",
    "TIDEWIRE_LIMITS__SESSIONS_TOTAL",
    "TIDEWIRE_LIMITS__HTTP2_STREAMS",
];
/// Streams on a connection that several share.
const PER_CONNECTION: usize = 100;
/// Handshakes on their way.
const AT_ONCE: usize = 32;
/// What a process has open beside the connections.
const SPARE_FILES: usize = 500;
/// A little more than the gateway's.
const HEARTBEAT: Duration = Duration::from_secs(18);
/// Between two looks at the memory.
const LOOK: Duration = Duration::from_secs(1);
/// So many looks say the same.
const SAME_LOOKS: usize = 3;
