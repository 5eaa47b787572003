//! Limits how many commands run at once, over all containers: more while commands end quickly, fewer when they are slow.
//!
//! More commands at once do not make a node short of CPU faster: each ends later, until all exceed their deadline.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use super::api_error::ApiError;
use super::deadline::{COMMAND, REPLY_TIMEOUT};

/// How many commands may run at once: initially, at least and at most.
const INITIAL: usize = 4;
const MIN: usize = 2;
const MAX: usize = 16;
/// A command that ends within this time raises the limit by one.
const QUICK: Duration = Duration::from_secs(1);
/// A command that takes longer than this lowers the limit by one.
pub const SLOW: Duration = Duration::from_secs(3);
/// Once the commands in this many pods got no reply, with no other reply since, queued commands for other pods fail, too.
const SILENT_PODS: usize = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Work {
    /// Its duration shows how fast the node is.
    Quick,
    /// Slow on any node, so no other command should share its request and wait for it.
    Slow,
    /// Only removes files, and must not queue behind others: the pause between two cycles may be over by then.
    Removal,
}

pub(super) struct ConcurrencyLimit {
    turns: Semaphore,
    /// Separate turns for removals: they wait only for each other.
    removals: Semaphore,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    limit: usize,
    running: usize,
    peak: usize,
    slowest: Duration,
    /// The durations of the last command and the last removal, including their waits for a turn.
    lags: [Duration; 2],
    /// By pod: when its last command ended without a reply, and the error.
    unanswered: HashMap<String, (Instant, ApiError)>,
    /// The pods whose commands got no reply since the last reply from any pod.
    silent_pods: HashSet<String>,
}

impl Default for ConcurrencyLimit {
    fn default() -> Self {
        let state = Mutex::new(State { limit: INITIAL, ..State::default() });
        Self { turns: Semaphore::new(INITIAL), removals: Semaphore::new(MIN), state }
    }
}

impl ConcurrencyLimit {
    /// Waits for a turn, then calls `ask` with its deadline.
    pub async fn run<T, F: Future<Output = Result<T, ApiError>>>(
        &self,
        pod: &str,
        work: Work,
        ask: impl FnOnce(Duration) -> F,
    ) -> Result<T, ApiError> {
        let queued = Instant::now();
        let turns = if work == Work::Removal { &self.removals } else { &self.turns };
        // Semaphores are never closed.
        let turn = turns.acquire().await.ok();
        let limit = {
            let mut state = self.state();
            // Calls queued behind an unanswered one share its error: they would otherwise time out one after the other.
            // A removal is always tried.
            let is_silent = work != Work::Removal && state.silent_pods.len() >= SILENT_PODS;
            let mut unanswered = state.unanswered.iter().filter(|(other, _)| is_silent || *other == pod);
            if let Some((_, (_, error))) = unanswered.find(|(_, (at, _))| *at >= queued) {
                return Err(error.clone());
            }
            state.running += 1;
            state.peak = state.peak.max(state.running);
            // After a long silence, do not wait as long again.
            if state.silent_pods.is_empty() { COMMAND } else { REPLY_TIMEOUT }
        };
        let began = Instant::now();
        let result = ask(limit).await;
        let mut state = self.state();
        state.running -= 1;
        if let Err(error @ ApiError::NoReply { .. }) = &result {
            state.silent_pods.insert(pod.to_owned());
            state.unanswered.insert(pod.to_owned(), (Instant::now(), error.clone()));
        } else {
            state.silent_pods.clear();
            state.unanswered.remove(pod);
        }
        if work == Work::Removal {
            state.lags[1] = queued.elapsed();
        } else if work == Work::Quick {
            state.lags[0] = queued.elapsed();
            match state.adapt(began.elapsed(), result.is_ok()) {
                Ordering::Greater => self.turns.add_permits(1),
                Ordering::Less => turn.into_iter().for_each(SemaphorePermit::forget),
                Ordering::Equal => {}
            }
        }
        result
    }

    /// How long a command currently takes, including its wait for a turn.
    pub fn lag(&self) -> Duration {
        self.state().lags.into_iter().max().unwrap_or_default()
    }

