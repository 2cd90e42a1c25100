//! Questions to the user's backend: who may enter, who may read what, what may be published.
//!
//! Shape: [`Hooks`] has one method for each of the three hooks; a hook that is not configured asks nobody. Below it:
//! [`question`] words it, [`caller`] asks, with [`breaker`], [`signature`] and [`target`], [`answer`] reads, [`recent`]
//! remembers for polls.
//! Unit: a question is one JSON object and one answer.
//! Bound: the keys of `[hooks]`.
//! Failure: a backend that refuses is 401 or 403 for the client. One that gives no answer is, by `on_failure`, 503 or as
//! if there were no hook.
//! Source: protocol document, "Hooks".

mod answer;
mod breaker;
mod caller;
mod config;
mod question;
mod recent;
mod signature;
mod target;

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, header::COOKIE};
use tidewire_bus::Append;
use tidewire_protocol::{Code, Pattern, Payload};

pub use self::config::{
    ConnectHookConfig, HooksConfig, OnFailure, PublishHookConfig, SubscribeHookConfig,
};
pub(crate) use self::question::Client;
use self::{
    answer::{Answer, Changes},
    caller::{Backend, Caller, Failure},
    recent::Recent,
};
use crate::{
    auth::Identity,
    config::ConfigError,
    error::Refusal,
    limits::LimitsConfig,
    metrics::{HookOutcome, HookOutcomes},
    transport::Transport,
};

/// Every hook that is configured.
#[derive(Debug)]
pub(crate) struct Hooks {
    caller: Caller,
    connect: Option<Hook>,
    subscribe: Option<Hook>,
    publish: Option<Hook>,
    /// Headers of the client's request that `connect` passes on.
    headers: Vec<HeaderName>,
    /// Topics that `publish` is asked for.
    topics: Vec<Pattern>,
    /// Whether `publish` is asked for API keys too.
    for_keys: bool,
    recent: Recent,
    outcomes: HookOutcomes,
}

/// One hook.
#[derive(Debug)]
struct Hook {
    name: &'static str,
    backend: Backend,
    on_failure: OnFailure,
}

impl Hooks {
    /// Reads the configuration. `None`: nobody is asked anything.
    ///
    /// # Errors
    /// A value that cannot work.
    pub(crate) fn new(
        config: &HooksConfig,
        limits: &LimitsConfig,
        outcomes: HookOutcomes,
    ) -> Result<Option<Self>, ConfigError> {
        config.check()?;
        let hook = |name, key, url: &Option<String>, on_failure| -> Result<_, ConfigError> {
            let url = config.url(key, url.as_deref())?;
            Ok(url.map(|url| Hook {
                name,
                backend: Backend::new(url, config),
                on_failure,
            }))
        };
        let (connect, subscribe, publish) = (&config.connect, &config.subscribe, &config.publish);
        let connect = hook(
            "connect",
            "hooks.connect.url",
            &connect.url,
            connect.on_failure,
        )?;
        let subscribe = hook(
            "subscribe",
            "hooks.subscribe.url",
            &subscribe.url,
            subscribe.on_failure,
        )?;
        let publish = hook(
            "publish",
            "hooks.publish.url",
            &publish.url,
            publish.on_failure,
        )?;
        let is_any = connect.is_some() || subscribe.is_some() || publish.is_some();
        let (true, Some(secret)) = (is_any, &config.secret) else {
            return Ok(None);
        };
        Ok(Some(Self {
            caller: Caller::new(config, secret.clone(), limits.frame_max_bytes())?,
            connect,
            subscribe,
            publish,
            headers: config.connect.header_names()?,
            topics: config.publish.topics.clone(),
            for_keys: config.publish.for_keys,
            recent: Recent::new(config.poll_cache, config.poll_cache_max),
            outcomes,
        }))
    }

    /// Whether anybody is asked when a session opens.
    pub(crate) fn concern_sessions(&self) -> bool {
        self.connect.is_some() || self.subscribe.is_some()
    }

    /// Asks whether a client may enter. Who it is and what it may do is afterwards what the backend made of it.
    ///
    /// # Errors
    /// 401 or 403 from the backend; 503 where it gives no answer and that counts as no.
    pub(crate) async fn connect(
        &self,
        client: Client<'_>,
        headers: &HeaderMap,
        topics: &[Pattern],
    ) -> Result<Identity, Refusal> {
        let Some(hook) = &self.connect else {
            return Ok(client.identity.clone());
        };
        let question = question::of_session(hook.name, client, topics, self.passed_on(headers));
        let changes = self.decide(hook, question, client.transport).await?;
        let changes = changes.as_deref();
        let identity = client.identity;
        let subject = changes.and_then(|changes| changes.subject.as_deref());
        if let Some(subject) = subject
            && !identity.is_anonymous()
            && identity.subject() != Some(subject)
        {
            // Who has proved to be somebody is nobody else.
            tracing::warn!(
                hook = hook.name,
                "the backend's answer gives another subject to a client that has one"
            );
            return match hook.on_failure {
                OnFailure::Deny => Err(no_answer()),
                OnFailure::Allow => Ok(identity.clone()),
            };
        }
        Ok(match changes {
            Some(changes) => identity.as_the_backend_says(
                subject,
                changes.subscribe.as_ref(),
                changes.publish.as_ref(),
            ),
            None => identity.clone(),
        })
    }

