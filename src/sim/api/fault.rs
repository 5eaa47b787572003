//! What the scenario does to a request: at its beginning, and later while its answer is still open.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt, Stream, StreamExt, stream};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Bytes, Frame};
use tokio::task::yield_now;

use super::super::World;
use super::super::scenario::Answer;
use super::request::Asked;

/// The body of an answer.
pub(super) type Body = UnsyncBoxBody<Bytes, Cut>;

/// The connection is dropped, as if the API server had died.
#[derive(Debug, thiserror::Error)]
#[error("cut off by the scenario")]
pub(super) struct Cut;

/// The faults of one request.
#[derive(Clone)]
pub(super) struct Faults {
    world: Arc<World>,
    verb: &'static str,
    resource: String,
    asked: Duration,
    /// What it gets instead of an answer.
    pub now: Option<Answer>,
}

impl Faults {
    /// Those of a request that was just read.
    pub fn of(world: &Arc<World>, request: &Asked) -> Self {
        world.asked();
        let asked = world.elapsed();
        let now = world.scenario.answer(request.verb, &request.resource, asked);
        Self { world: Arc::clone(world), verb: request.verb, resource: request.resource.clone(), asked, now }
    }

    /// Whether only the beginning of the answer is sent.
    pub fn is_half(&self) -> bool {
        self.now == Some(Answer::Half)
    }

    /// Does what an open connection is for, until a fault begins; the connection is closed or silent then.
    pub async fn during(&self, work: impl Future<Output = ()>) {
        tokio::select! {
            biased;
            answer = self.begins() => silent_if(answer).await,
            () = work => {}
        }
    }

    /// The body of these chunks, until a fault begins.
    pub fn body(self, chunks: impl Stream<Item = Bytes> + Send + 'static) -> Body {
        let begins = async move {
            if self.is_half() {
                // What there is at once goes out before.
                yield_now().await;
                return Answer::Half;
            }
            self.begins().await
        };
        let state = (Box::pin(chunks), Box::pin(begins.fuse()));
        let frames = stream::unfold(state, |(mut chunks, mut begins)| async move {
            tokio::select! {
                biased;
                answer = &mut begins => {
                    silent_if(answer).await;
                    // So that hyper flushes what it has.
                    yield_now().await;
                    Some((Err(Cut), (chunks, begins)))
                }
                chunk = chunks.next() => chunk.map(|chunk| (Ok(Frame::data(chunk)), (chunks, begins))),
            }
        });
        StreamBody::new(frames).boxed_unsync()
    }

    /// Waits for the first fault that begins after the request and hits what is open already.
    async fn begins(&self) -> Answer {
        match self.world.scenario.later(self.verb, &self.resource, self.asked) {
            Some((after, answer)) => {
                self.world.at(after).await;
                answer
            }
            None => pending().await,
        }
    }
}

/// Never ends if the connection stays open without a word.
async fn silent_if(answer: Answer) {
    if answer == Answer::Silence {
        pending::<()>().await;
    }
}
