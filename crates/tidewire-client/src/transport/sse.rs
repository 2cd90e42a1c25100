//! A session over one stream of server-sent events.
//!
//! Shape: one GET whose body never ends; its chunks go through the protocol's parser.
//! Bound: a block of `FRAME_MAX` bytes; frames of one chunk wait here.
//! Failure: the end of the stream after a `bye` carries its code, any other end is a lost connection.
//! Source: protocol section 3.1.

use std::{collections::VecDeque, time::Duration};

use reqwest::{
    Response,
    header::{ACCEPT, CONTENT_TYPE},
};
use serde::de::DeserializeOwned;
use tidewire_protocol::{
    Bye, Hb, Hello, ReceivedEvent,
    event_stream::{Block, Parser},
};

use crate::{
    error::ClientError,
    gateway::Gateway,
    request::Request,
    transport::{FRAME_MAX, Frame, Opened},
};

/// An open event stream.
#[derive(Debug)]
pub(super) struct EventStream {
    answer: Response,
    parser: Parser,
    /// The `retry:` that was handed over last.
    retry_ms: Option<u64>,
    frames: VecDeque<Frame>,
    /// Why it ends: known from `bye` on, or from what could not be read.
    end: Option<ClientError>,
}

impl EventStream {
    pub(super) async fn open(
        gateway: &Gateway,
        request: &Request,
    ) -> Result<EventStream, ClientError> {
        let answer = gateway
            .http()?
            .get(request.url(gateway.url("sse")))
            .header(ACCEPT, "text/event-stream")
            .send()
            .await
            .map_err(|error| ClientError::from_http(&error))?;
        if answer.status() != 200 {
            return Err(ClientError::from_answer(answer).await);
        }
        let content_type = answer.headers().get(CONTENT_TYPE);
        if !content_type.is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream")) {
            return Err(ClientError::Protocol(
                "the answer is not an event stream".into(),
            ));
        }
        Ok(EventStream {
            answer,
            parser: Parser::new(FRAME_MAX),
            retry_ms: None,
            frames: VecDeque::new(),
            end: None,
        })
    }

    /// Cancel safe: a chunk that was read is in the parser before the next wait.
    pub(super) async fn next(&mut self) -> Result<Frame, ClientError> {
        if let Some(frame) = self.frames.pop_front() {
            return Ok(frame);
        }
        let chunk = match self.answer.chunk().await {
            Ok(chunk) => chunk,
            Err(error) => return Err(self.ended(ClientError::from_http(&error))),
        };
        let Some(chunk) = chunk else {
            return Err(self.ended(ClientError::Lost("the stream ended without a bye".into())));
        };
        self.take(&chunk)?;
        // A chunk may hold half a block or a comment: no frame, but a sign of life.
        Ok(self.frames.pop_front().unwrap_or(Frame::Alive))
    }

    fn take(&mut self, chunk: &[u8]) -> Result<(), ClientError> {
        let blocks = self.parser.push(chunk).map_err(unreadable)?;
        if self.parser.retry_ms() != self.retry_ms {
            self.retry_ms = self.parser.retry_ms();
            let pause = Duration::from_millis(self.retry_ms.unwrap_or_default());
            self.frames.push_back(Frame::Retry(pause));
        }
        for block in blocks {
            if let Some(frame) = frame(&block)? {
                if let Frame::Bye {
                    code,
                    reason,
                    retry,
                } = &frame
                {
                    self.end = Some(ClientError::Closed {
                        code: *code,
                        reason: reason.clone(),
                        retry_after: *retry,
                        bye: true,
                    });
                }
                self.frames.push_back(frame);
            }
        }
        Ok(())
    }

    fn ended(&mut self, otherwise: ClientError) -> ClientError {
        self.end.get_or_insert(otherwise).clone()
    }
}

/// The frame in a block; `None` for events of a name that this release does not know.
fn frame(block: &Block) -> Result<Option<Frame>, ClientError> {
    if block.data.is_empty() {
        return Ok(None);
    }
    let frame = match block.event.as_str() {
        "" | "message" => Frame::Event(ReceivedEvent::parse(&block.data).map_err(unreadable)?),
        "hello" => Frame::Hello(Opened::from(json::<Hello>(&block.data)?)),
        "gap" => Frame::Gap(json(&block.data)?),
        "hb" => Frame::Heartbeat {
            cursor: json::<Hb>(&block.data)?.cursor,
        },
        "bye" => Frame::from(json::<Bye>(&block.data)?),
        _ => return Ok(None),
    };
    Ok(Some(frame))
}

fn json<T: DeserializeOwned>(text: &str) -> Result<T, ClientError> {
    serde_json::from_str(text).map_err(unreadable)
}

fn unreadable(error: impl std::fmt::Display) -> ClientError {
    ClientError::Protocol(error.to_string())
}
