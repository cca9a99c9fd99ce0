//! Live progress of whatever works on the library, this process or another: read from the catalog, so that it is
//! the same picture for both.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::IsTerminal as _,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;
use catalog::{AuditEntry, Catalog, JobFilter};
use domain::{Clock as _, Job, JobId, JobState, RecordingId};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tokio_util::sync::CancellationToken;

use super::text;
use crate::clock;

const LOOK: Duration = Duration::from_millis(250);
/// Bars drawn at most; the overall line counts the rest.
const BARS: u32 = 12;
/// Audit entries read in one look: more than a machine does in a quarter of a second.
const ENTRIES: u32 = 1000;

/// Where progress goes.
pub enum Show {
    /// One bar a job on a terminal.
    Bars(MultiProgress),
    /// A line when something ends.
    Lines,
    /// Nothing: `--json`.
    Silent,
}

impl Show {
    pub fn pick(json: bool) -> Self {
        match (json, std::io::stderr().is_terminal()) {
            (true, _) => Self::Silent,
            (false, true) => Self::Bars(MultiProgress::new()),
            (false, false) => Self::Lines,
        }
    }

    /// A line above the bars.
    pub fn say(&self, line: &str) {
        match self {
            Self::Bars(bars) => drop(bars.println(line)),
            Self::Lines => eprintln!("{line}"),
            Self::Silent => {}
        }
    }
}

pub struct Follow<'a> {
    catalog: Arc<dyn Catalog>,
    show: &'a Show,
    started: Instant,
    /// The last audit entry that was told.
    told: i64,
    done: u64,
    parked: u64,
    bars: BTreeMap<JobId, ProgressBar>,
    overall: Option<ProgressBar>,
    names: BTreeMap<RecordingId, String>,
}

impl<'a> Follow<'a> {
    pub async fn start(catalog: Arc<dyn Catalog>, show: &'a Show) -> Result<Self> {
        let told = catalog.audit(None, 1).await?.first().map_or(0, |e| e.seq);
        Ok(Self {
            catalog,
            show,
            started: Instant::now(),
            told,
            done: 0,
            parked: 0,
            bars: BTreeMap::new(),
            overall: None,
            names: BTreeMap::new(),
        })
    }

    /// Shows what another process does until nothing is left to do, or until `until`.
    pub async fn run_to_rest(&mut self, until: CancellationToken) -> Result<()> {
        self.run(until, true).await
    }

    /// Shows what this process does until `until`.
    pub async fn run_until(&mut self, until: CancellationToken) -> Result<()> {
        self.run(until, false).await
    }

