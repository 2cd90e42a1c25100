//! A TCP proxy in user space that behaves as badly as it is told.
//! Shape: one listener and one target; a task for each connection copies its two directions apart.
//! Orders are given at run time, to what is open and to what comes.
//! Unit: chunks of at most [`CHUNK`] bytes; a rate counts bytes a second in one direction.
//! Bound: one chunk in each direction beside the buffers of the sockets.
//! Failure: a target that cannot be reached closes the client's connection.
//! Source: the fault list: half-open, slow, cut and reset connections.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

/// A running proxy. Dropping it ends every connection.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    orders: watch::Sender<Orders>,
    counts: Arc<Counts>,
    _running: DropGuard,
}

/// What happens to the bytes of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flow {
    /// They pass.
    #[default]
    Pass,
    /// Each chunk waits so long.
    Delay(Duration),
    /// So many pass in a second.
    Throttle {
        /// At least 1.
        bytes_per_second: u32,
    },
    /// Nothing is read any more: the sender's socket fills up. What was held goes on afterwards.
    Stall,
}

/// What holds for every connection now.
#[derive(Clone, Copy, Debug, Default)]
struct Orders {
    to_target: Flow,
    to_client: Flow,
    /// Connections up to this number swallow what comes, for ever.
    stranded: u64,
    /// Connections up to this number end in order.
    cut: u64,
    /// Connections up to this number are reset.
    reset: u64,
}

#[derive(Debug, Default)]
struct Counts {
    /// Connections that were accepted, ever: the number of the newest.
    accepted: AtomicU64,
    open: AtomicU64,
}

impl Proxy {
    /// Listens on a free port of the loopback address. `receive_buffer` makes the sockets towards the
    /// target small, as those of a slow reader are.
    ///
    /// # Errors
    /// No socket.
    pub async fn start(target: SocketAddr, receive_buffer: Option<u32>) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (orders, _) = watch::channel(Orders::default());
        let running = CancellationToken::new();
        let accepting = Accepting {
            target,
            receive_buffer,
            orders: orders.clone(),
            counts: Arc::default(),
            running: running.clone(),
        };
        let counts = Arc::clone(&accepting.counts);
        tokio::spawn(accepting.run(listener));
        Ok(Self {
            address,
            orders,
            counts,
            _running: running.drop_guard(),
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections that are open.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.counts.open.load(Ordering::Acquire)
    }

    /// What happens from now on, in each direction.
    pub fn flow(&self, to_target: Flow, to_client: Flow) {
        self.orders.send_modify(|orders| {
            orders.to_target = to_target;
            orders.to_client = to_client;
        });
    }

    /// Every open connection ends with a FIN on both sides; what a stall has held is lost.
    pub fn cut(&self) {
        let newest = self.newest();
        self.orders.send_modify(|orders| orders.cut = newest);
    }

    /// Every open connection ends with a RST on both sides.
    pub fn reset(&self) {
        let newest = self.newest();
        self.orders.send_modify(|orders| orders.reset = newest);
    }

    /// Every open connection becomes half-open: its sockets stay, and what comes is swallowed, also an
    /// end. New connections are as always.
    pub fn strand(&self) {
        let newest = self.newest();
        self.orders.send_modify(|orders| orders.stranded = newest);
    }

    /// Everything passes again; stranded connections are cut, because their bytes are lost.
    pub fn heal(&self) {
        self.orders.send_modify(|orders| {
            *orders = Orders {
                cut: orders.cut.max(orders.stranded),
                reset: orders.reset,
                ..Orders::default()
            };
        });
    }

    fn newest(&self) -> u64 {
        self.counts.accepted.load(Ordering::Acquire)
    }
}

/// What the accept loop needs.
struct Accepting {
    target: SocketAddr,
    receive_buffer: Option<u32>,
    orders: watch::Sender<Orders>,
    counts: Arc<Counts>,
    running: CancellationToken,
}

impl Accepting {
    async fn run(self, listener: TcpListener) {
        loop {
            let client = tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((client, _)) => client,
                    // No descriptor is free, or the client has gone: the next one may do.
                    Err(_) => continue,
                },
                () = self.running.cancelled() => return,
            };
            let number = self.counts.accepted.fetch_add(1, Ordering::AcqRel) + 1;
            self.counts.open.fetch_add(1, Ordering::AcqRel);
            let orders = self.orders.subscribe();
            let counts = Arc::clone(&self.counts);
            let running = self.running.clone();
            let (target, receive_buffer) = (self.target, self.receive_buffer);
            tokio::spawn(async move {
                let carrying = carry(client, target, receive_buffer, number, orders);
                tokio::select! {
                    // Whatever ends it, the sockets are closed: that is all that anyone learns.
                    _ = carrying => {}
                    () = running.cancelled() => {}
                }
                counts.open.fetch_sub(1, Ordering::AcqRel);
            });
        }
    }
}

