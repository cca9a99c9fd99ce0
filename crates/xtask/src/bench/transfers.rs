//! One file of 1 GiB and 2,000 of 256 KiB, up and down, by each protocol, in turns with what people use for it, against the same
//! server on the same cores. Peers compare sizes on arrival and no more: with them is compared what we do by sizes. Beside it stands
//! what we do by default, by hashes. Where the best peer only sends, and looks neither before nor after, it is also had do as we do.

mod grounds;
mod peers;

use std::{
    fs,
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use self::grounds::Ground;
use super::{Size, load::Usage, median, ratio, work};
use crate::run::{cargo, run as execute, target};

/// Ways of ours, before those of others: by sizes, as they do it, and by hashes.
const OURS: usize = 2;

/// Nothing here takes a minute; what hangs does not keep the rest.
const LONGEST: Duration = Duration::from_secs(150);

/// MB that a transfer may take at most.
const MEMORY: f64 = 64.0;

/// Files to be sent, all below one folder.
pub struct Pile {
    pub folder: PathBuf,
    /// Their names in it.
    pub names: Vec<String>,
    bytes: u64,
    what: &'static str,
    /// Our time over the best peer's, at most.
    most: f64,
}

impl Pile {
    /// A large file takes half a second by some protocols: fewer rounds would leave it to chance.
    fn rounds(&self) -> usize {
        if self.is_large() { 9 } else { 5 }
    }

    fn is_large(&self) -> bool {
        self.names.len() == 1
    }
}

/// A program with its arguments, or why there is none.
pub type Made = Result<Command, String>;
type Put = dyn Fn(&Pile) -> Made;
type Get = dyn Fn(&Pile, &Path) -> Made;

/// A way to send a pile and to get it back.
pub struct Way {
    pub name: String,
    /// Into the server's empty folder.
    pub put: Box<Put>,
    /// Into an empty folder here.
    pub get: Box<Get>,
}

#[derive(Default)]
struct Costs {
    wall: Vec<f64>,
    cpu: Vec<f64>,
    peak: Vec<f64>,
}

pub fn run(size: Size) -> Result<(), String> {
    execute(&mut cargo(&[
        "build",
        "--locked",
        "--release",
        "--package",
        "transfer",
        "--all-features",
        "--example",
        "pile",
    ]))?;
    let home = work::folder("transfers")?;
    let piles = [
        pile(&home, "large", "1 GiB in one file", 1, size.of(1 << 30, 8 << 20), 1.0)?,
        pile(&home, "many", "2,000 files of 256 KiB", size.of(2_000, 20), 256 << 10, 0.999)?,
    ];
    let only = std::env::var("BENCH_PROTOCOL").unwrap_or_default();
    for (name, start) in grounds::ALL {
        if name.contains(only.as_str()) {
            let ground = start(&home)?;
            for pile in &piles {
                one(name, &ground, pile, &home.join("back"), size.of(pile.rounds(), 1))?;
            }
        }
    }
    Ok(())
}

fn one(protocol: &str, ground: &Ground, pile: &Pile, back: &Path, rounds: usize) -> Result<(), String> {
    let mut up: Vec<Costs> = ground.ways.iter().map(|_| Costs::default()).collect();
    let mut down: Vec<Costs> = ground.ways.iter().map(|_| Costs::default()).collect();
    // With one file it is bytes that cost.
    let alike = ground.alike.as_ref().filter(|_| !pile.is_large());
    let mut same = Costs::default();
    let mut failed = vec![false; ground.ways.len()];
    for round in 0..rounds {
        if let Some(alike) = alike {
            (ground.empty)()?;
            same.add(alike(pile)?)?;
            arrived(pile, &ground.served)?;
        }
        // Whoever comes first finds the machine otherwise than who comes last, so each does in turn.
        for n in (0..ground.ways.len()).map(|n| (n + round) % ground.ways.len()) {
            if failed[n] {
                continue;
            }
            let way = &ground.ways[n];
            let mut there_and_back = || {
                (ground.empty)()?;
                up[n].add((way.put)(pile)?)?;
                arrived(pile, &ground.served)?;
                let _ = fs::remove_dir_all(back);
                fs::create_dir_all(back).map_err(|e| e.to_string())?;
                down[n].add((way.get)(pile, back)?)?;
                arrived(pile, back)
            };
            match there_and_back() {
                Ok(()) => {}
                // Not every peer can do everything; what is missing in the list is said here, once.
                Err(e) if n >= OURS => {
                    failed[n] = true;
                    println!("{protocol}, {}, {}: did not succeed: {}", pile.what, way.name, brief(&e));
                }
                Err(e) => return Err(format!("{protocol}: {e}")),
            }
        }
    }
    let _ = fs::remove_dir_all(back);
    for (direction, costs) in [("put", &up), ("get", &down)] {
        println!("\n{protocol} {direction}, {}", pile.what);
        let mut best = f64::INFINITY;
        let whole = ground.ways.iter().zip(costs).enumerate().filter(|(_, (_, c))| c.wall.len() == rounds);
        for (n, (way, costs)) in whole {
            costs.show(&way.name);
            if n >= OURS {
                best = best.min(median(&costs.wall));
            }
        }
        let ours = median(&costs[0].wall);
        let target = if pile.most < 1.0 { "< 1".to_owned() } else { format!("<= {}", pile.most) };
        ratio("ours / the best peer", ours / best, &target, ours / best <= pile.most);
        if direction == "put" && alike.is_some() {
            same.show("curl, with the requests of ours");
            let same = ours / median(&same.wall);
            ratio("ours / the same by curl", same, &target, same <= pile.most);
        }
        let peak = costs[..OURS].iter().map(|costs| median(&costs.peak)).fold(0.0, f64::max);
        ratio("peak resident memory, MB", peak, &format!("<= {MEMORY}"), peak <= MEMORY);
    }
    Ok(())
}

impl Costs {
    fn show(&self, what: &str) {
        let (wall, cpu, peak) = (median(&self.wall), median(&self.cpu), median(&self.peak));
        let runs: Vec<String> = self.wall.iter().map(|s| format!("{s:.2}")).collect();
        println!("{what:<34} {wall:>7.2} s wall {cpu:>6.2} s CPU {peak:>5.0} MB   ({})", runs.join(", "));
    }

    /// Of a program that has to succeed, until it has ended.
    fn add(&mut self, mut command: Command) -> Result<(), String> {
        let log = std::env::temp_dir().join(format!("videorec-bench-{}.log", std::process::id()));
        let file = fs::File::create(&log).map_err(|e| e.to_string())?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
        let started = Instant::now();
        let mut child = command.spawn().map_err(|e| format!("{command:?} did not start: {e}"))?;
        let mut usage = Usage::default();
        let status = loop {
            // What has ended says nothing any more.
            let now = Usage::of(child.id());
            if now.peak > 0.0 {
                usage = now;
            }
            if let Some(status) = child.try_wait().map_err(|e| e.to_string())? {
                break status;
            }
            if started.elapsed() > LONGEST {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("{command:?} was still at it after {LONGEST:?}"));
            }
            thread::sleep(Duration::from_millis(5));
        };
        self.wall.push(started.elapsed().as_secs_f64());
        self.cpu.push(usage.own);
        self.peak.push(usage.peak);
        let said = fs::read_to_string(&log).unwrap_or_default();
        let _ = fs::remove_file(&log);
        if status.success() { Ok(()) } else { Err(format!("{command:?}: {status}: {said}")) }
    }
}

