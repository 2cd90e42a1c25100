//! The sessions that an interest wakes, and how.
//! Shape: few are woken at once by whoever applied the event. Many are woken in a wave: tasks on the runtime's workers
//! take a part of them each in turn, so that the log goes on and every core has its share.
//! Unit: a part is [`PART_MAX`] keys.
//! Bound: one wave at a time, with no more tasks than there are workers. What is applied meanwhile gathers for one
//! more wave after it, and that one comes after a rest twice as long as the wave took, at most [`REST_MAX`]: what a
//! session writes in one go is cheaper the more it is.
//! Failure: nobody is missed: a wave begins after its event was applied, and passes every key. Whoever comes in behind
//! it reads after he has come.

use std::sync::Arc;
use std::time::Duration;

use slab::Slab;
use tokio::time::Instant;

use crate::session::woken::Woken;
use crate::sync::{self, Mutex, lock};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Subscribers {
    /// Std mutex: held to add, to remove or to copy one part, never by a publisher, never while somebody is woken,
    /// never across an await.
    room: Mutex<Room>,
}

#[derive(Debug, Default)]
struct Room {
    sessions: Slab<Arc<Woken>>,
    /// The wave that is under way.
    wave: Wave,
    hold: Hold,
}

#[derive(Debug, Default)]
struct Wave {
    /// 0: there is none. The last task stays during the rest.
    tasks: usize,
    /// The key where the next part begins.
    next: usize,
    /// Something was applied since it began.
    again: bool,
    began: Option<Instant>,
}

/// What a task of a wave does next.
enum Step {
    /// Wakes the part that it has taken.
    Wake,
    /// Lets events gather, then begins the next wave.
    Rest(Duration),
    /// Ends.
    End,
}

/// Where an interval between two wake-ups is asked for; see [`crate::log::flush`].
#[derive(Debug, Default)]
enum Hold {
    #[default]
    Free,
    /// The interval has begun,
    Held,
    /// and something was applied since.
    Waiting,
}

/// Sessions that are just being woken. Kept by its owner, so that its room is used again.
pub(crate) type Part = Vec<Arc<Woken>>;

impl Subscribers {
    pub(crate) fn add(&self, session: Arc<Woken>) -> usize {
        let mut room = lock(&self.room);
        if room.sessions.capacity() == 0 {
            // Most topics have one.
            room.sessions.reserve_exact(1);
        }
        room.sessions.insert(session)
    }

    pub(crate) fn remove(&self, key: usize) {
        let mut room = lock(&self.room);
        room.sessions.remove(key);
        if room.sessions.is_empty() {
            room.sessions = Slab::new();
        }
    }

    /// Wakes every session; one that is not waiting finds the wake-up at its next wait.
    pub(crate) fn wake(self: &Arc<Self>, part: &mut Part) {
        let mut room = lock(&self.room);
        if room.wave.tasks > 0 {
            room.wave.again = true;
            return;
        }
        if room.sessions.len() > PART_MAX {
            let tasks = room.begin_wave();
            drop(room);
            self.run_wave(tasks);
            return;
        }
        part.extend(room.sessions.iter().map(|(_, session)| Arc::clone(session)));
        drop(room);
        wake_all(part);
    }

    /// Whether an interval is under way: then the wake-up waits for its end. Otherwise it begins.
    pub(crate) fn is_held_back(&self) -> bool {
        let hold = &mut lock(&self.room).hold;
        let is_held = !matches!(hold, Hold::Free);
        *hold = if is_held { Hold::Waiting } else { Hold::Held };
        is_held
    }

    /// The interval is over. Gives whether a wake-up has waited for it: then the next one begins.
    pub(crate) fn release(&self) -> bool {
        let hold = &mut lock(&self.room).hold;
        let has_waited = matches!(hold, Hold::Waiting);
        *hold = if has_waited { Hold::Held } else { Hold::Free };
        has_waited
    }

    fn run_wave(self: &Arc<Self>, tasks: usize) {
        for _ in 0..tasks {
            sync::spawn(Arc::clone(self).wake_parts());
        }
    }

    /// One task of a wave.
    async fn wake_parts(self: Arc<Self>) {
        let mut part = Vec::new();
        loop {
            match self.take_part(&mut part) {
                Step::Wake => {
                    wake_all(&mut part);
                    // Who was woken goes first: so the next wave finds them where this one has brought them.
                    sync::yield_now().await;
                }
                Step::Rest(rest) => {
                    sync::sleep(rest).await;
                    let tasks = lock(&self.room).begin_wave();
                    return self.run_wave(tasks);
                }
                Step::End => return,
            }
        }
    }

