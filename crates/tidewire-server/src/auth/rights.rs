//! What somebody may do: patterns for each verb.
//!
//! Shape: four lists; an empty one allows nothing. [`Grants`] makes them out of what is configured for everybody with
//! credentials, for named roles, and for the one who asks.
//! Failure: a pattern may be subscribed only where one granted pattern covers all that it can match.
//! Source: protocol section 7; hazards part 1 rows 4 and 6. `$presence.…` is reached by the `presence` right alone.

use std::collections::BTreeMap;

use tidewire_protocol::{Pattern, Topic};

use super::grant_pattern::GrantPattern;
use crate::config::{ConfigError, RoleConfig};

/// Patterns that cover what may be done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Rights {
    pub(crate) subscribe: Vec<Pattern>,
    pub(crate) publish: Vec<Pattern>,
    /// Topics whose members may be seen: `chat.*` stands for `$presence.chat.*`.
    pub(crate) presence: Vec<Pattern>,
    pub(crate) forget: Vec<Pattern>,
}

impl Rights {
    /// Whether nothing may be done.
    pub(crate) fn is_empty(&self) -> bool {
        let Self {
            subscribe,
            publish,
            presence,
            forget,
        } = self;
        subscribe.is_empty() && publish.is_empty() && presence.is_empty() && forget.is_empty()
    }

    /// Whether everything that the pattern can match may be read.
    pub(crate) fn may_subscribe(&self, pattern: &Pattern) -> bool {
        match members_of(pattern) {
            None => covers(&self.subscribe, pattern),
            Some(Some(topics)) => covers(&self.presence, &topics),
            Some(None) => false,
        }
    }

    /// Whether the topic may be published to. The gateway's own topics never.
    pub(crate) fn may_publish(&self, topic: &Topic) -> bool {
        !topic.is_reserved() && matches(&self.publish, topic)
    }

    /// Whether the topic's events may be forgotten.
    pub(crate) fn may_forget(&self, topic: &Topic) -> bool {
        matches(&self.forget, topic)
    }

    /// The same and what the other allows.
    pub(crate) fn and(mut self, other: Self) -> Self {
        let lists = [
            (&mut self.subscribe, other.subscribe),
            (&mut self.publish, other.publish),
            (&mut self.presence, other.presence),
            (&mut self.forget, other.forget),
        ];
        for (all, more) in lists {
            for pattern in more {
                if !all.contains(&pattern) {
                    all.push(pattern);
                }
            }
        }
        self
    }
}

/// Whose members a pattern below `$presence` tells of. `None`: it is another pattern; `Some(None)`: of no topic.
fn members_of(pattern: &Pattern) -> Option<Option<Pattern>> {
    match pattern.as_str().strip_prefix(PRESENCE)? {
        "" => Some(None),
        rest => Some(Pattern::parse(rest.strip_prefix('.')?).ok()),
    }
}

fn covers(granted: &[Pattern], wanted: &Pattern) -> bool {
    granted.iter().any(|pattern| pattern.covers(wanted))
}

fn matches(granted: &[Pattern], topic: &Topic) -> bool {
    granted.iter().any(|pattern| pattern.matches(topic))
}

/// What is configured beside the rights that credentials bring themselves.
#[derive(Debug, Clone, Default)]
pub(crate) struct Grants {
    authenticated: RoleConfig,
    roles: BTreeMap<String, RoleConfig>,
}

impl Grants {
    /// Reads the tables.
    ///
    /// # Errors
    /// A role has a name that cannot be one.
    pub(crate) fn new(
        authenticated: Option<&RoleConfig>,
        roles: &BTreeMap<String, RoleConfig>,
    ) -> Result<Self, ConfigError> {
        for name in roles.keys() {
            if !is_name(name) {
                return Err(ConfigError::new("auth.roles", name.escape_debug(), A_NAME));
            }
        }
        Ok(Self {
            authenticated: authenticated.cloned().unwrap_or_default(),
            roles: roles.clone(),
        })
    }

    /// Whether there is such a role.
    pub(crate) fn has_role(&self, name: &str) -> bool {
        self.roles.contains_key(name)
    }

    /// All that somebody with credentials may do: what they bring themselves, what everybody with credentials has, and
    /// what the roles give. A role that is not configured gives nothing.
    pub(crate) fn rights(&self, subject: &str, own: Rights, roles: &[String]) -> Rights {
        let named = roles.iter().filter_map(|name| self.roles.get(name));
        [&self.authenticated]
            .into_iter()
            .chain(named)
            .map(|role| role.for_subject(subject))
            .fold(own, Rights::and)
    }
}

impl RoleConfig {
    /// The rights that this gives to somebody.
    pub(super) fn for_subject(&self, subject: &str) -> Rights {
        let list = |patterns: &[GrantPattern]| -> Vec<Pattern> {
            let each = |pattern: &GrantPattern| pattern.for_subject(subject);
            patterns.iter().filter_map(each).collect()
        };
        Rights {
            subscribe: list(&self.subscribe),
            publish: list(&self.publish),
            presence: list(&self.presence),
            forget: list(&self.forget),
        }
    }
}

/// Names of keys and roles.
pub(crate) fn is_name(text: &str) -> bool {
    (1..=100).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-.@".contains(&byte))
}

/// The accepted form of [`is_name`].
pub(crate) const A_NAME: &str = "1 to 100 of A-Z a-z 0-9 _ - . @";
/// Where the members of a topic are told.
const PRESENCE: &str = "$presence";

#[cfg(test)]
mod tests;
