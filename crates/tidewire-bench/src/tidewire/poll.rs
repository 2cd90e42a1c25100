//! A subscriber that polls: long-poll, or at an interval.
//!
//! Shape: each request is built from the last answer's `Tidewire-Cursor`. The first answer has a cursor and no events.
//! Bound: an answer has at most [`LIMIT`] events; its body is scanned as it comes, kept whole only by who will be cut.
//! Failure: any status but 200 ends it. Resumes by nature.
//! Source: protocol section 3.2.

use std::time::Duration;

use super::Credentials;
use crate::{
    http1::{Answers, Part},
    protocol::{Exchange, Fault, Seat, Subscriber},
};

pub(super) struct Poll {
    seat: Seat,
    credentials: Credentials,
    /// From an answer to the next request; none: long-poll.
    interval: Option<Duration>,
    answers: Answers,
    status: u16,
    cursor: Option<String>,
    /// The cursor of the answer that is being read.
    next: Option<String>,
    /// The body: whole for who resumes, else its first bytes.
    body: Vec<u8>,
    /// Its last bytes beyond those.
    back: Vec<u8>,
}

impl Poll {
    pub(super) fn new(seat: &Seat, credentials: Credentials, interval: Option<Duration>) -> Poll {
        Poll {
            seat: seat.clone(),
            credentials,
            interval,
            answers: Answers::default(),
            status: 0,
            cursor: None,
            next: None,
            body: Vec::new(),
            back: Vec::new(),
        }
    }

    fn ask(&self, exchange: &mut Exchange<'_>) {
        let wait = match self.interval {
            Some(_) => 0,
            None => WAIT_S,
        };
        let after = match &self.cursor {
            Some(cursor) => format!("&after={cursor}"),
            None => String::new(),
        };
        let request = format!(
            "GET /poll?topic={}{after}&wait={wait}&limit={LIMIT} HTTP/1.1\r\nHost: {}\r\n{}\r\n",
            self.seat.topic,
            self.seat.authority,
            self.credentials.line()
        );
        exchange.out().extend_from_slice(request.as_bytes());
    }

    fn body(&mut self, bytes: &[u8], exchange: &mut Exchange<'_>) {
        if self.seat.resumes {
            self.body.extend_from_slice(bytes);
            return;
        }
        exchange.payload(bytes);
        let front = bytes.len().min(FRONT_BYTES.saturating_sub(self.body.len()));
        self.body.extend_from_slice(&bytes[..front]);
        let back = &bytes[front..];
        self.back
            .extend_from_slice(&back[back.len().saturating_sub(BACK_BYTES)..]);
        self.back
            .drain(..self.back.len().saturating_sub(BACK_BYTES));
    }

    /// The answer is complete: what it said, and what comes next.
    fn complete(&mut self, exchange: &mut Exchange<'_>) -> Result<(), Fault> {
        if self.seat.resumes {
            exchange.payload(&self.body);
        }
        let front = &self.body[..self.body.len().min(FRONT_BYTES)];
        if memchr::memmem::find(front, b"\"gap\":{").is_some() {
            exchange.gap();
        }
        self.body.append(&mut self.back);
        let has_more = self.body.ends_with(b"\"more\":true}");
        self.body.clear();
        let cursor = self.next.take();
        let is_first = self.cursor.is_none();
        self.cursor = Some(cursor.ok_or_else(|| {
            Fault::NotUnderstood("an answer to a poll without Tidewire-Cursor".into())
        })?);
        exchange.ready();
        match self.interval {
            Some(interval) if !has_more => {
                // The first pause is a share of the interval, so that polls spread over it.
                let share = self.seat.index as u32 % SHARES;
                let pause = if is_first {
                    interval * share / SHARES
                } else {
                    interval
                };
                exchange.wake_after(pause);
            }
            _ => self.ask(exchange),
        }
        Ok(())
    }
}

impl Subscriber for Poll {
    fn open(&mut self, exchange: &mut Exchange<'_>) {
        self.answers = Answers::default();
        self.body.clear();
        self.back.clear();
        self.next = None;
        self.ask(exchange);
    }