/// One connection from its accept to its end.
async fn carry(
    mut client: TcpStream,
    target: SocketAddr,
    receive_buffer: Option<u32>,
    number: u64,
    orders: watch::Receiver<Orders>,
) -> io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    if let Some(bytes) = receive_buffer {
        socket.set_recv_buffer_size(bytes)?;
    }
    let mut server = socket.connect(target).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;

    let mut ending = orders.clone();
    let end = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let there = Copy {
            number,
            orders: orders.clone(),
            flow: |orders| orders.to_target,
        };
        let back = Copy {
            number,
            orders,
            flow: |orders| orders.to_client,
        };
        tokio::select! {
            // An end first: what was held when it was ordered does not pass, whatever is ordered after it.
            biased;
            end = ending.wait_for(|orders| orders.cut >= number || orders.reset >= number) => {
                end.map(|orders| *orders)
            }
            copied = async {
                tokio::try_join!(there.run(from_client, to_server), back.run(from_server, to_client))
            } => {
                copied?;
                return Ok(());
            }
        }
    };
    match end {
        Ok(orders) if orders.reset >= number => {
            for stream in [&client, &server] {
                SockRef::from(stream).set_linger(Some(Duration::ZERO))?;
            }
        }
        // The FIN goes first: closing with unread bytes would be a reset.
        Ok(_) => {
            client.shutdown().await?;
            server.shutdown().await?;
        }
        Err(_proxy_is_gone) => {}
    }
    Ok(())
}

/// One direction of one connection.
struct Copy {
    number: u64,
    orders: watch::Receiver<Orders>,
    flow: fn(&Orders) -> Flow,
}

impl Copy {
    /// Copies until the end of what is read. Orders count from the next piece on.
    async fn run(mut self, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>) -> io::Result<()> {
        let mut buffer = vec![0; CHUNK];
        let mut rest = 0..0;
        loop {
            let (flow, stranded) = {
                let orders = self.orders.borrow_and_update();
                ((self.flow)(&orders), orders.stranded >= self.number)
            };
            if flow == Flow::Stall && !stranded {
                self.changed().await;
                continue;
            }
            if rest.is_empty() {
                let read = tokio::select! {
                    read = from.read(&mut buffer) => read?,
                    () = self.changed() => continue,
                };
                if read == 0 && stranded {
                    return Ok(());
                }
                if read == 0 {
                    return to.shutdown().await;
                }
                rest = 0..read;
                // What was ordered while it waited counts for this chunk already.
                continue;
            }
            if stranded {
                rest = 0..0;
                continue;
            }
            match flow {
                Flow::Pass => {
                    to.write_all(&buffer[rest.clone()]).await?;
                    rest = 0..0;
                }
                Flow::Delay(pause) => {
                    tokio::time::sleep(pause).await;
                    to.write_all(&buffer[rest.clone()]).await?;
                    rest = 0..0;
                }
                Flow::Throttle { bytes_per_second } => {
                    let piece = (bytes_per_second as usize / TICKS_PER_SECOND).max(1);
                    let end = rest.end.min(rest.start + piece);
                    to.write_all(&buffer[rest.start..end]).await?;
                    rest.start = end;
                    let tick = Duration::from_secs(1) / TICKS_PER_SECOND as u32;
                    tokio::time::sleep(tick).await;
                }
                Flow::Stall => {}
            }
        }
    }

    /// Waits for other orders; for ever, when nobody can give any.
    async fn changed(&mut self) {
        if self.orders.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// What is read at once.
const CHUNK: usize = 16 * 1024;
/// How often in a second a throttled direction moves.
const TICKS_PER_SECOND: usize = 20;
