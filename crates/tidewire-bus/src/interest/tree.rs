//! Finds the interests whose patterns match a topic.
//! Shape: exact topics by hash; patterns in a tree with a node for each level.
//! Bound: one path for each subscribed pattern; what nobody subscribes any more leaves nothing behind.
//! Source: protocol section 1.

use std::collections::HashMap;

use tidewire_protocol::{Pattern, Topic};

use super::InterestId;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct PatternTree {
    exact: HashMap<Topic, InterestId>,
    wild: Level,
}

/// The patterns that go on below one level.
#[derive(Debug, Default)]
struct Level {
    named: HashMap<Box<str>, Level>,
    any: Option<Box<Level>>,
    here: Option<InterestId>,
    rest: Option<InterestId>,
}

impl PatternTree {
    pub(super) fn find(&self, pattern: &Pattern) -> Option<InterestId> {
        if let Some(topic) = pattern.as_topic() {
            return self.exact.get(topic).copied();
        }
        let mut level = &self.wild;
        for name in pattern.levels() {
            level = match name {
                ">" => return level.rest,
                "*" => level.any.as_deref()?,
                name => level.named.get(name)?,
            };
        }
        level.here
    }

    pub(super) fn insert(&mut self, pattern: &Pattern, id: InterestId) {
        if let Some(topic) = pattern.as_topic() {
            self.exact.insert(topic.clone(), id);
            return;
        }
        let mut level = &mut self.wild;
        for name in pattern.levels() {
            level = match name {
                ">" => {
                    level.rest = Some(id);
                    return;
                }
                "*" => level.any.get_or_insert_default(),
                name => level.named.entry(name.into()).or_default(),
            };
        }
        level.here = Some(id);
    }

    pub(super) fn remove(&mut self, pattern: &Pattern) {
        match pattern.as_topic() {
            Some(topic) => {
                self.exact.remove(topic);
            }
            None => {
                let levels: Vec<&str> = pattern.levels().collect();
                self.wild.remove(&levels);
            }
        }
    }

    /// Every interest whose pattern matches, once.
    pub(super) fn matching(&self, topic: &Topic) -> Vec<InterestId> {
        let mut ids: Vec<InterestId> = self.exact.get(topic).copied().into_iter().collect();
        let levels: Vec<&str> = topic.levels().collect();
        // Protocol section 1: `*` and `>` at the first level never match the gateway's own topics.
        if topic.is_reserved() {
            if let Some(below) = self.wild.named.get(levels[0]) {
                below.collect(&levels[1..], &mut ids);
            }
        } else {
            self.wild.collect(&levels, &mut ids);
        }
        ids
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.wild.is_empty()
    }
}

impl Level {
    fn collect(&self, levels: &[&str], ids: &mut Vec<InterestId>) {
        let Some((name, below)) = levels.split_first() else {
            ids.extend(self.here);
            return;
        };
        ids.extend(self.rest);
        if let Some(any) = &self.any {
            any.collect(below, ids);
        }
        if let Some(named) = self.named.get(*name) {
            named.collect(below, ids);
        }
    }

    fn remove(&mut self, levels: &[&str]) {
        let Some((name, below)) = levels.split_first() else {
            self.here = None;
            return;
        };
        match *name {
            ">" => self.rest = None,
            "*" => {
                if let Some(any) = &mut self.any {
                    any.remove(below);
                    if any.is_empty() {
                        self.any = None;
                    }
                }
            }
            name => {
                if let Some(named) = self.named.get_mut(name) {
                    named.remove(below);
                    if named.is_empty() {
                        self.named.remove(name);
                    }
                }
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.named.is_empty() && self.any.is_none() && self.here.is_none() && self.rest.is_none()
    }
}
