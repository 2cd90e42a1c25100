//! `tidewire publish TOPIC [DATA|-]`: one event, or each line of standard input as one.
//!
//! Shape: a thread reads lines; what has gathered while a batch was under way makes the next one.
//! Unit: lines. Bound: `WAITING_MAX` lines wait, then the reader does; a line has at most `LINE_MAX` bytes.
//! Failure: an event that is refused is told with its line on standard error, the others go on; the exit says so.
//! Source: protocol sections 4 and 10.

use std::{
    io::{self, BufRead, Read},
    thread,
};

use anyhow::{Context, Result, bail};
use clap::Args;
use tidewire_client::{Client, NewEvent, PublishElement};
use tokio::sync::mpsc;

use crate::{
    command::{Outcome, Remote},
    output,
};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Where to publish
    topic: String,
    /// The data: JSON if it is JSON, else text. With "-", or nothing, each line of standard input is one event
    data: Option<String>,
    /// Type of the event
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
    /// Idempotency key: a repeat with the same key stores nothing twice. Lines of standard input get KEY-1, KEY-2, …
    #[arg(long)]
    key: Option<String>,
    #[command(flatten)]
    remote: Remote,
}

pub(crate) async fn run(arguments: Arguments) -> Result<Outcome> {
    let client = arguments.remote.client()?;
    match arguments.data.as_deref() {
        None | Some("-") => publish_lines(&client, &arguments).await,
        Some(data) => publish_one(&client, &arguments, data).await,
    }
}

async fn publish_one(client: &Client, arguments: &Arguments, data: &str) -> Result<Outcome> {
    let event = arguments.event(data, None);
    let answer = client
        .publish(&event)
        .await
        .map_err(|error| arguments.remote.explain(error))?;
    output::print(&format!("{}\n", serde_json::to_string(&answer)?))?;
    Ok(Outcome::Done)
}

async fn publish_lines(client: &Client, arguments: &Arguments) -> Result<Outcome> {
    let mut lines = read_lines();
    let mut batch = Vec::new();
    let mut outcome = Outcome::Done;
    while lines.recv_many(&mut batch, BATCH_MAX).await > 0 {
        let batch: Vec<Line> = batch.drain(..).collect::<Result<_>>()?;
        let events: Vec<NewEvent> = batch
            .iter()
            .map(|line| arguments.event(&line.text, Some(line.number)))
            .collect();
        let answers = client.publish_all(&events).await.map_err(|error| {
            let (first, last) = (batch[0].number, batch[batch.len() - 1].number);
            arguments
                .remote
                .explain(error)
                .context(format!("lines {first} to {last}"))
        })?;
        let mut text = String::new();
        for (line, answer) in batch.iter().zip(answers) {
            match answer {
                PublishElement::Answer(answer) => {
                    text.push_str(&serde_json::to_string(&answer)?);
                    text.push('\n');
                }
                PublishElement::Problem(problem) => {
                    eprintln!("tidewire: line {}: {problem}", line.number);
                    outcome = Outcome::Refused;
                }
            }
        }
        if !output::print(&text)? {
            break;
        }
    }
    Ok(outcome)
}

impl Arguments {
    fn event(&self, data: &str, line: Option<u64>) -> NewEvent {
        let mut event = NewEvent::text(&self.topic, data);
        if let Some(event_type) = &self.event_type {
            event = event.event_type(event_type);
        }
        match (&self.key, line) {
            (Some(key), Some(line)) => event.key(format!("{key}-{line}")),
            (Some(key), None) => event.key(key),
            (None, _) => event,
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Line {
    number: u64,
    text: String,
}

/// Lines of standard input. A thread, because a read of a terminal cannot be called off.
fn read_lines() -> mpsc::Receiver<Result<Line>> {
    let (sender, lines) = mpsc::channel(WAITING_MAX);
    thread::spawn(move || {
        let mut number = 0;
        let mut input = io::stdin().lock();
        while let Some(line) = next_line(&mut input, &mut number).transpose() {
            let failed = line.is_err();
            if sender.blocking_send(line).is_err() || failed {
                break;
            }
        }
    });
    lines
}

/// The next line that is not blank, without its end.
fn next_line(input: &mut impl BufRead, number: &mut u64) -> Result<Option<Line>> {
    loop {
        let mut bytes = Vec::new();
        let read = input
            .by_ref()
            .take(LINE_MAX)
            .read_until(b'\n', &mut bytes)
            .context("cannot read standard input")?;
        if read == 0 {
            return Ok(None);
        }
        *number += 1;
        if bytes.len() as u64 == LINE_MAX && !bytes.ends_with(b"\n") {
            bail!("line {number} is longer than {LINE_MAX} bytes");
        }
        let text =
            String::from_utf8(bytes).with_context(|| format!("line {number} is not UTF-8"))?;
        let text = text.trim_end_matches(['\r', '\n']);
        if !text.trim().is_empty() {
            return Ok(Some(Line {
                number: *number,
                text: text.into(),
            }));
        }
    }
}

/// Lines of one batch; the protocol allows 1000.
const BATCH_MAX: usize = 500;
/// Lines that wait while a batch is under way.
const WAITING_MAX: usize = 1000;
/// Far above the default bound of one event, so that the gateway says what is too large.
const LINE_MAX: u64 = 8 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(input: &[u8]) -> Result<Vec<(u64, String)>> {
        let (mut input, mut number, mut lines) = (input, 0, Vec::new());
        while let Some(line) = next_line(&mut input, &mut number)? {
            lines.push((line.number, line.text));
        }
        Ok(lines)
    }

    #[test]
    fn blank_lines_are_skipped_and_counted() {
        assert_eq!(
            lines(b"{\"n\":1}\r\n\n  \nhello\nlast").unwrap(),
            [
                (1, "{\"n\":1}".into()),
                (4, "hello".into()),
                (5, "last".into())
            ]
        );
        assert!(lines(b"").unwrap().is_empty());
    }

    #[test]
    fn a_line_without_end_is_refused() {
        let long = vec![b'x'; usize::try_from(LINE_MAX).unwrap() + 1];
        let error = lines(&long).unwrap_err();
        assert!(error.to_string().starts_with("line 1 is longer"), "{error}");
    }

    #[test]
    fn a_line_that_is_not_text_is_named() {
        let error = lines(b"ok\n\xff\xfe\n").unwrap_err();
        assert_eq!(error.to_string(), "line 2 is not UTF-8");
    }
}