    /// Asks whether a session may have these topics, which its rights cover already.
    ///
    /// # Errors
    /// As [`Hooks::connect`].
    pub(crate) async fn subscribe(
        &self,
        client: Client<'_>,
        topics: &[Pattern],
    ) -> Result<(), Refusal> {
        let Some(hook) = self.subscribe.as_ref().filter(|_| !topics.is_empty()) else {
            return Ok(());
        };
        let question = question::of_session(hook.name, client, topics, BTreeMap::new());
        self.decide(hook, question, client.transport).await?;
        Ok(())
    }

    /// Asks whether an event may be published, and as what.
    ///
    /// # Errors
    /// As [`Hooks::connect`]. Nothing was stored.
    pub(crate) async fn publish(
        &self,
        identity: &Identity,
        address: IpAddr,
        append: &mut Append,
    ) -> Result<(), Refusal> {
        let is_asked = |_: &&Hook| {
            let is_of_a_key = identity.is_key();
            (self.for_keys || !is_of_a_key)
                && self.topics.iter().any(|topic| topic.matches(&append.topic))
        };
        let Some(hook) = self.publish.as_ref().filter(is_asked) else {
            return Ok(());
        };
        let question = question::of_event(hook.name, identity, address, append);
        let changes = self.outcome(hook, &question).await?;
        if let Some(data) = changes
            .as_deref()
            .and_then(|changes| changes.data.as_deref())
        {
            append.body = append.body.with_payload(&Payload::from_json(data));
        }
        Ok(())
    }

    /// Asks about a session. What was answered for one poll counts for the next.
    async fn decide(
        &self,
        hook: &Hook,
        question: Bytes,
        transport: Transport,
    ) -> Result<Option<Arc<Changes>>, Refusal> {
        if transport != Transport::Poll {
            return self.outcome(hook, &question).await;
        }
        let place = recent::digest(&question);
        if let Some(answer) = self.recent.find(&place, Instant::now()) {
            return judged(&answer);
        }
        let asked = self.caller.ask(&hook.backend, &question).await;
        if let Ok(answer) = &asked {
            self.recent.keep(place, answer, Instant::now());
        }
        self.judge(hook, asked)
    }

    async fn outcome(
        &self,
        hook: &Hook,
        question: &Bytes,
    ) -> Result<Option<Arc<Changes>>, Refusal> {
        let asked = self.caller.ask(&hook.backend, question).await;
        self.judge(hook, asked)
    }

    fn judge(
        &self,
        hook: &Hook,
        asked: Result<Answer, Failure>,
    ) -> Result<Option<Arc<Changes>>, Refusal> {
        match asked {
            Ok(answer) => {
                let judged = judged(&answer);
                self.count(
                    hook,
                    if judged.is_ok() {
                        HookOutcome::Allowed
                    } else {
                        HookOutcome::Refused
                    },
                );
                judged
            }
            Err(failure) => {
                tracing::warn!(hook = hook.name, %failure, "hook failed");
                self.count(hook, HookOutcome::Failed);
                match hook.on_failure {
                    OnFailure::Deny => Err(no_answer()),
                    OnFailure::Allow => Ok(None),
                }
            }
        }
    }

    /// The values of the headers that are passed on, as they came.
    fn passed_on(&self, headers: &HeaderMap) -> BTreeMap<&str, String> {
        let value = |name: &HeaderName| {
            let values = headers.get_all(name).iter();
            let values: Vec<_> = values
                .map(|value| String::from_utf8_lossy(value.as_bytes()))
                .collect();
            // RFC 9110 section 5.3; RFC 9113 section 8.2.3 for cookies, which HTTP/2 may split.
            let between = if name == COOKIE { "; " } else { ", " };
            (!values.is_empty()).then(|| values.join(between))
        };
        let named = |name| Some((HeaderName::as_str(name), value(name)?));
        self.headers.iter().filter_map(named).collect()
    }

    fn count(&self, hook: &Hook, outcome: HookOutcome) {
        self.outcomes.count(hook.name, outcome);
    }
}

fn judged(answer: &Answer) -> Result<Option<Arc<Changes>>, Refusal> {
    match answer {
        Answer::Allow(changes) => Ok(Some(Arc::clone(changes))),
        Answer::Refuse(code) => Err(Refusal::new(
            *code,
            "the backend of this gateway does not allow this",
        )),
    }
}

fn no_answer() -> Refusal {
    Refusal::new(
        Code::Unavailable,
        "the backend of this gateway gave no answer; repeat after the pause",
    )
    .with_retry_after(NO_ANSWER_PAUSE)
}

/// When to repeat where the backend gave no answer.
const NO_ANSWER_PAUSE: Duration = Duration::from_secs(1);
