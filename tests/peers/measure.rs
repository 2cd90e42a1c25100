//! One run: a fresh server, one load on it, its figures.
//!
//! Shape: [`plan`] says the load in the words of the load tool, [`figures`] takes what the tables show out of its report.
//! Bound: each phase has its own in the load tool. Failure: the server's own words, or the load tool's; the server is
//! stopped in any case.

use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tidewire_bench::RunError;
use tidewire_bench::plan::{Group, Load, Pace, Plan, Scenario as Happening};
use tidewire_bench::protocol::{Protocol, Publishing};
use tidewire_bench::report;
use tidewire_bench::target::{Target, Trust};
use tidewire_bench::tidewire::{Publish, Tidewire, Transport as TidewireTransport};
use tokio::sync::oneshot;

use crate::Failure;
use crate::peer::{Peer, Places};
use crate::protocol::post::Post;
use crate::protocol::{Spoken, event_stream, long_poll, nats, socketio, websocket};
use crate::results::Figures;
use crate::scenario::Scenario;
use crate::server::Server;
use crate::transport::Transport;

/// How much of each load.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) subscribers: usize,
    /// Connections of the idle load.
    pub(crate) idle: usize,
    /// The measured part.
    pub(crate) measured: Duration,
}

/// Starts the server, puts the load on it, stops it.
pub(crate) async fn measure(
    peer: Peer,
    transport: Transport,
    scenario: Scenario,
    settings: &Settings,
    places: &Places,
) -> Result<Figures, Failure> {
    let folder = TempDir::with_prefix_in(format!("{}-", peer.name()), &places.work)?;
    let server = peer.start(places, folder.path()).await?;
    let measured = match plan(peer, transport, scenario, settings, &server) {
        Ok(plan) => run(plan).await,
        Err(failure) => Err(failure),
    };
    server.stop().await;
    let run = measured?;
    if scenario != Scenario::Idle && run.deliveries == 0 {
        return Err("nothing was delivered while it was measured".into());
    }
    Ok(figures(&run))
}

/// How a peer is published to.
pub(crate) fn publishing(peer: Peer) -> Arc<dyn Publishing> {
    match peer {
        Peer::Tidewire | Peer::TidewireDisk | Peer::TidewireFlush => {
            Arc::new(Publish::websocket(None))
        }
        Peer::Nats => Arc::new(nats::Stream),
        Peer::Nchan | Peer::Ws | Peer::SocketIo | Peer::Pushpin => Arc::new(Post),
    }
}

/// What its subscribers speak.
fn protocol(peer: Peer, transport: Transport) -> Arc<dyn Protocol> {
    let subscriber = match (peer, transport) {
        (Peer::Tidewire | Peer::TidewireDisk | Peer::TidewireFlush, _) => {
            let transport = match transport {
                Transport::WebSocket => TidewireTransport::WebSocket,
                Transport::Sse => TidewireTransport::Sse,
                Transport::Streams => TidewireTransport::SseShared {
                    streams: STREAMS_OF_A_CONNECTION,
                },
                Transport::Poll => TidewireTransport::LongPoll,
            };
            return Arc::new(Tidewire::new(transport, None));
        }
        (Peer::Nats, _) => nats::subscriber,
        (Peer::SocketIo, _) => socketio::subscriber,
        (_, Transport::Poll) => long_poll::subscriber,
        (_, Transport::Sse | Transport::Streams) => event_stream::subscriber,
        (Peer::Pushpin, Transport::WebSocket) => websocket::greeted_subscriber,
        (_, Transport::WebSocket) => websocket::subscriber,
    };
    Arc::new(Spoken {
        server: peer.title(),
        transport: transport.title(),
        subscriber,
    })
}

