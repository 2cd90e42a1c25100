//! The results as one SVG that needs nothing else: a panel for each figure, a row for each server and transport.
//!
//! Shape: two columns of panels. A bar is the median, the thin line over it reaches from the lowest to the highest round.
//! What spans powers of ten has dots on a logarithmic scale instead, with a line at each power.
//! Unit: pixels; each panel says its own. Light or dark as the reader prefers.

use std::fmt::Write as _;

use crate::results::{Results, Row, Spread};
use crate::scenario::{Column, Scenario};
use crate::table::{number, sorted, thousands};

/// The whole of `results.svg`.
pub(crate) fn svg(results: &Results) -> String {
    let mut columns = [String::new(), String::new()];
    let mut heights = [TOP; 2];
    for scenario in Scenario::ALL {
        for column in scenario.panels() {
            let rows = sorted(results, scenario, *column);
            if rows.is_empty() {
                continue;
            }
            let side = usize::from(heights[1] < heights[0]);
            let at = (LEFT + side as f64 * (PANEL_WIDTH + GUTTER), heights[side]);
            panel(&mut columns[side], scenario, *column, &rows, at);
            heights[side] += PANEL_HEAD + rows.len() as f64 * ROW + PANEL_FOOT;
        }
    }
    let width = 2.0 * (LEFT + PANEL_WIDTH) + GUTTER;
    let height = heights[0].max(heights[1]) + BOTTOM;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" role=\"img\">\n<title>{TITLE}</title>\n<style>{STYLE}</style>\n\
         <rect class=\"back\" width=\"{width}\" height=\"{height}\"/>\n"
    );
    element(&mut text, "title", (LEFT, 30.0), TITLE);
    text.push_str(&columns.concat());
    let machine = format!("{}; {}", results.date, results.machine);
    element(&mut text, "muted", (LEFT, height - 14.0), &machine);
    text.push_str("</svg>\n");
    text
}

/// Where a value lies, and how a row shows it.
struct Scale {
    is_logarithmic: bool,
    lowest: f64,
    highest: f64,
}

