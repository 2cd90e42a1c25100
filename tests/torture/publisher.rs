//! Publishers that write down what they were told.
//! Shape: one task each, with its own topics and keys. It publishes one event or an array, now and then something that
//! has to be refused, over REST or a WebSocket. What it has no answer to it repeats with the same key, as a user does; a
//! part is left unknown.
//! Unit: events; the pace counts all publishers together.
//! Failure: an answer that no honest gateway gives is written down as refused, and the checker finds it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::value::RawValue;
use tidewire_client::{Client, ClientError, NewEvent, PublishElement};
use tokio::time::Instant;

use crate::crew::Shared;
use crate::history::{Answer, Publication, Record};
use crate::socket::Socket;

/// One publisher.
pub(crate) struct Publisher {
    pub(crate) number: usize,
    pub(crate) shared: Arc<Shared>,
    pub(crate) record: Arc<Record<Vec<Publication>>>,
    /// Of the server or of a proxy.
    pub(crate) address: SocketAddr,
    /// It publishes over a WebSocket, and not over REST.
    pub(crate) over_websocket: bool,
    pub(crate) random: StdRng,
    /// Seconds between two of its events, on average.
    pub(crate) pause: Duration,
}

/// What it publishes with.
pub(crate) enum Means {
    Rest(Box<Client>),
    /// `None`: opened with the next try.
    WebSocket(Option<Box<Socket>>),
}

/// One event of a try: its number in the record, and as it is sent.
type Pending = (usize, NewEvent);

impl Publisher {
    /// Publishes until the run is over.
    pub(crate) async fn run(mut self) {
        let mut means = self.means();
        let mut next = Instant::now();
        while !self.shared.is_over() {
            // The gate is closed for a calm; what was begun is brought to its end first.
            let gate = Arc::clone(&self.shared);
            let _pass = gate.gate.read().await;
            let events = self.draw();
            let count = u32::try_from(events.len()).unwrap_or(1);
            self.publish(&mut means, events).await;
            next = (next + self.pause * count).max(Instant::now());
            tokio::time::sleep_until(next).await;
        }
    }

    /// One event, with its key, until it is stored; gives its id.
    pub(crate) async fn publish_one(
        &mut self,
        means: &mut Means,
        topic: &str,
        data: &str,
    ) -> String {
        let events = vec![self.begin(topic, data, true)];
        let number = events[0].0;
        self.repeat(means, events, false).await;
        let record = self.record.lock();
        let mut answers = record.0[number].answers.iter();
        let id = answers.find_map(|answer| match answer {
            Answer::Stored { id, .. } => Some(id.clone()),
            Answer::Refused(_) | Answer::Unknown(_) => None,
        });
        id.expect("a valid event is repeated until it is stored")
    }

    async fn publish(&mut self, means: &mut Means, events: Vec<Pending>) {
        let leave = self.random.random_bool(LEFT_UNKNOWN);
        self.repeat(means, events, leave).await;
    }

    /// What is published next.
    fn draw(&mut self) -> Vec<Pending> {
        let count = match self.random.random_range(0..100) {
            0..70 => 1,
            70..90 => self.random.random_range(2..30),
            90..94 => return self.again(),
            _ => return vec![self.bad()],
        };
        (0..count)
            .map(|_| {
                let topic = self.topic();
                let data = self.data();
                self.begin(&topic, &data, true)
            })
            .collect()
    }

    /// Something that was acknowledged, published once more with its key.
    fn again(&mut self) -> Vec<Pending> {
        let record = self.record.lock();
        let publications = &record.0;
        let from = publications.len().saturating_sub(RECENT);
        let old =
            (from < publications.len()).then(|| self.random.random_range(from..publications.len()));
        let old = old.map(|number| (number, &publications[number]));
        old.filter(|(_, old)| old.valid && old.answers.iter().any(is_stored))
            .map(|(number, old)| (number, event(&old.topic, &old.data, &old.key)))
            .into_iter()
            .collect()
    }

    /// Something that the gateway must not take.
    fn bad(&mut self) -> Pending {
        let (topic, data) = (self.topic(), self.data());
        // A restart of the memory engine forgets the keys, and then there is nothing to refuse.
        let kinds = if self.shared.is_durable { 3 } else { 2 };
        match self.random.random_range(0..kinds) {
            0 => self.begin(&format!("${topic}"), &data, false),
            1 => {
                let long = "x".repeat(70_000);
                let data = data.replacen('{', &format!("{{\"long\":\"{long}\","), 1);
                self.begin(&topic, &data, false)
            }
            _ => {
                // The key of another payload in the same topic, if there is one that was acknowledged.
                let record = self.record.lock();
                let from = record.0.len().saturating_sub(RECENT);
                let mut recent = record.0[from..].iter();
                let used = recent.find(|old| old.valid && old.answers.iter().any(is_stored));
                let used = used.map(|old| (old.topic.to_string(), old.key.clone()));
                drop(record);
                match used {
                    Some((topic, key)) => self.begin_with(&topic, &data, key, false),
                    None => self.begin(&format!("${topic}"), &data, false),
                }
            }
        }
    }

    fn topic(&mut self) -> String {
        let publisher = self.number;
        match self.random.random_range(0..3) {
            0 => format!("tight.p{publisher}.{}", self.random.random_range(0..2)),
            _ => format!("steady.p{publisher}.{}", self.random.random_range(0..3)),
        }
    }

