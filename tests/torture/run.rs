//! One run: start everything, inflict faults, look closely in calm moments, end it, say how it was.
//! Shape: one task that inflicts one fault after the other; only what a proxy does goes on beside the rest.
//! Unit: a calm about every [`CALM_INTERVAL`]. Bound: [`DEADLINE`] for every fact that is waited for.
//! Failure: the first one ends the run; the records stand in the printed folder.

use std::future::Future;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use tidewire_protocol::Pattern;
use tidewire_tests::{DEADLINE, Engine, Flow, Proxy};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep, timeout};

use crate::Arguments;
use crate::checker::{Rules, Summary};
use crate::crew::{Crew, Shared, Ways};
use crate::faults::{Fault, Possible, Schedule, Way};
use crate::history::Time;
use crate::place::{Clock, Disk};
use crate::server::{Server, TIGHT_MAX_EVENTS, address};

/// Runs it and gives whether everything was as promised.
pub(crate) async fn run(arguments: &Arguments) -> bool {
    let seed = arguments
        .seed
        .unwrap_or_else(|| u64::from(rand::random::<u32>()));
    let minutes = arguments.minutes;
    let folder = std::env::temp_dir().join(format!("tidewire-torture-{seed}"));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a folder");
    println!(
        "seed {seed}, {minutes} min, records in {}",
        folder.display()
    );

    let mut torture = match Torture::start(arguments, seed, folder.clone()).await {
        Ok(torture) => torture,
        Err(failure) => {
            println!("FAILED: {failure}");
            return false;
        }
    };
    // The server does not outlive the torture, nor does its file system.
    let mut terminate = signal(SignalKind::terminate()).expect("a signal handler");
    let interrupted = async {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
        Err("interrupted".to_owned())
    };
    let result = tokio::select! {
        result = torture.run(Duration::from_secs_f64(minutes * 60.0)) => result,
        result = interrupted => result,
    };
    torture.crew.stop().await;
    torture.disk.free();
    let Server {
        starts,
        slowest_start,
        memory_peak,
        ..
    } = torture.server;
    println!("\n  {:<32}{:>10}", "faults", torture.faults);
    println!("  {:<32}{starts:>10}", "starts of the server");
    println!("  {:<32}{slowest_start:>10.1?}", "the slowest of them");
    println!("  {:<32}{:>7} MB", "its memory at most", memory_peak >> 20);
    let passed = result.is_ok();
    match result {
        Ok(summary) => println!("{summary}\nok"),
        Err(failure) => println!("\nFAILED: {failure}\n"),
    }
    println!("records in {}", folder.display());
    println!("again: bash tests/run torture --minutes {minutes} --seed {seed}");
    passed
}

/// Everything of one run.
struct Torture {
    began: Instant,
    server: Server,
    crew: Crew,
    shared: Arc<Shared>,
    lanes: [Arc<Proxy>; 2],
    disk: Disk,
    clock: Option<Clock>,
    schedule: Schedule,
    faults: u32,
    next_progress: Instant,
}

