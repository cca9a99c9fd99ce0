//! What servers say of files, as values. Pure.

use domain::Timestamp;
use jiff::{civil::DateTime, tz::TimeZone};
use suppaftp::list::ListParser;

use super::session::Kind;

/// What `MLST` and `MLSD` say of one file; `kind` is `None` for what is neither file nor folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Facts {
    pub kind: Option<Kind>,
    pub size: Option<u64>,
    pub modified: Option<Timestamp>,
}

/// A line's facts: `type=file;size=5;modify=20250102030405; name`.
pub(super) fn facts(line: &str) -> Option<Facts> {
    let facts = line.trim_start().split(' ').next()?;
    let mut found = Facts { kind: None, size: None, modified: None };
    let mut any = false;
    for (fact, value) in facts.split(';').filter_map(|fact| fact.split_once('=')) {
        any = true;
        match fact.to_ascii_lowercase().as_str() {
            "type" => {
                found.kind = match value.to_ascii_lowercase().as_str() {
                    "file" => Some(Kind::File),
                    "dir" | "cdir" | "pdir" => Some(Kind::Folder),
                    // Symbolic links and devices.
                    _ => None,
                }
            }
            "size" => found.size = value.parse().ok(),
            "modify" => found.modified = time(value),
            _ => {}
        }
    }
    any.then_some(found)
}

/// A file or folder in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub name: String,
    pub kind: Kind,
    pub size: u64,
    pub modified: Option<Timestamp>,
}

/// A line of `MLSD`, if it is of a file or folder in it.
pub(super) fn mlsd(line: &str) -> Option<Entry> {
    let (said, name) = line.split_once(' ')?;
    let lower = said.to_ascii_lowercase();
    if lower.contains("type=cdir") || lower.contains("type=pdir") {
        return None;
    }
    let facts = facts(said)?;
    entry(name, facts.kind?, facts.size, facts.modified)
}

/// A line of `LIST`, which is for people: of Unix or of Windows. Its times are in a zone that nobody tells.
pub(super) fn list(line: &str) -> Option<Entry> {
    // It would take any line for one for machines.
    let file = ListParser::parse_posix(line).or_else(|_| ListParser::parse_dos(line)).ok()?;
    if file.is_symlink() {
        return None;
    }
    let kind = if file.is_directory() { Kind::Folder } else { Kind::File };
    entry(file.name(), kind, Some(file.size() as u64), None)
}

/// A name is one of a file in this very folder, or none.
fn entry(name: &str, kind: Kind, size: Option<u64>, modified: Option<Timestamp>) -> Option<Entry> {
    let usable = !name.contains('/') && !matches!(name, "." | "..");
    let size = if kind == Kind::File { size? } else { 0 };
    usable.then(|| Entry { name: name.to_owned(), kind, size, modified })
}

/// `YYYYMMDDHHMMSS`, perhaps with a fraction, in UTC.
pub(super) fn time(text: &str) -> Option<Timestamp> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let time = DateTime::strptime("%Y%m%d%H%M%S", whole).ok()?;
    let millis: i64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    let zoned = TimeZone::UTC.to_timestamp(time).ok()?;
    Some(Timestamp(zoned.as_millisecond() + millis))
}

pub(super) fn write_time(time: Timestamp) -> String {
    let time = jiff::Timestamp::from_millisecond(time.as_millis()).unwrap_or_default();
    time.strftime("%Y%m%d%H%M%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_in_utc() {
        assert_eq!(time("20231114221320"), Some(Timestamp(1_700_000_000_000)));
        assert_eq!(time("20231114221320.25"), Some(Timestamp(1_700_000_000_250)));
        assert_eq!(write_time(Timestamp(1_700_000_000_999)), "20231114221320");
        for bad in ["", "2023", "20231314221320", "20231114221320.x", "now"] {
            assert_eq!(time(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_line_for_machines_is_read_exactly() {
        let file = |name: &str| {
            let modified = Some(Timestamp(1_700_000_000_000));
            Some(Entry { name: name.into(), kind: Kind::File, size: 5, modified })
        };
        assert_eq!(mlsd("Type=file;Size=5;Modify=20231114221320;UNIX.mode=0644; a; b=c"), file("a; b=c"));
        assert_eq!(mlsd("modify=20231114221320;size=5;type=file;  space"), file(" space"));
        assert_eq!(mlsd("type=dir;sizd=4096; d").unwrap().kind, Kind::Folder);
        for none in [
            "type=cdir; .",
            "type=pdir; ..",
            "type=dir; ..",
            "type=file;size=5; ../x",
            "type=file;size=5; a/b",
            "type=OS.unix=slink:/etc;size=5; link",
            "type=file; unknown size",
            "226 done",
            "",
            " ",
        ] {
            assert_eq!(mlsd(none), None, "{none}");
        }
    }

    #[test]
    fn a_line_for_people_is_read_as_far_as_that_goes() {
        let unix = list("-rw-r--r--   1 1000 1000    1234 Nov  5 13:46 Köln 1.mp4").unwrap();
        assert_eq!(
            (unix.name.as_str(), unix.size, unix.kind, unix.modified),
            ("Köln 1.mp4", 1234, Kind::File, None)
        );
        assert_eq!(list("drwxr-xr-x   2 0 0    4096 Nov  5  2023 sub").unwrap().kind, Kind::Folder);
        assert_eq!(list("lrwxrwxrwx   1 0 0 4 Nov  5 13:46 link -> /etc"), None);
        let dos = list("10-19-20  03:19PM       403 omar.txt").unwrap();
        assert_eq!((dos.name.as_str(), dos.size), ("omar.txt", 403));
        assert_eq!(list("total 12"), None);
    }
}
