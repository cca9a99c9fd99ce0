//! What is delivered last of an export that was ordered: a list of what left, with hashes, by which somebody else sees that all of
//! it is there, and from which `videorec import` brings it back.
//!
//! ```text
//! videorec-export-3kq0a1b2.jsonl    a line for the manifest itself, one for each file, one at the end with the counts
//! videorec-export-3kq0a1b2.csv      the files, for people and their spreadsheets
//! videorec-export-3kq0a1b2.sha256   the hashes of both, as `sha256sum --check` takes them
//! ```

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use catalog::{Batch, BatchId, Ended};
use domain::{
    Action, Arrival, Digest, ExportSpec, ExportedFile, Fields, Hasher, JobState, Kind, Outcome, Recording,
    RecordingId, Role, Sha256, Timestamp,
};
use serde::{Deserialize, Serialize};

/// A line of the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "snake_case")]
pub(crate) enum Row {
    /// The first.
    Manifest {
        /// Of this shape.
        version: u32,
        batch: BatchId,
        /// The same file is written anew when some of the batch was taken up again: the highest holds.
        #[serde(default = "first")]
        edition: u32,
        /// Absent: the order itself is not remembered any more.
        ordered_at: Option<Timestamp>,
        ordered_by: Option<String>,
        /// What was chosen.
        of: Option<String>,
    },
    /// One for each file, and for each recording of which none is there.
    File(Box<Line>),
    /// The last: without it the manifest was cut.
    End {
        /// Lines between the first and this one.
        lines: u64,
        files: u64,
        bytes: u64,
        failed: u64,
        cancelled: u64,
    },
}

pub(crate) const VERSION: u32 = 1;

fn first() -> u32 {
    1
}

/// A file as it lies at the destination, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Line {
    pub recording: RecordingId,
    pub title: String,
    /// The name that it came under.
    pub name: String,
    /// Of what is purged by now nothing is known but its id.
    pub kind: Option<Kind>,
    pub session: Option<RecordingId>,
    pub recorded_at: Option<Timestamp>,
    pub accepted_at: Option<Timestamp>,
    pub tags: Vec<String>,
    #[serde(default)]
    pub fields: Fields,
    /// The destination, as the policy calls it.
    pub to: String,
    /// `source`, or the rendition's name.
    pub rendition: String,
    pub state: JobState,
    pub role: Option<Role>,
    /// Where it lies there.
    pub file: Option<String>,
    pub bytes: Option<u64>,
    pub sha256: Option<Sha256>,
    pub arrival: Option<Arrival>,
    /// How it is known to be whole.
    pub checked: Option<String>,
    /// Of what is not there: why.
    pub why: Option<String>,
}

/// Its files on this machine.
pub(crate) struct Written {
    /// With the names that they get there, in the order in which they are to be delivered.
    pub files: Vec<(String, PathBuf, Digest)>,
    /// The destinations that are to have it.
    pub to: Vec<String>,
}

/// A manifest that is being written.
pub(crate) struct Writing {
    stem: String,
    folder: PathBuf,
    lines: Hashed,
    table: Hashed,
    to: Vec<String>,
    files: u64,
    bytes: u64,
    failed: u64,
    cancelled: u64,
    count: u64,
}

/// What its files are called, without their extensions.
pub(crate) fn stem(batch: BatchId) -> String {
    format!("videorec-export-{}", batch.short())
}

impl Writing {
    pub(crate) fn begin(folder: &Path, id: BatchId, edition: u32, batch: Option<&Batch>) -> Result<Self> {
        let stem = stem(id);
        let path = |extension: &str| folder.join(format!("{stem}.{extension}"));
        let mut writing = Self {
            lines: Hashed::create(&path("jsonl"))?,
            table: Hashed::create(&path("csv"))?,
            folder: folder.to_owned(),
            stem,
            to: Vec::new(),
            files: 0,
            bytes: 0,
            failed: 0,
            cancelled: 0,
            count: 0,
        };
        let first = Row::Manifest {
            version: VERSION,
            batch: id,
            edition,
            ordered_at: batch.map(|b| b.created_at),
            ordered_by: batch.map(|b| b.by.clone()),
            of: batch.map(|b| b.what.clone()),
        };
        writing.lines.json(&first)?;
        writing.table.csv(COLUMNS.iter().map(|c| (*c).to_owned()))?;
        Ok(writing)
    }

