//! How single values are written in the configuration.
//!
//! Shape: small serde helpers for a list that may be one value and for an address that may be `off`.
//! Failure: what does not fit is refused with the accepted form.

use bytesize::ByteSize;

/// A size as a count of bytes in memory; more than the machine can address counts as all of it.
pub(crate) fn size(size: ByteSize) -> usize {
    usize::try_from(size.as_u64()).unwrap_or(usize::MAX)
}

/// A list, or one value in place of a list of one: an environment variable is easier to write that way.
pub(crate) mod one_or_many {
    use std::net::SocketAddr;

    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(
        list: &[SocketAddr],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        list.serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<SocketAddr>, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum OneOrMany {
            One(String),
            Many(Vec<String>),
        }
        let texts = match OneOrMany::deserialize(deserializer)? {
            OneOrMany::One(text) => vec![text],
            OneOrMany::Many(texts) => texts,
        };
        let parse = |text: String| {
            text.parse()
                .map_err(|_| D::Error::custom(format!("{text:?} is not an address with a port")))
        };
        texts.into_iter().map(parse).collect()
    }
}

/// An address, or `off`.
pub(crate) mod address_or_off {
    use std::net::SocketAddr;

    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    // The signature is serde's.
    #[allow(clippy::ref_option)]
    pub(crate) fn serialize<S: Serializer>(
        address: &Option<SocketAddr>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match address {
            Some(address) => address.serialize(serializer),
            None => "off".serialize(serializer),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<SocketAddr>, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.as_str() {
            "off" => Ok(None),
            address => match address.parse() {
                Ok(address) => Ok(Some(address)),
                Err(_) => Err(D::Error::custom("not an address with a port, nor off")),
            },
        }
    }
}
