//! Who sits where: the seats of each thread.
//!
//! Shape: each group is spread over all threads in blocks, so that streams of one HTTP/2 connection stay together;
//! subscribers take topics in turn.

use std::sync::Arc;

use crate::{
    plan::{Plan, Scenario},
    protocol::Seat,
    worker::{GroupShare, ShareSeat},
};

pub(super) type Shares = Vec<(Vec<GroupShare>, Vec<u32>)>;

/// The seats of each thread with its subscribers of each stream, and those of each stream over all.
pub(super) fn shares(plan: &Plan) -> (Shares, Vec<u64>) {
    let count = plan.load.workers(plan.subscribers());
    let publishers = plan.load.publishers;
    let mut shares: Shares = (0..count)
        .map(|_| {
            let groups = plan.groups.iter().map(|group| GroupShare {
                protocol: Arc::clone(&group.protocol),
                target: group.target.clone(),
                seats: Vec::new(),
            });
            (groups.collect(), vec![0; plan.streams()])
        })
        .collect();
    let mut audience = vec![0; plan.streams()];
    let mut source = 0;
    for (number, group) in plan.groups.iter().enumerate() {
        for index in 0..group.subscribers {
            let topic = source % plan.load.topics;
            let streams = topic * publishers..(topic + 1) * publishers;
            // Blocks, so that streams of one HTTP/2 connection stay together.
            let share = &mut shares[index * count / group.subscribers];
            for stream in streams.clone() {
                share.1[stream] += 1;
                audience[stream] += 1;
            }
            share.0[number].seats.push(ShareSeat {
                seat: Seat {
                    index,
                    topic: plan.load.topic(topic),
                    authority: group.target.authority.clone(),
                    resumes: plan.scenario == Scenario::Storm,
                },
                source,
                streams: streams.start as u32..streams.end as u32,
            });
            source += 1;
        }
    }
    (shares, audience)
}
