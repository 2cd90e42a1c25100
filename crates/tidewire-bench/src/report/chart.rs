//! Charts as SVG that needs nothing around it: light and dark, no script, no reference to elsewhere.
//!
//! Shape: [`bars`] compares one figure, [`curves`] shows latencies by percentile, [`lines`] a figure over time. Each is one
//! `<svg>` with its own style, so it may stand in a page or be a file.
//! Unit: that of the values; the title says it. Bound: colours repeat after [`COLOURS`] series.
//! Failure: nothing to show is an empty chart with its title.

use std::fmt::Write;

/// One bar.
#[derive(Debug, Clone, PartialEq)]
pub struct Bar {
    /// What it is.
    pub label: String,
    /// Its length.
    pub value: f64,
    /// The value as text.
    pub text: String,
    /// The lowest and highest of several rounds, shown as a thin line.
    pub spread: Option<(f64, f64)>,
    /// Which colour; bars of the same thing share it.
    pub colour: usize,
}

/// One line.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// What it is.
    pub label: String,
    /// Places from left to right: x and y.
    pub points: Vec<(f64, f64)>,
    /// Which colour.
    pub colour: usize,
}

/// Bars from left to right, the first on top.
#[must_use]
pub fn bars(title: &str, bars: &[Bar]) -> String {
    let values = bars.iter().map(|bar| {
        bar.spread
            .map_or(bar.value, |spread| spread.1.max(bar.value))
    });
    let most = values.fold(f64::MIN_POSITIVE, f64::max);
    let height = TOP + bars.len() as f64 * BAR_STEP + 12.0;
    let room = WIDTH - BAR_LEFT - BAR_RIGHT;
    let mut body = String::new();
    for (index, bar) in bars.iter().enumerate() {
        let y = TOP + index as f64 * BAR_STEP;
        let middle = y + BAR_HEIGHT / 2.0;
        let length = (bar.value / most * room).max(1.0);
        let _ = write!(
            body,
            "<text class=\"label\" x=\"{x}\" y=\"{baseline:.1}\" text-anchor=\"end\">{label}</text>\
             <rect class=\"c{colour}\" x=\"{BAR_LEFT}\" y=\"{y:.1}\" width=\"{length:.1}\" height=\"{BAR_HEIGHT}\" rx=\"2\"/>",
            x = BAR_LEFT - 8.0,
            baseline = middle + 4.0,
            label = escaped(&bar.label),
            colour = bar.colour % COLOURS,
        );
        let mut end = BAR_LEFT + length;
        if let Some((low, high)) = bar.spread {
            let [low, high] = [low, high].map(|value| BAR_LEFT + value / most * room);
            let _ = write!(
                body,
                "<path class=\"spread\" d=\"M{low:.1} {middle:.1}H{high:.1}M{low:.1} {a:.1}v8M{high:.1} {a:.1}v8\"/>",
                a = middle - 4.0
            );
            end = end.max(high);
        }
        let _ = write!(
            body,
            "<text class=\"value\" x=\"{x:.1}\" y=\"{baseline:.1}\">{text}</text>",
            x = end + 6.0,
            baseline = middle + 4.0,
            text = escaped(&bar.text),
        );
    }
    svg(title, height, &body)
}

/// Latencies by percentile: both axes logarithmic, each nine as wide as the one before. Points are a percentile and
/// microseconds.
#[must_use]
pub fn curves(title: &str, series: &[Series]) -> String {
    let ys = || {
        series
            .iter()
            .flat_map(|series| series.points.iter().map(|point| point.1))
    };
    let low = ys().fold(f64::MAX, f64::min).clamp(1.0, 1e9);
    let high = ys().fold(low * 10.0, f64::max);
    let (low, high) = (low.log10().floor(), high.log10().ceil());
    let frame = Frame::new(series.len());
    let x = |percentile: f64| {
        let nines = -(1.0 - percentile.min(99.995) / 100.0).log10();
        frame.x(nines / 4.3)
    };
    let y = |time: f64| frame.y((time.max(1.0).log10() - low) / (high - low).max(1.0));
    let mut body = String::new();
    for decade in low as i32..=high as i32 {
        let at = y(10_f64.powi(decade));
        body += &frame.across(at, &decade_label(decade));
    }
    for (percentile, label) in PERCENTILES {
        body += &frame.upright(x(percentile), label);
    }
    for (index, series) in series.iter().enumerate() {
        let points = series
            .points
            .iter()
            .map(|(percentile, time)| (x(*percentile), y(*time)));
        body += &frame.series(index, series, points);
    }
    svg(title, frame.height(), &body)
}

