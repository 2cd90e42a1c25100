//! A report as one page that needs nothing around it: table, charts, warnings; no script.
//!
//! Shape: a section for each load: its table, then the charts for which it has figures.
//! Failure: what was not measured is left out.

use std::fmt::Write;

use super::{
    Report, Run,
    chart::{self, Bar, Series, escaped},
    text::{columns, count, heading, rows, sections},
};

/// The page.
#[must_use]
pub fn page(report: &Report) -> String {
    let mut body = String::new();
    for runs in sections(report) {
        let _ = write!(
            body,
            "<section>\n<h2>{}</h2>\n",
            escaped(&heading(&runs[0]))
        );
        body += &table(runs);
        body += &charts(runs);
        body.push_str("</section>\n");
    }
    let (machine, tool) = (escaped(&report.machine), escaped(&report.tool));
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>tidewire bench</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>tidewire bench</h1>\n\
         <p>{machine}. Made by {tool}.</p>\n{body}<footer>{NOTES}</footer>\n</body>\n</html>\n"
    )
}

fn table(runs: &[Run]) -> String {
    let columns = columns(&runs[0]);
    let head: String = columns
        .iter()
        .map(|column| format!("<th>{}</th>", escaped(column.name)))
        .collect();
    let mut text =
        format!("<div class=\"wide\"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n");
    for row in rows(runs, &columns) {
        let cells: String = row
            .iter()
            .map(|cell| format!("<td>{}</td>", escaped(cell)))
            .collect();
        let _ = writeln!(text, "<tr>{cells}</tr>");
    }
    text.push_str("</tbody>\n</table></div>\n");
    let warnings = runs
        .iter()
        .flat_map(|run| run.warnings.iter().map(move |each| (run, each)));
    let warnings: String = warnings
        .map(|(run, each)| format!("<li>{}: {}</li>\n", escaped(&run.name), escaped(each)))
        .collect();
    if !warnings.is_empty() {
        let _ = write!(text, "<ul class=\"warnings\">\n{warnings}</ul>\n");
    }
    text
}

fn charts(runs: &[Run]) -> String {
    let mut text = String::new();
    let latencies = latencies(runs);
    if !latencies.is_empty() {
        text += &chart::curves(
            "Latency by percentile, from when an event should have been sent to its arrival",
            &latencies,
        );
    }
    let with_events: Vec<&Run> = runs.iter().filter(|run| run.deliveries > 0).collect();
    text += &figure("Deliveries a second", &with_events, |run| {
        let value = run.deliveries_per_second;
        Some((value, count(value as u64)))
    });
    text += &figure(
        "Server CPU-seconds for a million deliveries",
        &with_events,
        |run| {
            let value = run.server_cpu_seconds_per_million?;
            Some((value, format!("{value:.2} s")))
        },
    );
    let all: Vec<&Run> = runs.iter().collect();
    text += &figure("Server memory for a subscriber", &all, |run| {
        let value = run.memory.as_ref()?.per_subscriber_bytes.max(0.0) / 1024.0;
        Some((value, format!("{value:.1} KiB")))
    });
    let memory = memory_over_time(runs);
    if !memory.is_empty() {
        text += &chart::lines("Server memory over time", &memory, " MiB");
    }
    text
}

/// One figure of each run as bars; nothing when no run has it.
fn figure(title: &str, runs: &[&Run], of: impl Fn(&Run) -> Option<(f64, String)>) -> String {
    let bar = |(index, run): (usize, &&Run)| {
        let (value, text) = of(run)?;
        Some(Bar {
            label: run.name.clone(),
            value,
            text,
            spread: None,
            colour: index,
        })
    };
    let bars: Vec<Bar> = runs.iter().enumerate().filter_map(bar).collect();
    if bars.is_empty() {
        return String::new();
    }
    chart::bars(title, &bars)
}

fn latencies(runs: &[Run]) -> Vec<Series> {
    let groups = runs
        .iter()
        .flat_map(|run| run.groups.iter().map(move |group| (run, group)));
    let series = groups.enumerate().filter_map(|(colour, (run, group))| {
        let curve = &group.latency.as_ref()?.curve;
        let label = if run.groups.len() > 1 {
            &group.transport
        } else {
            &run.name
        };
        Some(Series {
            label: label.clone(),
            points: curve
                .iter()
                .map(|(percentile, time)| (*percentile, *time as f64))
                .collect(),
            colour,
        })
    });
    series.collect()
}

fn memory_over_time(runs: &[Run]) -> Vec<Series> {
    let series = runs.iter().enumerate().map(|(colour, run)| {
        let points = run.samples.iter().filter_map(|sample| {
            let bytes = sample.resident_bytes?;
            Some((sample.at_seconds, bytes as f64 / (1024.0 * 1024.0)))
        });
        Series {
            label: run.name.clone(),
            points: points.collect(),
            colour,
        }
    });
    series.filter(|series| !series.points.is_empty()).collect()
}

const STYLE: &str = "\
    :root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;max-width:66rem;margin:2rem auto;padding:0 1rem;\
    color:#1f2933;background:#fff}h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem}.wide{overflow-x:auto}\
    table{border-collapse:collapse;font-size:.78rem;font-variant-numeric:tabular-nums;white-space:nowrap}th,td{padding:.2rem .35rem;text-align:right;\
    border-bottom:1px solid #d9dee4}th:first-child,td:first-child{text-align:left}svg{display:block;width:100%;margin:1rem 0}\
    .warnings{color:#9a4a00}footer{color:#5b6672;font-size:.9rem;margin-top:2rem}\
    @media(prefers-color-scheme:dark){body{color:#e4e9ee;background:#14191f}th,td{border-color:#2c353f}.warnings{color:#f2a45c}\
    footer{color:#9aa7b4}}";
const NOTES: &str = "Latency counts from the time when an event should have been sent, so a publisher that is held up counts \
    too. CPU is user and system time of the server's processes between the same two moments as the deliveries. Memory is \
    resident memory over what the server had before the first connection. The generator ran on the same machine unless \
    stated otherwise.";
