//! A subscriber over a WebSocket.
//!
//! Shape: the topic stands in the query, so after the 101 only pings are answered. An event is a frame without `op`.
//! Failure: `bye` and Close end it with their words; a `gap` is counted. Resumes with `after`.
//! Source: protocol section 3.3.

use super::Credentials;
use crate::{
    http1::{Answers, Part},
    protocol::{Exchange, Fault, Seat, Subscriber},
    websocket::{self, CLOSE, Frame, Frames, PING, PONG, client_frame, close_reason},
};

pub(super) struct WebSocket {
    seat: Seat,
    credentials: Credentials,
    state: State,
    /// The place to go on from: of the last frame that had one.
    cursor: Option<String>,
}

enum State {
    Handshake(Answers),
    Open(Frames),
}

impl WebSocket {
    pub(super) fn new(seat: &Seat, credentials: Credentials) -> WebSocket {
        WebSocket {
            seat: seat.clone(),
            credentials,
            state: State::Handshake(Answers::default()),
            cursor: None,
        }
    }

    fn frames(&mut self, input: &[u8], exchange: &mut Exchange<'_>) -> Result<(), Fault> {
        let State::Open(frames) = &mut self.state else {
            return Ok(());
        };
        let cursor = &mut self.cursor;
        let resumes = self.seat.resumes;
        frames.walk(input, |frame| match frame {
            Frame {
                opcode: PING,
                payload,
            } => {
                client_frame(exchange.out(), PONG, payload, payload.len() as u32);
                Ok(())
            }
            Frame {
                opcode: CLOSE,
                payload,
            } => Err(close_reason(payload)),
            Frame { payload, .. } if payload.starts_with(b"{\"op\":") => {
                notice(payload, cursor, exchange)
            }
            Frame { payload, .. } => {
                exchange.payload(payload);
                if resumes {
                    remember(cursor, payload, b"{\"id\":\"");
                }
                Ok(())
            }
        })
    }
}

impl Subscriber for WebSocket {
    fn open(&mut self, exchange: &mut Exchange<'_>) {
        self.state = State::Handshake(Answers::default());
        let mut path = format!("/ws?topic={}", self.seat.topic);
        if let Some(cursor) = &self.cursor {
            path = format!("{path}&after={cursor}");
        }
        let headers = format!(
            "Sec-WebSocket-Protocol: tidewire.v1\r\n{}",
            self.credentials.line()
        );
        let request = websocket::request(&path, &self.seat.authority, &headers);
        exchange.out().extend_from_slice(request.as_bytes());
    }

    fn receive(&mut self, input: &[u8], exchange: &mut Exchange<'_>) -> Result<(), Fault> {
        let State::Handshake(answers) = &mut self.state else {
            return self.frames(input, exchange);
        };
        let mut input = input;
        match answers.next(&mut input)? {
            Some(Part::Head(head)) if head.status == 101 => {
                self.state = State::Open(Frames::default());
                self.frames(input, exchange)
            }
            Some(Part::Head(head)) => Err(Fault::Refused {
                status: head.status,
                why: String::from_utf8_lossy(input).into_owned(),
            }),
            _ => Ok(()),
        }
    }
}

/// A frame that is no event.
fn notice(
    payload: &[u8],
    cursor: &mut Option<String>,
    exchange: &mut Exchange<'_>,
) -> Result<(), Fault> {
    let is = |op: &str| payload.starts_with(format!("{{\"op\":\"{op}\"").as_bytes());
    if is("bye") || is("error") {
        return Err(Fault::Ended(String::from_utf8_lossy(payload).into_owned()));
    }
    if is("gap") {
        exchange.gap();
    }
    if is("hello") {
        exchange.ready();
    }
    if is("gap") || is("hello") {
        remember(cursor, payload, b"\"cursor\":\"");
    }
    Ok(())
}

/// Keeps the text that follows `mark`.
pub(super) fn remember(cursor: &mut Option<String>, text: &[u8], mark: &[u8]) {
    let Some(at) = memchr::memmem::find(text, mark) else {
        return;
    };
    let rest = &text[at + mark.len()..];
    let end = memchr::memchr(b'"', rest).unwrap_or(0);
    if let Ok(found) = std::str::from_utf8(&rest[..end])
        && !found.is_empty()
    {
        let kept = cursor.get_or_insert_default();
        kept.clear();
        kept.push_str(found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidewire::rehearsal::{Rehearsal, seat};

    fn frame(text: &str) -> Vec<u8> {
        let mut bytes = vec![0x81, text.len() as u8];
        bytes.extend_from_slice(text.as_bytes());
        bytes
    }

    fn opened(resumes: bool) -> Rehearsal {
        let subscriber = WebSocket::new(&seat(resumes), Credentials::new(Some("k")));
        let mut rehearsal = Rehearsal::new(Box::new(subscriber));
        let request = rehearsal.sent();
        assert!(
            request.starts_with("GET /ws?topic=bench.0 HTTP/1.1\r\n"),
            "{request}"
        );
        assert!(request.contains("Authorization: Bearer k\r\n"), "{request}");
        let mut answer = b"HTTP/1.1 101 Switching Protocols\r\n\r\n".to_vec();
        answer.extend(frame(
            r#"{"op":"hello","session":"s","cursor":"k-11","resumed":true}"#,
        ));
        rehearsal.receive(&answer).unwrap();
        assert!(rehearsal.signals.ready);
        rehearsal
    }

    #[test]
    fn it_is_ready_after_hello_and_goes_on_after_the_last_whole_event() {
        let mut rehearsal = opened(true);
        let event = frame(r#"{"id":"k-12","topic":"bench.0","time":1,"data":"x"}"#);
        let next = frame(r#"{"id":"k-13","topic":"bench.0","time":1,"data":"y"}"#);
        rehearsal.receive(&event).unwrap();
        rehearsal.receive(&next[..next.len() - 1]).unwrap();
        assert_eq!(
            rehearsal.payload(),
            r#"{"id":"k-12","topic":"bench.0","time":1,"data":"x"}"#
        );
        rehearsal.open();
        assert!(
            rehearsal
                .sent()
                .starts_with("GET /ws?topic=bench.0&after=k-12 HTTP/1.1\r\n")
        );
    }

    #[test]
    fn a_gap_is_counted_and_a_ping_answered() {
        let mut rehearsal = opened(false);
        rehearsal
            .receive(&frame(
                r#"{"op":"gap","topics":[],"after":"a","cursor":"k-19"}"#,
            ))
            .unwrap();
        assert_eq!(rehearsal.signals.gaps, 1);
        rehearsal.receive(&[0x89, 1, b'p']).unwrap();
        assert_eq!((rehearsal.sent[0], rehearsal.sent.len()), (0x8a, 7));
    }

    #[test]
    fn a_refusal_and_an_end_are_told_in_the_gateways_words() {
        let subscriber = WebSocket::new(&seat(false), Credentials::default());
        let mut rehearsal = Rehearsal::new(Box::new(subscriber));
        let fault = rehearsal.receive(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno");
        assert_eq!(
            fault.unwrap_err().to_string(),
            "refused with status 403: no"
        );
        let mut rehearsal = opened(false);
        let fault = rehearsal.receive(&[0x88, 5, 0x10, 0x6b, b'b', b'y', b'e']);
        assert_eq!(
            fault.unwrap_err().to_string(),
            "ended by the server: 4203 bye"
        );
    }
}
