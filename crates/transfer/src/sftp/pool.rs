use std::sync::Arc;

use tokio::{sync::Mutex, time::Instant};

use super::{Options, connect, session::Session};
use crate::Error;

/// The connections to one server. They are made when they are needed, shared when there may be no more, and forgotten when they
/// have ended.
#[derive(Debug)]
pub(super) struct Pool {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    sessions: Vec<Arc<Session>>,
    /// Whoever waited while another one failed to connect does not try the same again at once.
    failed: Option<(Instant, Error)>,
}

impl Pool {
    pub(super) fn new() -> Self {
        Self { state: Mutex::default() }
    }

    /// A session that nobody else uses, if there may be one more; else the one that is used least.
    pub(super) async fn session(&self, name: &str, options: &Options) -> Result<Arc<Session>, Error> {
        let asked = Instant::now();
        let mut state = self.state.lock().await;
        state.sessions.retain(|session| !session.has_ended());
        let least = state.sessions.iter().min_by_key(|session| Arc::strong_count(session)).cloned();
        let may_connect = state.sessions.len() < options.connections.max(1);
        if let Some(least) = least {
            // One is the pool's, one is `least`.
            if Arc::strong_count(&least) == 2 || !may_connect {
                return Ok(least);
            }
        }
        if let Some((at, error)) = &state.failed
            && *at > asked
        {
            return Err(error.clone());
        }
        match connect::connect(name, options).await {
            Ok(session) => {
                let session = Arc::new(session);
                state.sessions.push(session.clone());
                Ok(session)
            }
            // A server that takes no further connection still has those that we have.
            Err(e) => match state.sessions.first() {
                Some(session) if e.is_temporary() => Ok(session.clone()),
                _ => {
                    state.failed = Some((Instant::now(), e.clone()));
                    Err(e)
                }
            },
        }
    }
}
