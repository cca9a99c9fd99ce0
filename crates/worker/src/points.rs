//! Named places between any two steps of the flow, so that a test can kill the real process at each of them.

use std::{fmt, sync::Arc};

/// A place between two steps. Whatever happens at any of them, starting again completes the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Point {
    /// The file was hashed; nothing is written yet.
    IntakeHashed,
    /// Its bytes are in the store; the catalog does not know it.
    IntakeStored,
    /// The catalog knows it; nothing is decided.
    IntakeAccepted,
    /// Its first jobs are in the ledger; the inbox still has the file.
    IntakeSettled,
    /// The file is gone from the inbox.
    IntakeRemoved,
    /// The ledger has its jobs handed over; the queue does not have them.
    JobOffered,
    /// What was ready is in the queue; nobody was told of what happened.
    JobHandedOver,
    /// A message was received; the job is not claimed.
    JobReceived,
    /// The lease is ours; nothing is done.
    JobClaimed,
    /// The output exists in the work directory, checked; nothing is published.
    JobMade,
    /// The first of the output's files is in the store.
    JobPublishing,
    /// All output files are in the store; the ledger does not know.
    JobPublished,
    /// The outcome is recorded and what follows decided; the message is not acknowledged.
    JobRecorded,
    /// The message is acknowledged.
    JobAcknowledged,
    /// The bytes are in another store, too, read back, and nobody was found to hold the recording; the catalog has not
    /// switched.
    MoveVerified,
    /// Half of a file has left for a destination.
    ExportMidway,
    /// All files are at the destination; the ledger does not know.
    ExportSent,
    /// The manifest is at its destinations; that it is to be delivered is still remembered.
    ManifestDelivered,
    /// The way back from the trash is closed; every byte is still there.
    PurgeBegun,
    /// Every byte is gone; the catalog does not know.
    PurgeRemoved,
}

impl Point {
    pub const ALL: [Point; 20] = [
        Self::IntakeHashed,
        Self::IntakeStored,
        Self::IntakeAccepted,
        Self::IntakeSettled,
        Self::IntakeRemoved,
        Self::JobOffered,
        Self::JobHandedOver,
        Self::JobReceived,
        Self::JobClaimed,
        Self::JobMade,
        Self::JobPublishing,
        Self::JobPublished,
        Self::JobRecorded,
        Self::JobAcknowledged,
        Self::MoveVerified,
        Self::ExportMidway,
        Self::ExportSent,
        Self::ManifestDelivered,
        Self::PurgeBegun,
        Self::PurgeRemoved,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::IntakeHashed => "intake-hashed",
            Self::IntakeStored => "intake-stored",
            Self::IntakeAccepted => "intake-accepted",
            Self::IntakeSettled => "intake-settled",
            Self::IntakeRemoved => "intake-removed",
            Self::JobOffered => "job-offered",
            Self::JobHandedOver => "job-handed-over",
            Self::JobReceived => "job-received",
            Self::JobClaimed => "job-claimed",
            Self::JobMade => "job-made",
            Self::JobPublishing => "job-publishing",
            Self::JobPublished => "job-published",
            Self::JobRecorded => "job-recorded",
            Self::JobAcknowledged => "job-acknowledged",
            Self::MoveVerified => "move-verified",
            Self::ExportMidway => "export-midway",
            Self::ExportSent => "export-sent",
            Self::ManifestDelivered => "manifest-delivered",
            Self::PurgeBegun => "purge-begun",
            Self::PurgeRemoved => "purge-removed",
        }
    }
}

/// What happens at each point: nothing, or whatever a test asked the binary for.
#[derive(Clone, Default)]
pub struct Steps(Option<Arc<dyn Fn(Point) + Send + Sync>>);

impl Steps {
    pub fn new(hook: impl Fn(Point) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(hook)))
    }
    pub(crate) fn at(&self, point: Point) {
        if let Some(hook) = &self.0 {
            hook(point);
        }
    }
}

impl fmt::Debug for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Steps(hooked)" } else { "Steps" })
    }
}

#[cfg(test)]
mod tests {
    use super::Point;

    #[test]
    fn every_point_has_its_own_name() {
        let names: std::collections::BTreeSet<_> = Point::ALL.iter().map(|p| p.name()).collect();
        assert_eq!(names.len(), Point::ALL.len());
    }
}
