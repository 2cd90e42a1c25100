//! What stands in the store: keys and values as bytes.
//!
//! | keyspace | key | value |
//! |---|---|---|
//! | `events` | place | topic, time, members after `time` |
//! | `events` | [`TAIL_KEY`] | the newest group |
//! | `state` | `i`, topic number, place | size, time by the steady clock |
//! | `state` | `t`, topic | [`TopicRecord`] |
//! | `state` | `v`, place up to which a topic's events are gone | number of the eviction, topic |
//! | `state` | `x`, deadline, topic | – |
//! | `state` | `k`, digest of publisher, topic and key | [`FirstPublish`] |
//! | `state` | `m`, a name | [`Meta`], format, epoch, retention |
//!
//! Shape: whole numbers are eight bytes, big-endian, so that keys sort in log order. Events stand in a
//! keyspace of their own: they come in the order of their keys, and nothing else mixes with them.
//! Failure: a record of another length is damage, never a guess.

use bytes::Bytes;
use tidewire_protocol::{EventBody, Topic};

use crate::clock::Now;
use crate::idempotency::{Digest16, FirstPublish};

/// The layout of this file. A store of another number is refused.
pub(super) const FORMAT: u64 = 2;

/// Sorts after every place.
pub(super) const TAIL_KEY: [u8; 9] = [0xFF; 9];

/// Where each kind of record of `state` begins.
pub(super) const INDEX: u8 = b'i';
pub(super) const TOPICS: u8 = b't';
pub(super) const EVICTED: u8 = b'v';
pub(super) const EXPIRY: u8 = b'x';
pub(super) const KEYS: u8 = b'k';

/// A record that cannot be what was written.
#[derive(Debug, thiserror::Error)]
#[error("damaged record in {0}")]
pub(super) struct Damaged(pub(super) &'static str);

/// What the log as a whole has come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Meta {
    /// The newest place.
    pub(super) head: u64,
    /// Counts evictions.
    pub(super) evictions: u64,
    /// The newest place of all that was evicted.
    pub(super) evicted_to: u64,
    /// The number that the next new topic gets.
    pub(super) next_topic: u64,
    /// Counts commits.
    pub(super) group: u64,
    /// When the newest one was made.
    pub(super) now: Now,
}

impl Meta {
    pub(super) fn to_bytes(self) -> Vec<u8> {
        join(&[
            self.head,
            self.evictions,
            self.evicted_to,
            self.next_topic,
            self.group,
            self.now.wall_ms,
            self.now.steady_ms,
        ])
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Damaged> {
        let [
            head,
            evictions,
            evicted_to,
            next_topic,
            group,
            wall_ms,
            steady_ms,
        ] = split(bytes, "meta")?;
        Ok(Self {
            head,
            evictions,
            evicted_to,
            next_topic,
            group,
            now: Now { wall_ms, steady_ms },
        })
    }
}

/// What is known of one topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct TopicRecord {
    /// Its number in `index`.
    pub(super) number: u64,
    /// Retained events.
    pub(super) events: u64,
    /// Their bytes.
    pub(super) bytes: u64,
    /// Place of the oldest retained event; it counts only while there are events.
    pub(super) oldest: u64,
    /// Its time by the steady clock.
    pub(super) oldest_ms: u64,
    /// Place of the newest event ever.
    pub(super) newest: u64,
    /// Everything up to this place is gone.
    pub(super) evicted_to: u64,
    /// The number of the newest eviction.
    pub(super) eviction: u64,
    /// Its entry in `expiry`; 0 for none. Never later than the oldest event's deadline.
    pub(super) deadline_ms: u64,
}

impl TopicRecord {
    pub(super) fn to_bytes(self) -> Vec<u8> {
        join(&[
            self.number,
            self.events,
            self.bytes,
            self.oldest,
            self.oldest_ms,
            self.newest,
            self.evicted_to,
            self.eviction,
            self.deadline_ms,
        ])
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Damaged> {
        let [
            number,
            events,
            kept_bytes,
            oldest,
            oldest_ms,
            newest,
            evicted_to,
            eviction,
            deadline_ms,
        ] = split(bytes, "topics")?;
        Ok(Self {
            number,
            events,
            bytes: kept_bytes,
            oldest,
            oldest_ms,
            newest,
            evicted_to,
            eviction,
            deadline_ms,
        })
    }
}

/// One event of a topic, without its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) place: u64,
    pub(super) bytes: u64,
    /// By the steady clock: its age counts from here.
    pub(super) since_ms: u64,
}

