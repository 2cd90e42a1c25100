//! What a run has counted, as a report.
//!
//! Shape: threads end, their tallies are added, differences of two marks become figures.
//! Failure: what makes a figure doubtful becomes a warning in words.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use super::{Mark, RunError, Stage};
use crate::{
    plan::{Pace, Scenario},
    process::{self, Usage},
    publish::PublishTally,
    report::{Fault, GroupRun, Latency, Memory, PublishedRun, Run, Storm, Tool},
    tally::Tally,
    worker::{Published, Worker},
};

impl Stage<'_> {
    /// Ends all threads; what they have counted.
    pub(super) fn summary(mut self) -> Result<Run, RunError> {
        let end = process::usage(&self.plan.processes);
        let last = self.sample(self.board.now());
        self.samples.push(last);
        let published = match self.publishers.take() {
            Some(publishers) => publishers.finish(&self.board).map_err(RunError::Publish)?,
            None => PublishTally::new(),
        };
        let tallies = self.finish_workers(&published);
        let (first, last) = self.marks.clone().unwrap_or_default();
        let seconds = (last.at - first.at) as f64 / 1e9;
        let groups = self.groups(&tallies, &published, &first, &last);
        let deliveries: u64 = groups.iter().map(|group| group.deliveries).sum();
        let cpu = cpu_seconds(first.server, last.server);
        let load = &self.plan.load;
        let mut run = Run {
            name: self.plan.name.clone(),
            scenario: self.plan.scenario.name().to_owned(),
            began_unix_seconds: self.began_unix_seconds,
            measured_seconds: seconds,
            tls: self.plan.groups.iter().all(|group| group.target.is_tls()),
            subscribers: self.plan.subscribers() as u64,
            topics: load.topics as u64,
            payload_bytes: load.payload_bytes as u64,
            rate: match load.pace {
                Pace::Rate(rate) => Some(rate),
                Pace::Outstanding(_) => None,
            },
            outstanding: match load.pace {
                Pace::Outstanding(events) => Some(events),
                Pace::Rate(_) => None,
            },
            publishing: self.plan.publishing.describe(),
            publishers: load.publishers as u64,
            groups,
            deliveries,
            deliveries_per_second: per(deliveries as f64, seconds).unwrap_or(0.0),
            server_cpu_seconds: cpu,
            server_cpu_seconds_per_million: cpu.and_then(|cpu| per(cpu * 1e6, deliveries as f64)),
            memory: self.memory(end),
            published: self.published(&published),
            storm: self.storm_of(&tallies),
            tool: self.tool(&first, &last),
            samples: self.samples,
            faults: self
                .board
                .faults()
                .into_iter()
                .map(|(what, count)| Fault { what, count })
                .collect(),
            warnings: Vec::new(),
        };
        run.warnings = warnings(&run);
        Ok(run)
    }

    fn finish_workers(&mut self, published: &PublishTally) -> Vec<Tally> {
        let mut refused = vec![Vec::new(); self.plan.streams()];
        for (stream, number) in &published.given_up {
            refused[*stream as usize].push(*number);
        }
        let account = Arc::new(Published {
            sent: self
                .board
                .sent
                .iter()
                .map(|sent| sent.load(Relaxed))
                .collect(),
            refused,
        });
        let mut sums: Vec<Tally> = self.plan.groups.iter().map(|_| Tally::new()).collect();
        let finish = |worker: Worker| worker.finish(Arc::clone(&account));
        for tallies in self.workers.drain(..).map(finish) {
            for (sum, tally) in sums.iter_mut().zip(&tallies) {
                sum.add(tally);
            }
        }
        sums
    }

    fn groups(
        &self,
        tallies: &[Tally],
        published: &PublishTally,
        first: &Mark,
        last: &Mark,
    ) -> Vec<GroupRun> {
        let all = self.plan.groups.iter().zip(tallies).enumerate();
        all.map(|(number, (group, tally))| {
            let board = &self.board.groups[number];
            let between = |of: fn(&Mark) -> &Vec<u64>| {
                let at = |mark| of(mark).get(number).copied().unwrap_or(0);
                at(last) - at(first)
            };
            let deliveries = between(|mark| &mark.delivered);
            let delivered = board.delivered.load(Relaxed);
            GroupRun {
                server: group.protocol.server().to_owned(),
                transport: group.protocol.transport().to_owned(),
                subscribers: group.subscribers as u64,
                deliveries,
                deliveries_in_all: delivered,
                expected: self.expected_of(number, published),
                lost: tally.lost,
                repeated: tally.repeated,
                reordered: tally.reordered,
                wrong: tally.foreign + tally.damaged,
                gaps: board.gaps.load(Relaxed),
                reconnects: board.reconnects.load(Relaxed),
                latency: Latency::of(&tally.latency),
                wire_bytes_per_delivery: per(
                    between(|mark| &mark.bytes_in) as f64,
                    deliveries as f64,
                ),
                connect: Latency::of(&tally.connect),
                connects_per_second: per(group.subscribers as f64, self.connect_seconds)
                    .unwrap_or(0.0),
            }
        })
        .collect()
    }

    /// What a group should have got: of each of its subscribers' streams, what was sent and not given up.
    fn expected_of(&self, number: usize, published: &PublishTally) -> u64 {
        let load = &self.plan.load;
        let before: usize = self.plan.groups[..number]
            .iter()
            .map(|group| group.subscribers)
            .sum();
        let mut audience = vec![0; load.topics];
        for index in 0..self.plan.groups[number].subscribers {
            audience[(before + index) % load.topics] += 1;
        }
        let topic = |stream: usize| stream / load.publishers;
        let sent = self
            .board
            .sent
            .iter()
            .map(|sent| u64::from(sent.load(Relaxed)));
        let sent: u64 = sent
            .enumerate()
            .map(|(stream, sent)| sent * audience[topic(stream)])
            .sum();
        let given_up = published
            .given_up
            .iter()
            .map(|(stream, _)| audience[topic(*stream as usize)]);
        sent - given_up.sum::<u64>()
    }

    fn memory(&self, end: Option<Usage>) -> Option<Memory> {
        let (before, connected, end) = (self.before?, self.connected?, end?);
        let grown = connected.resident_bytes as f64 - before.resident_bytes as f64;
        let seen = self
            .samples
            .iter()
            .filter_map(|sample| sample.resident_bytes);
        Some(Memory {
            before_bytes: before.resident_bytes,
            connected_bytes: connected.resident_bytes,
            per_subscriber_bytes: (grown / self.plan.subscribers() as f64).round(),
            peak_bytes: seen
                .chain([connected.resident_bytes, end.resident_bytes])
                .max()?,
            end_bytes: end.resident_bytes,
            settled_seconds: self.settled_seconds,
        })
    }

    fn published(&self, published: &PublishTally) -> PublishedRun {
        PublishedRun {
            sent: self
                .board
                .sent
                .iter()
                .map(|sent| u64::from(sent.load(Relaxed)))
                .sum(),
            accepted: published.accepted,
            refused: published.refused,
            late: Latency::of(&published.late),
            answered: Latency::of(&published.answered),
        }
    }

    fn storm_of(&self, tallies: &[Tally]) -> Option<Storm> {
        if self.plan.scenario != Scenario::Storm {
            return None;
        }
        let mut sum = Tally::new();
        tallies.iter().for_each(|tally| sum.add(tally));
        Some(Storm {
            cut: self.plan.subscribers() as u64,
            caught_up: self.board.sum(|group| &group.caught_up),
            catch_up: Latency::of(&sum.catch_up),
        })
    }

    fn tool(&self, first: &Mark, last: &Mark) -> Tool {
        let seconds = (last.at - first.at) as f64 / 1e9;
        let wanted = first
            .threads
            .iter()
            .zip(&last.threads)
            .filter_map(|(first, last)| {
                let (first, last) = ((*first)?, (*last)?);
                per(last.0 - first.0 + last.1 - first.1, seconds)
            });
        let machine = first.machine.zip(last.machine);
        Tool {
            threads: self.plan.load.workers(self.plan.subscribers()) as u64,
            cpu_seconds: last.own_cpu_seconds - first.own_cpu_seconds,
            busiest_thread: wanted.reduce(f64::max),
            machine_busy: machine.and_then(|(first, last)| per(last.0 - first.0, last.1 - first.1)),
        }
    }
}