    pub fn load(&self) -> (Duration, usize) {
        let state = self.state();
        (state.slowest, state.peak)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Adapts the limit to the duration of a command, and returns how it changed.
    fn adapt(&mut self, took: Duration, is_ok: bool) -> Ordering {
        self.slowest = self.slowest.max(took);
        let before = self.limit;
        if took > SLOW {
            self.limit = before.saturating_sub(1).max(MIN);
        } else if took < QUICK && is_ok {
            self.limit = (before + 1).min(MAX);
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
    fn quick_commands_raise_the_limit_and_slow_ones_lower_it() {
        let mut state = State { limit: INITIAL, ..State::default() };
        assert_eq!([QUICK / 2, QUICK, SLOW, SLOW * 2].map(|took| state.adapt(took, true)), {
            [Ordering::Greater, Ordering::Equal, Ordering::Equal, Ordering::Less]
        });
        assert_eq!(state.adapt(QUICK / 2, false), Ordering::Equal, "a refusal is quick on any node");
        for (took, limit) in [(QUICK / 2, MAX), (SLOW * 2, MIN)] {
            while state.adapt(took, true).is_ne() {}
            assert_eq!(state.limit, limit);
        }
        assert_eq!(state.slowest, SLOW * 2);
    }

    #[tokio::test]
    async fn more_commands_run_at_once_as_quick_ones_end() {
        let concurrency = ConcurrencyLimit::default();
        let many = join_all((0..20).map(|_| concurrency.run("a", Work::Quick, |_| pending::<Result<(), _>>())));
        assert!(poll!(Box::pin(many)).is_pending());
        assert_eq!(concurrency.load().1, INITIAL);
        let removal = concurrency.run("a", Work::Removal, |_| ready(Ok(())));
        assert!(poll!(Box::pin(removal)).is_ready(), "removals wait for no command");
        let quick = |_| async {
            yield_now().await;
            Ok(())
        };
        let done = join_all((0..60).map(|_| concurrency.run("a", Work::Quick, quick))).await;
        assert!(done.iter().all(Result::is_ok));
        let state = concurrency.state();
        assert_eq!((state.limit, concurrency.turns.available_permits()), (MAX, MAX));
    }

    #[tokio::test]
    async fn queued_commands_for_other_pods_fail_only_after_several_silent_pods() {
        for (pods, tried) in [(&["a", "a", "a", "a", "b", "c"], 6), (&["a", "b", "c", "d", "e", "f"], INITIAL)] {
            let (concurrency, began) = (ConcurrencyLimit::default(), Mutex::new(0));
            let silent = |_| async {
                *began.lock().unwrap() += 1;
                yield_now().await;
                Err::<(), _>(ApiError::NoReply { verb: "get", resource: "pods/exec", limit: SLOW })
            };
            let ended = join_all(pods.iter().map(|pod| concurrency.run(pod, Work::Quick, &silent))).await;
            assert!(ended.iter().all(Result::is_err));
            assert_eq!(*began.lock().unwrap(), tried, "{pods:?}");
        }
    }

    #[tokio::test]
    async fn calls_queued_behind_an_unanswered_one_fail_with_it() {
        let concurrency = ConcurrencyLimit::default();
        let began = Mutex::new(0);
        let silent = |_| async {
            *began.lock().unwrap() += 1;
            yield_now().await;
            Err::<(), _>(ApiError::NoReply { verb: "get", resource: "pods/exec", limit: SLOW })
        };
        let ended = join_all((0..20).map(|_| concurrency.run("a", Work::Quick, &silent))).await;
        assert!(ended.iter().all(Result::is_err));
        assert_eq!(*began.lock().unwrap(), INITIAL);
        // Only calls for the same pod share the error.
        let others = (0..8).map(|number| concurrency.run(["a", "b"][number / INITIAL], Work::Quick, &silent));
        assert!(join_all(others).await.iter().all(Result::is_err));
        assert_eq!(*began.lock().unwrap(), 3 * INITIAL);
        // A later call tries again, with a shorter deadline.
        for expected in [REPLY_TIMEOUT, COMMAND] {
            assert_eq!(concurrency.run("a", Work::Quick, |limit| ready(Ok(limit))).await.unwrap(), expected);
        }
    }
}
