//! Somebody who publishes now: the checks of each event, and the append.
//!
//! Shape: what is admitted is appended in one go; answers and refusals come back in the order of the elements.
//! Bound: `event_max_bytes`, `publishes_per_second`.
//! Failure: a [`Refusal`] for each element that is not admitted or not acknowledged.
//! Source: protocol section 4.

use std::{
    net::IpAddr,
    sync::OnceLock,
    time::{Duration, Instant},
};

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use futures_util::{StreamExt, stream};
use http::StatusCode;
use tidewire_bus::{Append, Appended, IdempotencyKey};
use tidewire_protocol::{
    Code, EventBody, EventType, Payload, PublishAnswer, PublishElement, Topic,
};

use crate::{
    auth::Identity,
    error::Refusal,
    gateway::Gateway,
    limits::{bytes, limit::Limit, quota::one_client},
};

/// An idempotency key as the publisher gave it.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) text: String,
    /// Which element it is for, where one key stands for all of a request.
    pub(super) element: Option<usize>,
}

impl Key {
    /// The key of one event.
    pub(super) fn own(text: String) -> Self {
        Self {
            text,
            element: None,
        }
    }

    /// The key of the n-th element of a request.
    pub(super) fn of_element(text: &str, element: usize) -> Self {
        Self {
            text: text.to_owned(),
            element: Some(element),
        }
    }
}

/// Somebody who publishes now: what is checked for each event, and how it is appended.
pub(super) struct Publisher<'a> {
    gateway: &'a Gateway,
    identity: &'a Identity,
    address: IpAddr,
    /// The name under which the rate is counted: the key, or the address of somebody without one.
    rate: String,
    /// The pause that an earlier element of this request was told. Those after it get the same, so that what a publisher
    /// repeats keeps its order: a token that has dripped in meanwhile must not let a later element overtake.
    limited: OnceLock<Duration>,
}

impl<'a> Publisher<'a> {
    pub(super) fn new(gateway: &'a Gateway, identity: &'a Identity, address: IpAddr) -> Self {
        let rate = if identity.is_anonymous() {
            format!("address:{}", one_client(address))
        } else {
            identity.name().to_owned()
        };
        Self {
            gateway,
            identity,
            address,
            rate,
            limited: OnceLock::new(),
        }
    }

    /// Every check of one event, the rate last: what is refused for another reason costs nothing.
    pub(super) fn admit(
        &self,
        topic: Topic,
        event_type: Option<&EventType>,
        payload: &Payload,
        key: Option<Key>,
    ) -> Result<Append, Refusal> {
        self.require_right(&topic)?;
        let body = EventBody::new(event_type, payload);
        self.require_size(&body)?;
        let taken = match self.limited.get() {
            Some(pause) => Err(*pause),
            None => self.gateway.publishers.take(&self.rate, Instant::now()),
        };
        taken.map_err(|pause| {
            self.gateway.metrics.refused(Limit::PublishesPerSecond);
            let pause = *self.limited.get_or_init(|| pause);
            let bound = self.gateway.limits.publishes_per_second;
            let message = format!("more than {bound} events in a second");
            Refusal::new(Code::RateLimited, message).with_retry_after(pause)
        })?;
        let key = key.map(|key| IdempotencyKey {
            publisher: self.identity.name().to_owned(),
            key: key.text,
            element: key.element,
        });
        Ok(Append { topic, body, key })
    }

    fn require_size(&self, body: &EventBody) -> Result<(), Refusal> {
        let bound = bytes(self.gateway.limits.event_max_bytes);
        let length = body.as_bytes().len();
        if length <= bound {
            return Ok(());
        }
        self.gateway.metrics.refused(Limit::EventMaxBytes);
        let message = format!("the event has {length} bytes; at most {bound} are taken");
        Err(Refusal::new(Code::TooLarge, message))
    }