/// A figure over time, in seconds, from zero up. `unit` follows the numbers of the axis.
#[must_use]
pub fn lines(title: &str, series: &[Series], unit: &str) -> String {
    let points = || series.iter().flat_map(|series| &series.points);
    let last = points().map(|point| point.0).fold(1.0, f64::max);
    let step = nice_step(points().map(|point| point.1).fold(0.0, f64::max) / 4.0);
    let most = step * 5.0;
    let frame = Frame::new(series.len());
    let mut body = String::new();
    for line in 0..=5 {
        let value = step * f64::from(line);
        body += &frame.across(frame.y(value / most), &format!("{value}{unit}"));
    }
    let second = nice_step(last / 6.0);
    let mut at = 0.0;
    while at <= last {
        body += &frame.upright(frame.x(at / last), &format!("{at} s"));
        at += second;
    }
    for (index, series) in series.iter().enumerate() {
        let points = series
            .points
            .iter()
            .map(|(x, y)| (frame.x(x / last), frame.y(y / most)));
        body += &frame.series(index, series, points);
    }
    svg(title, frame.height(), &body)
}

/// Where a chart with two axes lies.
struct Frame {
    /// Lines of the legend.
    legend: usize,
}

impl Frame {
    fn new(series: usize) -> Frame {
        Frame {
            legend: series.div_ceil(LEGEND_COLUMNS),
        }
    }

    fn top(&self) -> f64 {
        TOP + self.legend as f64 * LEGEND_STEP + 4.0
    }

    fn height(&self) -> f64 {
        self.top() + PLOT_HEIGHT + 32.0
    }

    fn x(&self, share: f64) -> f64 {
        PLOT_LEFT + share * (WIDTH - PLOT_LEFT - 24.0)
    }

    fn y(&self, share: f64) -> f64 {
        self.top() + (1.0 - share) * PLOT_HEIGHT
    }

    fn across(&self, y: f64, label: &str) -> String {
        format!(
            "<path class=\"grid\" d=\"M{:.1} {y:.1}H{:.1}\"/><text class=\"axis\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
            self.x(0.0),
            self.x(1.0),
            PLOT_LEFT - 8.0,
            y + 4.0
        )
    }

    fn upright(&self, x: f64, label: &str) -> String {
        let (top, bottom) = (self.y(1.0), self.y(0.0));
        format!(
            "<path class=\"grid\" d=\"M{x:.1} {top:.1}V{bottom:.1}\"/><text class=\"axis\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{label}</text>",
            bottom + 18.0
        )
    }

    fn series(
        &self,
        index: usize,
        series: &Series,
        points: impl Iterator<Item = (f64, f64)>,
    ) -> String {
        let mut path = String::new();
        for (x, y) in points {
            let command = if path.is_empty() { 'M' } else { 'L' };
            let _ = write!(path, "{command}{x:.1} {y:.1}");
        }
        let colour = series.colour % COLOURS;
        let dash = if series.colour >= COLOURS {
            " dashed"
        } else {
            ""
        };
        let x = PLOT_LEFT + (index % LEGEND_COLUMNS) as f64 * LEGEND_WIDTH;
        let y = TOP + (index / LEGEND_COLUMNS) as f64 * LEGEND_STEP;
        let label = escaped(&series.label);
        format!(
            "<path class=\"line l{colour}{dash}\" d=\"{path}\"/><path class=\"line l{colour}{dash}\" d=\"M{x:.1} {y:.1}h18\"/>\
             <text class=\"label\" x=\"{:.1}\" y=\"{:.1}\">{label}</text>",
            x + 24.0,
            y + 4.0
        )
    }
}

fn svg(title: &str, height: f64, body: &str) -> String {
    let title = escaped(title);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height:.0}\" role=\"img\" aria-label=\"{title}\">\
         <style>{STYLE}</style><rect class=\"paper\" width=\"100%\" height=\"100%\"/>\
         <text class=\"title\" x=\"12\" y=\"24\">{title}</text>{body}</svg>\n"
    )
}

