//! Our nouns: recording, track, rendition, copy, job, outcome, alert.
//!
//! Architecture invariant: no I/O, no async, no clock. Everything here is a value, so that deciding and
//! describing can be pure and every other room can speak the same language.

mod action;
mod address;
mod alert;
mod custody;
mod export;
mod facts;
mod fields;
mod hash;
mod ids;
mod job;
mod media;
mod preset;
mod recording;
mod screen;
mod template;
mod time;

pub use action::{Action, Layout, MixSpec, MixTrack, Tenths, Way};
pub use address::is_public;
pub use alert::{Alert, Severity};
pub use custody::{
    Certificate, Cold, Custody, DeletionLimit, Hold, Place, Removed, Restoring, Speed, Strayed, Transition,
    Trash,
};
pub use export::{Arrival, Companion, Conflict, ExportSpec, ExportedFile, Leaving, Verify};
pub use facts::{Decision, Facts, Offer, SessionTrack, Usage, Wait, What};
pub use fields::Fields;
pub use hash::{Crc64, Digest, Hasher, Sha256};
pub use ids::{Id, JobId, RecordingId};
pub use job::{Cost, Failure, FailureKind, Job, JobSpec, JobState, Lane, Outcome, Progress};
pub use media::{AudioFacts, Dynamic, MediaFacts, Probe, StreamFacts, StreamKind, Verdict, VideoFacts};
pub use preset::{AudioCodec, AudioTarget, Container, Output, Preset, Sprite, VideoCodec, VideoTarget};
pub use recording::{
    Copy, Kind, Manifest, ManifestTrack, NewRecording, Recording, Rendition, RenditionFile, Role, State,
    StreamChoice, Track,
};
pub use screen::{RowTest, Screen};
pub use template::NameTemplate;
pub use time::{Clock, Timestamp};