    fn receive(&mut self, input: &[u8], exchange: &mut Exchange<'_>) -> Result<(), Fault> {
        let mut input = input;
        while let Some(part) = self.answers.next(&mut input)? {
            match part {
                Part::Head(head) => {
                    self.status = head.status;
                    self.next = head.header("tidewire-cursor").map(str::to_owned);
                }
                Part::Body(bytes) if self.status == 200 => self.body(bytes, exchange),
                Part::Body(why) => {
                    return Err(Fault::Refused {
                        status: self.status,
                        why: String::from_utf8_lossy(why).into_owned(),
                    });
                }
                Part::End => self.complete(exchange)?,
            }
        }
        Ok(())
    }

    fn wake(&mut self, exchange: &mut Exchange<'_>) {
        self.ask(exchange);
    }
}

/// The gateway's default.
const WAIT_S: u32 = 25;
/// The most that the gateway allows.
const LIMIT: u32 = 1000;
/// A gap stands in front of the events, `more` behind them.
const FRONT_BYTES: usize = 160;
const BACK_BYTES: usize = 16;
const SHARES: u32 = 97;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidewire::rehearsal::{Rehearsal, seat};

    fn answer(cursor: &str, body: &str) -> Vec<u8> {
        let length = body.len();
        format!(
            "HTTP/1.1 200 OK\r\nTidewire-Cursor: {cursor}\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .into_bytes()
    }

    fn poll(resumes: bool, interval: Option<Duration>) -> Rehearsal {
        let poll = Poll::new(&seat(resumes), Credentials::default(), interval);
        let mut rehearsal = Rehearsal::new(Box::new(poll));
        assert!(
            rehearsal
                .sent()
                .starts_with("GET /poll?topic=bench.0&wait=")
        );
        let first = answer("k-11", r#"{"cursor":"k-11","events":[],"more":false}"#);
        rehearsal.receive(&first).unwrap();
        assert!(rehearsal.signals.ready);
        rehearsal.payload.clear();
        rehearsal
    }

    #[test]
    fn a_long_poll_asks_again_with_the_new_cursor() {
        let mut rehearsal = poll(false, None);
        assert!(
            rehearsal
                .sent()
                .starts_with("GET /poll?topic=bench.0&after=k-11&wait=25&")
        );
        let events = format!(
            r#"{{"cursor":"k-12","events":["{}"],"more":false}}"#,
            "x".repeat(500)
        );
        let bytes = answer("k-12", &events);
        for byte in &bytes {
            rehearsal.receive(std::slice::from_ref(byte)).unwrap();
        }
        assert_eq!(rehearsal.payload(), events);
        assert!(
            rehearsal
                .sent()
                .starts_with("GET /poll?topic=bench.0&after=k-12&")
        );
        assert_eq!(rehearsal.signals.gaps, 0);
    }

    #[test]
    fn an_interval_poll_pauses_unless_there_is_more() {
        let interval = Duration::from_secs(1);
        let mut rehearsal = poll(false, Some(interval));
        assert_eq!(rehearsal.signals.wake_after, Some(interval * 3 / SHARES));
        assert_eq!(rehearsal.sent(), "");
        rehearsal.wake();
        assert!(rehearsal.sent().contains("&wait=0&"));
        rehearsal.signals.wake_after = None;
        let more = format!(
            r#"{{"cursor":"k-12","events":["{}"],"more":true}}"#,
            "x".repeat(500)
        );
        rehearsal.receive(&answer("k-12", &more)).unwrap();
        assert!(rehearsal.sent().contains("&after=k-12&"));
        assert_eq!(rehearsal.signals.wake_after, None);
        rehearsal
            .receive(&answer(
                "k-13",
                r#"{"cursor":"k-13","events":[],"more":false}"#,
            ))
            .unwrap();
        assert_eq!(rehearsal.signals.wake_after, Some(interval));
    }

    #[test]
    fn a_gap_is_counted() {
        let mut rehearsal = poll(false, None);
        let body = r#"{"cursor":"k-19","gap":{"topics":["bench.0"]},"events":[],"more":false}"#;
        rehearsal.receive(&answer("k-19", body)).unwrap();
        assert_eq!(rehearsal.signals.gaps, 1);
    }

    #[test]
    fn a_torn_answer_counts_nothing_for_who_resumes() {
        let mut rehearsal = poll(true, None);
        rehearsal.sent();
        let bytes = answer("k-12", r#"{"cursor":"k-12","events":[1],"more":false}"#);
        rehearsal.receive(&bytes[..bytes.len() - 1]).unwrap();
        assert_eq!(rehearsal.payload(), "");
        rehearsal.open();
        assert!(rehearsal.sent().contains("&after=k-11&"));
    }
}
