//! What `BENCHMARKING.md` states, one figure for each name:
//!
//! `cargo build --release && cargo run --release -p tidewire-tests --example measure -- NAME… [--connections N] [--events N] [--topics N]`
//!
//! Shape: each name is a file below; without a name: `idle` and `publish`. Every figure is a row of the table that
//! `BENCHMARKING.md` takes; progress goes to standard error.
//! Unit: stands in each row. A median is that of three rounds.
//! The gateway is the release binary in a process of its own; the load comes from this process over loopback.

mod connection;
mod http2;
mod idle;
mod load;
mod process;
mod publish;
mod reopen;
mod resume;
mod retention;
mod topics;

/// Whatever went wrong ends a measurement.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// How much is measured with.
struct Sizes {
    /// For `idle`.
    connections: u64,
    /// For `reopen` and `retention`.
    events: u64,
    /// For `topics`.
    topics: u64,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut sizes = Sizes {
        connections: 5_000,
        events: 10_000_000,
        topics: 1_000_000,
    };
    let mut names = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || -> Result<u64, Failure> {
            let value = arguments.next().ok_or("a number is missing")?;
            Ok(value.replace('_', "").parse()?)
        };
        match argument.as_str() {
            "--connections" => sizes.connections = number()?,
            "--events" => sizes.events = number()?,
            "--topics" => sizes.topics = number()?,
            _ => names.push(argument),
        }
    }
    if names.is_empty() {
        names = vec!["idle".into(), "publish".into()];
    }
    for name in names {
        match name.as_str() {
            "idle" => idle::measure(sizes.connections).await?,
            "publish" => publish::measure().await?,
            "resume" => resume::measure().await?,
            "reopen" => reopen::measure(sizes.events).await?,
            "retention" => retention::measure(sizes.events).await?,
            "topics" => topics::measure(sizes.topics).await?,
            other => {
                return Err(
                    format!("{other}: idle, publish, resume, reopen, retention or topics").into(),
                );
            }
        }
    }
    Ok(())
}

/// Heads a table.
fn table(title: &str, columns: &[&str]) {
    println!("\n{title}\n");
    row(columns);
    row(&vec!["---"; columns.len()]);
}

/// A row of it.
fn row(cells: &[&str]) {
    println!("| {} |", cells.join(" | "));
}

/// The value below which so many hundredths of these lie. They are all kept, so it is exact.
fn percentile(values: &mut [f64], hundredths: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    let rank = (values.len() * hundredths).div_ceil(100).max(1);
    values.get(rank - 1).copied().unwrap_or(f64::NAN)
}

/// Of three rounds.
fn median(values: &mut [f64]) -> f64 {
    percentile(values, 50)
}

/// Rounds of a median.
const ROUNDS: usize = 3;
