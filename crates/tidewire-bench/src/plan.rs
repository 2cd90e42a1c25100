//! What a run does: who subscribes, who publishes, how much, how long.
//!
//! Shape: one value, made by the command line or by another program. Unit: rates are for each topic, times carry theirs.
//! Failure: what cannot work is refused by [`Plan::check`] before anything is connected.

use std::{sync::Arc, time::Duration};

use crate::{
    marker::MARKER_BYTES,
    protocol::{Protocol, Publishing},
    target::Target,
};

/// One run.
pub struct Plan {
    /// Its name in the report; free text.
    pub name: String,
    /// Who subscribes. Several groups run at the same time.
    pub groups: Vec<Group>,
    /// How it is published.
    pub publishing: Arc<dyn Publishing>,
    /// Where it is published.
    pub publish_to: Target,
    /// What happens.
    pub scenario: Scenario,
    /// How much of it.
    pub load: Load,
    /// Processes of the server on this machine, for its memory and CPU; their children count.
    pub processes: Vec<u32>,
}

/// Subscribers of one transport.
pub struct Group {
    /// What they speak.
    pub protocol: Arc<dyn Protocol>,
    /// Where they connect.
    pub target: Target,
    /// How many. They are spread over the topics.
    pub subscribers: usize,
}

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    /// Connect, publish, count.
    FanOut,
    /// Connect, wait until the server's memory has settled. Nothing is published.
    Idle,
    /// As fan-out; in the middle of the measured part all subscribers are cut at once and resume.
    Storm,
}

/// How much.
#[derive(Debug, Clone)]
pub struct Load {
    /// Topics. Subscribers take one each, in turn.
    pub topics: usize,
    /// What topics are called before their number.
    pub topic_prefix: String,
    /// Size of each payload.
    pub payload_bytes: usize,
    /// How fast.
    pub pace: Pace,
    /// Publishers, a connection each.
    pub publishers: usize,
    /// The part before the measured one.
    pub warm_up: Duration,
    /// The measured part.
    pub duration: Duration,
    /// Connections a second; none: as fast as they are taken.
    pub ramp: Option<f64>,
    /// Connections that are being made at a time.
    pub handshakes: usize,
    /// Time for all to be connected, and for all to catch up after a cut.
    pub connect_timeout: Duration,
    /// The longest wait for memory to settle.
    pub settle_timeout: Duration,
    /// Threads that subscribe; 0: one for each core.
    pub threads: usize,
    /// For the filler of payloads.
    pub seed: u64,
}

/// How fast.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// Events a second of each topic, by schedule: a stamp is the time when it should have been sent.
    Rate(f64),
    /// As fast as it goes, with so many events of a topic and publisher on their way.
    Outstanding(u32),
}

impl Default for Load {
    fn default() -> Load {
        Load {
            topics: 1,
            topic_prefix: "bench".into(),
            payload_bytes: 128,
            pace: Pace::Rate(50.0),
            publishers: 1,
            warm_up: Duration::from_secs(1),
            duration: Duration::from_secs(5),
            ramp: None,
            handshakes: 128,
            connect_timeout: Duration::from_secs(60),
            settle_timeout: Duration::from_secs(30),
            threads: 0,
            seed: 1,
        }
    }
}

/// A plan that cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} = {value}: accepted is {accepted}")]
pub struct BadPlan {
    what: &'static str,
    value: String,
    accepted: String,
}

impl Plan {
    /// Refuses what cannot work.
    ///
    /// # Errors
    /// The first value that is out of its range.
    pub fn check(&self) -> Result<(), BadPlan> {
        let load = &self.load;
        let subscribers = self.subscribers();
        let counts = [
            ("subscribers", subscribers, 1, 1_000_000),
            ("topics", load.topics, 1, 1_000_000),
            (
                "payload",
                load.payload_bytes,
                MARKER_BYTES,
                16 * 1024 * 1024,
            ),
            ("publishers", load.publishers, 1, 250),
            ("handshakes", load.handshakes, 1, 1_000_000),
            ("threads", load.threads, 0, 256),
        ];
        for (what, value, min, max) in counts {
            if !(min..=max).contains(&value) {
                let accepted = format!("a count from {min} to {max}");
                return Err(BadPlan {
                    what,
                    value: value.to_string(),
                    accepted,
                });
            }
        }
        if load.topics > subscribers {
            let accepted = format!("at most one for each subscriber, {subscribers}");
            return Err(BadPlan {
                what: "topics",
                value: load.topics.to_string(),
                accepted,
            });
        }
        let (what, value, min, max) = match load.pace {
            Pace::Rate(rate) => ("rate", rate, 0.001, 1_000_000.0),
            Pace::Outstanding(events) => ("outstanding", f64::from(events), 1.0, 65_536.0),
        };
        if !(min..=max).contains(&value) {
            let accepted = format!("a number from {min} to {max}");
            return Err(BadPlan {
                what,
                value: value.to_string(),
                accepted,
            });
        }
        if load
            .ramp
            .is_some_and(|ramp| !(1.0..=1_000_000.0).contains(&ramp))
        {
            let value = format!("{}", load.ramp.unwrap_or_default());
            let accepted = "connections a second from 1 to 1000000".into();
            return Err(BadPlan {
                what: "ramp",
                value,
                accepted,
            });
        }
        let times = [
            ("duration", load.duration, Duration::from_millis(100)),
            ("warm-up", load.warm_up, Duration::ZERO),
        ];
        for (what, value, min) in times {
            if value < min || value > DURATION_MAX {
                let accepted = format!("a time from {min:?} to {DURATION_MAX:?}");
                return Err(BadPlan {
                    what,
                    value: format!("{value:?}"),
                    accepted,
                });
            }
        }
        Ok(())
    }

    /// Subscribers of all groups.
    #[must_use]
    pub fn subscribers(&self) -> usize {
        self.groups.iter().map(|group| group.subscribers).sum()
    }

    /// Whether anything is published.
    pub(crate) fn publishes(&self) -> bool {
        self.scenario != Scenario::Idle
    }

    /// A stream is a topic and a publisher: `topic × publishers + publisher`.
    pub(crate) fn streams(&self) -> usize {
        self.load.topics * self.load.publishers
    }
}

impl Load {
    /// The name of a topic.
    pub(crate) fn topic(&self, number: usize) -> String {
        format!("{}.{number}", self.topic_prefix)
    }

    /// Threads that subscribe.
    pub(crate) fn workers(&self, subscribers: usize) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let wanted = if self.threads == 0 {
            cores
        } else {
            self.threads
        };
        wanted.min(subscribers)
    }
}

const DURATION_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
