//! Sessions with a server, one after the other: the way may have broken and not the server.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use tokio::time::{Instant, sleep};

use super::access;
use super::call::{Answer, Session, Trouble, What};
use super::turn::{self, Before};
use super::way::Way;
use crate::check::Site;
use crate::event::{Reason, Verdict};

/// The pause before a connection that was not taken, or ended, is made again: there is no event for a port that opens.
const PAUSE: Duration = Duration::from_millis(200);
/// In so many sessions a server may answer and not come to the end.
const SESSIONS: u32 = 2;

pub struct Attempts<'a> {
    site: &'a Site,
    pod: &'a Pod,
    way: &'a Way,
    /// Each call is answered within this time.
    within: Duration,
    before: Before,
    /// When no other session begins any more.
    deadline: Instant,
    /// In how many sessions the server has answered.
    pub served: u32,
}

impl<'a> Attempts<'a> {
    pub fn new(site: &'a Site, pod: &'a Pod, way: &'a Way, within: Duration) -> Self {
        let before = turn::before(site, pod);
        let deadline = Instant::now() + within + turn::slack(site);
        Self { site, pod, way, within, before, deadline, served: 0 }
    }

    /// Connects, and waits until no other test is at the server's first request.
    ///
    /// # Errors
    /// The API makes no port-forward, which says nothing of the server; or a request of another test ended it.
    pub async fn session(&mut self) -> Result<Answer<Session>, Verdict> {
        Ok(match self.way.connect(self.site, self.pod, self.deadline).await? {
            Ok(connection) => {
                let turn = turn::turn(self.site, &mut self.deadline).await?;
                Ok(Session::new(connection, self.within, turn))
            }
            Err(trouble) => Err(trouble),
        })
    }

    /// What ended a session.
    ///
    /// # Errors
    /// The server ended at a request of another test.
    pub async fn ended(&mut self, mut session: Session, trouble: Trouble) -> Result<Trouble, Verdict> {
        self.deadline += session.paused;
        self.served += u32::from(session.answered > 0);
        // Nobody else begins until it is known whether the server ended.
        let _turn = session.turn.take();
        let trouble = session.explain(trouble).await;
        turn::explain(self.site, self.pod, &self.before, trouble).await
    }

    /// Whether another session may go further; after a pause.
    pub async fn again(&self, trouble: &Trouble) -> bool {
        let is_again = is_passing(trouble, self.served) && Instant::now() + PAUSE < self.deadline;
        if is_again {
            sleep(PAUSE).await;
        }
        is_again
    }

    /// The live options of the export after the last session; `None` where the file does not say, or nobody can look because the
    /// container has just ended.
    ///
    /// # Errors
    /// It was not the server that ended the connection, or the node does not do what it is asked.
    pub async fn options(&self, trouble: &Trouble) -> Result<Option<Vec<String>>, Verdict> {
        match &trouble.what {
            What::Exited(_) => Ok(None),
            What::Broken(why) => {
                let object = format!("cluster {}", self.site.shared.cluster.context());
                let reason = Reason::new(object, "to forward a port of the pod", why);
                Err(Verdict::error(reason.hint("try kubectl port-forward; look at the node's kubelet")))
            }
            _ => access::live(self.site, self.pod).await,
        }
    }
}

/// Whether it may have been the way, and not the server.
fn is_passing(trouble: &Trouble, served: u32) -> bool {
    let is_end = matches!(trouble.what, What::Ended(_) | What::Broken(_) | What::Unreachable(_));
    is_end && served < SESSIONS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_end_after_an_answer_is_the_servers() {
        let is = |what: What, served: u32| is_passing(&Trouble { call: "FSINFO".to_owned(), what }, served);
        let ended = || What::Ended("early eof".to_owned());
        assert!(is(ended(), 0) && is(ended(), 1) && !is(ended(), 2));
        assert!(!is(What::Silent, 0) && !is(What::Refused("NFS3ERR_IO".to_owned()), 0));
    }
}
