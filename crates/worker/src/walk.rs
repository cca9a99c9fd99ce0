//! Which files a person means by the paths they gave.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::names;

/// A file to take in, and the label it gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub path: PathBuf,
    pub name: String,
}

/// All files below some paths, one folder at a time, each folder sorted with its `session.json` first: a track
/// that comes after its manifest is never mistaken for a recording of its own.
///
/// Labels begin with the given folder's own name, so that two sessions' `ana.webm` stay apart. Left out are names
/// that begin with a dot, unfinished downloads, and the folders of `skip` (the library itself: promise 7).
pub struct Walk {
    todo: Vec<Entry>,
    skip: Vec<PathBuf>,
}

struct Entry {
    path: PathBuf,
    /// Relative to what was given, with its last folder.
    label: PathBuf,
    /// A link found inside a folder: it could lead anywhere, also in circles. One that is given by name is meant.
    link: bool,
}

impl Walk {
    pub fn new(paths: &[PathBuf], skip: &[PathBuf]) -> Self {
        let mut todo: Vec<Entry> =
            paths.iter().map(|p| Entry { path: p.clone(), label: given_label(p), link: false }).collect();
        todo.sort_by_key(|e| std::cmp::Reverse(order(&e.path)));
        Self { todo, skip: skip.iter().map(|p| p.canonicalize().unwrap_or_else(|_| p.clone())).collect() }
    }

    /// The files of one folder, labelled relative to it.
    pub fn inside(folder: &Path) -> Self {
        Self {
            todo: vec![Entry { path: folder.to_owned(), label: PathBuf::new(), link: false }],
            skip: Vec::new(),
        }
    }

    fn open(&mut self, folder: &Entry) -> io::Result<()> {
        let real = folder.path.canonicalize()?;
        if self.skip.iter().any(|s| real.starts_with(s)) {
            return Err(io::Error::other("this is the library itself; what it made does not come in again"));
        }
        let mut inside = Vec::new();
        for entry in fs::read_dir(&folder.path)? {
            let entry = entry?;
            let name = entry.file_name();
            if !is_passed_over(&name.to_string_lossy()) {
                let link = entry.file_type()?.is_symlink();
                inside.push(Entry { path: entry.path(), label: folder.label.join(name), link });
            }
        }
        // The stack is emptied from its end.
        inside.sort_by_key(|e| std::cmp::Reverse(order(&e.path)));
        self.todo.extend(inside);
        Ok(())
    }
}

impl Iterator for Walk {
    /// A file, or a path that cannot be taken and why.
    type Item = Result<Found, (PathBuf, io::Error)>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let entry = self.todo.pop()?;
            if entry.link {
                let why = "a link inside a folder is not followed; give it by its own name";
                return Some(Err((entry.path, io::Error::other(why))));
            }
            let metadata = match fs::metadata(&entry.path) {
                Ok(metadata) => metadata,
                Err(e) => return Some(Err((entry.path, e))),
            };
            if metadata.is_dir() {
                if let Err(e) = self.open(&entry) {
                    return Some(Err((entry.path, e)));
                }
            } else if metadata.is_file() {
                let inside = |real: &PathBuf| self.skip.iter().any(|s| real.starts_with(s));
                if entry.path.canonicalize().as_ref().is_ok_and(inside) {
                    let why = "it is in the library already; what it made does not come in again";
                    return Some(Err((entry.path, io::Error::other(why))));
                }
                return Some(Ok(Found { name: names::label(&entry.label), path: entry.path }));
            } else {
                return Some(Err((entry.path, io::Error::other("neither a file nor a folder"))));
            }
        }
    }
}

/// A folder's own name; a file's own name, below its folder's if a session is there.
fn given_label(path: &Path) -> PathBuf {
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let name = PathBuf::from(real.file_name().unwrap_or_default());
    match real.parent() {
        Some(parent) if real.is_file() && parent.join(SESSION).is_file() => {
            PathBuf::from(parent.file_name().unwrap_or_default()).join(name)
        }
        _ => name,
    }
}

/// The name of a session's manifest.
pub const SESSION: &str = "session.json";

fn order(path: &Path) -> (bool, PathBuf) {
    (path.file_name().is_none_or(|n| n != SESSION), path.to_owned())
}

/// Hidden files and what browsers, editors and copy programs name while they write.
pub(crate) fn is_passed_over(name: &str) -> bool {
    const UNFINISHED: [&str; 6] = [".part", ".partial", ".crdownload", ".download", ".tmp", ".filepart"];
    let lower = name.to_ascii_lowercase();
    name.starts_with('.')
        || lower == "thumbs.db"
        || lower == "desktop.ini"
        || UNFINISHED.iter().any(|u| lower.ends_with(u))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }
        dir
    }

    fn names(walk: Walk) -> Vec<String> {
        walk.filter_map(Result::ok).map(|f| f.name).collect()
    }

    #[test]
    fn a_folder_gives_its_files_manifest_first_and_nothing_unfinished() {
        let dir =
            tree(&["call/ana.webm", "call/session.json", "call/.DS_Store", "call/bo.webm.part", "b/x.mp4"]);
        let walk = Walk::new(&[dir.path().join("call"), dir.path().join("b/x.mp4")], &[]);
        assert_eq!(names(walk), ["x.mp4", "call/session.json", "call/ana.webm"]);
        assert_eq!(names(Walk::inside(&dir.path().join("call"))), ["session.json", "ana.webm"]);
    }

    /// A session's files given one by one are still one session.
    #[test]
    fn files_next_to_a_manifest_keep_their_folder() {
        let dir = tree(&["call/ana.webm", "call/session.json"]);
        let paths = [dir.path().join("call/ana.webm"), dir.path().join("call/session.json")];
        assert_eq!(names(Walk::new(&paths, &[])), ["call/session.json", "call/ana.webm"]);
    }

    /// Promise 7: our own outputs never re-enter as inputs.
    #[test]
    fn the_library_is_never_walked() {
        let dir = tree(&["lib/recordings/a.mp4", "other/b.mp4"]);
        let skip = [dir.path().join("lib")];
        let walk = |path: &str| Walk::new(&[dir.path().join(path)], &skip).collect::<Vec<_>>();
        assert!(walk("lib")[0].is_err());
        assert!(walk("lib/recordings/a.mp4")[0].is_err());
        let all = walk(".");
        assert_eq!(all.iter().filter(|f| f.is_ok()).count(), 1, "{all:?}");
    }
}
