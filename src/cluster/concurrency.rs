//! How many commands run at once in all containers: more as long as the node ends them quickly, fewer when it does not.
//!
//! A node that is short of CPU does not get more done by more at once, but ends each of them later, until all are late.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use super::api_error::ApiError;
use super::deadline::{ANSWER, COMMAND};

/// How many may run at once at first, at the least and at the most.
const FIRST: usize = 4;
const LEAST: usize = 2;
const MOST: usize = 16;
/// One that ends within this time lets one more run at once.
const QUICK: Duration = Duration::from_secs(1);
/// One that takes longer than this lets one fewer run at once.
pub const SLOW: Duration = Duration::from_secs(3);

/// What a node has to do for a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Work {
    /// How long it takes tells how quick the node is.
    Quick,
    /// It may take long on any node, so others should not have to wait for its end.
    Slow,
    /// It only removes, and is not to wait for others: the moment between two cycles may be over then.
    Removal,
}

pub(super) struct ConcurrencyLimit {
    turns: Semaphore,
    /// Those of removals, so that they wait for nothing else, and are not too many for a slow node.
    removals: Semaphore,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    limit: usize,
    running: usize,
    most: usize,
    slowest: Duration,
    /// How long the last command took, and the last removal, with their waits for turns.
    lags: [Duration; 2],
    /// By pod, when the last one in it had had no answer at all, and what came of it.
    silent: HashMap<String, (Instant, ApiError)>,
    /// Whether the last one of all had none.
    is_silent: bool,
}

impl Default for ConcurrencyLimit {
    fn default() -> Self {
        let removals = Semaphore::new(LEAST);
        Self { turns: Semaphore::new(FIRST), removals, state: Mutex::new(State { limit: FIRST, ..State::default() }) }
    }
}

impl ConcurrencyLimit {
    /// Does something in a pod when it is its turn; it hears how long it may wait for an answer.
    pub async fn run<T, F: Future<Output = Result<T, ApiError>>>(
        &self,
        pod: &str,
        work: Work,
        ask: impl FnOnce(Duration) -> F,
    ) -> Result<T, ApiError> {
        let came = Instant::now();
        let turns = if work == Work::Removal { &self.removals } else { &self.turns };
        // They are never closed.
        let turn = turns.acquire().await.ok();
        let limit = {
            let mut state = self.state();
            // Whoever waited behind one without an answer would wait as long again, one after the other.
            if let Some((_, error)) = state.silent.get(pod).filter(|(at, _)| *at >= came) {
                return Err(error.clone());
            }
            state.running += 1;
            state.most = state.most.max(state.running);
            // What has just been silent for long is not waited for as long again.
            if state.is_silent { ANSWER } else { COMMAND }
        };
        let began = Instant::now();
        let result = ask(limit).await;
        let mut state = self.state();
        state.running -= 1;
        state.is_silent = matches!(result, Err(ApiError::Silent { .. }));
        match &result {
            Err(error) if state.is_silent => {
                state.silent.insert(pod.to_owned(), (Instant::now(), error.clone()));
            }
            _ => drop(state.silent.remove(pod)),
        }
        if work == Work::Removal {
            state.lags[1] = came.elapsed();
        } else if work == Work::Quick {
            state.lags[0] = came.elapsed();
            match state.ended(began.elapsed(), result.is_ok()) {
                Ordering::Greater => self.turns.add_permits(1),
                Ordering::Less => turn.into_iter().for_each(SemaphorePermit::forget),
                Ordering::Equal => {}
            }
        }
        result
    }

    /// How long a command takes at present, with its wait for a turn.
    pub fn lag(&self) -> Duration {
        self.state().lags.into_iter().max().unwrap_or_default()
    }

    pub fn load(&self) -> (Duration, usize) {
        let state = self.state();
        (state.slowest, state.most)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn ended(&mut self, took: Duration, is_ok: bool) -> Ordering {
        self.slowest = self.slowest.max(took);
        let before = self.limit;
        if took > SLOW {
            self.limit = before.saturating_sub(1).max(LEAST);
        } else if took < QUICK && is_ok {
            self.limit = (before + 1).min(MOST);
        }
        self.limit.cmp(&before)
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use futures::future::join_all;
    use futures::poll;
    use tokio::task::yield_now;

    use super::*;

    #[test]
    fn quick_ones_let_more_run_at_once_and_slow_ones_fewer() {
        let mut state = State { limit: FIRST, ..State::default() };
        assert_eq!([QUICK / 2, QUICK, SLOW, SLOW * 2].map(|took| state.ended(took, true)), {
            [Ordering::Greater, Ordering::Equal, Ordering::Equal, Ordering::Less]
        });
        assert_eq!(state.ended(QUICK / 2, false), Ordering::Equal, "a refusal is quick on any node");
        for (took, limit) in [(QUICK / 2, MOST), (SLOW * 2, LEAST)] {
            while state.ended(took, true).is_ne() {}
            assert_eq!(state.limit, limit);
        }
        assert_eq!(state.slowest, SLOW * 2);
    }

    #[tokio::test]
    async fn few_run_at_first_and_more_as_quick_ones_end() {
        let concurrency = ConcurrencyLimit::default();
        let many = join_all((0..20).map(|_| concurrency.run("a", Work::Quick, |_| pending::<Result<(), _>>())));
        assert!(poll!(Box::pin(many)).is_pending());
        assert_eq!(concurrency.load().1, FIRST);
        let removal = concurrency.run("a", Work::Removal, |_| ready(Ok(())));
        assert!(poll!(Box::pin(removal)).is_ready(), "it waits for no command");
        let quick = |_| async {
            yield_now().await;
            Ok(())
        };
        let done = join_all((0..60).map(|_| concurrency.run("a", Work::Quick, quick))).await;
        assert!(done.iter().all(Result::is_ok));
        let state = concurrency.state();
        assert_eq!((state.limit, concurrency.turns.available_permits()), (MOST, MOST));
    }

    #[tokio::test]
    async fn who_waited_behind_silence_does_not_wait_again() {
        let concurrency = ConcurrencyLimit::default();
        let began = Mutex::new(0);
        let silent = |_| async {
            *began.lock().unwrap() += 1;
            yield_now().await;
            Err::<(), _>(ApiError::Silent { verb: "get", resource: "pods/exec", waited: SLOW })
        };
        let ended = join_all((0..20).map(|_| concurrency.run("a", Work::Quick, &silent))).await;
        assert!(ended.iter().all(Result::is_err));
        assert_eq!(*began.lock().unwrap(), FIRST);
        // What is done in another pod says itself whether it has an answer.
        let others = (0..8).map(|number| concurrency.run(if number < FIRST { "a" } else { "b" }, Work::Quick, &silent));
        assert!(join_all(others).await.iter().all(Result::is_err));
        assert_eq!(*began.lock().unwrap(), 3 * FIRST);
        // Whoever comes later tries again, and knows of it.
        for expected in [ANSWER, COMMAND] {
            assert_eq!(concurrency.run("a", Work::Quick, |limit| ready(Ok(limit))).await.unwrap(), expected);
        }
    }
}