impl Scale {
    fn of(column: Column, rows: &[Row<'_>]) -> Self {
        let spreads: Vec<Spread> = rows
            .iter()
            .filter_map(|row| row.spread(column.of))
            .collect();
        let highest = spreads.iter().map(|spread| spread.highest);
        let lowest = spreads.iter().map(|spread| spread.lowest);
        Self {
            is_logarithmic: column.is_logarithmic,
            // Half of the lowest, so that its dot does not lie on the axis.
            lowest: lowest.fold(f64::INFINITY, f64::min).max(LEAST) / 2.0,
            highest: highest.fold(LEAST, f64::max),
        }
    }

    /// Pixels from the axis.
    fn place(&self, value: f64) -> f64 {
        let share = if self.is_logarithmic {
            (value.max(LEAST) / self.lowest).ln() / (self.highest.max(LEAST) / self.lowest).ln()
        } else {
            value / self.highest
        };
        share.clamp(0.0, 1.0) * BAR_WIDTH
    }
}

fn panel(text: &mut String, scenario: Scenario, column: Column, rows: &[Row<'_>], at: (f64, f64)) {
    let (left, top) = at;
    let scale = Scale::of(column, rows);
    let better = match (scale.is_logarithmic, column.more_is_better) {
        (true, _) => " (logarithmic, less is better)",
        (false, true) => " (more is better)",
        (false, false) => " (less is better)",
    };
    element(text, "head", (left, top + 14.0), scenario.title());
    let unit = format!("{}{better}", column.title);
    element(text, "muted", (left, top + 31.0), &unit);
    if scale.is_logarithmic {
        let bottom = top + PANEL_HEAD + rows.len() as f64 * ROW;
        grid(text, &scale, left + NAME_WIDTH, (top + PANEL_HEAD, bottom));
    }
    for (index, row) in rows.iter().enumerate() {
        let middle = top + PANEL_HEAD + index as f64 * ROW + ROW / 2.0;
        let name = format!("{} · {}", row.peer, row.transport);
        element(text, "name", (left + NAME_WIDTH - 8.0, middle + 4.0), &name);
        let axis = left + NAME_WIDTH;
        match row.spread(column.of) {
            Some(spread) => mark(text, row, spread, &scale, (axis, middle)),
            None if row.rounds.is_empty() => {
                element(text, "muted", (axis, middle + 4.0), "did not work");
            }
            None => element(
                text,
                "muted",
                (axis, middle + 4.0),
                "further behind than the run is long",
            ),
        }
    }
}

/// A line at each power of ten.
fn grid(text: &mut String, scale: &Scale, axis: f64, (top, bottom): (f64, f64)) {
    for power in -3..7 {
        let value = 10_f64.powi(power);
        if !(scale.lowest..=scale.highest).contains(&value) {
            continue;
        }
        let x = axis + scale.place(value);
        let line = format!(
            "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top}\" y2=\"{bottom}\"/>"
        );
        let written = writeln!(text, "{line}");
        written.expect("a string takes all");
        element(text, "tick", (x, bottom + 12.0), &format!("{value}"));
    }
}

fn mark(text: &mut String, row: &Row<'_>, spread: Spread, scale: &Scale, at: (f64, f64)) {
    let (axis, middle) = at;
    let class = if row.peer.starts_with(OURS) {
        "ours"
    } else {
        "bar"
    };
    let [length, from, to] = [spread.median, spread.lowest, spread.highest].map(|v| scale.place(v));
    let shape = if scale.is_logarithmic {
        let x = axis + length;
        format!("<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{middle}\" r=\"5\"/>")
    } else {
        let (y, height) = (middle - BAR / 2.0, BAR);
        format!(
            "<rect class=\"{class}\" x=\"{axis}\" y=\"{y}\" width=\"{length:.1}\" height=\"{height}\" rx=\"2\"/>"
        )
    };
    let whisker = format!(
        "<line class=\"whisker\" x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{middle}\" y2=\"{middle}\"/>",
        axis + from,
        axis + to
    );
    let written = writeln!(text, "{shape}{whisker}");
    written.expect("a string takes all");
    let lost = row.sum(|figures| figures.lost);
    let mut value = number(spread.median);
    if lost > 0 {
        let written = write!(value, ", {} lost", thousands(lost as f64));
        written.expect("a string takes all");
    }
    element(
        text,
        "value",
        (axis + to.max(length) + 9.0, middle + 4.0),
        &value,
    );
}

fn element(text: &mut String, class: &str, at: (f64, f64), words: &str) {
    let words = words.replace('&', "&amp;").replace('<', "&lt;");
    let (x, y) = at;
    let written = writeln!(
        text,
        "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{words}</text>"
    );
    written.expect("a string takes all");
}

const TITLE: &str = "One topic, 1,000 subscribers, 128 bytes, TLS, everything on one machine";
const OURS: &str = "Tidewire";
const STYLE: &str = "\
    text{font:12px system-ui,sans-serif;fill:#1f2328}\
    .title{font-size:17px;font-weight:600}.head{font-size:14px;font-weight:600}\
    .muted{fill:#59636e}.name{text-anchor:end}.tick{text-anchor:middle;font-size:10px;fill:#59636e}.grid{stroke:#d1d9e0}\
    .back{fill:#fff}.bar{fill:#afb8c1}.ours{fill:#0969da}.whisker{stroke:#1f2328;stroke-width:1.5}\
    @media(prefers-color-scheme:dark){text{fill:#f0f6fc}.muted{fill:#9198a1}.back{fill:#0d1117}\
    .bar{fill:#59636e}.ours{fill:#4493f8}.whisker{stroke:#f0f6fc}.tick{fill:#9198a1}.grid{stroke:#2f353d}}";
const LEFT: f64 = 20.0;
const TOP: f64 = 54.0;
const BOTTOM: f64 = 28.0;
const GUTTER: f64 = 30.0;
const PANEL_WIDTH: f64 = 550.0;
const PANEL_HEAD: f64 = 40.0;
/// Ticks, and a space.
const PANEL_FOOT: f64 = 34.0;
const ROW: f64 = 22.0;
const BAR: f64 = 14.0;
const NAME_WIDTH: f64 = 225.0;
/// What is left of the panel holds the value.
const BAR_WIDTH: f64 = 225.0;
/// A value below this is drawn as this, on a logarithmic scale.
const LEAST: f64 = 0.001;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::{Figures, Outcome, Run};

    fn results(scenario: &str, values: &[f64]) -> Results {
        let mut results = Results::default();
        for (round, value) in (1..).zip(values) {
            results.take(Run {
                round,
                scenario: scenario.to_owned(),
                peer: "Tidewire & <peers>".to_owned(),
                transport: "SSE".to_owned(),
                publishing: "POST".to_owned(),
                outcome: Outcome::Figures(Box::new(Figures {
                    cpu_seconds_per_million: *value,
                    p99_ms: Some(*value),
                    idle_kib_per_connection: *value,
                    lost: 2_000,
                    ..Figures::default()
                })),
            });
        }
        results
    }

    #[test]
    fn a_bar_is_the_median_and_its_line_the_spread() {
        let text = svg(&results("idle", &[1.0, 4.0, 2.0]));
        let axis = LEFT + NAME_WIDTH;
        let bar = format!("width=\"{:.1}\" height=\"{BAR}\"", BAR_WIDTH / 2.0);
        let ends = (axis + BAR_WIDTH / 4.0, axis + BAR_WIDTH);
        let line = format!("x1=\"{:.1}\" x2=\"{:.1}\"", ends.0, ends.1);
        assert!(text.contains(&bar) && text.contains(&line), "{text}");
        assert!(text.contains(">2.00, 6,000 lost<"), "{text}");
        assert!(text.contains("Tidewire &amp; &lt;peers> · SSE"), "{text}");
    }

    #[test]
    fn a_dot_lies_between_the_powers_of_ten() {
        let text = svg(&results("50", &[2.0, 200.0, 20.0]));
        // From half of the lowest, 1, to the highest, 200.
        let at = |value: f64| LEFT + NAME_WIDTH + value.ln() / 200_f64.ln() * BAR_WIDTH;
        for (class, x) in [
            ("\"ours\" cx", 20.0),
            ("\"grid\" x1", 10.0),
            ("\"grid\" x1", 100.0),
        ] {
            let shape = format!("{class}=\"{:.1}\"", at(x));
            assert!(text.contains(&shape), "{shape} in {text}");
        }
    }

    #[test]
    fn nothing_and_zero_make_a_picture_too() {
        for values in [&[][..], &[0.0]] {
            let text = svg(&results("500", values));
            assert!(
                text.ends_with("</svg>\n") && !text.contains("NaN"),
                "{text}"
            );
        }
    }
}
