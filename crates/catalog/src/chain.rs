//! The audit log as a chain: each entry is hashed with the one before it, so that none can be changed or taken out of
//! its middle without all that follow being written anew, and whoever has kept a head can tell even that.

use std::collections::BTreeMap;

use domain::{Hasher, Sha256};

use crate::{AuditVerdict, Result, rows::Columns};

/// An entry as it is written.
pub(crate) struct Written<'a> {
    pub seq: i64,
    pub at: i64,
    pub actor: &'a str,
    pub what: &'a str,
    pub recording: Option<&'a str>,
    pub details: &'a str,
}

impl Written<'_> {
    /// `former`: the hash of the entry before; nothing before the first. Lengths keep fields from running together.
    pub(crate) fn hash(&self, former: &[u8]) -> Sha256 {
        let mut hasher = Hasher::new();
        hasher.update(former);
        hasher.update(format!("{}:{}:", self.seq, self.at).as_bytes());
        for field in [self.actor, self.what, self.recording.unwrap_or_default(), self.details] {
            hasher.update(format!("{}:", field.len()).as_bytes());
            hasher.update(field.as_bytes());
        }
        hasher.finish().sha256
    }
}

/// Goes through the log, chain by chain.
pub(crate) struct Check {
    /// The last entry from before there were hashes.
    start: i64,
    ends: BTreeMap<i64, (i64, Vec<u8>)>,
    entries: u64,
    unchained: u64,
    first_bad: Option<i64>,
}

impl Check {
    pub(crate) fn new(start: i64) -> Self {
        Self { start, ends: BTreeMap::new(), entries: 0, unchained: 0, first_bad: None }
    }

    /// One that is in no chain.
    pub(crate) fn loose(&mut self, row: &impl Columns) -> Result<()> {
        let seq = row.number("seq")?;
        self.unchained += 1;
        if seq > self.start {
            self.is_bad(seq);
        }
        Ok(())
    }

    /// The next entry of `chain`, whose place there is `link`.
    pub(crate) fn entry(&mut self, row: &impl Columns) -> Result<()> {
        let seq = row.number("seq")?;
        let Some(hash) = row.bytes_or_none("hash")? else { return self.loose(row) };
        self.entries += 1;
        let written = Written {
            seq,
            at: row.number("at")?,
            actor: row.text("actor")?,
            what: row.text("what")?,
            recording: row.text_or_none("recording")?,
            details: row.text("details")?,
        };
        let (chain, link) = (row.number("chain")?, row.number("link")?);
        let (last, former) = self.ends.entry(chain).or_default();
        let is_next = link == *last + 1 && written.hash(former).0[..] == *hash;
        // From here on, or everything that follows would be bad too.
        (*last, *former) = (link, hash.to_vec());
        if !is_next {
            self.is_bad(seq);
        }
        Ok(())
    }

    fn is_bad(&mut self, seq: i64) {
        self.first_bad = Some(self.first_bad.map_or(seq, |first| first.min(seq)));
    }

    pub(crate) fn verdict(&self) -> AuditVerdict {
        let mut head = Hasher::new();
        for (chain, (link, hash)) in &self.ends {
            head.update(format!("{chain}:{link}:").as_bytes());
            head.update(hash);
        }
        AuditVerdict {
            entries: self.entries,
            unchained: self.unchained,
            first_bad: self.first_bad,
            head: head.finish().sha256,
        }
    }
}

/// Entries that are read at a time.
pub(crate) const PAGE: i64 = 5_000;
