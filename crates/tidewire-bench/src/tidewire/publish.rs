//! Publishing to a gateway: by REST, one request at a time, or as a stream of frames over a WebSocket.
//!
//! Shape: both acknowledge each event. Unit: one event for each request or frame, `text/plain` or the same as JSON text.
//! Bound: [`WEBSOCKET_DEPTH`] frames without an answer. Failure: 429 and 503 are refusals with their pause; any other is a fault.
//! Source: protocol sections 3.3 and 4.

use std::time::Duration;

use super::Credentials;
use crate::{
    http1::{Answers, Head, Part},
    protocol::{Dispatch, Fault, Publisher, PublisherSeat, Publishing},
    websocket::{self, CLOSE, Frame, Frames, PING, PONG, TEXT, client_frame, close_reason},
};

/// A way of publishing to a gateway.
#[derive(Debug, Clone)]
pub struct Publish {
    way: Way,
    credentials: Credentials,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Rest,
    WebSocket,
}

impl Publish {
    /// `POST /topics/{topic}`, one acknowledged event at a time.
    #[must_use]
    pub fn rest(token: Option<&str>) -> Publish {
        Publish {
            way: Way::Rest,
            credentials: Credentials::new(token),
        }
    }

    /// Publish frames over one WebSocket, each acknowledged, many on their way.
    #[must_use]
    pub fn websocket(token: Option<&str>) -> Publish {
        Publish {
            way: Way::WebSocket,
            credentials: Credentials::new(token),
        }
    }
}

impl Publishing for Publish {
    fn describe(&self) -> String {
        match self.way {
            Way::Rest => "POST, acknowledged one at a time".into(),
            Way::WebSocket => "WebSocket frames, each acknowledged, in a stream".into(),
        }
    }

    fn publisher(&self, seat: &PublisherSeat) -> Box<dyn Publisher> {
        let credentials = self.credentials.line();
        let authority = seat.authority.clone();
        match self.way {
            Way::Rest => Box::new(Rest {
                authority,
                credentials,
                answers: Answers::default(),
                head: None,
                body: Vec::new(),
            }),
            Way::WebSocket => Box::new(Stream {
                authority,
                credentials,
                state: State::Handshake(Answers::default()),
                frame: Vec::new(),
                count: 0,
            }),
        }
    }
}

struct Rest {
    authority: String,
    credentials: String,
    answers: Answers,
    head: Option<Head>,
    body: Vec<u8>,
}

impl Publisher for Rest {
    fn depth(&self) -> usize {
        1
    }

    fn open(&mut self, dispatch: &mut Dispatch<'_>) {
        dispatch.ready();
    }

    fn publish(&mut self, topic: &str, payload: &[u8], dispatch: &mut Dispatch<'_>) {
        let head = format!(
            "POST /topics/{topic} HTTP/1.1\r\nHost: {}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n{}\r\n",
            self.authority,
            payload.len(),
            self.credentials
        );
        dispatch.out().extend_from_slice(head.as_bytes());
        dispatch.out().extend_from_slice(payload);
    }

    fn receive(&mut self, input: &[u8], dispatch: &mut Dispatch<'_>) -> Result<(), Fault> {
        let mut input = input;
        while let Some(part) = self.answers.next(&mut input)? {
            match part {
                Part::Head(head) => self.head = Some(head),
                Part::Body(bytes) => self.body.extend_from_slice(bytes),
                Part::End => {
                    let body = std::mem::take(&mut self.body);
                    judge(self.head.take().as_ref(), &body, dispatch)?;
                }
            }
        }
        Ok(())
    }
}

fn judge(head: Option<&Head>, body: &[u8], dispatch: &mut Dispatch<'_>) -> Result<(), Fault> {
    match head.map_or(0, |head| head.status) {
        200..=299 => dispatch.accepted(1),
        429 | 503 => {
            let seconds = head.and_then(|head| head.header("retry-after")?.parse().ok());
            dispatch.refused(Some(Duration::from_secs(seconds.unwrap_or(1))));
        }
        status => {
            return Err(Fault::Refused {
                status,
                why: String::from_utf8_lossy(body).into_owned(),
            });
        }
    }
    Ok(())
}

struct Stream {
    authority: String,
    credentials: String,
    state: State,
    frame: Vec<u8>,
    count: u32,
}

enum State {
    Handshake(Answers),
    Open(Frames),
}

impl Publisher for Stream {
    fn depth(&self) -> usize {
        WEBSOCKET_DEPTH
    }

    fn open(&mut self, dispatch: &mut Dispatch<'_>) {
        let request = websocket::request("/ws", &self.authority, &self.credentials);
        dispatch.out().extend_from_slice(request.as_bytes());
    }

