//! From arguments to plans: one for each transport, or one for a mix.
//!
//! Shape: every plan has topics of its own, so that a run meets no event of an earlier one.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
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

/// What is to be run, in order. All are checked.
pub(super) fn plans(arguments: &Arguments, gateway: &Gateway) -> Result<Vec<Plan>> {
    let sets = match arguments.is_mix() {
        true => vec![("mix".to_owned(), arguments.mix.clone())],
        false => single(arguments),
    };
    let mut plans = Vec::new();
    for (number, (name, parts)) in sets.into_iter().enumerate() {
        let groups = parts.into_iter().map(|(transport, subscribers)| Group {
            protocol: Arc::new(Tidewire::new(
                adjusted(transport, arguments),
                arguments.token.as_deref(),
            )),
            target: gateway.target.clone(),
            subscribers,
        });
        let plan = Plan {
            name,
            groups: groups.collect(),
            publishing: publishing(arguments),
            publish_to: gateway.target.clone(),
            scenario: arguments.scenario(),
            load: load(arguments, number),
            processes: gateway.processes.clone(),
        };
        plan.check()?;
        plans.push(plan);
    }
    Ok(plans)
}

type Set = (String, Vec<(Transport, usize)>);

/// Each transport by itself.
fn single(arguments: &Arguments) -> Vec<Set> {
    let transports = match arguments.transport.is_empty() {
        true => Transport::ALL.to_vec(),
        false => arguments.transport.clone(),
    };
    let subscribers = arguments.subscribers.unwrap_or(match arguments.scenario {
        Kind::FanOut => 500,
        Kind::Idle => 2000,
        Kind::Storm => 1000,
    });
    let one = |transport: Transport| (transport.to_string(), vec![(transport, subscribers)]);
    transports.into_iter().map(one).collect()
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
    let mut load = Load::default();
    load.topics = arguments.topics;
    load.topic_prefix = format!("bench.{}-{number}", std::process::id());
    load.payload_bytes = arguments.payload;
    load.pace = arguments
        .outstanding
        .map_or(Pace::Rate(rate), Pace::Outstanding);
    load.publishers = arguments.publishers;
    load.warm_up = arguments.warm_up;
    load.duration = arguments.duration.unwrap_or(duration);
    load.ramp = arguments.ramp;
    load.handshakes = arguments.handshakes;
    load.threads = arguments.threads;
    load.seed = arguments.seed;
    load
}

const DURATION: Duration = Duration::from_secs(3);
const MIX_DURATION: Duration = Duration::from_secs(60);
