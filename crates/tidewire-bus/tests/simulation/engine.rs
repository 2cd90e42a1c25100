//! The memory engine as a slow disk or a cluster would be: its answers come later, or not at all, and what
//! it did is noted as the truth in the moment in which it did it.
//! It breaks no part of the engine's contract.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tidewire_bus::engine::feed::FeedReceiver;
use tidewire_bus::engine::{Page, Read, Retained, Seek, Sought};
use tidewire_bus::{
    Append, AppendError, Appended, Clock, Engine, MemoryConfig, MemoryEngine, ReadError,
};
use tidewire_protocol::{Epoch, Pattern, Topic};

use crate::universe::{pattern_index, topic_index};
use crate::world::{Look, World};

#[derive(Debug)]
pub(crate) struct Watched {
    inner: MemoryEngine,
    world: Arc<World>,
}

impl Watched {
    pub(crate) fn new(world: &Arc<World>) -> Self {
        let rules = world.setting().rules;
        let clock = Arc::clone(world);
        let config = MemoryConfig {
            max_bytes: rules.max_bytes,
            idempotency_window: rules.key_window,
            clock: Clock::from_fn(move || clock.now_ms()),
        };
        Self {
            inner: MemoryEngine::new(config, rules.table()),
            world: Arc::clone(world),
        }
    }

    fn fails(&self) -> bool {
        let fault = self.world.state().setting.fault;
        fault > 0.0 && self.world.chance(fault)
    }

    async fn answer<T>(&self, answer: T) -> Result<T, ReadError> {
        self.world.stall().await;
        if self.fails() {
            self.world.note("the engine cannot read");
            return Err(ReadError {
                reason: "a fault of the simulation".into(),
            });
        }
        Ok(answer)
    }
}

impl Engine for Watched {
    fn epoch(&self) -> Epoch {
        self.inner.epoch()
    }

    fn head(&self) -> u64 {
        self.inner.head()
    }

    fn append(&self, batch: Vec<Append>) -> BoxFuture<'_, Vec<Result<Appended, AppendError>>> {
        Box::pin(async move {
            self.world.stall().await;
            let mut answers = self.inner.append(batch.clone()).await;
            {
                let now_ms = self.world.now_ms();
                let mut state = self.world.state();
                for (append, answer) in batch.iter().zip(&answers) {
                    state.model.appended(append, answer, now_ms);
                }
                let head = state.model.head();
                state.note(&format!("appended {}, head {head}", batch.len()));
            }
            self.world.stall().await;
            if self.fails() {
                self.world.note("the answer is lost");
                let unknown = AppendError::Unknown {
                    waited: Duration::ZERO,
                    reason: "a fault of the simulation".into(),
                };
                answers.fill(Err(unknown));
            }
            answers
        })
    }

    fn read(&self, read: Read) -> BoxFuture<'_, Result<Page, ReadError>> {
        Box::pin(async move {
            self.world.stall().await;
            let page = self.inner.read(read.clone()).await?;
            let made = {
                let mut state = self.world.state();
                assert_eq!(page.evictions, state.model.evictions());
                state.note(&format!("engine read after {}", read.after));
                state.step
            };
            let page = self.answer(page).await?;
            let first = page.events.first();
            let mut state = self.world.state();
            let look = Look::Read {
                patterns: indices(&read.patterns),
                after: read.after,
                evictions: page.evictions,
                continues: first.map_or(page.examined, |event| event.place() - 1),
                made,
                given: state.step,
            };
            let actor = state.actor;
            state.looks[actor].push(look);
            Ok(page)
        })
    }

    fn seek(&self, patterns: Vec<Pattern>, seek: Seek) -> BoxFuture<'_, Result<Sought, ReadError>> {
        Box::pin(async move {
            self.world.stall().await;
            let sought = self.inner.seek(patterns.clone(), seek).await?;
            {
                let state = self.world.state();
                let newest = match seek {
                    Seek::Oldest => None,
                    Seek::Newest(count) => Some(count),
                };
                let after = state.model.sought(&indices(&patterns), newest);
                assert_eq!(sought.after, after, "{seek:?} of {patterns:?}");
                assert_eq!(sought.evictions, state.model.evictions());
            }
            let sought = self.answer(sought).await?;
            let mut state = self.world.state();
            let actor = state.actor;
            state.looks[actor].push(Look::Seek {
                after: sought.after,
                evictions: sought.evictions,
            });
            Ok(sought)
        })
    }

    fn topic(&self, topic: Topic) -> BoxFuture<'_, Result<Retained, ReadError>> {
        self.inner.topic(topic)
    }

    fn forget(&self, topic: Topic) -> BoxFuture<'_, Result<(), AppendError>> {
        Box::pin(async move {
            self.world.stall().await;
            let index = topic_index(&topic);
            self.inner.forget(topic.clone()).await?;
            {
                let mut state = self.world.state();
                let to = state.model.forget(index);
                state.last_forgotten = to;
                state.note(&format!("forgot {topic} to {to}"));
            }
            self.world.stall().await;
            Ok(())
        })
    }

    fn feed(&self) -> Option<FeedReceiver> {
        self.inner.feed()
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        self.inner.stop()
    }
}

fn indices(patterns: &[Pattern]) -> Vec<usize> {
    patterns
        .iter()
        .map(|pattern| pattern_index(pattern.as_str()))
        .collect()
}
