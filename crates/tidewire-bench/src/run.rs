//! One run, from the first connection to the report.
//!
//! Shape: the calling thread coordinates: it starts the threads that subscribe and publish, samples, and says when. It
//! measures CPU, bytes and deliveries between the same two moments; latencies are those of the events that should have
//! been sent between them.
//! Bound: `connect_timeout` for connecting and for catching up, [`DRAIN_PAUSE`] without an arrival at the end.
//! Failure: a run that cannot begin or whose publisher breaks is an error with the reasons; everything else is counted.

mod error;
mod shares;
mod summary;
mod watch;

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use self::shares::shares;
pub use self::{error::RunError, watch::Progress};
use crate::{
    board::Board,
    gate::Gate,
    plan::{Pace, Plan, Scenario},
    process::{self, Usage},
    protocol::Fault,
    publish::Publishers,
    report::{Run, Sample},
    worker::{Share, Worker},
};

/// Runs a plan. `watch` is called about once a second.
///
/// # Errors
/// See [`RunError`].
pub fn run(plan: &Plan, watch: &mut dyn FnMut(&Progress<'_>)) -> Result<Run, RunError> {
    plan.check()?;
    check_open_files(plan)?;
    let mut stage = Stage::set(plan, watch)?;
    stage.connect()?;
    if plan.publishes() {
        stage.publish()?;
    }
    stage.summary()
}

/// A run while it runs.
struct Stage<'a> {
    plan: &'a Plan,
    watch: &'a mut dyn FnMut(&Progress<'_>),
    board: Arc<Board>,
    workers: Vec<Worker>,
    publishers: Option<Publishers>,
    /// Subscribers of each stream.
    audience: Vec<u64>,
    began_unix_seconds: u64,
    before: Option<Usage>,
    connected: Option<Usage>,
    settled_seconds: Option<f64>,
    connect_seconds: f64,
    /// The beginning and the end of the measured part.
    marks: Option<(Mark, Mark)>,
    samples: Vec<Sample>,
    /// The last time that somebody was told, and the deliveries then.
    told: (u64, u64),
}

/// Everything that is counted, at one moment.
#[derive(Debug, Clone, Default)]
struct Mark {
    at: u64,
    server: Option<Usage>,
    own_cpu_seconds: f64,
    machine: Option<(f64, f64)>,
    threads: Vec<Option<(f64, f64)>>,
    delivered: Vec<u64>,
    bytes_in: Vec<u64>,
}