/// What went wrong, without all the arguments.
fn brief(error: &str) -> &str {
    let mut lines = error.lines().filter(|l| !l.trim().is_empty());
    lines.next_back().map_or(error, |line| line.get(..200).unwrap_or(line))
}

/// A program that sends nothing is fast.
fn arrived(pile: &Pile, at: &Path) -> Result<(), String> {
    let (mut files, mut bytes, mut folders) = (0, 0, vec![at.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(|e| format!("{}: {e}", folder.display()))?.flatten() {
            let Ok(meta) = entry.metadata() else { continue };
            // The server's own notes on what it keeps.
            if entry.file_name().to_string_lossy().starts_with('.') {
                continue;
            }
            if meta.is_dir() {
                folders.push(entry.path());
            } else {
                (files, bytes) = (files + 1, bytes + meta.len());
            }
        }
    }
    if (files, bytes) == (pile.names.len(), pile.bytes) {
        return Ok(());
    }
    Err(format!(
        "{files} files, {bytes} bytes in {}; {} and {} were sent",
        at.display(),
        pile.names.len(),
        pile.bytes
    ))
}

fn pile(
    home: &Path,
    name: &str,
    what: &'static str,
    files: usize,
    size: usize,
    most: f64,
) -> Result<Pile, String> {
    let folder = home.join(name);
    let names: Vec<String> = match files {
        1 => vec!["large.mp4".into()],
        _ => (0..files).map(|n| format!("many/{n:04}.mp4")).collect(),
    };
    let bytes = (files * size) as u64;
    let io = |e: std::io::Error| format!("{}: {e}", folder.display());
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(folder.join("many")).map_err(io)?;
    let mut random = fs::File::open("/dev/urandom").map_err(io)?;
    let mut block = vec![0; size.min(1 << 20)];
    for name in &names {
        let mut file = fs::File::create(folder.join(name)).map_err(io)?;
        for _ in 0..size / block.len() {
            random.read_exact(&mut block).map_err(io)?;
            file.write_all(&block).map_err(io)?;
        }
    }
    if files == 1 {
        fs::remove_dir(folder.join("many")).map_err(io)?;
    }
    execute(program().arg("hash").arg(&folder))?;
    Ok(Pile { folder, names, bytes, what, most })
}

/// `crates/transfer/examples/pile.rs`.
fn program() -> Command {
    Command::new(target().join("release/examples/pile"))
}