    fn publish(&mut self, topic: &str, payload: &[u8], dispatch: &mut Dispatch<'_>) {
        self.frame.clear();
        self.frame
            .extend_from_slice(b"{\"op\":\"publish\",\"ref\":0,\"topic\":\"");
        self.frame.extend_from_slice(topic.as_bytes());
        self.frame.extend_from_slice(b"\",\"data\":\"");
        self.frame.extend_from_slice(payload);
        self.frame.extend_from_slice(b"\"}");
        self.count = self.count.wrapping_add(1);
        client_frame(dispatch.out(), TEXT, &self.frame, self.count);
    }

    fn receive(&mut self, input: &[u8], dispatch: &mut Dispatch<'_>) -> Result<(), Fault> {
        let mut input = input;
        if let State::Handshake(answers) = &mut self.state {
            match answers.next(&mut input)? {
                Some(Part::Head(head)) if head.status == 101 => {}
                Some(Part::Head(head)) => {
                    return Err(Fault::Refused {
                        status: head.status,
                        why: String::from_utf8_lossy(input).into_owned(),
                    });
                }
                _ => return Ok(()),
            }
            self.state = State::Open(Frames::default());
            dispatch.ready();
        }
        let State::Open(frames) = &mut self.state else {
            return Ok(());
        };
        frames.walk(input, |frame| match frame {
            Frame {
                opcode: PING,
                payload,
            } => {
                client_frame(dispatch.out(), PONG, payload, payload.len() as u32);
                Ok(())
            }
            Frame {
                opcode: CLOSE,
                payload,
            } => Err(close_reason(payload)),
            Frame { payload, .. } => {
                if payload.starts_with(b"{\"op\":\"ok\"") {
                    dispatch.accepted(1);
                } else if payload.starts_with(b"{\"op\":\"error\"") {
                    return refused(payload, dispatch);
                }
                Ok(())
            }
        })
    }
}

/// An `error` frame: for a time, or for good.
fn refused(payload: &[u8], dispatch: &mut Dispatch<'_>) -> Result<(), Fault> {
    let is = |code: &str| memchr::memmem::find(payload, code.as_bytes()).is_some();
    if is("\"rate_limited\"") || is("\"unavailable\"") {
        dispatch.refused(Some(REFUSED_PAUSE));
        return Ok(());
    }
    Err(Fault::Ended(String::from_utf8_lossy(payload).into_owned()))
}

/// Frames that wait for their answers.
const WEBSOCKET_DEPTH: usize = 1024;
/// Frames carry no advice, unlike answers of HTTP.
const REFUSED_PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Answers as Told;

    fn seat() -> PublisherSeat {
        PublisherSeat {
            index: 0,
            authority: "localhost:8443".into(),
        }
    }

    #[test]
    fn a_post_is_judged_by_its_status() {
        let mut publisher = Publish::rest(Some("k")).publisher(&seat());
        let (mut out, mut told) = (Vec::new(), Told::default());
        let mut dispatch = Dispatch::new(&mut out, &mut told);
        publisher.publish("bench.0", b"data", &mut dispatch);
        publisher
            .receive(
                b"HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\n{}",
                &mut dispatch,
            )
            .unwrap();
        publisher
            .receive(
                b"HTTP/1.1 429 X\r\nretry-after: 3\r\ncontent-length: 0\r\n\r\n",
                &mut dispatch,
            )
            .unwrap();
        let forbidden = b"HTTP/1.1 403 X\r\ncontent-length: 2\r\n\r\nno";
        let fault = publisher.receive(forbidden, &mut dispatch).unwrap_err();
        assert_eq!(fault.to_string(), "refused with status 403: no");
        let sent = String::from_utf8(out).unwrap();
        assert!(
            sent.starts_with("POST /topics/bench.0 HTTP/1.1\r\n") && sent.ends_with("\r\n\r\ndata"),
            "{sent}"
        );
        assert_eq!(told.outcomes, [(true, 1), (false, 1)]);
        assert_eq!(told.retry_after, Some(Duration::from_secs(3)));
    }

    #[test]
    fn a_stream_counts_its_answers() {
        let mut publisher = Publish::websocket(None).publisher(&seat());
        let (mut out, mut told) = (Vec::new(), Told::default());
        let mut dispatch = Dispatch::new(&mut out, &mut told);
        publisher.open(&mut dispatch);
        let mut answer = b"HTTP/1.1 101 Switching Protocols\r\n\r\n".to_vec();
        for text in [
            r#"{"op":"hello","session":"s"}"#,
            r#"{"op":"ok","ref":0,"id":"k-11"}"#,
            r#"{"op":"ok","ref":0,"id":"k-12"}"#,
            r#"{"op":"error","ref":0,"code":"rate_limited","message":"m"}"#,
        ] {
            answer.extend([0x81, text.len() as u8]);
            answer.extend(text.as_bytes());
        }
        publisher.receive(&answer, &mut dispatch).unwrap();
        assert!(told.ready);
        assert_eq!(told.outcomes, [(true, 2), (false, 1)]);
    }
}
