//! Event messages: each is acknowledged only after all that it tells of was looked at.

use std::time::Duration;

use anyhow::{Context as _, Result};
use domain::{Action, Recording};
use queue::{Lane, Message};
use serde_json::json;
use tracing::{debug, info, warn};

use crate::{
    Library, Looked,
    events::{self, Change, Event, Object},
    keep::Keep,
    lifecycle,
    objects::{self, Place, object_id},
};

/// The longest that a message about something that is away waits before it is looked at again.
const LONGEST: Duration = Duration::from_secs(15 * 60);

impl Library {
    /// Does what one message asks for, and answers it.
    pub(crate) async fn hear(&self, message: &Message) {
        let keep = Keep::start(self, message.receipt.clone());
        let heard = tokio::select! {
            heard = self.heed(&message.body) => heard,
            // It comes again, perhaps elsewhere; what was done of it is not done twice.
            () = keep.lost.cancelled() => return,
        };
        drop(keep);
        let answered = match heard {
            Ok(None) => self.queue.ack(&message.receipt).await,
            // Parked with its reason instead of looped: nobody can read it, now or later.
            Ok(Some(reason)) => match self.letters.park(Lane::Events, message.body.clone(), &reason).await {
                Ok(()) => {
                    warn!(reason, "a message was parked; see `videorec dlq ls`");
                    self.queue.ack(&message.receipt).await
                }
                Err(e) => Err(e),
            },
            Err(e) => {
                let delay = Duration::from_secs(1 << message.receives.min(10)).min(LONGEST);
                warn!(
                    error = format!("{e:#}"),
                    receives = message.receives,
                    ?delay,
                    "an event is looked at again later"
                );
                self.queue.release(&message.receipt, delay).await
            }
        };
        if let Err(e) = answered {
            debug!(error = %e, "an event's message was not answered; it comes again");
        }
    }

    /// The reason when a person has to look at the message.
    async fn heed(&self, body: &str) -> Result<Option<String>> {
        let events = match events::parse(body) {
            Ok(events) => events,
            Err(e) => return Ok(Some(e.to_string())),
        };
        let mut ticks = false;
        let mut of = Vec::new();
        for event in events {
            match event {
                Event::Tick => ticks = true,
                Event::Test => info!("S3 notifications are set up"),
                Event::Object(object) => of.push(object),
            }
        }
        let mut foreign = Vec::new();
        for object in events::latest(of) {
            if let Some(bucket) = self.heed_object(&object).await? {
                foreign.push(bucket);
            }
        }
        if ticks {
            self.walk_buckets().await?;
        }
        Ok((!foreign.is_empty()).then(|| {
            format!(
                "it tells of buckets that are not watched: {}; mend the notification's set-up",
                foreign.join(", ")
            )
        }))
    }

    /// The bucket when it is foreign.
    async fn heed_object(&self, object: &Object) -> Result<Option<String>> {
        let (store, key) = match objects::place(&self.watched, &object.bucket, &object.key) {
            Place::Watched { store, key } => (store, key),
            Place::Elsewhere => return Ok(None),
            Place::Foreign => return Ok(Some(object.bucket.escape_debug().take(80).collect())),
        };
        match object.change {
            Change::Created | Change::Removed | Change::Expired => {
                let looked =
                    self.look(store, key).await.with_context(|| format!("an object of `{store}`"))?;
                match looked {
                    Looked::New(id) => info!(recording.id = %id, "accepted"),
                    looked => debug!(?looked, "an event"),
                }
            }
            Change::Transitioned | Change::RestoreStarted | Change::Restored | Change::RestoreEnded => {
                let id = object_id(store, key);
                if let Some(recording) = self.catalog.get(id).await? {
                    let what = match object.change {
                        Change::Transitioned => "transitioned",
                        Change::RestoreStarted => "restore-started",
                        Change::Restored => "restored",
                        _ => "restore-ended",
                    };
                    let details = json!({ "key": key, "version": object.version });
                    self.catalog.note(id, "events", what, details, self.now()).await?;
                    // Of what was moved to another store it says nothing any more.
                    match object.change {
                        _ if recording.store != store => {}
                        Change::Restored => self.awaken(&recording).await?,
                        Change::Transitioned => self.sink(&recording).await?,
                        _ => {}
                    }
                }
            }
            Change::Other => {}
        }
        Ok(None)
    }

    /// Time would have it looked at within the hour; the event says that it can be read now. The same job either way.
    async fn awaken(&self, recording: &Recording) -> Result<()> {
        let cold = recording.custody.place.cold.as_ref();
        let Some(restore) = cold.and_then(|c| c.restore.as_ref()).filter(|r| r.until.is_none()) else {
            return Ok(());
        };
        let action = Action::Awaken { asked: restore.asked_at, look: restore.looks };
        self.prompt(recording, action, "events", "S3 says that it was restored.").await
    }

    /// By a lifecycle rule, ours or another: what the catalog says of its class is not so any more.
    async fn sink(&self, recording: &Recording) -> Result<()> {
        let action = lifecycle::look(recording, self.now());
        self.prompt(recording, action, "events", "S3 says that a lifecycle rule moved it.").await
    }
}
