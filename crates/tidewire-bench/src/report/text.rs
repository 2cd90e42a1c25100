//! Figures as people read them, and the table for a terminal.
//!
//! Shape: runs that differ in their transport only stand under one heading, a line for each transport.
//! Unit: stands in the head of a column or beside the figure. What was not measured is `–`.

use std::fmt::Write;

use super::{GroupRun, Latency, Report, Run};

/// The table of a report.
#[must_use]
pub fn table(report: &Report) -> String {
    let mut text = format!("{}\n", report.machine);
    for runs in sections(report) {
        let _ = writeln!(text, "\n{}", heading(&runs[0]));
        let columns = columns(&runs[0]);
        let mut lines = vec![
            columns
                .iter()
                .map(|column| column.name.to_owned())
                .collect(),
        ];
        lines.extend(rows(runs, &columns));
        text.push_str(&aligned(&lines));
        for (run, warning) in runs
            .iter()
            .flat_map(|run| run.warnings.iter().map(move |each| (run, each)))
        {
            let _ = writeln!(text, "! {}: {warning}", run.name);
        }
    }
    text
}

/// Runs of the same load, as they follow each other.
pub(super) fn sections(report: &Report) -> impl Iterator<Item = &[Run]> {
    report
        .runs
        .chunk_by(|one, other| heading(one) == heading(other))
}

/// What the runs of a section have in common.
pub(super) fn heading(run: &Run) -> String {
    let security = if run.tls { "TLS 1.3" } else { "plain" };
    let subscribers = count(run.subscribers);
    let mut text = format!("{}: {subscribers} subscribers", run.scenario);
    if run.groups.len() > 1 {
        let _ = write!(text, " of {} transports", run.groups.len());
    }
    if run.scenario == "idle" {
        let _ = write!(text, ", {security}");
        return text;
    }
    let topics = if run.topics == 1 { "topic" } else { "topics" };
    let _ = write!(
        text,
        ", {} {topics}, {} bytes",
        count(run.topics),
        count(run.payload_bytes)
    );
    match (run.rate, run.outstanding) {
        (Some(rate), _) => {
            let _ = write!(text, ", {rate} events/s each");
        }
        (None, events) => {
            let _ = write!(
                text,
                ", full speed with {} outstanding",
                events.unwrap_or(0)
            );
        }
    }
    let _ = write!(text, ", {security}; published by {}", run.publishing);
    if run.publishers > 1 {
        let _ = write!(text, " by each of {}", run.publishers);
    }
    text
}

/// A column: its name and what stands in it.
pub(super) struct Column {
    pub(super) name: &'static str,
    cell: fn(&Run, &GroupRun) -> String,
    /// The figure is that of the whole run, not of one transport.
    is_of_run: bool,
}