fn decade_label(decade: i32) -> String {
    match decade {
        ..3 => format!("{} µs", 10_u32.pow(decade.max(0) as u32)),
        3..6 => format!("{} ms", 10_u32.pow(decade as u32 - 3)),
        _ => format!("{} s", 10_u32.pow((decade - 6).min(9) as u32)),
    }
}

/// 1, 2 or 5 times a power of ten, at least this.
fn nice_step(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf(value.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
    steps
        .into_iter()
        .find(|step| *step >= value * 0.999)
        .unwrap_or(value)
}

/// Text that may stand in markup.
#[must_use]
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// Colours that are told apart in both schemes, also by most who are colour-blind.
pub const COLOURS: usize = 6;
const WIDTH: f64 = 760.0;
const TOP: f64 = 44.0;
const BAR_LEFT: f64 = 210.0;
const BAR_RIGHT: f64 = 110.0;
const BAR_HEIGHT: f64 = 18.0;
const BAR_STEP: f64 = 26.0;
const PLOT_LEFT: f64 = 84.0;
const PLOT_HEIGHT: f64 = 260.0;
const LEGEND_COLUMNS: usize = 3;
const LEGEND_WIDTH: f64 = 216.0;
const LEGEND_STEP: f64 = 20.0;
const PERCENTILES: [(f64, &str); 6] = [
    (0.0, "0"),
    (50.0, "p50"),
    (90.0, "p90"),
    (99.0, "p99"),
    (99.9, "p99.9"),
    (99.99, "p99.99"),
];
const STYLE: &str = "\
    text{font:13px system-ui,sans-serif;fill:#1f2933}.title{font-size:15px;font-weight:600}.axis{font-size:12px;fill:#5b6672}\
    .value{font-variant-numeric:tabular-nums}.paper{fill:#fff}.grid{stroke:#d9dee4;fill:none}\
    .spread{stroke:#1f2933;fill:none}.line{fill:none;stroke-width:2}.dashed{stroke-dasharray:5 4}\
    .c0{fill:#0067b1}.c1{fill:#d9730d}.c2{fill:#1a8a5f}.c3{fill:#b8409a}.c4{fill:#8a6d00}.c5{fill:#5b6672}\
    .l0{stroke:#0067b1}.l1{stroke:#d9730d}.l2{stroke:#1a8a5f}.l3{stroke:#b8409a}.l4{stroke:#8a6d00}.l5{stroke:#5b6672}\
    @media(prefers-color-scheme:dark){text{fill:#e4e9ee}.axis{fill:#9aa7b4}.paper{fill:#14191f}.grid{stroke:#2c353f}\
    .spread{stroke:#e4e9ee}\
    .c0{fill:#5cb3f2}.c1{fill:#f2a45c}.c2{fill:#57c99a}.c3{fill:#e58ad0}.c4{fill:#d9bd4e}.c5{fill:#9aa7b4}\
    .l0{stroke:#5cb3f2}.l1{stroke:#f2a45c}.l2{stroke:#57c99a}.l3{stroke:#e58ad0}.l4{stroke:#d9bd4e}.l5{stroke:#9aa7b4}}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_round() {
        for (value, step) in [
            (0.0, 1.0),
            (0.7, 1.0),
            (1.3, 2.0),
            (21.0, 50.0),
            (100.0, 100.0),
        ] {
            assert_eq!(nice_step(value), step, "{value}");
        }
    }

    #[test]
    fn what_is_shown_cannot_become_markup() {
        let bar = Bar {
            label: "<script>".into(),
            value: 1.0,
            text: "1 & more".into(),
            spread: Some((0.5, 2.0)),
            colour: 7,
        };
        let chart = bars("\"quoted\"", &[bar]);
        assert!(chart.contains("&lt;script&gt;") && chart.contains("1 &amp; more"));
        assert!(!chart.contains("<script>") && chart.contains("class=\"c1\""));
    }

    #[test]
    fn nothing_to_show_is_an_empty_chart() {
        for chart in [
            bars("none", &[]),
            curves("none", &[]),
            lines("none", &[], ""),
        ] {
            assert!(
                chart.starts_with("<svg") && chart.contains("none"),
                "{chart}"
            );
            assert!(!chart.contains("NaN") && !chart.contains("inf"), "{chart}");
        }
    }
}
