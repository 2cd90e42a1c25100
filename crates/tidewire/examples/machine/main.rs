//! Feeds this machine's own figures from `/proc` into topics, so that there is live data to look at.
//!
//! Shape: `machine.cpu.N` and `machine.net.NAME` with every tick; `machine.memory`, `machine.load` and
//! `machine.processes` once a second. One batch a tick.
//! Unit: percent of one core, bytes a second, bytes. Bound: the five busiest processes.
//! Failure: without a gateway it says how to start one. Linux only.
//!
//! `cargo run --release --example machine`, then open the lab and look at `machine.>`.

mod proc;

use std::{collections::BTreeMap, fs, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context, Result, anyhow};
use clap::Parser;
use proc::{Busy, Process, Traffic};
use serde_json::{Value, json};
use tidewire_client::{Client, ClientError, NewEvent};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

#[derive(Debug, Parser)]
#[command(about = "Feeds this machine's own figures into topics below machine.>")]
struct Arguments {
    /// Address of the gateway
    #[arg(long, default_value = "https://localhost:8443")]
    url: String,
    /// Certificate to trust
    #[arg(
        long,
        value_name = "FILE",
        default_value = "tidewire-data/tls/cert.pem"
    )]
    ca: PathBuf,
    /// Trust any certificate
    #[arg(long)]
    insecure: bool,
    /// API key
    #[arg(long, env = "TIDEWIRE_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Milliseconds between two samples
    #[arg(long, default_value_t = 250, value_parser = clap::value_parser!(u64).range(20..))]
    interval: u64,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("machine: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> Result<()> {
    let client = connect(arguments, Duration::from_secs(30))?;
    let mut before = Sample::take().context("this example reads /proc, which only Linux has")?;
    connect(arguments, Duration::from_secs(2))?
        .publish_all(&before.once_a_second(&before))
        .await
        .map_err(|error| {
            let url = &arguments.url;
            let hint = match &error {
                ClientError::GaveUp { .. } => "start one in this folder with: cargo run --release",
                ClientError::Certificate(_) => "give --ca DATA-DIR/tls/cert.pem, or --insecure",
                _ => "is it the right address?",
            };
            anyhow!("{url}: {error}; {hint}")
        })?;
    println!("feeding machine.> into {}", arguments.url);

    let pause = Duration::from_millis(arguments.interval);
    let mut tick = interval_at(Instant::now() + pause, pause);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut second = before.clone();
    loop {
        tick.tick().await;
        let now = Sample::take()?;
        let mut events = now.each_tick(&before);
        if now.at - second.at >= Duration::from_secs(1) {
            events.extend(now.once_a_second(&second));
            second = now.clone();
        }
        client.publish_all(&events).await?;
        before = now;
    }
}

fn connect(arguments: &Arguments, deadline: Duration) -> Result<Client> {
    let mut builder = Client::builder(&arguments.url)
        .insecure(arguments.insecure)
        .publish_deadline(deadline);
    if arguments.ca.exists() && !arguments.insecure {
        builder = builder.ca_pem(fs::read(&arguments.ca)?);
    }
    if let Some(token) = &arguments.token {
        builder = builder.token(token);
    }
    Ok(builder.build()?)
}

/// What `/proc` said at one moment.
#[derive(Debug, Clone)]
struct Sample {
    at: Instant,
    cores: BTreeMap<String, Busy>,
    interfaces: BTreeMap<String, Traffic>,
    memory: BTreeMap<String, u64>,
    load: String,
    processes: BTreeMap<u32, Process>,
}

impl Sample {
    fn take() -> Result<Sample> {
        let read = |path: &str| fs::read_to_string(path).with_context(|| path.to_owned());
        Ok(Sample {
            at: Instant::now(),
            cores: proc::cores(&read("/proc/stat")?),
            interfaces: proc::interfaces(&read("/proc/net/dev")?),
            memory: proc::memory(&read("/proc/meminfo")?),
            load: read("/proc/loadavg")?,
            processes: proc::processes()?,
        })
    }

    fn each_tick(&self, before: &Sample) -> Vec<NewEvent> {
        let mut events = Vec::new();
        for (core, now) in &self.cores {
            if let Some(then) = before.cores.get(core) {
                let busy = now.busy.saturating_sub(then.busy);
                let all = now.all.saturating_sub(then.all).max(1);
                let data = json!({ "busy_percent": percent(busy, all) });
                events.push(event(&format!("machine.cpu.{core}"), &data));
            }
        }
        let seconds = (self.at - before.at).as_secs_f64().max(0.001);
        for (name, now) in &self.interfaces {
            if let Some(then) = before.interfaces.get(name) {
                let rate = |now: u64, then: u64| (now.saturating_sub(then) as f64 / seconds) as u64;
                let data = json!({
                    "received_bytes_per_second": rate(now.received, then.received),
                    "sent_bytes_per_second": rate(now.sent, then.sent),
                });
                events.push(event(&format!("machine.net.{name}"), &data));
            }
        }
        events
    }

    fn once_a_second(&self, before: &Sample) -> Vec<NewEvent> {
        let bytes = |name| self.memory.get(name).copied().unwrap_or_default();
        let (total, available) = (bytes("MemTotal"), bytes("MemAvailable"));
        let used = percent(total.saturating_sub(available), total.max(1));
        let memory =
            json!({ "total_bytes": total, "available_bytes": available, "used_percent": used });
        let load: Vec<f64> = self
            .load
            .split_whitespace()
            .take(3)
            .filter_map(|figure| figure.parse().ok())
            .collect();
        vec![
            event("machine.memory", &memory),
            event("machine.load", &json!({ "1m_5m_15m": load })),
            event("machine.processes", &self.busiest(before)),
        ]
    }

    fn busiest(&self, before: &Sample) -> Value {
        let ticks = ((self.at - before.at).as_secs_f64() * TICKS_PER_SECOND).max(1.0) as u64;
        let used = |pid: &u32, process: &Process| {
            let then = before
                .processes
                .get(pid)
                .map_or(process.ticks, |then| then.ticks);
            process.ticks.saturating_sub(then)
        };
        let mut busiest: Vec<_> = self
            .processes
            .iter()
            .map(|(pid, process)| (used(pid, process), pid, &process.name))
            .collect();
        busiest.sort_by(|a, b| b.cmp(a));
        let top: Vec<Value> = busiest
            .into_iter()
            .take(5)
            .map(|(used, pid, name)| {
                json!({ "pid": pid, "name": name, "cpu_percent": percent(used, ticks) })
            })
            .collect();
        json!({ "count": self.processes.len(), "busiest": top })
    }
}

fn event(topic: &str, data: &Value) -> NewEvent {
    NewEvent::text(topic, &data.to_string())
}

/// With one decimal.
fn percent(part: u64, whole: u64) -> f64 {
    (part as f64 * 1000.0 / whole as f64).round() / 10.0
}

/// What Linux counts in for programs, whatever it uses inside.
const TICKS_PER_SECOND: f64 = 100.0;
