use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use russh::{
    ChannelMsg, ChannelReadHalf, ChannelWriteHalf,
    client::{Handle, Msg},
};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use super::{
    connect::Keys,
    wire::{self, Reply, Request},
};

/// One SFTP session on one connection: many requests under way at once, each answered by its number.
pub(super) struct Session {
    requests: mpsc::UnboundedSender<Bytes>,
    shared: Arc<Shared>,
    next: AtomicU32,
    pub(super) extensions: BTreeMap<String, String>,
    /// How long an answer takes when there is nothing to do.
    pub(super) latency: Duration,
    /// How long nothing may come while something is asked.
    patience: Duration,
    /// Requests under way that may take long.
    slow: AtomicU32,
    /// It lives as long as somebody holds it.
    #[cfg_attr(not(feature = "rsync"), expect(dead_code, reason = "it is only held"))]
    connection: Handle<Keys>,
}

/// Why a request has no reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lost(pub String);

struct Shared {
    started: Instant,
    /// Milliseconds from `started` to the last sign of life: bytes that came, or that the server took.
    alive: AtomicU64,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    replies: HashMap<u32, oneshot::Sender<Reply>>,
    ended: Option<String>,
}

impl Session {
    pub(super) async fn begin(
        connection: Handle<Keys>,
        mut from: ChannelReadHalf,
        to: ChannelWriteHalf<Msg>,
        patience: Duration,
    ) -> Result<Self, Lost> {
        let mut arrived = BytesMut::new();
        to.data_bytes(wire::init()).await.map_err(|e| Lost(e.to_string()))?;
        let version = loop {
            if let Some(packet) = wire::next(&mut arrived).map_err(noise)? {
                break packet;
            }
            match from.wait().await {
                Some(ChannelMsg::Data { data }) => arrived.extend_from_slice(&data),
                Some(ChannelMsg::Failure) => return Err(Lost("the server has no SFTP for us".into())),
                Some(ChannelMsg::Eof | ChannelMsg::Close) | None => {
                    return Err(Lost("the server ended the SFTP session before it began".into()));
                }
                Some(_) => {}
            }
        };
        let extensions = wire::version(version).map_err(noise)?;
        let shared =
            Arc::new(Shared { started: Instant::now(), alive: AtomicU64::new(0), waiting: Mutex::default() });
        let (requests, queue) = mpsc::unbounded_channel();
        tokio::spawn(send(queue, to, shared.clone()));
        tokio::spawn(receive(from, arrived, shared.clone()));
        let mut session = Self {
            requests,
            shared,
            next: AtomicU32::new(1),
            extensions,
            latency: Duration::ZERO,
            patience,
            slow: AtomicU32::new(0),
            connection,
        };
        session.latency = Duration::MAX;
        // The quickest of some: one may have met a busy moment.
        for _ in 0..3 {
            let asked = Instant::now();
            session.ask(Request::new(wire::kind::REALPATH).string(".")).await?;
            session.latency = session.latency.min(asked.elapsed());
        }
        Ok(session)
    }

    /// Another channel on the same connection.
    #[cfg(feature = "rsync")]
    pub(super) async fn channel(&self) -> Result<russh::Channel<Msg>, Lost> {
        self.connection.channel_open_session().await.map_err(|e| Lost(e.to_string()))
    }

    pub(super) fn has(&self, extension: &str) -> bool {
        self.extensions.contains_key(extension)
    }

    pub(super) fn has_ended(&self) -> bool {
        self.shared.waiting().ended.is_some()
    }

