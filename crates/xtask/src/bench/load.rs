//! Who spent the processors' time: what says which bound a bench hit. Linux only, like the benches.

use std::{fs, time::Instant};

use super::work;

/// The kernel counts in hundredths of a second, whatever its own clock.
const TICK: f64 = 0.01;

/// What a process has taken so far.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    /// The highest, in MB.
    pub peak: f64,
    /// Processor seconds of its own.
    pub own: f64,
    /// Of its children that have ended.
    pub children: f64,
}

impl Usage {
    pub fn of(pid: u32) -> Self {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // Behind the name, which may hold anything; the third field comes first then.
        let fields: Vec<f64> = stat
            .rsplit_once(')')
            .map(|(_, rest)| rest.split_whitespace().map(|f| f.parse().unwrap_or(0.0)).collect())
            .unwrap_or_default();
        let of = |fields: &[f64]| fields.iter().sum::<f64>() * TICK;
        Self {
            peak: work::status_mb(pid, "VmHWM").unwrap_or(0.0),
            own: fields.get(11..13).map_or(0.0, of),
            children: fields.get(13..15).map_or(0.0, of),
        }
    }

    /// Of all processes that have this in their environment, as a pool's children have it.
    pub fn of_all(variable: &str) -> Self {
        with_environment(variable).into_iter().map(Self::of).fold(Self::default(), |all, one| Self {
            peak: all.peak + one.peak,
            own: all.own + one.own,
            children: all.children + one.children,
        })
    }
}

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "peak RSS {:.0} MB, CPU {:.2} s of its own", self.peak, self.own)?;
        if self.children > 0.0 { write!(f, " and {:.1} s of its children", self.children) } else { Ok(()) }
    }
}

/// Some servers' and the machine's load from one moment on.
pub struct Load {
    servers: Vec<(&'static str, Vec<u32>, f64)>,
    since: Instant,
    busy: f64,
}

impl Load {
    pub fn begin(servers: Vec<(&'static str, Vec<u32>)>) -> Self {
        let spent = |(name, pids): (_, Vec<u32>)| {
            let spent = spent(&pids);
            (name, pids, spent)
        };
        Self { servers: servers.into_iter().map(spent).collect(), since: Instant::now(), busy: busy() }
    }

    /// In words. A server of one thread that is near 100 % is the bound, and whoever asks it less is faster.
    pub fn end(&self) -> String {
        use std::fmt::Write as _;
        let took = self.since.elapsed().as_secs_f64();
        let share = |seconds: f64| seconds / took * 100.0;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let mut text = String::new();
        for (name, pids, before) in &self.servers {
            let _ = write!(text, "{name} {:.0} %, ", share(spent(pids) - before));
        }
        let _ = write!(text, "machine {:.0} of {} %", share(busy() - self.busy), cores * 100);
        text
    }
}

fn spent(pids: &[u32]) -> f64 {
    pids.iter().map(|pid| Usage::of(*pid).own).sum()
}

/// Of all processors, with everybody else's work.
fn busy() -> f64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields = stat.lines().next().unwrap_or_default().split_whitespace().skip(1);
    let fields: Vec<f64> = fields.map(|f| f.parse().unwrap_or(0.0)).collect();
    // user nice system idle iowait irq softirq steal; the guests' are in the first two.
    [0, 1, 2, 5, 6].iter().filter_map(|i| fields.get(*i)).sum::<f64>() * TICK
}

pub fn with_environment(variable: &str) -> Vec<u32> {
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = pids.filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|b| *b == 0).any(|v| v == variable.as_bytes())
    })
    .collect()
}
