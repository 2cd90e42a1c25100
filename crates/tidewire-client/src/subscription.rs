//! A subscription: events without end, whatever happens to the connections below.
//!
//! Shape: the async shell around `connection::State`; one loop, one phase at a time. The caller's task drives it,
//! so a slow caller is a slow reader: nothing is buffered for it but what one connection has read.
//! Bound: a connection proves itself within a limit and is dead after two heartbeats without a byte.
//! Failure: it comes back with its cursor for ever; what cannot get better ends it with an error.
//! Source: protocol sections 3 and 8.

use std::{fmt, pin::Pin, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use tokio::time::{Instant, Sleep, sleep, timeout, timeout_at};

use crate::{
    backoff::Backoff,
    connection::{Item, State, Step},
    error::ClientError,
    gateway::Gateway,
    request::{Request, Start},
    transport::{self, Connection, TransportChoice},
};

/// What a subscription should be; [`SubscriptionBuilder::open`] makes it.
#[derive(Debug)]
pub struct SubscriptionBuilder {
    gateway: Arc<Gateway>,
    topics: Vec<String>,
    start: Start,
    choice: TransportChoice,
    backoff: Backoff,
}

impl SubscriptionBuilder {
    pub(crate) fn new(gateway: Arc<Gateway>, topics: Vec<String>) -> SubscriptionBuilder {
        SubscriptionBuilder {
            gateway,
            topics,
            start: Start::default(),
            choice: TransportChoice::default(),
            backoff: Backoff::default(),
        }
    }

    /// Starts after a cursor; `now` (the default) and `start` (the oldest retained event) are cursors too.
    #[must_use]
    pub fn after(mut self, cursor: &str) -> SubscriptionBuilder {
        self.start = Start::from(cursor);
        self
    }

    /// Starts with the newest `count` retained events, instead of `after`.
    #[must_use]
    pub fn last(mut self, count: u32) -> SubscriptionBuilder {
        self.start = Start::Last(count);
        self
    }

    /// Which transport to use. Default: WebSocket, then SSE, then long-poll.
    #[must_use]
    pub fn transport(mut self, choice: impl Into<TransportChoice>) -> SubscriptionBuilder {
        self.choice = choice.into();
        self
    }

    /// How to wait between connections. Default: half a second to half a minute, full jitter.
    #[must_use]
    pub fn backoff(mut self, backoff: Backoff) -> SubscriptionBuilder {
        self.backoff = backoff;
        self
    }

    /// The subscription. It connects with the first call of [`Subscription::next`]; whoever must not miss what is
    /// published next waits for [`Item::Connected`] first.
    pub fn open(self) -> Subscription {
        Subscription {
            gateway: self.gateway,
            topics: self.topics,
            state: State::new(self.choice, self.start, self.backoff),
            phase: Phase::Idle,
        }
    }
}

/// Events of some topics, in log order, over one connection after another.
pub struct Subscription {
    gateway: Arc<Gateway>,
    topics: Vec<String>,
    state: State,
    phase: Phase,
}

/// Kept here and not in a call, so that a dropped call of `next` goes on where it was.
enum Phase {
    Idle,
    Connecting(BoxFuture<'static, Result<Connection, ClientError>>),
    Open {
        connection: Box<Connection>,
        /// When the silence has lasted too long.
        deadline: Instant,
        /// The deadline was found to have passed long ago and was moved once.
        grace: bool,
    },
    Waiting(Pin<Box<Sleep>>),
    Ended,
}

impl Subscription {
    /// The next event, gap, or change of the connection; `None` after an error.
    ///
    /// # Errors
    /// What cannot get better by trying again: bad topics, no right, an untrusted certificate.
    ///
    /// # Cancel safety
    /// A dropped call loses nothing: the cursor moves only with an item that was returned.
    pub async fn next(&mut self) -> Option<Result<Item, ClientError>> {
        loop {
            match &mut self.phase {
                Phase::Ended => return None,
                Phase::Idle => self.connect(),
                Phase::Waiting(pause) => {
                    pause.await;
                    self.phase = Phase::Idle;
                }
                Phase::Connecting(connecting) => match connecting.await {
                    Ok(connection) => self.connected(connection),
                    Err(error) => return Some(self.ended(error)),
                },
                Phase::Open {
                    connection,
                    deadline,
                    grace,
                } => {
                    let frame = match timeout_at(*deadline, connection.next()).await {
                        Ok(Ok(frame)) => frame,
                        Ok(Err(error)) => return Some(self.ended(error)),
                        Err(_) => {
                            let now = Instant::now();
                            if !*grace && now.saturating_duration_since(*deadline) > LATE {
                                // The caller was away or the machine slept: look once before judging.
                                *deadline = now + LATE;
                                *grace = true;
                                continue;
                            }
                            let silent = ClientError::Silent(self.state.patience());
                            return Some(self.ended(silent));
                        }
                    };
                    let item = self.state.receive(frame);
                    *deadline = Instant::now() + self.state.patience();
                    *grace = false;
                    if let Some(item) = item {
                        return Some(Ok(item));
                    }
                }
            }
        }
    }

    /// A safe place to resume this subscription elsewhere: everything at or before it was handed over.
    /// `None` before the first connection told one.
    pub fn cursor(&self) -> Option<&str> {
        self.state.cursor()
    }

    /// Cuts the present connection and goes on over another transport, from the cursor.
    pub fn switch(&mut self, choice: impl Into<TransportChoice>) {
        self.state.switch(choice.into());
        if !matches!(self.phase, Phase::Ended) {
            self.phase = Phase::Idle;
        }
    }

    /// Ends the subscription in order. Dropping it cuts the connection instead.
    pub async fn close(self) {
        if let Phase::Open { connection, .. } = self.phase {
            connection.close().await;
        }
    }

    fn connect(&mut self) {
        let attempt = self.state.attempt(Instant::now());
        let gateway = Arc::clone(&self.gateway);
        let request = Request {
            topics: self.topics.clone(),
            start: attempt.start,
        };
        let connecting = async move {
            let mut connection = transport::connect(&gateway, attempt.transport, &request).await?;
            connection.prove().await?;
            Ok(connection)
        };
        self.phase = Phase::Connecting(Box::pin(async move {
            match timeout(attempt.limit, connecting).await {
                Ok(outcome) => outcome,
                Err(_) => Err(ClientError::Silent(attempt.limit)),
            }
        }));
    }

    fn connected(&mut self, connection: Connection) {
        let now = Instant::now();
        self.state.proved(now);
        self.phase = Phase::Open {
            connection: Box::new(connection),
            deadline: now + self.state.patience(),
            grace: false,
        };
    }

    fn ended(&mut self, error: ClientError) -> Result<Item, ClientError> {
        match self.state.ended(error, Instant::now(), rand::random()) {
            Step::Again { reason, wait } => {
                tracing::debug!(reason, ?wait, "disconnected");
                self.phase = Phase::Waiting(Box::pin(sleep(wait)));
                Ok(Item::Disconnected {
                    reason,
                    retry_in: wait,
                })
            }
            Step::End(error) => {
                self.phase = Phase::Ended;
                Err(error)
            }
        }
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("gateway", &self.gateway.base().as_str())
            .field("topics", &self.topics)
            .field("cursor", &self.cursor())
            .finish_non_exhaustive()
    }
}

/// A timer that rings so much later than it was set for says more about this side than about the peer.
const LATE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscription_can_move_to_another_task() {
        fn is_send<T: Send>() {}
        is_send::<Subscription>();
        is_send::<Connection>();
    }
}
