//! Subscribers that write down what they got.
//! Shape: one task each. It opens a connection over a transport and a way drawn at random, reads for a while, leaves or
//! is thrown out, and resumes with its last cursor, now and then with an older one. The slow ones stop reading.
//! Bound: its patience with a silent connection; polls are held for 25 s, the others have heartbeats.
//! Failure: whatever ends a connection is a step, never an end of the subscriber.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;
use tidewire_client::{Client, ClientError, Connection, Frame, Request, Start, Transport};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::crew::{HEARTBEAT, MARK, Shared};
use crate::history::{Record, Step, Subscription};

/// One subscriber.
pub(crate) struct Subscriber {
    pub(crate) shared: Arc<Shared>,
    pub(crate) record: Arc<Record<Subscription>>,
    pub(crate) topics: Vec<String>,
    /// The ways that it may take: a name and a URL.
    pub(crate) lanes: Vec<(&'static str, String)>,
    /// It stops reading now and then.
    pub(crate) is_slow: bool,
    pub(crate) random: StdRng,
    /// The newest mark that it has seen.
    pub(crate) mark: watch::Sender<u64>,
    /// Where it may resume: the last ones, the newest at the end.
    pub(crate) cursors: VecDeque<String>,
}

impl Subscriber {
    /// Reads until the run is over.
    pub(crate) async fn run(mut self) {
        let mut storms = self.shared.storms.subscribe();
        while !self.shared.is_over() {
            storms.mark_unchanged();
            let ended = tokio::select! {
                ended = self.connection() => match ended {
                    Ok(()) => "it left".to_owned(),
                    Err(error) => error.to_string(),
                },
                _ = storms.changed() => "a storm".to_owned(),
            };
            self.record.step(Step::Ended(ended));
            let pause = self.random.random_range(5..300);
            sleep(Duration::from_millis(pause)).await;
        }
    }

    /// One connection from its beginning to its end.
    async fn connection(&mut self) -> Result<(), ClientError> {
        let transport = Transport::ALL[self.random.random_range(0..3)];
        let (lane, url) = self.lanes[self.random.random_range(0..self.lanes.len())].clone();
        let asked = self.place();
        let client = Client::builder(url)
            .ca_pem(self.shared.certificate.clone())
            .build()?;
        let request = Request {
            topics: self.topics.clone(),
            start: Start::from(asked.as_str()),
        };
        let opening = timeout(PATIENCE, client.connect(transport, &request));
        let mut connection = opening.await.map_err(|_| ClientError::Silent(PATIENCE))??;
        self.shared.connections.fetch_add(1, Ordering::Relaxed);
        let life = Duration::from_millis(self.random.random_range(500..20_000));
        let mut leaves = Instant::now() + life;
        loop {
            if self.is_slow && !self.shared.is_calm() && self.random.random_bool(NAP) {
                let nap = self.random.random_range(200..4_000);
                sleep(Duration::from_millis(nap)).await;
            }
            let frame = tokio::select! {
                frame = next(&mut connection, transport) => frame?,
                () = tokio::time::sleep_until(leaves) => {
                    if !self.shared.is_calm() {
                        return Ok(());
                    }
                    // Coming back would hide that this connection has gone deaf.
                    leaves += life;
                    continue;
                }
            };
            self.take(frame, transport, lane, &asked);
        }
    }

    fn take(&mut self, frame: Frame, transport: Transport, lane: &'static str, asked: &str) {
        match frame {
            Frame::Hello(opened) => {
                self.record.step(Step::Opened {
                    transport,
                    lane,
                    asked: asked.to_owned(),
                    cursor: opened.cursor.clone(),
                    resumed: opened.resumed,
                });
                if let Some(cursor) = opened.cursor {
                    self.keep(&cursor);
                }
            }
            Frame::Event(event) => {
                self.shared.delivered.fetch_add(1, Ordering::Relaxed);
                let data = event.data.as_ref().map_or("", |data| data.get());
                let texts = &self.shared.texts;
                self.record.step(Step::Event {
                    id: event.id.as_str().into(),
                    topic: texts.shared(&event.topic),
                    data: texts.shared(data),
                });
                self.keep(&event.id);
                if event.topic == MARK {
                    let number = data.trim_matches(|c: char| !c.is_ascii_digit());
                    let number: u64 = number.parse().unwrap_or_default();
                    // A repeat after an older cursor takes nothing back.
                    self.mark.send_modify(|mark| *mark = number.max(*mark));
                }
            }
            Frame::Gap(gap) => {
                self.shared.gaps.fetch_add(1, Ordering::Relaxed);
                self.keep(&gap.cursor);
                self.record.step(Step::Gap(Box::new(gap)));
            }
            Frame::Heartbeat { cursor } if self.cursors.back() != Some(&cursor) => {
                self.record.step(Step::Cursor(cursor.as_str().into()));
                self.keep(&cursor);
            }
            // The end that follows a bye is a step of its own.
            _ => {}
        }
    }

    fn keep(&mut self, cursor: &str) {
        if self.cursors.len() == CURSORS_KEPT {
            self.cursors.pop_front();
        }
        self.cursors.push_back(cursor.to_owned());
    }

    /// Where the next connection begins.
    fn place(&mut self) -> String {
        if self.cursors.is_empty() {
            return "now".to_owned();
        }
        let older = self.random.random_bool(OLDER_CURSOR);
        let index = match older {
            true => self.random.random_range(0..self.cursors.len()),
            false => self.cursors.len() - 1,
        };
        // What lies after it is had again, and would be out of order in what is kept.
        self.cursors.truncate(index + 1);
        self.cursors[index].clone()
    }
}

/// The next frame, unless the connection is silent for too long.
async fn next(connection: &mut Connection, transport: Transport) -> Result<Frame, ClientError> {
    let patience = match transport {
        Transport::WebSocket | Transport::Sse => HEARTBEAT * 3,
        Transport::Poll => POLL_PATIENCE,
    };
    let next = timeout(patience, connection.next()).await;
    next.map_err(|_| ClientError::Silent(patience))?
}

/// With a connection that does not open.
const PATIENCE: Duration = Duration::from_secs(5);
/// The client asks for polls of 25 s.
const POLL_PATIENCE: Duration = Duration::from_secs(30);
/// How often a slow one stops reading: the part of its frames.
const NAP: f64 = 0.001;
/// How often a subscriber goes further back than it has to.
const OLDER_CURSOR: f64 = 0.1;
/// How far.
const CURSORS_KEPT: usize = 300;
