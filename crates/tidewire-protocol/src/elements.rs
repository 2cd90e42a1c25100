//! The elements of a JSON array, borrowed and bounded.
//!
//! Shape: the first [`PublishRequest::ELEMENTS_MAX`] elements as they stand, and how many there are.
//! Bound: elements beyond are checked as JSON and counted, but not kept: a megabyte of `1,1,1` costs no
//! more than a thousand references.
//! Source: protocol section 4.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::PublishRequest;

/// The elements of an array.
pub(crate) struct Elements<'a> {
    pub(crate) first: Vec<&'a RawValue>,
    pub(crate) count: usize,
}

impl<'de> Deserialize<'de> for Elements<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Collect)
    }
}

struct Collect;

impl<'de> Visitor<'de> for Collect {
    type Value = Elements<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
        let mut elements = Elements {
            first: Vec::new(),
            count: 0,
        };
        while elements.count < PublishRequest::ELEMENTS_MAX {
            let Some(element) = array.next_element()? else {
                return Ok(elements);
            };
            elements.first.push(element);
            elements.count += 1;
        }
        while array.next_element::<IgnoredAny>()?.is_some() {
            elements.count += 1;
        }
        Ok(elements)
    }
}
