//! Much in little time: batches of a thousand events as NDJSON, several connections at once, without keys.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use tokio::task::JoinSet;

use crate::Failure;
use crate::connection::Target;

/// Publishes so many events; `topic` names that of each number. Gives the id of the last batch's last event.
pub(crate) async fn publish(
    target: &Target,
    events: u64,
    topic: impl Fn(u64) -> String + Send + Sync + 'static,
) -> Result<(), Failure> {
    let topic = Arc::new(topic);
    let next = Arc::new(AtomicU64::new(0));
    let started = Instant::now();
    let mut publishers = JoinSet::new();
    for number in 0..PUBLISHERS {
        let (topic, next, target) = (Arc::clone(&topic), Arc::clone(&next), target.clone());
        publishers.spawn(async move {
            let mut connection = target.connect(number).await?;
            let data = "x".repeat(DATA_BYTES - 2);
            loop {
                let first = next.fetch_add(BATCH, Ordering::Relaxed);
                if first >= events {
                    return Ok::<_, Failure>(());
                }
                let line = |event: u64| {
                    format!("{{\"topic\":\"{}\",\"data\":\"{data}\"}}\n", topic(event))
                };
                let body: String = (first..events.min(first + BATCH)).map(line).collect();
                let answer = connection.publish("application/x-ndjson", &body).await?;
                if contains(&answer, b"\"code\"") {
                    return Err(String::from_utf8_lossy(&answer[..300.min(answer.len())]).into());
                }
                if first.is_multiple_of(PROGRESS) && first > 0 {
                    let rate = first as f64 / started.elapsed().as_secs_f64();
                    eprintln!("  {first} of {events} events, {rate:.0} a second");
                }
            }
        });
    }
    while let Some(done) = publishers.join_next().await {
        done??;
    }
    Ok(())
}

/// A refused element is a problem, which has a code.
fn contains(answer: &[u8], what: &[u8]) -> bool {
    answer.windows(what.len()).any(|part| part == what)
}

/// Of every event that is published here.
pub(crate) const DATA_BYTES: usize = 128;
const PUBLISHERS: usize = 8;
/// The most that one request may have.
const BATCH: u64 = 1_000;
const PROGRESS: u64 = 500_000;