pub(super) fn columns(run: &Run) -> Vec<Column> {
    let of_group = |name, cell| Column {
        name,
        cell,
        is_of_run: false,
    };
    let of_run = |name, cell| Column {
        name,
        cell,
        is_of_run: true,
    };
    let mut columns = vec![
        of_group("transport", |_, group| {
            format!("{} {}", group.server, group.transport)
        }),
        of_group("subscribers", |_, group| count(group.subscribers)),
        of_group("connects/s", |_, group| {
            count(group.connects_per_second as u64)
        }),
        of_run("KiB/subscriber", |run, _| {
            let memory = run
                .memory
                .as_ref()
                .map(|memory| memory.per_subscriber_bytes / 1024.0);
            memory.map_or(NONE.into(), |kib| format!("{kib:.1}"))
        }),
    ];
    if run.scenario == "idle" {
        columns.push(of_group("connect p50", |_, group| {
            time(group.connect.as_ref(), |times| times.p50_us)
        }));
        columns.push(of_group("connect p99", |_, group| {
            time(group.connect.as_ref(), |times| times.p99_us)
        }));
        columns.push(of_run("settled", |run, _| {
            let settled = run
                .memory
                .as_ref()
                .and_then(|memory| memory.settled_seconds);
            settled.map_or(NONE.into(), |seconds| format!("{seconds:.1} s"))
        }));
        return columns;
    }
    columns.push(of_group("deliveries/s", |run, group| {
        count((group.deliveries as f64 / run.measured_seconds.max(0.001)) as u64)
    }));
    columns.push(of_run("CPU s/million", |run, _| {
        run.server_cpu_seconds_per_million
            .map_or(NONE.into(), |cpu| format!("{cpu:.2}"))
    }));
    columns.push(of_group("p50", |_, group| {
        time(group.latency.as_ref(), |times| times.p50_us)
    }));
    columns.push(of_group("p90", |_, group| {
        time(group.latency.as_ref(), |times| times.p90_us)
    }));
    columns.push(of_group("p99", |_, group| {
        time(group.latency.as_ref(), |times| times.p99_us)
    }));
    columns.push(of_group("p99.9", |_, group| {
        time(group.latency.as_ref(), |times| times.p999_us)
    }));
    columns.push(of_group("max", |_, group| {
        time(group.latency.as_ref(), |times| times.max_us)
    }));
    columns.push(of_group("wire B", |_, group| {
        group
            .wire_bytes_per_delivery
            .map_or(NONE.into(), |bytes| count(bytes.round() as u64))
    }));
    columns.push(of_group("lost", |_, group| count(group.lost)));
    columns.push(of_group("repeated", |_, group| count(group.repeated)));
    columns.push(of_group("reordered", |_, group| count(group.reordered)));
    if run.scenario == "storm" {
        columns.push(of_run("caught up", |run, _| {
            run.storm
                .as_ref()
                .map_or(NONE.into(), |storm| count(storm.caught_up))
        }));
        columns.push(of_run("p50", |run, _| {
            time(
                run.storm.as_ref().and_then(|storm| storm.catch_up.as_ref()),
                |times| times.p50_us,
            )
        }));
        columns.push(of_run("all after", |run, _| {
            time(
                run.storm.as_ref().and_then(|storm| storm.catch_up.as_ref()),
                |times| times.max_us,
            )
        }));
        columns.push(of_run("refused", |run, _| count(run.published.refused)));
    }
    columns
}

/// A line for each transport of each run.
pub(super) fn rows(runs: &[Run], columns: &[Column]) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for run in runs {
        for (index, group) in run.groups.iter().enumerate() {
            let cell = |column: &Column| match column.is_of_run && index > 0 {
                true => "\"".to_owned(),
                false => (column.cell)(run, group),
            };
            rows.push(columns.iter().map(cell).collect());
        }
    }
    rows
}

/// The first column to the left, the others to the right.
fn aligned(lines: &[Vec<String>]) -> String {
    let columns = lines.first().map_or(0, Vec::len);
    let width = |column: usize| {
        let widths = lines.iter().map(|line| line[column].chars().count());
        widths.max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for line in lines {
        for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
            let pad = " ".repeat(width - cell.chars().count());
            let _ = match column {
                0 => write!(text, "{cell}{pad}"),
                _ => write!(text, "  {pad}{cell}"),
            };
        }
        text.push('\n');
    }
    text
}

/// `1234567` as `1,234,567`.
#[must_use]
pub fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Microseconds in the unit that fits.
#[must_use]
pub fn microseconds(time: u64) -> String {
    match time {
        0..1_000 => format!("{time} µs"),
        1_000..10_000 => format!("{:.1} ms", time as f64 / 1e3),
        10_000..1_000_000 => format!("{} ms", time / 1_000),
        1_000_000..100_000_000 => format!("{:.1} s", time as f64 / 1e6),
        _ => format!("{} s", time / 1_000_000),
    }
}

fn time(times: Option<&Latency>, of: fn(&Latency) -> u64) -> String {
    times.map_or(NONE.into(), |times| microseconds(of(times)))
}

const NONE: &str = "–";