impl Entry {
    pub(super) fn key(number: u64, place: u64) -> [u8; 17] {
        let mut key = [INDEX; 17];
        key[1..9].copy_from_slice(&number.to_be_bytes());
        key[9..].copy_from_slice(&place.to_be_bytes());
        key
    }

    pub(super) fn to_value(self) -> Vec<u8> {
        join(&[self.bytes, self.since_ms])
    }

    /// The place alone.
    pub(super) fn place(key: &[u8]) -> Result<u64, Damaged> {
        let [_number, place] = split(unprefixed(key, INDEX, "index")?, "index")?;
        Ok(place)
    }

    pub(super) fn parse(key: &[u8], value: &[u8]) -> Result<Self, Damaged> {
        let [bytes, since_ms] = split(value, "index")?;
        Ok(Self {
            place: Self::place(key)?,
            bytes,
            since_ms,
        })
    }
}

/// An event as it stands under its place.
pub(super) struct StoredEvent {
    pub(super) topic: Topic,
    pub(super) time_ms: u64,
    pub(super) body: EventBody,
}

impl StoredEvent {
    pub(super) fn to_bytes(topic: &Topic, time_ms: u64, body: &EventBody) -> Vec<u8> {
        let topic = topic.as_str().as_bytes();
        let body = body.as_bytes();
        let mut bytes = Vec::with_capacity(1 + topic.len() + 8 + body.len());
        bytes.push(u8::try_from(topic.len()).expect("a topic has at most 200 bytes"));
        bytes.extend_from_slice(topic);
        bytes.extend_from_slice(&time_ms.to_be_bytes());
        bytes.extend_from_slice(body);
        bytes
    }

