use std::{
    io::Write as _,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use catalog::Catalog;
use domain::{RecordingId, State};
use tokio_util::sync::CancellationToken;
use worker::{Found, Intake, Options, Taken as TakenIn, Walk};

use super::{custody::fields, ls};
use crate::{
    cli::Ingest,
    config::Config,
    exit::Code,
    lock::{self, Taken},
    ui::{
        self,
        progress::{Follow, Show},
        text,
    },
    wire::{self, Workshop},
};

/// Recordings listed one by one at the end; beyond it, only those that did not become ready.
const LISTED: usize = 20;
/// Ids remembered for the report at the end: 16 bytes each.
const REMEMBERED: usize = 1_000_000;
/// Running jobs may finish for this long after Ctrl-C.
const DRAIN: Duration = Duration::from_secs(20);

/// What came in.
#[derive(Default)]
struct Tally {
    new: u64,
    known: u64,
    refused: u64,
    bytes: u64,
    ids: Vec<RecordingId>,
}

pub async fn run(config: &Config, args: &Ingest) -> Result<Code> {
    let stop = super::up::stop_on_signal();
    let mut workshop = wire::work(config, &args.machine).await?;
    let show = Show::pick(config.json);
    let runner = wire::runner(&workshop.library, &args.machine, DRAIN);
    if workshop.lock.is_some() {
        runner.recover().await?;
    }
    let tally = take_in(config, args, &workshop, &show, &stop).await?;
    if !args.no_wait && !stop.is_cancelled() {
        let catalog: Arc<dyn Catalog> = workshop.library.catalog.clone();
        let mut follow = Follow::start(catalog, &show).await?;
        if workshop.lock.is_none() {
            watch(&mut workshop, &mut follow, &show, &stop).await?;
        }
        if workshop.lock.is_some() {
            runner.recover().await?;
            let rested = CancellationToken::new();
            let work = async {
                runner.run_to_rest(stop.clone()).await;
                rested.cancel();
            };
            let ((), shown) = tokio::join!(work, follow.run_until(rested.clone()));
            shown?;
        }
    }
    finish(config, &workshop, &tally, !args.no_wait && !stop.is_cancelled()).await
}

/// Watches the process that works here until nothing is left to do, or until it ends and this one can take over.
async fn watch(
    workshop: &mut Workshop,
    follow: &mut Follow<'_>,
    show: &Show,
    stop: &CancellationToken,
) -> Result<()> {
    let holder = workshop.holder.map(|pid| format!(" (process {pid})")).unwrap_or_default();
    show.say(&format!(
        "another videorec{holder} does the work; this one watches, and takes over should it end"
    ));
    let over = stop.child_token();
    let path = workshop.layout.lock();
    let wait = async {
        while !over.is_cancelled() {
            if let Ok(Taken::Ours(lock)) = lock::take(&path) {
                over.cancel();
                return Some(lock);
            }
            tokio::select! {
                () = over.cancelled() => {}
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
            }
        }
        None
    };
    let watched = async {
        let watched = follow.run_to_rest(over.clone()).await;
        over.cancel();
        watched
    };
    let (lock, watched) = tokio::join!(wait, watched);
    workshop.lock = lock;
    watched
}

async fn take_in(
    config: &Config,
    args: &Ingest,
    workshop: &Workshop,
    show: &Show,
    stop: &CancellationToken,
) -> Result<Tally> {
    let mut tally = Tally::default();
    let mut unreadable = Vec::new();
    let options = Options {
        recorded_at: args.recorded_at,
        tags: args.tag.iter().cloned().collect(),
        fields: fields(&workshop.library.policy, &args.field)?,
        ..Options::default()
    };
    let intake = Intake::new(workshop.library.clone(), options);
    let library_folders = [workshop.layout.recordings(), workshop.layout.state(), workshop.layout.inbox()];
    let walk = Walk::new(&args.paths, &library_folders).filter_map(|entry| match entry {
        Ok(found) => Some(found),
        Err((path, e)) => {
            unreadable.push(format!("not taken  {}: {e}", text::inert(&path.display().to_string())));
            None
        }
    });
    let files = futures::stream::iter(walk.take_while(|_| !stop.is_cancelled()));
    let started = Instant::now();
    let mut told = started;
    intake
        .take(files, |found, taken| {
            tally.add(taken);
            tell(config, show, found, taken);
            if told.elapsed() > Duration::from_secs(1) {
                told = Instant::now();
                show.say(&format!("taking in: {} so far", tally.in_words()));
            }
        })
        .await?;
    for problem in &unreadable {
        show.say(problem);
    }
    tally.refused += unreadable.len() as u64;
    let seconds = text::duration(started.elapsed());
    show.say(&format!("took in {} in {seconds}", tally.in_words()));
    if tally.known > 0 && (!args.tag.is_empty() || args.recorded_at.is_some()) {
        show.say(
            "note: --tag and --recorded-at were given to the new files only; known ones stay as they are",
        );
    }
    Ok(tally)
}

fn tell(config: &Config, show: &Show, found: &Found, taken: &TakenIn) {
    let name = text::inert(&found.name);
    if config.json {
        let mut object = serde_json::json!({ "name": found.name });
        match taken {
            TakenIn::New { id, same_as, .. } => {
                object["taken"] = "new".into();
                object["id"] = id.to_string().into();
                object["same_as"] = same_as.map(|s| s.to_string()).into();
            }
            TakenIn::Known { id } => {
                object["taken"] = "known".into();
                object["id"] = id.to_string().into();
            }
            TakenIn::Refused { reason } => {
                object["taken"] = "refused".into();
                object["reason"] = reason.clone().into();
            }
        }
        return ui::json(&object);
    }
    match taken {
        TakenIn::Refused { reason } => show.say(&format!("not taken  {name}: {}", text::inert(reason))),
        TakenIn::New { same_as: Some(other), .. } => {
            show.say(&format!("note: {name} has the same bytes as recording {}", other.short()));
        }
        _ => {}
    }
}

impl Tally {
    fn add(&mut self, taken: &TakenIn) {
        let id = match taken {
            TakenIn::New { id, bytes, .. } => {
                self.new += 1;
                self.bytes += bytes;
                id
            }
            TakenIn::Known { id } => {
                self.known += 1;
                id
            }
            TakenIn::Refused { .. } => {
                self.refused += 1;
                return;
            }
        };
        if self.ids.len() < REMEMBERED {
            self.ids.push(*id);
        }
    }

    fn in_words(&self) -> String {
        let mut words = format!("{}, {}", text::count(self.new, "new file"), text::bytes(self.bytes));
        if self.known > 0 {
            words += &format!("; {} known already", self.known);
        }
        if self.refused > 0 {
            words += &format!("; {} not taken", self.refused);
        }
        words
    }
}

/// The report at the end; the exit code says whether all became ready.
async fn finish(config: &Config, workshop: &Workshop, tally: &Tally, worked: bool) -> Result<Code> {
    let mut states = std::collections::BTreeMap::<State, u64>::new();
    let mut rows = Vec::new();
    for id in &tally.ids {
        let recording = workshop.library.catalog.get(*id).await?;
        let recording = recording.with_context(|| format!("recording {id} vanished meanwhile"))?;
        *states.entry(recording.state).or_default() += 1;
        if config.json {
            ui::json(&recording);
        } else if (tally.ids.len() <= LISTED || recording.state != State::Ready) && rows.len() < LISTED {
            rows.push(ls::row(&recording));
        }
    }
    if !config.json {
        if !rows.is_empty() && worked {
            ui::table::print(&["ID", "STATE", "LENGTH", "SIZE", "NAME", "NOTE"], &rows);
        }
        let words: Vec<_> = states.iter().map(|(s, n)| format!("{n} {}", s.as_str())).collect();
        if !words.is_empty() {
            ui::line(&words.join(", "));
        }
        if !worked && !tally.ids.is_empty() {
            ui::line("the work goes on with `videorec up`");
        }
    }
    let _ = std::io::stdout().flush();
    let all_ready = !worked || states.keys().all(|s| *s == State::Ready);
    Ok(if all_ready && tally.refused == 0 { Code::Done } else { Code::Partly })
}