impl Torture {
    async fn start(arguments: &Arguments, seed: u64, folder: PathBuf) -> Result<Self, String> {
        let engine = Engine::from(arguments.engine);
        let mut random = StdRng::seed_from_u64(seed);
        let disk = Disk::new(
            folder.join("disk"),
            DISK_MEGABYTES + (arguments.minutes * 32.0) as u64,
        );
        let clock = Clock::new(folder.join("clock"));
        let listen = address(&mut random);
        let mut server = Server::new(engine, &listen, &disk, clock.as_ref(), &folder);
        server.start().await?;
        let target = listen.parse().map_err(|error| format!("{error}"))?;
        let proxy = async |buffer| Proxy::start(target, buffer).await.map(Arc::new);
        let lanes = [proxy(None).await, proxy(Some(4096)).await];
        let [rough, narrow] = lanes.map(|lane| lane.map_err(|error| error.to_string()));
        let lanes = [rough?, narrow?];
        let is_durable = engine == Engine::Disk;
        let shared = Shared::new(server.certificate(), is_durable);
        let ways = Ways {
            direct: target,
            rough: lanes[0].address(),
            narrow: lanes[1].address(),
        };
        let rules = Rules {
            tight: Pattern::parse("tight.>").expect("a pattern"),
            tight_max_events: TIGHT_MAX_EVENTS,
            is_durable,
        };
        // The engine remembers a million keys, and each event has one.
        let events = KEYS_MAX.min(arguments.minutes * 60.0 * EVENTS_PER_SECOND);
        let pause = Duration::from_secs_f64(arguments.minutes * 60.0 / events);
        let crew = Crew::start(&shared, rules, &ways, &folder, seed, pause);
        let possible = Possible {
            disk_full: disk.can_be_full() && is_durable,
            clock: clock.is_some(),
        };
        Ok(Self {
            began: Instant::now(),
            server,
            crew,
            shared,
            schedule: Schedule::new(random, possible, lanes.len()),
            lanes,
            disk,
            clock,
            faults: 0,
            next_progress: Instant::now() + PROGRESS_INTERVAL,
        })
    }

    async fn run(&mut self, length: Duration) -> Result<Summary, String> {
        let end = Instant::now() + length;
        let mut next_calm = Instant::now() + CALM_INTERVAL;
        loop {
            let (pause, fault) = self.schedule.next();
            self.pass(pause).await?;
            if Instant::now() >= end {
                break;
            }
            if Instant::now() >= next_calm {
                self.calm().await?;
                next_calm = Instant::now() + CALM_INTERVAL;
            }
            self.say(&fault.to_string());
            self.faults += 1;
            self.inflict(fault).await?;
        }
        let summary = self.calm().await?;
        let _ = self.shared.over.send_replace(true);
        self.server.terminate().await?;
        match self.server.panicked() {
            Some(panic) => Err(format!("the server panicked: {panic}")),
            None => Ok(summary),
        }
    }

    async fn inflict(&mut self, fault: Fault) -> Result<(), String> {
        match fault {
            Fault::Kill { times, pause } => {
                for _ in 0..times {
                    self.server.kill().await?;
                    sleep(pause).await;
                    self.server.start().await?;
                }
            }
            Fault::Terminate { pause } => {
                self.server.terminate().await?;
                sleep(pause).await;
                self.server.start().await?;
            }
            Fault::Freeze { pause } => {
                self.server.signal("STOP").await;
                self.pass(pause).await?;
                self.server.signal("CONT").await;
            }
            Fault::DiskFull { pause } => self.fill_disk(pause).await?,
            Fault::Clock { minutes } => {
                if let Some(clock) = &self.clock {
                    clock.set_minutes(minutes);
                }
            }
            Fault::Delay { lane, pause } => {
                self.lanes[lane].flow(Flow::Delay(pause), Flow::Delay(pause));
            }
            Fault::Throttle {
                lane,
                bytes_per_second,
            } => {
                let flow = Flow::Throttle { bytes_per_second };
                self.lanes[lane].flow(flow, flow);
            }
            Fault::Stall { lane, pause, way } => {
                let held = |is_held| if is_held { Flow::Stall } else { Flow::Pass };
                let lane = Arc::clone(&self.lanes[lane]);
                lane.flow(held(way != Way::ToClient), held(way != Way::ToServer));
                tokio::spawn(async move {
                    sleep(pause).await;
                    lane.flow(Flow::Pass, Flow::Pass);
                });
            }
            Fault::Cut { lane } => self.lanes[lane].cut(),
            Fault::Reset { lane } => self.lanes[lane].reset(),
            Fault::Strand { lane } => self.lanes[lane].strand(),
            Fault::Storm => self.shared.storms.send_replace(()),
        }
        Ok(())
    }

