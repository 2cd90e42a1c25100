//! Every bound of the HTTP surface, by name.
//!
//! Shape: one configuration struct, `[limits]` in the file; below it the token bucket ([`bucket`]) and the
//! counters of connections and sessions ([`quota`]) that hold some of the bounds.
//! Unit: durations carry theirs (`"15s"`), sizes theirs (`"64KiB"`), everything else is a count.
//! Failure: each field says what happens at its bound. A value that cannot work is refused at the start.
//! Source: protocol section 10; the names of the attacks that each bound stops are in SECURITY.md.

pub(crate) mod bucket;
pub(crate) mod descriptors;
pub(crate) mod limit;
pub(crate) mod quota;

use std::time::Duration;

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};

use crate::config::ConfigError;

/// What one client, one address and all together may take up: `[limits]` in the configuration file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// The longest event, as it is encoded from `type` on. Default 64 KiB. Longer: 413 `too_large`; over a
    /// WebSocket a frame of this and 16 KiB more is closed with 1009.
    pub event_max_bytes: ByteSize,
    /// The longest body of a publish. Default 1 MiB. Longer: 413 `too_large`, also when it comes in chunks.
    pub batch_max_bytes: ByteSize,
    /// Topics and patterns of one session. Default 64. More: 400 `bad_request`.
    pub topics_per_session: usize,
    /// Connections from one address (IPv6: one /64). Default 1000. More are told so (503 with `Retry-After`,
    /// WebSocket and SSE 4100), and beyond a small allowance closed unheard. Those of a trusted proxy that does not say
    /// whom each is for count in all only.
    pub connections_per_address: usize,
    /// Connections of all addresses together. Default 50000, or what the limit of open files leaves room for, if that is
    /// less. At the bound: as for one address.
    pub connections_total: usize,
    /// Open sessions from one address; counts streams, not sockets, because one HTTP/2 connection carries many.
    /// Default 1000. More: WebSocket and SSE 4100, long-poll 503 with `Retry-After`.
    pub sessions_per_address: usize,
    /// Open sessions of all addresses together. Default 100000. At the bound: as for one address.
    pub sessions_total: usize,
    /// Open sessions of one subject, such as an API key, from wherever they come. Default 10000. More: as for one address;
    /// a WebSocket that says who it is by an `auth` frame ends with 4100. Clients without credentials have no subject.
    pub sessions_per_subject: usize,
    /// Events a second that one publisher may send, with a burst of as many. Default 1000. The publisher is an API
    /// key, the subject of a token, or an address for clients without credentials. More: 429 `rate_limited` with `Retry-After`.
    pub publishes_per_second: u32,
    /// Frames a second that one WebSocket may send, pings counted, with a burst of as many. Default 2000. More: the
    /// session ends with 4101.
    pub frames_per_second: u32,
    /// Time for the TLS handshake. Default 10 s. Later: the connection is closed.
    #[serde(with = "humantime_serde")]
    pub handshake_timeout: Duration,
    /// Time for the first bytes of a connection, for a whole HTTP/1.1 header, and between two HTTP/1.1 requests.
    /// Default 10 s. Later: the connection is closed.
    #[serde(with = "humantime_serde")]
    pub header_timeout: Duration,
    /// Time for the whole body of a publish. Default 30 s. Later: 408 `request_timeout`.
    #[serde(with = "humantime_serde")]
    pub body_timeout: Duration,
    /// How long a reader may take no byte while there is something to write. Default 30 s. Later: the connection is
    /// closed, over HTTP/2 the stream reset (4200 where that can still be said); the reader may resume by its cursor.
    #[serde(with = "humantime_serde")]
    pub write_timeout: Duration,
    /// Time for the `auth` frame of a WebSocket that may do nothing without it. Default 5 s. Later: 4001.
    #[serde(with = "humantime_serde")]
    pub auth_timeout: Duration,
    /// Silence after which a heartbeat is sent. Default 15 s. A WebSocket that answers no ping for two of them is
    /// closed with 4201, an HTTP/2 connection likewise.
    #[serde(with = "humantime_serde")]
    pub heartbeat: Duration,
    /// How long a drain waits for what is in flight. Default 10 s. Afterwards what is left is cut.
    #[serde(with = "humantime_serde")]
    pub drain_timeout: Duration,
    /// How long `/readyz` waits for the engine. Default 2 s. Later: 503.
    #[serde(with = "humantime_serde")]
    pub readiness_timeout: Duration,
    /// Streams of one HTTP/2 connection at a time. Default 256. More: REFUSED_STREAM.
    pub http2_streams: u32,
    /// Frames a second that one HTTP/2 connection may send and that carry neither a request nor data (PING, SETTINGS,
    /// PRIORITY, RST_STREAM, GOAWAY, unknown ones), with a burst of as many. Default 1000. More: the connection is closed.
    pub http2_control_frames_per_second: u32,
    /// Events that are taken from the log and written in one go. Default 512. The rest follows in the next batch.
    pub delivery_max_events: usize,
    /// Bytes that are taken from the log and written in one go; one event always fits. Default 64 KiB. With the
    /// buffers of its socket this is what a subscriber that does not read can hold.
    pub delivery_max_bytes: ByteSize,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            event_max_bytes: ByteSize::kib(64),
            batch_max_bytes: ByteSize::mib(1),
            topics_per_session: 64,
            connections_per_address: 1000,
            connections_total: 50_000,
            sessions_per_address: 1000,
            sessions_total: 100_000,
            sessions_per_subject: 10_000,
            publishes_per_second: 1000,
            frames_per_second: 2000,
            handshake_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
            auth_timeout: Duration::from_secs(5),
            heartbeat: Duration::from_secs(15),
            drain_timeout: Duration::from_secs(10),
            readiness_timeout: Duration::from_secs(2),
            http2_streams: 256,
            http2_control_frames_per_second: 1000,
            delivery_max_events: 512,
            delivery_max_bytes: ByteSize::kib(64),
        }
    }
}

