use std::collections::BTreeSet;

use domain::Outcome;

use crate::runner::Stop;

/// Adds tags.
///
/// Triggered by: a rule's `tag`. Reads and writes: the catalog alone, in the transaction that records it.
/// Safe to repeat: tags are a set.
pub(crate) fn perform(add: &BTreeSet<String>) -> Result<Outcome, Stop> {
    Ok(Outcome::Tagged { tags: add.clone() })
}
