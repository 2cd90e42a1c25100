//! The events of one batch, shared by all sessions that get the same.
//! Shape: a list in log order that is never changed, and its wire forms one event after another.
//! Bound: that of a batch; each [`Form`] that is asked for comes on top, about as much again.
//! Failure: none. Who has the events to himself has them in the same type.
//! Source: architecture, "The path of an event".

use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::encoded::{Encoded, Form, Forms};

/// Events in log order. A clone shares them, and their joined forms.
#[derive(Clone, Default)]
pub struct Events(Option<Arc<Shared>>);

#[derive(Debug)]
struct Shared {
    events: Vec<Arc<Encoded>>,
    joined: Forms,
}

impl Events {
    /// This form of all of them, one after another: made by whoever asks first, for everybody who has these events.
    /// `append` is the same wherever the form is.
    #[must_use]
    pub fn joined(&self, form: Form, append: impl Fn(&Encoded, &mut Vec<u8>)) -> Bytes {
        let Some(shared) = &self.0 else {
            return Bytes::new();
        };
        let join = || {
            let bytes = shared.events.iter().map(|event| event.json().len());
            let room = bytes.sum::<usize>() + shared.events.len() * FRAMING_BYTES;
            let mut joined = Vec::with_capacity(room);
            for event in &shared.events {
                append(event, &mut joined);
            }
            Bytes::from(joined)
        };
        form.of(&shared.joined).get_or_init(join).clone()
    }

    /// The blocks of an event stream.
    #[must_use]
    pub fn sse(&self) -> Bytes {
        match &self[..] {
            [one] => one.sse().clone(),
            _ => self.joined(Form::Sse, |event, out| out.extend_from_slice(event.sse())),
        }
    }

    /// The payloads alone as blocks of an event stream (`format=data`).
    #[must_use]
    pub fn sse_data(&self) -> Bytes {
        match &self[..] {
            [one] => one.sse_data().clone(),
            _ => self.joined(Form::SseData, |event, out| {
                out.extend_from_slice(event.sse_data());
            }),
        }
    }

    /// Lets go of some. Where all stay they stay shared.
    pub(crate) fn retain(&mut self, is_kept: impl Fn(&Encoded) -> bool) {
        if !self.iter().all(|event| is_kept(event)) {
            let kept = self.iter().filter(|event| is_kept(event));
            *self = kept.cloned().collect();
        }
    }
}

impl From<Vec<Arc<Encoded>>> for Events {
    fn from(events: Vec<Arc<Encoded>>) -> Self {
        if events.is_empty() {
            return Self(None);
        }
        Self(Some(Arc::new(Shared {
            events,
            joined: [const { OnceLock::new() }; 4],
        })))
    }
}

impl FromIterator<Arc<Encoded>> for Events {
    fn from_iter<I: IntoIterator<Item = Arc<Encoded>>>(events: I) -> Self {
        events.into_iter().collect::<Vec<_>>().into()
    }
}

impl Deref for Events {
    type Target = [Arc<Encoded>];

    fn deref(&self) -> &Self::Target {
        self.0.as_ref().map_or(&[], |shared| &shared.events)
    }
}

impl<'a> IntoIterator for &'a Events {
    type Item = &'a Arc<Encoded>;
    type IntoIter = std::slice::Iter<'a, Arc<Encoded>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// What a form has around an event's JSON, about: only so that the room for it is mostly right.
const FRAMING_BYTES: usize = 48;

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::testing::event;

    #[test]
    fn a_joined_form_is_made_once_for_all_who_share_the_events() {
        let events: Events = [1, 2, 3]
            .map(|place| event("a", place))
            .into_iter()
            .collect();
        let made = AtomicUsize::new(0);
        let append = |event: &Encoded, out: &mut Vec<u8>| {
            made.fetch_add(1, Ordering::Relaxed);
            out.extend_from_slice(event.json());
            out.push(b'\n');
        };
        let all = events.clone().joined(Form::Frame, append);
        let again = events.joined(Form::Frame, append);
        assert_eq!(made.into_inner(), 3, "one call for each event");
        assert_eq!(all.as_ptr(), again.as_ptr());
        let lines: Vec<_> = all.split(|byte| *byte == b'\n').collect();
        assert_eq!(
            lines[..3],
            [&events[0].json()[..], events[1].json(), events[2].json()]
        );
    }

    #[test]
    fn forms_do_not_mix_and_the_blocks_are_those_of_the_events() {
        let events: Events = [1, 2].map(|place| event("a", place)).into_iter().collect();
        let frames = events.joined(Form::Frame, |_, out| out.push(1));
        let deflated = events.joined(Form::DeflatedFrame, |_, out| out.push(2));
        assert_eq!((&frames[..], &deflated[..]), (&[1, 1][..], &[2, 2][..]));
        assert_eq!(
            events.sse(),
            [&events[0].sse()[..], events[1].sse()].concat()
        );
        let data = [&events[0].sse_data()[..], events[1].sse_data()].concat();
        assert_eq!(events.sse_data(), data);
        let one: Events = [event("a", 7)].into_iter().collect();
        assert_eq!(
            one.sse().as_ptr(),
            one[0].sse().as_ptr(),
            "no second copy of one"
        );
        assert!(Events::default().sse().is_empty());
    }

    #[test]
    fn what_is_let_go_of_leaves_the_others_as_they_were() {
        let all: Events = (1..=4).map(|place| event("a", place)).collect();
        let mut some = all.clone();
        some.retain(|_| true);
        assert_eq!(some.as_ptr(), all.as_ptr(), "still shared");
        some.retain(|event| event.place() % 2 == 0);
        let places = |events: &Events| events.iter().map(|event| event.place()).collect::<Vec<_>>();
        assert_eq!(
            (places(&some), places(&all)),
            (vec![2, 4], vec![1, 2, 3, 4])
        );
    }
}