impl LimitsConfig {
    /// Refuses values with which nothing could be served, or that arithmetic could not hold.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let counts = [
            ("limits.topics_per_session", self.topics_per_session),
            (
                "limits.connections_per_address",
                self.connections_per_address,
            ),
            ("limits.connections_total", self.connections_total),
            ("limits.sessions_per_address", self.sessions_per_address),
            ("limits.sessions_total", self.sessions_total),
            ("limits.sessions_per_subject", self.sessions_per_subject),
            (
                "limits.publishes_per_second",
                self.publishes_per_second as usize,
            ),
            ("limits.frames_per_second", self.frames_per_second as usize),
            ("limits.http2_streams", self.http2_streams as usize),
            (
                "limits.http2_control_frames_per_second",
                self.http2_control_frames_per_second as usize,
            ),
            ("limits.delivery_max_events", self.delivery_max_events),
        ];
        for (key, value) in counts {
            if !(1..=COUNT_MAX).contains(&value) {
                return Err(ConfigError::new(
                    key,
                    value,
                    format!("a count from 1 to {COUNT_MAX}"),
                ));
            }
        }
        let sizes = [
            ("limits.event_max_bytes", self.event_max_bytes),
            ("limits.batch_max_bytes", self.batch_max_bytes),
            ("limits.delivery_max_bytes", self.delivery_max_bytes),
        ];
        for (key, value) in sizes {
            if !(SIZE_MIN..=SIZE_MAX).contains(&value.as_u64()) {
                return Err(ConfigError::new(
                    key,
                    value,
                    "a size from \"1KiB\" to \"64MiB\"",
                ));
            }
        }
        let times = [
            ("limits.handshake_timeout", self.handshake_timeout),
            ("limits.header_timeout", self.header_timeout),
            ("limits.body_timeout", self.body_timeout),
            ("limits.write_timeout", self.write_timeout),
            ("limits.auth_timeout", self.auth_timeout),
            ("limits.heartbeat", self.heartbeat),
            ("limits.drain_timeout", self.drain_timeout),
            ("limits.readiness_timeout", self.readiness_timeout),
        ];
        for (key, value) in times {
            if !(TIME_MIN..=TIME_MAX).contains(&value) {
                return Err(ConfigError::new(
                    key,
                    format!("{value:?}"),
                    "a time from \"10ms\" to \"1h\"",
                ));
            }
        }
        Ok(())
    }

    /// The longest frame that a WebSocket may send, in bytes.
    pub(crate) fn frame_max_bytes(&self) -> usize {
        bytes(self.event_max_bytes) + FRAME_EXTRA_BYTES
    }
}

/// A checked size as a length in memory.
pub(crate) fn bytes(size: ByteSize) -> usize {
    usize::try_from(size.as_u64()).unwrap_or(usize::MAX)
}

/// What a frame may hold beside the event: protocol section 3.3.
const FRAME_EXTRA_BYTES: usize = 16 * 1024;
/// Well inside `u32`, so that sums of counts never overflow.
const COUNT_MAX: usize = 100_000_000;
const SIZE_MIN: u64 = 1024;
const SIZE_MAX: u64 = 64 * 1024 * 1024;
const TIME_MIN: Duration = Duration::from_millis(10);
const TIME_MAX: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_pass_their_own_check() {
        LimitsConfig::default().check().unwrap();
    }

    #[test]
    fn a_zero_bound_is_refused_with_its_key() {
        let limits = LimitsConfig {
            http2_streams: 0,
            ..LimitsConfig::default()
        };
        let error = limits.check().unwrap_err().to_string();
        assert!(error.contains("limits.http2_streams"), "{error}");
    }

    #[test]
    fn a_size_out_of_its_bounds_is_refused_with_its_key() {
        for size in [ByteSize::b(1023), ByteSize::mib(65)] {
            let limits = LimitsConfig {
                batch_max_bytes: size,
                ..LimitsConfig::default()
            };
            let error = limits.check().unwrap_err().to_string();
            assert!(error.contains("limits.batch_max_bytes"), "{error}");
        }
    }

    #[test]
    fn an_endless_heartbeat_is_refused() {
        let limits = LimitsConfig {
            heartbeat: Duration::from_secs(u64::MAX),
            ..LimitsConfig::default()
        };
        assert!(limits.check().is_err());
    }
}