    /// A request that a server may think about for long without a word: until its disk has everything, until a scanner has looked.
    /// All that is asked meanwhile has to wait as well, on servers that do one thing after the other.
    pub(super) async fn ask_patiently(&self, request: Request) -> Result<Reply, Lost> {
        struct Slow<'a>(&'a AtomicU32);
        impl Drop for Slow<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::Relaxed);
            }
        }
        self.slow.fetch_add(1, Ordering::Relaxed);
        let _slow = Slow(&self.slow);
        self.ask(request).await
    }

    /// Sends a request and waits for its reply: as long as it takes, while the server shows that it lives. A deadline for each
    /// request would have to know the bandwidth and what else is under way.
    pub(super) async fn ask(&self, request: Request) -> Result<Reply, Lost> {
        let (sender, mut reply) = oneshot::channel();
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        {
            let mut waiting = self.shared.waiting();
            if let Some(why) = &waiting.ended {
                return Err(Lost(why.clone()));
            }
            waiting.replies.insert(id, sender);
        }
        // When nobody takes it, the session has just ended, and the reply's other half with it.
        let _ = self.requests.send(request.sealed(id));
        let asked = Instant::now();
        loop {
            let deadline = self.deadline(asked);
            match tokio::time::timeout_at(deadline, &mut reply).await {
                Ok(Ok(reply)) => return Ok(reply),
                Ok(Err(_)) => {
                    let why = self.shared.waiting().ended.clone();
                    return Err(Lost(why.unwrap_or_else(|| "the session ended".into())));
                }
                Err(_) if self.deadline(asked) > deadline => {}
                Err(_) => {
                    let why = format!("nothing came from the server for {:?}", self.patience());
                    self.shared.end(&why);
                    return Err(Lost(why));
                }
            }
        }
    }

    fn deadline(&self, asked: Instant) -> Instant {
        self.shared.last_sign().max(asked) + self.patience()
    }

    fn patience(&self) -> Duration {
        if self.slow.load(Ordering::Relaxed) > 0 { self.patience * SLOW } else { self.patience }
    }

    /// Sends a request whose reply interests nobody.
    pub(super) fn tell(&self, request: Request) {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let _ = self.requests.send(request.sealed(id));
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("latency", &self.latency).finish_non_exhaustive()
    }
}

impl Shared {
    fn waiting(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show_life(&self) {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.alive.store(now, Ordering::Relaxed);
    }

    fn last_sign(&self) -> Instant {
        self.started + Duration::from_millis(self.alive.load(Ordering::Relaxed))
    }

    /// Nobody gets a reply any more; the first reason stands.
    fn end(&self, why: &str) {
        let mut waiting = self.waiting();
        waiting.ended.get_or_insert_with(|| why.to_owned());
        waiting.replies.clear();
    }
}

/// So many times longer than else.
const SLOW: u32 = 10;

/// Bytes that are handed to SSH at once: its packets are then full, whatever ours are.
const BATCH: usize = 128 << 10;

async fn send(mut queue: mpsc::UnboundedReceiver<Bytes>, to: ChannelWriteHalf<Msg>, shared: Arc<Shared>) {
    while let Some(first) = queue.recv().await {
        let batch = match queue.try_recv() {
            Err(_) => first,
            Ok(second) => {
                let mut batch = BytesMut::with_capacity(BATCH + (64 << 10));
                batch.extend_from_slice(&first);
                batch.extend_from_slice(&second);
                while batch.len() < BATCH {
                    let Ok(next) = queue.try_recv() else { break };
                    batch.extend_from_slice(&next);
                }
                batch.freeze()
            }
        };
        if let Err(e) = to.data_bytes(batch).await {
            return shared.end(&format!("the connection broke: {e}"));
        }
        shared.show_life();
    }
    let _ = to.eof().await;
    let _ = to.close().await;
}

async fn receive(mut from: ChannelReadHalf, mut arrived: BytesMut, shared: Arc<Shared>) {
    while let Some(message) = from.wait().await {
        let data = match message {
            ChannelMsg::Data { data } => data,
            ChannelMsg::Eof | ChannelMsg::Close => break,
            _ => continue,
        };
        shared.show_life();
        arrived.extend_from_slice(&data);
        loop {
            let parsed = match wire::next(&mut arrived) {
                Ok(None) => break,
                Ok(Some(packet)) => wire::reply(packet),
                Err(e) => Err(e),
            };
            match parsed {
                // Nobody waits where a caller has given up.
                Ok((id, reply)) => _ = shared.waiting().replies.remove(&id).map(|sender| sender.send(reply)),
                Err(e) => return shared.end(&noise(e).0),
            }
        }
    }
    shared.end("the server closed the connection");
}

fn noise(what: wire::Malformed) -> Lost {
    Lost(format!("the server does not speak SFTP version 3: {}", what.0))
}