fn plan(
    peer: Peer,
    transport: Transport,
    scenario: Scenario,
    settings: &Settings,
    server: &Server,
) -> Result<Plan, Failure> {
    // Signatures are checked all the same; the certificate is for nobody.
    let parse = match peer {
        Peer::Pushpin => Target::parse_tls12,
        _ => Target::parse,
    };
    let publishing = publishing(peer);
    // Those that wait for each answer need several, or the pauses between them would be measured.
    let is_acknowledged = matches!(
        peer,
        Peer::Nchan | Peer::Ws | Peer::SocketIo | Peer::Pushpin
    );
    let publishers = match scenario {
        Scenario::Full if is_acknowledged => POSTING_PUBLISHERS,
        _ => 1,
    };
    let pace = match scenario.rate() {
        Some(rate) => Pace::Rate(rate),
        None => Pace::Outstanding(OUTSTANDING / publishers as u32),
    };
    let is_idle = scenario == Scenario::Idle;
    Ok(Plan {
        name: peer.name().to_owned(),
        groups: vec![Group {
            protocol: protocol(peer, transport),
            target: parse(&server.subscribe_url(), &Trust::Anyone)?,
            subscribers: if is_idle {
                settings.idle
            } else {
                settings.subscribers
            },
        }],
        publishing,
        publish_to: parse(&server.publish_url, &Trust::Anyone)?,
        scenario: if is_idle {
            Happening::Idle
        } else {
            Happening::FanOut
        },
        load: Load {
            pace,
            publishers,
            duration: settings.measured,
            connect_timeout: CONNECT_TIMEOUT,
            settle_timeout: SETTLE_TIMEOUT,
            ..Load::default()
        },
        processes: server.pid().into_iter().collect(),
    })
}

/// In a thread of its own: the load tool blocks, and whoever is interrupted does not wait for it.
async fn run(plan: Plan) -> Result<report::Run, Failure> {
    let (done, outcome) = oneshot::channel::<Result<report::Run, RunError>>();
    std::thread::spawn(move || {
        // Nobody waits for it any more: then the program ends.
        let _ = done.send(tidewire_bench::run(&plan, &mut |_| {}));
    });
    let run = outcome.await??;
    for warning in &run.warnings {
        eprintln!("  {warning}");
    }
    for fault in run.faults.iter().take(3) {
        eprintln!("  {} times: {}", fault.count, fault.what);
    }
    Ok(run)
}

fn figures(run: &report::Run) -> Figures {
    let sum = |of: fn(&report::GroupRun) -> u64| run.groups.iter().map(of).sum();
    let group = run.groups.first();
    let latency = group.and_then(|group| group.latency.as_ref());
    let ms = |of: fn(&report::Latency) -> u64| latency.map(|found| of(found) as f64 / 1e3);
    let memory = run
        .memory
        .as_ref()
        .map_or(0.0, |memory| memory.per_subscriber_bytes);
    Figures {
        subscribers: run.subscribers,
        delivered: run.deliveries,
        lost: sum(|group| group.lost),
        repeated: sum(|group| group.repeated),
        reordered: sum(|group| group.reordered),
        cpu_seconds_per_million: run.server_cpu_seconds_per_million.unwrap_or_default(),
        deliveries_per_second: run.deliveries_per_second,
        p50_ms: ms(|latency| latency.p50_us),
        p99_ms: ms(|latency| latency.p99_us),
        p999_ms: ms(|latency| latency.p999_us),
        max_ms: ms(|latency| latency.max_us),
        bytes_per_delivery: group
            .and_then(|group| group.wire_bytes_per_delivery)
            .unwrap_or_default(),
        idle_kib_per_connection: memory / 1024.0,
        tool_cores: run.tool.cpu_seconds / run.measured_seconds.max(0.001),
        warnings: run.warnings.clone(),
    }
}

/// On their way at full speed, over all publishers.
const OUTSTANDING: u32 = 64;
const POSTING_PUBLISHERS: usize = 8;
const STREAMS_OF_A_CONNECTION: usize = 100;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
const SETTLE_TIMEOUT: Duration = Duration::from_secs(15);
