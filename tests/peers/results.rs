//! What was measured: every run of every round, and the medians of them.
//!
//! Shape: `results.json` holds [`Results`]; tables and picture are made of nothing else. The newest figures of a peer in
//! a scenario replace older ones of the same round, so that a part can be measured again.
//! Unit: stands in each field's name.
//! Failure: a run that did not work has its reason in place of figures; it is shown, and counts in no median.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::Failure;

/// Everything, as `results.json` has it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Results {
    /// How it was started, as one would type it.
    pub(crate) command: String,
    /// Cores, memory, kernel.
    pub(crate) machine: String,
    /// When the last round ended, in UTC.
    pub(crate) date: String,
    /// What each server was.
    pub(crate) versions: BTreeMap<String, String>,
    /// What was asked for and could not be measured at all, with its reason.
    pub(crate) skipped: BTreeMap<String, String>,
    /// In the order in which they were made.
    pub(crate) runs: Vec<Run>,
}

/// One server under one load, once.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Run {
    /// From 1.
    pub(crate) round: u32,
    pub(crate) scenario: String,
    /// As tables show it.
    pub(crate) peer: String,
    pub(crate) transport: String,
    /// How it was published to.
    pub(crate) publishing: String,
    #[serde(flatten)]
    pub(crate) outcome: Outcome,
}

/// Figures, or why there are none.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    Figures(Box<Figures>),
    Failure(String),
}

/// What one run gave. What a scenario does not measure is 0.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Figures {
    pub(crate) subscribers: u64,
    /// Deliveries while it was measured, warm-up left out.
    pub(crate) delivered: u64,
    /// Events that never came, of all subscribers together, when the run had waited for them.
    pub(crate) lost: u64,
    pub(crate) repeated: u64,
    pub(crate) reordered: u64,
    /// User and system time of the server's processes for a million deliveries.
    pub(crate) cpu_seconds_per_million: f64,
    pub(crate) deliveries_per_second: f64,
    /// From the intended time of publishing to the arrival. None where no event that the schedule wanted in the measured
    /// part was sent before its end: the server is further behind than the run is long.
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
    pub(crate) p999_ms: Option<f64>,
    pub(crate) max_ms: Option<f64>,
    /// Below TLS's records, headers of the transport counted.
    pub(crate) bytes_per_delivery: f64,
    /// Resident memory of the server's processes for each idle connection.
    pub(crate) idle_kib_per_connection: f64,
    /// Cores that the load tool itself was using.
    pub(crate) tool_cores: f64,
    /// What makes a figure doubtful, in the words of the load tool.
    pub(crate) warnings: Vec<String>,
}

/// Median, lowest and highest of the rounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) lowest: f64,
    pub(crate) highest: f64,
}

/// The rounds of one server under one load.
#[derive(Debug)]
pub(crate) struct Row<'a> {
    pub(crate) peer: &'a str,
    pub(crate) transport: &'a str,
    pub(crate) rounds: Vec<&'a Figures>,
    pub(crate) failures: Vec<&'a str>,
}

impl Results {
    /// Those of an earlier run; none where there is no file.
    pub(crate) fn load(file: &Path) -> Result<Option<Self>, Failure> {
        match std::fs::read(file) {
            Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) fn save(&self, file: &Path) -> Result<(), Failure> {
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        Ok(std::fs::write(file, text)?)
    }

    /// One more run, in place of an older one of the same kind and round.
    pub(crate) fn take(&mut self, run: Run) {
        self.runs.retain(|old| {
            (old.round, &old.scenario, &old.peer, &old.transport)
                != (run.round, &run.scenario, &run.peer, &run.transport)
        });
        self.runs.push(run);
    }

    /// What was measured in a scenario, in the order in which it first was.
    pub(crate) fn rows(&self, scenario: &str) -> Vec<Row<'_>> {
        let mut rows: Vec<Row<'_>> = Vec::new();
        for run in self.runs.iter().filter(|run| run.scenario == scenario) {
            let known = rows.iter().position(|row| {
                row.peer == run.peer.as_str() && row.transport == run.transport.as_str()
            });
            let at = known.unwrap_or_else(|| {
                rows.push(Row {
                    peer: &run.peer,
                    transport: &run.transport,
                    rounds: Vec::new(),
                    failures: Vec::new(),
                });
                rows.len() - 1
            });
            match &run.outcome {
                Outcome::Figures(figures) => rows[at].rounds.push(figures),
                Outcome::Failure(why) => rows[at].failures.push(why),
            }
        }
        rows
    }
}

impl Row<'_> {
    /// Of one figure over the rounds; none where no round has it.
    pub(crate) fn spread(&self, figure: impl Fn(&Figures) -> Option<f64>) -> Option<Spread> {
        let values = self.rounds.iter().filter_map(|round| figure(round));
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 {
            values[middle]
        } else {
            f64::midpoint(*values.get(middle.checked_sub(1)?)?, values[middle])
        };
        Some(Spread {
            median,
            lowest: *values.first()?,
            highest: *values.last()?,
        })
    }

    /// Of all rounds together.
    pub(crate) fn sum(&self, figure: impl Fn(&Figures) -> u64) -> u64 {
        self.rounds.iter().map(|round| figure(round)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(round: u32, peer: &str, cpu: Option<f64>) -> Run {
        let outcome = match cpu {
            Some(cpu_seconds_per_million) => Outcome::Figures(Box::new(Figures {
                cpu_seconds_per_million,
                lost: 1,
                ..Figures::default()
            })),
            None => Outcome::Failure("no answer".to_owned()),
        };
        Run {
            round,
            scenario: "50".to_owned(),
            peer: peer.to_owned(),
            transport: "SSE".to_owned(),
            publishing: "POST".to_owned(),
            outcome,
        }
    }

    #[test]
    fn a_row_has_the_median_and_the_ends_of_the_rounds_that_worked() {
        let mut results = Results::default();
        let rounds = [Some(3.0), Some(1.0), None, Some(9.0)];
        for (round, cpu) in (1..).zip(rounds) {
            results.take(run(round, "a", cpu));
            results.take(run(round, "b", None));
        }
        let rows = results.rows("50");
        let spread = |row: &Row<'_>| row.spread(|figures| Some(figures.cpu_seconds_per_million));
        let expected = Spread {
            median: 3.0,
            lowest: 1.0,
            highest: 9.0,
        };
        assert_eq!((rows[0].peer, spread(&rows[0])), ("a", Some(expected)));
        assert_eq!(rows[0].sum(|figures| figures.lost), 3);
        assert_eq!((rows[1].peer, spread(&rows[1])), ("b", None));
        assert_eq!(rows[1].failures, ["no answer"; 4]);
        assert!(results.rows("500").is_empty());
    }

    #[test]
    fn an_even_number_of_rounds_has_its_median_between_two() {
        let mut results = Results::default();
        results.take(run(1, "a", Some(1.0)));
        results.take(run(2, "a", Some(2.0)));
        let median = |results: &Results| {
            let rows = results.rows("50");
            rows[0].spread(|figures| Some(figures.cpu_seconds_per_million))
        };
        assert_eq!(median(&results).map(|spread| spread.median), Some(1.5));
        results.take(run(2, "a", Some(5.0)));
        assert_eq!(median(&results).map(|spread| spread.median), Some(3.0));
    }

    #[test]
    fn results_are_the_same_after_they_were_written() {
        let mut results = Results::default();
        results.take(run(1, "a", Some(1.25)));
        results.take(run(1, "b", None));
        let text = serde_json::to_string(&results).unwrap();
        let again: Results = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&again).unwrap(), text);
    }
}