    /// The next part, or what is to be done where there is none.
    fn take_part(&self, part: &mut Part) -> Step {
        let mut guard = lock(&self.room);
        let room = &mut *guard;
        let (from, end) = (room.wave.next, room.sessions.capacity());
        if from < end {
            room.wave.next = end.min(from + PART_MAX);
            let sessions = (from..room.wave.next).filter_map(|key| room.sessions.get(key));
            part.extend(sessions.cloned());
            return Step::Wake;
        }
        if room.wave.tasks == 1 && room.wave.again {
            let took = room.wave.began.map_or(Duration::ZERO, |at| at.elapsed());
            return Step::Rest((took * 2).min(REST_MAX));
        }
        room.wave.tasks -= 1;
        Step::End
    }
}

impl Room {
    /// Gives how many tasks it takes.
    fn begin_wave(&mut self) -> usize {
        let parts = self.sessions.len().div_ceil(PART_MAX);
        let tasks = parts.min(sync::workers()).max(1);
        self.wave = Wave {
            tasks,
            next: 0,
            again: false,
            began: Some(Instant::now()),
        };
        tasks
    }
}

fn wake_all(part: &mut Part) {
    for session in part.drain(..) {
        session.wake();
    }
}

/// The longest rest between two waves: so much later an event comes at most, and only where events come faster than
/// they can be handed out.
const REST_MAX: Duration = Duration::from_millis(20);
/// Sessions that are woken in one go. Half of what a worker's own queue takes, so that it mostly has room.
const PART_MAX: usize = if cfg!(feature = "shuttle") { 1 } else { 128 };

#[cfg(test)]
mod tests {
    use tokio::time::{advance, sleep};

    use super::*;

    fn crowd(sessions: usize) -> (Arc<Subscribers>, Vec<Arc<Woken>>) {
        let subscribers = Arc::new(Subscribers::default());
        let all: Vec<_> = (0..sessions).map(|_| Arc::new(Woken::new())).collect();
        for session in &all {
            subscribers.add(Arc::clone(session));
        }
        (subscribers, all)
    }

    fn woken(all: &[Arc<Woken>]) -> usize {
        all.iter().filter(|session| session.is_set()).count()
    }

    async fn until_over(subscribers: &Subscribers) {
        while lock(&subscribers.room).wave.tasks > 0 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn few_are_woken_at_once_and_many_in_parts_while_others_go_on() {
        let (few, all) = crowd(PART_MAX);
        few.wake(&mut Part::new());
        assert_eq!(woken(&all), PART_MAX);
        let (many, all) = crowd(3 * PART_MAX);
        many.wake(&mut Part::new());
        assert_eq!(woken(&all), 0, "whoever applies the event does not do it");
        tokio::task::yield_now().await;
        assert_eq!(woken(&all), PART_MAX);
        until_over(&many).await;
        assert_eq!(woken(&all), 3 * PART_MAX);
    }

    #[tokio::test]
    async fn what_comes_during_a_wave_makes_one_more() {
        let (subscribers, all) = crowd(3 * PART_MAX);
        let mut part = Part::new();
        subscribers.wake(&mut part);
        tokio::task::yield_now().await;
        all[0].clear();
        subscribers.wake(&mut part);
        subscribers.wake(&mut part);
        assert!(!all[0].is_set(), "not before this wave is over");
        until_over(&subscribers).await;
        assert_eq!(woken(&all), 3 * PART_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_wave_comes_after_a_rest_twice_as_long_as_this_one() {
        let (subscribers, all) = crowd(3 * PART_MAX);
        let mut part = Part::new();
        subscribers.wake(&mut part);
        tokio::task::yield_now().await;
        all[0].clear();
        subscribers.wake(&mut part);
        // This wave takes 5 ms.
        advance(Duration::from_millis(5)).await;
        sleep(Duration::from_millis(9)).await;
        assert!(!all[0].is_set(), "the rest is not over");
        sleep(Duration::from_millis(3)).await;
        until_over(&subscribers).await;
        assert_eq!(woken(&all), 3 * PART_MAX);
    }

    #[tokio::test]
    async fn who_goes_during_a_wave_hides_nobody() {
        let (subscribers, all) = crowd(3 * PART_MAX);
        subscribers.wake(&mut Part::new());
        tokio::task::yield_now().await;
        (0..2 * PART_MAX).for_each(|key| subscribers.remove(key));
        until_over(&subscribers).await;
        assert_eq!(woken(&all[2 * PART_MAX..]), PART_MAX);
        (2 * PART_MAX..3 * PART_MAX).for_each(|key| subscribers.remove(key));
        assert_eq!(
            lock(&subscribers.room).sessions.capacity(),
            0,
            "its room is given back"
        );
    }
}