    /// `it` as it is now; absent when nothing is known of it any more.
    pub(crate) fn add(&mut self, ended: &Ended, it: Option<&Recording>) -> Result<()> {
        let Action::Export(export) = &ended.job.spec.action else { return Ok(()) };
        if !self.to.contains(&export.to) {
            self.to.push(export.to.clone());
        }
        let line = || line(ended, export, it);
        match &ended.outcome {
            Some(Outcome::Exported { files, .. }) => {
                for file in files {
                    self.write(with(line(), file))?;
                }
                Ok(())
            }
            _ => {
                match ended.job.state {
                    JobState::Cancelled => self.cancelled += 1,
                    _ => self.failed += 1,
                }
                self.write(line())
            }
        }
    }

    fn write(&mut self, line: Line) -> Result<()> {
        self.count += 1;
        if matches!(line.arrival, Some(Arrival::Sent | Arrival::Already)) {
            self.files += 1;
            self.bytes += line.bytes.unwrap_or(0);
        }
        self.table.csv(cells(&line))?;
        self.lines.json(&Row::File(Box::new(line)))
    }

    pub(crate) fn end(mut self) -> Result<Written> {
        let end = Row::End {
            lines: self.count,
            files: self.files,
            bytes: self.bytes,
            failed: self.failed,
            cancelled: self.cancelled,
        };
        self.lines.json(&end)?;
        let mut files = Vec::new();
        let mut sums = Hashed::create(&self.folder.join(format!("{}.sha256", self.stem)))?;
        for (hashed, extension) in [(self.lines, "jsonl"), (self.table, "csv")] {
            let (path, digest) = hashed.end()?;
            let name = format!("{}.{extension}", self.stem);
            sums.text(&format!("{}  {name}\n", digest.sha256))?;
            files.push((name, path, digest));
        }
        let (path, digest) = sums.end()?;
        files.push((format!("{}.sha256", self.stem), path, digest));
        Ok(Written { files, to: self.to })
    }
}

fn line(ended: &Ended, export: &ExportSpec, it: Option<&Recording>) -> Line {
    let job = &ended.job;
    let why = match job.state {
        JobState::Cancelled => Some("cancelled".to_owned()),
        JobState::Done => None,
        _ => Some(job.error.as_ref().map_or("it gave up", |e| e.message.as_str()).to_owned()),
    };
    Line {
        recording: job.spec.recording,
        title: it.map(|r| r.title.clone()).unwrap_or_default(),
        name: it.map(|r| r.name.clone()).unwrap_or_default(),
        kind: it.map(|r| r.kind),
        session: it.and_then(|r| r.session),
        recorded_at: it.and_then(|r| r.recorded_at),
        accepted_at: it.map(|r| r.accepted_at),
        tags: it.map(|r| r.tags.iter().cloned().collect()).unwrap_or_default(),
        fields: it.map(|r| r.fields.clone()).unwrap_or_default(),
        to: export.to.clone(),
        rendition: export.what.name().to_owned(),
        state: job.state,
        role: None,
        file: None,
        bytes: None,
        sha256: None,
        arrival: None,
        checked: None,
        why,
    }
}

fn with(line: Line, file: &ExportedFile) -> Line {
    let skipped = (file.arrival == Arrival::Skipped).then(|| "another file has the name there".to_owned());
    Line {
        role: Some(file.role),
        file: Some(file.name.clone()),
        bytes: Some(file.digest.size),
        sha256: Some(file.digest.sha256),
        arrival: Some(file.arrival),
        checked: Some(file.checked.clone()),
        why: skipped.or(line.why),
        ..line
    }
}

