use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use super::{Fleet, NOTHING, Objects};
use crate::bench::{Size, load::Usage, median, ratio, work};

/// What a worker is that has nothing to do, and how soon it is there when there is something: a fleet that scales from
/// nothing waits for this.
pub fn run(size: Size) -> Result<(), String> {
    let mut fleet = Fleet::start("fleet-idle", Objects::Emulator)?;
    // The first worker of all also makes the catalog's tables.
    let first = fleet.worker(NOTHING)?;
    thread::sleep(size.of(Duration::from_secs(10), Duration::from_secs(2)));
    let resident = work::status_mb(first.process.id(), "VmRSS").ok_or("the worker is gone")?;
    let before = Usage::of(first.process.id()).own;
    thread::sleep(Duration::from_secs(10));
    let usage = fleet.end(first)?;
    println!("idle: {:.2} s of CPU in 10 s; {usage}", usage.own - before);

    let (mut starts, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..size.of(10, 2) {
        let tap = Tap::before(fleet.around.aws.address(), "AmazonSQS.ReceiveMessage")?;
        starts.push(start(&mut fleet, &tap)?);
        bare.push(request(&fleet)?);
    }
    let millis = |runs: &[Duration]| runs.iter().map(|d| d.as_secs_f64() * 1000.0).collect::<Vec<_>>();
    let (starts, bare) = (millis(&starts), millis(&bare));
    println!("runs, ms: {starts:.0?}; a bare request to the same server, connecting included: {bare:.1?}");
    let beyond = median(&starts) - median(&bare);
    ratio("idle worker, RSS in MB", resident, "<= 40", resident <= 40.0);
    ratio("exec to first receive, ms beyond the network", beyond, "<= 100", beyond <= 100.0);
    Ok(())
}

/// From exec to the first message that is asked for, as the tap sees it come.
fn start(fleet: &mut Fleet, tap: &Tap) -> Result<Duration, String> {
    let mut worker = fleet.prepared(NOTHING)?;
    worker.command.env("AWS_ENDPOINT_URL", format!("http://{}", tap.address));
    let began = Instant::now();
    let worker = worker.start()?;
    let seen = tap.seen.recv_timeout(Duration::from_secs(30));
    let seen = seen.map_err(|_| format!("no receive within 30 s; see {}", worker.log.display()))?;
    // Killed: it has no message that could be lost, and its end would take as long as its polls.
    drop(worker);
    Ok(seen - began)
}

fn request(fleet: &Fleet) -> Result<Duration, String> {
    let began = Instant::now();
    fleet.wire()?.sqs("ListQueues", "{}")?;
    Ok(began.elapsed())
}

/// Passes everything on to a server and says when a request with a certain text came. Ends with the process.
struct Tap {
    address: SocketAddr,
    seen: mpsc::Receiver<Instant>,
}

impl Tap {
    fn before(server: SocketAddr, text: &'static str) -> Result<Self, String> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|e| e.to_string())?;
        let address = listener.local_addr().map_err(|e| e.to_string())?;
        let (tell, seen) = mpsc::channel();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(upstream) = TcpStream::connect(server) else { continue };
                let (Ok(from), Ok(to)) = (upstream.try_clone(), client.try_clone()) else { continue };
                let tell = tell.clone();
                thread::spawn(move || {
                    pass(client, upstream, |chunk| {
                        if chunk.windows(text.len()).any(|w| w.eq_ignore_ascii_case(text.as_bytes())) {
                            let _ = tell.send(Instant::now());
                        }
                    });
                });
                thread::spawn(move || pass(from, to, |_| {}));
            }
        });
        Ok(Self { address, seen })
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, look: impl Fn(&[u8])) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        look(&buffer[..read]);
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
