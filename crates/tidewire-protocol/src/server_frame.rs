//! What the gateway sends in a WebSocket text frame, beside events.
//!
//! Shape: one object each, `op` first. [`ServerFrame`] is the gateway's side, [`ReceivedFrame`] the
//! client's, which keeps ids and cursors as opaque text and passes over words that it does not know.
//! Failure: encoding cannot fail; reading fails on what is not a frame of this protocol.
//! Source: protocol section 3.3.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    Bye, Code, Cursor, Gap, Hb, Hello, ReceivedEvent,
    text::{Text, is_false, present_boxed},
};

/// A frame from the gateway; members that say nothing are left out.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub enum ServerFrame<'a> {
    /// It was done.
    Ok {
        /// `ref`, as the client sent it.
        #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<&'a RawValue>,
        /// To a subscribe: where it begins.
        #[serde(skip_serializing_if = "Option::is_none")]
        cursor: Option<Cursor>,
        /// To a subscribe: whether a cursor was given and nothing was lost since.
        #[serde(skip_serializing_if = "Option::is_none")]
        resumed: Option<bool>,
        /// To a publish: the event's id.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<Cursor>,
        /// To a publish: whether the key was known.
        #[serde(skip_serializing_if = "is_false")]
        duplicate: bool,
        /// To an auth: when it expires, in milliseconds since the Unix epoch.
        #[serde(skip_serializing_if = "Option::is_none")]
        expires: Option<u64>,
    },
    /// It was not done.
    Error {
        /// `ref`, as the client sent it.
        #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<&'a RawValue>,
        /// The stable code.
        code: Code,
        /// What a person reads.
        message: &'a str,
    },
    /// The answer to a ping.
    Pong {
        /// `ref`, as the client sent it.
        #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<&'a RawValue>,
    },
    /// The first frame.
    Hello(&'a Hello),
    /// Loss, told before the events that follow it.
    Gap(&'a Gap),
    /// Sent in silence.
    Hb(&'a Hb),
    /// The last frame before the gateway closes.
    Bye(&'a Bye),
}

impl<'a> ServerFrame<'a> {
    /// An `ok` that says no more.
    #[must_use]
    pub fn done(reference: Option<&'a RawValue>) -> Self {
        Self::Ok {
            reference,
            cursor: None,
            resumed: None,
            id: None,
            duplicate: false,
            expires: None,
        }
    }

    /// The frame as JSON text.
    #[must_use]
    pub fn encode(&self) -> String {
        serde_json::to_string(self).expect("a frame holds only JSON, text and numbers")
    }
}

/// A frame as a client got it.
#[derive(Debug, Clone)]
pub enum ReceivedFrame {
    /// An object without `op`.
    Event(ReceivedEvent),
    /// It was done.
    Ok(ReceivedOk),
    /// It was not done.
    Error(ReceivedError),
    /// The answer to a ping.
    Pong {
        /// `ref`, as it was sent.
        reference: Option<Box<RawValue>>,
    },
    /// The first frame.
    Hello(Hello),
    /// Loss, told before the events that follow it.
    Gap(Gap),
    /// Sent in silence.
    Hb(Hb),
    /// The last frame before the gateway closes.
    Bye(Bye),
    /// A word of a later protocol: to be passed over.
    Unknown {
        /// The word.
        op: String,
    },
}

/// An `ok` as a client got it.
#[derive(Debug, Clone, Deserialize)]
pub struct ReceivedOk {
    /// `ref`, as it was sent.
    #[serde(default, rename = "ref", deserialize_with = "present_boxed")]
    pub reference: Option<Box<RawValue>>,
    /// To a subscribe: where it begins.
    #[serde(default)]
    pub cursor: Option<String>,
    /// To a subscribe: whether a cursor was given and nothing was lost since.
    #[serde(default)]
    pub resumed: Option<bool>,
    /// To a publish: the event's id.
    #[serde(default)]
    pub id: Option<String>,
    /// To a publish: whether the key was known.
    #[serde(default)]
    pub duplicate: bool,
    /// To an auth: when it expires, in milliseconds since the Unix epoch.
    #[serde(default)]
    pub expires: Option<u64>,
}

/// An `error` as a client got it.
#[derive(Debug, Clone, Deserialize)]
pub struct ReceivedError {
    /// `ref`, as it was sent.
    #[serde(default, rename = "ref", deserialize_with = "present_boxed")]
    pub reference: Option<Box<RawValue>>,
    /// The stable code; [`Code`] reads it where it is known.
    pub code: String,
    /// What a person reads.
    #[serde(default)]
    pub message: String,
}

impl ReceivedFrame {
    /// Reads a text frame; members that are not known are ignored.
    ///
    /// # Errors
    /// It is not a frame of this protocol.
    pub fn parse(text: impl Into<String>) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Op<'a> {
            #[serde(borrow, default)]
            op: Option<Text<'a>>,
        }
        #[derive(Deserialize)]
        struct Pong {
            #[serde(default, rename = "ref", deserialize_with = "present_boxed")]
            reference: Option<Box<RawValue>>,
        }
        let text = text.into();
        let op = serde_json::from_str::<Op<'_>>(&text)?.op;
        match op.as_ref().map(|op| &*op.0) {
            None => ReceivedEvent::parse(text).map(Self::Event),
            Some("ok") => serde_json::from_str(&text).map(Self::Ok),
            Some("error") => serde_json::from_str(&text).map(Self::Error),
            Some("pong") => {
                let pong: Pong = serde_json::from_str(&text)?;
                Ok(Self::Pong {
                    reference: pong.reference,
                })
            }
            Some("hello") => serde_json::from_str(&text).map(Self::Hello),
            Some("gap") => serde_json::from_str(&text).map(Self::Gap),
            Some("hb") => serde_json::from_str(&text).map(Self::Hb),
            Some("bye") => serde_json::from_str(&text).map(Self::Bye),
            Some(unknown) => Ok(Self::Unknown {
                op: unknown.to_owned(),
            }),
        }
    }
}
