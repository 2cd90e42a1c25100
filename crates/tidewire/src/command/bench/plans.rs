//! From arguments to plans: one for each transport, or one for a mix.
//!
//! Shape: every plan has topics of its own, so that a run meets no event of an earlier one.

use std::{sync::Arc, time::Duration};

use tidewire_bench::{
    plan::{Group, Load, Pace, Plan},
    protocol::Publishing,
    tidewire::{Publish, Tidewire, Transport},
};

use super::{
    Arguments,
    arguments::{Kind, Way},
    gateway::Gateway,
};

/// What runs at the same time: a name, and transports with their subscribers.
pub(super) struct Set {
    name: String,
    parts: Vec<(Transport, usize)>,
    number: usize,
}

/// What is to be run, in order.
pub(super) fn sets(arguments: &Arguments) -> Vec<Set> {
    if !arguments.mix.is_empty() {
        let parts = arguments.mix.clone();
        return vec![Set {
            name: "mix".to_owned(),
            parts,
            number: 0,
        }];
    }
    let transports = match arguments.transport.is_empty() {
        true => Transport::ALL.to_vec(),
        false => arguments.transport.clone(),
    };
    let subscribers = arguments.subscribers.unwrap_or(match arguments.scenario {
        Kind::FanOut => 500,
        Kind::Idle => 2000,
        Kind::Storm => 1000,
    });
    let one = |(number, transport): (usize, Transport)| Set {
        name: transport.to_string(),
        parts: vec![(transport, subscribers)],
        number,
    };
    transports.into_iter().enumerate().map(one).collect()
}

impl Set {
    /// The same against a gateway.
    pub(super) fn plan(self, arguments: &Arguments, gateway: &Gateway) -> Plan {
        let token = arguments.token.as_deref();
        let group = |(transport, subscribers)| Group {
            protocol: Arc::new(Tidewire::new(adjusted(transport, arguments), token)),
            target: gateway.target.clone(),
            subscribers,
        };
        Plan {
            name: self.name,
            groups: self.parts.into_iter().map(group).collect(),
            publishing: publishing(arguments),
            publish_to: gateway.target.clone(),
            scenario: arguments.scenario(),
            load: load(arguments, self.number),
            processes: gateway.processes.clone(),
        }
    }
}

fn adjusted(transport: Transport, arguments: &Arguments) -> Transport {
    match transport {
        Transport::SseShared { .. } => Transport::SseShared {
            streams: arguments.streams.max(1),
        },
        Transport::Poll { .. } => Transport::Poll {
            interval: arguments.poll_interval,
        },
        Transport::WebSocket | Transport::Sse | Transport::LongPoll => transport,
    }
}

fn publishing(arguments: &Arguments) -> Arc<dyn Publishing> {
    let by_pace = match arguments.outstanding {
        Some(_) => Way::Websocket,
        None => Way::Rest,
    };
    let token = arguments.token.as_deref();
    Arc::new(match arguments.publish.unwrap_or(by_pace) {
        Way::Rest => Publish::rest(token),
        Way::Websocket => Publish::websocket(token),
    })
}

fn load(arguments: &Arguments, number: usize) -> Load {
    let is_mix = arguments.is_mix();
    let rate = arguments.rate.unwrap_or(if is_mix { 1.0 } else { 50.0 });
    let duration = if is_mix { MIX_DURATION } else { DURATION };
    Load {
        topics: arguments.topics,
        topic_prefix: format!("bench.{}-{number}", std::process::id()),
        payload_bytes: arguments.payload,
        pace: arguments
            .outstanding
            .map_or(Pace::Rate(rate), Pace::Outstanding),
        publishers: arguments.publishers,
        warm_up: arguments.warm_up,
        duration: arguments.duration.unwrap_or(duration),
        ramp: arguments.ramp,
        handshakes: arguments.handshakes,
        threads: arguments.threads,
        seed: arguments.seed,
        ..Load::default()
    }
}

const DURATION: Duration = Duration::from_secs(3);
const MIX_DURATION: Duration = Duration::from_secs(60);