    pub(super) fn require_right(&self, topic: &Topic) -> Result<(), Refusal> {
        if topic.is_reserved() {
            return Err(Refusal::new(
                Code::Forbidden,
                "topics that begin with \"$\" are the gateway's own",
            ));
        }
        if !self.identity.may_publish(topic) {
            return Err(self.identity.refusal());
        }
        Ok(())
    }

    /// Asks the user's backend about an event that was admitted, where a hook is configured. It may have changed it.
    async fn ask(&self, mut append: Append) -> Result<Append, Refusal> {
        let Some(hooks) = &self.gateway.hooks else {
            return Ok(append);
        };
        let asked = hooks.publish(self.identity, self.address, &mut append);
        Box::pin(asked).await?;
        self.require_size(&append.body)?;
        Ok(append)
    }

    /// The same for the events of one request, a few at a time.
    async fn ask_all(&self, wanted: Vec<Result<Append, Refusal>>) -> Vec<Result<Append, Refusal>> {
        let asked = wanted
            .into_iter()
            .map(async |append| self.ask(append?).await);
        stream::iter(asked)
            .buffered(ASKED_AT_A_TIME)
            .collect()
            .await
    }

    async fn append(&self, batch: Vec<Append>) -> Vec<Result<Appended, Refusal>> {
        let started = Instant::now();
        let answers = self.gateway.bus.append(batch).await;
        self.gateway.metrics.appended(started.elapsed());
        let fresh = answers
            .iter()
            .flatten()
            .filter(|appended| !appended.duplicate)
            .count();
        self.gateway.metrics.published(fresh as u64);
        answers
            .into_iter()
            .map(|answer| answer.map_err(Refusal::from))
            .collect()
    }

    pub(super) async fn append_one(&self, append: Append) -> Result<Appended, Refusal> {
        let append = self.ask(append).await?;
        let mut answers = self.append(vec![append]).await;
        // The bus answers every element; without an answer nothing is known.
        answers.pop().unwrap_or_else(|| Err(Refusal::unknown()))
    }

    /// 201, or 200 for a key that was seen before.
    pub(super) async fn answer_one(&self, append: Append) -> Result<Response, Refusal> {
        let topic = append.topic.clone();
        let appended = self.append_one(append).await?;
        let status = if appended.duplicate {
            StatusCode::OK
        } else {
            StatusCode::CREATED
        };
        Ok((status, Json(answer(&appended, &topic))).into_response())
    }

    /// An answer or a problem for every element, in order.
    pub(super) async fn append_all(
        &self,
        wanted: Vec<Result<Append, Refusal>>,
    ) -> Vec<PublishElement> {
        let wanted = match self.gateway.hooks {
            Some(_) => Box::pin(self.ask_all(wanted)).await,
            None => wanted,
        };
        let mut batch = Vec::new();
        // Where an element was admitted there is its topic, and its answer is the next one of the bus.
        let mut places = Vec::with_capacity(wanted.len());
        for element in wanted {
            places.push(element.map(|append| {
                let topic = append.topic.clone();
                batch.push(append);
                topic
            }));
        }
        let mut answers = if batch.is_empty() {
            Vec::new()
        } else {
            self.append(batch).await
        }
        .into_iter();
        let element = |place: Result<Topic, Refusal>| {
            let answered = place.and_then(|topic| {
                let appended = answers.next().unwrap_or_else(|| Err(Refusal::unknown()))?;
                Ok(answer(&appended, &topic))
            });
            let answered = answered.map_err(|refusal| {
                self.gateway.metrics.publish_refused(refusal.code());
                refusal.into_problem()
            });
            PublishElement::from(answered)
        };
        places.into_iter().map(element).collect()
    }
}

/// Events of one request that the backend is asked about at a time, so that no request takes all of `hooks.concurrency`.
const ASKED_AT_A_TIME: usize = 8;

fn answer(appended: &Appended, topic: &Topic) -> PublishAnswer {
    PublishAnswer {
        id: appended.id.to_string(),
        topic: topic.to_string(),
        duplicate: appended.duplicate,
    }
}