impl<'a> Stage<'a> {
    fn set(plan: &'a Plan, watch: &'a mut dyn FnMut(&Progress<'_>)) -> Result<Stage<'a>, RunError> {
        let before = process::usage(&plan.processes);
        let began_unix_seconds = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        let (shares, audience) = shares(plan);
        let workers_of = |stream: &usize| {
            let has = |share: &&Vec<u32>| share[*stream] > 0;
            shares.iter().map(|(_, own)| own).filter(has).count() as u32
        };
        let gate = match plan.load.pace {
            Pace::Outstanding(events) if plan.publishes() => {
                let workers: Vec<u32> = (0..plan.streams())
                    .map(|stream| workers_of(&stream))
                    .collect();
                Gate::new(events, &workers, plan.load.publishers)
            }
            _ => Gate::open(plan.load.publishers),
        };
        let board = Arc::new(Board::new(plan.groups.len(), plan.streams(), gate));
        let count = shares.len();
        let mut workers = Vec::new();
        for (groups, own) in shares {
            let share = Share {
                groups,
                arrivals: board.gate.arrivals(&own),
                handshakes: plan.load.handshakes.div_ceil(count),
                ramp: plan.load.ramp.map_or(Duration::ZERO, |ramp| {
                    Duration::from_secs_f64(count as f64 / ramp)
                }),
            };
            workers.push(Worker::start(Arc::clone(&board), share)?);
        }
        Ok(Stage {
            plan,
            watch,
            board,
            workers,
            publishers: None,
            audience,
            began_unix_seconds,
            before,
            connected: None,
            settled_seconds: None,
            connect_seconds: 0.0,
            marks: None,
            samples: Vec::new(),
            told: (0, 0),
        })
    }

    /// Until all have subscribed, and in `idle` until memory has settled.
    fn connect(&mut self) -> Result<(), RunError> {
        let wanted = self.plan.subscribers() as u64;
        let ramp = self.plan.load.ramp.map_or(0.0, |ramp| wanted as f64 / ramp);
        let timeout = self.plan.load.connect_timeout + Duration::from_secs_f64(ramp);
        let publishers = self.plan.load.publishers as u64;
        let all = self.wait("connecting", timeout, |board| {
            board.sum(|group| &group.ready) == wanted
        })?;
        if !all {
            let reasons = self.board.faults();
            let reasons = reasons
                .iter()
                .take(3)
                .map(|(what, count)| format!("{count} times: {what}"));
            let reasons: Vec<String> = reasons.collect();
            return Err(RunError::Connect {
                connected: self.board.sum(|group| &group.ready),
                subscribers: wanted,
                waited: timeout,
                reasons: match reasons.is_empty() {
                    true => "nothing was answered".to_owned(),
                    false => reasons.join("; "),
                },
            });
        }
        self.connect_seconds = self.board.now() as f64 / 1e9;
        if self.plan.publishes() {
            // Only now: a gateway closes a connection on which nothing is asked for as long as a slow ramp takes.
            self.publishers = Some(Publishers::start(&self.board, self.plan)?);
            let ready = self.wait("connecting", PUBLISHER_TIMEOUT, |board| {
                board.publishers_ready.load(Relaxed) == publishers
            })?;
            if !ready {
                let text = format!("no answer within {PUBLISHER_TIMEOUT:?}");
                return Err(RunError::Publish(Fault::Connection(text)));
            }
        }
        if self.plan.scenario == Scenario::Idle {
            self.settle()?;
        } else {
            self.wait("connected", SETTLE_PAUSE, |_| false)?;
        }
        self.connected = process::usage(&self.plan.processes);
        Ok(())
    }

    /// Until the server's memory has not changed by more than a five-hundredth for [`SETTLED_FOR`].
    fn settle(&mut self) -> Result<(), RunError> {
        let began = self.board.now();
        let end = self.board.instant(began) + self.plan.load.settle_timeout;
        let mut reference = 0.0;
        let mut since = began;
        while self.board.instant(self.board.now()) < end {
            self.wait("settling", SETTLE_STEP, |_| false)?;
            let Some(usage) = process::usage(&self.plan.processes) else {
                continue;
            };
            let now = usage.resident_bytes as f64;
            if (now - reference).abs() > reference / 500.0 {
                reference = now;
                since = self.board.now();
            } else if self.board.now() - since > SETTLED_FOR.as_nanos() as u64 {
                self.settled_seconds = Some((since - began) as f64 / 1e9);
                break;
            }
        }
        Ok(())
    }

    /// Warm-up, measured part, the end: until everything has come or nothing comes any more.
    fn publish(&mut self) -> Result<(), RunError> {
        let load = &self.plan.load;
        let begin = self.board.now() + BEGIN_PAUSE.as_nanos() as u64;
        let from = begin + load.warm_up.as_nanos() as u64;
        let until = from + load.duration.as_nanos() as u64;
        self.board.measured_from.store(from, Relaxed);
        self.board.measured_until.store(until, Relaxed);
        if let Some(publishers) = &self.publishers {
            publishers.begin(&self.board, load, begin, load.warm_up + load.duration);
        }
        self.wait_until("warming up", from)?;
        let first = self.mark();
        if self.plan.scenario == Scenario::Storm {
            self.storm(from + (until - from) / 2)?;
        }
        self.wait_until("measuring", until)?;
        let last = self.mark();
        self.marks = Some((first, last));
        self.drain()
    }

    /// Cuts all at once, and waits until all have caught up: the measured part grows by as much.
    fn storm(&mut self, at: u64) -> Result<(), RunError> {
        self.wait_until("measuring", at)?;
        self.board.cut_at.store(self.board.now(), Relaxed);
        for worker in &self.workers {
            worker.cut();
        }
        let wanted = self.plan.subscribers() as u64;
        self.wait("catching up", self.plan.load.connect_timeout, |board| {
            board.sum(|group| &group.caught_up) >= wanted
        })?;
        Ok(())
    }

    fn drain(&mut self) -> Result<(), RunError> {
        self.board.stop.store(true, Relaxed);
        let end = self.board.now() + self.plan.load.connect_timeout.as_nanos() as u64;
        let mut last = (self.board.sum(|group| &group.delivered), self.board.now());
        loop {
            let complete = self.wait("draining", Duration::from_millis(200), {
                let expected = self.expected();
                move |board| board.sum(|group| &group.delivered) >= expected
            })?;
            let delivered = self.board.sum(|group| &group.delivered);
            let now = self.board.now();
            if delivered > last.0 {
                last = (delivered, now);
            }
            let is_silent = now - last.1 > DRAIN_PAUSE.as_nanos() as u64;
            if complete || is_silent || now > end {
                return Ok(());
            }
        }
    }

    /// Deliveries that there should have been so far.
    fn expected(&self) -> u64 {
        let sent = self
            .board
            .sent
            .iter()
            .map(|sent| u64::from(sent.load(Relaxed)));
        sent.zip(&self.audience)
            .map(|(sent, audience)| sent * audience)
            .sum()
    }

    fn mark(&self) -> Mark {
        let threads = self.workers.iter().map(|worker| worker.number);
        let threads = threads.chain(self.publishers.iter().map(|publishers| publishers.number));
        let groups = &self.board.groups;
        Mark {
            at: self.board.now(),
            server: process::usage(&self.plan.processes),
            own_cpu_seconds: process::own_cpu_seconds(),
            machine: process::machine_seconds(),
            threads: threads
                .map(|number| process::thread_seconds(number?))
                .collect(),
            delivered: groups
                .iter()
                .map(|group| group.delivered.load(Relaxed))
                .collect(),
            bytes_in: groups
                .iter()
                .map(|group| group.bytes_in.load(Relaxed))
                .collect(),
        }
    }
}

fn check_open_files(plan: &Plan) -> Result<(), RunError> {
    let wanted = (plan.subscribers() + plan.load.publishers) as u64 + OTHER_FILES;
    match process::open_files_max() {
        Some(max) if max < wanted => Err(RunError::OpenFiles { wanted, max }),
        _ => Ok(()),
    }
}

/// From the last subscription to the first event.
const SETTLE_PAUSE: Duration = Duration::from_millis(300);
const SETTLE_STEP: Duration = Duration::from_millis(500);
const SETTLED_FOR: Duration = Duration::from_secs(4);
/// From the decision to the first event.
const BEGIN_PAUSE: Duration = Duration::from_millis(20);
/// So long without an arrival, nothing more is expected. Longer than any interval of polls that makes sense.
const DRAIN_PAUSE: Duration = Duration::from_secs(4);
const PUBLISHER_TIMEOUT: Duration = Duration::from_secs(10);
/// Runtimes, files of `/proc`, standard streams.
const OTHER_FILES: u64 = 64;