    async fn run(&mut self, until: CancellationToken, to_rest: bool) -> Result<()> {
        loop {
            let open = self.look().await?;
            if until.is_cancelled() || (to_rest && open == 0 && self.is_at_rest().await?) {
                break;
            }
            tokio::select! {
                () = until.cancelled() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
        for bar in self.bars.values().chain(&self.overall) {
            bar.finish_and_clear();
        }
        Ok(())
    }

    /// One look; returns how many jobs are left.
    async fn look(&mut self) -> Result<u64> {
        for entry in self.news().await? {
            self.tell(&entry).await?;
        }
        let open = self.open().await?;
        if let Show::Bars(bars) = self.show {
            let filter = JobFilter { states: vec![JobState::Running], ..JobFilter::default() };
            let running = self.catalog.jobs(&filter, BARS).await?;
            self.draw(bars.clone(), &running, open).await?;
        }
        Ok(open)
    }

    /// Pending and running jobs.
    async fn open(&self) -> Result<u64> {
        let counts = self.catalog.counts().await?;
        Ok([JobState::Pending, JobState::Running].iter().filter_map(|s| counts.jobs.get(s)).sum())
    }

    /// Whether there is no job because nothing is left to do, and not because one is done and what follows from it is not decided yet.
    /// As the runner has it: the counts are the same before and after, so that nothing was decided meanwhile.
    async fn is_at_rest(&self) -> Result<bool> {
        let before = self.catalog.counts().await?.jobs;
        let is_decided = self.catalog.to_decide(clock::System.now(), None, 1).await?.is_empty();
        Ok(is_decided && self.open().await? == 0 && self.catalog.counts().await?.jobs == before)
    }

    /// What was written to the audit log since the last look, oldest first.
    async fn news(&mut self) -> Result<Vec<AuditEntry>> {
        let mut news = self.catalog.audit(None, ENTRIES).await?;
        news.retain(|e| e.seq > self.told);
        news.reverse();
        self.told = news.last().map_or(self.told, |e| e.seq);
        Ok(news)
    }

    async fn tell(&mut self, entry: &AuditEntry) -> Result<()> {
        let action = entry.details["action"].as_str().unwrap_or_default();
        let (done, why) = match entry.what.as_str() {
            "record" => (true, String::new()),
            "park" => (false, entry.details["error"]["message"].as_str().unwrap_or_default().to_owned()),
            _ => return Ok(()),
        };
        if done {
            self.done += 1
        } else {
            self.parked += 1
        }
        let name = match entry.recording {
            Some(id) => self.name(id).await?,
            None => String::new(),
        };
        // Probes are many and say nothing when they succeed.
        if !done {
            self.show.say(&format!("gave up  {action}  {name}: {}", text::inert(&why)));
        } else if action != "probe" {
            self.show.say(&format!("done     {action}  {name}"));
        }
        Ok(())
    }

    async fn name(&mut self, id: RecordingId) -> Result<String> {
        if let Some(name) = self.names.get(&id) {
            return Ok(name.clone());
        }
        let name = self.catalog.get(id).await?.map_or_else(|| id.short(), |r| text::tail(&r.name, 36));
        // A cache, not a register: a library of millions must not gather here.
        if self.names.len() > 1000 {
            self.names.clear();
        }
        self.names.insert(id, name.clone());
        Ok(name)
    }

    async fn draw(&mut self, bars: MultiProgress, running: &[Job], open: u64) -> Result<()> {
        let total = self.done + self.parked + open;
        let overall = self.overall.get_or_insert_with(|| bars.add(ProgressBar::new(total)));
        overall.set_style(style("{bar:30} {pos}/{len} jobs{msg}"));
        overall.set_length(total);
        overall.set_position(self.done + self.parked);
        let longest = running.iter().filter_map(|j| j.progress?.eta_ms).max().map(Duration::from_millis);
        let note =
            overall_note(self.started.elapsed(), self.done, open, self.parked, longest.unwrap_or_default());
        overall.set_message(note);

        let now: BTreeSet<JobId> = running.iter().map(|j| j.spec.id).collect();
        self.bars.retain(|id, bar| {
            let stays = now.contains(id);
            if !stays {
                bar.finish_and_clear();
            }
            stays
        });
        for job in running {
            let name = self.name(job.spec.recording).await?;
            let bar = self.bars.entry(job.spec.id).or_insert_with(|| {
                bars.insert_before(self.overall.as_ref().expect("made above"), ProgressBar::new(1000))
            });
            bar.set_style(style("{bar:30} {percent:>3}% {msg}"));
            bar.set_position(job.progress.map_or(0, |p| u64::from(p.permille)));
            bar.set_message(format!("{} {name}{}", job.spec.action.label(), job_note(job)));
        }
        Ok(())
    }
}

fn job_note(job: &Job) -> String {
    let Some(progress) = job.progress else { return String::new() };
    let speed = progress.speed_percent.map(|s| format!(", {:.1}x", f64::from(s) / 100.0));
    let left = progress.eta_ms.map(|ms| format!(", {} left", text::duration(Duration::from_millis(ms))));
    speed.into_iter().chain(left).collect()
}

/// Speed and time left, as far as the jobs done so far tell; never less than what a running job still takes.
fn overall_note(elapsed: Duration, done: u64, open: u64, parked: u64, longest: Duration) -> String {
    let gave_up = if parked == 0 { String::new() } else { format!(", {parked} gave up") };
    if done == 0 || open == 0 {
        return gave_up;
    }
    let rate = done as f64 / elapsed.as_secs_f64().max(0.001);
    let left = text::duration(Duration::from_secs_f64((open as f64 / rate).min(1e7)).max(longest));
    format!(", {rate:.1} jobs/s, about {left} left{gave_up}")
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the template is a constant").progress_chars("=> ")
}
