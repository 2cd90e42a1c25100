//! A subscriber over server-sent events, HTTP/1.1 or a stream of HTTP/2.
//!
//! Shape: a request, then lines. An event has no `event:` field; `hello`, `gap`, `hb` and `bye` have.
//! Failure: `bye`, and the end of the body, end it; a `gap` is counted. Resumes with `Last-Event-ID`.
//! Source: protocol section 3.1.

use super::Credentials;
use crate::{
    event_stream::{Line, Lines},
    http1::{Answers, Part},
    protocol::{Exchange, Fault, Seat, Subscriber},
};

pub(super) struct Sse {
    seat: Seat,
    credentials: Credentials,
    answers: Answers,
    status: u16,
    /// The answer comes without HTTP/1.1 around it.
    is_shared: bool,
    stream: Stream,
}

#[derive(Default)]
struct Stream {
    lines: Lines,
    kind: Kind,
    /// The id of the block that is being read.
    id: Vec<u8>,
    /// The id of the last block whose data was complete.
    cursor: Vec<u8>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Kind {
    #[default]
    Event,
    Hello,
    Gap,
    Bye,
    Other,
}

impl Sse {
    pub(super) fn new(seat: &Seat, credentials: Credentials) -> Sse {
        Sse {
            seat: seat.clone(),
            credentials,
            answers: Answers::default(),
            status: 0,
            is_shared: false,
            stream: Stream::default(),
        }
    }

    pub(super) fn shared(seat: &Seat, credentials: Credentials) -> Sse {
        Sse {
            is_shared: true,
            ..Sse::new(seat, credentials)
        }
    }

    fn path(&self) -> String {
        format!("/sse?topic={}", self.seat.topic)
    }
}

impl Subscriber for Sse {
    fn open(&mut self, exchange: &mut Exchange<'_>) {
        self.answers = Answers::default();
        self.stream.reset();
        let resume = match self.stream.cursor() {
            Some(cursor) => format!("Last-Event-ID: {cursor}\r\n"),
            None => String::new(),
        };
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nAccept: text/event-stream\r\n{resume}{}\r\n",
            self.path(),
            self.seat.authority,
            self.credentials.line()
        );
        exchange.out().extend_from_slice(request.as_bytes());
    }

    fn receive(&mut self, input: &[u8], exchange: &mut Exchange<'_>) -> Result<(), Fault> {
        if self.is_shared {
            return self.stream.read(input, self.seat.resumes, exchange);
        }
        let mut input = input;
        while let Some(part) = self.answers.next(&mut input)? {
            match part {
                Part::Head(head) => self.status = head.status,
                Part::Body(bytes) if self.status == 200 => {
                    self.stream.read(bytes, self.seat.resumes, exchange)?;
                }
                Part::Body(why) => {
                    return Err(Fault::Refused {
                        status: self.status,
                        why: String::from_utf8_lossy(why).into_owned(),
                    });
                }
                Part::End => return Err(Fault::Ended("end of the stream".into())),
            }
        }
        Ok(())
    }

    fn request(&mut self) -> Option<http::Request<()>> {
        self.stream.reset();
        let uri = format!("https://{}{}", self.seat.authority, self.path());
        let mut request = http::Request::get(uri).header("accept", "text/event-stream");
        if let Some(cursor) = self.stream.cursor() {
            request = request.header("last-event-id", cursor);
        }
        if let Some(value) = self.credentials.value() {
            request = request.header("authorization", value);
        }
        request.body(()).ok()
    }
}

