use std::{
    io::{Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

/// A TCP proxy before a real server, that breaks what goes through it on cue.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    state: Arc<State>,
}

/// What happens to connections, until it is set to something else. Bytes are counted per connection and direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    None,
    /// New connections are closed at once, open ones too: the server is down.
    Down,
    /// The answer ends after so many bytes, as if the line were cut.
    CutAnswer {
        after: u64,
    },
    /// The request does not arrive whole.
    CutRequest {
        after: u64,
    },
    /// The request arrives and is done, the answer is lost.
    LoseAnswer,
    /// Nothing goes through in either direction, and nothing is closed.
    Stall,
    /// The answer stops after about so many bytes, and nothing is closed.
    StallAnswer {
        after: u64,
    },
    /// The answer's byte at this place has one bit flipped.
    FlipAnswer {
        at: u64,
    },
    /// Answers arrive at this rate.
    Slow {
        bytes_per_second: u64,
    },
}

#[derive(Debug)]
struct State {
    fault: Mutex<Fault>,
    /// Set with every new fault; connections of before look again.
    changes: AtomicU64,
    /// After so many new connections the fault is over; 0: it stays.
    left: AtomicU64,
    connections: AtomicU64,
    closed: AtomicBool,
}

impl Proxy {
    pub fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port");
        let port = listener.local_addr().expect("bound").port();
        let state = Arc::new(State {
            fault: Mutex::new(Fault::None),
            changes: AtomicU64::new(0),
            left: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            closed: AtomicBool::new(false),
        });
        let shared = state.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if shared.closed.load(Ordering::SeqCst) {
                    return;
                }
                let shared = shared.clone();
                std::thread::spawn(move || serve(client, server, &shared));
            }
        });
        Self { port, state }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// From now on; connections that are open are broken too, so that no pooled one escapes.
    pub fn set(&self, fault: Fault) {
        self.state.left.store(0, Ordering::SeqCst);
        *self.state.fault.lock().expect("not poisoned") = fault;
        self.state.changes.fetch_add(1, Ordering::SeqCst);
    }

    /// For the next `n` connections, then none.
    pub fn set_for(&self, fault: Fault, n: u64) {
        self.set(fault);
        self.state.left.store(n, Ordering::SeqCst);
    }

    /// How many connections were made.
    pub fn connections(&self) -> u64 {
        self.state.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.closed.store(true, Ordering::SeqCst);
        self.set(Fault::Down);
        // Wakes the listener, so that its thread ends.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

impl State {
    /// The fault of one new connection.
    fn next(&self) -> Fault {
        let mut fault = self.fault.lock().expect("not poisoned");
        let now = *fault;
        let left = self.left.load(Ordering::SeqCst);
        if now != Fault::None && left > 0 {
            self.left.store(left - 1, Ordering::SeqCst);
            if left == 1 {
                *fault = Fault::None;
            }
        }
        now
    }
}

fn serve(client: TcpStream, server: SocketAddr, state: &Arc<State>) {
    state.connections.fetch_add(1, Ordering::SeqCst);
    let born = state.changes.load(Ordering::SeqCst);
    let fault = state.next();
    if fault == Fault::Down {
        return;
    }
    let Ok(upstream) = TcpStream::connect(server) else { return };
    let _ = (client.set_nodelay(true), upstream.set_nodelay(true));
    let (Ok(from_client), Ok(from_server)) = (client.try_clone(), upstream.try_clone()) else { return };
    let requests = {
        let (state, upstream) = (state.clone(), upstream.try_clone());
        std::thread::spawn(move || {
            if let Ok(upstream) = upstream {
                pump(from_client, upstream, &state, born, |chunk, seen| request(fault, chunk, seen));
            }
        })
    };
    pump(from_server, client, state, born, |chunk, seen| answer(fault, chunk, seen));
    let _ = requests.join();
}

/// How many bytes of a chunk go on; fewer than all end the connection.
fn request(fault: Fault, chunk: &mut [u8], seen: u64) -> usize {
    match fault {
        Fault::CutRequest { after } => {
            usize::try_from(after.saturating_sub(seen)).map_or(chunk.len(), |n| n.min(chunk.len()))
        }
        Fault::Stall => stall(),
        _ => chunk.len(),
    }
}

fn answer(fault: Fault, chunk: &mut [u8], seen: u64) -> usize {
    match fault {
        Fault::CutAnswer { after } => {
            usize::try_from(after.saturating_sub(seen)).map_or(chunk.len(), |n| n.min(chunk.len()))
        }
        Fault::LoseAnswer => 0,
        Fault::FlipAnswer { at } => {
            if let Some(byte) = at.checked_sub(seen).and_then(|i| chunk.get_mut(usize::try_from(i).ok()?)) {
                *byte ^= 1;
            }
            chunk.len()
        }
        Fault::Slow { bytes_per_second } => {
            std::thread::sleep(Duration::from_secs_f64(chunk.len() as f64 / bytes_per_second as f64));
            chunk.len()
        }
        Fault::Stall => stall(),
        Fault::StallAnswer { after } if seen >= after => stall(),
        _ => chunk.len(),
    }
}

/// Long enough for whoever waits to give up; the connection's end is noticed by the fault's end.
fn stall() -> usize {
    std::thread::sleep(Duration::from_secs(60));
    0
}

fn pump(
    mut from: TcpStream,
    mut to: TcpStream,
    state: &State,
    born: u64,
    mut pass: impl FnMut(&mut [u8], u64) -> usize,
) {
    let _ = from.set_read_timeout(Some(Duration::from_millis(50)));
    let mut buffer = vec![0; 16 << 10];
    let mut seen = 0;
    loop {
        let read = from.read(&mut buffer);
        // Before passing it on: what comes on a pooled connection meets the new fault and not the old one.
        if state.changes.load(Ordering::SeqCst) != born {
            break;
        }
        match read {
            Ok(0) => break,
            Ok(n) => {
                let passed = pass(&mut buffer[..n], seen);
                seen += n as u64;
                if to.write_all(&buffer[..passed]).is_err() || passed < n {
                    break;
                }
            }
            Err(e) if matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {}
            Err(_) => break,
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
