//! Answers that count again for a short time, so that a client that polls does not ask with each poll.
//!
//! Shape: a map from the digest of a question to its answer. A question holds all that a backend judges by, so an answer
//! is found only for exactly the same question.
//! Bound: `hooks.poll_cache` for the time of an answer, `hooks.poll_cache_max` answers. At the bound those whose time is
//! over leave; where all count still, a new one is not kept.
//! Failure: what is not kept is asked again.
//! Source: protocol document, "Hooks".

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use sha2::{Digest, Sha256};

use super::answer::Answer;

/// See the module. The clock is an argument.
#[derive(Debug)]
pub(super) struct Recent {
    time: Duration,
    max: usize,
    /// Std mutex: held for one map access, and at the bound once a second for a look at all of it; never across an await.
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// Until when each counts.
    answers: HashMap<Question, (Instant, Answer)>,
    /// When those whose time was over last left.
    swept: Option<Instant>,
}

/// The digest of a question.
pub(super) type Question = [u8; 32];

/// The place of a question.
pub(super) fn digest(question: &[u8]) -> Question {
    Sha256::digest(question).into()
}

impl Recent {
    pub(super) fn new(time: Duration, max: usize) -> Self {
        Self {
            time,
            max,
            known: Mutex::default(),
        }
    }

    /// The answer to this question, if it still counts.
    pub(super) fn find(&self, question: &Question, now: Instant) -> Option<Answer> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (until, answer) = known.answers.get(question)?;
        (*until > now).then(|| answer.clone())
    }

    /// Keeps an answer.
    pub(super) fn keep(&self, question: Question, answer: &Answer, now: Instant) {
        if self.time.is_zero() {
            return;
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let Known { answers, swept } = &mut *known;
        let is_due = |swept: Instant| now.saturating_duration_since(swept) >= SWEEP_INTERVAL;
        if answers.len() >= self.max && swept.is_none_or(is_due) {
            answers.retain(|_, (until, _)| *until > now);
            *swept = Some(now);
        }
        if answers.len() < self.max || answers.contains_key(&question) {
            answers.insert(question, (now + self.time, answer.clone()));
        }
    }
}

/// Looking more often would cost every poll at the bound a look at all answers.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Duration = Duration::from_secs(10);

    #[test]
    fn an_answer_counts_for_its_time_and_its_question_only() {
        let (recent, now) = (Recent::new(TIME, 8), Instant::now());
        recent.keep(digest(b"a"), &Answer::allowed(), now);
        assert!(recent.find(&digest(b"a"), now + TIME / 2).is_some());
        assert!(recent.find(&digest(b"b"), now).is_none());
        assert!(recent.find(&digest(b"a"), now + TIME).is_none());
    }

    #[test]
    fn at_the_bound_old_answers_leave_and_new_ones_wait_for_that() {
        let (recent, now) = (Recent::new(TIME, 2), Instant::now());
        for question in [b"a", b"b", b"c"] {
            recent.keep(digest(question), &Answer::allowed(), now);
        }
        assert!(recent.find(&digest(b"c"), now).is_none());
        recent.keep(digest(b"c"), &Answer::allowed(), now + TIME);
        assert!(recent.find(&digest(b"c"), now + TIME).is_some());
        assert_eq!(recent.known.lock().unwrap().answers.len(), 1);
    }

    #[test]
    fn without_a_time_nothing_is_kept() {
        let (recent, now) = (Recent::new(Duration::ZERO, 2), Instant::now());
        recent.keep(digest(b"a"), &Answer::allowed(), now);
        assert!(recent.find(&digest(b"a"), now).is_none());
    }
}