impl Scenario {
    /// Its name on the command line and in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Scenario::FanOut => "fan-out",
            Scenario::Idle => "idle",
            Scenario::Storm => "storm",
        }
    }
}

/// What a reader must know before believing the figures.
fn warnings(run: &Run) -> Vec<String> {
    let mut warnings = Vec::new();
    if run
        .tool
        .busiest_thread
        .is_some_and(|share| share > SATURATED)
    {
        warnings.push(
            "the generator itself was saturated: deliveries a second are a lower bound and latencies have its share".into(),
        );
    } else if run
        .tool
        .machine_busy
        .is_some_and(|share| share > MACHINE_FULL)
    {
        warnings.push("all cores were busy: server and generator took time from each other".into());
    }
    if let Some(late) = &run.published.late
        && late.p99_us > LATE_US
        && run.rate.is_some()
    {
        let ms = late.p99_us as f64 / 1e3;
        warnings.push(format!(
            "publishing fell behind its schedule (p99 {ms:.1} ms late), which latencies include: the server took events more slowly than asked, or more publishers are needed"
        ));
    }
    let refused = run.published.refused;
    if refused > 0 {
        warnings.push(format!(
            "{refused} publishes were refused for a time (a limit of the server?)"
        ));
    }
    for group in &run.groups {
        if group.lost > 0 {
            let GroupRun {
                transport,
                lost,
                expected,
                ..
            } = group;
            warnings.push(format!(
                "{transport}: {lost} of {expected} deliveries never came"
            ));
        }
        if group.reconnects > 0 {
            let GroupRun {
                transport,
                reconnects,
                ..
            } = group;
            warnings.push(format!(
                "{transport}: {reconnects} connections ended and were made anew"
            ));
        }
    }
    if run.scenario == Scenario::Idle.name()
        && run
            .memory
            .as_ref()
            .is_some_and(|memory| memory.settled_seconds.is_none())
    {
        warnings.push("the server's memory had not settled when the time for it was over".into());
    }
    if let Some(storm) = &run.storm
        && storm.caught_up < storm.cut
    {
        let Storm { caught_up, cut, .. } = storm;
        warnings.push(format!("only {caught_up} of {cut} caught up in time"));
    }
    warnings
}

fn cpu_seconds(first: Option<Usage>, last: Option<Usage>) -> Option<f64> {
    Some(last?.cpu_seconds - first?.cpu_seconds)
}

fn per(count: f64, of: f64) -> Option<f64> {
    (of > 0.0).then(|| count / of)
}

/// The share of its time that a thread needs before figures are the generator's own.
const SATURATED: f64 = 0.9;
const MACHINE_FULL: f64 = 0.97;
/// A hundredth of the events later than this: the schedule was not kept.
const LATE_US: u64 = 20_000;