/// Columns are added at the end and none is ever taken away.
const COLUMNS: [&str; 19] = [
    "recording",
    "title",
    "name",
    "kind",
    "session",
    "recorded_at",
    "accepted_at",
    "tags",
    "to",
    "rendition",
    "state",
    "role",
    "file",
    "bytes",
    "sha256",
    "arrival",
    "checked",
    "why",
    "fields",
];

/// In the order of [`COLUMNS`].
fn cells(line: &Line) -> [String; 19] {
    fn shown<T: ToString>(value: Option<&T>) -> String {
        value.map(ToString::to_string).unwrap_or_default()
    }
    /// As JSON has it, without its quotes.
    fn word<T: Serialize>(value: Option<&T>) -> String {
        let word = value.and_then(|v| serde_json::to_value(v).ok());
        word.and_then(|w| w.as_str().map(str::to_owned)).unwrap_or_default()
    }
    [
        line.recording.to_string(),
        line.title.clone(),
        line.name.clone(),
        word(line.kind.as_ref()),
        shown(line.session.as_ref()),
        shown(line.recorded_at.as_ref()),
        shown(line.accepted_at.as_ref()),
        line.tags.join(";"),
        line.to.clone(),
        line.rendition.clone(),
        line.state.as_str().to_owned(),
        word(line.role.as_ref()),
        line.file.clone().unwrap_or_default(),
        shown(line.bytes.as_ref()),
        shown(line.sha256.as_ref()),
        word(line.arrival.as_ref()),
        line.checked.clone().unwrap_or_default(),
        line.why.clone().unwrap_or_default(),
        line.fields.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(";"),
    ]
}

/// RFC 4180; and what a spreadsheet would take for a formula is text.
fn cell(value: &str) -> String {
    let formula = value.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let value = if formula { format!("'{value}") } else { value.to_owned() };
    if formula || value.contains([',', '"', '\r', '\n']) || value.trim() != value {
        format!("\"{}\"", value.replace('"', "\"\""))
    } else {
        value
    }
}

/// A file that knows its hash when it is written.
struct Hashed {
    path: PathBuf,
    file: BufWriter<File>,
    hasher: Hasher,
}

impl Hashed {
    fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self { path: path.to_owned(), file: BufWriter::new(file), hasher: Hasher::new() })
    }

    fn text(&mut self, text: &str) -> Result<()> {
        self.hasher.update(text.as_bytes());
        self.file.write_all(text.as_bytes()).with_context(|| format!("cannot write {}", self.path.display()))
    }

    fn json(&mut self, row: &Row) -> Result<()> {
        self.text(&format!("{}\n", serde_json::to_string(row)?))
    }

    fn csv(&mut self, cells: impl IntoIterator<Item = String>) -> Result<()> {
        let cells: Vec<_> = cells.into_iter().map(|value| cell(&value)).collect();
        self.text(&format!("{}\r\n", cells.join(",")))
    }

    fn end(mut self) -> Result<(PathBuf, Digest)> {
        self.file.flush().with_context(|| format!("cannot write {}", self.path.display()))?;
        Ok((self.path, self.hasher.finish()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_text_and_stays_one_cell() {
        assert_eq!(cell("plain"), "plain");
        assert_eq!(cell("a,\"b\"\nc"), "\"a,\"\"b\"\"\nc\"");
        for formula in ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1"] {
            assert!(cell(formula).starts_with("\"'"), "{formula:?}");
        }
    }

    #[test]
    fn a_line_reads_as_it_was_written() {
        let end = Row::End { lines: 2, files: 1, bytes: 3, failed: 1, cancelled: 0 };
        let text = serde_json::to_string(&end).unwrap();
        assert_eq!(text, r#"{"line":"end","lines":2,"files":1,"bytes":3,"failed":1,"cancelled":0}"#);
        assert_eq!(serde_json::from_str::<Row>(&text).unwrap(), end);
    }
}
