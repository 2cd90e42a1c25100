//! Waiting, and telling meanwhile.
//!
//! Shape: facts are looked at every [`STEP`]; once a second a sample is taken and whoever watches is told.
//! Bound: every wait has its end. Failure: publishers that end by themselves end the run with their reason.

use std::{sync::atomic::Ordering::Relaxed, thread, time::Duration};

use super::{RunError, Stage};
use crate::{board::Board, process, protocol::Fault, publish::Publishers, report::Sample};

/// What is told while it runs.
#[derive(Debug, Clone, Copy)]
pub struct Progress<'a> {
    /// What happens now, such as `connecting`.
    pub phase: &'a str,
    /// Seconds since the run began.
    pub at_seconds: f64,
    /// Subscriptions that stand.
    pub connected: u64,
    /// Subscriptions that there will be.
    pub subscribers: u64,
    /// Events sent.
    pub sent: u64,
    /// Deliveries so far.
    pub deliveries: u64,
    /// Deliveries a second since the last time.
    pub deliveries_per_second: f64,
    /// Deliveries that are still to come.
    pub behind: u64,
}

impl Stage<'_> {
    pub(super) fn wait_until(&mut self, phase: &str, at: u64) -> Result<(), RunError> {
        let wait = at.saturating_sub(self.board.now());
        self.wait(phase, Duration::from_nanos(wait), |_| false)?;
        Ok(())
    }

    /// Waits for a fact, at most so long; samples and tells meanwhile. The answer is whether it came.
    pub(super) fn wait(
        &mut self,
        phase: &str,
        timeout: Duration,
        fact: impl Fn(&Board) -> bool,
    ) -> Result<bool, RunError> {
        let end = self.board.now() + timeout.as_nanos() as u64;
        loop {
            if self.publishers.as_ref().is_some_and(Publishers::has_ended)
                && !self.board.stop.load(Relaxed)
                && let Some(publishers) = self.publishers.take()
            {
                let why = publishers.finish(&self.board).err();
                let why = why.unwrap_or(Fault::Ended("without a reason".into()));
                return Err(RunError::Publish(why));
            }
            if fact(&self.board) {
                return Ok(true);
            }
            let now = self.board.now();
            if now >= end {
                return Ok(false);
            }
            self.tell(phase, now);
            let step = STEP.min(Duration::from_nanos(end - now));
            thread::sleep(step);
        }
    }

    /// Once a second: a sample, and a word to who watches.
    fn tell(&mut self, phase: &str, now: u64) {
        let (told_at, told_deliveries) = self.told;
        let since = (now - told_at) as f64 / 1e9;
        if since < 1.0 && !self.samples.is_empty() {
            return;
        }
        let sample = self.sample(now);
        self.samples.push(sample);
        let new = sample.deliveries.saturating_sub(told_deliveries);
        let progress = Progress {
            phase,
            at_seconds: sample.at_seconds,
            connected: sample.connected,
            subscribers: self.plan.subscribers() as u64,
            sent: sample.sent,
            deliveries: sample.deliveries,
            deliveries_per_second: new as f64 / since.max(0.001),
            behind: self.expected().saturating_sub(sample.deliveries),
        };
        self.told = (now, sample.deliveries);
        (self.watch)(&progress);
    }

    pub(super) fn sample(&self, now: u64) -> Sample {
        let server = process::usage(&self.plan.processes);
        Sample {
            at_seconds: (now / 1_000_000) as f64 / 1e3,
            connected: self.board.sum(|group| &group.ready),
            deliveries: self.board.sum(|group| &group.delivered),
            sent: self
                .board
                .sent
                .iter()
                .map(|sent| u64::from(sent.load(Relaxed)))
                .sum(),
            resident_bytes: server.map(|usage| usage.resident_bytes),
            server_cpu_seconds: server.map(|usage| usage.cpu_seconds),
        }
    }
}

/// How often facts are looked at.
const STEP: Duration = Duration::from_millis(5);