impl Stream {
    fn read(
        &mut self,
        input: &[u8],
        resumes: bool,
        exchange: &mut Exchange<'_>,
    ) -> Result<(), Fault> {
        let Stream {
            lines,
            kind,
            id,
            cursor,
        } = self;
        lines.walk(input, |line| {
            match line {
                Line::Data(data) => {
                    match kind {
                        Kind::Event => exchange.payload(data),
                        Kind::Hello => exchange.ready(),
                        Kind::Gap => exchange.gap(),
                        Kind::Bye => {
                            let words = String::from_utf8_lossy(data).into_owned();
                            return Err(Fault::Ended(words));
                        }
                        Kind::Other => {}
                    }
                    if resumes && !id.is_empty() {
                        std::mem::swap(cursor, id);
                        id.clear();
                    }
                }
                Line::Id(value) if resumes => {
                    id.clear();
                    id.extend_from_slice(value);
                }
                Line::Event(name) => *kind = Kind::of(name),
                Line::End => *kind = Kind::Event,
                Line::Id(_) | Line::Other => {}
            }
            Ok(())
        })
    }

    /// Forgets what was incomplete when the connection ended.
    fn reset(&mut self) {
        self.lines = Lines::default();
        self.kind = Kind::Event;
        self.id.clear();
    }

    fn cursor(&self) -> Option<&str> {
        let text = std::str::from_utf8(&self.cursor).ok()?;
        (!text.is_empty()).then_some(text)
    }
}

impl Kind {
    fn of(name: &[u8]) -> Kind {
        match name {
            b"hello" => Kind::Hello,
            b"gap" => Kind::Gap,
            b"bye" => Kind::Bye,
            _ => Kind::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidewire::rehearsal::{Rehearsal, seat};

    const HEAD: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    const HELLO: &str = "retry: 2000\nevent: hello\nid: k-11\ndata: {}\n\n";

    fn chunk(text: &str) -> String {
        format!("{:x}\r\n{text}\r\n", text.len())
    }

    #[test]
    fn it_is_ready_after_hello_and_goes_on_after_the_last_whole_event() {
        let mut rehearsal = Rehearsal::new(Box::new(Sse::new(&seat(true), Credentials::default())));
        assert!(
            rehearsal
                .sent()
                .starts_with("GET /sse?topic=bench.0 HTTP/1.1\r\n")
        );
        rehearsal
            .receive(format!("{HEAD}{}", chunk(HELLO)).as_bytes())
            .unwrap();
        assert!(rehearsal.signals.ready);
        let torn = "id: k-12\ndata: one\n\nid: k-13\ndata: tw";
        rehearsal.receive(chunk(torn).as_bytes()).unwrap();
        assert_eq!(rehearsal.payload(), "one");
        rehearsal.open();
        assert!(rehearsal.sent().contains("\r\nLast-Event-ID: k-12\r\n"));
    }

    #[test]
    fn gaps_are_counted_and_bye_ends_it() {
        let mut rehearsal =
            Rehearsal::new(Box::new(Sse::shared(&seat(false), Credentials::default())));
        rehearsal.receive(HELLO.as_bytes()).unwrap();
        rehearsal
            .receive(b"event: gap\nid: k-12\ndata: {}\n\n")
            .unwrap();
        assert_eq!(rehearsal.signals.gaps, 1);
        let fault = rehearsal
            .receive(b"event: bye\ndata: {\"code\":4203}\n\n")
            .unwrap_err();
        assert_eq!(fault.to_string(), "ended by the server: {\"code\":4203}");
    }

    #[test]
    fn a_shared_stream_asks_with_its_place() {
        let mut sse = Sse::shared(&seat(true), Credentials::new(Some("k")));
        sse.stream.cursor = b"k-15".to_vec();
        let request = sse.request().unwrap();
        assert_eq!(request.uri(), "https://localhost:8443/sse?topic=bench.0");
        assert_eq!(request.headers()["last-event-id"], "k-15");
        assert_eq!(request.headers()["authorization"], "Bearer k");
    }

    #[test]
    fn a_refusal_is_told() {
        let mut rehearsal = Rehearsal::new(Box::new(Sse::new(&seat(true), Credentials::default())));
        let fault = rehearsal
            .receive(b"HTTP/1.1 401 X\r\ncontent-length: 2\r\n\r\nno")
            .unwrap_err();
        assert_eq!(fault.to_string(), "refused with status 401: no");
    }
}
