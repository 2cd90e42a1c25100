//! A session as polls in a row.
//!
//! Shape: the first poll does not wait and so shows whether polling works here; each later one is held by the
//! gateway until something comes. The frames are those of the other transports: hello, gap, events, heartbeat.
//! Unit: one answer. Bound: `LIMIT` events and `ANSWER_MAX` bytes an answer, `WAIT` for a held poll.
//! Failure: a poll that fails ends the connection; the cursor of the last answer goes on elsewhere.
//! Source: protocol section 3.2.

use std::{collections::VecDeque, fmt, pin::Pin, time::Duration};

use futures_util::future::BoxFuture;
use reqwest::Client;
use tidewire_protocol::{ReceivedEvent, ReceivedPoll};
use tokio::time::{Instant, Sleep, sleep};
use url::Url;

use crate::{
    error::ClientError,
    gateway::Gateway,
    request::{Request, Start},
    transport::{Frame, Opened},
};

/// Polls one after the other.
pub(super) struct Poller {
    http: Client,
    /// The address with the topics, without a place.
    url: Url,
    topics: Vec<String>,
    cursor: String,
    frames: VecDeque<Frame>,
    phase: Phase,
}

/// Held in the poller, not in a call, so that a dropped call loses no answer.
enum Phase {
    Idle,
    Asking {
        since: Instant,
        answer: BoxFuture<'static, Result<ReceivedPoll, ClientError>>,
    },
    Pausing(Pin<Box<Sleep>>),
}

impl Poller {
    pub(super) async fn open(gateway: &Gateway, request: &Request) -> Result<Poller, ClientError> {
        let http = gateway.http()?;
        let url = gateway.url("poll");
        let answer = ask(http.clone(), poll(request, url.clone(), Duration::ZERO)).await?;
        let mut poller = Poller {
            http,
            url,
            topics: request.topics.clone(),
            cursor: String::new(),
            frames: VecDeque::new(),
            phase: Phase::Idle,
        };
        poller.frames.push_back(Frame::Hello(Opened {
            session: None,
            cursor: place_before(&request.start, &answer),
            resumed: matches!(request.start, Start::After(_)) && answer.gap.is_none(),
            heartbeat: WAIT,
        }));
        poller.take(answer)?;
        Ok(poller)
    }

    /// Cancel safe: what is under way is kept in `phase`.
    pub(super) async fn next(&mut self) -> Result<Frame, ClientError> {
        loop {
            if let Some(frame) = self.frames.pop_front() {
                return Ok(frame);
            }
            match &mut self.phase {
                Phase::Idle => self.ask_again(),
                Phase::Pausing(pause) => {
                    pause.await;
                    self.ask_again();
                }
                Phase::Asking { since, answer } => {
                    let answer = answer.await;
                    let held = since.elapsed();
                    self.phase = Phase::Idle;
                    let answer = answer?;
                    // An empty answer that comes early, again and again, would make this loop spin.
                    if answer.events.is_empty() && answer.gap.is_none() && held < EMPTY_PAUSE {
                        self.phase = Phase::Pausing(Box::pin(sleep(EMPTY_PAUSE)));
                    }
                    self.take(answer)?;
                }
            }
        }
    }

    fn ask_again(&mut self) {
        let request = Request {
            topics: self.topics.clone(),
            start: Start::After(self.cursor.clone()),
        };
        let url = poll(&request, self.url.clone(), WAIT);
        self.phase = Phase::Asking {
            since: Instant::now(),
            answer: Box::pin(ask(self.http.clone(), url)),
        };
    }

    fn take(&mut self, answer: ReceivedPoll) -> Result<(), ClientError> {
        if let Some(gap) = answer.gap {
            self.frames.push_back(Frame::Gap(gap));
        }
        for event in answer.events {
            let event = ReceivedEvent::parse(event.get())
                .map_err(|error| ClientError::Protocol(error.to_string()))?;
            self.frames.push_back(Frame::Event(event));
        }
        self.cursor.clone_from(&answer.cursor);
        self.frames.push_back(Frame::Heartbeat {
            cursor: answer.cursor,
        });
        Ok(())
    }
}

impl fmt::Debug for Poller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poller")
            .field("cursor", &self.cursor)
            .finish_non_exhaustive()
    }
}

/// A safe place before the first event of the answer, as far as one is known.
fn place_before(start: &Start, answer: &ReceivedPoll) -> Option<String> {
    match start {
        Start::After(cursor) => Some(cursor.clone()),
        Start::Now | Start::Oldest | Start::Last(_) if answer.events.is_empty() => {
            Some(answer.cursor.clone())
        }
        Start::Now | Start::Oldest | Start::Last(_) => None,
    }
}

fn poll(request: &Request, url: Url, wait: Duration) -> Url {
    let mut url = request.url(url);
    url.query_pairs_mut()
        .append_pair("wait", &wait.as_secs().to_string())
        .append_pair("limit", LIMIT);
    url
}

async fn ask(http: Client, url: Url) -> Result<ReceivedPoll, ClientError> {
    let mut answer = http
        .get(url)
        .send()
        .await
        .map_err(|error| ClientError::from_http(&error))?;
    if answer.status() != 200 {
        return Err(ClientError::from_answer(answer).await);
    }
    let mut body = Vec::new();
    while let Some(chunk) = answer
        .chunk()
        .await
        .map_err(|error| ClientError::from_http(&error))?
    {
        if body.len() + chunk.len() > ANSWER_MAX {
            return Err(ClientError::Protocol("the answer is too long".into()));
        }
        body.extend_from_slice(&chunk);
    }
    serde_json::from_slice(&body).map_err(|error| ClientError::Protocol(error.to_string()))
}

/// How long the gateway holds a poll; below the 30 s after which many proxies give up.
const WAIT: Duration = Duration::from_secs(25);
/// Events an answer. With events of 64 KiB an answer stays within `ANSWER_MAX`.
const LIMIT: &str = "500";
/// The longest answer that the client takes.
const ANSWER_MAX: usize = 64 * 1024 * 1024;
/// A pause after an empty answer that the gateway did not hold.
const EMPTY_PAUSE: Duration = Duration::from_millis(500);
