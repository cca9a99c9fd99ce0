//! Recordings leave for places that are not ours.

mod counted;
pub(crate) mod describe;
mod destinations;
pub mod import;
mod manifest;
mod manifests;
pub(crate) mod parcel;
#[cfg(test)]
mod samples;

pub(crate) use counted::Counted;
pub use destinations::{Destinations, Open};
pub(crate) use destinations::{Line, Turn};
pub use manifests::Manifests;

use domain::{ExportSpec, Facts, Failure, Timestamp};
use transfer::{Name, names::Rules};

/// What would leave by an export: the first file's name there, and the bytes of all that are ours already.
pub fn preview(
    facts: &Facts,
    export: &ExportSpec,
    rules: &Rules,
    now: Timestamp,
) -> Result<(Name, u64), Failure> {
    let parcel = parcel::Parcel::of(facts, export, now)?;
    Ok((parcel.name(&facts.recording, export, rules), parcel.bytes()))
}

/// What trouble with a destination means for a job.
pub(crate) fn failure(error: &transfer::Error) -> Failure {
    let message = error.to_string();
    if error.is_temporary() { Failure::temporary(message) } else { Failure::permanent(message) }
}

/// How it is known that a file is whole there, as a word.
pub(crate) fn checked(how: transfer::Checked) -> &'static str {
    use transfer::{Algorithm, Checked};
    match how {
        Checked::None => "none",
        Checked::Size => "size",
        Checked::ServerHash(Algorithm::Md5) => "md5",
        Checked::ServerHash(Algorithm::Sha1) => "sha1",
        Checked::ServerHash(Algorithm::Crc32) => "crc32",
        Checked::ServerHash(Algorithm::Sha512) => "sha512",
        Checked::ServerHash(Algorithm::Sha256) => "sha256",
        Checked::OnArrival => "on-arrival",
        Checked::ReadBack => "read-back",
    }
}

#[cfg(test)]
mod tests {
    use domain::{Action, Cold, Speed};
    use policy::Wish;

    use super::*;
    use crate::by_hand::{self, LeftOut};

    /// What is archived is refused with what to do, and with a speed it is restored first.
    #[test]
    fn what_is_archived_leaves_when_it_was_restored() {
        let now = Timestamp(1_800_000_000_000);
        let policy = policy::parse("version: 1\nstores: { nas: { url: /nas } }\nrules: []\n").unwrap();
        let mut facts = samples::facts("a.webm");
        facts.recording.custody.place.class = Some("DEEP_ARCHIVE".into());
        facts.recording.custody.place.cold = Some(Cold { since: now, restore: None });
        let batch = by_hand::batch("export", "ana", "all", now);
        let jobs = |restore| by_hand::export(&policy, &batch, &facts, &Wish::new("nas"), restore, now);
        let refused = jobs(None).expect_err("cold");
        assert!(matches!(&refused, LeftOut::Refused(why) if why.contains("videorec restore")), "{refused:?}");
        let (jobs, _) = jobs(Some((Speed::Bulk, 3))).expect("restored first");
        let actions: Vec<_> = jobs.into_iter().map(|job| job.action).collect();
        assert_eq!(actions[0], Action::Restore { speed: Speed::Bulk, days: 3, asked: now });
        assert!(matches!(&actions[..], [_, Action::Export(export)] if export.to == "nas"), "{actions:?}");
    }
}
