//! A gap: events that matched and can no longer be delivered.
//!
//! Shape: told once, before the events that follow it; the same object on every transport.
//! Source: protocol section 3. No matching event lost, no gap.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a subscriber lost, and where delivery goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// The session's patterns that lost something; all of them for `epoch` and `unknown`.
    pub topics: Vec<String>,
    /// The cursor that was asked for.
    pub after: String,
    /// Where delivery continues: a safe place to resume.
    pub cursor: String,
    /// Why.
    pub reason: GapReason,
}

/// Why events can no longer be delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GapReason {
    /// Retention removed them, or somebody forgot them. Goes on with the oldest retained event.
    Evicted,
    /// The cursor belongs to another history. Goes on with the oldest retained event.
    Epoch,
    /// The session was too slow and they left meanwhile. Goes on with the oldest retained event.
    Slow,
    /// The cursor lies in the future. Goes on at the head.
    Unknown,
}

impl GapReason {
    /// All reasons, for tables and metrics.
    pub const ALL: [Self; 4] = [Self::Evicted, Self::Epoch, Self::Slow, Self::Unknown];

    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Evicted => "evicted",
            Self::Epoch => "epoch",
            Self::Slow => "slow",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for GapReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_has_its_members_in_the_order_of_the_protocol() {
        let gap = Gap {
            topics: vec!["orders.>".into()],
            after: "k3f9-41042".into(),
            cursor: "k3f9-42000".into(),
            reason: GapReason::Evicted,
        };
        let json = serde_json::to_string(&gap).unwrap();
        assert_eq!(
            json,
            r#"{"topics":["orders.>"],"after":"k3f9-41042","cursor":"k3f9-42000","reason":"evicted"}"#
        );
        assert_eq!(serde_json::from_str::<Gap>(&json).unwrap(), gap);
    }

    #[test]
    fn every_reason_is_the_same_word_everywhere() {
        for reason in GapReason::ALL {
            let json = serde_json::to_string(&reason).unwrap();
            assert_eq!(json, format!("\"{reason}\""));
        }
    }
}