    /// No room for a while; afterwards publishing has to work again.
    async fn fill_disk(&mut self, pause: Duration) -> Result<(), String> {
        let end = Instant::now() + pause;
        while Instant::now() < end {
            // What the server lets go of is taken too.
            self.disk.fill();
            self.pass(TICK).await?;
        }
        self.disk.free();
        let before = self.shared.acknowledged.load(Ordering::Relaxed);
        let shared = Arc::clone(&self.shared);
        let published = async move {
            while shared.acknowledged.load(Ordering::Relaxed) == before {
                sleep(TICK).await;
            }
        };
        self.fact(
            "nothing is published although there is room again",
            published,
        )
        .await
    }

    /// Everything is healed, everybody catches up, and what was seen is checked.
    async fn calm(&mut self) -> Result<Summary, String> {
        let began = Instant::now();
        self.shared.calm.store(true, Ordering::Release);
        for lane in &self.lanes {
            lane.heal();
        }
        let shared = Arc::clone(&self.shared);
        let quiet = "a publisher gets no answer, although nothing is wrong any more";
        let closed = self.fact(quiet, shared.gate.write()).await?;
        let quiet_after = began.elapsed();
        let head = timeout(DEADLINE, self.crew.mark()).await;
        let head = head.map_err(|_| quiet.to_owned())?;
        if timeout(CATCH_UP_MAX, self.crew.reached()).await.is_err() {
            // What they have may say why they got no further.
            self.server.look()?;
            self.crew.check(None)?;
            let behind = self.crew.behind().join(", ");
            return Err(format!("not at the head after {CATCH_UP_MAX:?}: {behind}"));
        }
        let caught_up = began.elapsed();
        let summary = tokio::task::block_in_place(|| self.crew.check(Some(head)))?;
        if let Some(panic) = self.server.panicked() {
            return Err(format!("the server panicked: {panic}"));
        }
        drop(closed);
        self.shared.calm.store(false, Ordering::Release);
        let checked = began.elapsed().saturating_sub(caught_up);
        self.say(&format!(
            "calm: all answered after {quiet_after:.1?}, all at {head} after {caught_up:.1?}, \
             checked in {checked:.1?}"
        ));
        Ok(summary)
    }

    /// Lets time pass, with an eye on everything.
    async fn pass(&mut self, time: Duration) -> Result<(), String> {
        let end = Instant::now() + time;
        loop {
            self.tick()?;
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            sleep(left.min(TICK)).await;
        }
    }

    /// Waits for something that has to come, with an eye on everything.
    async fn fact<T>(
        &mut self,
        otherwise: &str,
        fact: impl Future<Output = T>,
    ) -> Result<T, String> {
        let mut fact = pin!(fact);
        let deadline = Instant::now() + DEADLINE;
        loop {
            tokio::select! {
                value = &mut fact => return Ok(value),
                () = sleep(TICK) => self.tick()?,
            }
            if Instant::now() > deadline {
                return Err(otherwise.to_owned());
            }
        }
    }

    fn tick(&mut self) -> Result<(), String> {
        self.server.look()?;
        if let Some(error) = self.crew.panicked() {
            return Err(format!("an actor of the torture ended: {error}"));
        }
        if Instant::now() >= self.next_progress {
            self.next_progress = Instant::now() + PROGRESS_INTERVAL;
            self.say(&format!("  {}", self.shared.progress()));
        }
        Ok(())
    }

    fn say(&self, text: &str) {
        let elapsed = u32::try_from(self.began.elapsed().as_millis()).unwrap_or(u32::MAX);
        println!("{} {text}", Time(elapsed));
    }
}

/// Of the server's file system, and some for each minute.
const DISK_MEGABYTES: u64 = 256;
/// The engine's bound, less those of the marks and of a margin.
const KEYS_MAX: f64 = 950_000.0;
/// All publishers together, at most.
const EVENTS_PER_SECOND: f64 = 800.0;
/// In a calm, from the mark to the last subscriber. Below the 25 s for which the client lets a poll be held: a wake-up
/// that was lost is to be found, and not to be healed by the next poll.
const CATCH_UP_MAX: Duration = Duration::from_secs(20);
const CALM_INTERVAL: Duration = Duration::from_secs(25);
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);
const TICK: Duration = Duration::from_millis(100);
