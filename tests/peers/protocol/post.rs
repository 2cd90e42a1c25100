//! Publishing by HTTP: a POST for each event, one at a time, each acknowledged before the next.
//!
//! Shape: one kept connection; the payload is the body, the topic stands in the path.
//! Failure: any status of 300 and more is a refusal; it is counted, and the run goes on.

use tidewire_bench::http1::{Answers, Part};
use tidewire_bench::protocol::{Dispatch, Fault, Publisher, PublisherSeat, Publishing};

/// To `/publish/TOPIC`.
pub(crate) struct Post;

impl Publishing for Post {
    fn describe(&self) -> String {
        "POST, acknowledged one at a time".to_owned()
    }

    fn publisher(&self, seat: &PublisherSeat) -> Box<dyn Publisher> {
        Box::new(PostPublisher {
            authority: seat.authority.clone(),
            answer: Answers::default(),
            status: 0,
        })
    }
}

struct PostPublisher {
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
        let (authority, length) = (&self.authority, payload.len());
        let head = format!(
            "POST /publish/{topic} HTTP/1.1\r\nHost: {authority}\r\nContent-Type: text/plain\r\n\
             Content-Length: {length}\r\n\r\n"
        );
        dispatch.out().extend_from_slice(head.as_bytes());
        dispatch.out().extend_from_slice(payload);
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
