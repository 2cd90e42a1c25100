//! One connection of one subscriber: nothing is repeated, resumed or hidden. Dropping it cuts it.

use serde_json::Value;
use tidewire_client::{Client, Connection, Frame, Request, Start, Transport};
use tidewire_protocol::{Gap, ReceivedEvent};

use crate::within;

/// What a subscriber gets.
#[derive(Clone, Debug)]
pub enum Seen {
    /// An event.
    Event(ReceivedEvent),
    /// A gap.
    Gap(Gap),
}

/// One open connection.
pub struct Subscriber {
    connection: Connection,
    /// The last cursor that was received: always a safe place to resume.
    cursor: String,
    /// `hello` said so; a poll has no such word.
    resumed: bool,
}

impl Subscriber {
    /// Opens a connection and waits for its cursor.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn open(client: &Client, transport: Transport, topics: &[&str], after: &str) -> Self {
        Self::try_open(client, transport, topics, after)
            .await
            .unwrap()
    }

    /// Opens a connection and waits for its cursor, unless the gateway is not there.
    ///
    /// # Errors
    /// What the client says.
    pub async fn try_open(
        client: &Client,
        transport: Transport,
        topics: &[&str],
        after: &str,
    ) -> Result<Self, tidewire_client::ClientError> {
        let request = Request {
            topics: topics.iter().map(ToString::to_string).collect(),
            start: Start::from(after),
        };
        let mut connection = within(client.connect(transport, &request)).await?;
        let opened = loop {
            if let Frame::Hello(opened) = within(connection.next()).await? {
                break opened;
            }
        };
        Ok(Self {
            connection,
            cursor: opened.cursor.unwrap_or_else(|| after.to_owned()),
            resumed: opened.resumed,
        })
    }

    /// A safe place to resume.
    #[must_use]
    pub fn cursor(&self) -> &str {
        &self.cursor
    }

    /// The gateway said that nothing after the cursor is lost.
    #[must_use]
    pub fn resumed(&self) -> bool {
        self.resumed
    }

    /// The next event or gap.
    ///
    /// # Errors
    /// Why the connection ended.
    pub async fn try_next(&mut self) -> Result<Seen, tidewire_client::ClientError> {
        loop {
            match within(self.connection.next()).await? {
                Frame::Event(event) => {
                    self.cursor.clone_from(&event.id);
                    return Ok(Seen::Event(event));
                }
                Frame::Gap(gap) => {
                    self.cursor.clone_from(&gap.cursor);
                    return Ok(Seen::Gap(gap));
                }
                Frame::Heartbeat { cursor } => self.cursor = cursor,
                _ => {}
            }
        }
    }

    /// The next event or gap.
    ///
    /// # Panics
    /// When the connection ends.
    pub async fn next(&mut self) -> Seen {
        self.try_next().await.unwrap()
    }

    /// The next event.
    ///
    /// # Panics
    /// At a gap.
    pub async fn event(&mut self) -> ReceivedEvent {
        match self.next().await {
            Seen::Event(event) => event,
            Seen::Gap(gap) => panic!("a gap instead of an event: {gap:?}"),
        }
    }

    /// The next gap.
    ///
    /// # Panics
    /// At an event.
    pub async fn gap(&mut self) -> Gap {
        match self.next().await {
            Seen::Gap(gap) => gap,
            Seen::Event(event) => panic!("an event instead of a gap: {}", event.json),
        }
    }

    /// The data of the next events.
    pub async fn data(&mut self, count: usize) -> Vec<Value> {
        let mut data = Vec::new();
        for _ in 0..count {
            data.push(data_of(&self.event().await));
        }
        data
    }
}

/// An event's data as a value.
pub(crate) fn data_of(event: &ReceivedEvent) -> Value {
    let data = event.data.as_ref().expect("JSON data");
    serde_json::from_str(data.get()).expect("JSON")
}