    /// JSON of some length whose beginning no other publication has.
    fn data(&mut self) -> String {
        let number = self.record.lock().0.len();
        let more = match self.random.random_range(0..5) {
            0 => "1.10e2".to_owned(),
            1 => r#""\u00e9 é \"quoted\" 🌊""#.to_owned(),
            2 => "[null,true,-0,1E400]".to_owned(),
            3 => format!("\"{}\"", "y".repeat(self.random.random_range(0..400))),
            _ => "{}".to_owned(),
        };
        format!(r#"{{"p":{},"n":{number},"v":{more}}}"#, self.number)
    }

    fn begin(&mut self, topic: &str, data: &str, valid: bool) -> Pending {
        let key = format!("k{}-{}", self.number, self.record.lock().0.len());
        self.begin_with(topic, data, key, valid)
    }

    fn begin_with(&mut self, topic: &str, data: &str, key: String, valid: bool) -> Pending {
        let event = event(topic, data, &key);
        let texts = &self.shared.texts;
        let number = self.record.publish(Publication {
            topic: texts.shared(topic),
            key,
            data: texts.shared(data),
            valid,
            answers: Vec::new(),
        });
        (number, event)
    }

    /// Tries until everything has an answer, or once only.
    async fn repeat(&mut self, means: &mut Means, mut open: Vec<Pending>, once: bool) {
        while !open.is_empty() {
            let answers = self.attempt(means, &open).await;
            let mut is_unknown = answers
                .iter()
                .map(|answer| matches!(answer, Answer::Unknown(_)));
            let unknown: Vec<bool> = is_unknown.by_ref().collect();
            for ((number, _), answer) in open.iter().zip(answers) {
                if is_stored(&answer) {
                    self.shared.acknowledged.fetch_add(1, Ordering::Relaxed);
                }
                self.record.answer(*number, answer);
            }
            let mut unknown = unknown.into_iter();
            open.retain(|_| unknown.next().unwrap_or(false));
            if open.is_empty() || once {
                return;
            }
            let pause = Duration::from_millis(self.random.random_range(20..400));
            tokio::time::sleep(pause).await;
        }
    }

    /// Fresh means, with a patience of their own.
    fn means(&mut self) -> Means {
        if self.over_websocket {
            return Means::WebSocket(None);
        }
        let url = format!("https://{}", self.address);
        let patience = self.patience();
        let builder = Client::builder(url).ca_pem(self.shared.certificate.clone());
        let client = builder.publish_deadline(patience).build();
        Means::Rest(Box::new(
            client.expect("the certificate of the first start"),
        ))
    }

    fn patience(&mut self) -> Duration {
        Duration::from_millis(self.random.random_range(1_000..4_000))
    }

    async fn attempt(&mut self, means: &mut Means, events: &[Pending]) -> Vec<Answer> {
        let socket = match means {
            Means::Rest(client) => return post(client, events).await,
            Means::WebSocket(socket) => socket,
        };
        let mut open = match socket.take() {
            Some(open) => open,
            None => match Socket::open(self.address, &self.shared.certificate).await {
                Ok(open) => Box::new(open),
                Err(why) => return vec![Answer::Unknown(why); events.len()],
            },
        };
        let sent: Vec<&NewEvent> = events.iter().map(|(_, event)| event).collect();
        let (answers, is_good) = open.publish(&sent, self.patience()).await;
        if is_good {
            *socket = Some(open);
        }
        answers
    }

    /// A publisher for the marks that end a calm: it does nothing by itself.
    pub(crate) fn of_marks(
        shared: &Arc<Shared>,
        record: Arc<Record<Vec<Publication>>>,
        address: SocketAddr,
    ) -> (Self, Means) {
        let mut publisher = Self {
            number: usize::MAX,
            shared: Arc::clone(shared),
            record,
            address,
            over_websocket: false,
            random: StdRng::seed_from_u64(0),
            pause: Duration::ZERO,
        };
        let means = publisher.means();
        (publisher, means)
    }
}

async fn post(client: &Client, events: &[Pending]) -> Vec<Answer> {
    if let [(_, event)] = events {
        return vec![match client.publish(event).await {
            Ok(answer) => stored(answer.id, answer.duplicate),
            Err(error) => failed(&error),
        }];
    }
    let batch: Vec<NewEvent> = events.iter().map(|(_, event)| event.clone()).collect();
    match client.publish_all(&batch).await {
        Ok(elements) => elements.into_iter().map(element).collect(),
        Err(error) => events.iter().map(|_| failed(&error)).collect(),
    }
}

fn element(element: PublishElement) -> Answer {
    match element {
        PublishElement::Answer(answer) => stored(answer.id, answer.duplicate),
        PublishElement::Problem(problem) => match problem.status() {
            408 | 429 | 500.. => Answer::Unknown(problem.to_string()),
            _ => Answer::Refused(problem.to_string()),
        },
    }
}

fn stored(id: String, duplicate: bool) -> Answer {
    Answer::Stored { id, duplicate }
}

/// The client gives up after many tries; one of them may have stored it, whatever the last one said.
fn failed(error: &ClientError) -> Answer {
    match error {
        ClientError::GaveUp { .. } => Answer::Unknown(error.to_string()),
        _ => Answer::Refused(error.to_string()),
    }
}

fn is_stored(answer: &Answer) -> bool {
    matches!(answer, Answer::Stored { .. })
}

fn event(topic: &str, data: &str, key: &str) -> NewEvent {
    let data = RawValue::from_string(data.to_owned()).expect("JSON");
    NewEvent::raw(topic, data).key(key)
}

/// The part that is not repeated when there was no answer.
const LEFT_UNKNOWN: f64 = 0.2;
/// How far back a key is used again.
const RECENT: usize = 500;
