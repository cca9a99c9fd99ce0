use std::{
    fmt,
    ops::{Deref, DerefMut},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rustls::ClientConfig;
use tokio::time::Instant;

use super::{
    Tls,
    features::Features,
    refused::Blame,
    session::{Connecting, Session},
};
use crate::{Algorithm, Error, tls};

/// Connections that nobody uses at the moment, each for one command or transfer at a time. Logging in costs six answers, more
/// than all that a small file needs.
pub(super) struct Pool {
    idle: Mutex<Idle>,
    learned: Mutex<Learned>,
    tls: Option<Versions>,
}

#[derive(Default)]
struct Idle {
    /// The last one was used last.
    sessions: Vec<(Session, Instant)>,
    /// Somebody looks whether there are more than have to be.
    thinning: bool,
}

/// TLS 1.2 first: only there can a session be resumed by more than a few data connections. Nobody on the way can have us take
/// anything but the other, newer one.
struct Versions {
    usual: ClientConfig,
    newer: ClientConfig,
    /// The server takes nothing else.
    is_newer: AtomicBool,
}

/// What only the server knows.
#[derive(Debug, Clone)]
pub(super) struct Learned {
    pub resumes: bool,
    pub times: bool,
    pub hashes: Vec<Algorithm>,
    /// When it begins to send a file, it says how many bytes that has.
    pub tells_sizes: bool,
    /// Somebody has asked.
    known: bool,
}

/// Fewer than any server allows: so many stay when there is nothing to do.
const KEPT: usize = 4;
/// After this long a connection may be dead without anybody knowing.
const FRESH: Duration = Duration::from_secs(5);
/// Servers end them after one to five minutes.
const STALE: Duration = Duration::from_secs(50);

impl Pool {
    pub(super) fn new(blame: &Blame) -> Result<Self, Error> {
        let tls = match blame.options.tls {
            Tls::None => None,
            Tls::Explicit | Tls::Implicit => {
                let client = |version| tls::client(&blame.name, &blame.options.trust, &[version]);
                let (usual, newer) = (client(&rustls::version::TLS12)?, client(&rustls::version::TLS13)?);
                Some(Versions { usual, newer, is_newer: AtomicBool::new(false) })
            }
        };
        let learned =
            Learned { resumes: true, times: false, hashes: Vec::new(), tells_sizes: false, known: false };
        Ok(Self { idle: Mutex::default(), learned: Mutex::new(learned), tls })
    }

    /// A connection that is alive, as far as can be told; of our own until it is released.
    pub(super) async fn lease(self: &Arc<Self>, blame: &Blame) -> Result<Lease, Error> {
        while let Some((mut session, since)) = self.pop() {
            let idle = since.elapsed();
            if idle < FRESH || idle < STALE && session.is_alive().await {
                return Ok(Lease { session: Some(session), pool: self.clone() });
            }
        }
        let session = match &self.tls {
            None => Session::connect(blame, None).await,
            Some(tls) if tls.is_newer.load(Ordering::Relaxed) => {
                Session::connect(blame, Some(&tls.newer)).await
            }
            Some(tls) => match Session::connect(blame, Some(&tls.usual)).await {
                Err(Connecting::OtherVersion(_)) => {
                    tls.is_newer.store(true, Ordering::Relaxed);
                    Session::connect(blame, Some(&tls.newer)).await
                }
                done => done,
            },
        };
        let session = session?;
        self.meet(&session.features);
        Ok(Lease { session: Some(session), pool: self.clone() })
    }

    pub(super) fn learned(&self) -> Learned {
        self.learned.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn learn(&self, change: impl FnOnce(&mut Learned)) {
        change(&mut self.learned.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn meet(&self, features: &Features) {
        self.learn(|learned| {
            if !learned.known {
                learned.known = true;
                learned.times = features.mfmt;
                learned.hashes = features.hashes();
            }
        });
    }

    fn pop(&self) -> Option<(Session, Instant)> {
        self.idle().sessions.pop()
    }

    fn keep(self: &Arc<Self>, session: Session) {
        let mut idle = self.idle();
        idle.sessions.push((session, Instant::now()));
        if idle.sessions.len() > KEPT && !idle.thinning {
            idle.thinning = true;
            let pool = Arc::downgrade(self);
            tokio::spawn(async move {
                while let Some(true) = pool.upgrade().map(|pool| pool.thin()) {
                    tokio::time::sleep(FRESH).await;
                }
            });
        }
    }

    /// Closes those that were not needed of late, which may be all that the server allows to everybody; whether there are still more
    /// than have to be.
    fn thin(&self) -> bool {
        let mut idle = self.idle();
        let spare = idle.sessions.len().saturating_sub(KEPT);
        let old = idle.sessions.iter().take(spare).take_while(|(_, since)| since.elapsed() >= FRESH).count();
        idle.sessions.drain(..old);
        idle.thinning = spare > old;
        idle.thinning
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.idle().sessions.len()
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}

/// A connection of our own. Dropped it is closed: only whoever knows that no answer is outstanding may give it back.
pub(super) struct Lease {
    session: Option<Session>,
    pool: Arc<Pool>,
}

impl Lease {
    /// For the next one.
    pub(super) fn release(mut self) {
        if let Some(session) = self.session.take().filter(|session| !session.is_spent()) {
            self.pool.keep(session);
        }
    }
}

impl Deref for Lease {
    type Target = Session;
    fn deref(&self) -> &Session {
        self.session.as_ref().expect("until it is released")
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut Session {
        self.session.as_mut().expect("until it is released")
    }
}