    /// The topic alone, to see whether the event matches.
    pub(super) fn topic(bytes: &[u8]) -> Result<&str, Damaged> {
        let (&length, rest) = bytes.split_first().ok_or(Damaged("events"))?;
        let topic = rest.get(..usize::from(length)).ok_or(Damaged("events"))?;
        std::str::from_utf8(topic).map_err(|_| Damaged("events"))
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Damaged> {
        let topic = Self::topic(bytes)?;
        let rest = &bytes[1 + topic.len()..];
        let (time, body) = rest.split_first_chunk().ok_or(Damaged("events"))?;
        Ok(Self {
            topic: Topic::parse(topic).map_err(|_| Damaged("events"))?,
            time_ms: u64::from_be_bytes(*time),
            body: EventBody::from_stored(Bytes::copy_from_slice(body)),
        })
    }
}

/// Where a topic's record stands; of a part of its name: where those begin that start with it.
pub(super) fn topic_key(name: &str) -> Vec<u8> {
    [&[TOPICS], name.as_bytes()].concat()
}

pub(super) fn parse_topic_key(key: &[u8]) -> Result<Topic, Damaged> {
    parse_topic(unprefixed(key, TOPICS, "topics")?, "topics")
}

/// Where it stands that a topic's events are gone up to this place.
pub(super) fn evicted_key(evicted_to: u64) -> [u8; 9] {
    let mut key = [EVICTED; 9];
    key[1..].copy_from_slice(&evicted_to.to_be_bytes());
    key
}

pub(super) fn evicted(eviction: u64, topic: &Topic) -> Vec<u8> {
    let eviction = eviction.to_be_bytes();
    [eviction.as_slice(), topic.as_str().as_bytes()].concat()
}

pub(super) fn parse_evicted(value: &[u8]) -> Result<(u64, Topic), Damaged> {
    let (eviction, topic) = value.split_first_chunk().ok_or(Damaged("evicted"))?;
    let topic = parse_topic(topic, "evicted")?;
    Ok((u64::from_be_bytes(*eviction), topic))
}

/// Where a topic's entry in `x` stands.
pub(super) fn expiry_key(deadline_ms: u64, topic: &Topic) -> Vec<u8> {
    [
        &[EXPIRY],
        deadline_ms.to_be_bytes().as_slice(),
        topic.as_str().as_bytes(),
    ]
    .concat()
}

pub(super) fn parse_expiry_key(key: &[u8]) -> Result<(u64, Topic), Damaged> {
    let key = unprefixed(key, EXPIRY, "expiry")?;
    let (deadline, topic) = key.split_first_chunk().ok_or(Damaged("expiry"))?;
    Ok((u64::from_be_bytes(*deadline), parse_topic(topic, "expiry")?))
}

fn parse_topic(bytes: &[u8], kind: &'static str) -> Result<Topic, Damaged> {
    let text = std::str::from_utf8(bytes).map_err(|_| Damaged(kind))?;
    Topic::parse(text).map_err(|_| Damaged(kind))
}

pub(super) fn idempotency_key(name: &Digest16) -> Vec<u8> {
    [&[KEYS], name.as_slice()].concat()
}

pub(super) fn first_publish(first: &FirstPublish) -> Vec<u8> {
    let mut bytes = join(&[first.place, first.time_ms, first.since_ms]);
    bytes.extend_from_slice(&first.body);
    bytes
}

pub(super) fn parse_first_publish(
    key: &[u8],
    value: &[u8],
) -> Result<(Digest16, FirstPublish), Damaged> {
    let name = unprefixed(key, KEYS, "keys")?;
    let name = name.try_into().map_err(|_| Damaged("keys"))?;
    let (numbers, body) = value.split_first_chunk::<24>().ok_or(Damaged("keys"))?;
    let [place, time_ms, since_ms] = split(numbers, "keys")?;
    let first = FirstPublish {
        place,
        time_ms,
        since_ms,
        body: body.try_into().map_err(|_| Damaged("keys"))?,
    };
    Ok((name, first))
}

pub(super) fn parse_number(bytes: &[u8], kind: &'static str) -> Result<u64, Damaged> {
    let [number] = split(bytes, kind)?;
    Ok(number)
}

fn unprefixed<'a>(key: &'a [u8], prefix: u8, kind: &'static str) -> Result<&'a [u8], Damaged> {
    key.strip_prefix(&[prefix]).ok_or(Damaged(kind))
}

fn join(numbers: &[u64]) -> Vec<u8> {
    numbers
        .iter()
        .flat_map(|number| number.to_be_bytes())
        .collect()
}

fn split<const N: usize>(bytes: &[u8], kind: &'static str) -> Result<[u64; N], Damaged> {
    let (numbers, rest) = bytes.as_chunks::<8>();
    if !rest.is_empty() {
        return Err(Damaged(kind));
    }
    let numbers: Vec<u64> = numbers.iter().copied().map(u64::from_be_bytes).collect();
    numbers.try_into().map_err(|_| Damaged(kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_back_and_anything_cut_is_damage() {
        let record = TopicRecord {
            number: 1,
            events: 2,
            bytes: 3,
            oldest: 4,
            oldest_ms: 5,
            newest: 6,
            evicted_to: 7,
            eviction: 8,
            deadline_ms: 9,
        };
        let bytes = record.to_bytes();
        assert_eq!(TopicRecord::parse(&bytes).unwrap(), record);
        for length in 0..bytes.len() {
            assert!(TopicRecord::parse(&bytes[..length]).is_err());
        }

        let topic = Topic::parse("orders.eu.42").unwrap();
        let body = EventBody::from_stored(Bytes::from_static(b",\"data\":1}"));
        let bytes = StoredEvent::to_bytes(&topic, 77, &body);
        let stored = StoredEvent::parse(&bytes).unwrap();
        assert_eq!(
            (stored.topic, stored.time_ms, stored.body),
            (topic.clone(), 77, body)
        );
        for length in 0..1 + topic.as_str().len() + 8 {
            assert!(StoredEvent::parse(&bytes[..length]).is_err());
        }

        let (eviction, gone) = parse_evicted(&evicted(3, &topic)).unwrap();
        assert_eq!((eviction, gone), (3, topic.clone()));
        let key = expiry_key(5, &topic);
        assert_eq!(parse_expiry_key(&key).unwrap(), (5, topic.clone()));
        assert_eq!(parse_topic_key(&topic_key(topic.as_str())).unwrap(), topic);
        assert!(parse_topic_key(&key).is_err(), "a record of another kind");
    }
}
