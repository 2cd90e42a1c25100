//! Seats that are taken while everybody is sent away; and what other tests take seats with.

use futures_util::FutureExt;
use tidewire_bus::{Bus, BusConfig, MemoryConfig, MemoryEngine, Retention, RetentionTable};

use super::*;
use crate::{auth::rights::Rights, config::ServerConfig, gateway::Gateway, tls::Tls};

/// On the memory engine, with the defaults.
pub(crate) fn gateway() -> Shared {
    let retention = RetentionTable::new(Vec::new(), Retention::default());
    let engine = MemoryEngine::new(MemoryConfig::default(), retention);
    let bus = Bus::start(Arc::new(engine), BusConfig::default());
    Gateway::new(&ServerConfig::new(Tls::None), bus, true).unwrap()
}

pub(crate) fn seat(gateway: &Shared, identity: &Identity) -> Seat {
    let peer = Peer {
        address: ([192, 0, 2, 7], 1).into(),
        is_proxy: false,
        secure: true,
        over_capacity: false,
        too_slow: Arc::default(),
    };
    Seat::take(gateway, &peer, Transport::Sse, identity).unwrap()
}

#[tokio::test]
async fn a_session_that_opens_during_a_drain_ends_with_it() {
    let gateway = gateway();
    gateway.begin_drain();
    let late = seat(&gateway, &Identity::anonymous(Rights::default()));
    assert_eq!(late.entry().ending(), Some(CloseReason::Draining));
    assert!(late.entry().was_cut().now_or_never().is_none());
}

#[tokio::test]
async fn a_session_that_opens_after_the_drain_is_cut() {
    let gateway = gateway();
    gateway.end_drain();
    let late = seat(&gateway, &Identity::anonymous(Rights::default()));
    assert!(late.entry().was_cut().now_or_never().is_some());
}
