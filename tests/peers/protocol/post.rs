//! Publishing by HTTP: a POST for each event, one at a time, each acknowledged before the next.
//!
//! Shape: one kept connection. Failure: any status of 300 and more is a refusal; it is counted, and the run goes on.

use tidewire_bench::http1::{Answers, Part};
use tidewire_bench::protocol::{Dispatch, Fault, Publisher, PublisherSeat, Publishing};

/// How an event becomes a request.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Post {
    /// The payload is the body; the topic stands in the path.
    Plain,
    /// Pushpin's control port: an item with a form for each transport.
    Items,
}

impl Publishing for Post {
    fn describe(&self) -> String {
        match self {
            Self::Plain => "POST, one at a time".to_owned(),
            Self::Items => "POST to its control port without TLS, one at a time".to_owned(),
        }
    }

    fn publisher(&self, seat: &PublisherSeat) -> Box<dyn Publisher> {
        Box::new(PostPublisher {
            post: *self,
            authority: seat.authority.clone(),
            answer: Answers::default(),
            status: 0,
        })
    }
}

struct PostPublisher {
    post: Post,
    authority: String,
    answer: Answers,
    /// Of the answer that is coming.
    status: u16,
}

impl Publisher for PostPublisher {
    fn depth(&self) -> usize {
        1
    }

    fn open(&mut self, dispatch: &mut Dispatch<'_>) {
        self.answer = Answers::default();
        dispatch.ready();
    }

    fn publish(&mut self, topic: &str, payload: &[u8], dispatch: &mut Dispatch<'_>) {
        match self.post {
            Post::Plain => self.send(
                &format!("/publish/{topic}"),
                "text/plain",
                payload,
                dispatch,
            ),
            Post::Items => {
                let body = items(topic, &String::from_utf8_lossy(payload));
                self.send("/publish/", "application/json", body.as_bytes(), dispatch);
            }
        }
    }

    fn receive(&mut self, mut input: &[u8], dispatch: &mut Dispatch<'_>) -> Result<(), Fault> {
        while let Some(part) = self.answer.next(&mut input)? {
            match part {
                Part::Head(head) => self.status = head.status,
                Part::Body(_) => {}
                Part::End if self.status < 300 => dispatch.accepted(1),
                Part::End => dispatch.refused(None),
            }
        }
        Ok(())
    }
}

impl PostPublisher {
    fn send(&self, path: &str, content_type: &str, body: &[u8], dispatch: &mut Dispatch<'_>) {
        let Self { authority, .. } = self;
        let length = body.len();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {authority}\r\nContent-Type: {content_type}\r\n\
             Content-Length: {length}\r\n\r\n"
        );
        dispatch.out().extend_from_slice(head.as_bytes());
        dispatch.out().extend_from_slice(body);
    }
}

fn items(topic: &str, payload: &str) -> String {
    let formats = serde_json::json!({
        "http-stream": { "content": format!("data: {payload}\n\n") },
        "ws-message": { "content": payload },
    });
    serde_json::json!({ "items": [{ "channel": topic, "formats": formats }] }).to_string()
}
