//! The results as Markdown: a table for each scenario, then what each server was.
//!
//! Unit: a cell is the median of the rounds, with the lowest and the highest behind it where they differ. A dash: see
//! `Figures::p50_ms`.

use std::fmt::Write as _;

use crate::results::{Results, Row, Spread};
use crate::scenario::{Column, Scenario};

/// The whole of `results.md`.
pub(crate) fn markdown(results: &Results) -> String {
    let mut text = String::new();
    for scenario in Scenario::ALL {
        let rows = sorted(results, scenario, scenario.panels()[0]);
        if !rows.is_empty() {
            table(&mut text, scenario, &rows);
        }
    }
    text.push_str("| server | version |\n| --- | --- |\n");
    for (server, version) in &results.versions {
        line(&mut text, format_args!("| {server} | {version} |"));
    }
    for (what, why) in &results.skipped {
        line(&mut text, format_args!("\nNot measured: {what}: {why}"));
    }
    line(
        &mut text,
        format_args!("\n{}; {}.", results.date, results.machine),
    );
    line(&mut text, format_args!("`{}`", results.command));
    text
}

/// The best first, and those that never worked last.
pub(crate) fn sorted(results: &Results, scenario: Scenario, by: Column) -> Vec<Row<'_>> {
    let mut rows = results.rows(scenario.name());
    rows.sort_by(|one, other| {
        let place = |row: &Row<'_>| {
            let median = row.spread(by.of).map(|spread| spread.median);
            let sign = if by.more_is_better { -1.0 } else { 1.0 };
            median.map_or(f64::INFINITY, |median| sign * median)
        };
        place(one).total_cmp(&place(other))
    });
    rows
}

fn table(text: &mut String, scenario: Scenario, rows: &[Row<'_>]) {
    let columns = scenario.columns();
    let published = scenario != Scenario::Idle;
    line(text, format_args!("**{}**\n", scenario.title()));
    let mut heads = vec!["server", "transport"];
    heads.extend(columns.iter().map(|column| column.title));
    if published {
        heads.push("lost");
    }
    line(text, format_args!("| {} |", heads.join(" | ")));
    line(text, format_args!("|{}", " --- |".repeat(heads.len())));
    for row in rows {
        let mut cells = vec![row.peer.to_owned(), row.transport.to_owned()];
        if row.rounds.is_empty() {
            let why = row.failures.first().copied().unwrap_or_default();
            cells.push(format!("did not work: {}", why.replace(['|', '\n'], " ")));
        } else {
            let spreads = columns.iter().map(|column| row.spread(column.of));
            cells.extend(spreads.map(|spread| spread.map_or("–".to_owned(), cell)));
            if published {
                cells.push(lost(row));
            }
        }
        cells.resize(heads.len(), String::new());
        line(text, format_args!("| {} |", cells.join(" | ")));
    }
    text.push('\n');
}

/// Lost events of all rounds; also what came twice or late, and rounds that failed.
fn lost(row: &Row<'_>) -> String {
    let mut parts = vec![thousands(row.sum(|figures| figures.lost) as f64)];
    for (count, what) in [
        (row.sum(|figures| figures.repeated), "repeated"),
        (row.sum(|figures| figures.reordered), "reordered"),
    ] {
        if count > 0 {
            parts.push(format!("{} {what}", thousands(count as f64)));
        }
    }
    let failed = row.failures.len();
    if failed > 0 {
        parts.push(format!(
            "{failed} of {} rounds failed",
            failed + row.rounds.len()
        ));
    }
    parts.join(", ")
}

fn cell(spread: Spread) -> String {
    let ends = [spread.median, spread.lowest, spread.highest];
    let [median, lowest, highest] = ends.map(number);
    if lowest == highest {
        return median;
    }
    format!("{median} ({lowest}–{highest})")
}

/// Three digits that mean something, large ones in groups of three.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        large if large >= 999.5 => thousands((value / 100.0).round() * 100.0),
        large if large >= 99.95 => format!("{value:.0}"),
        middle if middle >= 9.995 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

pub(crate) fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn line(text: &mut String, what: std::fmt::Arguments<'_>) {
    writeln!(text, "{what}").expect("a string takes all");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::{Figures, Outcome, Run};

    fn run(round: u32, peer: &str, outcome: Outcome) -> Run {
        Run {
            round,
            scenario: "full".to_owned(),
            peer: peer.to_owned(),
            transport: "WebSocket".to_owned(),
            publishing: "POST".to_owned(),
            outcome,
        }
    }

    fn figures(deliveries_per_second: f64, lost: u64) -> Outcome {
        Outcome::Figures(Box::new(Figures {
            deliveries_per_second,
            lost,
            cpu_seconds_per_million: 1.25,
            ..Figures::default()
        }))
    }

    #[test]
    fn numbers_keep_three_digits() {
        let values = [
            0.0,
            0.123_4,
            9.994,
            9.996,
            52.3,
            99.96,
            999.4,
            999.6,
            1_086_449.0,
        ];
        let expected = [
            "0.00",
            "0.12",
            "9.99",
            "10.0",
            "52.3",
            "100",
            "999",
            "1,000",
            "1,086,400",
        ];
        assert_eq!(values.map(number), expected);
    }

    #[test]
    fn a_table_has_the_best_first_and_what_failed_last() {
        let mut results = Results::default();
        results.take(run(1, "broken", Outcome::Failure("no | answer".to_owned())));
        results.take(run(1, "slow", figures(50.0, 0)));
        results.take(run(1, "fast", figures(1_000.0, 7)));
        results.take(run(2, "fast", figures(3_000.0, 0)));
        results.take(run(3, "fast", Outcome::Failure("gone".to_owned())));
        results.versions.insert("fast".to_owned(), "1.0".to_owned());
        results
            .skipped
            .insert("absent".to_owned(), "not installed".to_owned());
        let text = markdown(&results);
        let rows: Vec<&str> = text
            .lines()
            .filter(|line| line.contains("WebSocket"))
            .collect();
        let fast = "| fast | WebSocket | 1.25 | 2,000 (1,000–3,000) | – |";
        assert!(rows[0].starts_with(fast), "{text}");
        assert!(rows[0].ends_with("| 7, 1 of 3 rounds failed |"), "{text}");
        assert!(
            rows[1].starts_with("| slow | WebSocket | 1.25 | 50.0 |"),
            "{text}"
        );
        assert!(
            rows[2].starts_with("| broken | WebSocket | did not work: no   answer |"),
            "{text}"
        );
        assert!(
            text.contains("Not measured: absent: not installed"),
            "{text}"
        );
        let table = text.lines().filter(|line| line.starts_with("| ")).take(4);
        assert!(
            table.clone().all(|row| row.matches('|').count() == 11),
            "{text}"
        );
    }
}
