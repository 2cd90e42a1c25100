//! What a run says while it lasts, on standard error.
//!
//! Shape: on a terminal one line that changes, else a line every five seconds and whenever the phase changes.

use std::io::{IsTerminal, Write, stderr};

use tidewire_bench::{Progress as Step, report::count};

pub(super) struct Progress {
    name: String,
    is_quiet: bool,
    is_terminal: bool,
    phase: String,
    told_at: f64,
}

impl Progress {
    pub(super) fn new(name: &str, is_quiet: bool) -> Progress {
        Progress {
            name: name.to_owned(),
            is_quiet,
            is_terminal: stderr().is_terminal(),
            phase: String::new(),
            told_at: 0.0,
        }
    }

    pub(super) fn show(&mut self, step: &Step<'_>) {
        if self.is_quiet {
            return;
        }
        let is_due = step.phase != self.phase || step.at_seconds - self.told_at >= 5.0;
        if !self.is_terminal && !is_due {
            return;
        }
        step.phase.clone_into(&mut self.phase);
        self.told_at = step.at_seconds;
        let text = self.line(step);
        let mut out = stderr().lock();
        // Nobody needs to read it.
        let _ = match self.is_terminal {
            true => write!(out, "\r\x1b[2K{text}").and_then(|()| out.flush()),
            false => writeln!(out, "{text}"),
        };
    }

    fn line(&self, step: &Step<'_>) -> String {
        let mut text = format!(
            "{:<10} {:>6.1} s  {:<12} {} of {} connected",
            self.name,
            step.at_seconds,
            step.phase,
            count(step.connected),
            count(step.subscribers),
        );
        if step.sent > 0 {
            text += &format!(
                ", {} events, {} deliveries ({}/s), {} behind",
                count(step.sent),
                count(step.deliveries),
                count(step.deliveries_per_second as u64),
                count(step.behind),
            );
        }
        text
    }

    pub(super) fn end(&self) {
        if self.is_terminal && !self.is_quiet {
            eprint!("\r\x1b[2K");
        }
    }
}
